"""B1: slow clients on the TLS port keep nobody out, and are closed: idle TCP, a byte every five seconds inside TLS, CONNECT, PUBLISH
and SUBSCRIBE, and a keep-alive of 65535 in front of that."""

import contextlib
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from broker_site import Site, pump_site
from figures import Figures
from others import Newcomers, at_once, device_context, standing
from programs import is_full
from scene import Scene
from tls_device import connect, connect_packet, opened, packet, secured, text

EVERY_S = 5.0
# Of each kind at a time, and how often each begins anew.
AT_A_TIME, ROUNDS = (40, 6) if is_full() else (2, 1)
CLOSED_WITHIN_S, LET_IN_WITHIN_S = 15.0, 1.0
# Their time begins when they are let in.
ADMITTED = ("PUBLISH", "SUBSCRIBE", "PUBLISH, keep-alive 65535")


def client_hello(tls: ssl.SSLContext) -> bytes:
    """The first bytes of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = tls.wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read()


def begun(first: int, length: int, body: bytes) -> bytes:
    """A packet of that length of which this is there."""
    return packet(first, bytes(length))[:-length] + body


class Slow:
    """Slow clients, each at addresses of its own kind."""

    def __init__(self, site: Site):
        self.site, self.tls = site, device_context(site, "slow")
        self.closed_after: dict[str, list[float]] = defaultdict(list)
        publish = begun(0x32, 60_000, text("plant/slow/vibration") + b"\x00\x01")
        subscribe = begun(0x82, 4_000, b"\x00\x01")
        self.kinds: dict[str, Callable[[str, int], tuple[socket.socket, bytes]]] = {
            "idle": lambda source, _: (opened(site.port, source), b""),
            "TLS": lambda source, _: (opened(site.port, source), client_hello(self.tls)),
            "CONNECT": lambda source, _: (secured(self.tls, site.port, source), connect_packet("slow", 65_535)),
        }
        if is_full():
            # Packets have ten seconds.
            self.kinds |= {
                "PUBLISH": lambda source, number: (self.admitted(source, number, 60), publish),
                "SUBSCRIBE": lambda source, number: (self.admitted(source, number, 60), subscribe),
                "PUBLISH, keep-alive 65535": lambda source, number: (self.admitted(source, number, 65_535), publish),
            }

    def admitted(self, source: str, number: int, keep_alive: int) -> ssl.SSLSocket:
        # A device has 64 connections at a time.
        device = f"slow-{number % 4}"
        return connect(device_context(self.site, device), self.site.port, f"{device}:{source}-{number}", source, keep_alive)

    def offend(self, kind: str, source: str, number: int) -> None:
        """One client, until it is closed."""
        began = time.monotonic()
        stream, drops = self.kinds[kind](source, number)
        stream.settimeout(EVERY_S)
        if kind in ADMITTED:
            began = time.monotonic()
        with contextlib.closing(stream), contextlib.suppress(ConnectionError, ssl.SSLError, BrokenPipeError):
            for position in range(int(CLOSED_WITHIN_S / EVERY_S) * 4):
                if drops:
                    stream.sendall(drops[position : position + 1])
                with contextlib.suppress(TimeoutError):
                    while stream.recv(4096):
                        pass
                    break
            else:
                raise AssertionError(f"a client of the kind {kind} was not closed")
        self.closed_after[kind].append(time.monotonic() - began)


def test_slow_clients_keep_nobody_out_and_are_closed(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    with pump_site(scene, tmp_path) as site, standing(site) as other:
        slow, newcomers = Slow(site), Newcomers(site)
        for name in range(4):
            site.identity(f"slow-{name}")
        clients = []
        for index, kind in enumerate(slow.kinds):
            for number in range(AT_A_TIME):
                # Sixteen of an address may wait at a time.
                source = f"127.0.{index + 1}.{number // 10 + 1}"
                clients.append((kind, source, number))
        at_once(len(clients), lambda index: [slow.offend(*clients[index]) for _ in range(ROUNDS)])
        newcomers.close()
        for kind in slow.kinds:
            assert len(slow.closed_after[kind]) == AT_A_TIME * ROUNDS, f"all of {kind} are closed"
        longest = {kind: round(max(times), 1) for kind, times in slow.closed_after.items()}
        figures.note(
            "B1", clients=len(clients) * ROUNDS, closed_after_s=longest, newcomers=len(newcomers.times),
            slowest_newcomer_s=round(max(newcomers.times), 2), refused_newcomers=len(newcomers.refused),
            standing_p99_ms=other.p99_ms(),
        )
        assert newcomers.times and not newcomers.refused, newcomers.refused
        if is_full():
            assert max(longest.values()) <= CLOSED_WITHIN_S, longest
            assert max(newcomers.times) <= LET_IN_WITHIN_S
        # The device that was slow is served as any other.
        connect(device_context(site, "slow-0"), site.port, "slow-0").close()
