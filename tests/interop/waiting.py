"""Waiting for a condition with a deadline: the tests sleep for nothing else."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S = 0.02


def wait_for(condition: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """The first true value of `condition`; fails, naming `what`, if none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s there is still not: {what}")
        time.sleep(PAUSE_S)


def wait_until_quiet(size: Callable[[], int], quiet_s: float = 1.0, seconds: float = 60.0) -> int:
    """Waits until `size` has not changed for `quiet_s`, and says it."""
    deadline = time.monotonic() + seconds
    last, since = size(), time.monotonic()
    while time.monotonic() - since < quiet_s:
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s it still grows: {last}")
        time.sleep(PAUSE_S)
        if size() != last:
            last, since = size(), time.monotonic()
    return last
