"""The tests' own tools, against answers worked out by hand."""

import io
import json
import struct
import tomllib
from dataclasses import replace
from pathlib import Path

import cbor2
import lz4.block
import pytest
from PIL import Image

from cameras import header_bomb
from cbor_items import Malformed, array_items, end_of_item, map_items
from gateway import to_toml
from ledger import Ledger
from oracle import Alarm, Limits
from pictures import Picture, Truth
from scoring import Box, Seen, accuracy, average_precision, overlap, union
from wire import decode

EPOCH = bytes(range(16))
EVENT = bytes(range(16, 32))

# {0: 7, 1: "j", 2: "s", 3: "d", 5: 1000, 6: 4, 9: 0, 10: 1, 11: {0: EVENT, 1: 0, 2: -250, 3: 250}, 20: {0: 0, 1: 8.5, 3: 7.0}}
STORED = bytes.fromhex(
    "aa 00 07 01 61 6a 02 61 73 03 61 64 05 19 03e8 06 04 09 00 0a 01"
    "0b a4 00 50" + EVENT.hex() + "01 00 02 38 f9 03 18 fa"
    "14 a3 00 00 01 f9 4840 03 f9 4700"
)
# {0: 1, 1: "g", 2: EPOCH, 3: 0, 4: 1010, 5: [STORED]}
MESSAGE = bytes.fromhex("a6 00 01 01 61 67 02 50" + EPOCH.hex() + "03 00 04 19 03f2 05 81") + STORED

TWIN = """{"v":1,"gateway":"g","epoch":"000102030405060708090a0b0c0d0e0f","lane":"alarm","sent":"1970-01-01T00:00:01.010Z","age_ms":6,
"verdicts":[{"seq":7,"judge":"j","source":"s","device":"d","received":"1970-01-01T00:00:01.000Z",
"decided":"1970-01-01T00:00:01.004Z","age_ms":4,"detector":"threshold","severity":"warning","event":{
"id":"101112131415161718191a1b1c1d1e1f","state":"raised","since":"1970-01-01T00:00:00.750Z","lasted_s":0.25},
"kind":"anomaly","anomaly":{"member":"high","observed":8.5,"expected":{"high":7}}}]}""".encode()


def test_a_message_is_read_in_each_form() -> None:
    plain = decode(b"\x00" + MESSAGE)
    packed = decode(b"\x01" + struct.pack("<I", len(MESSAGE)) + lz4.block.compress(MESSAGE, store_size=False))
    assert (plain.form, packed.form, decode(TWIN).form) == ("cbor", "cbor+lz4", "json")
    for message in (plain, packed, decode(TWIN)):
        assert (message.gateway, message.epoch, message.lane, message.sent) == ("g", EPOCH.hex(), "alarm", 1010)
        (verdict,) = message.verdicts
        assert verdict.seq == 7
        fields = verdict.fields
        assert (fields["judge"], fields["source"], fields["device"], fields["signal"]) == ("j", "s", "d", None)
        assert (fields["received"], fields["decided"], fields["captured"], fields["clock"]) == (1000, 1004, None, None)
        assert (fields["detector"], fields["severity"], fields["kind"]) == ("threshold", "warning", "anomaly")
        later = {"number": None, "suspended": False, "change": None, "group": None, "learning": False}
        later |= {"acknowledged": None, "shelved": None}
        assert fields["event"] == {"id": EVENT.hex(), "state": "raised", "since": 750, "lasted_ms": 250} | later
        expected = {"low": None, "high": 7.0}
        body = {"member": "high", "observed": 8.5, "expected": expected, "p_value": None, "unit": None}
        body |= {"contributions": [], "feedback": [0, 0]}
        body |= {"distance": None, "usual": {"low": None, "high": None}, "value": None, "value_unit": None}
        body |= {"regions": None}
        assert fields["anomaly"] == body
    assert plain.verdicts[0].raw == STORED


@pytest.mark.parametrize("change", [{99: 1}, {22: {0: 4, 1: 1.0}}, {3: None}], ids=["unknown key", "two bodies", "no device"])
def test_a_malformed_verdict_is_not_taken(change: dict) -> None:
    verdict = {key: value for key, value in (cbor2.loads(STORED) | change).items() if value is not None}
    message = cbor2.loads(MESSAGE) | {5: [verdict]}
    with pytest.raises((KeyError, ValueError)):
        decode(b"\x00" + cbor2.dumps(message, canonical=True))


