"""An independent decoder of verdict messages, written from docs/verdict.cddl and docs/verdict.md alone.

Both forms, CBOR and JSON, are brought to the same dictionaries, so that they can be compared. Times are UTC
milliseconds, durations milliseconds, scores thousandths, names those of the JSON form.
"""

import json
import struct
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import cbor2
import lz4.block

from cbor_items import array_items, map_items

PLAIN, LZ4 = 0x00, 0x01
LARGEST_MESSAGE = 16 * 1024 * 1024

LANES = ("alarm", "verdict", "telemetry")
CLOCKS = {1: "trusted", 2: "skewed"}
DETECTORS = dict(
    enumerate(
        (
            *("threshold", "rate", "silence", "loop", "classify", "detect", "health", "auto", "multi", "pattern"),
            *("vibration", "cusum", "autoencoder", "track"),
        )
    )
)
DETECTORS |= {14: "anomaly"}
SEVERITIES = ("info", "warning", "critical")
STATES = ("raised", "updated", "cleared")
CHANGES = ("renewed", "turned", "grown", "adapted")
MEMBERS = dict(
    enumerate(
        (
            *("high", "low", "rise", "fall", "silent", "stuck", "flat", "noisy", "saturated", "clock_skewed", "duplicate"),
            *("level", "mean", "profile", "median", "volatility", "context", "time_of_day", "shift"),
            *("machine", "pattern", "vibration", "reconstruction"),
            *("stopped", "wrong_way", "person", "queue"),
        )
    )
)
MEMBERS |= {27: "appearance", 28: "frozen", 29: "dark", 30: "bright", 31: "blurred", 32: "covered", 33: "low_contrast"}
MEMBERS |= {34: "moved", 35: "flicker", 36: "size", 38: "unexplained_motion", 39: "model_failed", 40: "model_slow"}
MEMBERS |= {41: "model_unproved", 42: "model_disagrees", 43: "model_damaged"}
GROUPS = ("machine", "flood")
ACTIONS = ("acknowledged", "shelved", "unshelved", "set", "labelled")
PARTIAL = ("start", "gap", "rate", "clock", "health", "overload")
TIMES = ("captured", "received")
FORECASTS = ("flow", "queue")
# Members of a direction and of a zone, by their keys behind the first ones.
DIRECTION = ("mean_speed", "space_mean_speed", "headway", "short_headways", "gap")
ZONE = ("entered", "occupancy", "mean_speed", "queue_mean", "queue_max", "queue_end", "queue_length")
REASONS = ("full", "expired", "damaged", "earlier_epoch", "too_large", "defect", "refused")

