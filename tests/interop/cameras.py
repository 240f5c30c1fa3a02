"""Frames as foreign devices send them."""

import base64
import json
import struct
import subprocess
import time
from pathlib import Path

import lz4.block

from peers import HOST, Listener
from programs import tool


def publish_file(listener: Listener, topic: str, path: Path, *options: str) -> None:
    """Publishes a file with mosquitto_pub, QoS 1."""
    command = [tool("mosquitto_pub"), "-h", HOST, "-p", str(listener.port), "-q", "1", "-t", topic, "-f", str(path)]
    if listener.login:
        command += ["-u", listener.login.username, "-P", listener.login.password]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=30)


def esp32(jpeg: bytes, device: str, width: int, height: int) -> bytes:
    """JSON as sketches for ESP32 cameras write it."""
    document = {"device": device, "timestamp": int(time.time()), "width": width, "height": height, "format": "jpeg"}
    document |= {"size": len(jpeg), "image": base64.b64encode(jpeg).decode()}
    return json.dumps(document).encode()


def data_uri(jpeg: bytes) -> bytes:
    """As browsers and Node-RED hand pictures on."""
    return b"data:image/jpeg;base64," + base64.b64encode(jpeg)


def mime_base64(jpeg: bytes) -> bytes:
    """Base64 in lines of 76, as `base64` prints it."""
    return base64.encodebytes(jpeg)


def lz4_packed(content: bytes) -> bytes:
    """One LZ4 block with its size in front."""
    return lz4.block.compress(content, store_size=True)


def header_bomb(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG, announcing another size in its frame header (T.81 B.2.2)."""
    at = 2
    while jpeg[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]
