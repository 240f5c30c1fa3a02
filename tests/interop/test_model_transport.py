"""Packages of models from upstream: offered, fetched by MQTT and by HTTP, cut and killed on the way, and lies about them."""

import hashlib
import json
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from certificates import Certificates
from chaos import Chaos
from clients import Device, Receiver
from gateway import Gateway
from life import NAME, Life
from models import Models, sha256
from peers import HOST, Mosquitto
from programs import verge
from scene import GATEWAY_ID, PREFIX, UPLINK, Scene, frame_source, looking
from waiting import wait_for

BAD_INPUT, TEMPORARY = 65, 75
PART = 32 * 1024
PADDING = 6 << 20
FAST = "64 MiB"


@dataclass
class Far:
    """A gateway with a managed model, a broker upstream that it reaches through a proxy, and a publisher."""

    scene: Scene
    life: Life
    broker: Mosquitto
    proxy: Chaos
    gateway: Gateway

    def start(self, **models: object) -> "Far":
        """With these keys of [models]."""
        given = {"trust": [str(self.life.trust("publisher"))], "upstream": True, "rate": FAST}
        self.gateway.settings["models"] = given | models
        self.gateway.start()
        self.receiver().wait_for_status("online", 30)
        return self

    def receiver(self) -> Receiver:
        """Who asks upstream; one for the whole test."""
        if not hasattr(self, "_receiver"):
            self._receiver = self.scene.receiver_at(self.broker)
        return self._receiver

    def command(self, **command: object) -> dict:
        """Asks, and waits for the answer."""
        return self.receiver().command(GATEWAY_ID, seconds=40, every=30, **command)

    def push(self, package: Path, *more: str, wait: float = 120) -> subprocess.CompletedProcess[str]:
        """`verge model push --gateway`, to its end."""
        return subprocess.run(self.pushing(package, *more), capture_output=True, text=True, timeout=wait, check=False)

    def pushing(self, package: Path, *more: str) -> list[str]:
        """The command, at the broker itself."""
        to = [] if "--all" in more else ["--gateway", GATEWAY_ID]
        return [verge(), "--json", "model", "push", str(package), *to, *more, "--url", self.broker.url]

    def offers(self) -> dict:
        """As the newest status has it."""
        return self.receiver().statuses()[-1].get("offers", {})

    def ls(self) -> dict:
        done = self.gateway.run("--json", "model", "ls", "-c", str(self.gateway.configuration))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["models"][0]

    def stored_parts(self) -> list[Path]:
        return sorted((self.gateway.state_dir / "models" / "incoming").glob("*.part"))

    def wanted(self) -> list[dict]:
        """What the gateway has asked for."""
        answers = [json.loads(arrival.payload) for arrival in self.receiver().of("reply")]
        return [answer for answer in answers if answer.get("state") == "wanted"]

    def answers(self, id_: str) -> list[dict]:
        """All answers to a command."""
        found = [json.loads(arrival.payload) for arrival in self.receiver().of("reply")]
        return [answer for answer in found if answer.get("id") == id_]

    def result(self, id_: str) -> dict:
        """What comes of an offer that was taken."""
        found = lambda: [one for one in self.answers(id_) if one.get("state") not in ("receiving", "wanted")]  # noqa: E731
        return wait_for(lambda: (found() or [None])[-1], "a report", 90)

    def published(self) -> int:
        """Bytes of parts that were published."""
        return sum(len(arrival.payload) - 40 for arrival in self.receiver().of("part"))


@pytest.fixture
def far(scene_without_upstream: Scene, models: Models, tmp_path: Path) -> Iterator[Far]:
    assert models.folder
    scene = scene_without_upstream
    life = Life.make(tmp_path / "life")
    broker = scene.other_upstream()
    proxy = Chaos(broker.port)
    uplink = {"url": f"mqtt://{HOST}:{proxy.port}", "insecure_plaintext": True, "prefix": PREFIX}
    judge = looking(["cameras"], "classify", NAME)
    gateway = scene.gateway({"cameras": frame_source("road/+/frame")}, {"seen": judge}, life.section(), **{UPLINK: uplink})
    yield Far(scene, life, broker, proxy, gateway)
    proxy.close()


