"""Publications of DATEX II before a receiver that holds each document against rules and the books."""

import datetime
import time
from collections.abc import Iterator
from functools import partial

import datex2
import pytest
from datex2 import Measured, Record
from gateway import Gateway, Settings
from models import Models
from rsmp import Traffic
from scene import UPLINK, Scene, frame_source, number_source
from test_http import uplink
from test_track import A_SECOND, SIDE, finds_squares, rendered
from waiting import wait_for, wait_until_quiet
from web_service import TAKEN, Answer, WebService

LOOP, AUX, LENGTH = "SEROAD_1", "SEROAD_2", 1000


@pytest.fixture(name="service")
def _service(scene: Scene) -> Iterator[WebService]:
    service = WebService(scene.certificates).start()
    yield service
    service.stop()


def publications(scene: Scene, service: WebService, **changes: object) -> Settings:
    """A section [uplink.*] with two places, of which one counts."""
    place = {"latitude": 57.7089, "longitude": 11.9746}
    loop = {"id": LOOP, "name": "Ring <north> & co", "device": "loop-1", "traffic": "traffic", "bearing": 90, "lanes": 2}
    aux = {"id": AUX, "device": "aux-1", "faults": ["quiet"]}
    datex = {"country": "se", "national_identifier": "SEROAD", "table": "junction-7", "table_version": 4}
    sites = {"north": place | loop | {"faults": ["silent"]}, "south": place | aux}
    return uplink(scene, service, format="datex2", datex2=datex | changes, site=sites)


def gateway_of(scene: Scene, service: WebService, **changes: object) -> Gateway:
    """A gateway that publishes; its books go by MQTT as well."""
    sources = {
        "loops": {
            "topic": "road/+/state",
            "codec": "json",
            "device": "topic:1",
            "reading": [
                {"pointer": "/count"},
                {"pointer": "/occupancy", "unit": "%"},
                {"pointer": "/speed", "unit": "km/h"},
            ],
        },
        "aux": number_source("aux/+/value", "value"),
    }
    counting = {"inputs": ["loops"], "detector": "loop", "interval": "1s", "max_gap": "1s"}
    counting |= {"pulses": "count", "occupancy": "occupancy", "occupancy_unit": "percent", "speed": "speed"}
    silence = {"detector": "silence", "severity": "warning"}
    judges = {
        "traffic": counting,
        "silent": silence | {"inputs": ["loops"], "after": "60s"},
        "quiet": silence | {"inputs": ["aux"], "after": "1s"},
    }
    return scene.gateway(sources, judges, **{UPLINK: scene.uplink(), "nap": publications(scene, service, **changes)})


def stamp(millis: int) -> str:
    """A time as the protocol writes it."""
    at = datetime.datetime.fromtimestamp(millis / 1000, datetime.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis % 1000:03d}Z"


def measured(service: WebService) -> dict[str, Measured]:
    """What was published of the place that counts, by the ends of its intervals."""
    of = [one for body in list(service.bodies) if datex2.kind(body) == "MeasuredDataPublication" for one in datex2.measured(body)]
    assert {one.site for one in of} <= {LOOP}
    return {one.end: one for one in of}


def records(service: WebService) -> list[Record]:
    of = [body for body in list(service.bodies) if datex2.kind(body) == "SituationPublication"]
    return [record for body in of for record in datex2.records(body)]


def booked(receiver: object) -> dict[str, dict]:
    """The books: what was counted, by the ends of the intervals."""
    found = {}
    for verdict in receiver.ledger().in_order():  # type: ignore[attr-defined]
        if counts := verdict.fields.get("counts"):
            found[stamp(counts["from"] + LENGTH)] = counts
    return found


def assert_equal(said: Measured, counts: dict) -> None:
    """Each value is that of the committed verdict."""
    flow, speed, share = (counts[key] for key in ("flow_per_hour", "mean_speed", "occupancy"))
    assert said.flow == (None if flow is None else f"{flow:.0f}"), (said, counts)
    assert said.speed == (None if speed is None else f"{speed:.1f}"), (said, counts)
    assert (said.occupancy is None) == (share is None), (said, counts)
    assert share is None or abs(float(said.occupancy or -1) - 100 * share) < 0.06, (said, counts)
    assert said.inputs in (None, str(counts["readings"])), (said, counts)
    assert ("intermittentDataValues" in said.faults) == (counts["partial"] and flow is not None), (said, counts)


