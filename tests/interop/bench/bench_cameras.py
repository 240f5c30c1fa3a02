"""Measures the whole gateway on cameras, and a Python program beside it, in the same run on the same machine.

    python tests/interop/bench/bench_cameras.py                 the table of docs/performance.md, some five minutes
    python tests/interop/bench/bench_cameras.py --quick --json  a few seconds, for programs

Real JPEGs, at least a hundred different ones, every frame judged and told (`frames = "every"`, `report = "every"`),
each verdict a message of its own (lane alarm), which Verge stores durably before it is sent; the Python program stores
nothing. The load sends pictures it has read before. At full speed it is a few dozen ahead of the verdicts, so that
neither the gateway nor the broker's queue runs empty or full; from a backlog all are with the broker almost at once;
at last everybody has half the speed of the slowest. Two mosquittos, the load and a stopwatch share the machine with
the gateway: their share is in the table. The bare rate is that of `verge eval`: decoding, preprocessing and running the
same pictures in as many threads as there are cores, with nothing else on the machine.
"""

import argparse
import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pictures  # noqa: E402
from bench import machine, percentiles, table  # noqa: E402
from camera_load import CameraGenerator, CameraLoad, PacingWatcher  # noqa: E402
from certificates import Certificates  # noqa: E402
from gateway import Gateway, Settings  # noqa: E402
from models import Models  # noqa: E402
from peers import Listener, Login, Mosquitto  # noqa: E402
from processes import Process  # noqa: E402
from programs import data, verge  # noqa: E402
from raw_mqtt import Connection  # noqa: E402
from scene import frame_source, looking, number_source, threshold  # noqa: E402
from usage import Usage, usage  # noqa: E402
from waiting import wait_for  # noqa: E402
from wire import decode  # noqa: E402

PHASE_S = 180.0
IDLE_S = 2.0
CAMERAS = 4
# Frames under way at once: enough for both workers and every queue between, fewer than Verge's queue holds.
AHEAD = 40
# Of a phase at full speed, the first frames are not counted: caches and pools fill.
WARM_UP = 0.1
FULL, BACKLOG = "full speed", "from a backlog"
WORKERS = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Task:
    """A model and the pictures for it."""

    name: str
    detector: str
    model: str
    labels: str
    pictures: Callable[[], list]
    # At full speed.
    frames: int


TASKS = (
    Task(
        "mobilenet_v2_1.0_224_quant",
        "classify",
        "imagenet/mobilenet_v2_1.0_224_quant.onnx",
        "imagenet/imagenet_labels_1001.txt",
        pictures.imagenet,
        3000,
    ),
    Task(
        "yolox_nano",
        "detect",
        "detection/yolox_nano.onnx",
        "detection/coco_80_names.txt",
        lambda: pictures.spread(pictures.traffic(), 120),
        1500,
    ),
)


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


class Site:
    """Brokers of one phase, fresh for each."""

    def __init__(self, folder: Path, certificates: Certificates, inflight: int):
        self.login = Login("bench", "bench")
        self.certificates = certificates
        self.local = Mosquitto(folder / "local", "local", [Listener(login=self.login)], max_inflight=inflight)
        # Frames that wait are not worth a disk: it would be the broker that is measured.
        self.local.persistence = False
        listeners = [Listener(certificates=certificates), Listener()]
        self.upstream = Mosquitto(folder / "upstream", "upstream", listeners, max_inflight=0)
        self.local.start()
        self.upstream.start()
        # The stopwatch reads from the plain port, so that its own decryption is not on the clock.
        self.watcher = PacingWatcher(Connection(self.upstream.listeners[1].port, "stopwatch"))
        self.watcher.start()

    def cpu_s(self) -> float:
        """Of both brokers so far."""
        return usage(self.local.pid).cpu_s + usage(self.upstream.pid).cpu_s

    def close(self) -> None:
        """Ends them."""
        self.watcher.connection.close()
        self.local.stop()
        self.upstream.stop()


