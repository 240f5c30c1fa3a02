"""What goes out, read by programs that know it from its documentation alone."""

import json
import runpy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import cbor2
import pytest
from zcbor import DataTranslator

import pictures
from certificates import Certificates
from clients import Receiver
from ledger import Identity, Ledger
from models import Models
from programs import REPOSITORY
from scene import Scene, frame_source, looking, number_source, threshold
from waiting import wait_for
from wire import REASONS, Message, decode, unwrap

SCHEMA = REPOSITORY / "docs" / "verdict.cddl"
MANUAL = REPOSITORY / "docs" / "verdict.md"
READINGS = 200
# Every kind of verdict there is, so that the schema is tried in all its parts.
KINDS = {"anomaly", "counts", "health", "classification", "detections"}
DETECTOR, CLASSIFIER = "yolox_nano", "mobilenet_v1_0.25_128_quant"
FRAMES = 12


class Schema:
    """docs/verdict.cddl in the hands of zcbor, a reader of CDDL by other authors."""

    def __init__(self, path: Path):
        types = DataTranslator.from_cddl(cddl_string=path.read_text(), default_max_qty=10_000).my_types
        self._message = types["message"]

    def accepts(self, cbor: bytes) -> bool:
        """Whether a message follows the schema."""
        try:
            self._message.validate_str(cbor)
        except Exception:  # noqa: BLE001: zcbor's errors have no common ancestor
            return False
        return True

    def check(self, cbor: bytes) -> None:
        """Fails with zcbor's words if it does not."""
        self._message.validate_str(cbor)


@dataclass
class Captured:
    """The same verdicts, as they arrived in both forms."""

    cbor: Receiver
    json: Receiver


@pytest.fixture(scope="module")
def captured(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, models: Models
) -> Iterator[Captured]:
    """One gateway with every detector and two uplinks, one of each form."""
    scene = Scene(tmp_path_factory.mktemp("wire"), certificates)
    try:
        scene.open()
        yield capture(scene, models)
    finally:
        print(scene.logs())
        scene.close()


def capture(scene: Scene, models: Models) -> Captured:
    """Runs the scene."""
    sources = {
        "pump": number_source("plant/+/vibration", "vibration", unit="mm/s"),
        "loops": {
            "topic": "road/+/state",
            "codec": "json",
            "device": "topic:1",
            "time": {"pointer": "/ts", "format": "rfc3339"},
            "reading": [
                {"pointer": "/count"},
                {"pointer": "/occupancy", "unit": "%"},
                {"pointer": "/speed", "unit": "km/h"},
            ],
        },
    }
    judges = {
        "high": threshold(["pump"], above=7.1, clear_below=6.5, severity="critical"),
        "every": threshold(["pump"], above=0, update_every="0s", severity="info"),
        "both": threshold(["pump"], above=7.1, below=0.1, lane="verdict"),
        "rise": {"inputs": ["pump"], "detector": "rate", "rise_above": 1.0, "fall_above": 1.0, "window": "1s"},
        "silent": {"inputs": ["pump"], "detector": "silence", "after": "1s"},
        "traffic": {
            "inputs": ["loops"],
            "detector": "loop",
            "interval": "1s",
            "max_gap": "1s",
            "pulses": "count",
            "occupancy": "occupancy",
            "occupancy_unit": "percent",
            "speed": "speed",
        },
    }
    sources["cameras"] = frame_source("street/+/frame")
    judges["objects"] = looking(["cameras"], "detect", DETECTOR)
    judges["parts"] = looking(["cameras"], "classify", CLASSIFIER, severity="warning")
    cards = {name: {"file": str(models.real(name))} for name in (DETECTOR, CLASSIFIER)}
    uplinks = {"centre": scene.uplink(), "people": scene.uplink(prefix="people", format="json")}
    cbor = scene.receiver()
    twin = scene.receiver("people", "people")
    gateway = scene.start(scene.gateway(sources, judges, model=cards, **uplinks))
    device = scene.device()
    for picture in pictures.spread(pictures.traffic(), FRAMES):
        device.publish(f"street/{picture.name}/frame", picture.path.read_bytes())
    for number in range(READINGS):
        device.publish("plant/pump-1/vibration", f"{number % 20 / 2}")
        device.publish("road/loop-1/state", {"ts": "2026-01-02T03:04:05.678Z", "count": 1, "occupancy": 12.5, "speed": 47})
    device.flush()
    kinds = lambda: Counter(verdict.fields["kind"] for verdict in cbor.ledger().in_order())
    wait_for(lambda: KINDS <= kinds().keys(), "every kind of verdict")
    wait_for(lambda: kinds()["classification"] + kinds()["detections"] == 2 * FRAMES, "every frame judged")
    complete = lambda: len(twin.ledger().verdicts) == len(cbor.ledger().verdicts)
    wait_for(complete, "the twin complete")
    assert gateway.stop() == 0
    for receiver in (cbor, twin):
        receiver.wait_for_status("stopped")
    wait_for(complete, "the twin complete at the end")
    return Captured(cbor, twin)


