"""What a process has used, from /proc."""

import os
from dataclasses import dataclass

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of one process, with all its threads."""

    cpu_s: float
    rss_mib: float
    peak_rss_mib: float


def usage(pid: int) -> Usage:
    """Reads it now."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        # The name of the program may hold spaces; what follows its closing parenthesis does not.
        fields = stat.read().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        lines = dict(line.split(":", 1) for line in status if ":" in line)
    return Usage(
        cpu_s=(user + system) / TICKS_A_SECOND,
        rss_mib=_mib(lines["VmRSS"]),
        peak_rss_mib=_mib(lines["VmHWM"]),
    )


def _mib(text: str) -> float:
    return int(text.split()[0]) / 1024
