"""Measures the embedded broker beside mosquitto: messages a second and round trips at QoS 1, handshakes, memory.

    python tests/interop/bench/bench_broker.py              some two minutes
    python tests/interop/bench/bench_broker.py --seconds 2  shorter

Both are reached by mutual TLS, one after the other. The load is this program's own: packets written ahead of time, a window of 32
unacknowledged messages for each connection, PUBACKs counted, so that neither a client library nor Python's speed is measured. mosquitto has no
subscriber; the gateway judges every message by a threshold that none exceeds, so its figures hold more work. With `durable` the
acknowledgement waits for the judge, and for the disk where something is to be committed.
"""

import argparse
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from broker_site import HOST, Site, pump_site  # noqa: E402
from certificates import Certificates  # noqa: E402
from peers import Listener, Mosquitto  # noqa: E402
from report import machine, percentiles  # noqa: E402
from scene import Scene  # noqa: E402

WINDOW = 32
# A device may have 64 connections.
PER_DEVICE = 50


def context(certificates: Certificates, folder: Path, device: str) -> ssl.SSLContext:
    """TLS as a device."""
    made = ssl.create_default_context(cafile=str(certificates.ca))
    made.check_hostname = False
    made.load_cert_chain(folder / f"{device}.pem", folder / f"{device}.key")
    return made


def connect(tls: ssl.SSLContext, port: int, client_id: str) -> ssl.SSLSocket:
    """A client that is let in."""
    plain = socket.create_connection((HOST, port), timeout=30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = tls.wrap_socket(plain, server_hostname=HOST)
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack(">H", len(name)) + name
    stream.sendall(bytes([0x10, len(body)]) + body)
    exactly(stream, 4)
    return stream


def exactly(stream: ssl.SSLSocket, count: int) -> bytes:
    """That many bytes."""
    got = b""
    while len(got) < count:
        more = stream.recv(count - len(got))
        if not more:
            raise ConnectionError("the broker has closed the connection")
        got += more
    return got


def publishes(topic: str, payload: bytes, first: int, count: int) -> bytes:
    """That many PUBLISH packets of QoS 1."""
    packets = b""
    for packet_id in range(first, first + count):
        body = struct.pack(">H", len(topic)) + topic.encode() + struct.pack(">H", packet_id) + payload
        length, header = len(body), b""
        while True:
            header += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
            length >>= 7
            if not length:
                break
        packets += b"\x32" + header + body
    return packets


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


def resident_kib(pid: int) -> int:
    """Memory that a process occupies."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def measure(name: str, port: int, pid: int, contexts: dict[str, ssl.SSLContext], seconds: float) -> None:
    """One broker."""
    device, tls = next(iter(contexts.items()))
    print(f"\n{name}")
    for size in (100, 100_000):
        for connections in (1, 100):
            rate = load(contexts, port, connections, size, seconds)
            print(f"  {size:>6} B, {connections:>3} connections: {rate:>9,.0f} messages/s, {rate * size / 1e6:>7.1f} MB/s")
    # What the load has left in queues is judged first.
    time.sleep(10)
    trips = round_trips(tls, port, device, seconds)
    half, most = percentiles(trips)
    print(f"  round trip at QoS 1: {half:.2f} ms (p50), {most:.2f} ms (p99)")
    print(f"  handshakes: {handshakes(tls, port, device, seconds):,.0f} a second")
    before = resident_kib(pid)
    idle = [connect(tls, port, f"{one}:idle{number}") for one, tls in contexts.items() for number in range(PER_DEVICE)]
    time.sleep(1)
    print(f"  memory for each of {len(idle)} idle connections: {(resident_kib(pid) - before) / len(idle):.1f} KiB")
    for stream in idle:
        stream.close()


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
            issuing.identity(f"pump-{number}")
            contexts[f"pump-{number}"] = context(certificates, folder, f"pump-{number}")
        broker = Mosquitto(folder / "mosquitto", "mosquitto", [Listener(certificates=certificates)]).start()
        measure("mosquitto", broker.port, broker.pid, contexts, args.seconds)
        broker.kill()
        for durable in (False, True):
            scene = Scene(folder / f"scene-{durable}", certificates).open()
            with pump_site(scene, folder / f"site-{durable}", durable=durable, rate=1_000_000, rate_bytes="200 MiB", max_packet="256 KiB") as site:
                measure(f"embedded, durable = {str(durable).lower()}", site.port, site.gateway.pid, contexts, args.seconds)
            scene.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
