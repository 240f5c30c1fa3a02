"""Measures the whole gateway on cameras, and a Python program beside it, in the same run on the same machine.

    python tests/interop/bench/bench_cameras.py                 the table of docs/performance.md, some five minutes
    python tests/interop/bench/bench_cameras.py --quick --json  a few seconds, for programs

Real JPEGs, at least a hundred different ones, every frame judged and reported (`frames = "every"`, `report = "every"`),
each verdict a message of its own (lane alarm), which Verge stores durably before it is sent; the Python program stores
nothing. The load sends pictures it has read before. At full speed it is a few dozen ahead of the verdicts, so that
neither the gateway nor the broker's queue runs empty or full; from a backlog all are with the broker almost at once;
at last everybody has half the speed of the slowest. Two mosquittos, the load and a stopwatch share the machine with
the gateway: their share is in the table. The bare rate is that of `verge eval`: decoding, preprocessing and running the
same pictures in as many threads as there are cores, with nothing else on the machine.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from camera_eval import TASKS, Task, bare  # noqa: E402
from camera_figures import BACKLOG, COLUMNS, FULL, Bare, Result, Wanted, marks  # noqa: E402
from camera_gateways import PythonUnderTest, Site, UnderTest, VergeUnderTest, verge_settings  # noqa: E402
from camera_load import CameraGenerator, CameraLoad  # noqa: E402
from certificates import Certificates  # noqa: E402
from gateway import Gateway  # noqa: E402
from marks import Mark, rows  # noqa: E402
from models import Models  # noqa: E402
from report import machine, percentiles, table  # noqa: E402
from scene import number_source, threshold  # noqa: E402
from usage import Usage, usage  # noqa: E402
from waiting import wait_for  # noqa: E402

PHASE_S = 180.0
IDLE_S = 2.0
CAMERAS = 4
# Frames under way at once: enough for both workers and every queue between, fewer than Verge's queue holds.
AHEAD = 40
# Of a phase at full speed, the first frames are not counted: caches and pools fill.
WARM_UP = 0.1


@dataclass(frozen=True)
class Phase:
    """One measurement: a load and its name."""

    name: str
    load: CameraLoad


def measure(make: type[UnderTest], task: Task, phase: Phase, bench: "Bench") -> Result:
    """Runs one gateway through one phase."""
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        site = Site(folder, bench.certificates, bench.inflight)
        stack.callback(site.close)
        under_test = make(site, folder, task, bench.models)
        stack.callback(under_test.stop)
        time.sleep(IDLE_S)
        generator = CameraGenerator(phase.load, site.local.port, site.login.username, site.login.password)
        site.watcher.generator = generator
        before = Snapshot.take(under_test, site, None)
        generator.start()
        count = phase.load.count
        wait_for(lambda: len(site.watcher.verdicts) >= count, f"all of {phase.name}", PHASE_S)
        after = Snapshot.take(under_test, site, generator)
        generator.join(PHASE_S)
        under_test.stop()
        return result(under_test, task, phase, site, generator, (before, after))


@dataclass(frozen=True)
class Snapshot:
    """What everybody has used so far."""

    gateway: Usage
    brokers_s: float
    load_s: float

    @classmethod
    def take(cls, under_test: UnderTest, site: Site, generator: CameraGenerator | None) -> "Snapshot":
        """Now; of the load only once it runs."""
        own = usage(os.getpid()).cpu_s
        return cls(usage(under_test.pid), site.cpu_s(), own + (usage(generator.pid).cpu_s if generator else 0.0))


def result(
    under_test: UnderTest,
    task: Task,
    phase: Phase,
    site: Site,
    generator: CameraGenerator,
    taken: tuple[Snapshot, Snapshot],
) -> Result:
    """Puts the numbers together, and refuses to if a verdict is missing."""
    load, (before, after) = phase.load, taken
    reported = under_test.reported(site.watcher.verdicts)
    expected = Counter(load.camera(number) for number in range(load.count))
    found = Counter(camera for camera, _, _ in reported)
    if found != expected:
        raise RuntimeError(f"{under_test.name}, {phase.name}: verdicts {found}, frames {expected}")
    number_of = {load.camera(index): index for index in range(load.cameras)}
    arrivals = [(number_of[camera] + place * load.cameras, at) for camera, place, at in reported]
    times = sorted(at for _, at in arrivals)
    first = int(len(times) * WARM_UP)
    p50, p99 = percentiles([at - generator.sent[number] for number, at in arrivals if load.rate])

    books = under_test.books(site) if load.rate else {}

    def per_frame(seconds: float) -> float:
        return seconds / load.count * 1000

    return Result(
        gateway=under_test.name,
        model=task.name,
        phase=phase.name,
        frames=load.count,
        frames_per_s=(len(times) - 1 - first) / (times[-1] - times[first]),
        cpu_ms=per_frame(after.gateway.cpu_s - before.gateway.cpu_s),
        brokers_cpu_ms=per_frame(after.brokers_s - before.brokers_s),
        load_cpu_ms=per_frame(after.load_s - before.load_s),
        p50_ms=p50,
        p99_ms=p99,
        age_p99_ms=books.get("age"),
        judging_p99_ms=books.get("judging"),
        commit_p99_ms=books.get("commit"),
        idle_rss_mib=before.gateway.rss_mib,
        peak_rss_mib=after.gateway.peak_rss_mib,
    )


def idle_without_a_model(bench: "Bench") -> float:
    """RSS in MiB of a gateway of readings alone that has nothing to do."""
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        site = Site(folder, bench.certificates, bench.inflight)
        stack.callback(site.close)
        settings = verge_settings(site, folder, TASKS[0], Path("unused"))
        del settings["model"]
        settings["source"] = {"pump": number_source("pump/+/vibration")}
        settings["judge"] = {"high": threshold(["pump"], above=1)}
        gateway = Gateway(folder, settings).start()
        stack.callback(gateway.end)
        site.local.wait_for_subscriber("verge-bench")
        wait_for(lambda: site.watcher.statuses, "verge's first status")
        time.sleep(IDLE_S)
        return usage(gateway.pid).rss_mib


@dataclass(frozen=True)
class Bench:
    """What all phases share."""

    certificates: Certificates
    models: Models
    inflight: int


UNDER_TEST: dict[str, type[UnderTest]] = {"verge": VergeUnderTest, "python": PythonUnderTest}


def run(task: Task, arguments: argparse.Namespace, bench: Bench) -> tuple[Bare, list[Result]]:
    """One model: the bare rate, everybody at full speed, then everybody at half the slowest one's speed."""
    chosen = task.pictures()
    contents = [picture.path.read_bytes() for picture in chosen]
    say(f"{task.name}: {len(contents)} pictures, {sum(map(len, contents)) / len(contents) / 1000:.0f} kB on average")
    names = [arguments.only] if arguments.only else list(UNDER_TEST)
    full = CameraLoad(contents, CAMERAS, arguments.frames or task.frames, ahead=arguments.ahead)
    # All at once: whatever the broker holds back is what the gateway makes it hold back.
    backlog = replace(full, ahead=0)
    alone, fast, late = [], defaultdict(list), defaultdict(list)
    for _ in range(arguments.repeat):
        say(f"{task.name}: bare …")
        alone.append(bare(task, chosen, bench.models, arguments.rounds or task.rounds))
        say(f"{alone[-1].frames_per_s:.1f} frames/s")
        for name in names:
            fast[name].append(spoken(UNDER_TEST[name], task, Phase(FULL, full), bench))
            late[name].append(spoken(UNDER_TEST[name], task, Phase(BACKLOG, backlog), bench))
    results = [max(found, key=lambda one: one.frames_per_s) for found in fast.values()]
    rate = min(found.frames_per_s for found in results) / 2
    results += [max(found, key=lambda one: one.frames_per_s) for found in late.values()]
    half = replace(full, rate=rate, count=max(int(rate * arguments.seconds), 2 * CAMERAS), ahead=0)
    steady = defaultdict(list)
    for name in names * arguments.repeat:
        steady[name].append(spoken(UNDER_TEST[name], task, Phase(f"{rate:.0f} frames/s", half), bench))
    results += [min(found, key=lambda one: one.p99_ms or 0.0) for found in steady.values()]
    return max(alone, key=lambda one: one.frames_per_s), results


