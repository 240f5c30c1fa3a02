"""The gateway as a site of RSMP, before a supervisor that holds each message against the published schema."""

import json
import time
import uuid
from collections.abc import Iterator

import pytest
from faults.chaos import Chaos, Mode
from gateway import Gateway, Settings
from marks import Mark, rows
from peers import HOST
from programs import is_full
from rsmp import AUX, LOOP, MAIN, SCHEMA, SITE, Supervisor, Traffic
from scene import UPLINK, Scene, number_source, threshold
from waiting import wait_for, wait_until_quiet

STAND = ["Version", "Watchdog", "AggregatedStatus", "Alarm", "Alarm", "Alarm"]
COUNTED = (("S0201", "starttime"), ("S0201", "vehicles"))


@pytest.fixture(name="supervisor")
def _supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor().start()
    yield supervisor
    supervisor.stop()


def site(supervisor: Supervisor, **changes: object) -> Settings:
    """A section [uplink.*] with two loops, of which one counts."""
    loop = {"id": LOOP, "device": "loop-1", "traffic": "traffic", "faults": ["silent"], "detector": "D1"}
    aux = {"id": AUX, "device": "aux-1", "faults": ["quiet", "health"], "serious": True}
    given: Settings = {"kind": "rsmp", "url": supervisor.url, "site": SITE, "main": MAIN}
    if supervisor.certificates is None:
        given["insecure_plaintext"] = True
    given |= {"reconnect": "300ms", "ack_timeout": "10s", "component": {"north": loop, "south": aux}}
    return given | changes


def gateway_of(scene: Scene, supervisor: Supervisor, **changes: object) -> Gateway:
    """A gateway with a site; its books go by MQTT as well."""
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
        "pump": number_source("pump/+/pressure", "pressure"),
    }
    counting = {"inputs": ["loops"], "detector": "loop", "interval": "1s", "max_gap": "1s"}
    counting |= {"pulses": "count", "occupancy": "occupancy", "occupancy_unit": "percent", "speed": "speed"}
    judges = {
        "traffic": counting,
        "silent": {"inputs": ["loops"], "detector": "silence", "after": "60s", "severity": "warning"},
        "quiet": {"inputs": ["aux"], "detector": "silence", "after": "1s", "severity": "warning"},
        "health": {"inputs": ["aux"], "detector": "health"},
        "high": threshold(["pump"], above=0, severity="critical", lane="alarm"),
    }
    uplinks = {UPLINK: scene.uplink(), "traffic": site(supervisor, **changes)}
    return scene.gateway(sources, judges, **uplinks)


def counted(scene_receiver: object, first: int, last: int) -> dict[int, int]:
    """The books: vehicles of each whole interval, from one time to another (ms)."""
    found = {}
    for verdict in scene_receiver.ledger().in_order():  # type: ignore[attr-defined]
        fields = verdict.fields
        counts = fields.get("counts")
        if counts and first <= counts["from"] < last and not counts["partial"]:
            found[counts["from"]] = counts["vehicles"]
    return found


def millis(stamp: str) -> int:
    """A time of the protocol as milliseconds since 1970."""
    import datetime

    read = datetime.datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.UTC)
    return round(read.timestamp() * 1000)


