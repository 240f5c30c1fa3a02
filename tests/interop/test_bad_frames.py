"""Bad frames on a live gateway are counted by their reason; good frames and readings beside them go on."""

import base64
import io
import json
import random
from collections import Counter
from dataclasses import dataclass

import pytest
from PIL import Image

import pictures
from cameras import esp32, header_bomb, lz4_packed
from clients import Receiver
from gateway import Gateway, Settings
from models import Models
from scene import Scene, frame_source, looking, number_source, threshold
from waiting import wait_for

# Small and quick: what the model says does not matter here.
MODEL = "mobilenet_v1_0.25_128_quant"
MAX_PAYLOAD = 256 * 1024
MAX_FRAME = 2 * 1024 * 1024
PACKETS = (MAX_FRAME - 64, MAX_FRAME + 1, MAX_FRAME * 3 // 2, MAX_FRAME * 3)
SEED = 20261126


def sources() -> Settings:
    """One source of each codec, on <source>/<camera>."""
    jpeg = frame_source("jpeg/+/frame", max_payload="256 KiB")
    return {
        "jpeg": jpeg,
        "text": jpeg | {"topic": "text/+/frame", "codec": "jpeg_b64"},
        "packed": jpeg | {"topic": "packed/+/frame", "compression": "lz4"},
        "json": jpeg | {"topic": "json/+/frame", "codec": "json_image", "image": "/image", "device": "pointer:/device"},
        "newest": jpeg | {"topic": "newest/+/frame", "frames": "newest"},
        "pump": number_source("pump/+/vibration"),
    }


def watching(scene: Scene, models: Models, receiver_id: str = "receiver") -> tuple[Gateway, Receiver]:
    """A gateway that makes a verdict of each good frame and of each reading."""
    frames = [name for name in sources() if name != "pump"]
    judges = {"parts": looking(frames, "classify", MODEL), "high": threshold(["pump"], above=0, update_every="0s")}
    receiver = scene.receiver(client_id=receiver_id)
    gateway = scene.gateway(sources(), judges, model={MODEL: {"file": str(models.real(MODEL))}})
    return scene.start(gateway), receiver


def a_jpeg() -> bytes:
    """A real one: large enough to be cut in many places."""
    return min((picture.path.read_bytes() for picture in pictures.traffic()[:20]), key=len)


def damaged(jpeg: bytes) -> dict[str, list[tuple[bytes, str]]]:
    """Per source: what is sent there, and the reason it must be refused for."""
    scan = jpeg.index(b"\xff\xda")
    noise = random.Random(SEED)
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    text = base64.b64encode(jpeg)
    document = json.loads(esp32(jpeg, "porch", 640, 640))

    def changed(**changes: object) -> bytes:
        return json.dumps({key: value for key, value in (document | changes).items() if value is not None}).encode()

    cuts = (3, 20, scan // 2, scan + 4, scan + 100, len(jpeg) // 2, len(jpeg) - 2)
    return {
        "jpeg": [
            (b"", "empty"),
            *((jpeg[:cut], "bad_jpeg") for cut in cuts),
            (jpeg[1:], "bad_jpeg"),
            (noise.randbytes(20_000), "bad_jpeg"),
            (b"\xff\xd8\xff" + noise.randbytes(20_000), "bad_jpeg"),
            (png.getvalue(), "bad_jpeg"),
            (header_bomb(jpeg, 65_500, 65_500), "too_many_pixels"),
            (header_bomb(jpeg, 4097, 4096), "too_many_pixels"),
            (header_bomb(jpeg, 0, 640), "bad_jpeg"),
            (jpeg + bytes(MAX_PAYLOAD), "too_large"),
        ],
        "text": [
            (b"", "empty"),
            (b"no base64!", "bad_base64"),
            (text[:-3] + b"\x00\x00\x00", "bad_base64"),
            (text[: len(text) // 2 // 4 * 4], "bad_jpeg"),
            (b"data:image/png;base64," + base64.b64encode(png.getvalue()), "unsupported_image"),
            (b"data:image/jpeg," + text, "bad_base64"),
            (jpeg, "bad_base64"),
        ],
        "packed": [
            (b"", "empty"),
            (jpeg, "lz4_too_large"),
            (lz4_packed(jpeg)[:-7], "bad_lz4"),
            (lz4_packed(bytes(MAX_PAYLOAD + 1)), "lz4_too_large"),
            (b"\xff\xff\xff\x7f" + lz4_packed(jpeg)[4:], "lz4_too_large"),
            (lz4_packed(jpeg[:1000]), "bad_jpeg"),
        ],
        "json": [
            (b"", "empty"),
            (b"{", "bad_json"),
            (b"\xff\xfe", "not_utf8"),
            (changed(image=None), "missing_field"),
            (changed(device=None), "missing_device"),
            (changed(device="a\x00b"), "bad_name"),
            (changed(image=5), "bad_base64"),
            (changed(image="no base64!"), "bad_base64"),
            (changed(image=base64.b64encode(jpeg[:500]).decode()), "bad_jpeg"),
        ],
        "newest": [(b"", "empty"), (jpeg[:-2], "bad_jpeg"), (header_bomb(jpeg, 65_500, 65_500), "too_many_pixels")],
    }


def good(source: str, jpeg: bytes) -> bytes:
    """A good frame in the form of a source."""
    forms = {"text": base64.b64encode(jpeg), "packed": lz4_packed(jpeg), "json": esp32(jpeg, "porch", 640, 640)}
    return forms.get(source, jpeg)


@dataclass
class Books:
    """The accounts of the last status document."""

    status: dict
    sources: dict[str, dict]

    @classmethod
    def closed(cls, gateway: Gateway, receiver: Receiver, *, waiting: bool = False) -> "Books":
        """Of a gateway that is stopped now, while frames may still be `waiting`; its log may tell of no panic."""
        log = gateway.folder / "gateway.log"
        assert gateway.stop() == 0
        assert "panicked" not in log.read_text()
        status = receiver.wait_for_status("stopped")
        books = cls(status, {source["name"]: source for source in status["sources"]})
        for name, source in books.sources.items():
            accounted = source["judged"] + source["superseded"] + source["refused"] + source["in_flight"]
            assert source["received"] == accounted, f"the accounts of {name} balance: {source}"
            assert waiting or source["in_flight"] == 0, f"nothing is left of {name}"
        return books

    def reasons(self, source: str) -> Counter[str]:
        """Refusals by reason."""
        return Counter(self.sources[source].get("rejections", {}))


def test_each_refusal_is_counted_by_its_reason(scene: Scene, models: Models) -> None:
    gateway, receiver = watching(scene, models)
    device, jpeg = scene.device(), a_jpeg()
    rows = damaged(jpeg)
    judged = Counter()
    for source, sent in rows.items():
        for number, (payload, _) in enumerate(sent):
            device.publish(f"{source}/bad/frame", payload)
            # Each from a camera of its own, so that of the newest none takes the place of another.
            device.publish(f"{source}/good-{number}/frame", good(source, jpeg))
            device.publish("pump/pump-1/vibration", str(number + 1))
            judged[source] += 1
            judged["pump"] += 1
        device.flush()
        # Fewer than the gateway's queue holds are on their way at a time: none comes twice.
        ledger = receiver.wait_for_verdicts(sum(judged.values()))
    ledger.assert_sound()
    found = Counter(verdict.fields["source"] for verdict in ledger.in_order())
    assert found == judged
    best = {v.fields["classification"]["labels"][0]["label"] for v in ledger.in_order() if v.fields["source"] != "pump"}
    assert len(best) == 1, "the same picture in every form, whatever came before it"

    books = Books.closed(gateway, receiver)
    for source, sent in rows.items():
        expected = Counter(reason for _, reason in sent)
        assert books.reasons(source) == expected, source
        assert books.sources[source]["received"] == 2 * len(sent)
        assert books.sources[source]["judged"] == len(sent)


def test_a_camera_may_change_its_size(scene: Scene, models: Models) -> None:
    gateway, receiver = watching(scene, models)
    device = scene.device()
    sizes = [(640, 480), (64, 48), (1920, 1080), (1, 1), (640, 480), (4096, 16), (16, 4096)]
    for width, height in sizes:
        out = io.BytesIO()
        Image.new("RGB", (width, height), (200, 30, 30)).save(out, "JPEG")
        device.publish("jpeg/ptz/frame", out.getvalue())
    device.flush()
    receiver.wait_for_verdicts(len(sizes)).assert_sound()
    books = Books.closed(gateway, receiver)
    assert (books.sources["jpeg"]["judged"], books.reasons("jpeg")) == (len(sizes), Counter())


def test_a_packet_beyond_every_limit_stops_nothing(scene: Scene, models: Models) -> None:
    """Larger than a source takes, and than `max_frame`."""
    gateway, receiver = watching(scene, models)
    device, jpeg = scene.device(), a_jpeg()
    for number, size in enumerate(PACKETS):
        device.publish("jpeg/huge/frame", jpeg + bytes(size - len(jpeg)))
        device.publish(f"jpeg/good-{number}/frame", jpeg)
    device.flush()
    receiver.wait_for_verdicts(len(PACKETS), seconds=20).assert_sound()
    books = Books.closed(gateway, receiver)
    assert books.sources["jpeg"]["judged"] == len(PACKETS)
    assert books.reasons("jpeg") == Counter(too_large=1)
    # Those beyond `max_frame` are passed over before a source sees them.
    assert books.status["local"]["oversized"] == len(PACKETS) - 1


@pytest.mark.parametrize("source", ["jpeg", "newest"])
def test_flipped_bits_cost_only_their_own_frame(scene: Scene, models: Models, source: str) -> None:
    """Which of them still decode is the decoder's business; that none does harm is ours."""
    gateway, receiver = watching(scene, models)
    device, jpeg = scene.device(), a_jpeg()
    noise = random.Random(SEED)
    frames = 300
    for number in range(frames):
        content = bytearray(jpeg)
        for _ in range(noise.choice((1, 3, 30))):
            content[noise.randrange(len(content))] = noise.randrange(256)
        device.publish(f"{source}/noisy-{number % 7}/frame", bytes(content))
    device.publish(f"{source}/good/frame", jpeg)
    device.publish("pump/pump-1/vibration", "7")
    device.flush()
    reported = lambda: {v.fields["device"] for v in receiver.ledger().in_order()}  # noqa: E731
    wait_for(lambda: {"good", "pump-1"} <= reported(), "the good frame and the reading", 30)
    # The good camera does not wait behind the noisy ones: frames of theirs may wait when it has been judged.
    books = Books.closed(gateway, receiver, waiting=True)
    received = books.sources[source]["received"]
    assert received == frames + 1 if source == "newest" else 0 < received <= frames + 1
    assert set(books.reasons(source)) <= {"bad_jpeg", "unsupported_image", "too_many_pixels"}


def test_random_bytes_are_refused(scene: Scene, models: Models) -> None:
    gateway, receiver = watching(scene, models)
    device, count, noise = scene.device(), 100, random.Random(SEED)
    frames = [source for source in sources() if source != "pump"]
    for number in range(count):
        for source in frames:
            device.publish(f"{source}/noise-{number}/frame", noise.randbytes(noise.randrange(4000)))
    device.publish("jpeg/good/frame", a_jpeg())
    device.flush()
    receiver.wait_for_verdicts(1).assert_sound()
    books = Books.closed(gateway, receiver)
    judged = {source: books.sources[source]["judged"] for source in frames}
    refused = {source: books.sources[source]["refused"] for source in frames}
    assert judged == {source: int(source == "jpeg") for source in frames}
    # Refused at the door: they wait in no queue.
    assert refused == {source: count for source in frames}
