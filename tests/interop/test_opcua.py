"""Control systems read, and subscribe to, what the gateway says over OPC UA: asyncua sees what the verdicts say."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from clients import Receiver
from gateway import Gateway
from opcua import NAMESPACE, POLICIES, UNCERTAIN, connected, made_certificate, meaning, until
from peers import HOST, accepts, free_port
from programs import REPOSITORY
from scene import Scene, number_source, threshold
from waiting import wait_for

MODULES = REPOSITORY / "target" / "node" / "node_modules"
PRESSURE = "pump/pump-1/pressure"
POINT = "pump-1/high/pressure/high"
ANNA = ("anna", "a long password")
NAME = "scada"
BAD_UNKNOWN = 0x8034_0000
BAD_TYPE, BAD_POLICY, BAD_CHECKS = 0x807E_0000, 0x8055_0000, 0x8013_0000


def settings(scene: Scene, **server: object) -> tuple[Gateway, int]:
    """A gateway with a server, and the port of it. A dashboard says what its status is."""
    judges = {"high": threshold(["pump"], above=7.5, severity="critical", update_every="0s")}
    gateway = scene.gateway({"pump": number_source("pump/+/pressure", "pressure")}, judges)
    port = free_port()
    users = str(scene.folder / "state" / "access.toml")
    served = {"kind": "opcua", "listen": f"{HOST}:{port}", "stale_after": "3s", "users_file": users}
    gateway.settings["server"] = {"ua": served | server}
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{free_port()}"}
    gateway.write()
    return gateway, port


def add_user(gateway: Gateway) -> Callable[[], dict]:
    """Adds a user. Returns what reads the status of the server."""
    users, configuration = ["users", "add", ANNA[0], "--role", "viewer"], ["-c", str(gateway.configuration)]
    done = gateway.run(*users, "--password-stdin", *configuration, stdin=f"{ANNA[1]}\n")
    assert done.returncode == 0, done.stderr
    made = gateway.run("--json", "users", "token", ANNA[0], "--label", "test", *configuration)
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['token']}"}
    address = f"http://{gateway.settings['dashboard']['listen']}/api/v1/status"

    def status() -> dict:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return json.load(answer)["servers"][0]

    return status


def pki(scene: Scene) -> Path:
    return scene.folder / "state" / "opcua"


def trust(scene: Scene) -> None:
    """Moves what was rejected to what is trusted, as people do it."""
    for rejected in (pki(scene) / "rejected").iterdir():
        shutil.move(rejected, pki(scene) / "trusted" / rejected.name)


async def trusted(scene: Scene, port: int, name: str = NAME) -> tuple[Path, Path]:
    """A certificate that the server trusts, after it was shown once."""
    certificate = await made_certificate(scene.folder, name)
    async with refused(ua.uaerrors.BadSecurityChecksFailed), connected(port, certificate, name, ANNA):
        pass
    rejected = list((pki(scene) / "rejected").iterdir())
    assert len(rejected) == 1 and name in rejected[0].name, rejected
    trust(scene)
    return certificate


@contextlib.asynccontextmanager
async def refused(kind: type[Exception], words: str = "") -> AsyncIterator[None]:
    """What is done here the server refuses, with exactly this status."""
    with pytest.raises(kind) as found:
        yield
    assert type(found.value) is kind and words in str(found.value), found.value


def raised(receiver: Receiver) -> int:
    verdicts = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
    return len({verdict["event"]["id"] for verdict in verdicts if verdict.get("event", {}).get("state") == "raised"})


def test_nodes_say_what_the_verdicts_say(scene: Scene) -> None:
    receiver, (gateway, port) = scene.receiver(), settings(scene)
    gateway.write()
    add_user(gateway)
    scene.start(gateway)
    asyncio.run(life_of_a_point(scene, gateway, receiver, port))


async def life_of_a_point(scene: Scene, gateway: Gateway, receiver: Receiver, port: int) -> None:
    certificate, device = await trusted(scene, port), scene.device()

    def publish(*values: float) -> None:
        for value in values:
            device.publish(PRESSURE, str(value))
        device.flush()

    async with connected(port, certificate, NAME, ANNA) as peer:
        namespaces = await peer.client.get_namespace_array()
        assert namespaces[1:3] == ["urn:verge:interop-1", NAMESPACE], "two URIs"
        publish(5, 8.25)
        await until(lambda: readable(peer, f"{POINT}/active"), "the point is there")

        # By path, as an engineer finds it, and back.
        objects, index = peer.client.nodes.objects, peer.index
        names = ["Verge", "pump-1", "high", "pressure", "high"]
        point = await objects.get_child([f"{index}:{name}" for name in names])
        assert point.nodeid == ua.NodeId(POINT, index)
        variables = {(await node.read_browse_name()).Name: node for node in await point.get_variables()}
        expected = "active severity since event acknowledged shelved observed expected_low expected_high p_value"
        assert set(variables) == set(expected.split()) | {"member", "events", "alarm"}
        types = {name: await variables[name].read_data_type_as_variant_type() for name in ("active", "severity")}
        assert types == {"active": ua.VariantType.Boolean, "severity": ua.VariantType.UInt16}
        assert (await point.get_parent()).nodeid.Identifier == "pump-1/high/pressure"
        says = {name: (await peer.read(f"{POINT}/{name}")).Value.Value for name in variables}
        assert (says["active"], says["severity"], says["observed"], says["events"]) == (True, 900, 8.25, 1)
        assert (says["alarm"], says["member"], says["expected_high"]) == ("unacknowledged", "high", 7.5)
        async with refused(ua.uaerrors.BadNotWritable):
            await variables["observed"].write_value(1.0)
        async with refused(ua.uaerrors.BadNodeIdUnknown):
            await (await peer.node("pump-1/high/pressure/nothing")).read_value()
        async with refused(ua.uaerrors.BadAttributeIdInvalid):
            await point.read_value()

        # What changes is reported, also what came and went, and as events.
        await peer.follow(f"{POINT}/active", f"{POINT}/observed", f"{POINT}/events")
        await until(lambda: len(peer.values) >= 3, "the values of now")
        publish(5, 8.5, 5, 8.75)
        await until(lambda: peer.seen(f"{POINT}/events")[-1].Value.Value == 3, "each event is counted")
        active = [value.Value.Value for value in peer.seen(f"{POINT}/active")]
        assert active == [True, False, True, False, True]
        await until(lambda: len(peer.events) == 4, "two ended, two began")
        first, last = peer.events[0], peer.events[-1]
        assert [event.Severity for event in peer.events] == [900] * 4
        assert last.SourceName == "pump-1 pressure high" and "8.75" in last.Message.Text, last.Message
        assert last.SourceNode == ua.NodeId(POINT, index) and first.EventId != last.EventId
        await until(lambda: raised(receiver) == 3, "as upstream has them")

        # What was seen is in the books, with its own times.
        verdicts = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
        observed = {verdict["anomaly"]["observed"] for verdict in verdicts}
        seen = peer.seen(f"{POINT}/observed")
        assert {value.Value.Value for value in seen} <= observed, (seen, observed)
        assert [value.SourceTimestamp for value in seen] == sorted(value.SourceTimestamp for value in seen)
        for value in seen:
            assert value.SourceTimestamp <= value.ServerTimestamp

        # Silence: the last values, not to be trusted.
        await until(lambda: meaning(peer.seen(f"{POINT}/active")[-1]) == UNCERTAIN, "its device sends no more")
        assert peer.seen(f"{POINT}/active")[-1].Value.Value is True
        beats = await peer.value("gateway/heartbeat")
        await until(lambda: greater(peer, "gateway/heartbeat", beats), "the heart beats")
        assert await peer.value("gateway/state") == "running" and await peer.value("gateway/alarms") == 1
        status = gateway.run("--json", "check", "-c", str(gateway.configuration), "--offline")
        assert "because the gateway runs" in status.stdout

    # After a kill the alarm stands, and is not to be trusted before its device sends.
    gateway.kill()
    scene.start(gateway)
    wait_for(lambda: accepts(port), "the server listens")
    async with connected(port, certificate, NAME, ANNA) as peer:
        await until(lambda: readable(peer, f"{POINT}/active"), "the point is there again")
        standing = await peer.read(f"{POINT}/active")
        assert (standing.Value.Value, meaning(standing)) == (True, UNCERTAIN)
        assert await peer.value(f"{POINT}/events") == 3, "it counts on"
        publish(5)
        await until(lambda: says_good(peer, f"{POINT}/active", False), "it is over")


async def readable(peer: Any, path: str) -> bool:
    return await peer.status(path) != BAD_UNKNOWN


async def greater(peer: Any, path: str, than: int) -> bool:
    return await peer.value(path) > than


async def says_good(peer: Any, path: str, value: object) -> bool:
    read = await peer.read(path)
    return read.Value.Value == value and meaning(read) == 0


def test_who_is_served(scene: Scene) -> None:
    gateway, port = settings(scene)
    status = add_user(gateway)
    scene.start(gateway)
    asyncio.run(refusals(scene, status, port))


async def refusals(scene: Scene, status: Callable[[], dict], port: int) -> None:
    certificate = await trusted(scene, port)
    own = pki(scene) / "own" / "key.pem"
    assert own.stat().st_mode & 0o777 == 0o600
    for policy in POLICIES:
        async with connected(port, certificate, NAME, ANNA, policy=policy) as peer:
            assert await peer.value("gateway/points") == 0
    # A wrong password and a name that nobody has are rejected alike.
    for user, kind in [
        (None, ua.uaerrors.BadIdentityTokenInvalid),
        (("anna", "a wrong password"), ua.uaerrors.BadIdentityTokenRejected),
        (("nobody", ANNA[1]), ua.uaerrors.BadIdentityTokenRejected),
    ]:
        async with refused(kind), connected(port, certificate, NAME, user):
            pass
    for policy, mode in [
        (POLICIES[0], ua.MessageSecurityMode.Sign),
        ("Basic256", ua.MessageSecurityMode.SignAndEncrypt),
    ]:
        # The client finds no such endpoint among those that the server lists.
        async with (
            refused(ua.UaError, "No matching endpoints"),
            connected(port, certificate, NAME, ANNA, policy=policy, mode=mode),
        ):
            pass

    # A user with a certificate instead of a password.
    user, key = await made_certificate(scene.folder, "engineer")

    async def by_certificate() -> None:
        peer = await with_user_certificate(port, certificate, user, key)
        await peer.disconnect()

    async with refused(ua.uaerrors.BadIdentityTokenRejected):
        await by_certificate()
    shutil.copy(user, pki(scene) / "users" / "engineer.der")
    await by_certificate()

    # What is trusted no more is refused.
    shutil.rmtree(pki(scene) / "trusted")
    (pki(scene) / "trusted").mkdir()
    async with refused(ua.uaerrors.BadSecurityChecksFailed), connected(port, certificate, NAME, ANNA):
        pass
    now = status()
    # One without a user is refused before it is asked who it is. Closed: the certificate before it was trusted, and after.
    assert (now["logins_refused"], now["clients"], now["closed"]) == (3, 0, 2), now
    assert "move \"rejected/" in now["last_error"], now


async def with_user_certificate(port: int, certificate: tuple[Path, Path], user: Path, key: Path) -> Any:
    from asyncua import Client
    from asyncua.crypto import security_policies

    client = Client(f"opc.tcp://{HOST}:{port}/", timeout=20)
    client.application_uri = f"urn:test:{NAME}"
    kind = security_policies.SecurityPolicyBasic256Sha256
    await client.set_security(kind, str(certificate[0]), str(certificate[1]))
    await client.load_client_certificate(str(user))
    await client.load_private_key(str(key))
    await client.connect()
    return client


def frame(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return kind + struct.pack("<I", len(body) + 8 if size is None else size) + body


HELLO = frame(b"HELF", struct.pack("<IIIII", 0, 65535, 65535, 0, 0) + struct.pack("<i", 16) + b"opc.tcp://h:4840")


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode()


def request_header(handle: int) -> bytes:
    # No session, no time, this handle, no diagnostics, no audit, 10 s, nothing more.
    return b"\0\0" + struct.pack("<qIIiI", 0, handle, 0, -1, 10_000) + b"\0\0\0"


def open_request() -> bytes:
    node = b"\x01\x00" + struct.pack("<H", 446)
    return node + request_header(1) + struct.pack("<III", 0, 0, 1) + struct.pack("<i", -1) + struct.pack("<I", 300_000)


def endpoints_request(handle: int) -> bytes:
    node = b"\x01\x00" + struct.pack("<H", 428)
    return node + request_header(handle) + text("opc.tcp://h:4840") + struct.pack("<ii", -1, -1)


def channel() -> bytes:
    """Opens a channel without security."""
    secured = struct.pack("<I", 0) + text("http://opcfoundation.org/UA/SecurityPolicy#None")
    return frame(b"OPNF", secured + struct.pack("<iiII", -1, -1, 1, 1) + open_request())


def ended(connection: socket.socket) -> bytes:
    """What the server says until it ends the connection."""
    connection.settimeout(30)
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while received := connection.recv(4096):
            said += received
    return said


def error_of(said: bytes) -> int:
    """The status of the Error with which a connection ends (part 6, 7.1.2.5), behind an Acknowledge."""
    at = said.rindex(b"ERRF")
    return struct.unpack_from("<I", said, at + 8)[0]


def test_noise_half_frames_and_too_many_clients_disturb_nobody(scene: Scene) -> None:
    receiver, (gateway, port) = scene.receiver(), settings(scene, max_clients=4, idle="15s")
    status = add_user(gateway)
    scene.start(gateway)
    asyncio.run(noise(scene, receiver, status, port))


async def noise(scene: Scene, receiver: Receiver, status: Callable[[], dict], port: int) -> None:
    certificate, device = await trusted(scene, port), scene.device()

    def connection(*parts: bytes) -> socket.socket:
        opened = socket.create_connection((HOST, port), timeout=10)
        for part in parts:
            opened.sendall(part)
        return opened

    async def end(*parts: bytes) -> bytes:
        with connection(*parts) as opened:
            return await asyncio.to_thread(ended, opened)

    async with connected(port, certificate, NAME, ANNA) as peer:
        device.publish(PRESSURE, "8")
        device.flush()
        await until(lambda: readable(peer, f"{POINT}/observed"), "the point is there")
        await peer.follow(f"{POINT}/observed")
        assert error_of(await end(HELLO, frame(b"OPNF", b"", 0xFFFF_FFFF))) == BAD_TYPE
        assert error_of(await end(HELLO, opening("Basic128Rsa15", b"x"))) == BAD_POLICY
        assert error_of(await end(HELLO, opening("Basic256Sha256", b"no certificate"))) == BAD_CHECKS
        assert b"not OPC UA" in await end(b"GET / HTTP/1.1\r\n\r\n")
        assert b"a frame of 9" in await end(HELLO, frame(b"OPNF", b"", 0xFFFF_FFFF)), "a length that cannot be"
        assert b"a frame of 9" in await end(frame(b"HELF", b"", 0)), "none"
        assert b"Hello was expected" in await end(frame(b"MSGF", b"12345678"))
        assert b"not offered" in await end(HELLO, opening("Basic128Rsa15", b"x"))
        assert b"cannot be read" in await end(HELLO, opening("Basic256Sha256", b"no certificate"))
        assert b"not complete" in await end(HELLO[:20]), "half a frame"
        # The rest of the places, by clients that say nothing, and one that asked for something and vanished.
        many = [connection() for _ in range(2)] + [connection(HELLO, channel())]
        await until(lambda: status()["clients"] == 4, "all places are taken")
        refused_before = status()["refused"]
        assert await end(HELLO) == b"", "no place is left"
        assert status()["refused"] == refused_before + 1 and "max_clients" in status()["last_error"]
        said = [await asyncio.to_thread(ended, one) for one in many]
        assert b"used none" in said[2] and all(b"ERRF" in one for one in said), said
        # All the while the one that follows was sent what changed, and so was upstream.
        device.publish(PRESSURE, "9")
        device.flush()
        await until(lambda: peer.seen(f"{POINT}/observed")[-1].Value.Value == 9.0, "it follows")
        await until(lambda: len(receiver.messages()) >= 2, "and upstream receives")
    async with connected(port, certificate, NAME, ANNA) as again:
        assert await again.value(f"{POINT}/observed") == 9.0


def opening(policy: str, certificate: bytes) -> bytes:
    """An Open with this policy and certificate."""
    uri = f"http://opcfoundation.org/UA/SecurityPolicy#{policy}".encode()
    body = struct.pack("<I", 0) + struct.pack("<i", len(uri)) + uri
    body += struct.pack("<i", len(certificate)) + certificate + struct.pack("<i", -1)
    return frame(b"OPNF", body)


def test_a_client_that_takes_nothing_is_closed_and_holds_nobody_up(scene: Scene) -> None:
    receiver, (gateway, port) = scene.receiver(), settings(scene, insecure_none=True, anonymous=True)
    status = add_user(gateway)
    scene.start(gateway)
    device = scene.device()
    stuck = socket.create_connection((HOST, port), timeout=10)
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.sendall(HELLO)
    assert stuck.recv(28)[:4] == b"ACKF"
    stuck.sendall(channel())
    # It asks and asks which endpoints there are, and takes no answer: in the end nothing more is read of it.
    stuck.settimeout(3)
    before = gateway.resident_kib()
    with contextlib.suppress(ConnectionError, TimeoutError):
        for number in range(2, 40_000):
            head = struct.pack("<IIII", 1, 1, number, number)
            stuck.sendall(frame(b"MSGF", head + endpoints_request(number)))
    for value in range(8, 18):
        device.publish(PRESSURE, str(value))
    device.flush()
    receiver.wait_for_verdicts(10, seconds=10)
    assert gateway.resident_kib() < before + 20_000
    assert 0 < status()["requests"] < 30_000, "what it asks is not read while it takes nothing"

    asyncio.run(until(lambda: "not taken in time" in status().get("last_error", ""), "it is closed, and that is said"))
    stuck.close()


def test_check_tries_to_listen_and_names_the_nodes(scene: Scene) -> None:
    gateway, port = settings(scene)
    listed = gateway.check("--offline", "--points", "--json")
    assert listed.returncode == 0, listed.stdout
    steps = json.dumps(json.loads(listed.stdout), ensure_ascii=False)
    assert f"nsu={NAMESPACE};s=DEVICE/high/SIGNAL/STRAND/" in steps and "can listen" in steps
    assert "its certificate is made at the first start" in steps and "nobody can log in yet" in steps
    assert not pki(scene).exists(), "check makes nothing"
    with socket.create_server((HOST, port)):
        assert gateway.check("--offline").returncode == 69
    gateway.settings["server"]["ua"] |= {"insecure_none": True, "listen": f"0.0.0.0:{port}"}
    warned = gateway.check("--offline")
    assert "without security" in warned.stdout, warned.stdout


class NodeClient:
    """A process of Node.js: another stack than that of the other tests, by other people."""

    def __init__(self, scene: Scene, port: int, certificate: tuple[Path, Path]) -> None:
        script = REPOSITORY / "tests" / "interop" / "node" / "opcua_client.js"
        folder, (der, key) = scene.folder / "node-pki", certificate
        command = ["node", str(script), f"opc.tcp://{HOST}:{port}/", str(folder), str(der), str(key), *ANNA, POINT]
        env = os.environ | {"NODE_PATH": str(MODULES), "HOME": str(scene.folder)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        )
        self.said: list[dict] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # The library has words of its own for its certificates.
            with contextlib.suppress(json.JSONDecodeError):
                self.said.append(json.loads(line))

    def one(self, key: str) -> Any:
        return next((said[key] for said in list(self.said) if key in said), None)

    def seen(self, name: str) -> list[dict]:
        # Where the status of an equal value becomes another, a null comes before it.
        return [said for said in list(self.said) if said.get("name") == name and said["value"] is not None]

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(30)
        self._reader.join()
        return code


def test_a_second_foreign_stack_reads_and_follows(scene: Scene) -> None:
    receiver, (gateway, port) = scene.receiver(), settings(scene)
    add_user(gateway)
    scene.start(gateway)
    device = scene.device()
    device.publish(PRESSURE, "8.25")
    device.flush()
    certificate = asyncio.run(made_certificate(scene.folder, "node"))
    stranger = NodeClient(scene, port, certificate)
    assert stranger.end() == 1 and stranger.one("error"), stranger.said
    wait_for(lambda: list((pki(scene) / "rejected").iterdir()), "its certificate is kept for people to see")
    trust(scene)
    client = NodeClient(scene, port, certificate)
    wait_for(lambda: client.seen("observed") and client.seen("active"), "the values of now", 60)
    expected = "active severity since event acknowledged shelved observed expected_low expected_high p_value member events alarm"
    assert sorted(client.one("browsed")) == sorted(expected.split())
    read = client.one("read")
    assert (read["active"], read["observed"], read["severity"], read["events"]) == (True, 8.25, 900, 1)
    assert (client.one("missing"), client.one("written")) == ("BadNodeIdUnknown", "BadNotWritable")
    for value in (5, 8.5, 5, 8.75):
        device.publish(PRESSURE, str(value))
    device.flush()
    wait_for(lambda: client.seen("observed")[-1]["value"] == 8.75, "the last value")
    assert [one["value"] for one in client.seen("active")] == [True, False, True, False, True]
    assert client.seen("observed")[-1]["status"] == "Good"
    verdicts = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
    assert {one["value"] for one in client.seen("observed")} <= {verdict["anomaly"]["observed"] for verdict in verdicts}
    sources = [one["source"] for one in client.seen("observed")]
    assert sources == sorted(sources)
    assert client.end() == 0 and client.one("ended")