def test_a_cold_start_by_tls_in_the_order_of_the_protocol(scene: Scene) -> None:
    supervisor = Supervisor(scene.certificates).start()
    try:
        identity = scene.certificates.gateway
        files = {"ca": scene.certificates.ca, "cert": identity.cert, "key": identity.key}
        gateway = gateway_of(scene, supervisor, **{key: str(path) for key, path in files.items()})
        checked = gateway.check("--points", "--listen", "0")
        assert f"agrees with RSMP 3.2.2, SXL 1.2.1, site {SITE}" in checked.stdout, checked.stdout + checked.stderr
        for words in ("S0201 to S0204 from traffic", "A0303 from quiet, health", "A0304 from health", "S0205 to S0208"):
            assert words in checked.stdout, checked.stdout
        tried = supervisor.connections
        scene.start(gateway)
        supervisor.wait_for_site(tried + 1)
        wait_until_quiet(lambda: len(supervisor.said))
        kinds = [said.content["type"] for said in supervisor.said if said.connection == tried + 1]
        assert kinds[: len(STAND)] == STAND
        alarms = [(alarm["cId"], alarm["aCId"], alarm["aS"]) for alarm in supervisor.of("Alarm")]
        assert sorted(alarms) == [(LOOP, "A0301", "inActive"), (AUX, "A0303", "inActive"), (AUX, "A0304", "inActive")]
        assert supervisor.of("AggregatedStatus")[0]["se"] == [False] * 5 + [True, False, False]
        # While it runs, the line alone is tried.
        assert "versions are not exchanged, because the gateway runs" in gateway.check("--listen", "0").stdout
        assert gateway.stop() == 0
        assert supervisor.faults == []
    finally:
        supervisor.stop()


def test_intervals_equal_the_books_and_an_outage_comes_once_and_as_old(scene: Scene, supervisor: Supervisor) -> None:
    receiver = scene.receiver()
    gateway = scene.start(gateway_of(scene, supervisor))
    supervisor.wait_for_site(1)
    device = scene.device()
    traffic = Traffic(device.publish, "road/loop-1/state")
    asked = time.time() * 1000
    assert supervisor.subscribe(LOOP, 2, *COUNTED, ("S0202", "speed"), ("S0203", "occupancy"))["type"] == "MessageAck"
    assert supervisor.subscribe(MAIN, 2, ("S0205", "start"), ("S0205", "vehicles"))["type"] == "MessageAck"
    refused = supervisor.subscribe(LOOP, 7, ("S0201", "vehicles"))
    assert (refused["type"], "does not divide a day" in refused["rea"]) == ("MessageNotAck", True)
    wait_for(lambda: len(supervisor.updates(LOOP)) >= 3, "three updates")
    # An outage of some intervals.
    gone = time.time() * 1000
    supervisor.stop()
    time.sleep(7)
    supervisor.start()
    back = time.time() * 1000
    supervisor.wait_for_site(2)
    stands = time.time() * 1000
    newest = lambda: supervisor.updates(LOOP)[-1]
    is_new = lambda: newest()["vehicles"][1] == "recent" and millis(newest()["starttime"][0] or "") > back
    wait_for(is_new, "newer ones")
    traffic.stop()
    wait_until_quiet(lambda: len(supervisor.said))
    updates = supervisor.updates(LOOP)
    begins = [millis(update["starttime"][0] or "") for update in updates]
    assert begins == list(range(begins[0], begins[0] + 2000 * len(begins), 2000)), "even intervals, each once"
    assert begins[0] % 2000 == 0 and begins[0] >= asked - 2000, "never one that began before anything was known"
    books = counted(receiver, begins[0], begins[-1] + 2000)
    compared = 0
    for begin, update in zip(begins, updates, strict=True):
        whole = [books[begin + 1000 * part] for part in range(2) if begin + 1000 * part in books]
        expected = str(sum(whole)) if len(whole) == 2 else None
        assert update["vehicles"][0] == expected, (begin, update, books)
        compared += expected is not None
        if expected is not None:
            assert update["speed"][0] == "47" and update["occupancy"][0] in ("12", "13")
            missed = gone <= begin + 2000 <= back
            # While the connection comes to stand it is either.
            either = abs(begin + 2000 - gone) < 1500 or back < begin + 2000 <= stands + 500
            assert missed == (update["vehicles"][1] == "old") or either, update
    assert compared >= len(updates) // 2, "most of them were observed whole"
    assert sum(update["vehicles"][1] == "old" for update in updates) >= 2
    of_all = {one["start"][0]: one["vehicles"][0] for one in supervisor.updates(MAIN)}
    for update in updates:
        value = update["vehicles"][0]
        assert of_all[update["starttime"][0]] == ("-1" if value is None else value)
    assert supervisor.faults == []
    assert gateway.stop() == 0


