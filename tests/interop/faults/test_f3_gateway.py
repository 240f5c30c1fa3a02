"""F3, the whole gateway: its store's writes and syncs fail under load; it says so within a second and goes on by itself.

strace counts the calls of each thread by itself; the store's thread alone makes these, log and sockets use others.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import Receiver
from counting import SOURCE, Numbers, check_fresh_alarm, judges, wait_for_numbers
from figures import Figures
from injection import fail_at
from programs import is_full
from scene import Scene
from supervised import START_AGAIN, Supervised
from waiting import wait_for

CALLS = "pwrite64,fdatasync,fsync"
A_SECOND = 100
# The early ones fall into the opening of the store, the late ones among commits.
FIRST = range(1, 700, 29) if is_full() else (20, 400)
# Longer than one attempt to recover.
BURST = 12
SHOWN_S = 1.0


@pytest.fixture
def faulty(scene: Scene, tmp_path: Path) -> Iterator[Supervised]:
    """A gateway under a supervisor, not started."""
    settings = scene.gateway(SOURCE, judges("alarm")).settings
    gateway = Supervised(tmp_path, settings)
    try:
        yield gateway
    finally:
        print(gateway.log())
        gateway.end()


def failing(trace: Path, error: str, when: str) -> list[str]:
    """strace beside the program, not above it: process id and exit code are the program's. It writes down each call."""
    strace, *arguments = fail_at(CALLS, error, when)
    return [strace, "-D", "--seccomp-bpf", "-ttt", "-s", "0", *arguments, "-o", str(trace)]


def injected(trace: Path) -> list[float]:
    """When calls failed, in seconds since 1970."""
    lines = trace.read_text().splitlines() if trace.exists() else []
    return [float(line.split()[1]) for line in lines if line.endswith("(INJECTED)")]


def shown(receiver: Receiver, since: float) -> float | None:
    """When the status first said that the store has failed or is full, in seconds since 1970."""
    offset = time.time() - time.monotonic()
    for status, arrival in zip(receiver.statuses(), receiver.of("status"), strict=False):
        if status.get("store", {}).get("state", "ok") != "ok" and arrival.at + offset >= since:
            return arrival.at + offset
    return None


def is_well(receiver: Receiver) -> bool:
    """Whether the newest status says that the store works."""
    return receiver.statuses()[-1].get("store", {}).get("state") == "ok"


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("first", FIRST)
def test_a_burst_of_failing_calls(scene: Scene, faulty: Supervised, tmp_path: Path, error: str, first: int, figures: Figures) -> None:
    receiver = scene.receiver()
    trace = tmp_path / "trace"
    faulty.before = failing(trace, error, f"{first}..{first + BURST - 1}")
    scene.start(faulty)
    numbers = Numbers(scene.device(), A_SECOND)
    wait_for(lambda: injected(trace), "the first call that fails", 30)
    # Some of a burst may be left over: an attempt to recover can need fewer calls.
    time.sleep(2)
    last = numbers.stop()
    ledger = wait_for_numbers(receiver, last)
    check_fresh_alarm(scene, receiver)
    wait_for(lambda: is_well(receiver), "the status says that all is well")
    # 1: the store could not be opened; 75: it could not be brought back.
    assert set(faulty.exits) <= {1, START_AGAIN}, f"it ended with {faulty.exits}"
    assert "panicked" not in faulty.whole_log()
    figures.note(
        "F3 (gateway)", error=error, first=first, failed=len(injected(trace)), verdicts=last, lost=0,
        exits=faulty.exits, volatile=len(ledger.volatile), duplicates=ledger.duplicates,
    )


def test_a_medium_that_fails_for_good(scene: Scene, faulty: Supervised, tmp_path: Path, figures: Figures) -> None:
    """It shows within a second, alarms pass without a number, and after a minute the supervisor's turn comes."""
    receiver = scene.receiver()
    trace = tmp_path / "trace"
    faulty.before = failing(trace, "EIO", "400+")
    scene.start(faulty)
    numbers = Numbers(scene.device(), A_SECOND)
    wait_for(lambda: injected(trace), "the first call that fails", 30)
    failed_at = injected(trace)[0]
    reported_at = wait_for(lambda: shown(receiver, failed_at), "the status says so", 10)
    wait_for(lambda: receiver.ledger().volatile, "an alarm without a number", 10)
    if not is_full():
        # The minute until it gives up is for the full length; here its supervisor is quicker.
        faulty.replace()
    else:
        wait_for(lambda: faulty.exits, "it ends, so that its supervisor starts it again", 90)
        assert faulty.exits == [START_AGAIN]
    last = numbers.stop()
    ledger = wait_for_numbers(receiver, last)
    check_fresh_alarm(scene, receiver)
    wait_for(lambda: is_well(receiver), "the status says that all is well")
    figures.note(
        "F3 (gateway, for good)", verdicts=last, lost=0, shown_after_ms=round((reported_at - failed_at) * 1000, 1),
        volatile=len(ledger.volatile), exits=faulty.exits, duplicates=ledger.duplicates,
    )
    assert reported_at - failed_at <= SHOWN_S
