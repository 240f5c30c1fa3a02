"""F9: kill -9 of the gateway over backlogs, with brokers that keep few, many or all messages in flight: none is lost,
and none is judged twice."""

import random
import time
from collections import Counter

import pytest

from chaos import Chaos, Mode
from counting import SOURCE, TOPIC, Numbers, check_fresh_alarm, judges, observed, wait_for_numbers
from figures import Figures
from programs import is_full
from scene import Scene
from waiting import wait_for, wait_until_quiet

KILLS = 60 if is_full() else 5
A_SECOND = 4000 if is_full() else 2500
# Time with and without a gateway: what comes without one waits at the broker.
UP_S = (0.05, 1.0)
DOWN_S = (0.0, 2.0)
# A broker that keeps everything in flight sends all of it again after a kill.
EVERYTHING = 0
BACKLOG = 30_000 if is_full() else 12_000
BACKLOG_KILLS = 9 if is_full() else 3


def keep_in_flight(scene: Scene, messages: int) -> None:
    """From now on the site's broker keeps at most this number of messages in flight towards a client."""
    scene.site.stop()
    scene.site.max_inflight = messages
    scene.site.start()


@pytest.mark.parametrize("lane", ["alarm", "telemetry"])
def test_no_acknowledgement_arrives_before_the_kill(scene: Scene, lane: str, figures: Figures) -> None:
    keep_in_flight(scene, EVERYTHING)
    receiver = scene.receiver()
    chaos = Chaos(scene.site.port)
    try:
        gateway = scene.gateway(SOURCE, judges(lane))
        gateway.settings["local"]["url"] = f"mqtt://127.0.0.1:{chaos.port}"
        numbers, seen = 0, receiver.counter()
        device = scene.device()
        for kill in range(1, BACKLOG_KILLS + 1):
            chaos.switch(Mode.PASS)
            scene.start(gateway)
            # From here on the broker hears nothing of the gateway, which hears and judges all that comes.
            chaos.switch(Mode.DEAF)
            for number in range(numbers + 1, numbers + BACKLOG // BACKLOG_KILLS + 1):
                device.publish(TOPIC, str(number))
            numbers += BACKLOG // BACKLOG_KILLS
            device.flush()
            wait_for(lambda at=numbers: seen() >= at, f"{numbers} verdicts after {kill - 1} kills", 120)
            gateway.kill()
        chaos.switch(Mode.PASS)
        scene.start(gateway)
        device.publish(TOPIC, str(numbers + 1))
        ledger = wait_for_numbers(receiver, numbers + 1, 120)
        check_fresh_alarm(scene, receiver)
    finally:
        chaos.close()
    figures.note(f"F9 (no acknowledgement, {lane})", kills=BACKLOG_KILLS, verdicts=numbers + 1, lost=0, judged_twice=0, duplicates=ledger.duplicates)


@pytest.mark.parametrize(("in_flight", "lane"), [(20, "alarm"), (1000, "verdict"), (EVERYTHING, "telemetry")])
def test_killed_over_a_backlog(scene: Scene, in_flight: int, lane: str, figures: Figures) -> None:
    keep_in_flight(scene, in_flight)
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway(SOURCE, judges(lane)))
    numbers = Numbers(scene.device(), A_SECOND)
    chance = random.Random(f"{in_flight} {lane}")
    for _ in range(KILLS):
        time.sleep(chance.uniform(*UP_S))
        gateway.kill()
        time.sleep(chance.uniform(*DOWN_S))
        gateway.start()
    last = numbers.stop(300)
    ledger = wait_for_numbers(receiver, last, 1800)
    check_fresh_alarm(scene, receiver)
    figures.note(f"F9 ({in_flight or 'all'} in flight)", kills=KILLS, verdicts=last, lost=0, judged_twice=0, duplicates=ledger.duplicates)


@pytest.mark.parametrize("kind", ["broker", "both"])
def test_site_broker_killed_over_a_backlog(scene: Scene, kind: str, figures: Figures) -> None:
    """A broker that is killed forgets what it received since it last wrote its sessions: what it acknowledged to the device is
    lost with it, and what the gateway acknowledged comes again. What the gateway makes of that is sound."""
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway(SOURCE, judges("verdict")))
    chance = random.Random(kind)
    seen = receiver.counter()
    first, up_to = 1, 0
    for _ in range(KILLS):
        up_to = first + chance.randint(200, 2000)
        device = scene.device(f"device-{first}")
        for number in range(first, up_to):
            device.publish("numbers/counter/value", str(number))
        device.flush()
        device.close()
        # Everything acknowledged to the device is on the broker's disk; some of it the gateway has judged and acknowledged.
        scene.site.save()
        wait_for(lambda at=first: seen() >= at, "the gateway at work", 120)
        time.sleep(chance.uniform(0, 0.2))
        scene.site.kill()
        if kind == "both":
            gateway.kill()
        scene.site.start()
        if kind == "both":
            gateway.start()
        first = up_to
    wait_for(lambda: seen() >= up_to - 1, f"{up_to - 1} verdicts", 120)
    wait_until_quiet(lambda: len(receiver.arrivals))
    ledger = receiver.ledger()
    ledger.assert_sound()
    times = Counter(observed(ledger))
    assert sorted(times) == list(range(1, up_to)), "each number is judged"
    # With each kill the pause before the next attempt has grown, up to a minute.
    check_fresh_alarm(scene, receiver, 90)
    again = sum(count - 1 for count in times.values())
    figures.note(f"F9 (kills of {kind})", kills=KILLS, verdicts=up_to - 1, lost=0, judged_twice=again)
