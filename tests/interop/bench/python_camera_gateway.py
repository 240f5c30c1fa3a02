"""What Verge is measured against: the camera gateway one writes with care with paho-mqtt, Pillow and onnxruntime.

It subscribes to frames (QoS 1, kept session), decodes and judges them in two threads, each with a session of its own,
and publishes a JSON verdict (QoS 1) for each. Decoding, resizing and inference leave Python's lock alone, so that both
cores work. Unlike Verge it stores nothing: what it holds is lost with it.
"""

import argparse
import io
import json
import queue
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
from PIL import Image

from python_gateway import mqtt_client

THREADS = 2
# A thread that comes back from decoding or inference waits no longer than this for Python's lock; by default 5 ms.
SWITCH_S = 0.0005
# As many frames wait as a broker sends ahead.
WAITING_FRAMES = 64
TOP = 5
SCORE, IOU, PADDING = 0.25, 0.65, 114
STRIDES = (8, 16, 32)
CROP = 0.875


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture as it came, and its place in its camera's order."""

    camera: str
    number: int
    jpeg: bytes
    received: int


class Model(ABC):
    """One session and what goes in and out of it; each thread has its own."""

    def __init__(self, path: str, labels: list[str]):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0]
        self._labels = labels

    def _run(self, tensor: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._input.name: tensor})[0]

    @abstractmethod
    def look(self, picture: Image.Image) -> dict:
        """What it sees, for the verdict."""


class Classifier(Model):
    """The five best classes, as MobileNets for TFLite want their pictures."""

    def look(self, picture: Image.Image) -> dict:
        """See `Model.look`."""
        width, height = picture.size
        left, top = width * (1 - CROP) / 2, height * (1 - CROP) / 2
        side = self._input.shape[1]
        cut = picture.resize((side, side), Image.Resampling.BILINEAR, (left, top, width - left, height - top), 2.0)
        scores = self._run(np.asarray(cut)[np.newaxis])[0]
        best = np.argpartition(-scores[1:].astype(np.int16), TOP)[:TOP] + 1
        best = best[np.argsort(-scores[best].astype(np.int16), kind="stable")]
        return {"labels": [{"label": self._labels[index], "score": float(scores[index]) / 256} for index in best]}


