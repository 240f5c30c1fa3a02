"""F4: a WAN that is away while a week's verdicts are made: memory stays, the backlog drains, fresh alarms overtake it, 0 lost.

604,800 verdicts are one a second for seven days. They are made as fast as this machine makes them, so what is tried is the
number of verdicts and the bytes of the store, not the passing of days: what goes by time is tried by the clock tests.
"""

import threading
import time

import pytest

from clients import Receiver
from counting import SOURCE, Numbers, check_fresh_alarm, judges, observed, wait_for_numbers
from figures import Figures, percentile
from programs import is_full
from scene import Scene
from waiting import wait_for

pytestmark = pytest.mark.alone

VERDICTS = 604_800 if is_full() else 20_000
# What the site's broker and the device manage besides on two cores.
A_SECOND = 4_000
MOST_GROWTH_MIB = 64
LEAST_DRAIN = 1_000
LATEST_ALARM_S = 2.0


class FreshAlarms:
    """Makes an alarm every half second while others are busy, and knows when each was made."""

    def __init__(self, scene: Scene):
        self._device = scene.device("alarms")
        self._stop = threading.Event()
        self.made: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 1
        while not self._stop.wait(0.5):
            self.made[number] = time.monotonic()
            self._device.publish("fresh/now/value", str(number))
            number += 1

    def latencies(self, receiver: Receiver) -> list[float]:
        """Ends; says how long each took to its receiver."""
        self._stop.set()
        self._thread.join()
        self._device.flush()
        arrivals: dict[int, float] = {}

        def all_there() -> bool:
            from wire import decode

            for arrival in receiver.of("alarm")[len(arrivals) :]:
                for verdict in decode(arrival.payload).verdicts:
                    arrivals.setdefault(int(verdict.fields["anomaly"]["observed"]), arrival.at)
            return set(self.made) <= set(arrivals)

        wait_for(all_there, "every fresh alarm", 30)
        return [arrivals[number] - made for number, made in self.made.items()]


def test_a_week_without_wan(scene: Scene, figures: Figures) -> None:
    receiver = scene.receiver()
    # As a control room has it: its alarms do not wait behind the backlog of a slow reader.
    watcher = scene.receiver_at(scene.upstream, "watcher", "+/alarm")
    gateway = scene.start(scene.gateway(SOURCE, judges("verdict")))
    first = Numbers(scene.device("first"), 1_000, up_to=2_000)
    first.join()
    receiver.wait_for_different(2_000)
    before = gateway.resident_kib()
    scene.upstream.save()
    scene.upstream.stop()
    device = scene.device()
    numbers = Numbers(device, A_SECOND, up_to=VERDICTS)
    # The two thousand were the first numbers already.
    began = time.monotonic()
    numbers.join(VERDICTS / 500)
    gateway_has_all(gateway, 2_000 + VERDICTS)
    making = time.monotonic() - began
    growth = (gateway.resident_kib() - before) / 1024
    count = receiver.counter()
    scene.upstream.start()
    before_drain = len(receiver.arrivals)
    wait_for(lambda: len(receiver.arrivals) > before_drain + 10, "the drain begins", 120)
    alarms = FreshAlarms(scene)
    wait_for(lambda: count() >= 2_000 + VERDICTS, "the backlog upstream", VERDICTS / 200)
    drain = [arrival.at for arrival in receiver.of("verdict")[before_drain:]]
    rate = VERDICTS / (drain[-1] - drain[0])
    latencies = alarms.latencies(watcher)
    ledger = receiver.ledger()
    ledger.assert_sound()
    found = observed(ledger)
    assert found == sorted([*range(1, 2_001), *range(1, VERDICTS + 1)]), "each number once"
    check_fresh_alarm(scene, receiver)
    figures.note(
        "F4", verdicts=VERDICTS, lost=0, made_a_second=round(VERDICTS / making), rss_growth_mib=round(growth, 1),
        drained_a_second=round(rate), alarms=len(latencies), alarm_p99_s=round(percentile(latencies, 99), 2),
        duplicates=ledger.duplicates,
    )
    assert growth <= MOST_GROWTH_MIB
    assert rate >= LEAST_DRAIN
    assert percentile(latencies, 99) <= LATEST_ALARM_S


def gateway_has_all(gateway: object, verdicts: int) -> None:
    """Waits until the gateway has committed that number of verdicts in the lane."""
    import json

    def committed() -> int:
        looked = gateway.run("outbox", "ls", "-c", str(gateway.configuration), "--json")  # type: ignore[attr-defined]
        return next(lane["last"] for lane in json.loads(looked.stdout)["lanes"] if lane["lane"] == "verdict")

    wait_for(lambda: committed() >= verdicts, f"{verdicts} verdicts committed", 300)
