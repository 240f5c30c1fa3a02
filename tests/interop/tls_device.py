"""Devices at a listener with TLS, written by hand: packets made ahead of time, no library between the test and the wire."""

import socket
import ssl
import struct
from pathlib import Path

from certificates import Identity
from peers import HOST

CONNACK_BYTES = 4


def context(ca: Path, identity: Identity | None) -> ssl.SSLContext:
    """TLS as a device."""
    made = ssl.create_default_context(cafile=str(ca))
    made.check_hostname = False
    if identity is not None:
        made.load_cert_chain(identity.cert, identity.key)
    return made


def opened(port: int, source: str = HOST, timeout: float = 30.0) -> socket.socket:
    """A connection without TLS, from this address of this machine."""
    plain = socket.create_connection((HOST, port), timeout=timeout, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


def secured(
    tls: ssl.SSLContext, port: int, source: str = HOST, timeout: float = 30.0, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """The same with TLS, resumed from an earlier session where one is given; closed where that fails."""
    plain = opened(port, source, timeout)
    try:
        return tls.wrap_socket(plain, server_hostname=HOST, session=session)
    except BaseException:
        plain.close()
        raise


def connect(
    tls: ssl.SSLContext | None, port: int, client_id: str, source: str = HOST, keep_alive: int = 60, timeout: float = 30.0
) -> socket.socket:
    """A client that is let in."""
    stream = opened(port, source, timeout) if tls is None else secured(tls, port, source, timeout)
    try:
        stream.sendall(connect_packet(client_id, keep_alive))
        answer = exactly(stream, CONNACK_BYTES)
        if answer != b"\x20\x02\x00\x00":
            raise ConnectionError(f"CONNACK {answer.hex()} for {client_id}")
    except BaseException:
        stream.close()
        raise
    return stream


def text(value: str) -> bytes:
    """With its length in front."""
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def packet(first: int, body: bytes) -> bytes:
    """With its fixed header."""
    length, header = len(body), bytearray([first])
    while True:
        header.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes(header) + body


def connect_packet(client_id: str, keep_alive: int = 60, five: bool = False) -> bytes:
    """CONNECT with a clean session."""
    version = b"\x05" if five else b"\x04"
    properties = b"\x00" if five else b""
    return packet(0x10, text("MQTT") + version + b"\x02" + struct.pack(">H", keep_alive) + properties + text(client_id))


def publish_packet(topic: str, payload: bytes, packet_id: int = 1, five: bool = False) -> bytes:
    """PUBLISH of QoS 1."""
    return packet(0x32, text(topic) + struct.pack(">H", packet_id) + (b"\x00" if five else b"") + payload)


def publishes(topic: str, payload: bytes, first: int, count: int) -> bytes:
    """That many of them."""
    return b"".join(publish_packet(topic, payload, packet_id) for packet_id in range(first, first + count))


def subscribe_packet(filters: list[str], packet_id: int = 1, five: bool = False) -> bytes:
    """SUBSCRIBE at QoS 1."""
    body = struct.pack(">H", packet_id) + (b"\x00" if five else b"")
    return packet(0x82, body + b"".join(text(one) + b"\x01" for one in filters))


def exactly(stream: socket.socket, count: int) -> bytes:
    """That many bytes."""
    got = b""
    while len(got) < count:
        more = stream.recv(count - len(got))
        if not more:
            raise ConnectionError("the broker has closed the connection")
        got += more
    return got