Fields = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One verdict: its sequence number, what it says, and (CBOR only) its bytes."""

    seq: int
    fields: Fields
    raw: bytes | None


@dataclass(frozen=True)
class Tombstone:
    """What stands in place of the verdicts `first` to `last`, both included."""

    first: int
    last: int
    reason: str
    at: int
    summary: list[Fields]


@dataclass(frozen=True)
class Message:
    """What one MQTT message carries."""

    gateway: str
    epoch: str
    lane: str
    sent: int
    age: int
    volatile: bool
    verdicts: list[Verdict]
    tombstones: list[Tombstone]
    # "json", "cbor" or "cbor+lz4".
    form: str


def decode(payload: bytes) -> Message:
    """Reads a message of either form."""
    if payload[:1] == b"{":
        return _from_json(json.loads(payload))
    return _from_cbor(*unwrap(payload))


def unwrap(payload: bytes) -> tuple[bytes, str]:
    """The CBOR inside a payload, and the name of its form."""
    if payload[0] == PLAIN:
        return payload[1:], "cbor"
    if payload[0] == LZ4:
        (size,) = struct.unpack_from("<I", payload, 1)
        if size > LARGEST_MESSAGE:
            raise ValueError(f"claims to unpack to {size} bytes")
        return lz4.block.decompress(payload[5:], uncompressed_size=size), "cbor+lz4"
    raise ValueError(f"unknown form {payload[0]:#04x}")


def _from_cbor(body: bytes, form: str) -> Message:
    parts = {cbor2.loads(key): value for key, value in map_items(body)}
    _expect(list(parts) == sorted(parts), "keys in ascending order")
    stored = array_items(parts.pop(5)) if 5 in parts else []
    envelope = {key: cbor2.loads(value) for key, value in parts.items()}
    _expect(envelope.pop(0) == 1, "version 1")
    message = Message(
        gateway=envelope.pop(1),
        epoch=envelope.pop(2).hex(),
        lane=LANES[envelope.pop(3)],
        sent=envelope.pop(4),
        age=envelope.pop(6, 0),  # absent in messages of older gateways
        volatile=envelope.pop(7, False),
        verdicts=[_verdict(raw) for raw in stored],
        tombstones=[_tombstone(given) for given in envelope.pop(8, [])],
        form=form,
    )
    _expect(not envelope, f"no other keys, found {sorted(envelope)}")
    return _checked(message)


def _checked(message: Message) -> Message:
    """What holds in both forms."""
    numbers = [verdict.seq for verdict in message.verdicts]
    ranges = [(stone.first, stone.last) for stone in message.tombstones]
    if not numbers and not ranges:
        _expect(not message.volatile, "a volatile message has an alarm")
        return message
    if message.volatile:
        _expect(message.lane == "alarm" and not ranges and set(numbers) == {0}, "alarms without numbers")
        return message
    _expect(all(1 <= first <= last for first, last in ranges), "tombstones of numbers from 1")
    spans = sorted(ranges + [(number, number) for number in numbers])
    _expect(spans[0][0] >= 1, "numbers from 1")
    _expect(all(one[1] < following[0] for one, following in zip(spans, spans[1:])), "every number once")
    _expect(numbers == sorted(numbers) and ranges == sorted(ranges), "rising numbers")
    _expect(message.lane != "alarm" or len(spans) == 1, "one alarm in a message")
    return message


def _tombstone(given: Fields) -> Tombstone:
    _expect(list(given) == sorted(given), "keys in ascending order")
    summary = [_summary(entry) for entry in given.pop(4, [])]
    stone = Tombstone(given.pop(0), given.pop(1), REASONS[given.pop(2)], given.pop(3), summary)
    _expect(not given, f"no other keys in a tombstone, found {sorted(given)}")
    return stone


def _summary(given: Fields) -> Fields:
    entry = {"judge": given.pop(0), "device": given.pop(1, None), "signal": given.pop(2, None)}
    entry |= {"count": given.pop(3), "first": given.pop(4), "last": given.pop(5)}
    entry |= {"low": given.pop(6, None), "high": given.pop(7, None)}
    _expect(not given, f"no other keys in a summary, found {sorted(given)}")
    return entry


def _verdict(raw: bytes) -> Verdict:
    given = cbor2.loads(raw)
    _expect(list(given) == sorted(given), "keys in ascending order")
    received = given.pop(5)
    fields = {
        "judge": given.pop(1),
        "source": given.pop(2),
        "device": given.pop(3),
        "signal": given.pop(4, None),
        "received": received,
        "decided": received + given.pop(6),
        "captured": _offset(received, given.pop(7, None)),
        "clock": CLOCKS.get(given.pop(8, None)),
        "detector": DETECTORS[given.pop(9)],
        "severity": SEVERITIES[given.pop(10)],
        "event": _event(received, given.pop(11, None)),
        "model": _model(given.pop(12, None)),
        "estimated": given.pop(13, False),
        "tag": _tag(given.pop(15, None)),
        "group": _group(given.pop(14, None)),
        "action": _action(given.pop(16, None)),
    }
    observed = fields["captured"] if fields["clock"] == "trusted" else received
    fields["age_ms"] = max(fields["decided"] - observed, 0)
    seq = given.pop(0)
    _expect(len(given) == 1, f"exactly one body, found keys {sorted(given)}")
    (kind, body), *_ = given.items()
    fields |= _body(kind, body, received)
    return Verdict(seq, fields, raw)


def _tag(given: Fields | None) -> Fields | None:
    if given is None:
        return None
    tag = {name: given.pop(key, None) for key, name in enumerate(("description", "machine", "group"))}
    _expect(not given, f"no other keys in a tag, found {sorted(given)}")
    _expect(any(tag.values()), "a tag that says something")
    return tag


def _event(received: int, given: Fields | None) -> Fields | None:
    if given is None:
        return None
    _expect(list(given) == sorted(given), "keys in ascending order")
    event = {"id": given.pop(0).hex(), "state": STATES[given.pop(1)], "since": received + given.pop(2)}
    event |= {"lasted_ms": given.pop(3), "number": given.pop(4, None)}
    event |= {"learning": given.pop(5, False), "suspended": given.pop(6, False)}
    change = given.pop(7, None)
    event["change"] = None if change is None else CHANGES[change]
    group = given.pop(8, None)
    event["group"] = None if group is None else group.hex()
    event |= {"acknowledged": _offset(received, given.pop(9, None)), "shelved": _offset(received, given.pop(10, None))}
    _expect(not given, f"no other keys in an event, found {sorted(given)}")
    return event


def _action(given: Fields | None) -> Fields | None:
    if given is None:
        return None
    action = {"kind": ACTIONS[given.pop(0)], "by": given.pop(1), "note": given.pop(2, None)}
    _expect(not given, f"no other keys in an action, found {sorted(given)}")
    return action


def _group(given: Fields | None) -> Fields | None:
    if given is None:
        return None
    names = ("device", "signal", "judge")
    members = [dict(zip(names, one)) | {"event": one[3].hex()} for one in given.pop(2, [])]
    group = {"kind": GROUPS[given.pop(0)], "others": given.pop(1), "members": members}
    _expect(not given, f"no other keys in a group, found {sorted(given)}")
    return group


def _model(given: list[str] | None) -> Fields | None:
    if given is None:
        return None
    name, version = given
    return {"name": name, "version": version}


def _body(kind: int, given: Fields, received: int) -> Fields:
    if kind == 20:
        member = MEMBERS[given.pop(0)]
        body = {"member": member, "observed": given.pop(1), "expected": _range(given)}
        body |= {"p_value": given.pop(4, None), "unit": given.pop(5, None)}
        body["contributions"] = [_contribution(*item) for item in given.pop(6, [])]
        body["feedback"] = given.pop(7, [0, 0])
        body |= {"distance": given.pop(8, None), "value": given.pop(9, None)}
        body |= {"usual": {"low": given.pop(10, None), "high": given.pop(11, None)}, "value_unit": given.pop(12, None)}
        body["regions"] = _regions(given.pop(13, None))
        name = "anomaly"
    elif kind == 21:
        body = {"from": received + given.pop(0), "length_ms": given.pop(1), "observed_ms": given.pop(2)}
        body |= {"partial": given.pop(3), "readings": given.pop(4), "vehicles": given.pop(5, None)}
        body |= {"flow_per_hour": given.pop(6, None), "occupancy": given.pop(7, None)}
        body |= {"mean_speed": given.pop(8, None), "forecasts": [_forecast(item) for item in given.pop(9, [])]}
        name = "counts"
    elif kind == 22:
        body = {"cause": MEMBERS[given.pop(0)], "observed": given.pop(1), "expected": _range(given)}
        body |= {"distance": given.pop(4, None), "value": given.pop(5, None)}
        body |= {"usual": {"low": given.pop(6, None), "high": given.pop(7, None)}, "value_unit": given.pop(8, None)}
        name = "health"
    elif kind == 23:
        body = {"labels": [{"label": label, "score": score} for label, score in given.pop(0)]}
        name = "classification"
    elif kind == 24:
        body = {"width": given.pop(0), "height": given.pop(1), "objects": [_object(item) for item in given.pop(2)]}
        name = "detections"
    elif kind == 25:
        body = {"from": received + given.pop(0), "length_ms": given.pop(1), "observed_ms": given.pop(2)}
        body |= {"judged": given.pop(3), "skipped": given.pop(4), "partial": [PARTIAL[why] for why in given.pop(5)]}
        body |= {"time": TIMES[given.pop(6)], "lines": [_line(line) for line in given.pop(7)]}
        body["zones"] = [{"zone": zone[0]} | {key: zone.get(at) for at, key in enumerate(ZONE, 1)} for zone in given.pop(8)]
        body["trips"] = [dict(zip(("origin", "destination", "count"), trip)) for trip in given.pop(9)]
        body["forecasts"] = [_forecast(item) for item in given.pop(10, [])]
        name = "traffic"
    else:
        raise ValueError(f"unknown body {kind}")
    _expect(not given, f"no other keys in {name}, found {sorted(given)}")
    return {"kind": name, name: body}


def _contribution(signal: str, share: float, observed: float, low: float | None, high: float | None) -> Fields:
    return {"signal": signal, "share": share, "observed": observed, "expected": {"low": low, "high": high}}


def _regions(given: Fields | None) -> Fields | None:
    if given is None:
        return None
    keys = ("x", "y", "width", "height", "peak")
    boxes = [dict(zip(keys, item, strict=True)) for item in given.pop(2)]
    _expect(0 < len(boxes) <= 8, "one to eight regions")
    return {"width": given.pop(0), "height": given.pop(1), "boxes": boxes}


def _object(item: list) -> Fields:
    label, score, x, y, width, height, *track = item
    found = {"label": label, "score": score, "x": x, "y": y, "width": width, "height": height}
    return found | {"track": track[0] if track else None}


def _forecast(given: Fields) -> Fields:
    found = {"place": given.pop(0, None), "measure": FORECASTS[given.pop(1)], "ahead_ms": given.pop(2)}
    found |= {"expected": given.pop(3), "low": given.pop(4, None), "high": given.pop(5, None)}
    _expect(not given, f"no other keys in a forecast, found {sorted(given)}")
    return found


def _twin_forecasts(given: Fields) -> list[Fields]:
    nothing = {"place": None, "low": None, "high": None}
    return [nothing | item | {"ahead_ms": round(item.pop("ahead_s") * 1000)} for item in given.pop("forecasts", [])]


def _line(given: Fields) -> Fields:
    return {"line": given[0], "forward": _direction(given.get(1)), "backward": _direction(given.get(2)), "unresolved": given[3]}


def _direction(given: Fields | None) -> Fields | None:
    if given is None:
        return None
    classes = [{"label": label, "count": count} for label, count in given[1]]
    return {"total": given[0], "classes": classes} | {key: given.get(at) for at, key in enumerate(DIRECTION, 2)}


def _range(given: Fields) -> Fields:
    return {"low": given.pop(2, None), "high": given.pop(3, None)}


def _offset(received: int, difference: int | None) -> int | None:
    return None if difference is None else received + difference


def _from_json(given: Fields) -> Message:
    _expect(given.pop("v") == 1, "version 1")
    message = Message(
        gateway=given.pop("gateway"),
        epoch=given.pop("epoch"),
        lane=given.pop("lane"),
        sent=_millis(given.pop("sent")),
        age=given.pop("age_ms", 0),
        volatile=given.pop("volatile", False),
        verdicts=[_twin(verdict) for verdict in given.pop("verdicts", [])],
        tombstones=[_twin_tombstone(stone) for stone in given.pop("tombstones", [])],
        form="json",
    )
    _expect(not given, f"no other keys, found {sorted(given)}")
    return _checked(message)


def _twin_tombstone(given: Fields) -> Tombstone:
    summary = [_twin_summary(entry) for entry in given.pop("summary", [])]
    at = _millis(given.pop("at"))
    stone = Tombstone(given.pop("from"), given.pop("through"), given.pop("reason"), at, summary)
    _expect(stone.reason in REASONS, f"a known reason, found {stone.reason}")
    _expect(not given, f"no other keys in a tombstone, found {sorted(given)}")
    return stone


def _twin_summary(given: Fields) -> Fields:
    entry = {key: given.pop(key) for key in ("judge", "count")}
    entry |= {key: given.pop(key, None) for key in ("device", "signal", "low", "high")}
    entry |= {key: _millis(given.pop(key)) for key in ("first", "last")}
    _expect(not given, f"no other keys in a summary, found {sorted(given)}")
    return entry


def _twin(given: Fields) -> Verdict:
    fields = {key: given.pop(key) for key in ("judge", "source", "device", "detector", "severity", "kind", "age_ms")}
    fields |= {key: given.pop(key, None) for key in ("signal", "clock", "model")}
    fields["estimated"] = given.pop("estimated", False)
    tag = given.pop("tag", None)
    fields["tag"] = tag and {"description": None, "machine": None, "group": None} | tag
    fields |= {key: _millis(given.pop(key, None)) for key in ("received", "decided", "captured")}
    event = given.pop("event", None)
    if event is not None:
        event["since"] = _millis(event["since"])
        event["lasted_ms"] = round(event.pop("lasted_s") * 1000)
        event = {"number": None, "learning": False, "suspended": False, "change": None, "group": None} | event
        event |= {key: _millis(event.get(key)) for key in ("acknowledged", "shelved")}
    fields["event"] = event
    group = given.pop("group", None)
    if group is not None:
        members = [{"signal": None} | one for one in group.pop("members", [])]
        group = group | {"members": members}
    fields["group"] = group
    action = given.pop("action", None)
    fields["action"] = action and {"note": None} | action
    kind = fields["kind"]
    fields[kind] = _twin_body(kind, given.pop(kind))
    seq = given.pop("seq")
    _expect(not given, f"no other keys in a verdict, found {sorted(given)}")
    return Verdict(seq, fields, None)


def _twin_body(kind: str, given: Fields) -> Fields:
    """Brings a body of the JSON form to the keys and units of the CBOR form."""
    if kind == "counts":
        optional = ("vehicles", "flow_per_hour", "occupancy", "mean_speed")
        body = {key: given.pop(key, None) for key in optional}
        body |= {key: given.pop(key) for key in ("partial", "readings")}
        body["from"] = _millis(given.pop("from"))
        body["length_ms"] = round(given.pop("length_s") * 1000)
        body["observed_ms"] = round(given.pop("observed_s") * 1000)
        body["forecasts"] = _twin_forecasts(given)
    elif kind == "traffic":
        body = {key: given.pop(key) for key in ("judged", "skipped", "partial", "time", "trips")}
        body["from"] = _millis(given.pop("from"))
        body["length_ms"] = round(given.pop("length_s") * 1000)
        body["observed_ms"] = round(given.pop("observed_s") * 1000)
        nothing = dict.fromkeys(DIRECTION)
        ways = ("forward", "backward")
        body["lines"] = [line | {way: line.get(way) and nothing | line[way] for way in ways} for line in given.pop("lines")]
        body["zones"] = [dict.fromkeys(ZONE) | zone for zone in given.pop("zones")]
        body["forecasts"] = _twin_forecasts(given)
    elif kind == "classification":
        body = {"labels": [_in_thousandths(label) for label in given.pop("labels")]}
    elif kind == "detections":
        body = {side: given.pop(side) for side in ("width", "height")}
        body["objects"] = [_in_thousandths({"track": None} | item) for item in given.pop("objects")]
    else:
        ends = ("low", "high")
        ranges = {key: given.pop(key, {}) for key in ("expected", "usual")}
        body = {key: {side: bounds.get(side) for side in ends} for key, bounds in ranges.items()}
        body |= {"observed": given.pop("observed")} | {key: given.pop(key, None) for key in ("distance", "value", "value_unit")}
        if kind == "anomaly":
            body |= {"member": given.pop("member"), "p_value": given.pop("p_value", None), "unit": given.pop("unit", None)}
            body["contributions"] = [
                item | {"expected": {side: item.get("expected", {}).get(side) for side in ends}}
                for item in given.pop("contributions", [])
            ]
            feedback = given.pop("feedback", {"maintenance": 0, "real": 0})
            body["feedback"] = [feedback["maintenance"], feedback["real"]]
            body["regions"] = given.pop("regions", None)
        else:
            body["cause"] = given.pop("cause")
    _expect(not given, f"no other keys in {kind}, found {sorted(given)}")
    return body


def _in_thousandths(scored: Fields) -> Fields:
    return scored | {"score": round(scored["score"] * 1000)}


def _millis(text: str | None) -> int | None:
    if text is None:
        return None
    _expect(text.endswith("Z"), f"a time in UTC, found {text}")
    time = datetime.fromisoformat(text)
    return round((time - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1000)


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"expected {what}")
