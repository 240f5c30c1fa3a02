"""A broker upstream that does what brokers should not: raw sockets, one behaviour for each connection in turn."""

import contextlib
import enum
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from chaos import packet_size
from peers import HOST
from wire import decode
from ledger import Ledger


class Manner(enum.Enum):
    """How one connection is served."""

    FINE = "as it should be"
    BACKWARDS = "acknowledges eight at a time, the last first"
    TWICE = "acknowledges everything twice"
    STRANGERS = "acknowledges packets that were never sent"
    LEAVES_OUT = "leaves every tenth out"
    SILENT = "acknowledges nothing"
    REASONS = "acknowledges with reason codes of MQTT 5: quota exceeded"
    REFUSES = "refuses the connection: server unavailable"
    REFUSES_V5 = "refuses the connection in the form of MQTT 5"
    GARBAGE = "sends what is no MQTT after a while"
    REUSES = "sends publishes of its own under the same packet identifiers again and again"
    PRESENT = "says that it has kept a session that was never there"


# Manners that a gateway must notice by itself.
PATIENT = (Manner.SILENT, Manner.LEAVES_OUT)


@dataclass
class Upstream:
    """The broker. It keeps every publish that it reads, acknowledged or not."""

    manners: list[Manner]
    ledger: Ledger = field(default_factory=Ledger, init=False)
    served: list[Manner] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._lock = threading.Lock()
        self._turn = 0
        self._open: dict[socket.socket, float] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address for a gateway."""
        return f"mqtt://{HOST}:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def acknowledged(self) -> int:
        """Different verdicts read so far."""
        with self._lock:
            return len(self.ledger.verdicts)

    def rest_lasting(self, seconds: float) -> None:
        """Closes connections that stand for so long, unless every manner has had its turn."""
        if self._turn >= len(self.manners):
            return
        for client, since in list(self._open.items()):
            # One that acknowledges nothing must be given up by the other side.
            if time.monotonic() - since > seconds and self.served[-1] not in PATIENT:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            # Once every manner has had its turn, the last one stays.
            manner = self.manners[min(self._turn, len(self.manners) - 1)]
            self._turn += 1
            self.served.append(manner)
            self._open[client] = time.monotonic()
            threading.Thread(target=self._serve, args=(client, manner), daemon=True).start()

    def _serve(self, client: socket.socket, manner: Manner) -> None:
        with contextlib.suppress(OSError), client:
            connection = _Connection(client, manner)
            held = b""
            while data := client.recv(1 << 16):
                held += data
                while not connection.over and (size := packet_size(held)) is not None and size <= len(held):
                    packet, held = held[:size], held[size:]
                    payload = connection.answer(packet)
                    if payload is not None:
                        with self._lock:
                            self.ledger.note(decode(payload))
                if connection.over:
                    break
        self._open.pop(client, None)


class _Connection:
    """One connection, served in one manner."""

    def __init__(self, client: socket.socket, manner: Manner):
        self._client = client
        self._manner = manner
        self._due: list[int] = []
        self._count = 0
        self.over = False

    def answer(self, packet: bytes) -> bytes | None:
        """Answers a packet; the payload if it was a publish with verdicts."""
        kind = packet[0] >> 4
        if kind == 1:
            self._connack()
        elif kind == 8:
            at = len(packet) - len(body(packet))
            self._client.sendall(b"\x90\x03" + packet[at : at + 2] + b"\x01")
        elif kind == 12:
            self._client.sendall(b"\xd0\x00")
        elif kind == 14:
            self.over = True
        elif kind == 3:
            return self._publish(packet)
        return None

    def _connack(self) -> None:
        if self._manner is Manner.REFUSES:
            self._client.sendall(b"\x20\x02\x00\x03")
            self.over = True
        elif self._manner is Manner.REFUSES_V5:
            self._client.sendall(b"\x20\x03\x00\x84\x00")
            self.over = True
        else:
            self._client.sendall(b"\x20\x02" + (b"\x01" if self._manner is Manner.PRESENT else b"\x00") + b"\x00")

    def _publish(self, packet: bytes) -> bytes | None:
        content = body(packet)
        (length,) = struct.unpack(">H", content[:2])
        topic = content[2 : 2 + length].decode()
        (packet_id,) = struct.unpack(">H", content[2 + length : 4 + length])
        self._count += 1
        self._acknowledge(packet_id)
        return content[4 + length :] if topic.endswith(("/alarm", "/verdict")) else None

    def _acknowledge(self, packet_id: int) -> None:
        send = lambda number: self._client.sendall(b"\x40\x02" + struct.pack(">H", number))
        match self._manner:
            case Manner.SILENT:
                return
            case Manner.BACKWARDS:
                self._due.append(packet_id)
                if len(self._due) >= 4:
                    for number in reversed(self._due):
                        send(number)
                    self._due.clear()
                return
            case Manner.LEAVES_OUT if self._count % 10 == 0:
                return
            case Manner.REASONS:
                self._client.sendall(b"\x40\x03" + struct.pack(">H", packet_id) + b"\x97")
                return
            case Manner.STRANGERS:
                send((packet_id + 150) % 65_536 or 1)
            case Manner.GARBAGE if self._count > 5:
                self._client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.over = True
                return
            case Manner.REUSES:
                topic = b"nobody/asked"
                self._client.sendall(b"\x32" + bytes([len(topic) + 5]) + struct.pack(">H", len(topic)) + topic + b"\x00\x07!")
        send(packet_id)
        if self._manner is Manner.TWICE:
            send(packet_id)


def body(packet: bytes) -> bytes:
    """What follows the fixed header."""
    start = 1
    while packet[start] & 0x80:
        start += 1
    return packet[start + 1 :]