def payloads(receiver: Receiver) -> list[bytes]:
    """Every verdict message as it arrived."""
    return [arrival.payload for arrival in receiver.arrivals if arrival.channel != "status"]


def test_every_message_follows_the_schema(captured: Captured) -> None:
    schema = Schema(SCHEMA)
    for payload in payloads(captured.cbor):
        schema.check(unwrap(payload)[0])


def test_both_packed_and_plain_messages_were_among_them(captured: Captured) -> None:
    messages = [decode(payload) for payload in payloads(captured.cbor)]
    assert {message.form for message in messages} == {"cbor", "cbor+lz4"}
    assert {message.lane for message in messages} >= {"alarm", "verdict"}
    assert max(len(message.verdicts) for message in messages) == 20, "batches of the default size"
    for payload in payloads(captured.cbor):
        body, form = unwrap(payload)
        if form == "cbor+lz4":
            assert len(body) >= 256, "small messages are not packed"
            assert len(payload) < 0.95 * len(body) + 5, "packed only where it helps"


def test_the_schema_refuses_what_is_wrong(captured: Captured) -> None:
    """The check has teeth: each change makes zcbor refuse a message that it accepted."""
    schema = Schema(SCHEMA)
    anomaly = next(p for p in payloads(captured.cbor) if decode(p).verdicts[0].fields["kind"] == "anomaly")
    good = unwrap(anomaly)[0]
    assert schema.accepts(good)

    def changed(change) -> bytes:
        message = cbor2.loads(good)
        change(message)
        return cbor2.dumps(message)

    assert schema.accepts(changed(lambda message: None)), "encoded again, unchanged"
    changes = {
        "unknown version": lambda message: message.update({0: 2}),
        "neither verdicts nor tombstones": lambda message: message.pop(5),
        "no age": lambda message: message.pop(6),
        "a number in a volatile message": lambda message: message.update({7: True}),
        "no number": lambda message: message[5][0].update({0: 0}),
        "short epoch": lambda message: message.update({2: b"short"}),
        "unknown lane": lambda message: message.update({3: 9}),
        "unknown key": lambda message: message.update({99: 1}),
        "unknown key in a verdict": lambda message: message[5][0].update({99: 1}),
        "no device": lambda message: message[5][0].pop(3),
        "unknown severity": lambda message: message[5][0].update({10: 3}),
        "no body": lambda message: message[5][0].pop(20),
        "two bodies": lambda message: message[5][0].update({22: {0: 4, 1: 1.0}}),
        "text observed": lambda message: message[5][0][20].update({1: "8"}),
    }
    accepted = [what for what, change in changes.items() if schema.accepts(changed(change))]
    assert not accepted

    def without_a_number(message: dict) -> None:
        message.update({7: True})
        message[5][0].update({0: 0})

    assert schema.accepts(changed(without_a_number)), "a volatile alarm"
    assert schema.accepts(changed(lambda message: message.update({5: []}))), "sent to see whether it arrives"


def examples_of_the_manual() -> list[tuple[bytes, bytes]]:
    """The examples of docs/verdict.md in both forms; the Rust tests hold them to what Verge writes."""
    section = MANUAL.read_text().split("## The JSON twin")[1].split("\n## ")[0]
    blocks = ["".join(line.strip() for line in block.splitlines()) for block in section.split("\n\n") if block.startswith("    ")]
    return [(text.encode(), bytes.fromhex(digits)) for text, digits in zip(blocks[::2], blocks[1::2], strict=True)]


def test_the_examples_of_the_manual_say_the_same() -> None:
    schema = Schema(SCHEMA)
    for twin, cbor in examples_of_the_manual():
        schema.check(unwrap(cbor)[0])
        read, reported = decode(cbor), decode(twin)
        assert [v.fields for v in read.verdicts] == [v.fields for v in reported.verdicts]
        assert replace(read, verdicts=[], form="") == replace(reported, verdicts=[], form="")


def test_the_schema_refuses_wrong_tombstones() -> None:
    schema = Schema(SCHEMA)
    (_, _), (_, cbor) = examples_of_the_manual()

    def changed(change) -> bytes:
        message = cbor2.loads(unwrap(cbor)[0])
        change(message, message[8][0], message[8][0][4][0])
        return cbor2.dumps(message)

    right = {
        "unchanged": lambda message, stone, entry: None,
        "no summary": lambda message, stone, entry: stone.pop(4),
        "the device as a whole": lambda message, stone, entry: entry.pop(2),
        "several devices": lambda message, stone, entry: [entry.pop(key) for key in (1, 2, 6, 7)],
    }
    refused = [what for what, change in right.items() if not schema.accepts(changed(change))]
    assert not refused
    wrong = {
        "no tombstone": lambda message, stone, entry: message.update({8: []}),
        "number 0": lambda message, stone, entry: stone.update({0: 0}),
        "unknown reason": lambda message, stone, entry: stone.update({2: len(REASONS)}),
        "no time": lambda message, stone, entry: stone.pop(3),
        "empty summary": lambda message, stone, entry: stone.update({4: []}),
        "a signal of no device": lambda message, stone, entry: entry.pop(1),
        "one limit": lambda message, stone, entry: entry.pop(7),
        "none counted": lambda message, stone, entry: entry.update({3: 0}),
        "unknown key": lambda message, stone, entry: stone.update({99: 1}),
    }
    accepted = [what for what, change in wrong.items() if schema.accepts(changed(change))]
    assert not accepted


