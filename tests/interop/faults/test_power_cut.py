"""The power fails at a random moment: what was committed is there. And without syncs it is not, or the test would prove nothing."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import session
from figures import Figures
from injection import skip
from media import Power
from programs import is_full
from waiting import wait_for

ROUNDS = 100 if is_full() else 8
STEPS = 100_000


def cut_once(power: Power, name: str, before: list[str], after_s: float) -> tuple[int, int]:
    """One session and one power cut in the midst of it; commits owed, and how many of them are gone."""
    with power.on() as disk:
        # Of the round before; all of them would fill the disk.
        for old in disk.glob("store-*"):
            shutil.rmtree(old)
        command = [*before, session.program(), "run", str(disk / name), str(STEPS)]
        # What it says goes to another disk.
        said = power.folder / f"{name}.txt"
        with said.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: said.stat().st_size > 200, "the session at work")
        time.sleep(after_s)
        os.killpg(process.pid, signal.SIGSTOP)
        wait_for(lambda: is_stopped(process.pid), "the session to stand still")
        owed = session.Obligations.of(said.read_text())
        with power.after_cut() as found:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if before:
                return len(owed.committed), lost(owed, found / name)
            owed.check(session.read(found / name))
            return len(owed.committed), 0


def is_stopped(process: int) -> bool:
    """Whether every thread of it stands still; one that is in a system call ends that first."""
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] in "Tt" for task in Path(f"/proc/{process}/task").iterdir())


def lost(owed: session.Obligations, store: Path) -> int:
    """Committed rows that are not there."""
    content = session.read(store)
    kept = lambda lane, seq: (lane, seq) in content.rows or content.is_withdrawn(lane, seq)
    return sum(not kept(lane, seq) and seq > owed.marked.get(lane, 0) for lane, seq in owed.committed)


def test_what_was_committed_survives_a_power_cut(tmp_path: Path, figures: Figures) -> None:
    power = Power(tmp_path)
    chance = random.Random(1)
    commits = 0
    for number in range(ROUNDS):
        owed, _ = cut_once(power, f"store-{number}", [], chance.uniform(0.02, 0.4))
        commits += owed
    assert commits > ROUNDS * 10
    figures.note("power cut", cuts=ROUNDS, committed=commits, lost=0)


def test_without_syncs_a_power_cut_loses_verdicts(tmp_path: Path, figures: Figures) -> None:
    power = Power(tmp_path)
    rounds = 3
    gone = [cut_once(power, f"store-{number}", skip("fdatasync,fsync"), 0.5)[1] for number in range(rounds)]
    figures.note("power cut without syncs (control)", cuts=rounds, lost=sum(gone))
    assert sum(gone) > 0, "the harness does not notice lost writes"