def test_alarms_of_an_outage_with_a_kill_come_afterwards(scene: Scene, supervisor: Supervisor) -> None:
    gateway = scene.start(gateway_of(scene, supervisor))
    supervisor.wait_for_site(1)
    supervisor.stop()
    receiver = scene.receiver()
    device = scene.device()
    # Raised, cleared, and raised again, which still stands.
    for number in range(2):
        device.publish("aux/aux-1/value", str(number))
        device.flush()
        of_judge = lambda: [v for v in receiver.ledger().in_order() if v.fields["judge"] == "quiet"]
        states = lambda: [verdict.fields["event"]["state"] for verdict in of_judge()]
        wait_for(lambda: states().count("raised") == number + 1, "it is silent")
    gateway.kill()
    supervisor.start()
    scene.start(gateway)
    supervisor.wait_for_site(2)
    wait_for(lambda: len(supervisor.alarms(AUX, "A0303", 2)) >= 3, "what was in the outage")
    wait_until_quiet(lambda: len(supervisor.said))
    alarms = [alarm for alarm in supervisor.of("Alarm", 2) if alarm["aCId"] == "A0303"]
    first, *buffered = [(alarm["aS"], alarm["aTs"]) for alarm in alarms]
    assert first[0] == "Active", "all alarms first, as they stand"
    assert [state for state, _ in buffered[:2]] == ["Active", "inActive"], "then what was, in order"
    assert buffered[0][1] < buffered[1][1] < first[1] and first not in buffered, "and nothing twice"
    statuses = supervisor.of("AggregatedStatus", 2)
    assert statuses[0]["se"][3] is True and statuses[-1]["se"][3] is True, "priority 2 of a serious detector"
    assert supervisor.faults == []


def test_alarms_are_acknowledged_suspended_resumed_and_requested(scene: Scene, supervisor: Supervisor) -> None:
    receiver = scene.receiver()
    scene.start(gateway_of(scene, supervisor))
    supervisor.wait_for_site(1)
    device = scene.device()
    device.publish("aux/aux-1/value", "1")
    said = lambda: supervisor.alarms(AUX, "A0303")
    wait_for(lambda: said()[-1:] == [("Issue", "Active", "notSuspended", "notAcknowledged")], "it is silent")

    def wish(kind: str, code: str = "A0303") -> dict:
        about = {"cId": AUX, "aCId": code, "xACId": "", "xNACId": "", "aSp": kind}
        if kind == "Acknowledge":
            about |= {"ack": "Acknowledged", "aTs": "2026-11-29T12:00:00.000Z"}
        return supervisor.ask({"type": "Alarm", "ntsOId": "", "xNId": ""} | about)

    assert wish("Request")["type"] == "MessageAck"
    wait_for(lambda: len(said()) >= 3 and said()[-1][0] == "Issue", "how it stands")
    assert wish("Acknowledge")["type"] == "MessageAck"
    wait_for(lambda: said()[-1] == ("Acknowledge", "Active", "notSuspended", "Acknowledged"), "it is acknowledged")
    did = lambda verdict: (verdict.fields.get("action") or {}).get("kind")
    done = lambda: [verdict for verdict in receiver.ledger().in_order() if did(verdict) == "acknowledged"]
    assert wait_for(done, "the books have it")[0].fields["action"]["by"] == "uplink traffic"
    links = lambda: [route["links"][0].get("rsmp") for status in receiver.statuses() for route in status["routes"]]
    wait_for(lambda: any(link and (link["state"], link["components"]) == ("up", 3) for link in links()), "the status")
    assert wish("Suspend")["type"] == "MessageAck"
    wait_for(lambda: said()[-1][::2] == ("Suspend", "suspended"), "it is suspended")
    count = len(said())
    device.publish("aux/aux-1/value", "2")
    state = lambda verdict: (verdict.fields.get("event") or {}).get("state")
    wait_for(lambda: [v for v in receiver.ledger().in_order() if state(v) == "cleared"], "it sends again")
    time.sleep(0.5)
    assert len(said()) == count, "a suspended alarm says nothing of itself"
    assert wish("Resume")["type"] == "MessageAck"
    wait_for(lambda: said()[-1][::2] == ("Suspend", "notSuspended"), "it is resumed")
    refusal = wish("Acknowledge", "A0301")
    assert (refusal["type"], "has no alarm" in refusal["rea"]) == ("MessageNotAck", True)
    argument = {"cCI": "M0008", "n": "status", "cO": "setForceDetectorLogic", "v": "True"}
    identifier = supervisor.send({"type": "CommandRequest", "cId": AUX, "arg": [argument]})
    assert wait_for(lambda: supervisor.answers.get(identifier), "a refusal")["type"] == "MessageNotAck"
    assert supervisor.faults == []