def test_a_version_comes_as_a_change_is_promoted_and_rolled_back(far: Far) -> None:
    life = far.life
    first, second = life.sign(1, padding=1 << 18), life.sign(2, padding=1 << 18)
    far.start()
    done = far.push(first)
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)["gateways"]
    assert (one["state"], one["delta"], one["bytes"]) == ("staged", False, first.stat().st_size)
    assert far.ls()["candidate"]["version"] == "1" and far.stored_parts() == []
    answer = far.command(command="promote", name=NAME)
    assert answer["ok"] and answer["state"] == "promoted", answer
    assert far.ls()["active"]["version"] == "1"
    weights = sha256(life.folder / "v1" / f"{NAME}.onnx")
    wait_for(lambda: far.offers().get("weights") == [{"model": NAME, "sha256": weights}], "the weights in the status", 90)
    # What changed is offered first; the status shows who has the base.
    done = far.push(second, "--from", str(first), "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)["gateways"]
    assert (one["gateway"], one["state"], one["delta"]) == (GATEWAY_ID, "staged", True)
    answer = far.command(command="promote", name=NAME)
    assert answer["ok"] and far.ls()["active"]["version"] == "2", answer
    answer = far.command(command="rollback", name=NAME)
    assert answer["ok"] and answer["state"] == "rolled_back" and far.ls()["active"]["version"] == "1", answer
    # Nothing upstream has what is asked for.
    done = far.push(second, "--from", str(life.folder / "v2" / f"{NAME}.onnx"), "--all")
    assert done.returncode == 69 and "no gateway" in done.stderr, done.stderr


def test_where_the_base_is_another_the_whole_is_asked_for(far: Far) -> None:
    life = far.life
    first, second = life.sign(1, padding=1 << 18), life.sign(2, padding=1 << 18)
    far.start()
    done = far.push(second, "--from", str(first))
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)["gateways"]
    assert (one["state"], one["delta"], one["bytes"]) == ("staged", False, second.stat().st_size)
    changes = life.folder / "changes.vmodel"
    assert life.verge("model", "delta", str(first), str(second), "-o", str(changes)).returncode == 0
    done = far.push(changes)
    assert done.returncode == BAD_INPUT and "offer the whole package" in done.stdout, done.stdout


