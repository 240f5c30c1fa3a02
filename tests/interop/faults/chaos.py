"""A TCP proxy on loopback that does to an uplink what networks do."""

import contextlib
import enum
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from peers import HOST

CHUNK = 1 << 16
PUBACK = 0x40


class Mode(enum.Enum):
    """What happens to what passes, at once and until the mode is changed."""

    PASS = "nothing"
    LATENCY = "each piece is late by 200 ms"
    BANDWIDTH = "20 kB/s"
    SLICER = "pieces of 1 to 7 bytes"
    RESET = "connections are reset after a moment"
    BLACK_HOLE = "everything is read and nothing comes out"
    HALF_OPEN = "nothing is read any more, connections stay"
    DROP_PUBACKS = "PUBACKs vanish, the rest passes (MQTT without TLS only)"
    DEAF = "what clients send vanishes, what comes to them passes"
    AFTER_HELLO = "the first bytes of a client pass, nothing comes back"
    REFUSE = "connections are closed as they come"


@dataclass
class Chaos:
    """The proxy. `attempts` holds when clients connected."""

    target: int
    # What comes from the server is MQTT without TLS, so that packets can be distinguished.
    framed: bool = False
    attempts: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.mode = Mode.PASS
        self._listener = socket.create_server((HOST, 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._closed = False
        self._start(self._accept)

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return int(self._listener.getsockname()[1])

    @staticmethod
    def _start(run: object, *arguments: object) -> None:
        threading.Thread(target=run, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def switch(self, mode: Mode) -> None:
        """From now on this happens, to connections that stand too."""
        self.mode = mode
        if mode in (Mode.RESET, Mode.REFUSE):
            self.reset_all()

    def reset_all(self) -> None:
        """Resets every connection."""
        for pair in self._pairs:
            for end in pair:
                _reset(end)
        self._pairs.clear()

    def close(self) -> None:
        """Ends the proxy."""
        self._closed = True
        self._listener.close()
        self.reset_all()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.attempts.append(time.monotonic())
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        if self.mode is Mode.REFUSE:
            _reset(client)
            return
        try:
            server = socket.create_connection((HOST, self.target), timeout=5)
        except OSError:
            _reset(client)
            return
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append((client, server))
        if self.mode is Mode.RESET:
            timer = threading.Timer(0.3, lambda: [_reset(client), _reset(server)])
            timer.daemon = True
            timer.start()
        self._start(self._pump, client, server, False)
        self._start(self._pump, server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, downwards: bool) -> None:
        packets = Packets()
        first = True
        with contextlib.suppress(OSError):
            while True:
                while self.mode is Mode.HALF_OPEN and not self._closed:
                    time.sleep(0.05)
                data = source.recv(CHUNK)
                if not data:
                    break
                if self.framed and downwards:
                    data = packets.whole(data, self.mode is Mode.DROP_PUBACKS)
                if self.mode is Mode.DEAF and not downwards:
                    continue
                if self.mode is Mode.BLACK_HOLE or (self.mode is Mode.AFTER_HELLO and (downwards or not first)):
                    continue
                first = False
                self._send(sink, data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _send(self, sink: socket.socket, data: bytes) -> None:
        if self.mode is Mode.LATENCY:
            time.sleep(0.2)
        if self.mode is Mode.SLICER:
            start, size = 0, 1
            while start < len(data):
                sink.sendall(data[start : start + size])
                start, size = start + size, size % 7 + 1
            return
        if self.mode is Mode.BANDWIDTH:
            for start in range(0, len(data), 1000):
                sink.sendall(data[start : start + 1000])
                time.sleep(0.05)
            return
        sink.sendall(data)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Closing without lingering sends RST.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()


class Packets:
    """Follows a stream of MQTT packets, cut anywhere."""

    def __init__(self) -> None:
        self._held = b""

    def whole(self, data: bytes, drop_pubacks: bool) -> bytes:
        """The packets that are whole by now; the rest is held until it is."""
        self._held += data
        kept = b""
        while True:
            size = packet_size(self._held)
            if size is None or size > len(self._held):
                return kept
            packet, self._held = self._held[:size], self._held[size:]
            if packet[0] != PUBACK or not drop_pubacks:
                kept += packet


def packet_size(data: bytes) -> int | None:
    """Size of the packet that begins here (MQTT 3.1.1, section 2.2.3); `None` if that is not known yet."""
    length = 0
    for position in range(1, 5):
        if position >= len(data):
            return None
        length |= (data[position] & 0x7F) << (7 * (position - 1))
        if not data[position] & 0x80:
            return 1 + position + length
    return None