def test_views_of_frames_are_read_in_both_forms() -> None:
    head = {0: 7, 1: "j", 2: "s", 3: "d", 5: 1000, 6: 4, 9: 5, 10: 0, 12: ["m", "1"]}
    stored = head | {24: {0: 640, 1: 480, 2: [["car", 875, 1, 2, 30, 40], ["bus", 500, 5, 6, 7, 8, 99]]}}
    cbor = decode(b"\x00" + cbor2.dumps(cbor2.loads(MESSAGE) | {5: [stored]}, canonical=True))
    document = json.loads(TWIN)
    (twin,) = document["verdicts"]
    for key in ("event", "anomaly"):
        del twin[key]
    car = {"label": "car", "score": 0.875, "x": 1, "y": 2, "width": 30, "height": 40}
    bus = {"label": "bus", "score": 0.5, "x": 5, "y": 6, "width": 7, "height": 8, "track": 99}
    detections = {"width": 640, "height": 480, "objects": [car, bus]}
    twin |= {"detector": "detect", "severity": "info", "kind": "detections", "detections": detections}
    twin["model"] = {"name": "m", "version": "1"}
    assert decode(json.dumps(document).encode()).verdicts[0].fields == cbor.verdicts[0].fields
    assert cbor.verdicts[0].fields["detections"]["objects"][0] == car | {"score": 875, "track": None}


def test_scores_of_a_picture_worked_out_by_hand() -> None:
    truth = Truth(1, 0.5, 0.5, 0.2, 0.2)
    picture = Picture(Path("p.jpg"), (truth, replace(truth, x=0.2)))
    hit, miss = Box(1, 0.9, 40, 40, 20, 20), Box(1, 0.8, 70, 70, 20, 20)
    # One of two objects found, above everything that is wrong: precision 1 up to a recall of one half, then 0.
    found = average_precision([Seen(picture, 100, 100, [hit, miss])])
    assert tuple(found) == pytest.approx((51 / 101, 51 / 101))
    shifted = hit._replace(label=2, left=42, score=0.5)
    assert overlap(hit, shifted) == pytest.approx(18 / 22)
    assert union([shifted, hit, miss], {1, 2}) == [hit._replace(label=0), miss._replace(label=0)]
    assert union([hit, miss], {2}) == []
    assert accuracy([("a", ["a", "b"]), ("a", ["b", "a"]), ("c", ["a", "b"])]) == (1 / 3, 2 / 3)


def test_a_header_bomb_announces_what_it_should() -> None:
    out = io.BytesIO()
    Image.new("RGB", (20, 10)).save(out, "JPEG")
    bomb = header_bomb(out.getvalue(), 300, 200)
    assert len(bomb) == len(out.getvalue())
    assert Image.open(io.BytesIO(bomb)).size == (300, 200)


@pytest.mark.parametrize("value", [0, 23, 24, -500, 2**40, "text" * 90, b"", [1, [2, "x"]], {1: {2: 3}}, 1.5, None, True])
def test_items_end_where_a_foreign_encoder_ended_them(value: object) -> None:
    item = cbor2.dumps(value)
    assert end_of_item(item + b"\x00", 0) == len(item)
    assert array_items(cbor2.dumps([value, value])) == [item, item]
    assert map_items(cbor2.dumps({1: value})) == [(b"\x01", item)]


@pytest.mark.parametrize("data", ["", "19", "62 61", "81", "9f 01 ff", "a1 01", "a1 01 02 03"])
def test_broken_items_are_refused(data: str) -> None:
    with pytest.raises(Malformed):
        map_items(bytes.fromhex(data)) if data.startswith("a") else end_of_item(bytes.fromhex(data), 0)


@pytest.mark.parametrize(
    ("limits", "values", "expected"),
    [
        (Limits(above=5), [5, 6, 7, 5, 6], [("high", "raised", 6), ("high", "cleared", 5), ("high", "raised", 6)]),
        (Limits(above=5, clear_below=3), [6, 4, 6, 3], [("high", "raised", 6), ("high", "cleared", 3)]),
        (Limits(below=2, clear_above=4), [2, 1, 3, 4], [("low", "raised", 1), ("low", "cleared", 4)]),
        (
            Limits(above=5, below=2),
            [6, 1, 6],
            [
                ("high", "raised", 6),
                ("high", "cleared", 1),
                ("low", "raised", 1),
                ("high", "raised", 6),
                ("low", "cleared", 6),
            ],
        ),
    ],
)
def test_the_oracle(limits: Limits, values: list[float], expected: list[tuple]) -> None:
    assert limits.alarms(values) == [Alarm(*alarm) for alarm in expected]


def test_the_ledger_tells_duplicates_gaps_and_contradictions() -> None:
    ledger = Ledger()
    message = decode(b"\x00" + MESSAGE)
    ledger.note(message)
    ledger.note(message)
    assert (len(ledger.verdicts), ledger.duplicates, ledger.contradictions) == (1, 1, [])
    assert ledger.gaps() == {("g", EPOCH.hex(), "alarm"): [1, 2, 3, 4, 5, 6]}
    ledger.note(decode(b"\x00" + MESSAGE.replace(b"\xf9\x48\x40", b"\xf9\x48\x41")))
    assert [identity.seq for identity in ledger.contradictions] == [7]


def test_settings_are_written_as_toml() -> None:
    settings = {
        "gateway": {"id": "g"},
        "source": {"a b": {"topic": "x/+", "words": {"RUN": 1.0}, "reading": [{"pointer": "/v"}, {"pointer": "/w"}]}},
        "judge": {"j": {"inputs": ["a b"], "above": 1.5, "retained": True}},
    }
    assert tomllib.loads(to_toml(settings)) == settings