def test_every_interval_is_published_once_taken_through_an_outage_with_a_kill(
    scene: Scene, service: WebService
) -> None:
    receiver = scene.receiver()
    gateway = gateway_of(scene, service)
    checked = gateway.check("--points", "--listen", "0")
    for words in (LOOP, "MeasuredData (1 flow, 2 speed, 3 occupancy) from traffic, every 1 s", "Fault from quiet"):
        assert words in checked.stdout, checked.stdout + checked.stderr
    scene.start(gateway)
    wait_for(lambda: service.bodies, "the table")
    traffic = Traffic(scene.device().publish, "road/loop-1/state")
    wait_for(lambda: len(measured(service)) >= 3, "three intervals")
    service.decide = lambda _body: (503, {"Retry-After": "0"})
    time.sleep(3)
    gateway.kill()
    before = len(measured(service))
    service.decide = lambda _body: TAKEN
    scene.start(gateway)
    wait_for(lambda: len(measured(service)) >= before + 5, "what came in the outage, and more", 60)
    # Another connection, before which the table comes again.
    busy = iter([(503, {"Retry-After": "0"})])
    service.decide = lambda _body: next(busy, TAKEN)
    tables = lambda: [body for body in list(service.bodies) if datex2.kind(body).startswith("MeasurementSiteTable")]
    wait_for(lambda: len(tables()) >= 3, "the table, on each connection")
    traffic.stop()
    has_all = lambda: booked(receiver).keys() <= measured(service).keys()
    wait_for(has_all, "all that is in the books", 30)
    wait_until_quiet(lambda: len(service.bodies))
    for body in service.bodies:
        assert datex2.faults(body) == [], body.decode()
    assert datex2.kind(service.bodies[0]) == "MeasurementSiteTablePublication"
    table = service.bodies[0].decode()
    assert "Ring &lt;north&gt; &amp; co" in table and "<loc:latitude>57.7089</loc:latitude>" in table
    books, said = booked(receiver), measured(service)
    assert said.keys() == books.keys()
    for end, counts in books.items():
        assert_equal(said[end], counts)
    whole = [counts for counts in books.values() if not counts["partial"]]
    assert len(whole) >= 5 and any(counts["vehicles"] for counts in whole)
    assert gateway.stop() == 0
    links = [link for route in receiver.statuses()[-1]["routes"] for link in route["links"] if "datex2" in link]
    assert [link["datex2"]["sites"] for link in links] == [2] and links[0]["datex2"]["measurements"] > 0


def test_an_event_is_a_situation_from_its_begin_to_its_end(scene: Scene, service: WebService) -> None:
    receiver = scene.receiver()
    scene.start(gateway_of(scene, service))
    device = scene.device()
    of_aux = lambda: [record for record in records(service) if record.id.endswith(AUX)]
    device.publish("aux/aux-1/value", "1")
    wait_for(lambda: [record for record in of_aux() if record.status == "active"], "it is silent")
    device.publish("aux/aux-1/value", "2")
    wait_for(lambda: [record for record in of_aux() if record.end], "it sends again")
    wait_for(lambda: len({record.id for record in of_aux()}) >= 2, "it is silent again, which is another event")
    wait_until_quiet(lambda: len(service.bodies))
    for body in service.bodies:
        assert datex2.faults(body) == [], body.decode()
    events: dict[str, list[dict]] = {}
    for verdict in receiver.ledger().in_order():
        if verdict.fields["judge"] == "quiet":
            event = verdict.fields["event"]
            events.setdefault(f"{event['id']}_{AUX}", []).append(verdict.fields)
    assert {record.id for record in of_aux()} == events.keys()
    for identifier, verdicts in events.items():
        published = [record for record in of_aux() if record.id == identifier]
        versions = [record.version for record in published]
        assert versions == sorted(versions)
        # Of those of one batch the newest goes out.
        assert set(versions) <= {fields["decided"] for fields in verdicts} and versions[-1] == verdicts[-1]["decided"]
        for record in published:
            fields = next(fields for fields in verdicts if fields["decided"] == record.version)
            ended = fields["event"]["state"] == "cleared"
            assert record.kind == "EquipmentOrSystemFault" and record.start == stamp(fields["event"]["since"])
            assert (record.end is not None) == ended == (record.status == "definedByValidityTimeSpec")
            assert not ended or record.end == stamp(fields["received"])


