"""State topics, retained per point, and Home Assistant's part played by paho: what it needs to show them is there."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from clients import Receiver
from gateway import Gateway
from peers import HOST, Mosquitto
from scene import GATEWAY_ID, Scene, number_source, threshold
from waiting import wait_for

ROOT = f"verge/{GATEWAY_ID}/state"
POINT = f"{ROOT}/pump-1/high/pressure/high"
PRESSURE = "pump/pump-1/pressure"
CONFIG = re.compile(r"homeassistant/device/([A-Za-z0-9_-]+)/config")


class HomeAssistant:
    """Subscribes as Home Assistant does, and knows what is retained now."""

    def __init__(self, broker: Mosquitto, client_id: str = "homeassistant") -> None:
        self.held: dict[str, bytes] = {}
        self.history: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe([("homeassistant/#", 1), ("verge/+/state/#", 1)])
        self._client.on_message = self._take
        self._client.connect(HOST, broker.port)
        self._client.loop_start()

    def _take(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.history.append((message.topic, message.payload))
        if message.payload:
            self.held[message.topic] = message.payload
        else:
            self.held.pop(message.topic, None)

    def state(self, topic: str = POINT) -> dict:
        return json.loads(self.held.get(topic, b"{}"))

    @property
    def presence(self) -> str:
        return self.held.get(ROOT, b"").decode()

    def configs(self) -> dict[str, dict]:
        found = {CONFIG.fullmatch(topic): payload for topic, payload in list(self.held.items()) if "homeassistant" in topic}
        assert None not in found, "only announcements of devices, under identifiers that Home Assistant takes"
        return {match[1]: json.loads(payload) for match, payload in found.items() if match}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def check_discovery(config: dict) -> None:
    """The rules of Home Assistant for a device's announcement, as its documentation has them."""
    assert config["device"]["identifiers"] and config["device"]["name"]
    assert config["origin"]["name"] == "Verge"
    assert all(one["topic"] for one in config["availability"])
    identities = [one["unique_id"] for one in config["components"].values() if len(one) > 1]
    assert len(set(identities)) == len(identities)
    for component in config["components"].values():
        assert component["platform"] in ("binary_sensor", "sensor")
        if len(component) == 1:
            continue
        assert {"name", "unique_id", "state_topic", "value_template"} <= set(component)
        assert component["expire_after"] > 300 and component["availability_mode"] == "all"
        assert all(set(one) <= {"topic", "value_template"} for one in component["availability"])


@pytest.fixture(name="broker")
def _broker(scene_without_upstream: Scene) -> Mosquitto:
    return scene_without_upstream.other_upstream()


@pytest.fixture(name="home")
def _home(broker: Mosquitto) -> Iterator[HomeAssistant]:
    home = HomeAssistant(broker)
    yield home
    home.close()


def settings(scene: Scene, broker: Mosquitto, **changes: object) -> Gateway:
    judges = {"high": threshold(["pump"], above=7.5, severity="critical", update_every="0s")}
    uplink: dict = {"url": broker.url, "insecure_plaintext": True, "format": "json", "homeassistant": True}
    return scene.gateway(
        {"pump": number_source("pump/+/pressure", "pressure")}, judges, centre=uplink | {"stale_after": "10s"} | changes
    )


def verdicts(receiver: Receiver) -> list[dict]:
    return [verdict.fields | {"seq": verdict.seq, "lane": message.lane} for message in receiver.messages() for verdict in message.verdicts]


def test_a_point_is_retained_and_right_after_a_kill(
    scene_without_upstream: Scene, broker: Mosquitto, home: HomeAssistant
) -> None:
    scene = scene_without_upstream
    receiver, gateway = scene.receiver_at(broker), settings(scene, broker)
    scene.start(gateway)
    wait_for(lambda: home.presence == "online", "the gateway is there")
    device = scene.device()
    device.publish(PRESSURE, "8.25")
    device.flush()
    wait_for(lambda: home.state().get("active") is True, "the alarm is shown")
    state = home.state()
    assert (state["quality"], state["fresh"], state["alarm"]) == ("good", True, "unacknowledged")
    assert (state["severity"], state["observed"], state["expected_high"], state["events"]) == ("critical", 8.25, 7.5, 1)
    wait_for(lambda: verdicts(receiver), "the verdict is upstream as well")
    verdict = verdicts(receiver)[-1]
    assert state["event"] == verdict["event"]["id"] and state["seq"] == verdict["seq"]
    config = wait_for(lambda: home.configs().get(f"verge-{GATEWAY_ID}--pump-1"), "its announcement")
    check_discovery(config)
    component = config["components"]["high_pressure_high"]
    assert (component["platform"], component["state_topic"]) == ("binary_sensor", POINT)
    wait_for(lambda: home.state()["quality"] == "stale", "its device is silent")
    assert home.state()["active"] is True and home.state()["fresh"] is False

    # After a kill the broker says that the gateway is away; then the alarm still stands, and is not to be trusted.
    gateway.kill()
    wait_for(lambda: home.presence == "offline", "the last will")
    scene.start(gateway)
    wait_for(lambda: home.presence == "online", "it is there again")
    state = home.state()
    assert (state["active"], state["quality"], state["fresh"]) == (True, "uncertain", False)
    assert state["observed"] == 8.25 and state["seq"] is None
    device.publish(PRESSURE, "5")
    device.flush()
    wait_for(lambda: home.state()["active"] is False and home.state()["fresh"], "it is over")
    assert home.state()["alarm"] == "normal"

    # What was over before a restart is over after it, and not fresh.
    assert gateway.stop() == 0
    wait_for(lambda: home.presence == "offline", "it says so itself")
    scene.start(gateway)
    wait_for(lambda: home.presence == "online", "it is there again")
    state = home.state()
    assert (state["active"], state["fresh"], state["events"]) == (False, False, 1)

    # Whatever was shown is what a verdict says.
    committed = {(verdict["lane"], verdict["seq"]): verdict for verdict in verdicts(receiver)}
    shown = [json.loads(payload) for topic, payload in list(home.history) if topic == POINT and payload]
    numbered = [one for one in shown if one.get("seq") is not None]
    assert len(numbered) >= 3
    for one in numbered:
        verdict = committed[one["lane"], one["seq"]]
        assert one["observed"] == verdict["anomaly"]["observed"] and one["event"] == verdict["event"]["id"]
        assert one["active"] == (verdict["event"]["state"] != "cleared")


