"""Figures of the fault tests: one line each, and kept in target/faults for the documentation."""

import json
import math
import time
from pathlib import Path

from programs import REPOSITORY, is_full


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them, in percent, does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


class Figures:
    """Prints figures and appends them to a file of the day's runs."""

    def __init__(self, folder: Path = REPOSITORY / "target" / "faults"):
        self._folder = folder

    def note(self, test: str, **figures: object) -> None:
        """Tells what a test has measured."""
        reported = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
        print(f"\n{test}: {reported}")
        self._folder.mkdir(parents=True, exist_ok=True)
        line = {"test": test, "at": time.strftime("%Y-%m-%dT%H:%M:%S"), "full": is_full()} | figures
        with (self._folder / "figures.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")
