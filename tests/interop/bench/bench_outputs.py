"""Measures how soon a verdict is at a web service and at a Sparkplug host, and whether one that is dead delays the other.

    python tests/interop/bench/bench_outputs.py            half a minute
    python tests/interop/bench/bench_outputs.py --rate 500

Every reading causes a verdict. A gateway pushes by HTTP, one is a Sparkplug edge node, one has both, and one has the edge
node beside a web service that takes connections and never answers. All without TLS; the load, mosquitto and the receivers
share the machine with the gateway. A client of OPC UA reads a node again and again while values pass through it (a build with
`opcua`). Then an edge node whose broker was away replays what waited, beside new alarms. Each mark is a row of the table at the
end; so is a case that could not be measured, and the others go on.
"""

import argparse
import asyncio
import bisect
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bench
from gateway import Gateway, Settings
from load import Generator, Load
from marks import Mark, rows, summary
from opcua import UaClient, meaning, until
from peers import HOST, accepts, free_port
from raw_mqtt import Connection, Watcher
from report import machine, percentiles
from sparkplug import Payload
from waiting import wait_for, wait_until_quiet
from wire import decode

SECONDS = 5.0
GROUP, NODE = "bench", "bench"
# From commit to a socket or a node, which is less than what is measured: from publishing a reading.
MOST_MS = 20.0
# A node that shows nothing new for this time has shown all.
MOST_SILENT_S = 5.0


