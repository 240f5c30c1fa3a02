"""Measures how well SUMO's junction is driven by what the gateway says over Modbus (examples/sumo-junction).

    python tests/interop/bench/bench_junction.py              five seeds, five times as fast as the clock: half an hour
    python tests/interop/bench/bench_junction.py --seeds 1

Mean delay of the vehicles with the controller's own loops, with Verge, with Verge killed for a minute of traffic in the
middle, always at "call", and blind, in one run; and how long after a change of presence was published the register says so.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from junction_drive import Site  # noqa: E402
from marks import Mark, rows, summary  # noqa: E402

SECONDS, PACE = 900, 5.0
KILLED_AT, STARTED_AT = 400, 460


def driven(seed: int, killed: bool) -> tuple[float, list[float], int]:
    """One run with Verge: mean delay, latencies of presence, polls that were not believed."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            site.start()

            def each_second(second: int) -> None:
                if killed and second == KILLED_AT:
                    site.gateway.kill()
                if killed and second == STARTED_AT:
                    site.gateway.start()

            delay = site.script["run"](seed, "verge", site.controller, PACE, SECONDS, each_second)
            return delay, site.controller.latencies, site.controller.untrusted_polls
        finally:
            site.close()


def simulated(seed: int, detector: str) -> float:
    """One run without Verge."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            return site.script["run"](seed, detector, None, PACE, SECONDS, lambda _second: None)
        finally:
            site.close()


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=5)
    seeds = range(1, options.parse_args().seeds + 1)
    runs: dict[str, list[float]] = {name: [simulated(seed, name) for seed in seeds] for name in ("own", "call", "blind")}
    latencies: list[float] = []
    for name, killed in (("verge", False), ("verge, killed", True)):
        runs[name] = []
        for seed in seeds:
            delay, of_run, untrusted = driven(seed, killed)
            runs[name].append(delay)
            latencies += [] if killed else of_run
            print(f"{name}, seed {seed}: {delay:.1f} s, {untrusted} polls not believed", file=sys.stderr)
    for name, delays in runs.items():
        print(f"{name:14} {statistics.fmean(delays):6.1f} s ({min(delays):.1f} to {max(delays):.1f})")
    own, call = statistics.fmean(runs["own"]), statistics.fmean(runs["call"])
    ordered = sorted(latencies)
    p99 = 1e3 * ordered[int(0.99 * len(ordered))]
    print(f"presence to register: p50 {1e3 * statistics.median(ordered):.0f} ms, p99 {p99:.0f} ms of {len(ordered)}")
    found = [
        Mark.at_most("mean delay, times that of the own loops", statistics.fmean(runs["verge"]) / own, 1.15, "{:.3f}"),
        Mark.at_most("killed for a minute, times stuck at call", statistics.fmean(runs["verge, killed"]) / call, 1.2, "{:.3f}"),
        Mark.at_most("presence edge to register, p99, ms", p99, 300.0, "{:.0f}"),
    ]
    print(rows(found))
    print(summary(found))


if __name__ == "__main__":
    main()
