"""SUMO's junction is driven by what the gateway says over Modbus: the example, shortened."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from junction_drive import Site

SECONDS, PACE = 300, 15.0
KILLED_AT, STARTED_AT = 60, 90


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, closed behind the test."""
    opened = Site(tmp_path, interval="5s")
    yield opened
    opened.close()


def test_a_junction_is_driven_and_a_dead_gateway_is_a_call(site: Site) -> None:
    site.start()
    run = site.script["run"]
    untrusted: dict[int, int] = {}

    def each_second(second: int) -> None:
        untrusted[second] = site.controller.untrusted_polls
        if second == KILLED_AT:
            site.gateway.kill()
        if second == STARTED_AT:
            site.gateway.start()

    driven = run(1, "verge", site.controller, PACE, SECONDS, each_second)
    # The same traffic before controllers that know nothing, in simulated time: the same figures on every machine.
    own, call, blind = (run(1, detector, None, PACE, SECONDS, lambda _second: None) for detector in ("own", "call", "blind"))
    assert own < call < blind
    # Loops that are served by Verge, and a call for all while it is dead.
    assert driven < call, f"{driven:.1f} s of delay with Verge, {own:.1f} with own loops, {call:.1f} with calls alone"
    # A machine that does other things as well may let its heart stand still for a few polls.
    assert untrusted[KILLED_AT] < 20, "the gateway was not believed before it was killed"
    assert untrusted[STARTED_AT] > untrusted[KILLED_AT], "polls of a dead gateway were believed"
    assert site.controller.latencies, "no change of presence came to a register"

    # What whole intervals count is what was published, at most: intervals around the kill say less.
    published, counted = site.controller.published, site.controller.counted
    in_intervals = {name: sum(n for (of, _), n in counted.items() if of == name) for name in published}
    assert sum(in_intervals.values()) > 0
    assert all(in_intervals[name] <= published[name] for name in published), (in_intervals, published)
