"""Six real series through two mosquittos: exactly the alarms that the same limits raise in Python."""

from scene import Scene, json_source, number_source, threshold
from series import TRAFFIC_AND_MACHINES, Point, Series
from oracle import Alarm
from wire import Verdict

TOPICS = {"number": "plain", "json": "timed"}


def test_alarms_are_exactly_those_of_the_oracle(scene: Scene) -> None:
    receiver = scene.receiver()
    judges = {
        f"limits-{series.device}": threshold(
            [TOPICS[series.codec]], devices=[series.device], update_every="never", **series.limits().as_settings()
        )
        for series in TRAFFIC_AND_MACHINES
    }
    sources = {
        "plain": number_source("plain/+/value"),
        "timed": json_source("timed/+/state", "/measured/value"),
    }
    gateway = scene.start(scene.gateway(sources, judges))

    points = {series: series.points() for series in TRAFFIC_AND_MACHINES}
    expected = {series: series.limits().alarms(point.value for point in points[series]) for series in points}
    assert all(len(alarms) >= 20 for alarms in expected.values()), "limits that try nothing"
    publish(scene, points)

    ledger = receiver.wait_for_verdicts(sum(map(len, expected.values())))
    ledger.assert_sound()
    assert ledger.duplicates == 0, "nothing failed, so nothing should come twice"
    found = ledger.in_order("alarm")
    assert len(found) == len(ledger.verdicts), "warnings take the lane of alarms"
    for series, alarms in expected.items():
        check_series(series, alarms, points[series], [v for v in found if v.fields["device"] == series.device])

    assert gateway.stop() == 0
    check_accounts(receiver.wait_for_status("stopped"), points, len(found))


def publish(scene: Scene, points: dict[Series, list[Point]]) -> None:
    """Publishes all series at once, interleaved, each in its own order."""
    device = scene.device()
    for row in range(max(map(len, points.values()))):
        for series, rows in points.items():
            if row >= len(rows):
                continue
            if series.codec == "json":
                payload = {"ts": rows[row].captured, "measured": {"value": rows[row].value, "ok": True}}
                device.publish(f"timed/{series.device}/state", payload)
            else:
                device.publish(f"plain/{series.device}/value", repr(rows[row].value))
    device.flush()


def check_series(series: Series, alarms: list[Alarm], points: list[Point], verdicts: list[Verdict]) -> None:
    """The verdicts of one device: what was raised and cleared, by which events, at which times."""
    reported = [verdict.fields for verdict in verdicts]
    found = [
        Alarm(fields["anomaly"]["member"], fields["event"]["state"], fields["anomaly"]["observed"]) for fields in reported
    ]
    assert found == alarms, series.device

    limits, open_events, ids = series.limits(), {}, set()
    for fields in reported:
        assert (fields["detector"], fields["severity"]) == ("threshold", "warning")
        assert fields["judge"] == f"limits-{series.device}"
        event, member = fields["event"], fields["anomaly"]["member"]
        bound = ("high", limits.above) if member == "high" else ("low", limits.below)
        assert fields["anomaly"]["expected"][bound[0]] == bound[1]
        assert fields["received"] <= fields["decided"]
        if event["state"] == "raised":
            assert event["id"] not in ids, "each event has an identity of its own"
            assert (event["since"], event["lasted_ms"]) == (fields["received"], 0)
            ids.add(event["id"])
            open_events[member] = event
        else:
            raised = open_events.pop(member)
            assert (event["id"], event["since"]) == (raised["id"], raised["since"])
            assert event["lasted_ms"] == fields["received"] - event["since"]
    check_times(series, points, reported)


def check_times(series: Series, points: list[Point], reported: list[dict]) -> None:
    """A device's time that is years old is passed on, flagged, and not reckoned with."""
    captured = {point.captured for point in points}
    for fields in reported:
        if series.codec == "json":
            assert fields["captured"] in captured
            assert fields["clock"] == "skewed"
        else:
            assert (fields["captured"], fields["clock"]) == (None, None)


def check_accounts(status: dict, points: dict[Series, list[Point]], verdicts: int) -> None:
    """What the gateway says it did is what happened."""
    for source in status["sources"]:
        rows = [points[series] for series in points if TOPICS[series.codec] == source["name"]]
        published = sum(map(len, rows))
        assert (source["received"], source["judged"], source["readings"]) == (published,) * 3, source
        assert (source["refused"], source["in_flight"]) == (0, 0), source
    assert status["store"]["committed"] == [verdicts, 0, 0]
    (route,) = status["routes"]
    assert (route["delivered"], route["backlog"], route["undeliverable"]) == (verdicts, 0, 0)