def spoken(make: type[UnderTest], task: Task, phase: Phase, bench: Bench) -> Result:
    """As `measure`, and says what came out."""
    found = measure(make, task, phase, bench)
    latencies = f", p99 {found.p99_ms:.1f} ms" if found.p99_ms else ""
    say(f"{task.name}: {make.name}, {phase.name}: {found.frames_per_s:.1f} frames/s{latencies}")
    return found


def say(text: str) -> None:
    """Progress, beside the figures."""
    print(text, file=sys.stderr, flush=True)


def judged(task: Task, arguments: argparse.Namespace, bench: Bench, wanted: Wanted) -> dict[str, object]:
    """Measures one model and prints what came out."""
    alone, results = run(task, arguments, bench)
    found = marks(alone, results, wanted)
    if not arguments.json:
        print(f"\n{task.name}, bare: {alone.frames_per_s:.1f} frames/s, {alone.cpu_ms:.2f} ms CPU a frame")
        print(table(results, COLUMNS))
        print(f"\n{rows(found)}", flush=True)
    return {"bare": asdict(alone), "results": [asdict(one) for one in results], "marks": [asdict(one) for one in found]}


@contextlib.contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[Bench]:
    """What all phases share, in a folder that goes with it."""
    if arguments.quick:
        arguments.frames, arguments.seconds, arguments.rounds = 200, 2, 2
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as folder:
        models = Path(folder) / "models"
        models.mkdir()
        yield Bench(Certificates.make(Path(folder)), Models.make(models), arguments.inflight)


