"""F3: the n-th write or sync fails, once or for a while: no panic, 0 committed lost, recovery without an operator."""

from pathlib import Path

import pytest

import session
from figures import Figures
from injection import fail_at
from programs import is_full

WRITES = "pwrite64,fdatasync,fsync,ftruncate,fallocate"
LAST = 200 if is_full() else 40
STRIDE = 1 if is_full() else 3


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("length", [1, 12], ids=["once", "for a while"])
def test_the_store_survives_failing_calls(tmp_path: Path, error: str, length: int, figures: Figures) -> None:
    runs = faults = restarts = 0
    for first in range(1, LAST + 1, STRIDE):
        store = tmp_path / str(first)
        when = f"{first}..{first + length - 1}"
        code, owed = session.run(store, before=fail_at(WRITES, error, when))
        # 1: the store could not even be made; 75: a supervisor starts it again.
        assert code in (0, 1, 75), f"exit code {code} at {when}"
        runs, faults, restarts = runs + 1, faults + owed.faults, restarts + (code != 0)
        owed.check(session.read(store))
        code, more = session.run(store, 10)
        assert code == 0, "without the fault it works again"
        more.check(session.read(store))
    assert faults > 0, "some of the calls mattered"
    figures.note("F3", error=error, calls=length, runs=runs, faults=faults, restarts=restarts, lost=0)
