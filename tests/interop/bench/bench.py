"""Measures the whole gateway, and a Python gateway beside it, in the same run on the same machine.

    python tests/interop/bench/bench.py                 the table of docs/performance.md, some three minutes
    python tests/interop/bench/bench.py --quick --json  a few seconds, for programs
    python tests/interop/bench/bench.py --versus OTHER  this build and another binary of Verge in turn, phase by phase

Two mosquittos (the site's with a password, upstream with mutual TLS unless --plain; both without Nagle's
algorithm), a load generator and a stopwatch share the machine with the gateway, so readings per second are those
of everything together. CPU is the gateway's alone, with all its threads.

What is compared: Verge judges with fixed limits, stores each verdict durably before it is sent, and acknowledges a
reading only then; the Python program computes a z-score, stores nothing and acknowledges at once.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from certificates import Certificates  # noqa: E402
from gateway import Gateway, Settings  # noqa: E402
from load import SENTINEL, Generator, Load  # noqa: E402
from peers import Listener, Login, Mosquitto  # noqa: E402
from processes import Process  # noqa: E402
from programs import verge  # noqa: E402
from raw_mqtt import Connection, Watcher  # noqa: E402
from report import machine, percentiles, table  # noqa: E402
from usage import Usage, usage  # noqa: E402
from waiting import wait_for, wait_until_quiet  # noqa: E402
from wire import decode  # noqa: E402

PHASE_S = 180.0
IDLE_S = 3.0
NEVER = 1e12
# Readings a second of the steady phase with a detector that learns.
AUTO_RATE = 5_000


@dataclass(frozen=True)
class Phase:
    """One measurement."""

    name: str
    # Whether every reading causes a verdict, or none does.
    every: bool
    # Verge's lane: "verdict" goes in batches, "alarm" one by one. The Python program knows no lanes.
    lane: str
    load: Load
    # Whether Verge also judges each signal with the detector that learns.
    learns: bool = False


@dataclass
class Result:
    """What one gateway did in one phase."""

    gateway: str
    phase: str
    readings: int
    verdicts: int
    seconds: float
    readings_per_s: float
    cpu_us_per_reading: float
    readings_per_cpu_s: float
    # From handing a reading to the broker to the arrival of its verdict; only at a fixed rate.
    publish_to_verdict_p50_ms: float | None
    publish_to_verdict_p99_ms: float | None
    # From receipt in the gateway to durable; Verge only.
    receipt_to_commit_p50_ms: float | None
    receipt_to_commit_p99_ms: float | None
    idle_rss_mib: float
    peak_rss_mib: float
    upstream_bytes: int


class Site:
    """Brokers of one phase, fresh for each so that no queue of one is paid for by the next."""

    def __init__(self, folder: Path, certificates: Certificates | None):
        self.login = Login("bench", "bench")
        self.certificates = certificates
        self.local = Mosquitto(folder / "local", "local", [Listener(login=self.login)], max_inflight=1000)
        listeners = [Listener(certificates=certificates), Listener()]
        self.upstream = Mosquitto(folder / "upstream", "upstream", listeners, max_inflight=0)
        self.local.start()
        self.upstream.start()
        # The stopwatch reads from the plain port, so that its own decryption is not on the clock.
        self.watcher = Watcher(Connection(self.upstream.listeners[1].port, "stopwatch")).start()

    def close(self) -> None:
        """Ends them."""
        self.watcher.connection.close()
        self.local.stop()
        self.upstream.stop()


def verge_settings(site: Site, folder: Path, phase: Phase) -> Settings:
    """The configuration of one phase."""
    password_file = folder / "password"
    password_file.write_text(site.login.password)
    uplink: Settings = {"url": site.upstream.url, "prefix": "verge"}
    if site.certificates:
        identity = site.certificates.gateway
        uplink |= {"ca": str(site.certificates.ca), "cert": str(identity.cert), "key": str(identity.key)}
    else:
        uplink["insecure_plaintext"] = True
    source = {"topic": "bench/+/state", "codec": "json", "device": "topic:1"}
    source |= {"time": {"pointer": "/ts", "format": "unix_ms"}, "reading": [{"pointer": "/value", "unit": "mm/s"}]}
    limits = {"below": NEVER} if phase.every else {"above": NEVER}
    every = {"inputs": ["bench"], "detector": "threshold", "update_every": "0s", "lane": phase.lane, **limits}
    last = {"inputs": ["bench"], "detector": "threshold", "above": NEVER, "severity": "critical"}
    judges = {"bench": every} if phase.every else {"bench": last}
    if phase.learns:
        judges["unusual"] = {"inputs": ["bench"], "detector": "auto"}
    return {
        "gateway": {"id": "bench", "state_dir": str(folder / "state")},
        "local": {"url": site.local.url, "username": site.login.username, "password_file": str(password_file)},
        "uplink": {"centre": uplink},
        "source": {"bench": source},
        "judge": judges,
    }


class VergeUnderTest:
    """The gateway of this repository."""

    name = "verge"

    def __init__(self, site: Site, folder: Path, phase: Phase):
        self._gateway = Gateway(folder, verge_settings(site, folder, phase)).start()
        self.pid = self._gateway.pid
        site.local.wait_for_subscriber("verge-bench")
        wait_for(lambda: site.watcher.statuses, "verge's first status")

    def stop(self, site: Site) -> dict[str, float]:
        """Ends it; says its own measurements."""
        self._gateway.stop()
        return json.loads(site.watcher.statuses[-1])["store"].get("commit_ms", {})

    @staticmethod
    def observed(payload: bytes) -> list[float]:
        """The values that a message tells of."""
        return [verdict.fields["anomaly"]["observed"] for verdict in decode(payload).verdicts]


class PythonUnderTest:
    """The Python program beside this file."""

    name = "python"

    def __init__(self, site: Site, folder: Path, phase: Phase):
        command = [sys.executable, str(Path(__file__).with_name("python_gateway.py"))]
        command += ["--local-port", str(site.local.port), "--uplink-port", str(site.upstream.port)]
        command += ["--username", site.login.username, "--password", site.login.password]
        command += ["--limit", "-1" if phase.every else "1e9"]
        if site.certificates:
            identity = site.certificates.gateway
            command += ["--ca", str(site.certificates.ca), "--cert", str(identity.cert), "--key", str(identity.key)]
        self._process = Process("the Python gateway", command, folder / "python.log")
        self.pid = self._process.pid
        site.local.wait_for_subscriber("python-gateway")

    def stop(self, _site: Site) -> dict[str, float]:
        """Ends it."""
        self._process.stop()
        return {}

    @staticmethod
    def observed(payload: bytes) -> list[float]:
        """The value that a message tells of."""
        return [json.loads(payload)["observed"]]


UnderTest = VergeUnderTest | PythonUnderTest


def measure(make: Callable[[Site, Path, Phase], UnderTest], phase: Phase, certificates: Certificates | None) -> Result:
    """Runs one gateway through one phase."""
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as name:
        folder = Path(name)
        site = Site(folder, certificates)
        try:
            under_test = make(site, folder, phase)
            time.sleep(IDLE_S)
            idle = usage(under_test.pid)
            login = site.login
            generator = Generator(phase.load, site.local.port, login.username, login.password)
            start = time.monotonic()
            generator.start()
            verdicts = wait_for_end(site.watcher, phase, under_test)
            loaded = usage(under_test.pid)
            generator.join(PHASE_S)
            commit = under_test.stop(site)
            return result(under_test, phase, verdicts, start, (idle, loaded), list(generator.sent), commit)
        finally:
            site.close()


def wait_for_end(watcher: Watcher, phase: Phase, under_test: UnderTest) -> list[tuple[float, bytes]]:
    """Waits for the last verdict; gives all verdict messages with their times of arrival."""
    if phase.learns:
        # What is reported of other readings comes when it comes: the last one tells that all were judged.
        seen = 0

        def last_came() -> bool:
            nonlocal seen
            new = watcher.verdicts[seen:]
            seen += len(new)
            return any(value >= SENTINEL for _, payload in new for value in under_test.observed(payload))

        wait_for(last_came, f"the last of {phase.name}", PHASE_S)
        return list(watcher.verdicts)
    if phase.every and phase.lane == "alarm":
        wait_for(lambda: len(watcher.verdicts) > phase.load.readings, f"all of {phase.name}", PHASE_S)
    else:
        # A batch may hold one verdict or many: all have come when nothing comes any more.
        wait_for(lambda: watcher.verdicts, f"the first of {phase.name}", PHASE_S)
        wait_until_quiet(lambda: len(watcher.verdicts), seconds=PHASE_S)
    return list(watcher.verdicts)


def result(
    under_test: UnderTest,
    phase: Phase,
    messages: list[tuple[float, bytes]],
    start: float,
    used: tuple[Usage, Usage],
    sent: list[float],
    commit: dict[str, float],
) -> Result:
    """Puts the numbers together, and refuses to if verdicts are missing."""
    arrived = [(at, value) for at, payload in messages for value in under_test.observed(payload)]
    readings = phase.load.readings + 1
    expected = readings if phase.every else 1
    if len(arrived) < expected:
        raise RuntimeError(f"{under_test.name}, {phase.name}: {len(arrived)} of {expected} verdicts")
    seconds = max(at for at, _ in arrived) - start
    cpu_s = used[1].cpu_s - used[0].cpu_s
    latencies = [at - sent[int(value)] for at, value in arrived if phase.load.rate and value < len(sent)]
    p50, p99 = percentiles(latencies)
    return Result(
        gateway=under_test.name,
        phase=phase.name,
        readings=readings,
        verdicts=len(arrived),
        seconds=seconds,
        readings_per_s=readings / seconds,
        cpu_us_per_reading=cpu_s / readings * 1e6,
        readings_per_cpu_s=readings / cpu_s if cpu_s else 0.0,
        publish_to_verdict_p50_ms=p50,
        publish_to_verdict_p99_ms=p99,
        receipt_to_commit_p50_ms=commit.get("p50"),
        receipt_to_commit_p99_ms=commit.get("p99"),
        idle_rss_mib=used[0].rss_mib,
        peak_rss_mib=used[1].peak_rss_mib,
        upstream_bytes=sum(len(payload) for _, payload in messages),
    )


def phases(arguments: argparse.Namespace) -> list[Phase]:
    """What is measured."""
    sensors, readings = arguments.sensors, arguments.readings
    if arguments.auto:
        names = {count: f"{count:,} signals, judged by `auto`" for count in (1, 100, 10_000)}
        loads = {count: Load(count, max(readings, 10 * count), numbered=False) for count in names}
        learning = [Phase(name, False, "verdict", loads[count], learns=True) for count, name in names.items()]
        steady = Load(sensors, AUTO_RATE * arguments.seconds, AUTO_RATE, numbered=False)
        name = f"{sensors:,} signals, judged by `auto`, at {AUTO_RATE:,} readings/s"
        return [*learning, Phase(name, False, "verdict", steady, learns=True)]
    steady = Load(sensors, arguments.rate * arguments.seconds, arguments.rate)
    return [
        Phase("no reading causes a verdict", False, "verdict", Load(sensors, readings, numbered=False)),
        Phase("every reading does, in batches", True, "verdict", Load(sensors, readings)),
        Phase("every reading does, one by one", True, "alarm", Load(sensors, readings)),
        Phase(f"the same at {arguments.rate} readings/s", True, "alarm", steady),
    ]


COLUMNS = {
    "gateway": ("gateway", "{}"),
    "phase": ("phase", "{}"),
    "readings_per_s": ("readings/s", "{:,.0f}"),
    "cpu_us_per_reading": ("CPU µs/reading", "{:.1f}"),
    "publish_to_verdict_p50_ms": ("p50 ms", "{:.2f}"),
    "publish_to_verdict_p99_ms": ("p99 ms", "{:.2f}"),
    "receipt_to_commit_p50_ms": ("commit p50", "{:.2f}"),
    "receipt_to_commit_p99_ms": ("commit p99", "{:.2f}"),
    "idle_rss_mib": ("idle MiB", "{:.1f}"),
    "peak_rss_mib": ("peak MiB", "{:.1f}"),
    "upstream_bytes": ("bytes up", "{:,}"),
}


def ratios(results: list[Result]) -> dict[str, float]:
    """Readings per CPU second, Verge against Python, per phase."""
    by = {(found.gateway, found.phase): found.readings_per_cpu_s for found in results}
    names = [found.phase for found in results if found.gateway == "verge"]
    return {name: by["verge", name] / by["python", name] for name in names if by.get(("python", name))}


def versus(arguments: argparse.Namespace, certificates: Certificates | None) -> str:
    """Two binaries of Verge in turn, A B A B; of each phase the medians, and the median of the ratios A/B."""
    binaries = {"this": verge(), "other": arguments.versus}
    lines = ["| phase | CPU µs/reading: this, other, ratio | readings/s: this, other, ratio |", "|---|---|---|"]
    for phase in phases(arguments):
        found: dict[str, list[Result]] = {name: [] for name in binaries}
        for turn in range(arguments.repeat):
            for name, binary in binaries.items():
                print(f"{turn + 1}, {name}: {phase.name} …", file=sys.stderr, flush=True)
                os.environ["VERGE_BIN"] = binary
                found[name].append(measure(VergeUnderTest, phase, certificates))
        cells = []
        for form, value in (("{:.1f}", lambda one: one.cpu_us_per_reading), ("{:,.0f}", lambda one: one.readings_per_s)):
            values = {name: [value(one) for one in results] for name, results in found.items()}
            ratio = statistics.median(a / b for a, b in zip(values["this"], values["other"]))
            medians = [form.format(statistics.median(values[name])) for name in binaries]
            cells.append(f"{medians[0]}, {medians[1]}, {ratio:.2f}")
        lines.append(f"| {phase.name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sensors", type=int, default=100, metavar="M")
    parser.add_argument("--readings", type=int, default=60_000, help="in the phases without a rate")
    parser.add_argument("--rate", type=int, default=1_000, help="readings a second over all sensors, in the last phase")
    parser.add_argument("--seconds", type=int, default=15, help="length of the last phase")
    parser.add_argument("--auto", action="store_true", help="instead: `auto` on 1, 100 and 10,000 signals")
    parser.add_argument("--plain", action="store_true", help="no TLS upstream, for both")
    parser.add_argument("--only", choices=("verge", "python"))
    parser.add_argument("--versus", metavar="OTHER", help="another binary of Verge, instead of the Python program")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each binary with --versus")
    parser.add_argument("--quick", action="store_true", help="a few readings: whether it works, not how fast it is")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.readings, arguments.rate, arguments.seconds = 2_000, 500, 2

    candidates = {"verge": VergeUnderTest, "python": PythonUnderTest}
    chosen = [arguments.only] if arguments.only else list(candidates)
    results = []
    with tempfile.TemporaryDirectory(prefix="verge-bench-certificates-") as folder:
        certificates = None if arguments.plain else Certificates.make(Path(folder))
        if arguments.versus:
            print(", ".join(f"{key}: {value}" for key, value in machine().items()))
            print(versus(arguments, certificates))
            return
        for phase in phases(arguments):
            for name in chosen:
                print(f"{name}: {phase.name} …", file=sys.stderr, flush=True)
                results.append(measure(candidates[name], phase, certificates))
    if arguments.json:
        report = {"machine": machine(), "sensors": arguments.sensors, "tls": not arguments.plain}
        report |= {"results": [asdict(found) for found in results], "readings_per_cpu_s_ratio": ratios(results)}
        print(json.dumps(report, indent=2))
        return
    print(", ".join(f"{key}: {value}" for key, value in machine().items()))
    print(table(results, COLUMNS))
    for name, ratio in ratios(results).items():
        print(f"readings per CPU second, Verge against Python, {name}: {ratio:.1f} x")


if __name__ == "__main__":
    main()
