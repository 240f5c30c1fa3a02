"""Measures what control systems get of the gateway over Modbus TCP, and what that costs.

    python tests/interop/bench/bench_modbus.py             half a minute
    python tests/interop/bench/bench_modbus.py --plain     without TLS upstream

How long after a reading was published a register says so, while every reading causes a verdict; polls a second of 32 registers
that are answered, and the share of a core that 100 polls a second take; memory of points that are served. The brokers, the load and the polls share the machine with the gateway. Each mark is a row of the table at the end.
"""

import argparse
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

import bench
from gateway import Gateway, Settings
from load import Generator, Load
from marks import Mark, rows, summary
from peers import free_port
from report import machine, percentiles
from usage import usage
from waiting import wait_for

# Of one server.
MOST_BLOCKS = 2_000
SECONDS = 5.0


class Poller:
    """A client that asks for input registers."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def registers(self, address: int, count: int) -> bytes:
        """Their bytes."""
        self.socket.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, address, count))
        expected = 9 + 2 * count
        answer = b""
        while len(answer) < expected:
            more = self.socket.recv(expected - len(answer))
            if not more:
                raise ConnectionError("the server has closed the connection")
            answer += more
        return answer[9:]


def with_points(settings: Settings, points: int) -> tuple[Settings, list[int]]:
    """These points, of as many servers as they need."""
    ports, servers = [], {}
    for first in range(0, points, MOST_BLOCKS):
        ports.append(free_port())
        names = range(first, min(points, first + MOST_BLOCKS))
        point = {"judge": "bench", "signal": "value", "strand": "low"}
        served = {f"p{name}": point | {"block": name - first, "device": f"sensor-{name}"} for name in names}
        servers[f"plc{first}"] = {"kind": "modbus", "listen": f"127.0.0.1:{ports[-1]}", "point": served}
    return settings | ({"server": servers} if servers else {}), ports


def freshness(site: bench.Site, port: int, rate: int) -> Mark:
    """From publishing a reading to its value in a register, at a rate of verdicts."""
    load = Load(1, int(rate * SECONDS), rate)
    generator = Generator(load, site.local.port, site.login.username, site.login.password)
    poller, seen = Poller(port), {}
    generator.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        (value,) = struct.unpack(">f", poller.registers(106, 2))
        seen.setdefault(value, time.monotonic())
    generator.join(60)
    latencies = [at - generator.sent[int(value)] for value, at in seen.items() if 0 < value < load.readings]
    p50, p99 = percentiles(latencies)
    wait_for(lambda: site.watcher.statuses, "a status")
    print(f"publish to register at {rate} verdicts/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, of {len(latencies)} values seen", flush=True)
    return Mark.at_most(f"publish to register at {rate:,} verdicts/s, p99, ms", p99, 20.0)


def polls(gateway: Gateway, port: int, rate: float | None) -> tuple[float, float]:
    """Polls a second of 32 registers, as many as are answered or at a rate, and the percentage of a core in all."""
    answered = [0, 0]

    def poll(client: int) -> None:
        poller = Poller(port)
        begin = time.monotonic()
        while time.monotonic() < begin + SECONDS:
            poller.registers(100, 32)
            answered[client] += 1
            if rate:
                time.sleep(max(0.0, begin + answered[client] * 2 / rate - time.monotonic()))

    before = usage(gateway.pid)
    clients = [threading.Thread(target=poll, args=(client,)) for client in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    share = 100 * (usage(gateway.pid).cpu_s - before.cpu_s) / SECONDS
    return sum(answered) / SECONDS, share


def run(folder: Path, site: bench.Site, points: int) -> tuple[Gateway, list[int], float]:
    """A gateway that serves N points; with its memory."""
    phase = bench.Phase("modbus", True, "verdict", Load(1, 1))
    settings, ports = with_points(bench.verge_settings(site, folder, phase), points)
    gateway = Gateway(folder, settings).start()
    site.local.wait_for_subscriber("verge-bench")
    time.sleep(bench.IDLE_S)
    return gateway, ports, usage(gateway.pid).rss_mib


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=2_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as name:
        folder = Path(name)
        certificates = None if arguments.plain else bench.Certificates.make(folder / "pki")
        site = bench.Site(folder, certificates)
        marks = []
        try:
            (folder / "a").mkdir()
            gateway, _, without = run(folder / "a", site, 0)
            idle = usage(gateway.pid).cpu_s
            time.sleep(SECONDS)
            idle = 100 * (usage(gateway.pid).cpu_s - idle) / SECONDS
            gateway.stop()
            (folder / "b").mkdir()
            gateway, ports, within = run(folder / "b", site, arguments.points)
            # Memory of the process: what the configuration itself takes is part of it. What a point takes by itself is counted by
            # an allocator (`cargo test -p verge-pipeline --test memory`).
            marks.append(Mark(f"{arguments.points:,} points, all of the process, MiB", f"{within - without:.1f}"))
            gateway.stop()
            (folder / "c").mkdir()
            gateway, ports, _ = run(folder / "c", site, 1)
            marks.append(freshness(site, ports[0], arguments.rate))
            most, _ = polls(gateway, ports[0], None)
            marks.append(Mark.at_least("polls/s of 32 registers, two clients", most, 5_000, "{:,.0f}"))
            _, share = polls(gateway, ports[0], 100.0)
            marks.append(Mark.at_most("100 polls/s, % of a core", share - idle, 10.0))
            gateway.stop()
        finally:
            site.close()
    print(rows(marks))
    print(summary(marks))
    print(machine(), file=sys.stderr)


if __name__ == "__main__":
    main()