class Detector(Model):
    """Objects, as YOLOX wants its pictures and gives its boxes."""

    def __init__(self, path: str, labels: list[str]):
        super().__init__(path, labels)
        self._side = side = self._input.shape[2]
        grids = [np.stack(np.meshgrid(np.arange(side // s), np.arange(side // s)), -1).reshape(-1, 2) for s in STRIDES]
        self._grid = np.concatenate(grids).astype(np.float32)
        self._stride = np.concatenate([np.full((len(grid), 1), s, np.float32) for grid, s in zip(grids, STRIDES)])
        self._tensor = np.full((1, 3, side, side), PADDING, np.float32)

    def look(self, picture: Image.Image) -> dict:
        """See `Model.look`."""
        width, height = picture.size
        ratio = min(self._side / width, self._side / height)
        resized_width, resized_height = int(width * ratio), int(height * ratio)
        resized = picture
        if (resized_width, resized_height) != picture.size:
            resized = picture.resize((resized_width, resized_height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        self._tensor.fill(PADDING)
        # Blue, green, red; channels first.
        self._tensor[0, :, :resized_height, :resized_width] = np.asarray(resized)[:, :, ::-1].transpose(2, 0, 1)
        heads = self._run(self._tensor)[0]
        return {"width": width, "height": height, "objects": self._objects(heads, ratio)}

    def _objects(self, heads: np.ndarray, ratio: float) -> list[dict]:
        # Few anchors are left after this, and the rest is done for them alone.
        likely = np.flatnonzero(heads[:, 4] >= SCORE)
        heads, grid, stride = heads[likely], self._grid[likely], self._stride[likely]
        scores = heads[:, 4:5] * heads[:, 5:]
        anchors, labels = np.nonzero(scores >= SCORE)
        scores = scores[anchors, labels]
        centres = (heads[:, :2] + grid) * stride / ratio
        sizes = np.exp(heads[:, 2:4]) * stride / ratio
        boxes = np.concatenate([centres - sizes / 2, sizes], 1)[anchors]
        found = []
        for index in suppressed(boxes, scores, labels):
            x, y, width, height = (round(float(side)) for side in boxes[index])
            found.append({"label": self._labels[labels[index]], "score": round(float(scores[index]), 3)})
            found[-1] |= {"x": x, "y": y, "width": width, "height": height}
        return found


def suppressed(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Of boxes of a class that overlap, the surest stays: their indices, surest first."""
    # Classes are moved apart, so that one pass serves all.
    corners = boxes[:, :2] + labels[:, np.newaxis] * 1e4
    ends, areas = corners + boxes[:, 2:], boxes[:, 2] * boxes[:, 3]
    order, kept = np.argsort(-scores, kind="stable"), []
    while order.size:
        first, rest = order[0], order[1:]
        kept.append(int(first))
        shared = np.minimum(ends[first], ends[rest]) - np.maximum(corners[first], corners[rest])
        shared = np.clip(shared, 0, None).prod(1)
        order = rest[shared <= IOU * (areas[first] + areas[rest] - shared)]
    return kept


class CameraGateway:
    """From one broker to the other."""

    def __init__(self, arguments: argparse.Namespace):
        self.prefix = arguments.prefix
        self.frames: queue.Queue[Frame | None] = queue.Queue(WAITING_FRAMES)
        self.numbers: Counter[str] = Counter()
        labels = Path(arguments.labels).read_text().splitlines()
        make = Classifier if arguments.task == "classify" else Detector
        self.models: list[Model] = [make(arguments.model, labels) for _ in range(THREADS)]
        self.uplink = mqtt_client("python-gateway-uplink")
        if arguments.ca:
            self.uplink.tls_set(ca_certs=arguments.ca, certfile=arguments.cert, keyfile=arguments.key)
        self.uplink.connect("127.0.0.1", arguments.uplink_port)
        self.local = mqtt_client("python-gateway")
        self.local.username_pw_set(arguments.username, arguments.password)
        self.local.on_message = self.on_message
        self.local.on_connect = lambda client, *_: client.subscribe("road/+/frame", qos=1)
        self.local.connect("127.0.0.1", arguments.local_port)

    def on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        """Hands a frame to the threads; waits while their queue is full, and with it the broker."""
        camera = message.topic.split("/")[1]
        frame = Frame(camera, self.numbers[camera], message.payload, time.time_ns() // 1_000_000)
        self.numbers[camera] += 1
        self.frames.put(frame)

    def judge(self, model: Model) -> None:
        """One thread: judges frames until the end."""
        while (frame := self.frames.get()) is not None:
            try:
                picture = Image.open(io.BytesIO(frame.jpeg))
                seen = model.look(picture if picture.mode == "RGB" else picture.convert("RGB"))
            except (OSError, ValueError):
                continue
            verdict = {"gateway": "python", "device": frame.camera, "frame": frame.number, "received": frame.received}
            verdict |= {"decided": time.time_ns() // 1_000_000, **seen}
            self.uplink.publish(f"{self.prefix}/verdict", json.dumps(verdict, separators=(",", ":")), qos=1)

    def run(self) -> None:
        """Until SIGTERM."""
        sys.setswitchinterval(SWITCH_S)
        signal.signal(signal.SIGTERM, lambda *_: self.local.disconnect())
        threads = [threading.Thread(target=self.judge, args=(model,)) for model in self.models]
        for thread in threads:
            thread.start()
        self.uplink.loop_start()
        self.local.loop_forever()
        for _ in threads:
            self.frames.put(None)
        for thread in threads:
            thread.join()
        self.uplink.disconnect()
        self.uplink.loop_stop()


def main() -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local-port", type=int, required=True)
    parser.add_argument("--username", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--uplink-port", type=int, required=True)
    parser.add_argument("--ca", help="certificates for mutual TLS upstream; without, it is plain")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--prefix", default="verge/python")
    parser.add_argument("--task", choices=("classify", "detect"), required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--labels", required=True)
    CameraGateway(parser.parse_args()).run()


if __name__ == "__main__":
    main()
