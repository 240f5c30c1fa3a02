"""B4: 100,000 topics, filters and client identifiers of one device: 32 MiB at most, and others are served as beside a device that has few."""

import itertools
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from broker_site import Site, pump_site
from figures import Figures
from others import at_once, device_context, standing
from programs import is_full
from scene import Scene
from tls_device import connect, connect_packet, exactly, publish_packet, secured, subscribe_packet

MANY, FEW = (100_000, 50) if is_full() else (600, 50)
# Identifiers cost a handshake each.
IDENTIFIERS = MANY if is_full() else 60
AT_ONCE, WINDOW, IN_A_PACKET = 8, 100, 60
LIMIT_KIB = 32 * 1024
NOTICEABLE_MS = 20.0
DEVICE = "many-1"


def answers(stream: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Packets as they come, each shorter than 128 bytes."""
    while True:
        first, length = exactly(stream, 2)
        yield first >> 4, exactly(stream, length)


def connected_five(tls: ssl.SSLContext | None, port: int, client_id: str) -> socket.socket:
    """A client of MQTT 5, which is answered for each message that it may not publish and stays connected."""
    assert tls is not None
    stream = secured(tls, port)
    stream.sendall(connect_packet(client_id, 600, five=True))
    kind, body = next(answers(stream))
    assert kind == 2 and body[1] == 0, body
    return stream


class Many:
    """A device with many names of everything."""

    def __init__(self, site: Site):
        self.site, self.tls = site, device_context(site, DEVICE)
        self.refused = {"topics": 0, "filters": 0, "identifiers": 0}

    def topics(self, names: Iterator[int], count: int) -> None:
        """Publishes once to each, by MQTT 5; and by 3.1.1, where each that is too many ends the connection."""
        with connected_five(self.tls, self.site.port, f"{DEVICE}:topics") as stream:
            replies = answers(stream)
            for _ in range(count // WINDOW):
                window = [f"plant/{DEVICE}/topic-{next(names)}/{'x' * 200}" for _ in range(WINDOW)]
                stream.sendall(b"".join(publish_packet(name, b"1", at + 1, five=True) for at, name in enumerate(window)))
                for _ in window:
                    kind, body = next(replies)
                    assert kind == 4, kind
                    self.refused["topics"] += len(body) > 2 and body[2] >= 0x80
        for _ in range(count // 1000):
            with connect(self.tls, self.site.port, f"{DEVICE}:topics") as stream:
                stream.sendall(publish_packet(f"plant/{DEVICE}/other-{next(names)}", b"1"))
                try:
                    exactly(stream, 4)
                except OSError:
                    self.refused["topics"] += 1

    def filters(self, names: Iterator[int], count: int) -> None:
        """Subscribes to each."""
        with connect(self.tls, self.site.port, f"{DEVICE}:filters", keep_alive=600) as stream:
            replies = answers(stream)
            for packet_id in range(1, count // IN_A_PACKET + 1):
                filters = [f"plant/{DEVICE}/cmd/{next(names)}-{'y' * 80}" for _ in range(IN_A_PACKET)]
                stream.sendall(subscribe_packet(filters, packet_id))
                kind, body = next(replies)
                assert kind == 9 and struct.unpack(">H", body[:2])[0] == packet_id
                self.refused["filters"] += body[2:].count(0x80)

    def identifiers(self, names: Iterator[int], count: int) -> None:
        """Connects under each; every second one asks for a session that is kept."""
        def some(thread: int) -> None:
            for _ in range(count // AT_ONCE):
                name = f"{DEVICE}:id-{next(names)}-{'z' * 60}"
                assert self.tls is not None
                with secured(self.tls, self.site.port, f"127.0.4.{thread + 1}") as stream:
                    hello = bytearray(connect_packet(name))
                    hello[9] = 2 if next(names) % 4 else 0
                    stream.sendall(bytes(hello))
                    code = exactly(stream, 4)[3]
                    assert code in (0, 3), code
                    self.refused["identifiers"] += code == 3
                    stream.sendall(b"\xe0\x00")

        at_once(AT_ONCE, some)


def test_a_device_with_many_names_takes_no_more_than_one_with_few(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    with pump_site(scene, tmp_path, rate=1_000_000) as site, standing(site) as other:
        many = Many(site)
        steps: dict[str, tuple[Callable[[Iterator[int], int], None], int]] = {
            "topics": (many.topics, MANY),
            "filters": (many.filters, MANY),
            "identifiers": (many.identifiers, IDENTIFIERS),
        }
        few, times = {}, {}
        for name, (step, count) in steps.items():
            # A tenth of it under few names: that costs the same time, and fills what is filled once.
            other.taken()
            step(itertools.cycle(range(FEW)), max(count // 10, WINDOW))
            few[name] = other.p99_ms()
        before = sum(site.memory_kib().values())
        for name, (step, count) in steps.items():
            other.taken()
            step(itertools.count(), count)
            times[name] = other.p99_ms()
        grown = sum(site.memory_kib().values()) - before
        assert "has failed" not in site.gateway.whole_log()
        assert many.refused["filters"] >= MANY - 64 - IN_A_PACKET and (not is_full() or many.refused["topics"] >= MANY - 1001)
        figures.note(
            "B4", of_each=MANY, identifiers=IDENTIFIERS, refused=many.refused, grown_mib=round(grown / 1024, 1),
            others_p99_ms=times, beside_few_names_ms=few,
        )
        if is_full():
            assert grown <= LIMIT_KIB
            for name, p99 in times.items():
                assert p99 <= max(2 * few[name], NOTICEABLE_MS), name
            assert site.broker()["restarts"] == 0