def test_books_take_tombstones_for_what_they_are() -> None:
    (_, alarm), (_, gone) = examples_of_the_manual()
    stone = decode(gone)
    ledger = Ledger()
    ledger.note(stone)
    key = (stone.gateway, stone.epoch, stone.lane)
    assert ledger.gaps() == {key: list(range(1, 101))}, "settled from 101 to 103"
    ledger.note(replace(stone, tombstones=[replace(stone.tombstones[0], first=1, last=100, reason="earlier_epoch")]))
    ledger.note(stone)
    ledger.assert_sound()
    assert ledger.withdrawn(Identity(*key, 103)) and not ledger.withdrawn(Identity(*key, 104))
    first = decode(alarm)
    ledger.note(replace(first, volatile=True, verdicts=[replace(first.verdicts[0], seq=0)]))
    ledger.assert_sound()
    assert len(ledger.volatile) == 1 and not ledger.verdicts


def test_the_example_receiver_tells_what_will_not_come(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(REPOSITORY / "examples" / "receiver.py"))
    (_, alarm), (_, gone) = examples_of_the_manual()
    unnumbered = cbor2.loads(alarm[1:])
    unnumbered.update({7: True})
    unnumbered[5][0].update({0: 0})
    receiver = example["Receiver"]()
    for payload in (b"\0" + cbor2.dumps(unnumbered), alarm, gone, gone, alarm):
        receiver.take(None, None, SimpleNamespace(payload=payload))
    assert capsys.readouterr().out.splitlines() == [
        "pump-room-1 alarm volatile pump-1 vibration: high raised, 8.27 mm/s",
        "pump-room-1 alarm 17 pump-1 vibration: high raised, 8.27 mm/s",
        "pump-room-1 verdict 101 to 103 withdrawn: expired",
    ]


def test_the_json_twin_says_the_same(captured: Captured) -> None:
    cbor, twin = captured.cbor.ledger(), captured.json.ledger()
    cbor.assert_sound()
    twin.assert_sound()
    assert cbor.verdicts.keys() == twin.verdicts.keys()
    for identity, verdict in cbor.verdicts.items():
        assert twin.verdicts[identity].fields == verdict.fields, identity


def test_the_json_twin_is_plain_json(captured: Captured) -> None:
    for payload in payloads(captured.json):
        document = json.loads(payload, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
        assert document["v"] == 1


def test_events_begin_and_end_under_one_identity(captured: Captured) -> None:
    reported: dict[str, list[str]] = {}
    for verdict in captured.cbor.ledger().in_order("alarm"):
        event = verdict.fields["event"]
        if event and verdict.fields["judge"] == "high":
            reported.setdefault(event["id"], []).append(event["state"])
    assert reported
    complete, last = list(reported.values())[:-1], list(reported.values())[-1]
    assert all(states == ["raised", "cleared"] for states in complete)
    assert last[0] == "raised"


def test_views_of_frames_name_what_they_saw(captured: Captured) -> None:
    seen = [v.fields for v in captured.cbor.ledger().in_order() if v.fields["source"] == "cameras"]
    assert len(seen) == 2 * FRAMES
    for fields in seen:
        assert fields["event"] is None and fields["model"]["name"] in (DETECTOR, CLASSIFIER)
        if fields["kind"] == "classification":
            scores = [one["score"] for one in fields["classification"]["labels"]]
            assert scores == sorted(scores, reverse=True) and len(scores) == 5
            continue
        body = fields["detections"]
        assert (body["width"], body["height"]) == (640, 640)
        for one in body["objects"]:
            assert 250 <= one["score"] <= 1000, "from the card's threshold on"
            assert one["width"] >= 1 and one["x"] + one["width"] <= body["width"]
            assert one["height"] >= 1 and one["y"] + one["height"] <= body["height"]


def test_counts_say_how_much_they_saw(captured: Captured) -> None:
    counts = [v.fields["counts"] for v in captured.cbor.ledger().in_order() if v.fields["kind"] == "counts"]
    assert counts
    for body in counts:
        assert body["from"] % body["length_ms"] == 0, "aligned to the clock"
        assert 0 <= body["observed_ms"] <= body["length_ms"] == 1000
        assert body["occupancy"] is None or 0 <= body["occupancy"] <= 1


def test_messages_name_the_gateway_and_the_time(captured: Captured) -> None:
    messages: list[Message] = captured.cbor.messages()
    assert {message.gateway for message in messages} == {"interop-1"}
    assert len({message.epoch for message in messages}) == 1
    for message in messages:
        assert all(message.sent >= verdict.fields["decided"] for verdict in message.verdicts)
