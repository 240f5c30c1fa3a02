"""F8: the embedded broker's process is killed, or stopped so that it hangs: noticed within 30 s, started again, and with
`durable = true` nothing that a device has an acknowledgement for is lost."""

import os
import random
import signal
import time
from pathlib import Path

import paho.mqtt.client as mqtt

from broker_site import Site, pump_site
from figures import Figures, percentile
from programs import is_full
from scene import Scene
from test_broker_durable import Counting, committed
from waiting import wait_for

KILLS, HANGS = (30, 5) if is_full() else (1, 0)
DEVICES = 3
NOTICED_WITHIN_S = 30.0
SEED = 8


def fails(site: Site, number: signal.Signals) -> tuple[float, float]:
    """Sends this to the broker's process; seconds until that is noticed, and until another serves."""
    process = wait_for(site.broker_process, "the broker's process")
    failures, began = site.gateway.whole_log().count("the embedded broker has failed"), time.monotonic()
    os.kill(process, number)
    noticed = lambda: site.gateway.whole_log().count("the embedded broker has failed") > failures  # noqa: E731
    wait_for(noticed, f"{number.name} is noticed", 2 * NOTICED_WITHIN_S)
    after = time.monotonic() - began
    wait_for(lambda: site.broker_process() not in (None, process), "it is started again", 30)
    site.wait_until_served()
    return after, time.monotonic() - began


def test_a_broker_that_dies_or_hangs_is_started_again_and_nothing_committed_is_lost(
    scene: Scene, tmp_path: Path, figures: Figures
) -> None:
    chance = random.Random(SEED)
    with pump_site(scene, tmp_path, durable=True) as site:
        protocols = [mqtt.MQTTv311, mqtt.MQTTv5]
        devices = [Counting(site, f"pump-{n}", protocols[n % 2], 10) for n in range(DEVICES)]
        for device in devices:
            device.client.reconnect_delay_set(min_delay=1, max_delay=1)
        noticed: dict[str, list[float]] = {"SIGKILL": [], "SIGSTOP": []}
        again = []
        for number in [signal.SIGKILL] * KILLS + [signal.SIGSTOP] * HANGS:
            for device in devices:
                device.send(200)
            time.sleep(chance.uniform(0.0, 0.3))
            after, served = fails(site, number)
            noticed[number.name].append(after)
            again.append(served)
            for device in devices:
                wait_for(device.client.is_connected, "the device is connected again", 60)
        for device in devices:
            device.send(10)
            wait_for(lambda device=device: device.last() in device.acknowledged, "what comes afterwards is taken", 60)
        acknowledged = {device.device: device.acknowledged for device in devices}
        for name, numbers in acknowledged.items():
            wait_for(lambda name=name, numbers=numbers: numbers <= committed(site, name), "all acknowledged are there", 60)
        for device in devices:
            device.close()
        slowest = {name: round(max(times), 1) for name, times in noticed.items() if times}
        figures.note(
            "F8", kills=KILLS, hangs=HANGS, acknowledged=sum(map(len, acknowledged.values())), lost=0, noticed_after_s=slowest,
            first_serves_again_s=round(again[0], 1), serves_again_p50_s=round(percentile(again, 50), 1),
            serves_again_slowest_s=round(max(again), 1),
        )
        if is_full():
            assert max(slowest.values()) <= NOTICED_WITHIN_S
            assert site.broker_until(lambda broker: broker["restarts"] >= KILLS + HANGS)["restarts"] == KILLS + HANGS
