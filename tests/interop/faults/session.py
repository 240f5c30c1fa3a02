"""The scripted session of the store (crates/verge-outbox/examples/scripted_session.rs), and what it owes.

Each line that it prints after a commit returned is an obligation: the row must be in the store afterwards, with the same
content, or a tombstone must stand in its place, or every route must have marked it (then it may have been evicted).
"""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from programs import built

STEPS = 120


def program() -> str:
    """The session, as built."""
    return str(built("examples/scripted_session", "cargo build --release -p verge-outbox --example scripted_session"))


@dataclass
class Obligations:
    """What a session has said before it ended."""

    committed: dict[tuple[str, int], str] = field(default_factory=dict)
    marked: dict[str, int] = field(default_factory=dict)
    withdrawn: list[tuple[str, int, int]] = field(default_factory=list)
    faults: int = 0
    epoch: str = ""

    @staticmethod
    def of(output: str) -> "Obligations":
        """Reads what it printed; a last line without an end was not said."""
        found = Obligations()
        for line in output.split("\n")[:-1]:
            kind, *words = line.split(" ")
            if kind == "epoch":
                found.epoch = words[0]
            elif kind == "committed":
                found.committed[words[0], int(words[1])] = words[2]
            elif kind == "marked":
                found.marked[words[0]] = int(words[1])
            elif kind == "withdrawn":
                found.withdrawn.append((words[0], int(words[1]), int(words[2])))
            elif kind == "fault":
                found.faults += 1
        return found

    def check(self, store: "Content") -> None:
        """Nothing that was committed is missing or changed."""
        for (lane, seq), crc in self.committed.items():
            if (lane, seq) in store.rows:
                assert store.rows[lane, seq] == crc, f"{lane} {seq} has other content"
            elif not store.is_withdrawn(lane, seq):
                assert seq <= self.marked.get(lane, 0), f"{lane} {seq} was committed and is gone"


@dataclass
class Content:
    """What a store holds."""

    epoch: str = ""
    rows: dict[tuple[str, int], str] = field(default_factory=dict)
    tombstones: list[tuple[str, int, int, str]] = field(default_factory=list)

    def is_withdrawn(self, lane: str, seq: int) -> bool:
        """Whether a tombstone stands in its place."""
        return any(t[0] == lane and t[1] <= seq <= t[2] for t in self.tombstones)


def run(store: Path, steps: int = STEPS, before: list[str] | None = None, seconds: float = 120.0) -> tuple[int, Obligations]:
    """A whole session, under another program where one is given; its exit code and what it owes."""
    command = [*(before or []), program(), "run", str(store), str(steps)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert "panicked" not in ended.stderr, ended.stderr
    return ended.returncode, Obligations.of(ended.stdout)


def read(store: Path) -> Content:
    """Opens the store as a gateway would at its next start, and lists it; that must never fail."""
    ended = subprocess.run([program(), "verify", str(store)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, f"the store does not open: {ended.stdout[-500:]} {ended.stderr[-2000:]}"
    content = Content()
    for line in ended.stdout.splitlines():
        kind, *words = line.split(" ")
        if kind == "epoch":
            content.epoch = words[0]
        elif kind == "have":
            content.rows[words[0], int(words[1])] = words[2]
        elif kind == "tombstone":
            content.tombstones.append((words[0], int(words[1]), int(words[2]), words[3]))
    return content
