"""The figures of the bench on cameras, and what they must reach."""

import os
from dataclasses import dataclass

from marks import Mark

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
class Wanted:
    """What one model must reach: the share of the bare rate, and memory in MiB."""

    share: float = 0.85
    rss_mib: float = 120
    # Times the frames of the Python program.
    of_python: float = 1.5


def marks(alone: Bare, results: list[Result], wanted: Wanted) -> list[Mark]:
    """Of one model, whose name each begins with."""
    by = {(found.gateway, found.phase): found for found in results}
    steady, python_steady = ([found for found in results if found.gateway == name][-1:] for name in GATEWAYS)
    full, late, python = by.get(("verge", FULL)), by.get(("verge", BACKLOG)), by.get(("python", FULL))
    if not full or not late:
        return []
    name = full.model
    share, beyond = 100 * full.frames_per_s / alone.frames_per_s, full.cpu_ms - alone.cpu_ms
    others = full.brokers_cpu_ms + full.load_cpu_ms
    taken = others * full.frames_per_s / WORKERS / 1000
    # What both cores could do besides brokers and load.
    possible = WORKERS * 1000 / (alone.cpu_ms + others)
    found = [
        Mark.at_least(f"{name}: share of the bare rate", share, 100 * wanted.share, "{:.0f} %"),
        Mark(f"{name}: of the cores, brokers and load take", f"{taken:.1%}"),
        Mark(f"{name}: share of the rate that they leave", f"{full.frames_per_s / possible:.0%}"),
        Mark(f"{name}: bare CPU a frame, of the gateway's", f"{alone.cpu_ms / full.cpu_ms:.0%}"),
        Mark.at_most(f"{name}: CPU beyond decode, preprocess and run", beyond, 1.0, "{:.2f} ms"),
    ]
    found += [
        Mark.at_most(f"{name}: RSS with four cameras", full.peak_rss_mib, wanted.rss_mib, "{:.1f} MiB"),
        Mark(f"{name}: speed from a backlog, of full speed", f"{late.frames_per_s / full.frames_per_s:.0%}"),
    ]
    for own in steady:
        for part, value in (("p50", own.p50_ms), ("p99", own.p99_ms)):
            if value is not None:
                found.append(Mark(f"{name}: from publish to verdict, {part} at {own.phase}", f"{value:.1f} ms"))
    for own, others in zip(steady, python_steady):
        if python and own.p99_ms and others.p99_ms:
            ratio = full.frames_per_s / python.frames_per_s
            latencies = f"{own.p99_ms:.1f} and {others.p99_ms:.1f} ms"
            found.append(Mark.at_least(f"{name}: frames/s of the Python program's", ratio, wanted.of_python, "{:.2f} x"))
            found.append(Mark.of(f"{name}: p99 at equal load, beside its", latencies, "lower", own.p99_ms < others.p99_ms))
    return found
