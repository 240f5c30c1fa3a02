"""Just enough MQTT 3.1.1 over a plain socket to load and to watch a broker at little cost.

A full client spends as much on a message as the gateways under test do, on the same cores. No keep-alive, no
reconnection, no errors but exceptions: for measurements that last a minute on one machine.
"""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
# Packet identifiers are 16 bits and never zero.
IDENTIFIERS = 65_535
RECEIVE_BYTES = 1 << 16


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet(first_byte: int, body: bytes) -> bytes:
    return _fixed_header(first_byte, len(body)) + body


def _fixed_header(first_byte: int, remaining: int) -> bytes:
    header = bytearray([first_byte])
    while True:
        remaining, low = divmod(remaining, 128)
        header.append(low | (0x80 if remaining else 0))
        if not remaining:
            return bytes(header)


def connect_packet(client_id: str, username: str | None, password: str | None) -> bytes:
    """CONNECT, clean session, without keep-alive."""
    flags, payload = 0x02, _text(client_id)
    if username is not None:
        flags |= 0x80
        payload += _text(username)
    if password is not None:
        flags |= 0x40
        payload += _text(password)
    return _packet(0x10, _text("MQTT") + bytes([4, flags, 0, 0]) + payload)


def publish_packet(topic: str, payload: bytes, identifier: int) -> bytes:
    """PUBLISH, QoS 1."""
    return _packet(0x32, _text(topic) + struct.pack(">H", identifier) + payload)


def publish_head(topic: str, payload_bytes: int, identifier: int | None) -> bytes:
    """What stands before the payload of a PUBLISH; QoS 0 without an identifier, else QoS 1."""
    head = _text(topic) + (struct.pack(">H", identifier) if identifier else b"")
    return _fixed_header(0x32 if identifier else 0x30, len(head) + payload_bytes) + head


def identifiers() -> Iterator[int]:
    """Packet identifiers, over and over."""
    return itertools.cycle(range(1, IDENTIFIERS + 1))


class Connection:
    """A connection to a broker on this machine."""

    def __init__(self, port: int, client_id: str, username: str | None = None, password: str | None = None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(connect_packet(client_id, username, password))
        self._buffer = bytearray()
        kind, _, body = next(self.packets())
        if kind != CONNACK or body[1] != 0:
            raise ConnectionError(f"the broker refuses {client_id}")
        self.socket.settimeout(None)

    def packets(self) -> Iterator[tuple[int, int, bytes]]:
        """Packets as they come: kind, first byte, body. Ends with the connection."""
        while True:
            yield from self._complete()
            try:
                received = self.socket.recv(RECEIVE_BYTES)
            except OSError:
                return
            if not received:
                return
            self._buffer += received

    def _complete(self) -> Iterator[tuple[int, int, bytes]]:
        buffer, at = self._buffer, 0
        try:
            while (body := _body_of_packet(buffer, at)) is not None:
                first_byte, (begin, at) = buffer[at], body
                yield first_byte >> 4, first_byte, bytes(buffer[begin:at])
        finally:
            # Also where the caller wanted one packet only.
            del buffer[:at]

    def subscribe(self, topic_filter: str) -> None:
        """QoS 0: the last metres to the stopwatch need no acknowledgement."""
        self.socket.sendall(_packet(0x82, struct.pack(">H", 1) + _text(topic_filter) + b"\x00"))
        kind, _, body = next(self.packets())
        if kind != SUBACK or body[2] == 0x80:
            raise ConnectionError(f"the broker refuses {topic_filter}")

    def close(self) -> None:
        """Closes, and wakes whoever reads."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def _body_of_packet(buffer: bytearray, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` begins and ends, if it is all there."""
    length = shift = 0
    position = at + 1
    while position < len(buffer):
        byte = buffer[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (position, position + length) if position + length <= len(buffer) else None
    return None


@dataclass
class Watcher:
    """Notes every message of a broker: verdicts with their time of arrival (monotonic, s), and status documents."""

    connection: Connection
    verdicts: list[tuple[float, bytes]] = field(default_factory=list)
    statuses: list[bytes] = field(default_factory=list)

    def start(self) -> "Watcher":
        """Watches from now on, in a thread of its own."""
        self.connection.subscribe("#")
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def _run(self) -> None:
        for kind, _, body in self.connection.packets():
            if kind == PUBLISH:
                end = 2 + int.from_bytes(body[:2], "big")
                if body[2:end].endswith(b"/status"):
                    self.statuses.append(body[end:])
                else:
                    self.verdicts.append((time.monotonic(), body[end:]))
                    self.noted()

    def noted(self) -> None:
        """One more verdict message has come; for those who want to know at once."""
