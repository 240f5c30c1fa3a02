"""Measures the embedded broker beside mosquitto: messages a second and round trips at QoS 1, handshakes, memory; how long an alarm
takes while devices send more than is judged. In the end the marks: what is wanted, what was measured, whether it is held.

    python tests/interop/bench/bench_broker.py              some two minutes
    python tests/interop/bench/bench_broker.py --seconds 2  shorter

Both are reached by mutual TLS, one after the other. The load is this program's own: packets written ahead of time, a window of 32
unacknowledged messages for each connection, PUBACKs counted, so that neither a client library nor Python's speed is measured. mosquitto has no
subscriber; the gateway judges every message by a threshold that none exceeds, so its figures hold more work. With `durable` the
acknowledgement waits for the judge, and for the disk where something is to be committed.
"""

import argparse
import ssl
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "faults")]

from broker_site import Site, pump_site  # noqa: E402
from certificates import Certificates, Identity  # noqa: E402
from peers import Listener, Mosquitto  # noqa: E402
from clients import VERDICT_CHANNELS  # noqa: E402
from counting import first_arrivals  # noqa: E402
from figures import percentile  # noqa: E402
from marks import Mark, rows, summary  # noqa: E402
from processes import resident_kib  # noqa: E402
from report import machine, percentiles  # noqa: E402
from scene import Scene  # noqa: E402
from tls_device import connect, context, exactly, publishes  # noqa: E402

WINDOW = 32
# Bytes of a message, and connections that send.
CELLS = [(size, connections) for size in (100, 100_000) for connections in (1, 100)]
# An alarm every so often while others send as fast as they can, and how far its values are above all others.
ALARM_EVERY_S, ALARMS_FROM = 0.05, 1000
# A device may have 64 connections.
PER_DEVICE = 50