def verge_settings(site: Site, folder: Path, task: Task, card: Path) -> Settings:
    """The configuration of one phase."""
    password_file = folder / "password"
    password_file.write_text(site.login.password)
    identity = site.certificates.gateway
    uplink: Settings = {"url": site.upstream.url, "prefix": "verge", "ca": str(site.certificates.ca)}
    uplink |= {"cert": str(identity.cert), "key": str(identity.key)}
    return {
        "gateway": {"id": "bench", "state_dir": str(folder / "state")},
        "local": {"url": site.local.url, "username": site.login.username, "password_file": str(password_file)},
        "uplink": {"centre": uplink},
        "model": {"bench": {"file": str(card)}},
        "source": {"bench": frame_source("road/+/frame")},
        "judge": {"bench": looking(["bench"], task.detector, "bench", lane="alarm")},
    }


class VergeUnderTest:
    """The gateway of this repository."""

    name = "verge"

    def __init__(self, site: Site, folder: Path, task: Task, models: Models):
        self._gateway = Gateway(folder, verge_settings(site, folder, task, models.real(task.name))).start()
        self.pid = self._gateway.pid
        site.local.wait_for_subscriber("verge-bench-every")
        wait_for(lambda: site.watcher.statuses, "verge's first status")

    def stop(self) -> None:
        """Ends it."""
        if self._gateway.is_running:
            self._gateway.stop()

    @staticmethod
    def books(site: Site) -> dict[str, float]:
        """Of its last status document: 99th percentiles in ms."""
        status = json.loads(site.watcher.statuses[-1])
        spans = {"age": status["frames"]["age_ms"], "judging": status["frames"]["judging_ms"]}
        spans["commit"] = status["store"]["commit_ms"]
        return {name: span["p99"] for name, span in spans.items()}

    @staticmethod
    def told(messages: list[tuple[float, bytes]]) -> list[tuple[str, int, float]]:
        """Camera, place in its order, and time of arrival, of each verdict."""
        verdicts = {verdict.seq: (verdict, at) for at, body in messages for verdict in decode(body).verdicts}
        numbers: dict[str, itertools.count] = defaultdict(itertools.count)
        ordered = [verdicts[seq] for seq in sorted(verdicts)]
        return [(v.fields["device"], next(numbers[v.fields["device"]]), at) for v, at in ordered]


class PythonUnderTest:
    """The Python program beside this file."""

    name = "python"

    def __init__(self, site: Site, folder: Path, task: Task, _models: Models):
        identity = site.certificates.gateway
        command = [sys.executable, str(Path(__file__).with_name("python_camera_gateway.py"))]
        command += ["--local-port", str(site.local.port), "--uplink-port", str(site.upstream.port)]
        command += ["--username", site.login.username, "--password", site.login.password]
        command += ["--ca", str(site.certificates.ca), "--cert", str(identity.cert), "--key", str(identity.key)]
        command += ["--task", task.detector, "--model", str(data() / "models" / task.model)]
        command += ["--labels", str(data() / "models" / task.labels)]
        self._process = Process("the Python camera gateway", command, folder / "python.log")
        self.pid = self._process.pid
        site.local.wait_for_subscriber("python-gateway")

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    @staticmethod
    def books(_site: Site) -> dict[str, float]:
        """It keeps none."""
        return {}

    @staticmethod
    def told(messages: list[tuple[float, bytes]]) -> list[tuple[str, int, float]]:
        """See `VergeUnderTest.told`."""
        documents = ((json.loads(body), at) for at, body in messages)
        return [(document["device"], document["frame"], at) for document, at in documents]


UnderTest = VergeUnderTest | PythonUnderTest


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
    told = under_test.told(site.watcher.verdicts)
    expected = Counter(load.camera(number) for number in range(load.count))
    found = Counter(camera for camera, _, _ in told)
    if found != expected:
        raise RuntimeError(f"{under_test.name}, {phase.name}: verdicts {found}, frames {expected}")
    number_of = {load.camera(index): index for index in range(load.cameras)}
    arrivals = [(number_of[camera] + place * load.cameras, at) for camera, place, at in told]
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


