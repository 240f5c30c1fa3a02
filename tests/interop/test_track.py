"""Counts of a camera from frames over a broker, a kill in the middle of an interval, and the same counts of the pictures."""

import io
import json
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from gateway import Settings, to_toml
from models import Models, model
from programs import verge
from scene import Scene, frame_source
from waiting import wait_for

SIDE = 64
INTERVAL = 10
A_SECOND = 5
# A white square that goes down the picture once in this number of seconds.
PASSAGE = 4


def place(number: int) -> int:
    """The upper edge of the square in a frame, in pixels."""
    return int(number * (SIDE + 8) / (PASSAGE * A_SECOND)) % (SIDE + 8) - 8


# What stands before the camera: pictures without contrast or noise are those of a blind one.
GROUND = np.random.default_rng(1).integers(20, 100, (SIDE, SIDE))


def frame(number: int) -> bytes:
    """A frame, as a JPEG."""
    return rendered(place(number), number)


def rendered(top: int, number: int) -> bytes:
    """The square with its upper edge here, with other noise in each frame."""
    noise = np.random.default_rng(number).integers(-6, 7, (SIDE, SIDE))
    picture = (GROUND + noise).astype(np.uint8)
    picture[max(0, top) : max(0, top + 8), 28:36] = 255
    encoded = io.BytesIO()
    Image.fromarray(picture).resize((4 * SIDE, 4 * SIDE)).save(encoded, "JPEG", quality=95)
    return encoded.getvalue()


def finds_squares(models: Models) -> Path:
    """A model that finds what is white: the box is 8 pixels wide and high around its middle."""
    across = np.tile(np.arange(SIDE, dtype=np.float32) + 0.5, (SIDE, 1))[None, None]
    weights = [
        numpy_helper.from_array(across, "across"),
        numpy_helper.from_array(across.transpose(0, 1, 3, 2).copy(), "down"),
        numpy_helper.from_array(np.array([1.0], np.float32), "one"),
        numpy_helper.from_array(np.array(0.6, np.float32), "grey"),
        numpy_helper.from_array(np.array(2.5, np.float32), "stretch"),
        numpy_helper.from_array(np.array([4.0], np.float32), "half"),
        numpy_helper.from_array(np.array([0.05], np.float32), "each"),
        numpy_helper.from_array(np.array([0.0], np.float32), "class"),
        numpy_helper.from_array(np.array([1, 1, 6], np.int64), "rows"),
        numpy_helper.from_array(np.array([1], np.int64), "flat"),
        numpy_helper.from_array(np.array(0.95, np.float32), "most"),
        numpy_helper.from_array(np.array(0.0, np.float32), "least"),
    ]
    node = helper.make_node
    nodes = [
        node("Sub", ["picture", "grey"], ["above"]),
        node("Relu", ["above"], ["bright"]),
        node("Mul", ["bright", "stretch"], ["square"]),
        node("ReduceSum", ["square"], ["white"], keepdims=0),
        node("Reshape", ["white", "flat"], ["sum"]),
    ]
    nodes.append(node("Add", ["sum", "one"], ["weight"]))
    for axis in ("across", "down"):
        nodes += [
            node("Mul", ["square", axis], [f"{axis}_each"]),
            node("ReduceSum", [f"{axis}_each"], [f"{axis}_sum"], keepdims=0),
            node("Reshape", [f"{axis}_sum", "flat"], [f"{axis}_flat"]),
            node("Div", [f"{axis}_flat", "weight"], [f"{axis}_middle"]),
            node("Sub", [f"{axis}_middle", "half"], [f"{axis}_low"]),
            node("Add", [f"{axis}_middle", "half"], [f"{axis}_high"]),
        ]
    nodes += [
        node("Mul", ["sum", "each"], ["sure"]),
        node("Clip", ["sure", "least", "most"], ["score"]),
        node("Concat", ["across_low", "down_low", "across_high", "down_high", "score", "class"], ["row"], axis=0),
        node("Reshape", ["row", "rows"], ["objects"]),
    ]
    made = model(nodes, ("picture", [1, 1, SIDE, SIDE]), ("objects", [1, 1, 6]), weights)
    onnx.save(made, models.folder / "squares.onnx")
    card: Settings = {
        "task": "detect",
        "input": {"resize": "stretch", "layout": "nchw", "colour": "grey", "element": "f32", "scale": [1 / 255]},
        "output": {
            "decoder": "rows",
            "columns": ["x0", "y0", "x1", "y1", "score", "class"],
            "units": "pixels",
            "score": 0.3,
        },
    }
    return models.card("squares", card, ["square"])