@pytest.mark.parametrize(
    "wrong",
    [{"SXL": "1.0.15"}, {"RSMP": [{"vers": "3.1.5"}]}, {"siteId": [{"sId": "RN+SI0002"}]}],
    ids=["sxl", "rsmp", "site"],
)
def test_a_supervisor_of_another_version_is_refused_and_tried_again(
    scene: Scene, supervisor: Supervisor, wrong: dict
) -> None:
    supervisor.version = wrong
    gateway = gateway_of(scene, supervisor)
    checked = gateway.check("--listen", "0")
    assert checked.returncode == 78 and "do not agree" in checked.stdout, checked.stdout
    scene.start(gateway)
    wait_for(lambda: supervisor.connections >= 4, "it is tried again")
    refusals = [answer for answer in supervisor.answers.values() if answer["type"] == "MessageNotAck"]
    assert refusals and all("expected" in answer["rea"] for answer in refusals)
    assert "the versions do not agree" in gateway.whole_log()
    assert supervisor.of("AggregatedStatus") == []
    supervisor.version = {}
    # On whichever connection: one of them may be about to exchange versions.
    wait_for(lambda: supervisor.of("AggregatedStatus"), "the site", 30)
    assert supervisor.faults == []


def test_noise_is_borne_and_acknowledgements_that_stop_are_not(scene: Scene, supervisor: Supervisor) -> None:
    scene.start(gateway_of(scene, supervisor, ack_timeout="2s"))
    supervisor.wait_for_site(1)
    short = (b"", b"\x0c" * 1000, b"{", b"\x00\xff", b'{"type":"Alarm"}', b'{"type":"Watchdog","mType":"rSMsg"}')
    for noise in (*short, b"[" * 100_000, b"x" * 5_000_000):
        supervisor.send_raw(noise + b"\x0c")
    pieces = str(uuid.uuid4())
    watchdog = {"mType": "rSMsg", "type": "Watchdog", "mId": pieces, "wTs": "2026-11-29T12:00:00.000Z"}
    for byte in json.dumps(watchdog).encode() + b"\x0c":
        supervisor.send_raw(bytes([byte]))
    wait_for(lambda: supervisor.answers.get(pieces), "a message in pieces is read")
    identifier = supervisor.send({"type": "StatusRequest", "cId": "nobody", "sS": [{"sCI": "S0201", "n": "vehicles"}]})
    wait_for(lambda: supervisor.of("StatusResponse"), "an answer about nobody")
    assert supervisor.answers[identifier]["type"] == "MessageAck"
    assert supervisor.of("StatusResponse")[0]["sS"] == [{"sCI": "S0201", "n": "vehicles", "s": None, "q": "undefined"}]
    identifier = supervisor.send({"type": "StatusRequest", "cId": LOOP, "sS": [{"sCI": "S9999", "n": "x"}]})
    assert wait_for(lambda: supervisor.answers.get(identifier), "a refusal")["type"] == "MessageNotAck"
    assert supervisor.connections == 1, "none of it ends the connection"
    supervisor.acks = False
    device = scene.device()
    device.publish("aux/aux-1/value", "1")
    wait_for(lambda: supervisor.connections >= 2, "the line is given up")
    supervisor.acks = True
    supervisor.hang_up()
    alarm = ("Issue", "Active", "notSuspended", "notAcknowledged")
    newest = lambda: supervisor.alarms(AUX, "A0303", supervisor.connections)
    wait_for(lambda: newest()[:1] == [alarm], "what was not acknowledged", 30)
    assert supervisor.faults == []


