"""kill -9 in the middle of numbered verdicts: none is lost, and what comes twice is recognised."""

import threading
import time
from collections.abc import Callable

import pytest

from clients import Receiver
from ledger import Ledger
from scene import Scene, number_source, threshold
from waiting import wait_for

NUMBERS = 1000
# Fast enough that the gateway always has some in hand, slow enough that it is killed before the last.
A_SECOND = 200
# The gateway is back at a broker upstream after seconds, which is killed again before the last.
A_SECOND_UPSTREAM = 80


def numbered(lane: str) -> dict:
    """A judge that makes one verdict of each reading: the value is the number."""
    return {"numbered": threshold(["numbers"], above=0, update_every="0s", lane=lane)}


def publish_numbers(scene: Scene, a_second: int = A_SECOND) -> threading.Thread:
    """Publishes 1, 2, 3, … in the background."""
    device = scene.device()

    def run() -> None:
        start = time.monotonic()
        for number in range(1, NUMBERS + 1):
            device.publish("numbers/counter/value", str(number))
            time.sleep(max(0.0, start + number / a_second - time.monotonic()))
        device.flush()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def verdicts_so_far(receiver: Receiver) -> Callable[[], int]:
    """How many different verdicts have arrived."""
    return lambda: len(receiver.ledger().verdicts)


def check_complete(ledger: Ledger, lane: str) -> None:
    """Every number once, in order, one identity each, in one lane without gaps."""
    ledger.assert_sound()
    verdicts = ledger.in_order(lane)
    assert [verdict.seq for verdict in verdicts] == list(range(1, NUMBERS + 1)), "dense numbers"
    observed = [verdict.fields["anomaly"]["observed"] for verdict in verdicts]
    assert observed == list(range(1, NUMBERS + 1)), "each reading once, in order"
    assert len({verdict.fields["event"]["id"] for verdict in verdicts}) == 1, "one event over all restarts"
    assert [verdict.fields["event"]["state"] for verdict in verdicts] == ["raised"] + ["updated"] * (NUMBERS - 1)
    assert len({identity[:3] for identity in ledger.verdicts}) == 1, "one epoch, one lane"


@pytest.mark.parametrize("lane", ["alarm", "verdict"])
def test_gateway_killed_among_numbered_verdicts(scene: Scene, lane: str) -> None:
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway({"numbers": number_source("numbers/+/value")}, numbered(lane)))
    publisher = publish_numbers(scene)
    so_far = verdicts_so_far(receiver)
    for kill_at in (200, 400, 600):
        wait_for(lambda at=kill_at: so_far() >= at, f"{kill_at} verdicts")
        assert so_far() < NUMBERS, "killed in the middle"
        gateway.kill()
        gateway.start()
    publisher.join()
    check_complete(receiver.wait_for_verdicts(NUMBERS), lane)


@pytest.mark.parametrize("lane", ["alarm", "verdict"])
def test_upstream_broker_killed_among_numbered_verdicts(scene: Scene, lane: str) -> None:
    receiver = scene.receiver()
    # The receiver's session is on the broker's disk: what is published before it is back waits for it.
    scene.upstream.save()
    gateway = scene.start(scene.gateway({"numbers": number_source("numbers/+/value")}, numbered(lane)))
    publisher = publish_numbers(scene, A_SECOND_UPSTREAM)
    so_far = verdicts_so_far(receiver)
    for kill_at in (200, 500):
        wait_for(lambda at=kill_at: so_far() >= at, f"{kill_at} verdicts")
        assert so_far() < NUMBERS, "killed in the middle"
        scene.upstream.kill()
        time.sleep(0.3)
        scene.upstream.start()
    publisher.join()
    check_complete(receiver.wait_for_verdicts(NUMBERS), lane)
    assert gateway.is_running


def test_site_broker_killed_among_numbered_verdicts(scene: Scene) -> None:
    """The site's broker may forget what it acknowledged; what the gateway made of the rest is sound."""
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway({"numbers": number_source("numbers/+/value")}, numbered("alarm")))
    scene.site.save()
    publisher = publish_numbers(scene)
    so_far = verdicts_so_far(receiver)
    wait_for(lambda: so_far() >= 300, "300 verdicts")
    scene.site.kill()
    scene.site.start()
    publisher.join()
    wait_for(lambda: receiver.ledger().in_order("alarm")[-1].fields["anomaly"]["observed"] == NUMBERS, "the last number")
    ledger = receiver.wait_for_verdicts(so_far())
    ledger.assert_sound()
    assert ledger.duplicates == 0
    observed = {verdict.fields["anomaly"]["observed"] for verdict in ledger.in_order("alarm")}
    assert observed == set(range(1, NUMBERS + 1)), "the device kept what was not acknowledged"
    assert gateway.is_running
