"""The embedded broker with `durable = true`: what a device has an acknowledgement for is judged and committed, whatever happens."""

import random
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from broker_site import HOST, Site, pump_site
from clients import VERDICT_CHANNELS
from scene import Scene
from waiting import wait_for
from wire import decode


class Counting:
    """A device that publishes 10, 11, 12, … as fast as it is acknowledged, and notes which are."""

    def __init__(self, site: Site, device: str, protocol: int, first: int):
        self.device = device
        # What a packet identifier stands for, and those that were acknowledged. No lock: paho-mqtt holds one of its own while it
        # calls back, and while it publishes.
        self._of: dict[int, int] = {}
        self._done: set[int] = set()
        self._next = first
        self.client = site.paho(device, device, protocol)
        self.client.max_inflight_messages_set(20)
        self.client.on_publish = self._note
        self.connected = threading.Event()
        self.client.on_connect = lambda *_: self.connected.set()
        self.client.connect(HOST, site.port)
        self.client.loop_start()
        assert self.connected.wait(10)

    def _note(self, _client: object, _data: object, mid: int, *_: object) -> None:
        self._done.add(mid)

    @property
    def acknowledged(self) -> set[int]:
        return {self._of[mid] for mid in list(self._done) if mid in self._of}

    def send(self, count: int) -> None:
        for _ in range(count):
            sent = self.client.publish(f"plant/{self.device}/vibration", str(self._next), qos=1)
            self._of[sent.mid] = self._next
            self._next += 1

    def last(self) -> int:
        return self._next - 1

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def committed(site: Site, device: str) -> set[int]:
    """The values about which there are verdicts. Each message is decoded once."""
    while site.decoded < len(site.receiver.arrivals):
        arrival = site.receiver.arrivals[site.decoded]
        site.decoded += 1
        if arrival.channel not in VERDICT_CHANNELS:
            continue
        for verdict in decode(arrival.payload).verdicts:
            fields = verdict.fields
            site.values.setdefault(fields["device"], set()).add(int(fields["anomaly"]["observed"]))
    return set(site.values.get(device, ()))


@pytest.mark.parametrize("protocol", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_nothing_acknowledged_is_lost_by_kills_of_the_gateway(scene: Scene, tmp_path: Path, protocol: int) -> None:
    chance = random.Random(19)
    with pump_site(scene, tmp_path, durable=True) as site:
        acknowledged: set[int] = set()
        first = 10
        for _ in range(6):
            device = Counting(site, "pump-1", protocol, first)
            # A slow medium: much is in memory alone when the kill comes.
            with site.store_stalled(0.3):
                device.send(400)
                wait_for(lambda device=device: len(device.acknowledged) > 20, "the first are acknowledged")
                time.sleep(chance.uniform(0.0, 0.3))
                site.gateway.kill()
            time.sleep(0.2)
            device.client.loop_stop()
            acknowledged |= device.acknowledged
            first = device.last() + 1
            site.gateway.start()
            site.wait_until_served()
        assert len(acknowledged) > 120
        wait_for(lambda: acknowledged <= committed(site, "pump-1"), "all that was acknowledged is there", 60)


def test_an_acknowledgement_waits_for_the_store(scene: Scene, tmp_path: Path) -> None:
    """A store that cannot commit: nothing is acknowledged. Once it can, all is."""
    with pump_site(scene, tmp_path, durable=True) as site:
        device = Counting(site, "pump-1", mqtt.MQTTv311, 10)
        device.send(5)
        wait_for(lambda: len(device.acknowledged) == 5, "they are acknowledged")
        with site.store_stalled():
            device.send(50)
            time.sleep(1.5)
            assert len(device.acknowledged) == 5, "before they are committed"
        wait_for(lambda: len(device.acknowledged) == 55, "afterwards all are", 30)
        wait_for(lambda: committed(site, "pump-1") == set(range(10, 65)), "and judged once each")
        device.close()


@pytest.mark.parametrize("durable", [False, True])
def test_devices_wait_while_the_gateway_cannot_follow(scene: Scene, tmp_path: Path, durable: bool) -> None:
    """More than the judges' queue holds, by several devices at once: all of it is judged, in the end."""
    with pump_site(scene, tmp_path, durable=durable, rate=1_000_000) as site:
        with site.store_stalled():
            devices = [Counting(site, f"pump-{number}", mqtt.MQTTv311, 10) for number in range(3)]
            for device in devices:
                device.send(500)
            time.sleep(3)
        for device in devices:
            wait_for(lambda device=device: len(device.acknowledged) == 500, "all are acknowledged", 60)
            device.close()
        for number in range(3):
            expected = set(range(10, 510))
            wait_for(lambda n=number: committed(site, f"pump-{n}") == expected, "all are judged", 60)
        assert site.broker()["restarts"] == 0
