"""Real series of the Numenta Anomaly Benchmark, read from the folder that VERGE_DATA names."""

import csv
from dataclasses import dataclass
from datetime import datetime, timezone

from oracle import Limits
from programs import data


@dataclass(frozen=True)
class Point:
    """One row: the time it was captured, in UTC milliseconds, and its value."""

    captured: int
    value: float


@dataclass(frozen=True)
class Series:
    """One file, and how it is published."""

    file: str
    device: str
    # "number" or "json", the codec it takes.
    codec: str
    # Share of the values above the upper limit, and above the limit that clears it.
    raised_above: float = 0.97
    cleared_below: float = 0.90
    # The same from below.
    raised_below: float | None = None
    cleared_above: float | None = None

    def points(self) -> list[Point]:
        """All rows, in the order of the file."""
        with (data() / "nab" / "data" / self.file).open(newline="") as lines:
            return [Point(_millis(row["timestamp"]), float(row["value"])) for row in csv.DictReader(lines)]

    def limits(self) -> Limits:
        """Limits that are values of the series itself, so that readings on a limit are tried too."""
        ordered = sorted(point.value for point in self.points())

        def quantile(share: float | None) -> float | None:
            return None if share is None else ordered[int(share * (len(ordered) - 1))]

        return Limits(
            above=quantile(self.raised_above),
            clear_below=quantile(self.cleared_below),
            below=quantile(self.raised_below),
            clear_above=quantile(self.cleared_above),
        )


def _millis(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()) * 1000


TRAFFIC_AND_MACHINES = (
    Series("realTraffic/TravelTime_387.csv", "travel-time-387", "json"),
    Series("realTraffic/occupancy_t4013.csv", "occupancy-t4013", "number", raised_above=0.95),
    Series("realTraffic/speed_t4013.csv", "speed-t4013", "json", 0.99, 0.95, raised_below=0.05, cleared_above=0.2),
    Series("realKnownCause/ambient_temperature_system_failure.csv", "ambient", "number", 0.98, 0.9, 0.02, 0.1),
    Series("realKnownCause/cpu_utilization_asg_misconfiguration.csv", "asg-cpu", "json", 0.95, 0.6),
    Series("realKnownCause/rogue_agent_key_hold.csv", "key-hold", "number", 0.95, 0.8),
)