def test_a_half_open_line_is_noticed_and_loses_nothing(scene: Scene, supervisor: Supervisor) -> None:
    chaos = Chaos(supervisor.port)
    url = f"rsmp://{HOST}:{chaos.port}"
    gateway = scene.start(gateway_of(scene, supervisor, url=url, other=True, ack_timeout="2s"))
    supervisor.wait_for_site(1)
    receiver, device = scene.receiver(), scene.device()

    def alarms(first: int = 1) -> set[tuple[str, int]]:
        """What was said from this connection on: active or not, and since when."""
        said = [one.content for one in list(supervisor.said) if one.connection >= first]
        of = [one for one in said if one["type"] == "Alarm" and one["aCId"] == "A0009"]
        return {(alarm["aS"], millis(alarm["aTs"])) for alarm in of}

    def booked() -> set[tuple[str, int]]:
        """The same by the books. Two may share a millisecond."""
        found = set()
        for verdict in receiver.ledger().in_order():
            event = verdict.fields.get("event") or {}
            if event.get("state") == "raised":
                found.add(("Active", event["since"]))
            if event.get("state") == "cleared":
                found.add(("inActive", verdict.fields["received"]))
        return found

    def publish(count: int) -> None:
        for number in range(count):
            device.publish("pump/pump-1/pressure", "1" if number % 2 == 0 else "-1")
            time.sleep(0.02)
        device.flush()

    chaos.switch(Mode.HALF_OPEN)
    publish(40)
    receiver.wait_for_different(40)
    wait_for(lambda: "has not acknowledged a message within 2 s" in gateway.whole_log(), "it is noticed")
    chaos.switch(Mode.PASS)
    wait_for(lambda: booked() <= alarms(), "all of them")
    # What waited in the proxy when it stopped reading may have come on the first connection.
    later = alarms(2) & booked()
    assert len(later) >= len(booked()) // 2, "they came again, on another connection"
    chaos.switch(Mode.SLICER)
    publish(10)
    receiver.wait_for_different(50)
    wait_for(lambda: booked() <= alarms(), "in pieces of a few bytes")
    assert supervisor.faults == []


@pytest.mark.alone
def test_what_is_buffered_goes_out_quickly(scene: Scene, supervisor: Supervisor) -> None:
    count = 10_000 if is_full() else 2000
    gateway = scene.start(gateway_of(scene, supervisor, other=True))
    supervisor.wait_for_site(1)
    supervisor.stop()
    receiver = scene.receiver()
    device = scene.device()
    for number in range(count):
        device.publish("pump/pump-1/pressure", "1" if number % 2 == 0 else "-1")
    device.flush()
    receiver.wait_for_different(count, 240)
    supervisor.delay = 0.001
    supervisor.start()
    supervisor.wait_for_site(2)
    began = time.monotonic()
    alarms = lambda: [alarm for alarm in supervisor.of("Alarm", 2) if alarm["aCId"] == "A0009"]
    wait_for(lambda: len(alarms()) >= count, "all alarms, then all but the last of these", 60)
    lasted, sent = time.monotonic() - began, len(supervisor.of("Alarm", 2) + supervisor.of("AggregatedStatus", 2))
    print(f"{sent} buffered messages in {lasted:.1f} s, {sent / lasted:.0f}/s, at 1 ms to each acknowledgement")
    print(rows([Mark.at_most("10,000 buffered messages, s", 10_000 * lasted / sent, 60.0)]))
    # The mark is 10,000 in a minute; that all came within the minute above is what any machine has to do.
    assert [fault for said in supervisor.said[-count::50] for fault in SCHEMA.faults(said.content)] == []
    assert gateway.stop() == 0
