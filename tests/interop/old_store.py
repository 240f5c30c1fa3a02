"""Stores that the program before the house's restructuring made (commit 1c63a14b, version 0.1.0), with their configurations.

`python tests/interop/old_store.py` makes them again, with the old program as VERGE_BIN: each gateway runs without a broker
upstream, so that its verdicts wait, and is stopped; `make` says what goes in.
"""

import contextlib
import io
import random
import sqlite3
import struct
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from certificates import Certificates
from gateway import Gateway, to_toml
from models import IR_VERSION, OPSET, Models
from programs import REPOSITORY, tool
from scene import Scene
from waiting import wait_for

KEPT = REPOSITORY / "tests" / "interop" / "fixtures" / "old_store"
PUMPS, CAMERAS = "pumps", "cameras"
# Readings and frames that only teach.
TAUGHT, SEEN = 600, 300
SIDE = 8
LANES = ("alarm", "verdict", "telemetry")


@dataclass
class WrittenGateway(Gateway):
    """A gateway whose configuration is a text, kept to the letter."""

    text: str = ""

    def write(self) -> Path:
        """Writes the text."""
        self.configuration.write_text(self.text)
        return self.configuration


def gateway(scene: Scene, name: str, folder: Path) -> WrittenGateway:
    """The gateway of one of the configurations, in this folder."""
    login = scene.site.listeners[0].login
    assert login is not None
    (folder / "site.password").write_text(login.password)
    (folder / "site.password").chmod(0o600)
    filled = {"FOLDER": folder, "SITE": scene.site.url, "USER": login.username}
    filled |= {"UPSTREAM": scene.upstream.url, "CERTS": scene.certificates.folder}
    text = (KEPT / f"{name}.toml").read_text()
    for key, value in filled.items():
        text = text.replace(f"@{key}@", str(value))
    return WrittenGateway(folder, tomllib.loads(text), text=text)


def unpack(name: str, folder: Path) -> None:
    """The state of a gateway, and its model, as the old program left them."""
    with tarfile.open(KEPT / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    store = folder / "state" / "store"
    # A copy is another store, and takes another epoch. In place of one, an upgrade finds the files of the last run: the
    # witness beside the database, which says which files those are (verge-outbox/src/guard.rs), is given these.
    witness = store / "outbox.guard"
    noted = bytearray(witness.read_bytes())
    for at, path in ((80, witness), (104, store / "outbox.db")):
        struct.pack_into("<QQQ", noted, at, *identity(path))
    struct.pack_into("<I", noted, len(noted) - 4, crc32c(noted[:-4]))
    with witness.open("r+b") as file:
        file.write(noted)


def identity(path: Path) -> tuple[int, int, int]:
    """Inode, time of birth in nanoseconds, and device of a file."""
    found = subprocess.run([tool("stat"), "--format=%i %d %w", str(path)], capture_output=True, text=True, check=True)
    inode, device, born = found.stdout.strip().split(" ", 2)
    if born == "-":
        return int(inode), 0, int(device)
    day, time, zone = born.split(" ")
    whole, _, part = time.partition(".")
    seconds = datetime.strptime(f"{day} {whole} {zone}", "%Y-%m-%d %H:%M:%S %z").timestamp()
    return int(inode), int(seconds) * 10**9 + int(part.ljust(9, "0")), int(device)


def crc32c(given: bytes | bytearray) -> int:
    """Of Castagnoli."""
    crc = 0xFFFFFFFF
    for byte in given:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def epoch(state: Path) -> str:
    """The epoch of a store, as its witness says it."""
    return (state / "store" / "outbox.guard").read_bytes()[12:28].hex()


def rows(state: Path) -> dict[tuple[str, int], bytes]:
    """The bytes of each verdict of a store, by lane and number."""
    with contextlib.closing(sqlite3.connect(f"file:{state / 'store' / 'outbox.db'}?mode=ro", uri=True)) as store:
        every = [(lane, *row) for lane in LANES for row in store.execute(f"SELECT seq, bytes FROM {lane}")]
    return {(lane, number): stored for lane, number, stored in every}


def picture(seed: int, brightness: float) -> bytes:
    """A grey picture with noise, a little brighter or darker each time."""
    numbers = np.random.default_rng(seed)
    pixels = numbers.normal(brightness + numbers.normal(0, 2), 6, (32, 32)).clip(0, 255).astype(np.uint8)
    coded = io.BytesIO()
    Image.fromarray(pixels).save(coded, "JPEG", quality=95)
    return coded.getvalue()


USUAL, ODD = 128.0, 250.0


def speed(number: int) -> dict[str, float]:
    """What a line usually reports."""
    return {"speed": round(100 + random.Random(number).gauss(0, 2), 3)}


def model(folder: Path) -> None:
    """A model that expects grey, whatever it sees."""
    weights = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("zero", 0.0), ("grey", 0.5))]
    nodes = [helper.make_node("Mul", ["picture", "zero"], ["nothing"]), helper.make_node("Add", ["nothing", "grey"], ["expected"])]
    given, found = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, SIDE, SIDE])] for name in ("picture", "expected"))
    graph = helper.make_graph(nodes, "grey", given, found, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), folder / "belt.onnx")
    picture = {"layout": "nchw", "colour": "grey", "element": "f32", "resize": "stretch", "scale": [1 / 255]}
    card = {"name": "belt", "version": "1", "file": "belt.onnx", "task": "reconstruct", "input": picture}
    (folder / "belt.toml").write_text(to_toml(card | {"output": {"decoder": "reconstruction"}}))