def load(contexts: dict[str, ssl.SSLContext], port: int, connections: int, size: int, seconds: float) -> float:
    """Messages a second that are acknowledged."""
    payload = b"1" + b" " * (size - 1)
    devices = [list(contexts)[number // PER_DEVICE] for number in range(connections)]
    packets = [publishes(f"plant/{device}/vibration", payload, 1, WINDOW) for device in devices]
    streams = [connect(contexts[device], port, f"{device}:{number}") for number, device in enumerate(devices)]
    counts = [0] * connections
    until = time.monotonic() + seconds

    def drive(index: int) -> None:
        stream = streams[index]
        while time.monotonic() < until:
            stream.sendall(packets[index])
            exactly(stream, 4 * WINDOW)
            counts[index] += WINDOW

    threads = [threading.Thread(target=drive, args=(index,)) for index in range(connections)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    for stream in streams:
        stream.close()
    return sum(counts) / took


def round_trips(tls: ssl.SSLContext, port: int, device: str, seconds: float) -> list[float]:
    """Seconds from PUBLISH to PUBACK, one message at a time."""
    packet = publishes(f"plant/{device}/vibration", b"1" + b" " * 99, 1, 1)
    stream, took = connect(tls, port, f"{device}:trips"), []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        stream.sendall(packet)
        exactly(stream, 4)
        took.append(time.monotonic() - began)
    stream.close()
    return took


def handshakes(tls: ssl.SSLContext, port: int, device: str, seconds: float) -> float:
    """Clients let in a second, by four at a time."""
    counts, until = [0] * 4, time.monotonic() + seconds

    def drive(index: int) -> None:
        while time.monotonic() < until:
            connect(tls, port, f"{device}:h{index}").close()
            counts[index] += 1

    threads = [threading.Thread(target=drive, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


@dataclass
class Measured:
    """Of one broker."""

    rates: dict[tuple[int, int], float] = field(default_factory=dict)
    trip_ms: float = 0.0
    kib_idle: float = 0.0


def measure(name: str, port: int, pid: int, contexts: dict[str, ssl.SSLContext], seconds: float) -> Measured:
    """One broker."""
    found, (device, tls) = Measured(), next(iter(contexts.items()))
    print(f"\n{name}")
    # First, as what a load leaves behind would be used again.
    before = resident_kib(pid)
    idle = [connect(tls, port, f"{one}:idle{number}") for one, tls in contexts.items() for number in range(PER_DEVICE)]
    # Buffers of a connection shrink once it has sent nothing for two seconds.
    time.sleep(4)
    found.kib_idle = (resident_kib(pid) - before) / len(idle)
    print(f"  memory for each of {len(idle)} idle connections: {found.kib_idle:.1f} KiB")
    for stream in idle:
        stream.close()
    for size, connections in CELLS:
        rate = load(contexts, port, connections, size, seconds)
        found.rates[size, connections] = rate
        print(f"  {size:>6} B, {connections:>3} connections: {rate:>9,.0f} messages/s, {rate * size / 1e6:>7.1f} MB/s")
    # What the load has left in queues is judged first.
    time.sleep(10)
    trips = round_trips(tls, port, device, seconds)
    half, most = percentiles(trips)
    found.trip_ms = half or 0.0
    print(f"  round trip at QoS 1: {half:.2f} ms (p50), {most:.2f} ms (p99)")
    print(f"  handshakes: {handshakes(tls, port, device, seconds):,.0f} a second")
    return found


def alarms_under_load(site: Site, contexts: dict[str, ssl.SSLContext], seconds: float) -> list[float]:
    """Seconds from PUBLISH of an alarm to its arrival upstream, while a hundred connections send as fast as they can."""
    device, tls = list(contexts.items())[-1]
    others = dict(list(contexts.items())[:-1])
    sent: dict[int, float] = {}
    flooding = threading.Thread(target=load, args=(others, site.port, 100, 100, seconds + 1))
    flooding.start()
    with connect(tls, site.port, f"{device}:alarm") as stream:
        end, number = time.monotonic() + seconds, ALARMS_FROM
        while time.monotonic() < end:
            sent[number] = time.monotonic()
            stream.sendall(publishes(f"plant/{device}/vibration", str(number).encode(), 1, 1))
            exactly(stream, 4)
            number += 1
            time.sleep(ALARM_EVERY_S)
    flooding.join()
    arrived: dict[int, float] = {}
    deadline = time.monotonic() + 60
    while not sent.keys() <= arrived.keys() and time.monotonic() < deadline:
        time.sleep(0.5)
        for channel in VERDICT_CHANNELS:
            arrived |= first_arrivals(site.receiver, channel)
    missing = sent.keys() - arrived.keys()
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(sent)} alarms have not arrived")
    took = [arrived[number] - at for number, at in sent.items()]
    half, most = percentile(took, 50) * 1000, percentile(took, 99) * 1000
    print(f"  alarms while 100 connections send as fast as they can: {len(took)}, {half:.1f} ms (p50), {most:.1f} ms (p99)")
    return took


def marks(name: str, beside: Measured, own: Measured, alarms: list[float]) -> list[Mark]:
    """What is wanted of the embedded broker."""
    held = []
    for size, connections in CELLS:
        share = own.rates[size, connections] / beside.rates[size, connections]
        held.append(Mark.at_least(f"{name}: of mosquitto's messages/s, {size} B, {connections} connections", share, 0.7, "{:.2f}"))
    held.append(Mark.at_most(f"{name}: added to mosquitto's round trip, p50, ms", own.trip_ms - beside.trip_ms, 0.3, "{:.2f}"))
    held.append(Mark.at_most(f"{name}: alarm under overload, p99, s", percentile(alarms, 99), 1.0, "{:.2f}"))
    held.append(Mark.at_most(f"{name}: an idle connection, KiB in the gateway's process", own.kib_idle, 20.0))
    return held


def main() -> int:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = Certificates.make(folder / "certificates")
        issuing = Site.__new__(Site)
        issuing.certificates, issuing.folder = certificates, folder
        contexts = {}
        for number in range(8):
            contexts[f"pump-{number}"] = context(certificates.ca, Identity(*issuing.identity(f"pump-{number}")))
        broker = Mosquitto(folder / "mosquitto", "mosquitto", [Listener(certificates=certificates)]).start()
        beside, held = measure("mosquitto", broker.port, broker.pid, contexts, args.seconds), []
        broker.kill()
        for durable in (False, True):
            scene = Scene(folder / f"scene-{durable}", certificates).open()
            with pump_site(scene, folder / f"site-{durable}", durable=durable, rate=1_000_000, rate_bytes="2 GiB", max_packet="256 KiB") as site:
                name = f"durable = {str(durable).lower()}"
                own = measure(f"embedded, {name}", site.port, site.gateway.pid, contexts, args.seconds)
                held += marks(name, beside, own, alarms_under_load(site, contexts, args.seconds))
            scene.close()
    print(f"\n{rows(held)}\n\n{summary(held)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