def test_twenty_cuts_cost_little(far: Far) -> None:
    package = far.life.sign(1, padding=PADDING)
    far.start(rate="768 KiB")
    sending = subprocess.Popen(far.pushing(package), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    cuts, total = 0, package.stat().st_size
    cut_every = total / 22
    try:
        while sending.poll() is None and cuts < 20:
            if far.published() >= cut_every * (cuts + 1):
                far.proxy.reset_all()
                cuts += 1
            time.sleep(0.01)
        out, said = sending.communicate(timeout=180)
    finally:
        sending.kill()
    assert cuts == 20 and sending.returncode == 0, f"{cuts} cuts: {out}{said}"
    published = far.published()
    twice = published / total - 1
    print(f"\n{cuts} cuts: {total} bytes, {published} published, {100 * twice:.2f} % twice")
    assert 0 <= twice <= 0.05
    assert far.ls()["candidate"]["version"] == "1"
    offers = wait_for(lambda: far.offers().get("parts") and far.offers(), "a status after it", 90)
    assert offers["parts_refused"] * PART <= total * 0.05, offers


def test_killed_on_the_way_it_goes_on_where_it_was(far: Far) -> None:
    package = far.life.sign(1, padding=PADDING)
    far.start(rate="2 MiB")
    sending = subprocess.Popen(far.pushing(package), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    total = package.stat().st_size
    try:
        for share in (0.25, 0.6):
            wait_for(lambda share=share: any(p.stat().st_size >= total * share for p in far.stored_parts()), f"{share} of it", 60)
            far.gateway.kill()
            (part,) = far.stored_parts()
            have = part.stat().st_size
            asked = len(far.wanted())
            far.gateway.start()
            wait_for(lambda asked=asked: len(far.wanted()) > asked, "more is asked for", 60)
            assert far.wanted()[asked]["from"] >= have - have % PART - 8 * PART
        out, said = sending.communicate(timeout=120)
    finally:
        sending.kill()
    assert sending.returncode == 0, out + said
    assert far.published() <= total * 1.1
    assert far.ls()["candidate"]["version"] == "1" and far.stored_parts() == []


def test_a_part_that_is_too_large_does_not_come_for_ever(far: Far) -> None:
    package = far.life.sign(1, padding=PADDING)
    far.start(rate="768 KiB")
    liar = Device(far.broker.listeners[0], "liar")
    sending = subprocess.Popen(far.pushing(package), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    total, large = package.stat().st_size, 2 * PART
    try:
        wait_for(lambda: far.published() >= total / 4, "a quarter of it", 60)
        # Acknowledged by nobody, it stays in the session that the broker keeps for the gateway.
        liar.publish_raw(f"{PREFIX}/{GATEWAY_ID}/cmd/part", bytes(large), qos=1)
        out, said = sending.communicate(timeout=90)
    finally:
        sending.kill()
        liar.close()
    assert sending.returncode == 0, out + said
    # The parts that were on their way come again, and no more.
    twice = far.published() - (large - 40) - total
    print(f"\n{total} bytes, {twice} twice")
    assert twice <= 8 * PART
    assert far.ls()["candidate"]["version"] == "1"


def test_nobody_may_change_models_unless_the_file_says_so(far: Far) -> None:
    package = far.life.sign(1)
    far.start(upstream=False)
    offer = {"command": "offer", "name": NAME, "bytes": 9, "hash": "00" * 32}
    for command in (offer, {"command": "promote", "name": NAME}, {"command": "rollback", "name": NAME}):
        answer = far.command(**command)
        assert not answer["ok"] and "upstream = true below [models]" in answer["error"], answer
    assert far.push(package).returncode == BAD_INPUT
    assert far.ls()["candidate"] is None


def test_offers_that_lie_are_refused_and_counted(far: Far) -> None:
    far.start(cap="16 MiB")
    content = bytes(range(256)) * 400
    digest = hashlib.sha256(content).digest()
    good = {"command": "offer", "name": NAME, "bytes": len(content), "hash": digest.hex()}

    def refused(part: str, **change: object) -> None:
        answer = far.command(**(good | change))
        assert not answer["ok"] and part in answer["error"], answer

    refused("managed are: parts", name="nobody")
    refused("left of [models] cap", bytes=1 << 50)
    refused("whole number", bytes=-1)
    refused("SHA-256", hash="../../etc/passwd")
    refused("are not here", base="11" * 32)
    refused("not below an address", url="http://127.0.0.1:1/x")
    publisher = Device(far.broker.listeners[0], "liar")
    topic = f"{PREFIX}/{GATEWAY_ID}/cmd/part"

    def part(at: int, held: bytes, head: bytes = digest) -> None:
        publisher.publish_raw(topic, head + struct.pack("<Q", at) + held, qos=1)

    # It is no package: the bytes are as offered, and the push refuses it.
    answer = far.command(**good)
    assert answer["ok"] and answer["state"] == "receiving", answer
    wait_for(far.wanted, "something is asked for", 30)
    for length in (0, 5, 39, 40, PART - 1, PART + 1, PART + 1500):
        publisher.publish_raw(topic, (digest + struct.pack("<Q", 0) + content)[:length], qos=1)
    part(7, content[:PART])
    part(1 << 62, content[:PART])
    part(0, content[:PART], bytes(32))
    part(0, content[PART : PART + 100])
    for at in range(0, len(content), PART):
        part(at, content[at : at + PART])
    report = far.result(answer["id"])
    assert not report["ok"] and "no package" in report["error"], report
    # Other bytes than were offered.
    other = "22" * 32
    answer = far.command(**(good | {"hash": other}))
    wait_for(lambda: any(one["hash"] == other for one in far.wanted()), "something of it is asked for", 30)
    for at in range(0, len(content), PART):
        part(at, content[at : at + PART], bytes.fromhex(other))
    report = far.result(answer["id"])
    assert not report["ok"] and "nothing of it is kept" in report["error"], report
    assert far.stored_parts() == [] and far.ls()["candidate"] is None
    # Parts without end, which nobody has asked for.
    for at in range(300):
        part(at * PART, content[:PART], bytes([at % 256] * 32))
    offers = wait_for(lambda: far.offers().get("parts_refused", 0) >= 10 and far.offers(), "refused parts are counted", 90)
    assert offers["refused"] == 6 and offers["packages"][-1]["state"] == "refused", offers
    assert far.gateway.is_running
    publisher.close()


class Files(BaseHTTPRequestHandler):
    """Serves one file with ranges, and may break off."""

    protocol_version = "HTTP/1.1"
    content = b""
    breaks: list[int] = []
    ranges: list[str] = []
    endless = False
    known = True
    # Seconds of a pause, and the bytes that come after each.
    trickle: tuple[float, int] | None = None

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "bytes=0-")
        Files.ranges.append(asked)
        begin = int(asked.removeprefix("bytes=").split("-")[0]) if Files.known else 0
        total = len(Files.content)
        rest = Files.content[begin:]
        self.send_response(206 if Files.known else 200)
        if Files.known:
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        if Files.endless:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if Files.endless:
            for _ in range(1000):
                self.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            return
        if Files.breaks:
            self.wfile.write(rest[: Files.breaks.pop(0)])
            self.wfile.flush()
            # Without it the handler reads the next request, and the other side sees no end.
            self.close_connection = True
            return
        while Files.trickle and rest:
            pause, piece = Files.trickle
            time.sleep(pause)
            self.wfile.write(rest[:piece])
            rest = rest[piece:]
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(content: bytes, certificates: Certificates, **state: object) -> Iterator[str]:
    """The address below which the file is served by TLS."""
    Files.content, Files.ranges, Files.breaks, Files.endless, Files.known, Files.trickle = content, [], [], False, True, None
    for key, value in state.items():
        setattr(Files, key, value)
    server = ThreadingHTTPServer((HOST, 0), Files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.broker.cert, certificates.broker.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://{HOST}:{server.server_address[1]}/models/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_package_comes_by_http_in_ranges(far: Far, certificates: Certificates) -> None:
    package = far.life.sign(1, padding=1 << 20)
    content = package.read_bytes()
    with served(content, certificates, breaks=[300_000, 200_000]) as below:
        far.start(**{"from": [below], "ca": str(certificates.ca)})
        offer = {"command": "offer", "name": NAME, "bytes": len(content), "hash": sha256(package)}
        answer = far.command(**offer, url=f"{below}a.vmodel")
        assert answer["ok"], answer
        wait_for(lambda: far.ls()["candidate"], "the candidate", 90)
        begins = [int(one.removeprefix("bytes=").split("-")[0]) for one in Files.ranges]
        assert begins[0] == 0 and len(begins) == 3 and begins == sorted(set(begins)), begins
        assert far.result(answer["id"])["state"] == "staged"
    assert far.ls()["candidate"]["version"] == "1"


def test_a_web_service_that_lies_is_refused(far: Far, certificates: Certificates) -> None:
    package = far.life.sign(1, padding=1 << 18)
    content = package.read_bytes()
    with served(content, certificates) as below:
        far.start(**{"from": [below], "ca": str(certificates.ca)})

        def refused(part: str, **change: object) -> None:
            offer = {"command": "offer", "name": NAME, "bytes": len(content), "hash": sha256(package), "url": f"{below}a"}
            answer = far.command(**(offer | change))
            if answer["ok"]:
                answer = far.result(answer["id"])
            assert not answer["ok"] and part in answer["error"], answer

        refused("not below an address", url=below.replace("/models/", "/models/../other/a"))
        refused("not below an address", url="https://localhost/models/a")
        refused("were offered", bytes=len(content) + 1)
        refused("nothing of it is kept", hash="33" * 32)
        Files.known = False
        refused("nothing of it is kept", hash="34" * 32)
        Files.endless = True
        refused("more", hash="35" * 32)
        assert far.stored_parts() == [] and far.ls()["candidate"] is None
