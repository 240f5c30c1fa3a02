"""A recorded run of the program before the house's restructuring (commit 1c63a14b, version 0.1.0): what devices sent, and the
messages that arrived upstream for it.

`python tests/interop/old_wire.py` records it again, with the old program as VERGE_BIN. Devices send the same in each run, but
for the time at which it begins.
"""

import base64
import io
import json
import lzma
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image

import models
from certificates import Certificates
from clients import Receiver
from gateway import Settings, to_toml
from old_store import WrittenGateway
from programs import REPOSITORY
from scene import Scene
from waiting import wait_for, wait_until_quiet

FOLDER = REPOSITORY / "tests" / "interop" / "fixtures" / "old_wire"
RECORDED = FOLDER / "messages.json.xz"
# Seconds of the devices' clocks; all is sent at once, so it begins that much in the past.
SECONDS = 60
DAY_MS = 86_400_000
PREFIXES = {"centre": "verge", "people": "people"}
PICTURES = 24
SIDE = 16
# [left, top, right, bottom] from 0 to 1 with its score, of the two classes.
BOXES = [[0.125, 0.25, 0.5, 0.75], [0.5, 0.125, 0.875, 0.375], [0.0, 0.0, 0.25, 0.25]]
SCORES = [[0.0, 0.875, 0.0], [0.0, 0.0, 0.75], [0.0, 0.125, 0.0]]


def write_models(folder: Path) -> None:
    """`light` tells bright pictures from dark ones, `boxes` finds the same objects in each."""
    made = models.Models(folder)
    onnx.save(models.slow_model(0), folder / "light.onnx")
    made.card("light", models.classifier(**models.GREY), models.LABELS)
    onnx.save(detector(), folder / "boxes.onnx")
    output: Settings = {"decoder": "ssd", "corners": "xyxy", "background": 0, "label_offset": 1, "score": 0.5}
    output |= {"nms": {"iou": 0.5, "per_class": True}}
    (folder / "boxes.txt").write_text("car\nbus\n")
    card: Settings = {"name": "boxes", "version": "2", "file": "boxes.onnx", "labels": "boxes.txt", "task": "detect"}
    picture: Settings = {"resize": "stretch", **models.GREY}
    (folder / "boxes.toml").write_text(to_toml(card | {"input": picture, "output": output}))


def detector() -> onnx.ModelProto:
    """See `write_models`: whatever it sees is multiplied by zero."""
    constants = {
        "zero": np.zeros((1, 1, SIDE, SIDE), np.float32),
        "boxes_of_all": np.array([BOXES], np.float32),
        "scores_of_all": np.array([SCORES], np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["picture", "zero"], ["dark"]),
        helper.make_node("ReduceMax", ["dark"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["boxes_of_all", "nothing"], ["boxes"]),
        helper.make_node("Add", ["scores_of_all", "nothing"], ["scores"]),
    ]
    of = lambda name, dims: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)  # noqa: E731
    given = [of("picture", [1, 1, SIDE, SIDE])]
    found = [of("boxes", [1, len(BOXES), 4]), of("scores", [1, len(SCORES), 3])]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made by a test", given, found, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", models.OPSET)], ir_version=models.IR_VERSION)
    onnx.checker.check_model(made)
    return made


def pressure(pump: int, second: int) -> float:
    """What a pump reports: a slow rise beyond all limits and back, and one jump; the last pump reports what is usual."""
    if pump == 3:
        return 40.0 + second % 5
    rise = 50 + 45 * np.sin(second * np.pi / 30) * (1 if pump == 1 else 0.6)
    return round(float(rise) + (30 if pump == 2 and second == 40 else 0), 2)


