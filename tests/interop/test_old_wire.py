"""The wire is what it was: what arrived upstream of the program before the house's restructuring, beside what arrives of
today's for the same readings and frames, byte by byte."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import cbor2
import pytest

import old_wire
from cbor_items import map_items
from models import Models
from scene import Scene
from wire import Verdict, decode, unwrap

# Keys of a verdict that differ from run to run: its number, when it was received and decided, and the device's own time, which
# counts from `received`. They are compared by what they mean.
OF_THE_RUN = {0, 5, 6, 7}
EVENT, EVENT_OF_THE_RUN = 11, {0, 2, 3}
ANOMALY, COUNTS, HEALTH = 20, 21, 22
BEGIN_OF_COUNTS = 0
# How far a device's clock is off.
OBSERVED_BY_HEALTH = 1
# Keys that came since: the short number of an event, and how far out it is.
NEW_IN_EVENT, NEW_IN_ANOMALY, NEW_IN_HEALTH = {4}, {8}, {4}
KINDS = {"anomaly", "counts", "health", "classification", "detections"}

Items = dict[int, bytes]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, certificates, models: Models) -> Iterator[tuple]:
    """The recorded run and one of today's program: when each began, and its messages by uplink."""
    folder: Path = tmp_path_factory.mktemp("old-wire")
    scene = Scene(folder, certificates).open()
    try:
        yield old_wire.recorded(), old_wire.run(scene, folder)
    finally:
        scene.close()


def items(raw: bytes) -> Items:
    """The bytes of each value of a map, by its key."""
    return {cbor2.loads(key): value for key, value in map_items(raw)}


def without(raw: bytes, keys: set[int]) -> list[tuple[int, bytes]]:
    """The bytes of all other values of a map."""
    return [(key, value) for key, value in items(raw).items() if key not in keys]


def lasting(raw: bytes, new_too: bool) -> dict[int, object]:
    """What must be equal of a verdict's bytes; `new_too`: with the keys that came since."""
    new = (set(), set(), set()) if new_too else (NEW_IN_EVENT, NEW_IN_ANOMALY, NEW_IN_HEALTH)
    left_out = {EVENT: EVENT_OF_THE_RUN | new[0], ANOMALY: new[1], HEALTH: new[2] | {OBSERVED_BY_HEALTH}, COUNTS: {BEGIN_OF_COUNTS}}
    kept = {key: value for key, value in items(raw).items() if key not in OF_THE_RUN}
    return {key: without(value, left_out[key]) if key in left_out else value for key, value in kept.items()}


def by_subject(messages: list[bytes]) -> dict[tuple[str, str], list[Verdict]]:
    """The verdicts of each judge about each device, in order; but for those that time alone caused, which need not be the same."""
    found = defaultdict(list)
    for message in messages:
        for verdict in decode(message).verdicts:
            fields = verdict.fields
            if fields["captured"] is not None or fields["source"] == "cameras":
                found[fields["judge"], fields["device"]].append(verdict)
    return dict(found)


def pairs(runs: tuple, uplink: str) -> list[tuple[Verdict, Verdict]]:
    """What the old program said of something, and what today's says."""
    (_, old), (_, new) = runs
    before, now = by_subject(old[uplink]), by_subject(new[uplink])
    assert {key: len(found) for key, found in before.items()} == {key: len(found) for key, found in now.items()}
    return [pair for key in before for pair in zip(before[key], now[key], strict=True)]


def times(verdict: Verdict, begin: int) -> dict[str, int | None]:
    """The times that devices gave, from the begin of the run."""
    since = lambda at: None if at is None else at - begin  # noqa: E731
    found = {"captured": since(verdict.fields["captured"])}
    if "counts" in verdict.fields:
        found["from"] = since(verdict.fields["counts"]["from"])
    if verdict.fields["event"] and verdict.fields["clock"] == "trusted":
        found |= {"since": since(verdict.fields["event"]["since"]), "lasted": verdict.fields["event"]["lasted_ms"]}
    return found


def test_each_verdict_has_the_bytes_that_it_had(runs: tuple) -> None:
    begins = [begin for begin, _ in runs]
    compared = pairs(runs, "centre")
    assert {old.fields["kind"] for old, _ in compared} == KINDS
    assert len(compared) > 100
    for old, new in compared:
        assert old.raw is not None and new.raw is not None
        assert lasting(new.raw, False) == lasting(old.raw, True), (old, new)
        assert times(new, begins[1]) == times(old, begins[0]), (old, new)


def test_events_hold_together_as_they_did(runs: tuple) -> None:
    """Identifiers are of the run: they are equal where they were equal."""
    known: dict[str, str] = {}
    for old, new in pairs(runs, "centre"):
        assert (old.fields["event"] is None) == (new.fields["event"] is None)
        if old.fields["event"]:
            identity = new.fields["event"]["id"]
            assert known.setdefault(old.fields["event"]["id"], identity) == identity
    assert len(set(known.values())) == len(known) > 5


def test_messages_begin_as_they_did(runs: tuple) -> None:
    """The envelope: its keys, their order and their bytes, but for the store's epoch and for times."""
    envelopes = []
    for _, messages in runs:
        found = {}
        for message in messages["centre"]:
            parts = items(unwrap(message)[0])
            lane = parts[3]
            found[lane] = [(key, b"" if key in {2, 4, 5, 6} else value) for key, value in parts.items()]
        envelopes.append(found)
    assert envelopes[0] == envelopes[1]
    assert len(envelopes[0]) == 3


def of_time(text: str, begin: int) -> int:
    """Milliseconds from the begin of the run."""
    return round(datetime.fromisoformat(text).timestamp() * 1000) - begin


def twins(messages: list[bytes], begin: int) -> dict[tuple[str, str], list[dict]]:
    """As `by_subject`, of the JSON form, without what is of the run."""
    found = defaultdict(list)
    for message in messages:
        for verdict in json.loads(message)["verdicts"]:
            for key in ("seq", "received", "decided", "age_ms"):
                del verdict[key]
            captured, event = verdict.pop("captured", None), verdict.get("event")
            if captured is None and verdict["source"] != "cameras":
                continue
            if captured is not None:
                verdict["captured"] = of_time(captured, begin)
            if event:
                del event["id"]
                event["since"] = of_time(event["since"], begin) if verdict["clock"] == "trusted" else None
            if verdict["kind"] == "counts":
                verdict["counts"]["from"] = of_time(verdict["counts"]["from"], begin)
            if verdict["kind"] == "health":
                del verdict["health"]["observed"]
            found[verdict["judge"], verdict["device"]].append(verdict)
    return dict(found)


def test_the_json_twin_says_what_it_said(runs: tuple) -> None:
    """All keys that were there have their values and their order; what came since stands beside them."""
    old, new = (twins(messages["people"], begin) for begin, messages in runs)
    assert {key: len(found) for key, found in old.items()} == {key: len(found) for key, found in new.items()}
    for key, before in old.items():
        for one, other in zip(before, new[key], strict=True):
            check_holds(other, one, key)


def check_holds(now: object, before: object, place: object) -> None:
    """Everything of `before` is in `now`."""
    if isinstance(before, dict):
        assert isinstance(now, dict), place
        assert list(before) == [key for key in now if key in before], place
        for key, value in before.items():
            check_holds(now[key], value, (place, key))
    else:
        assert now == before, place