def bare(task: Task, chosen: list, models: Models, rounds: int) -> Bare:
    """`verge eval` over the pictures once and `rounds` times: the difference is free of its start."""
    with tempfile.TemporaryDirectory(prefix="verge-bench-eval-") as name:
        seconds, cpu = zip(*(evaluated(task, chosen, models, Path(name), times) for times in (1, rounds)))
    frames = len(chosen) * (rounds - 1)
    return Bare(frames / (seconds[1] - seconds[0]), (cpu[1] - cpu[0]) / frames * 1000)


def evaluated(task: Task, chosen: list, models: Models, folder: Path, times: int) -> tuple[float, float]:
    """Seconds and CPU seconds of an evaluation of links to the pictures, each so many times."""
    folder = folder / str(times)
    (folder / "images").mkdir(parents=True)
    rows = ["file,class_index"]
    for index, picture in itertools.product(range(times), chosen):
        linked = folder / "images" / f"{index}-{picture.path.stem}.jpg"
        os.symlink(picture.path, linked)
        rows.append(f"{linked.name},1")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    command = [verge(), "eval", task.detector, "--model", str(models.real(task.name)), "--data", str(folder)]
    if task.detector == "detect":
        # One object in all: what is measured is not the scoring.
        (folder / "labels").mkdir()
        (folder / "labels" / f"{linked.stem}.txt").write_text("1 0.5 0.5 0.1 0.1\n")
        command += ["--score", "0.25"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    took, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
        alone.append(bare(task, chosen, bench.models, arguments.rounds))
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
    steady, python_steady = ([found for found in results if found.gateway == name][-1:] for name in UNDER_TEST)
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


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=[task.name for task in TASKS], help="only this one")
    parser.add_argument("--only", choices=tuple(UNDER_TEST))
    parser.add_argument("--frames", type=int, help="at full speed; default: some 15 seconds' worth")
    parser.add_argument("--seconds", type=int, default=20, help="length of the phase at half speed")
    parser.add_argument("--repeat", type=int, default=1, help="measure all so often, take the best of each")
    parser.add_argument("--rounds", type=int, default=11, help="of the pictures, for the bare rate")
    parser.add_argument("--ahead", type=int, default=AHEAD, help="frames under way at once; 0 is all of them")
    parser.add_argument("--inflight", type=int, default=20, help="messages that the broker sends ahead")
    parser.add_argument("--quick", action="store_true", help="a few frames: whether it works, not how fast it is")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.frames, arguments.seconds, arguments.rounds = 200, 2, 2

    report: dict[str, object] = {"machine": machine()}
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as folder:
        models = Path(folder) / "models"
        models.mkdir()
        bench = Bench(Certificates.make(Path(folder)), Models.make(models), arguments.inflight)
        rss = idle_without_a_model(bench)
        report |= {"idle_without_a_model_mib": rss, "models": {}}
        if not arguments.json:
            print(", ".join(f"{key}: {value}" for key, value in machine().items()))
            print(f"idle without a model: {rss:.1f} MiB (<= 20: {'reached' if rss <= 20 else 'MISSED'})")
        for task in TASKS:
            if arguments.model in (None, task.name):
                alone, results = run(task, arguments, bench)
                found = marks(alone, results)
                report["models"][task.name] = {
                    "bare": asdict(alone),
                    "results": [asdict(one) for one in results],
                    "marks": [asdict(mark) for mark in found],
                }
                if not arguments.json:
                    print(f"\n{task.name}, bare: {alone.frames_per_s:.1f} frames/s, {alone.cpu_ms:.2f} ms CPU a frame")
                    print(table(results, COLUMNS))
                    for mark in found:
                        print(f"{mark.what}: {mark.found} ({mark.wanted}: {'reached' if mark.reached else 'MISSED'})")
    if arguments.json:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
