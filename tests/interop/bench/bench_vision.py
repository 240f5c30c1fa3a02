"""Measures what frames cost with everything on that watches cameras: the marks of speed and memory, printed.

    python tests/interop/bench/bench_vision.py                  all of it, some fifteen minutes and a build of the benchmarks
    python tests/interop/bench/bench_vision.py --model parts    one part: a model, gate or parts
    python tests/interop/bench/bench_vision.py --quick          a few frames of everything: whether it works

As `bench_cameras.py`, with the health of the cameras judged beside the model and, where it detects, objects followed and
counted; and with two more models, of the shape of ResNet50 in fp32 and in int8. Then the gate: a camera that shows a mostly
still scene, at equal load with a gate and without. At last the parts by criterion: the tracker with 100 objects, gate and
health at 1080p. The last line says which marks are missed; it ends with exit code 0 also then.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import resnet  # noqa: E402
from bench_cameras import CAMERAS, IDLE_S, Bench, arguments_of, judged, opened, say  # noqa: E402
from camera_eval import TASKS, Task  # noqa: E402
from camera_figures import Wanted  # noqa: E402
from camera_gateways import Site, VergeUnderTest  # noqa: E402
from camera_load import CameraGenerator, CameraLoad  # noqa: E402
from marks import Mark, rows, summary  # noqa: E402
from PIL import Image  # noqa: E402
from programs import REPOSITORY  # noqa: E402
from report import machine  # noqa: E402
from usage import usage  # noqa: E402
from waiting import wait_for  # noqa: E402

SHARE = 0.92
MADE = {"resnet50_fp32": (False, 200, 2), "resnet50_int8": (True, 700, 4)}
NAMES = [task.name for task in TASKS] + list(MADE)
# Frames of the still scene, over all cameras: a second of something moving in each ten.
STILL_RATE, STILL_PERIOD, MOVING = 32.0, 320, 32
GATE = {"heartbeat": "2s"}
# Benchmarks of criterion: their crate, file and name, what they show, and how long it may take in microseconds.
PARTS = (
    ("verge-scene", "tracker", "frame with 100 objects", "tracker, a frame with 100 objects", 200.0),
    ("verge-vision", "vision", "gate and health, 1920x1080", "gate and health of a frame of 1080p, beside the decode", 1500.0),
)


def made(name: str, bench: Bench) -> Task:
    """One of the models that are made here."""
    is_int8, frames, rounds = MADE[name]
    say(f"{name}: making it …")
    path = resnet.written(bench.models, name, is_int8)
    return replace(TASKS[0], name=name, model=str(path), frames=frames, rounds=rounds, made=True)


def still_scene() -> list[bytes]:
    """A yard of blocks and noise in which no model finds anything; a bright block crosses it at times."""
    random = np.random.default_rng(7)
    yard = np.kron(random.integers(40, 200, (16, 16, 3)), np.ones((40, 40, 1))).astype(np.int16)
    frames = []
    for number in range(STILL_PERIOD):
        shown = yard + random.integers(-4, 5, yard.shape, dtype=np.int16)
        if number < MOVING:
            left = number * yard.shape[1] // MOVING
            shown[300:360, left : left + 80] = 250
        coded = io.BytesIO()
        Image.fromarray(shown.clip(0, 255).astype(np.uint8)).save(coded, "JPEG", quality=85)
        frames.append(coded.getvalue())
    return frames


@dataclass(frozen=True)
class GateCost:
    """What one frame of the still scene costs, in ms of CPU, and how many the model did not look at."""

    cpu_ms: float
    skipped: float


def still(task: Task, frames: list[bytes], bench: Bench, seconds: int) -> GateCost:
    """The still scene at equal load."""
    load = CameraLoad(frames, CAMERAS, int(STILL_RATE * seconds), rate=STILL_RATE)
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as name, contextlib.ExitStack() as stack:
        site = Site(Path(name), bench.certificates, bench.inflight)
        stack.callback(site.close)
        under_test = VergeUnderTest(site, Path(name), task, bench.models)
        stack.callback(under_test.stop)
        time.sleep(IDLE_S)
        before = usage(under_test.pid).cpu_s
        generator = CameraGenerator(load, site.local.port, site.login.username, site.login.password).start()

        def source() -> dict:
            return json.loads(site.watcher.statuses[-1])["sources"][0]

        wait_for(lambda: source()["judged"] >= load.count, "all frames", 2 * seconds + 120)
        cost = (usage(under_test.pid).cpu_s - before) / load.count * 1000
        generator.join(seconds)
        # Of the looks of all judges.
        skipped, passed = source().get("skipped", 0), source().get("passed", 0)
        return GateCost(cost, skipped / max(skipped + passed, 1))


def gate(arguments: argparse.Namespace, bench: Bench) -> dict[str, object]:
    """The still scene without a gate and with one."""
    frames = still_scene()
    open_task = replace(TASKS[1], watched=True)
    costs = []
    for task in (open_task, replace(open_task, gate=GATE)):
        say(f"still scene, {'with' if task.gate else 'without'} a gate …")
        costs.append(still(task, frames, bench, arguments.seconds))
    without, gated = costs
    where = f"still scene, {TASKS[1].name}, {STILL_RATE:.0f} frames/s of {CAMERAS} cameras"
    gain = without.cpu_ms / gated.cpu_ms
    found = [
        Mark(f"{where}: CPU a frame without a gate", f"{without.cpu_ms:.2f} ms"),
        Mark(f"{where}: with one", f"{gated.cpu_ms:.2f} ms"),
        Mark.of(f"{where}: the gate's gain", f"{gain:.1f} x", "> 1 x", gain > 1),
        Mark(f"{where}: looks that the gates skip", f"{gated.skipped:.0%}"),
    ]
    return shown(found, arguments)


def parts(arguments: argparse.Namespace) -> dict[str, object]:
    """What criterion measures of single parts: the medians."""
    found = []
    for crate, bench, name, what, limit_us in PARTS:
        say(f"{what} …")
        command = ["cargo", "bench", "-p", crate, "--bench", bench, "--", "--noplot", name]
        if arguments.quick:
            command.append("--quick")
        subprocess.run(command, check=True, stdout=sys.stderr, cwd=REPOSITORY)
        # Criterion names folders without what paths cannot hold.
        estimates = REPOSITORY / "target" / "criterion" / name / "new" / "estimates.json"
        median_us = json.loads(estimates.read_text())["median"]["point_estimate"] / 1000
        found.append(Mark.at_most(what, median_us, limit_us, "{:.0f} µs"))
    return shown(found, arguments)


def shown(found: list[Mark], arguments: argparse.Namespace) -> dict[str, object]:
    """Prints rows for people."""
    if not arguments.json:
        print(f"\n{rows(found)}", flush=True)
    return {"marks": [asdict(one) for one in found]}


def main() -> None:
    """Reads the command line, measures, prints."""
    arguments = arguments_of(__doc__, [*NAMES, "gate", "parts"]).parse_args()
    report: dict[str, object] = {"machine": machine()}
    with opened(arguments) as bench:
        if not arguments.json:
            print(", ".join(f"{key}: {value}" for key, value in machine().items()))
        for name in NAMES:
            if arguments.model not in (None, name):
                continue
            known = [task for task in TASKS if task.name == name]
            task = replace(known[0] if known else made(name, bench), watched=True)
            report[name] = judged(task, arguments, bench, Wanted(SHARE))
        if arguments.model in (None, "gate"):
            report["gate"] = gate(arguments, bench)
    if arguments.model in (None, "parts"):
        report["parts"] = parts(arguments)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        found = [Mark(**mark) for part in report.values() for mark in part.get("marks", ())]
        print(f"\n{summary(found)}")


if __name__ == "__main__":
    main()
