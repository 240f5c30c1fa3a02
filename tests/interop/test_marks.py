"""The rows that evaluations of cameras print: every mark says what was measured, what is wanted, and whether it is held."""

import subprocess
import sys

from programs import REPOSITORY

BENCH = REPOSITORY / "tests" / "interop" / "bench"


def printed(*arguments: str) -> list[str]:
    """What the evaluation writes, line by line."""
    command = [sys.executable, str(BENCH / "eval_vision.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.strip()]


def test_every_mark_is_a_row_and_the_last_line_names_what_is_missed() -> None:
    """Of so little traffic a single wrong crossing is several percent: some marks are missed, and it still ends well."""
    part, head, _, *rows, last = printed("--part", "counts", "--share", "0.02")
    assert part == "counts"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["mark", "measured", "wanted", "held"]
    assert len(cells) > 60 and all(len(row) == 4 and all(row) for row in cells), rows
    missed = [what for what, _, _, held in cells if held == "no"]
    assert last.startswith(f"{len(cells) - len(missed)} of {len(cells)} marks held"), last
    assert all(what in last for what in missed), last
    ideal = [row for row in cells if row[0].startswith("ideal boxes, 30 to 3/s")]
    assert len(ideal) == 6 and all(row[1:] == ["0.0 %", "exact", "yes"] for row in ideal), ideal
