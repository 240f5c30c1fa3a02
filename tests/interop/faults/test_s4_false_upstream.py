"""S4: a false server answers at the upstream's address: not a byte of what the gateway has to say leaves, over MQTT and over HTTP, until
the true one is there."""

import contextlib
import datetime
import socket
import ssl
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from certificates import Identity
from figures import Figures
from peers import HOST, free_port
from programs import is_full
from scene import PREFIX, Scene, number_source, threshold
from waiting import wait_for
from x509 import CLIENT, DAY, SERVER, Authority

ATTEMPTS = 3 if is_full() else 1
SHORT = ("another authority", "another name", "TLS 1.1", "no TLS")
# What must not be read on the way: a device, a topic, what a login would be.
SPOKEN = (b"pump-secret", b"verge/", b"MQTT", b"POST", b"token-secret", b"password-secret")


@dataclass
class Listening:
    """A server that records what is said to it."""

    context: ssl.SSLContext | None
    _port: int
    attempts: int = 0
    # Behind TLS, and as it stands on the wire.
    said: bytes = b""
    wire: bytes = b""
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, self._port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Without a shutdown the thread that waits in accept would keep the port.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(10)
        with contextlib.suppress(OSError, ssl.SSLError), plain:
            if self.context is None:
                # As a broker without TLS would.
                plain.sendall(b"\x20\x02\x00\x00")
                while more := plain.recv(65_536):
                    self.wire += more
            else:
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                secured = self.context.wrap_bio(incoming, outgoing, server_side=True)
                self._speak(plain, secured, incoming, outgoing)
        self.attempts += 1

    def _speak(self, plain: socket.socket, secured: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        is_through = False
        while True:
            try:
                if is_through:
                    self.said += secured.read(65_536)
                else:
                    secured.do_handshake()
                    is_through = True
            except ssl.SSLWantReadError:
                pass
            finally:
                if outgoing.pending:
                    plain.sendall(outgoing.read())
            if not incoming.pending:
                more = plain.recv(65_536)
                if not more:
                    return
                self.wire += more
                incoming.write(more)


def server(identity: Identity, oldest: bool = False) -> ssl.SSLContext:
    """TLS as a server; `oldest`: none that is newer than 1.1."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(identity.cert, identity.key)
    if oldest:
        with warnings.catch_warnings(action="ignore"):
            made.set_ciphers("ALL:@SECLEVEL=0")
            made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return made


def contexts(scene: Scene, folder: Path) -> dict[str, ssl.SSLContext | None]:
    """Those that must not be believed."""
    folder.mkdir()
    ours, other = Authority.of(scene.certificates.folder), Authority.make("another authority")
    hour = datetime.timedelta(hours=1)
    false = {
        "another authority": other.issue(folder, HOST, SERVER, file="other"),
        "another name": ours.issue(folder, "elsewhere.example", SERVER, file="elsewhere"),
        "another address": ours.issue(folder, "127.0.0.2", SERVER, file="address"),
        "expired": ours.issue(folder, HOST, SERVER, begins=-30 * DAY, ends=-hour, file="expired"),
        "not yet valid": ours.issue(folder, HOST, SERVER, begins=hour, file="future"),
        "a client's certificate": ours.issue(folder, HOST, CLIENT, file="client"),
    }
    made: dict[str, ssl.SSLContext | None] = {name: server(identity) for name, identity in false.items()}
    made["TLS 1.1"] = server(scene.certificates.broker, oldest=True)
    made["no TLS"] = None
    return made if is_full() else {name: made[name] for name in SHORT}


@pytest.mark.parametrize("kind", ["mqtt", "http"])
def test_nothing_is_said_to_a_false_server(scene_without_upstream: Scene, tmp_path: Path, figures: Figures, kind: str) -> None:
    scene = scene_without_upstream
    false = contexts(scene, tmp_path / "false")
    port = free_port()
    for name, secret in {"token": "token-secret", "password": "password-secret"}.items():
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    common = {"ca": str(scene.certificates.ca), "cert": str(scene.certificates.gateway.cert), "key": str(scene.certificates.gateway.key)}
    uplink = {
        "mqtt": {"url": f"mqtts://{HOST}:{port}", "prefix": PREFIX, "username": "verge", "password_file": str(tmp_path / "password")},
        "http": {"kind": "http", "url": f"https://{HOST}:{port}/verge", "token_file": str(tmp_path / "token"), "timeout": "2s"},
    }[kind]
    judge = {"high": threshold(["pump"], above=0, update_every="0s", lane="alarm")}
    gateway = scene.gateway({"pump": number_source("pump/+/pressure")}, judge, centre=uplink | common)
    device = scene.device()
    attempts, leaked = {}, 0
    for name, context in false.items():
        # Each has a listener of its own, so that a connection to the one before is not counted for it.
        upstream = Listening(context, port)
        # A start does not wait for the pauses that attempts before have made longer.
        scene.start(gateway)
        device.publish("pump/pump-secret/pressure", "1")
        device.flush()
        wait_for(lambda: upstream.attempts >= ATTEMPTS, f"{name}: attempts", 90)
        gateway.kill()
        upstream.close()
        attempts[name], leaked = upstream.attempts, leaked + len(upstream.said)
        assert upstream.said == b"", f"{name}: {upstream.said[:200]!r}"
        assert upstream.wire, f"{name}: the gateway has begun a handshake"
        for spoken in SPOKEN:
            assert spoken not in upstream.wire, f"{name}: {spoken!r}"
    # The true one: then something is said, so that silence before means something.
    upstream = Listening(server(scene.certificates.broker), port)
    scene.start(gateway)
    expected = b"password-secret" if kind == "mqtt" else b"/verge"
    wait_for(lambda: expected in upstream.said, "the true one is spoken to", 30)
    gateway.kill()
    upstream.close()
    figures.note("S4", kind=kind, false=len(false), attempts=attempts, bytes_that_left=leaked)
