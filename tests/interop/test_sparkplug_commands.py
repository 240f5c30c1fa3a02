"""A host of Sparkplug B commands the gateway: alarms and limits, through the executor of all commands; devices that die."""

import time
from collections.abc import Iterator

import pytest
from gateway import Gateway, Settings
from peers import Mosquitto
from scene import Scene, number_source, threshold
from sparkplug import GROUP, NODE, SparkplugHost
from waiting import wait_for

DEVICE = f"spBv1.0/{GROUP}/DCMD/{NODE}/pump"
POINT = "numbered/value/high"


@pytest.fixture(name="broker")
def _broker(scene_without_upstream: Scene) -> Mosquitto:
    return scene_without_upstream.other_upstream()


@pytest.fixture(name="host")
def _host(broker: Mosquitto) -> Iterator[SparkplugHost]:
    host = SparkplugHost(broker)
    yield host
    host.close()


def started(scene: Scene, broker: Mosquitto, **changes: object) -> Gateway:
    judges: Settings = {
        "numbered": threshold(["numbers"], above=7, update_every="0s", lane="alarm", severity="critical"),
        "silence": {"inputs": ["numbers"], "detector": "silence", "after": "2s"},
    }
    judges["numbered"]["settable"] = {"above": [6.0, 10.0]}
    uplink: Settings = {"kind": "sparkplug", "url": broker.url, "insecure_plaintext": True, "group": GROUP, "node": NODE}
    source = {"numbers": number_source("numbers/+/value", "value")}
    return scene.start(scene.gateway(source, judges, scada=uplink | {"confirm": "200ms"} | changes))


def test_a_host_acknowledges_shelves_and_sets_within_bounds(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    gateway = started(scene, broker, commands=True)
    host.wait_for("NBIRTH")
    device = scene.device()
    device.publish("numbers/pump/value", "8")
    device.flush()
    wait_for(lambda: host.latest(f"{POINT}/active") is True, "the alarm is there")
    assert host.latest("Limits/numbered/above") == 7.0 and host.latest(f"{POINT}/acknowledged") is False

    host.command((f"{POINT}/acknowledged", "boolean_value", True), topic=DEVICE)
    wait_for(lambda: host.latest(f"{POINT}/acknowledged") is True, "it is acknowledged")
    wait_for(lambda: host.latest("Status/Command") == "done", "the host has the answer")
    host.command((f"{POINT}/shelved", "boolean_value", True), topic=DEVICE)
    wait_for(lambda: host.latest(f"{POINT}/shelved") is True, "it is shelved")
    host.command((f"{POINT}/shelved", "boolean_value", False), topic=DEVICE)
    wait_for(lambda: host.latest(f"{POINT}/shelved") is False, "it is back")

    host.command(("Limits/numbered/above", "double_value", 9.5))
    wait_for(lambda: host.latest("Limits/numbered/above") == 9.5, "the limit is set, and read back at once", 10)
    host.command(("Limits/numbered/above", "double_value", 99.0))
    wait_for(lambda: host.latest("Status/Command") not in (None, "done"), "beyond its bounds it is refused, with the reason")
    assert host.latest("Limits/numbered/above") == 9.5
    host.command((f"{POINT}/active", "boolean_value", False), topic=DEVICE)
    device.publish("numbers/pump/value", "9")
    device.flush()
    wait_for(lambda: host.latest(f"{POINT}/active") is False, "9 lies below the limit")
    assert gateway.stop() == 0
    host.assert_sound()


def test_without_the_setting_a_host_commands_nothing(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    gateway = started(scene, broker)
    host.wait_for("NBIRTH")
    device = scene.device()
    device.publish("numbers/pump/value", "8")
    device.flush()
    wait_for(lambda: host.latest(f"{POINT}/active") is True, "the alarm is there")
    host.command((f"{POINT}/acknowledged", "boolean_value", True), topic=DEVICE)
    host.command(("Limits/numbered/above", "double_value", 9.5))
    time.sleep(1)
    assert host.latest(f"{POINT}/acknowledged") is False
    assert gateway.stop() == 0


def test_a_silent_device_dies_and_is_born_again(
    scene_without_upstream: Scene, broker: Mosquitto, host: SparkplugHost
) -> None:
    scene = scene_without_upstream
    gateway = started(scene, broker, silent_device="death")
    host.wait_for("NBIRTH")
    device = scene.device()
    device.publish("numbers/pump/value", "8")
    device.flush()
    host.wait_for("DDEATH")
    births = len(host.of("DBIRTH"))
    device.publish("numbers/pump/value", "9")
    device.flush()
    host.wait_for("DBIRTH", births + 1)
    wait_for(lambda: host.latest("silence/value/silent/active") is False, "the birth says that it sends")
    assert gateway.stop() == 0