def counting() -> Settings:
    """A judge that counts squares at a line in the middle."""
    judge: Settings = {"inputs": ["cameras"], "detector": "track", "model": "squares", "interval": f"{INTERVAL}s"}
    return judge | {"line": {"middle": {"from": [0.1, 0.5], "to": [0.9, 0.5]}}}


def publish(scene: Scene, frames: int, until: threading.Event) -> threading.Thread:
    """Publishes frames in the background as a camera does: those that nobody receives are lost."""
    device = scene.device()

    def run() -> None:
        start = time.monotonic()
        for number in range(frames):
            time.sleep(max(0.0, start + number / A_SECOND - time.monotonic()))
            if until.is_set():
                return
            device.publish("road/north/frame", frame(number))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_kill_in_mid_interval_gives_no_plausible_low_count(scene: Scene, models: Models) -> None:
    receiver = scene.receiver()
    cards = {"squares": {"file": str(finds_squares(models))}}
    source = frame_source("road/+/frame", frames="newest")
    gateway = scene.start(scene.gateway({"cameras": source}, {"crossing": counting()}, model=cards))
    over = threading.Event()
    publisher = publish(scene, 90 * A_SECOND, over)

    def intervals() -> list[dict]:
        found = receiver.ledger().in_order()
        return [one.fields["traffic"] for one in found if one.fields["kind"] == "traffic"]

    try:
        wait_for(lambda: len(intervals()) >= 2, "two intervals", 60)
        # Into the next one, but not to its end.
        time.sleep((INTERVAL - time.time() % INTERVAL) + INTERVAL / 2)
        gateway.kill()
        killed_in = int(time.time() // INTERVAL) * INTERVAL * 1000
        gateway.start()
        behind = lambda: [one for one in intervals() if one["from"] > killed_in]  # noqa: E731
        wait_for(lambda: len(behind()) >= 2, "whole intervals after the kill", 90)
    finally:
        over.set()
        publisher.join()
    by_begin = {one["from"]: one for one in intervals()}
    assert len(by_begin) == len(intervals()), "each interval is reported once"
    whole = [one for one in by_begin.values() if not one["partial"]]
    assert len(whole) >= 2, by_begin
    for one in whole:
        (line,) = one["lines"]
        assert line["backward"]["total"] == 0
        # 10 s hold two or three passages of 4 s.
        assert line["forward"]["total"] + line["unresolved"] in (2, 3), one
        assert one["observed_ms"] >= 0.99 * INTERVAL * 1000, one
    if killed_in in by_begin:
        hit = by_begin[killed_in]
        assert set(hit["partial"]) & {"gap", "start"}, hit
        assert hit["observed_ms"] < INTERVAL * 1000, hit
    assert gateway.stop() == 0


def test_a_folder_of_pictures_counts_the_same(tmp_path: Path, models: Models) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    # The last interval is not complete.
    frames = (3 * INTERVAL + INTERVAL // 2) * A_SECOND
    for number in range(frames):
        (folder / f"{number:06}.jpg").write_bytes(frame(number))
    card = finds_squares(models)
    settings: Settings = {
        "gateway": {"id": "trial", "state_dir": str(tmp_path / "state")},
        "local": {"url": "mqtt://localhost:1883"},
        "model": {"squares": {"file": str(card)}},
        "source": {"cameras": frame_source("road/+/frame")},
        "judge": {"crossing": counting()},
    }
    configuration = tmp_path / "gateway.toml"
    configuration.write_text(to_toml(settings))
    command = [verge(), "judge", "-c", str(configuration), "crossing", str(folder), "--device", "north"]
    command += ["--interval", f"{1000 // A_SECOND}ms", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if '"traffic"' in line]
    totals = [one["traffic"]["lines"][0]["forward"]["total"] for one in found]
    lower = [place(number) + 8 for number in range(frames)]
    passages = sum(before < SIDE / 2 <= after for before, after in zip(lower, lower[1:]))
    assert (len(totals), sum(totals)) == (4, passages), done.stdout
    assert [one["traffic"]["partial"] for one in found] == [[], [], [], ["start"]], done.stdout
    assert found[3]["traffic"]["observed_s"] == INTERVAL / 2, done.stdout