def sent(begin: int) -> Iterator[tuple[str, str | bytes]]:
    """Topic and payload of everything that devices send, which begins at this time (UTC, in milliseconds)."""
    for second in range(SECONDS):
        at = begin + 1000 * second
        for pump in (1, 2, 3):
            # The clock of the last one is a day fast.
            ahead = DAY_MS if pump == 3 else 0
            yield f"pump/pump-{pump}/state", json.dumps({"at": at + ahead, "pressure": pressure(pump, second)})
        for loop in (1, 2):
            vehicles = (second * loop) % 3
            state = {"at": at, "count": vehicles, "occupancy": 12.5 * vehicles, "speed": 40 + second % 7}
            yield f"road/loop-{loop}/state", json.dumps(state)
    for number in range(PICTURES):
        coded = io.BytesIO()
        Image.new("L", (64, 48), 250 if number % 3 else 10).save(coded, "JPEG", quality=90)
        yield f"street/cam-{1 + number % 2}/frame", coded.getvalue()


def gateway(scene: Scene, folder: Path) -> WrittenGateway:
    """The gateway of the recorded run, in this folder, with its models."""
    write_models(folder)
    local = scene.local()
    filled = {"FOLDER": folder, "SITE": scene.site.url, "USER": local["username"]}
    filled |= {"UPSTREAM": scene.upstream.url, "CERTS": scene.certificates.folder}
    (folder / "site.password").write_text(Path(str(local["password_file"])).read_text())
    (folder / "site.password").chmod(0o600)
    text = (FOLDER / "gateway.toml").read_text()
    for key, value in filled.items():
        text = text.replace(f"@{key}@", str(value))
    return WrittenGateway(folder, tomllib.loads(text), text=text)


def run(scene: Scene, folder: Path) -> tuple[int, dict[str, list[bytes]]]:
    """Runs it: when it began, and the messages that arrived at each uplink's receiver."""
    receivers = {name: scene.receiver(prefix, f"receiver-{name}") for name, prefix in PREFIXES.items()}
    made = gateway(scene, folder)
    made.start()
    try:
        scene.site.wait_for_subscriber("verge-old-wire", 2)
        scene.site.wait_for_subscriber("verge-old-wire-every")
        # Intervals of counts begin with the ten seconds of the clock.
        begin = (int(time.time()) // 10 * 10 - SECONDS) * 1000
        device = scene.device()
        for topic, payload in sent(begin):
            device.publish(topic, payload)
            # One after the other: what waits together is reported together.
            device.flush()
        wait_for(lambda: seen(receivers["people"], PICTURES), "a verdict for each picture")
        wait_until_quiet(lambda: sum(len(receiver.arrivals) for receiver in receivers.values()), 3)
        assert made.stop() == 0
    finally:
        print(made.log())
        made.end()
    kept = {
        name: [arrival.payload for arrival in receiver.arrivals if arrival.channel in ("alarm", "verdict")]
        for name, receiver in receivers.items()
    }
    return begin, kept


def seen(receiver: Receiver, count: int) -> bool:
    """Whether this number of verdicts about objects has arrived."""
    verdicts = receiver.ledger().in_order()
    return sum(verdict.fields["judge"] == "boxes" for verdict in verdicts) == count


def recorded() -> tuple[int, dict[str, list[bytes]]]:
    """The run of the old program."""
    kept = json.loads(lzma.decompress(RECORDED.read_bytes()))
    return kept["begin"], {name: [base64.b64decode(one) for one in messages] for name, messages in kept["messages"].items()}


def record() -> None:
    """Runs the old program and keeps what arrived."""
    with tempfile.TemporaryDirectory(prefix="verge-old-") as name:
        folder = Path(name)
        (folder / "certificates").mkdir()
        models.Models.make(folder)
        scene = Scene(folder, Certificates.make(folder / "certificates")).open()
        try:
            begin, messages = run(scene, folder)
        finally:
            scene.close()
    text = {name: [base64.b64encode(one).decode() for one in kept] for name, kept in messages.items()}
    RECORDED.write_bytes(lzma.compress(json.dumps({"begin": begin, "messages": text}).encode(), preset=9))
    print({name: len(kept) for name, kept in messages.items()}, RECORDED.stat().st_size, "bytes")


if __name__ == "__main__":
    sys.exit(record())
