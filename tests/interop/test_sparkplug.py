"""The gateway as an edge node of Sparkplug B, before mosquitto and a host that knows the rules."""

import json
import time
from collections.abc import Iterator

import pytest
from faults.chaos import Chaos, Mode
from gateway import Gateway, Settings
from peers import Mosquitto
from scene import Scene, number_source, threshold
from sparkplug import GROUP, NODE, REBIRTH, SparkplugHost
from waiting import wait_for, wait_until_quiet

ACTIVE = "numbered/value/high/active"


def edge_node(url: str, **changes: object) -> Settings:
    """A section [uplink.scada]."""
    given: Settings = {"kind": "sparkplug", "url": url, "insecure_plaintext": True, "group": GROUP, "node": NODE}
    return given | {"confirm": "200ms", "history_rate": 5000} | changes


@pytest.fixture(name="broker")
def _broker(scene_without_upstream: Scene) -> Mosquitto:
    return scene_without_upstream.other_upstream()


@pytest.fixture(name="host")
def _host(broker: Mosquitto) -> Iterator[SparkplugHost]:
    host = SparkplugHost(broker)
    yield host
    host.close()


def started(scene: Scene, url: str, **changes: object) -> Gateway:
    """A gateway that makes an alarm of each number."""
    judge = threshold(["numbers"], above=0, update_every="0s", lane="alarm", severity="critical")
    source = {"numbers": number_source("numbers/+/value", "value")}
    return scene.start(scene.gateway(source, {"numbered": judge}, scada=edge_node(url, **changes)))


def publish(scene: Scene, first: int, last: int) -> None:
    """Numbers that each make a verdict."""
    device = scene.device(f"device-{first}")
    for number in range(first, last + 1):
        device.publish("numbers/pump/value", str(number))
    device.flush()


def all_of(host: SparkplugHost, count: int, seconds: float = 30.0) -> None:
    """Waits until every number has come, live or as history."""
    wait_for(lambda: set(host.observed()) >= set(range(1, count + 1)), f"all {count} numbers", seconds)


def delivered(gateway: Gateway) -> int:
    """Alarms that the store calls delivered."""
    lines = gateway.run("outbox", "ls", "-c", str(gateway.configuration)).stdout.splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("scada ")))


def stored(gateway: Gateway) -> int:
    """Alarms that were committed."""
    listed = gateway.run("--json", "outbox", "ls", "-c", str(gateway.configuration))
    return next(lane["last"] for lane in json.loads(listed.stdout)["lanes"] if lane["lane"] == "alarm")


