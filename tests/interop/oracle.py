"""An independent implementation of limits with hysteresis, written from the words of configs/gateway.toml.

Beyond `above` (or `below`) an alarm is raised, once. It is cleared on the other side of `clear_below` (or
`clear_above`), which default to the limits themselves; between the two nothing changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Alarm(NamedTuple):
    """One change of an alarm: `high` or `low`, `raised` or `cleared`, at which reading."""

    member: str
    state: str
    observed: float


@dataclass(frozen=True)
class Limits:
    """The keys of a judge with `detector = "threshold"`."""

    above: float | None = None
    clear_below: float | None = None
    below: float | None = None
    clear_above: float | None = None

    def as_settings(self) -> dict[str, float]:
        """As they stand in a configuration."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def alarms(self, values: Iterable[float]) -> list[Alarm]:
        """Every alarm that these readings must raise and clear, in order."""
        found = []
        is_high = is_low = False
        high_ends = self.above if self.clear_below is None else self.clear_below
        low_ends = self.below if self.clear_above is None else self.clear_above
        for value in values:
            if self.above is not None:
                if not is_high and value > self.above:
                    is_high = True
                    found.append(Alarm("high", "raised", value))
                elif is_high and value <= high_ends:
                    is_high = False
                    found.append(Alarm("high", "cleared", value))
            if self.below is not None:
                if not is_low and value < self.below:
                    is_low = True
                    found.append(Alarm("low", "raised", value))
                elif is_low and value >= low_ends:
                    is_low = False
                    found.append(Alarm("low", "cleared", value))
        return found
