"""L1: 2,000 verdicts a second for ten minutes, through a readings session with a broker window of 20."""

import time
from pathlib import Path

import pytest

from certificates import Certificates
from counting import SOURCE, TOPIC, Numbers, check_fresh_alarm, first_arrivals, judges, quiet_judges, wait_for_numbers
from figures import Figures, percentile
from programs import is_full
from scene import GATEWAY_ID, Scene

pytestmark = pytest.mark.alone

SECONDS = 600 if is_full() else 15
A_SECOND = 2_000
# Mosquitto's own default.
WINDOW = 20


def test_steady_load(tmp_path: Path, certificates: Certificates, figures: Figures) -> None:
    scene = Scene(tmp_path, certificates)
    scene.site.max_inflight = WINDOW
    scene.open()
    try:
        receiver = scene.receiver()
        gateway = scene.start(scene.gateway(SOURCE, judges("verdict")))
        offset = time.time() - time.monotonic()
        numbers = Numbers(scene.device(), A_SECOND, up_to=SECONDS * A_SECOND)
        rss = 0
        while numbers.last < SECONDS * A_SECOND:
            time.sleep(1)
            rss = max(rss, gateway.resident_kib())
        behind = numbers.last - committed(receiver)
        last = numbers.join()
        ledger = wait_for_numbers(receiver, last, 300)
        check_fresh_alarm(scene, receiver)
        status = receiver.wait_for_status("online")
        late = [
            arrival + offset - numbers.published[number - 1]
            for number, arrival in first_arrivals(receiver, "verdict").items()
        ]
        figures.note(
            "L1", verdicts=last, seconds=SECONDS, lost=0, commit_p99_ms=round(status["store"]["commit_ms"]["p99"], 1),
            end_to_end_p50_ms=round(percentile(late, 50) * 1000), end_to_end_p99_ms=round(percentile(late, 99) * 1000),
            rss_mib=round(rss / 1024), behind_at_the_end=behind, duplicates=ledger.duplicates,
        )
        if is_full():
            assert status["store"]["commit_ms"]["p99"] <= 50
            assert percentile(late, 99) <= 0.25
        assert rss / 1024 <= 300
    finally:
        print(scene.logs())
        scene.close()


def committed(receiver: object) -> int:
    """The newest number of the lane."""
    return receiver.command(GATEWAY_ID, command="ledger")["lanes"]["verdict"]["last"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("lane", ["quiet"])
def test_readings_that_cause_nothing_are_not_held_up_by_the_window(
    tmp_path: Path, certificates: Certificates, lane: str, figures: Figures
) -> None:
    scene = Scene(tmp_path, certificates)
    scene.site.max_inflight = WINDOW
    scene.open()
    try:
        receiver = scene.receiver()
        scene.start(scene.gateway(SOURCE, quiet_judges()))
        seconds = SECONDS / 5
        began = time.monotonic()
        numbers = Numbers(scene.device(), 3 * A_SECOND, up_to=int(seconds * 3 * A_SECOND))
        last = numbers.join()
        judged = lambda: receiver.statuses()[-1]["sources"][0]["judged"]
        check_fresh_alarm(scene, receiver, 60)
        rate = last / (time.monotonic() - began)
        figures.note("L1 (readings that cause nothing)", readings=last, window=WINDOW, published_and_judged_a_second=round(rate))
        assert rate >= A_SECOND
        assert TOPIC and judged() is not None
    finally:
        print(scene.logs())
        scene.close()
