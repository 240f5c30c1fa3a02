"""Bad input is counted by its reason, and nothing else stops."""

import json
import time
import struct
from collections import Counter

import lz4.block

from clients import Device, Receiver
from gateway import Gateway, Settings
from scene import Scene, number_source, threshold
from wire import Verdict

GOOD = 50.0
LIMIT = 10.0
MAX_PAYLOAD = 16 * 1024


def lz4_block(text: bytes, claimed: int | None = None) -> bytes:
    """One LZ4 block with its size in front, as a device would send it; the size may be a lie."""
    return struct.pack("<I", len(text) if claimed is None else claimed) + lz4.block.compress(text, store_size=False)


# Per source: what is sent there, and the reason it must be refused for.
REFUSED: dict[str, list[tuple[str | bytes, str]]] = {
    "number": [
        ("NaN", "not_finite"),
        ("inf", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e999", "not_finite"),
        ("", "empty"),
        ("warm", "not_a_number"),
        ("12,5", "not_a_number"),
        ("9007199254740993", "not_exact"),
        (b"\xff\xfe\x00", "not_utf8"),
        ("1" * (MAX_PAYLOAD + 1), "too_large"),
    ],
    "json": [
        ("{", "bad_json"),
        ('{"level": NaN}', "not_finite"),
        ('{"level": "12.5 bar"}', "not_a_number"),
        ('{"level": "12,5"}', "not_a_number"),
        ('{"level": nan}', "not_finite"),
        ('{"level": {"value": 12}}', "not_a_number"),
        ('{"level": null}', "missing_field"),
        ('{"other": 12}', "missing_field"),
        ("[1, 2, 3]", "missing_field"),
        ('{"level": 1e999}', "not_finite"),
        ("[" * 5000, "bad_json"),
    ],
    "packed": [
        (lz4_block(b"0" * 1_000_000), "lz4_too_large"),
        (lz4_block(b"12.5", claimed=0xFFFF_FFFF), "lz4_too_large"),
        (lz4_block(b"12.5", claimed=9), "bad_lz4"),
        (lz4_block(b"12.5" * 50)[:-3], "bad_lz4"),
        (b"\x04\x00", "bad_lz4"),
        (lz4_block(b"NaN"), "not_finite"),
        # Read as a size in front, plain text is far too much.
        ("12.5", "lz4_too_large"),
    ],
    # Without a usable time a reading keeps its place, at the time of its arrival.
    "timed": [
        ('{"level": NaN, "ts": 1}', "not_finite"),
        (json.dumps({"level": GOOD, "ts": "yesterday"}), "bad_time"),
        (json.dumps({"level": GOOD}), "missing_field"),
    ],
    "senml": [
        ("[]", "bad_senml"),
        ('[{"n": "tank:level", "v": "high"}]', "not_a_number"),
        ("{}", "bad_senml"),
        (b"\x81\xa1", "bad_cbor"),
    ],
    "line": [
        ("no fields at all", "bad_line"),
        ("flow,meter=", "bad_line"),
        ("flow value=12.5", "missing_device"),
    ],
}

# Of these, messages that nevertheless gave a reading.
REFUSED_WITH_A_READING = 2

GOOD_PAYLOADS: dict[str, str | bytes] = {
    "number": str(GOOD),
    "json": json.dumps({"level": GOOD}),
    "timed": json.dumps({"level": GOOD, "ts": int(time.time() * 1000)}),
    "packed": lz4_block(str(GOOD).encode()),
    "senml": json.dumps([{"n": "tank:level", "v": GOOD}]),
    "line": f"flow,meter=tank level={GOOD}",
}


def sources() -> Settings:
    """One source of each codec, on bad/<source>/<device>."""
    number = number_source("bad/number/+", device="topic:2", max_payload="16 KiB")
    return {
        "number": number,
        "packed": number | {"topic": "bad/packed/+", "compression": "lz4"},
        "json": {
            "topic": "bad/json/+",
            "codec": "json",
            "device": "topic:2",
            "reading": [{"pointer": "/level"}],
        },
        "timed": {
            "topic": "bad/timed/+",
            "codec": "json",
            "device": "topic:2",
            "time": {"pointer": "/ts", "format": "unix_ms"},
            "reading": [{"pointer": "/level"}],
        },
        "senml": {"topic": "bad/senml/+", "codec": "senml"},
        "line": {"topic": "bad/line/+", "codec": "line", "device": "tag:meter"},
    }


def watching(scene: Scene) -> tuple[Gateway, Receiver]:
    """A gateway that makes a verdict of each good reading."""
    given = sources()
    judge = threshold(list(given), above=LIMIT, update_every="0s")
    receiver = scene.receiver()
    return scene.start(scene.gateway(given, {"any": judge})), receiver


def send(device: Device, source: str, payload: str | bytes) -> None:
    """Sends to a source, from a device of the same name as the one inside the good payloads."""
    device.publish(f"bad/{source}/tank", payload)


def test_each_refusal_is_counted_by_its_reason(scene: Scene) -> None:
    gateway, receiver = watching(scene)
    device = scene.device()
    for source, rows in REFUSED.items():
        for payload, _ in rows:
            send(device, source, payload)
            send(device, source, GOOD_PAYLOADS[source])
    device.flush()

    good = sum(map(len, REFUSED.values())) + REFUSED_WITH_A_READING
    ledger = receiver.wait_for_verdicts(good)
    ledger.assert_sound()
    verdicts: list[Verdict] = ledger.in_order()
    assert [verdict.fields["anomaly"]["observed"] for verdict in verdicts] == [GOOD] * good

    assert gateway.stop() == 0
    for source in receiver.wait_for_status("stopped")["sources"]:
        rows = REFUSED[source["name"]]
        expected = Counter(reason for _, reason in rows)
        assert Counter(source["rejections"]) == expected, source["name"]
        assert source["received"] == 2 * len(rows)
        assert source["judged"] + source["refused"] == source["received"]


def test_topics_that_no_source_takes_are_counted(scene: Scene) -> None:
    """The broker keeps the session of the gateway's client id, with what an older configuration asked for."""
    old = {"old": number_source("old/+/value"), "number": sources()["number"]}
    judge = {"any": threshold(["number"], above=LIMIT, update_every="0s")}
    receiver = scene.receiver()
    first = scene.start(scene.gateway(old, judge))
    assert first.stop() == 0

    device = scene.device()
    for number in range(5):
        device.publish("old/tank/value", str(number))
    device.flush()
    # A source that the session has not asked for yet must be received all the same.
    new = {"number": sources()["number"], "fresh": number_source("fresh/+/value")}
    judge = {"any": threshold(["number", "fresh"], above=LIMIT, update_every="0s")}
    gateway = scene.start(scene.gateway(new, judge))
    send(device, "number", "20")
    device.publish("fresh/tank/value", "30")
    device.flush()

    ledger = receiver.wait_for_verdicts(2)
    assert {verdict.fields["anomaly"]["observed"] for verdict in ledger.in_order()} == {20.0, 30.0}
    assert gateway.stop() == 0
    assert receiver.wait_for_status("stopped")["unknown_topics"] == 5


def test_retained_messages_are_old_news_unless_the_source_says_otherwise(scene: Scene) -> None:
    device = scene.device()
    device.publish("bad/number/tank", "20", retain=True)
    device.publish("kept/tank/value", "30", retain=True)
    device.flush()
    given = {"number": sources()["number"], "kept": number_source("kept/+/value", retained=True)}
    judge = {"any": threshold(list(given), above=LIMIT, update_every="0s")}
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway(given, judge))
    send(device, "number", "40")
    device.flush()

    ledger = receiver.wait_for_verdicts(2)
    assert {verdict.fields["anomaly"]["observed"] for verdict in ledger.in_order()} == {30.0, 40.0}
    assert gateway.stop() == 0
    rejections = {source["name"]: source.get("rejections", {}) for source in receiver.wait_for_status("stopped")["sources"]}
    assert rejections == {"number": {"retained": 1}, "kept": {}}


def test_an_unreachable_uplink_at_start_costs_nothing(scene_without_upstream: Scene) -> None:
    scene = scene_without_upstream
    scene.upstream.start()
    scene.upstream.stop()
    gateway = scene.gateway({"number": sources()["number"]}, {"any": threshold(["number"], above=LIMIT, update_every="0s")})
    scene.start(gateway)
    device = scene.device()
    for number in range(200):
        send(device, "number", str(100 + number))
    device.flush()
    stored = gateway.run("--json", "outbox", "ls", "-c", str(gateway.configuration))
    assert stored.returncode == 0, stored.stderr

    scene.upstream.start()
    receiver = scene.receiver()
    ledger = receiver.wait_for_verdicts(200, seconds=90)
    ledger.assert_sound()
    assert [verdict.fields["anomaly"]["observed"] for verdict in ledger.in_order("alarm")] == [100.0 + n for n in range(200)]
    assert gateway.stop() == 0
