"""The comparison a user would make: the same numbers and the same faults, by Verge and by mosquitto's own bridge.

5,000 messages, all acknowledged to the publisher. Lost is what the receiver never sees.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import Bridge
from certificates import Certificates
from clients import Device, Receiver
from counting import SOURCE, judges, observed
from figures import Figures
from peers import Listener, Mosquitto
from programs import is_full
from scene import Scene
from waiting import wait_until_quiet

MESSAGES = 5_000
A_SECOND = 500
OUTAGE_S = 60.0 if is_full() else 12.0
# Mosquitto tries a lost bridge again after up to half a minute.
QUIET_S = 40.0 if is_full() else 8.0

# What is done at which second after the first message.
Schedule = list[tuple[float, Callable[[], None]]]


def publish(device: Device, topic: str, schedule: Schedule) -> None:
    """All messages at a steady rate, whatever happens meanwhile; returns when all are acknowledged and all is done."""
    start = time.monotonic()

    def act() -> None:
        for at, what in schedule:
            time.sleep(max(0.0, start + at - time.monotonic()))
            what()

    acting = threading.Thread(target=act)
    acting.start()
    for number in range(1, MESSAGES + 1):
        device.publish(topic, str(number))
        time.sleep(max(0.0, start + number / A_SECOND - time.monotonic()))
    device.flush()
    acting.join()


def upstream_killed_twice(upstream: Mosquitto, _gateway: object) -> Schedule:
    """kill -9 of the broker upstream among the messages, and up again after a second."""
    return [(3, upstream.kill), (4, upstream.start), (6, upstream.kill), (7, upstream.start)]


def outage(upstream: Mosquitto, _gateway: object) -> Schedule:
    """The broker upstream is away, from the midst of the messages to long after the last."""
    return [(2, upstream.stop), (2 + OUTAGE_S, upstream.start)]


def gateway_killed_with_a_backlog(upstream: Mosquitto, gateway: object) -> Schedule:
    """The broker upstream is away; what stands between is killed, and starts again; then upstream comes back."""
    kill, start = gateway.kill, gateway.start  # type: ignore[attr-defined]
    return [(4, upstream.stop), (6.5, kill), (6.6, start), (12, upstream.start)]


SCHEDULES = [upstream_killed_twice, outage, gateway_killed_with_a_backlog]


def upstream_broker(folder: Path) -> Mosquitto:
    """The centre's broker, as reliable as it can be set."""
    return Mosquitto(folder / "upstream", "the broker upstream", [Listener()], max_inflight=0).start()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.__name__)
@pytest.mark.skipif(not is_full(), reason="it tells about mosquitto, not about Verge, and takes minutes: VERGE_FULL=1")
@pytest.mark.parametrize("tuned", [False, True], ids=["default", "tuned"])
def test_bridge(tmp_path: Path, schedule: Callable, tuned: bool, figures: Figures) -> None:
    upstream = upstream_broker(tmp_path)
    receiver = Receiver(upstream.listeners[0])
    upstream.save()
    bridge = Bridge(tmp_path / "bridge", upstream.port, tuned).start()
    device = Device(bridge.listener)
    try:
        publish(device, "verge/counter/alarm", schedule(upstream, bridge))
        wait_until_quiet(lambda: len(receiver.arrivals), QUIET_S, 180)
        seen = {int(json.loads(arrival.payload)) for arrival in receiver.arrivals}
        lost = len(set(range(1, MESSAGES + 1)) - seen)
        figures.note(f"mosquitto bridge ({'tuned' if tuned else 'default'})", schedule=schedule.__name__, messages=MESSAGES, lost=lost)
    finally:
        device.close()
        receiver.close()
        bridge.stop()
        upstream.stop()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.__name__)
def test_verge(tmp_path: Path, certificates: Certificates, schedule: Callable, figures: Figures) -> None:
    scene = Scene(tmp_path, certificates).open()
    try:
        receiver = scene.receiver()
        scene.upstream.save()
        gateway = scene.start(scene.gateway(SOURCE, judges("alarm")))
        publish(scene.device(), "numbers/counter/value", schedule(scene.upstream, gateway))
        # Up to a minute passes between two attempts to connect.
        with contextlib.suppress(TimeoutError):
            receiver.wait_for_different(MESSAGES, 120)
        ledger = receiver.ledger()
        ledger.assert_sound()
        lost = len(set(range(1, MESSAGES + 1)) - set(observed(ledger)))
        figures.note("verge", schedule=schedule.__name__, messages=MESSAGES, lost=lost, duplicates=ledger.duplicates)
        assert lost == 0
    finally:
        print(scene.logs())
        scene.close()
