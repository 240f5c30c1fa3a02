"""SIGTERM ends the gateway in time, whatever it waits for."""

from pathlib import Path

import paho.mqtt.client as mqtt

from peers import HOST, Listener, free_port
from scene import Scene, number_source, threshold
from waiting import wait_for

# What supervisors grant before they kill: ten seconds (Docker).
GRANTED = 10.0


def at_most_once(listener: Listener) -> mqtt.Client:
    """A device that publishes at QoS 0."""
    device = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="careless", protocol=mqtt.MQTTv311)
    assert listener.login is not None
    device.username_pw_set(listener.login.username, listener.login.password)
    device.max_queued_messages_set(0)
    device.connect(HOST, listener.port)
    device.loop_start()
    wait_for(device.is_connected, "the device is connected")
    return device


def test_a_full_store_without_upstream_under_messages_of_qos_0(scene_without_upstream: Scene, tmp_path: Path) -> None:
    """The queue of the judges, and the store's, are full by then: nobody will ever empty them."""
    scene = scene_without_upstream
    # Where nobody listens.
    scene.upstream.listeners[0].port = free_port()
    judge = {"numbered": threshold(["numbers"], above=0, update_every="0s", lane="verdict")}
    gateway = scene.gateway({"numbers": number_source("numbers/+/value")}, judge)
    small = {"store_cap": "16 MiB", "replay_bytes": "1 MiB", "ballast": "0 B"}
    gateway.settings["gateway"] |= small
    scene.start(gateway)
    device = at_most_once(scene.site.listeners[0])
    sent = 0

    def flood() -> bool:
        nonlocal sent
        for sent in range(sent + 1, sent + 2_001):
            device.publish("numbers/counter/value", str(sent), qos=0)
        return "full" in gateway.log()

    wait_for(flood, "the store is full", 120)
    for _ in range(10):
        flood()
    assert gateway.is_running
    # Within the granted time, else this raises.
    assert gateway.stop(GRANTED) == 0
    device.disconnect()
    device.loop_stop()
    log = gateway.whole_log()
    assert "these verdicts are not stored" in log
    assert "panic" not in log
