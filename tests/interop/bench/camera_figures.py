"""The figures of the bench on cameras, and what they must reach."""

import os
from dataclasses import dataclass

FULL, BACKLOG = "full speed", "from a backlog"
WORKERS = len(os.sched_getaffinity(0))
GATEWAYS = ("verge", "python")


@dataclass
class Result:
    """What one gateway did in one phase. CPU in milliseconds per frame."""

    gateway: str
    model: str
    phase: str
    frames: int
    frames_per_s: float
    cpu_ms: float
    # Of both brokers, and of the load and the stopwatch together.
    brokers_cpu_ms: float
    load_cpu_ms: float
    # From handing a frame to the broker to the arrival of its verdict; only at a fixed rate.
    p50_ms: float | None
    p99_ms: float | None
    # Of that, by Verge's own books: until a worker began, the worker itself, and until the verdict was durable.
    age_p99_ms: float | None
    judging_p99_ms: float | None
    commit_p99_ms: float | None
    idle_rss_mib: float
    peak_rss_mib: float


@dataclass(frozen=True)
class Bare:
    """Decoding, preprocessing and running alone."""

    frames_per_s: float
    cpu_ms: float


COLUMNS = {
    "gateway": ("gateway", "{}"),
    "model": ("model", "{}"),
    "phase": ("phase", "{}"),
    "frames_per_s": ("frames/s", "{:.1f}"),
    "cpu_ms": ("CPU ms/frame", "{:.2f}"),
    "brokers_cpu_ms": ("brokers", "{:.2f}"),
    "load_cpu_ms": ("load", "{:.2f}"),
    "p50_ms": ("p50 ms", "{:.1f}"),
    "p99_ms": ("p99 ms", "{:.1f}"),
    "age_p99_ms": ("age p99", "{:.1f}"),
    "judging_p99_ms": ("judging p99", "{:.1f}"),
    "commit_p99_ms": ("commit p99", "{:.1f}"),
    "idle_rss_mib": ("idle MiB", "{:.1f}"),
    "peak_rss_mib": ("peak MiB", "{:.1f}"),
}


@dataclass(frozen=True)
class Mark:
    """What must be reached, and what was."""

    what: str
    wanted: str
    found: str
    reached: bool


def marks(alone: Bare, results: list[Result]) -> list[Mark]:
    """Of one model."""
    by = {(found.gateway, found.phase): found for found in results}
    steady, python_steady = ([found for found in results if found.gateway == name][-1:] for name in GATEWAYS)
    full, late, python = by.get(("verge", FULL)), by.get(("verge", BACKLOG)), by.get(("python", FULL))
    if not full or not late:
        return []
    share, beyond = full.frames_per_s / alone.frames_per_s, full.cpu_ms - alone.cpu_ms
    others = full.brokers_cpu_ms + full.load_cpu_ms
    # What both cores could do besides brokers and load.
    possible = WORKERS * 1000 / (alone.cpu_ms + others)
    found = [
        Mark("share of the bare rate", ">= 85 %", f"{share:.0%}", share >= 0.85),
        Mark("the same, of the cores that brokers and load leave", "-", f"{full.frames_per_s / possible:.0%}", True),
        Mark("CPU beyond decode, preprocess and run", "<= 1 ms", f"{beyond:.2f} ms", beyond <= 1.0),
        Mark("RSS with four cameras", "<= 120 MiB", f"{full.peak_rss_mib:.1f} MiB", full.peak_rss_mib <= 120),
    ]
    share = late.frames_per_s / full.frames_per_s
    found.append(Mark("speed from a backlog, of full speed", "-", f"{share:.0%}", True))
    for own, others in zip(steady, python_steady):
        if python and own.p99_ms and others.p99_ms:
            ratio = full.frames_per_s / python.frames_per_s
            latencies = f"{own.p99_ms:.1f} and {others.p99_ms:.1f} ms"
            found.append(Mark("frames/s of the Python program", ">= 1.5 x", f"{ratio:.2f} x", ratio >= 1.5))
            found.append(Mark("p99 at equal load", "lower", latencies, own.p99_ms < others.p99_ms))
    return found