def make_pumps(scene: Scene, folder: Path) -> None:
    """Open events of three judges at pump-1, cleared ones at pump-2, and what is usual of two lines, of which one is odd."""
    made = gateway(scene, PUMPS, folder).start()
    scene.site.wait_for_subscriber("verge-old-pumps", 2)
    device = scene.device()
    for number in range(TAUGHT):
        for line in (1, 2):
            device.publish(f"line/line-{line}/state", speed(line * 10_000 + number))
        if number % 50 == 0:
            device.flush()
    for pump, pressure in ((1, 40), (2, 40), (1, 95), (2, 95), (1, 96.5), (2, 50)):
        device.publish(f"pump/pump-{pump}/pressure", str(pressure))
        device.flush()
    device.publish("line/line-1/state", {"speed": 500.0})
    device.flush()
    wait_for(lambda: len(rows(made.state_dir)) >= 12, "verdicts in the store")
    print(made.stop(), made.log())


def make_cameras(scene: Scene, folder: Path) -> None:
    """What is usual of two cameras, and an open event of one: its picture is odd."""
    model(folder)
    made = gateway(scene, CAMERAS, folder).start()
    scene.site.wait_for_subscriber("verge-old-cameras-every")
    device = scene.device("cameras")
    for number in range(SEEN):
        device.publish("belt/north/frame", picture(number, USUAL))
        device.publish("belt/south/frame", picture(SEEN + 1 + number, USUAL))
        device.flush()
    device.publish("belt/north/frame", picture(SEEN, ODD))
    device.flush()
    wait_for(lambda: rows(made.state_dir), "a verdict in the store")
    print(made.stop(), made.log())


def make() -> None:
    """Makes both stores and keeps them."""
    with tempfile.TemporaryDirectory(prefix="verge-old-") as name:
        folder = Path(name)
        (folder / "certificates").mkdir()
        Models.make(folder)
        scene = Scene(folder, Certificates.make(folder / "certificates")).open()
        # Its address is known; nobody is there.
        scene.upstream.stop()
        try:
            for made, make_one in ((PUMPS, make_pumps), (CAMERAS, make_cameras)):
                own = folder / made
                own.mkdir()
                try:
                    make_one(scene, own)
                except Exception:
                    print((own / "gateway.log").read_text(), *sorted(own.rglob("*")), rows(own / "state"), sep="\n")
                    raise
                for path in sorted(own.rglob("*")):
                    print(path.relative_to(own), path.stat().st_size)
                print({key: len(stored) for key, stored in rows(own / "state").items()})
                with tarfile.open(KEPT / f"{made}.tar.xz", "w:xz", preset=9) as archive:
                    for kept in ("state", "belt.onnx", "belt.toml"):
                        if (own / kept).exists():
                            archive.add(own / kept, kept)
        finally:
            scene.close()


if __name__ == "__main__":
    sys.exit(make())