def arguments_of(description: str | None, models: list[str]) -> argparse.ArgumentParser:
    """The command line of a bench on cameras."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=models, help="only this one")
    parser.add_argument("--only", choices=tuple(UNDER_TEST))
    parser.add_argument("--frames", type=int, help="at full speed; default: some 15 seconds' worth")
    parser.add_argument("--seconds", type=int, default=20, help="length of the phase at half speed")
    parser.add_argument("--repeat", type=int, default=1, help="measure all so often, take the best of each")
    parser.add_argument("--rounds", type=int, help="of the pictures, for the bare rate; default: some 4 seconds' worth")
    parser.add_argument("--ahead", type=int, default=AHEAD, help="frames under way at once; 0 is all of them")
    parser.add_argument("--inflight", type=int, default=20, help="messages that the broker sends ahead")
    parser.add_argument("--quick", action="store_true", help="a few frames: whether it works, not how fast it is")
    parser.add_argument("--json", action="store_true")
    return parser


def main() -> None:
    """Reads the command line, measures, prints."""
    arguments = arguments_of(__doc__, [task.name for task in TASKS]).parse_args()
    report: dict[str, object] = {"machine": machine()}
    with opened(arguments) as bench:
        rss = idle_without_a_model(bench)
        if not arguments.json:
            print(", ".join(f"{key}: {value}" for key, value in machine().items()))
            print(rows([Mark.at_most("idle without a model", rss, 20.0, "{:.1f} MiB")]))
        chosen = [task for task in TASKS if arguments.model in (None, task.name)]
        report["models"] = {task.name: judged(task, arguments, bench, Wanted()) for task in chosen}
        report["idle_without_a_model_mib"] = rss
    if arguments.json:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