def test_a_document_that_is_refused_costs_no_other(scene: Scene, service: WebService) -> None:
    poison: list[bytes] = []

    def decide(body: bytes) -> Answer:
        if datex2.kind(body) == "SituationPublication" and not poison:
            poison.extend(record.id.encode() for record in datex2.records(body))
        return (422, {}) if any(part in body for part in poison) else TAKEN

    service.decide = decide
    gateway = scene.start(gateway_of(scene, service))
    device = scene.device()
    device.publish("aux/aux-1/value", "1")
    wait_for(lambda: poison, "it is silent")
    wait_for(lambda: "upstream refuses this verdict" in gateway.whole_log(), "it is said aloud", 30)
    device.publish("aux/aux-2/value", "1")
    traffic = Traffic(device.publish, "road/loop-1/state")
    wait_for(lambda: len(measured(service)) >= 2, "the others arrive", 30)
    traffic.stop()


def test_an_access_point_that_only_fetches_needs_no_address(scene: Scene, service: WebService) -> None:
    folder = scene.folder / "fetched"
    folder.mkdir()
    gateway = gateway_of(scene, service, snapshot_dir=str(folder), snapshot_every="1s")
    nap = gateway.settings["uplink"]["nap"]
    gateway.settings["uplink"]["nap"] = {key: nap[key] for key in ("kind", "format", "datex2", "site")}
    checked = gateway.check("--points", "--listen", "0")
    assert LOOP in checked.stdout and "documents can be written" in checked.stdout, checked.stdout + checked.stderr
    scene.start(gateway)
    traffic = Traffic(scene.device().publish, "road/loop-1/state")
    document = lambda name: datex2.read(folder / f"{name}.xml")
    wait_for(lambda: (folder / "situations.xml").exists(), "the first documents")
    wait_for(lambda: datex2.measured(document("measured-data"))[0].flow, "an interval", 30)
    traffic.stop()
    assert gateway.stop() == 0 and service.statuses == []


def test_who_fetches_finds_the_present_state_whole(scene: Scene, service: WebService) -> None:
    folder = scene.folder / "fetched"
    given = partial(gateway_of, scene, service, snapshot_dir=str(folder), snapshot_every="1s", stale_after="5s")
    refused = given().check("--listen", "0")
    assert "create the folder" in refused.stdout and refused.returncode == 78, refused.stdout
    folder.mkdir()
    receiver = scene.receiver()
    scene.start(given())
    document = lambda name: datex2.read(folder / f"{name}.xml")
    wait_for(lambda: (folder / "situations.xml").exists(), "the first documents")
    unknown = datex2.measured(document("measured-data"))
    assert [(one.site, one.flow, one.faults) for one in unknown] == [(LOOP, None, ("noDataValuesAvailable",))]
    device = scene.device()
    device.publish("aux/aux-1/value", "1")
    traffic = Traffic(device.publish, "road/loop-1/state")
    newest = lambda: datex2.measured(document("measured-data"))[0]
    wait_for(lambda: newest().end in booked(receiver) and newest().flow, "an interval", 30)
    wait_for(lambda: datex2.records(document("situations")), "the silent detector")
    # Read while they are replaced: always whole.
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for name in ("measurement-sites", "measured-data", "situations"):
            assert datex2.faults(document(name)) == []
    said = newest()
    wait_for(lambda: said.end in booked(receiver), "the books")
    assert_equal(said, booked(receiver)[said.end])
    traffic.stop()
    stale = lambda: (one := newest()) and "noDataValuesAvailable" in one.faults and one
    # The last interval may be one of which nothing was observed: then there is no value to be in error.
    last = wait_for(stale, "it is stale", 30)
    assert last.data_error == (last.flow is not None)
    device.publish("aux/aux-1/value", "2")
    ended = lambda: all(AUX not in record.id for record in datex2.records(document("situations")))
    wait_for(ended, "what is over is not in it")