def test_what_is_no_more_is_taken_away(scene_without_upstream: Scene, broker: Mosquitto, home: HomeAssistant) -> None:
    scene = scene_without_upstream
    gateway = settings(scene, broker)
    gateway.settings["judge"]["low"] = threshold(["pump"], below=1, update_every="0s")
    scene.start(gateway)
    device = scene.device()
    device.publish(PRESSURE, "8.25")
    device.publish(PRESSURE, "0.5")
    device.publish("pump/pump-2/pressure", "0.5")
    device.flush()
    low = f"{ROOT}/pump-1/low/pressure/low"
    wait_for(lambda: home.state(low).get("active") and home.state().get("active") is False, "both are shown")
    wait_for(lambda: len(home.configs()) == 2, "two devices")
    wait_for(lambda: home.presence == "online", "it is there")
    foreign = "homeassistant/device/verge-another--pump-1/config"
    device_upstream = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="foreign")
    device_upstream.connect(HOST, broker.port)
    device_upstream.loop_start()
    ghost = f"{ROOT}/ghost/high/pressure/high"
    stranger = f"homeassistant/device/verge-{GATEWAY_ID}--someone/config"
    for topic, payload in ((foreign, "{}"), (ghost, "{}"), (stranger, '{"device": {"name": "someone"}}')):
        device_upstream.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)
    device_upstream.disconnect()
    device_upstream.loop_stop()

    assert gateway.stop() == 0
    wait_for(lambda: home.presence == "offline", "it says so itself")
    del gateway.settings["judge"]["low"]
    scene.start(gateway)
    wait_for(lambda: home.presence == "online", "it is there again")
    wait_for(lambda: low not in home.held and ghost not in home.held, "its judge is no more")
    assert POINT in home.held
    assert foreign in home.held and stranger in home.held, "announcements of others stay"
    pump = lambda: home.configs()[f"verge-{GATEWAY_ID}--pump-1"]
    is_removed = lambda: pump()["components"]["low_pressure_low"] == {"platform": "binary_sensor"}
    wait_for(is_removed, "the entity is removed")
    check_discovery(pump())
    wait_for(lambda: f"verge-{GATEWAY_ID}--pump-2" not in home.configs(), "a device without points goes")
    assert f"verge-{GATEWAY_ID}--pump-2" not in home.configs(), "the device has no point any more"

    # The broker forgets everything: all comes again.
    broker.kill()
    for leftover in (broker.folder).glob("*.db"):
        leftover.unlink()
    home.held.clear()
    broker.start()
    wait_for(lambda: home.presence == "online" and POINT in home.held, "all is retained again", 30)


def test_a_stuck_broker_holds_back_nobody(scene: Scene, broker_stuck: Mosquitto) -> None:
    """State topics go to a broker that reads nothing; verdicts to another one arrive as ever."""
    receiver = scene.receiver()
    gateway = settings(scene, broker_stuck)
    gateway.settings["uplink"]["plant"] = scene.uplink(route="plant")
    scene.start(gateway)
    time.sleep(1)
    os.kill(broker_stuck.pid, signal.SIGSTOP)
    device = scene.device()
    try:
        for number in range(400):
            device.publish(PRESSURE, str(8 + number / 1000))
        device.flush()
        wait_for(lambda: len(verdicts(receiver)) >= 400, "all verdicts arrive elsewhere", 20)
    finally:
        os.kill(broker_stuck.pid, signal.SIGCONT)


@pytest.fixture(name="broker_stuck")
def _broker_stuck(scene: Scene) -> Mosquitto:
    return scene.other_upstream()


def test_check_names_topics_and_rights(scene_without_upstream: Scene, broker: Mosquitto) -> None:
    gateway = settings(scene_without_upstream, broker)
    checked = gateway.check("--points", "--json")
    said = json.dumps(json.loads(checked.stdout))
    assert f"{ROOT}/DEVICE/high/SIGNAL/STRAND" in said and f"verge-{GATEWAY_ID}-centre-state" in said
    assert f"{ROOT}/#, homeassistant/device/+/config (retained)" in said and "fresh" in said