def test_births_data_and_a_stop_in_good_order(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    gateway = started(scene, broker.url)
    birth = host.wait_for("NBIRTH")[0]
    assert {metric.name for metric in birth.payload.metrics} >= {"bdSeq", REBIRTH, "Properties/Gateway", "Status/State"}
    assert host.bd_seq == 0
    # More than 256 messages: seq wraps.
    publish(scene, 1, 300)
    all_of(host, 300)
    assert host.latest(ACTIVE) is True
    wait_for(lambda: delivered(gateway) == 300, "all are confirmed", 20)
    assert gateway.stop() == 0
    deaths = host.wait_for("NDEATH")
    assert deaths[0].payload.metrics[0].long_value == 0
    wait_until_quiet(lambda: len(host.said))
    assert len(host.of("NDEATH")) == 1, "DISCONNECT: the broker publishes no last will behind it"
    host.assert_sound()


def test_a_storm_of_rebirths_is_one_birth_a_second(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    started(scene, broker.url)
    publish(scene, 1, 3)
    all_of(host, 3)
    # What is unknown or of another type changes nothing.
    host.command(("Node Control/Reboot", "boolean_value", True), (REBIRTH, "int_value", 1))
    host.raw_command(b"\x0a\xff\xff\xff")
    wait_until_quiet(lambda: len(host.of("NBIRTH")))
    assert len(host.of("NBIRTH")) == 1
    began = time.monotonic()
    while time.monotonic() - began < 3.0:
        host.rebirth()
        time.sleep(0.02)
    lasted = time.monotonic() - began
    wait_until_quiet(lambda: len(host.of("NBIRTH")), 1.5)
    births = len(host.of("NBIRTH")) - 1
    assert 2 <= births <= lasted + 2, births
    assert len({said.payload.metrics[0].long_value for said in host.of("NBIRTH")}) == 1, "the same bdSeq"
    assert host.latest(ACTIVE) is True
    host.assert_sound()


def test_killed_its_will_matches_and_the_next_birth_holds_what_stands(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    gateway = started(scene, broker.url)
    publish(scene, 1, 5)
    all_of(host, 5)
    gateway.kill()
    death = host.wait_for("NDEATH", seconds=40)[0]
    assert death.payload.metrics[0].long_value == 0, "as in the birth that it ends"
    before = len(host.values)
    scene.start(gateway)
    host.wait_for("NBIRTH", 2)
    host.wait_for("DBIRTH", 2)
    assert host.bd_seq == 1, "another one than in the will"
    born = [value for value in host.values[before:] if value.name == ACTIVE and value.kind == "birth"]
    assert born and born[0].value is True, "the alarm stands"
    host.assert_sound()


def test_a_broker_that_dies_loses_nothing(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    gateway = started(scene, broker.url)
    publish(scene, 1, 20)
    all_of(host, 20)
    broker.kill()
    publish(scene, 21, 40)
    broker.start()
    # Nothing is handed to a host that is away: it subscribes again within a second or two.
    host.wait_for("NBIRTH", 2, 40)
    wait_for(lambda: delivered(gateway) == 40, "all are confirmed", 40)
    assert host.bd_seq == 1
    host.assert_sound()


def test_what_lies_in_a_half_open_connection_comes_again(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    chaos = Chaos(broker.port)
    url = f"mqtt://127.0.0.1:{chaos.port}"
    gateway = started(scene, url, keep_alive="5s", confirm="1s", rewind="0s")
    publish(scene, 1, 5)
    all_of(host, 5)
    chaos.switch(Mode.BLACK_HOLE)
    for number in range(6, 26):
        publish(scene, number, number)
        time.sleep(0.3)
    chaos.switch(Mode.PASS)
    chaos.reset_all()
    all_of(host, 25, 60)
    assert set(host.observed(historical=True)) >= set(range(8, 26)), "as history"
    wait_for(lambda: delivered(gateway) == 25, "all are confirmed", 20)
    chaos.close()
    host.assert_sound()


def test_an_outage_is_replayed_as_history_with_its_own_times_and_an_alarm_goes_beside_it(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    broker.kill()
    began = int(time.time() * 1000)
    gateway = started(scene, broker.url, history_rate=200)
    publish(scene, 1, 100)
    wait_for(lambda: stored(gateway) == 100, "all are judged")
    ended = int(time.time() * 1000)
    broker.start()
    host.wait_for("NBIRTH", seconds=40)
    wait_for(lambda: host.observed(historical=True), "history", 20)
    at = time.monotonic()
    publish(scene, 1000, 1000)
    wait_for(lambda: 1000.0 in host.observed(historical=False), "the alarm", 20)
    assert time.monotonic() - at < 2.0
    assert len(host.observed(historical=True)) < 100, "history is not through"
    wait_for(lambda: len(host.observed(historical=True)) >= 100, "all of it", 60)
    history = [value for value in host.values if value.historical and value.name.endswith("/observed")]
    assert [value.value for value in history] == list(range(1, 101)), "oldest first, each once"
    assert all(began <= value.time_ms <= ended for value in history), "with their own times"
    wait_for(lambda: delivered(gateway) == 101, "all are confirmed", 20)
    host.assert_sound()


@pytest.mark.parametrize("form", ["new", "old"])
def test_nothing_is_born_without_its_primary_host(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost, form: str
) -> None:
    scene = scene_without_upstream
    topic = "spBv1.0/STATE/scada" if form == "new" else "STATE/scada"

    def say(online: bool, at: int) -> None:
        text = f'{{"online":{str(online).lower()},"timestamp":{at}}}' if form == "new" else "ONLINE" if online else "OFFLINE"
        host.state(text, topic)

    started(scene, broker.url, host="scada")
    wait_until_quiet(lambda: len(host.said))
    assert not host.said, "nothing before the host"
    say(True, 100)
    host.wait_for("NBIRTH")
    if form == "new":
        say(False, 99)
        wait_until_quiet(lambda: len(host.said))
        assert not host.of("NDEATH"), "an older time is ignored"
    say(False, 101)
    host.wait_for("NDEATH")
    wait_until_quiet(lambda: len(host.said), 2.0)
    assert (len(host.of("NBIRTH")), len(host.of("NDEATH"))) == (1, 1), "it waits for its host"
    say(True, 102)
    host.wait_for("NBIRTH", 2)
    assert host.bd_seq == 1
    host.assert_sound()


def test_check_tries_births_and_lists_metrics(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    judge = threshold(["numbers"], above=0)
    source = {"numbers": number_source("numbers/+/value", "value")}
    gateway = scene.gateway(source, {"numbered": judge}, scada=edge_node(broker.url))
    done = gateway.check("--points")
    assert done.returncode == 0 and "the broker has them" in done.stdout, done.stdout
    assert "numbered/SIGNAL/STRAND/" in done.stdout and "observed Double" in done.stdout, done.stdout
    wait_for(lambda: len(host.said) >= 2, "births and a death", 10)
    assert [said.kind for said in host.said] == ["NBIRTH", "NDEATH"]
    # Two judges whose names become one.
    gateway.settings["judge"]["a.b"] = judge
    gateway.settings["judge"]["a_b"] = judge
    done = gateway.check("--offline")
    assert done.returncode == 78 and "as Sparkplug writes it (a_b)" in done.stdout, done.stdout