# A vehicle before the camera: where its upper edge is at the end of each part of the way, and how many seconds that takes. With
# its lane, against it, with it again up to the stop line, where it stands, and on.
WAY = [(SIDE, 4.0), (-8, 4.0), (36, 3.0), (36, 7.0), (SIDE, 2.0)]
CAMERA = "SEROAD_3"
WORDS = {"wrong_way": "vehicleOnWrongCarriageway", "queue": "queuingTraffic", "stopped": "stationaryTraffic"}


def drive(scene: Scene) -> None:
    """Publishes the frames of the way, and then some without a vehicle, in their time."""
    device, top, number = scene.device(), -8.0, 0
    begin = time.monotonic()
    for end, seconds in [*WAY, (SIDE, 6.0)]:
        steps = round(seconds * A_SECOND)
        for step in range(1, steps + 1):
            number += 1
            time.sleep(max(0.0, begin + number / A_SECOND - time.monotonic()))
            device.publish("road/north/frame", rendered(round(top + (end - top) * step / steps), number))
        top = end


def test_what_a_camera_sees_is_a_situation(scene: Scene, service: WebService, models: Models) -> None:
    receiver = scene.receiver()
    road = [[0.1, 0.05], [0.9, 0.05], [0.9, 0.98], [0.1, 0.98]]
    lane = {"polygon": road, "lane": [[0.5, 0.1], [0.5, 0.9]]}
    lane |= {"stop_line": [[0.1, 0.8], [0.9, 0.8]], "stopped_after": "3s", "queue_from": 1}
    junction = {"inputs": ["cameras"], "detector": "track", "model": "squares", "interval": "10s", "severity": "warning"}
    junction["ground"] = {"picture": road, "metres": [[0, 30], [10, 30], [10, 0], [0, 0]]}
    junction |= {"zone": {"lane": lane}, "line": {"stop": {"from": [0.1, 0.8], "to": [0.9, 0.8]}}}
    place = {"id": CAMERA, "device": "north", "latitude": 57.7089, "longitude": 11.9746, "traffic": "junction"}
    datex = {"country": "se", "national_identifier": "SEROAD", "table": "junction-8"}
    nap = uplink(scene, service, format="datex2", datex2=datex, site={"north": place})
    cards = {"squares": {"file": str(finds_squares(models))}}
    source = frame_source("road/+/frame")
    scene.start(
        scene.gateway({"cameras": source}, {"junction": junction}, cards, **{UPLINK: scene.uplink(), "nap": nap})
    )
    drive(scene)
    ended = lambda: {record.what for record in records(service) if record.end}
    wait_for(lambda: ended() >= set(WORDS.values()), "all of it began and is over", 30)
    wait_until_quiet(lambda: len(service.bodies))
    for body in service.bodies:
        assert datex2.faults(body) == [], body.decode()
    events: dict[str, list[dict]] = {}
    for verdict in receiver.ledger().in_order():
        if event := verdict.fields.get("event"):
            events.setdefault(f"{event['id']}_{CAMERA}", []).append(verdict.fields)
    published: dict[str, list[Record]] = {}
    for record in records(service):
        published.setdefault(record.id, []).append(record)
    assert published.keys() == events.keys()
    for identifier, verdicts in events.items():
        word = WORDS[verdicts[0]["anomaly"]["member"]]
        kind = "VehicleObstruction" if word == WORDS["wrong_way"] else "AbnormalTraffic"
        assert {(record.kind, record.what) for record in published[identifier]} == {(kind, word)}
        assert published[identifier][-1].version == verdicts[-1]["decided"]
        assert {record.start for record in published[identifier]} == {stamp(verdicts[-1]["event"]["since"])}
    wrong = [verdicts for verdicts in events.values() if verdicts[0]["anomaly"]["member"] == "wrong_way"]
    assert len(wrong) == 1, "it went the wrong way once"
