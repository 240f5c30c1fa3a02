"""F2: kill -9 at the K-th system call of a session with the store, for every K: 0 lost, every start succeeds."""

from pathlib import Path

import pytest

import session
from figures import Figures
from injection import SYSTEM_CALLS, kill_at
from programs import is_full

# In the short form every so-many-th call.
STRIDE = 1 if is_full() else 11
STEPS = session.STEPS if is_full() else 60


@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_killed_at_every_call(tmp_path: Path, call: str, figures: Figures) -> None:
    kills = 0
    for when in range(1, 1_000_000, STRIDE):
        store = tmp_path / str(when)
        code, owed = session.run(store, STEPS, kill_at(call, when))
        if code == 0:
            break
        kills += 1
        found = session.read(store)
        owed.check(found)
        assert owed.epoch in ("", found.epoch), "a kill is no reason for a new epoch"
        # The store goes on where it was.
        code, more = session.run(store, 10)
        assert code == 0
        more.check(session.read(store))
    else:
        pytest.fail("the session never ends")
    figures.note("F2", call=call, kills=kills, lost=0, failed_starts=0)