class Service:
    """A web service without TLS that notes when each body came, or one that never answers."""

    def __init__(self, answers: bool):
        self.bodies: list[tuple[float, bytes]] = []
        self._silent = None if answers else socket.create_server(("127.0.0.1", 0))
        if self._silent is not None:
            self.port = self._silent.getsockname()[1]
            return
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.bodies.append((time.monotonic(), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def section(self) -> Settings:
        """The uplink to it."""
        return {"kind": "http", "url": f"http://127.0.0.1:{self.port}/", "insecure_plaintext": True, "route": "hooks"}

    def arrivals(self) -> list[tuple[float, float]]:
        """When each value came."""
        return [
            (verdict.fields["anomaly"]["observed"], at) for at, body in list(self.bodies) for verdict in decode(body).verdicts
        ]


def edge_node(site: bench.Site) -> Settings:
    """The uplink of kind "sparkplug" to the broker upstream."""
    url = site.upstream.url
    return {"kind": "sparkplug", "url": url, "insecure_plaintext": True, "group": GROUP, "node": NODE, "route": "scada"}


def metrics(messages: list[tuple[float, bytes]], historical: bool = False) -> list[tuple[float, float]]:
    """When each observed value came by DDATA: the only metric of these points whose value is a fraction or a number of thousands."""
    of_alias: dict[int, str] = {}
    found = []
    for at, body in list(messages):
        for metric in Payload.FromString(body).metrics:
            if metric.name:
                of_alias[metric.alias] = metric.name
            if of_alias.get(metric.alias, "").endswith("/observed") and not metric.is_null and metric.is_historical == historical:
                found.append((metric.double_value, at))
    return found


def start(
    folder: Path, site: bench.Site, uplinks: dict[str, Settings], servers: dict[str, Settings] | None = None
) -> Gateway:
    """A gateway whose readings are verdicts, with these uplinks and servers alone."""
    folder.mkdir()
    settings = bench.verge_settings(site, folder, bench.Phase("outputs", True, "verdict", Load(1, 1)))
    outputs: Settings = {"uplink": uplinks} | ({"server": servers} if servers else {})
    gateway = Gateway(folder, settings | outputs).start()
    try:
        site.local.wait_for_subscriber("verge-bench")
    except Exception:
        gateway.end()
        raise
    return gateway


def latencies(
    site: bench.Site, rate: int, arrivals: dict[str, Callable[[], list[tuple[float, float]]]], case: str
) -> list[Mark]:
    """From publishing a reading to the arrival of its verdict, of each output."""
    load = Load(1, int(rate * SECONDS), rate)
    generator = Generator(load, site.local.port, site.login.username, site.login.password).start()
    generator.join(60)
    marks = []
    for name, of in arrivals.items():
        wait_for(lambda of=of: len({value for value, _ in of()}) >= 0.99 * load.readings, f"verdicts by {name}", 60)
        wait_until_quiet(lambda of=of: len(of()))
        # The first arrival counts: what is sent again after a lost answer is known already.
        first: dict[float, float] = {}
        for value, at in of():
            first.setdefault(value, at)
        # What was committed before a birth goes as history.
        numbers = [number for number in range(load.readings) if float(number) in first]
        p50, p99 = percentiles([first[float(number)] - generator.sent[number] for number in numbers])
        what = name if name == case else f"{case}: {name}"
        print(f"{what}, {rate} verdicts/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
        marks.append(Mark.at_most(f"{what} at {rate:,} verdicts/s, p99, ms", p99, MOST_MS))
    return marks


def nodes(folder: Path, site: bench.Site, rate: int) -> Mark:
    """From publishing a reading to the node that shows it, or a later one: the time of the reads is part of it."""
    port = free_port()
    served = {"kind": "opcua", "listen": f"{HOST}:{port}", "anonymous": True, "insecure_none": True}
    gateway = start(folder, site, {"centre": {"url": site.upstream.url, "insecure_plaintext": True}}, {"ua": served})
    wait_for(lambda: accepts(port), "the server of OPC UA")
    load = Load(1, int(rate * SECONDS), rate)
    generator = Generator(load, site.local.port, site.login.username, site.login.password)
    read: list[tuple[float, float]] = []

    async def watch() -> None:
        peer = UaClient(port)
        async with peer.client:
            peer.index = await peer.client.get_namespace_index("urn:verge:verdicts")
            node = await peer.node("sensor-0/bench/value/low/observed")
            generator.start()

            async def is_there() -> bool:
                return meaning(await node.read_data_value(raise_on_bad_status=False)) == 0

            await until(is_there, "the node is there")
            # What comes last is the load's own sign of its end, which may leave the node without a value.
            changed = time.monotonic()
            while (not read or read[-1][0] < load.readings - 1) and time.monotonic() - changed < MOST_SILENT_S:
                shown = (await node.read_data_value(raise_on_bad_status=False)).Value
                now = time.monotonic()
                if shown is not None and shown.Value is not None and (not read or shown.Value > read[-1][0]):
                    read.append((shown.Value, now))
                    changed = now

    try:
        asyncio.run(asyncio.wait_for(watch(), 120))
        generator.join(60)
    finally:
        gateway.stop()
    values = [value for value, _ in read]
    first = lambda number: read[bisect.bisect_left(values, number)][1]  # noqa: E731
    # Those before the first read are not known, nor those behind the last.
    numbers = range(int(values[0]), int(min(values[-1] + 1, load.readings)))
    p50, p99 = percentiles([first(number) - generator.sent[number] for number in numbers])
    print(f"OPC UA, {rate} verdicts/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(read):,} reads that saw another value", flush=True)
    return Mark.at_most(f"OPC UA at {rate:,} verdicts/s, p99, ms", p99, MOST_MS)


def replay(folder: Path, site: bench.Site, backlog: int) -> list[Mark]:
    """The broker of the edge node was away: how fast what waited goes as history, and how soon a new value is there."""
    node = edge_node(site) | {"history_rate": 1_000_000}
    gateway = start(folder, site, {"scada": node})
    try:
        return replayed(site, backlog)
    finally:
        gateway.stop()


def replayed(site: bench.Site, backlog: int) -> list[Mark]:
    """What a gateway does that runs."""
    Generator(Load(1, 10, 100), site.local.port, site.login.username, site.login.password).start().join(10)
    wait_for(lambda: metrics(site.watcher.verdicts), "data of the edge node")
    site.watcher.connection.close()
    site.upstream.stop()
    load = Load(1, backlog, 4_000)
    Generator(load, site.local.port, site.login.username, site.login.password).start().join(60)
    site.upstream.start()
    site.watcher = Watcher(Connection(site.upstream.listeners[1].port, "stopwatch")).start()
    wait_for(lambda: len(metrics(site.watcher.verdicts, True)) > 100, "the history begins", 90)
    live = Load(1, 20, 10)
    generator = Generator(live, site.local.port, site.login.username, site.login.password).start()
    generator.join(30)
    wait_until_quiet(lambda: len(site.watcher.verdicts), 3.0, 120.0)
    history = [at for _, at in metrics(site.watcher.verdicts, True)]
    fresh: dict[float, float] = {}
    for value, at in metrics(site.watcher.verdicts):
        if value < live.readings and at > generator.sent[int(value)]:
            fresh.setdefault(value, at)
    slowest = max((1e3 * (at - generator.sent[int(value)]) for value, at in fresh.items()), default=None)
    rate = len(history) / (max(history) - min(history))
    late = "did not come" if slowest is None else f"after {slowest:.0f} ms at most"
    print(f"history of {len(history):,} values at {rate:,.0f}/s, new values beside it {late}", flush=True)
    return [
        Mark.at_least("Sparkplug, history, verdicts/s", rate, 1_000, "{:,.0f}"),
        Mark.at_most("Sparkplug, a new value beside the history, ms", slowest, 2_000, "{:,.0f}"),
    ]


def outputs(folder: Path, site: bench.Site, rate: int, case: str) -> list[Mark]:
    """One gateway with the outputs of this case."""
    service = Service(answers="dead" not in case)
    uplinks: dict[str, Settings] = {}
    arrivals: dict[str, Callable[[], list[tuple[float, float]]]] = {}
    if case != "Sparkplug":
        uplinks["hooks"] = service.section()
        if "dead" not in case:
            arrivals["HTTP"] = service.arrivals
    if case != "HTTP":
        uplinks["scada"] = edge_node(site)
        arrivals["Sparkplug"] = lambda: metrics(site.watcher.verdicts)
    gateway = start(folder, site, uplinks)
    try:
        time.sleep(bench.IDLE_S)
        return latencies(site, rate, arrivals, case)
    finally:
        gateway.stop()


@contextmanager
def opened(folder: Path, case: str, marks: list[Mark]) -> Iterator[bench.Site]:
    """Brokers of one case. What goes wrong in it is a mark that is missed."""
    site = bench.Site(folder, None)
    try:
        yield site
    except Exception as error:  # Whatever it is, the other cases are worth their time.
        traceback.print_exc()
        marks.append(Mark.of(case, f"{type(error).__name__}: {error}", "measured", False))
    finally:
        site.close()


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--backlog", type=int, default=40_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as name:
        folder, marks = Path(name), []
        for number, case in enumerate(("HTTP", "Sparkplug", "both", "Sparkplug beside a dead web service")):
            with opened(folder / f"site-{number}", case, marks) as site:
                marks += outputs(folder / f"gateway-{number}", site, arguments.rate, case)
        with opened(folder / "nodes", "OPC UA", marks) as site:
            marks.append(nodes(folder / "opcua", site, arguments.rate))
        with opened(folder / "replay", "Sparkplug, history", marks) as site:
            marks += replay(folder / "history", site, arguments.backlog)
    print(rows(marks))
    print(summary(marks))
    print(machine(), file=sys.stderr)


if __name__ == "__main__":
    main()
