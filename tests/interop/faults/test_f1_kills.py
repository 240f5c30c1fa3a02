"""F1: kill -9 of the gateway, again and again, under 200 verdicts a second: 0 lost, few duplicates, soon ready again."""

import random
import statistics
import time

import pytest

from counting import SOURCE, Numbers, check_fresh_alarm, judges, wait_for_numbers
from figures import Figures, percentile
from programs import is_full
from scene import Scene
from waiting import wait_for

KILLS = 500 if is_full() else 20
A_SECOND = 200
# One window of 64 messages with 20 verdicts each, and what is delivered in 100 ms.
MOST_DUPLICATES = {"verdict": 64 * 20 + 20, "alarm": 64 + 20}


@pytest.mark.parametrize("lane", ["verdict", "alarm"])
def test_killed_again_and_again(scene: Scene, lane: str, figures: Figures) -> None:
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway(SOURCE, judges(lane)))
    numbers = Numbers(scene.device(), A_SECOND)
    count = receiver.counter()
    chance = random.Random(lane)
    duplicates: list[int] = []
    ready: list[float] = []
    total_before = 0
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.02, 1.5))
        gateway.kill()
        before = scene.site.subscriptions(scene.client_id)
        began = time.monotonic()
        gateway.start()
        # Ready: it takes readings again.
        wait_for(lambda: scene.site.subscriptions(scene.client_id) > before, "the gateway at work again", 30)
        ready.append(time.monotonic() - began)
        count()
        total = receiver.repeated()
        duplicates.append(total - total_before)
        total_before = total
    last = numbers.stop()
    ledger = wait_for_numbers(receiver, last)
    check_fresh_alarm(scene, receiver)
    figures.note(
        f"F1 ({lane})",
        kills=KILLS,
        verdicts=last,
        lost=0,
        duplicates_a_kill=round(ledger.duplicates / KILLS, 1),
        most_duplicates=max(duplicates),
        ready_p50_s=round(statistics.median(ready), 2),
        ready_p99_s=round(percentile(ready, 99), 2),
    )
    # What waited while the gateway was away goes out within those 100 ms, too.
    assert max(duplicates) <= MOST_DUPLICATES[lane] + A_SECOND * max(ready)
