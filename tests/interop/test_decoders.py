"""Every decoder reads hand-made tensors as an independent reader in numpy does: models that give constants, one picture,
and the boxes that `verge eval detect` writes."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from gateway import Settings
from models import IR_VERSION, OPSET, Models
from programs import verge

# The input of the models, and the picture, which is stretched into it.
SIDE, WIDTH, HEIGHT = 64, 96, 72
CLASSES = 3
LEAST = 0.3
KINDS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}
# An object: its class and score, then left, top, right and bottom in pixels of the input.
Object = tuple[int, float, float, float, float, float]


def numbers(seed: int, *shape: int) -> np.ndarray:
    """From 0 to 1, without a pattern."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def corners(boxes: np.ndarray) -> np.ndarray:
    """Of centre, width and height."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], axis=1)


def objects(boxes: np.ndarray, scores: np.ndarray) -> list[Object]:
    """Corners, and scores per class of which the best counts."""
    return chosen(boxes, scores.argmax(axis=1), scores.max(axis=1))


def chosen(boxes: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> list[Object]:
    every = zip(classes, scores, boxes, strict=True)
    return [(int(label), float(score), *map(float, box[:4])) for label, score, box in every if score >= LEAST]


def some_boxes(seed: int, count: int) -> np.ndarray:
    """Centre, width and height in pixels of the input, within it."""
    return numbers(seed, count, 4) * [40, 40, 20, 20] + [12, 12, 2, 2]


def some_corners(seed: int, count: int) -> np.ndarray:
    return corners(some_boxes(seed, count)).astype(np.float32)


def some_classes(seed: int, count: int) -> np.ndarray:
    return np.floor(numbers(seed, count) * CLASSES)


def cells(stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows, row by row."""
    count = -(-SIDE // stride)
    rows, columns = np.mgrid[:count, :count]
    return columns.ravel(), rows.ravel()


@dataclass
class Case:
    """Outputs of a model, what its card says of them, and what is in them."""

    outputs: dict[str, np.ndarray]
    card: Settings
    found: list[Object]
    # Inputs beside the picture, and which output they multiply, or divide.
    extra: dict[str, tuple[str, str]] = field(default_factory=dict)
    # What is found is suppressed by the gateway.
    suppressed: bool = False
    # It takes pictures out of a list, without a batch.
    is_listed: bool = False


def decoder(name: str, **rest: object) -> Settings:
    return {"decoder": name, **rest}


def v8(seed: int, extra: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tensor with its numbers in front, and its boxes and scores."""
    boxes, scores = some_boxes(seed, 84), numbers(seed + 1, 84, CLASSES) * 0.5
    whole = np.concatenate([boxes, scores, numbers(seed + 2, 84, extra)], axis=1)
    return whole.T[None].astype(np.float32), boxes, scores


def grid_first() -> Case:
    tensor, boxes, scores = v8(1)
    return Case({"output0": tensor}, decoder("yolov8", nms=OFF), objects(corners(boxes), scores))


def segments() -> Case:
    tensor, boxes, scores = v8(2, 32)
    outputs = {"output0": tensor, "output1": numbers(3, 1, 32, 16, 16)}
    return Case(outputs, decoder("yolov8-seg", nms=OFF), objects(corners(boxes), scores))


def poses() -> Case:
    tensor, boxes, scores = v8(4, 6)
    return Case({"output0": tensor}, decoder("yolov8-pose", extra=6, nms=OFF), objects(corners(boxes), scores))


def turned_boxes() -> Case:
    tensor, boxes, scores = v8(5, 1)
    angle = tensor[0, -1]
    width = np.abs(boxes[:, 2] * np.cos(angle)) + np.abs(boxes[:, 3] * np.sin(angle))
    height = np.abs(boxes[:, 2] * np.sin(angle)) + np.abs(boxes[:, 3] * np.cos(angle))
    upright = np.stack([boxes[:, 0], boxes[:, 1], width, height], axis=1)
    return Case({"output0": tensor}, decoder("yolov8-obb", nms=OFF), objects(corners(upright), scores))


def grid_last() -> Case:
    boxes, sure, scores = some_boxes(6, 63), numbers(7, 63, 1), numbers(8, 63, CLASSES)
    tensor = np.concatenate([boxes, sure, scores], axis=1)[None].astype(np.float32)
    return Case({"output": tensor}, decoder("yolov5", nms=OFF), objects(corners(boxes), sure * scores))


def suppressed() -> Case:
    tensor, boxes, scores = v8(9)
    return Case({"output0": tensor}, decoder("yolov8"), objects(corners(boxes), scores), suppressed=True)


def heads(decoded: bool) -> Case:
    tensors, boxes, scores = [], [], []
    for stride in (8, 16, 32):
        columns, rows = cells(stride)
        raw, some = numbers(10 + stride, len(columns), 4), numbers(20 + stride, len(columns), 1 + CLASSES)
        found = np.stack(
            [(raw[:, 0] + columns) * stride, (raw[:, 1] + rows) * stride, *(np.exp(raw[:, 2:]) * stride / 2).T], axis=1
        )
        raw[:, 2:] -= np.log(2)
        tensors.append(np.concatenate([found if decoded else raw, some], axis=1))
        boxes.append(found)
        scores.append(some[:, :1] * some[:, 1:])
    tensor = np.concatenate(tensors)[None].astype(np.float32)
    card = decoder("yolox_decoded") if decoded else decoder("yolox", strides=[8, 16, 32])
    return Case({"output": tensor}, card, objects(corners(np.concatenate(boxes)), np.concatenate(scores)))


def finished_rows() -> Case:
    boxes, scores, labels = some_corners(30, 12), numbers(31, 12), some_classes(32, 12)
    rows = np.zeros((1, 20, 6), np.float32)
    rows[0, :12] = np.concatenate([boxes, scores[:, None], labels[:, None]], axis=1)
    return Case({"output0": rows}, decoder("yolov10"), chosen(boxes, labels, scores))


def counted_rows(count: int, preset: str) -> Case:
    """As many rows as there are objects, with the picture of the batch in front."""
    boxes, scores, labels = some_corners(33, count), numbers(34, count), some_classes(35, count)
    last = [labels, scores] if preset == "yolov7-end2end" else [scores, labels]
    rows = np.concatenate([np.zeros((count, 1)), boxes, *(one[:, None] for one in last)], axis=1)
    return Case({"output": rows.astype(np.float32)}, decoder(preset), chosen(boxes, labels, scores))


def turned_rows() -> Case:
    boxes, scores, labels = some_boxes(36, 9), numbers(37, 9), some_classes(38, 9)
    rows = np.concatenate([boxes, scores[:, None], labels[:, None], np.full((9, 1), np.pi / 2)], axis=1)
    found = corners(boxes[:, [0, 1, 3, 2]])
    return Case({"output0": rows[None].astype(np.float32)}, decoder("yolo26-obb"), chosen(found, labels, scores))


def ultralytics_detr() -> Case:
    boxes, scores, labels = some_boxes(39, 9), numbers(40, 9), some_classes(41, 9)
    rows = np.concatenate([boxes / SIDE, scores[:, None], labels[:, None]], axis=1)
    found = chosen(corners(boxes), labels, scores)
    return Case({"output0": rows[None].astype(np.float32)}, decoder("rt-detr-ultralytics"), found)


def paddle() -> Case:
    boxes, scores, labels = some_corners(42, 9), numbers(43, 9), some_classes(44, 9)
    rows = np.concatenate([labels[:, None], scores[:, None], boxes], axis=1).astype(np.float32)
    outputs = {"rows": rows, "count": np.array([9], np.int32)}
    return Case(
        outputs,
        decoder("ppyoloe", names=["rows"]),
        chosen(boxes, labels, scores),
        # They leave the boxes as they are only where the size of the picture and its factor are fed.
        extra={"scale_factor": ("rows", "paddle")},
    )


def tuple_of(preset: str, names: list[str], form: str, units: str, **rest: object) -> Case:
    """Boxes, classes and scores in outputs of these names, in their order."""
    offset = 1 if preset in ("tf", "torchvision", "torchvision-ssd") else 0
    boxes, scores, labels = some_boxes(50, 9), numbers(51, 9), some_classes(52, 9)
    found = chosen(corners(boxes), labels, scores)
    written = boxes if form == "cxcywh" else corners(boxes)
    written = written[:, [1, 0, 3, 2]] if form == "yxyx" else written
    batch = () if preset.startswith("torchvision") else (1,)
    parts = {
        "boxes": (written / (SIDE if units == "share" else 1)).astype(np.float32).reshape(*batch, 9, 4),
        "classes": (labels + offset).astype(np.int64).reshape(*batch, 9),
        "scores": scores.reshape(*batch, 9),
        "count": np.array([7], np.int32),
        # Scores with their boxes.
        "dets": np.concatenate([written, scores[:, None]], axis=1).astype(np.float32).reshape(1, 9, 5),
    }
    if "count" in [name.split("=")[1] for name in names]:
        found = chosen(corners(boxes)[:7], labels[:7], scores[:7])
    outputs = {name: parts[part] for name, part in (one.split("=") for one in names)}
    return Case(outputs, decoder(preset, **rest), found, is_listed=preset == "torchvision")


def padded_dets() -> Case:
    case = tuple_of("mmdeploy", ["dets=dets", "labels=classes"], "xyxy", "pixels")
    for name, value in (("dets", 0), ("labels", -1)):
        shape = list(case.outputs[name].shape)
        shape[1] = 4
        padding = np.full(shape, value, case.outputs[name].dtype)
        case.outputs[name] = np.concatenate([case.outputs[name], padding], axis=1)
    return case


def detr_family() -> Case:
    case = tuple_of("d-fine", ["labels=classes", "boxes=boxes", "scores=scores"], "xyxy", "share")
    case.extra = {"orig_target_sizes": ("boxes", "sizes")}
    return case


def indices() -> Case:
    boxes, scores = some_corners(60, 20), numbers(61, CLASSES, 20)
    kept = np.argwhere(scores > 0.8)
    outputs = {
        "boxes": boxes[None][:, :, [1, 0, 3, 2]],
        "scores": scores[None],
        "kept": np.concatenate([np.zeros((len(kept), 1)), kept], axis=1).astype(np.int64),
    }
    found = chosen(boxes[kept[:, 1]], kept[:, 0], scores[kept[:, 0], kept[:, 1]])
    return Case(outputs, decoder("yolov3-zoo"), found, extra={"image_shape": ("boxes", "ones")})


def darknet() -> Case:
    boxes, scores = some_corners(62, 30), numbers(63, 30, CLASSES) * 0.5
    outputs = {"boxes": (boxes / SIDE).astype(np.float32).reshape(1, 30, 1, 4), "confs": scores[None]}
    return Case(outputs, decoder("yolov4", nms=OFF), objects(boxes, scores))


def query(preset: str) -> Case:
    boxes, behind = some_boxes(64, 25), 1 if preset == "detr" else 0
    logits = numbers(65, 25, CLASSES + behind) * 8 - 4
    names = ("labels", "dets") if preset == "rf-detr" else ("logits", "pred_boxes")
    outputs = dict(zip(names, (logits[None], (boxes / SIDE).astype(np.float32)[None]), strict=True))
    scores = softmax(logits)[:, :CLASSES] if preset == "detr" else sigmoid(logits)
    return Case(outputs, decoder(preset), objects(corners(boxes), scores))


ANCHORS = [[[10, 13], [16, 30], [33, 23]], [[30, 41], [42, 45], [39, 49]], [[46, 40], [46, 48], [43, 36]]]


def anchors(formula: str, order: str) -> Case:
    outputs, boxes, scores = {}, [], []
    for level, stride in enumerate((8, 16, 32)):
        side = SIDE // stride
        raw = numbers(70 + level, 3, side, side, 5 + CLASSES) * 4 - 2
        raw[..., 4:] -= 1
        columns, rows = np.meshgrid(np.arange(side), np.arange(side))
        cell = np.stack([columns, rows], axis=-1)[None]
        anchor = np.array(ANCHORS[level])[:, None, None]
        if formula == "yolov5":
            centre, size = (2 * sigmoid(raw[..., :2]) - 0.5 + cell) * stride, (2 * sigmoid(raw[..., 2:4])) ** 2 * anchor
        else:
            raw[..., 2:4] /= 4
            centre, size = (sigmoid(raw[..., :2]) + cell) * stride, np.exp(raw[..., 2:4]) * anchor
        boxes.append(np.concatenate([centre, size], axis=-1).reshape(-1, 4))
        scores.append((sigmoid(raw[..., 4:5]) * sigmoid(raw[..., 5:])).reshape(-1, CLASSES))
        written = {
            "anchors": raw[None],
            "planes": raw.transpose(0, 3, 1, 2).reshape(1, -1, side, side),
            "cells": raw.transpose(1, 2, 0, 3).reshape(1, side, side, -1),
        }
        outputs[f"level{level}"] = np.ascontiguousarray(written[order])
    card = decoder("anchors", formula=formula, strides=[8, 16, 32], anchors=ANCHORS)
    return Case(outputs, card, objects(corners(np.concatenate(boxes)), np.concatenate(scores)))


def nanodet(preset: str) -> Case:
    strides, centre = ((8, 16, 32, 64), 0) if preset == "nanodet-plus" else ((8, 16, 32), 0.5)
    outputs, rows, boxes, scores = {}, [], [], []
    for stride in strides:
        columns, lines = cells(stride)
        some, bins = numbers(80 + stride, len(columns), CLASSES), numbers(81 + stride, len(columns), 4, 8) * 6
        bins[..., 1:] -= 9
        far = (softmax(bins) * np.arange(8)).sum(axis=-1) * stride
        x, y = (columns + centre) * stride, (lines + centre) * stride
        boxes.append(np.stack([x - far[:, 0], y - far[:, 1], x + far[:, 2], y + far[:, 3]], axis=1))
        if preset == "nanodet-plus":
            scores.append(some * 0.5)
            rows.append(np.concatenate([some * 0.5, bins.reshape(-1, 32)], axis=1))
        else:
            scores.append(sigmoid(some * 4 - 4))
            outputs[f"scores{stride}"], outputs[f"far{stride}"] = some[None] * 4 - 4, bins.reshape(1, -1, 32)
    if preset == "nanodet-plus":
        outputs["output"] = np.concatenate(rows)[None]
    else:
        outputs = {f"{part}{stride}": outputs[f"{part}{stride}"] for part in ("scores", "far") for stride in strides}
    return Case(outputs, decoder(preset, nms=OFF), objects(np.concatenate(boxes), np.concatenate(scores)))


def centres() -> Case:
    side, heat = SIDE // 4, numbers(90, 1, CLASSES, SIDE // 4, SIDE // 4) ** 4
    sizes, offsets = numbers(91, 1, 2, side, side) * 6, numbers(92, 1, 2, side, side)
    around = np.pad(heat[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(1, 2)).max(axis=(-1, -2))
    label, row, column = np.nonzero((heat[0] == windows) & (heat[0] >= LEAST))
    size, offset = sizes[0][:, row, column].T, offsets[0][:, row, column].T
    boxes = np.concatenate([np.stack([column, row], axis=1) + offset, size], axis=1) * 4
    found = chosen(corners(boxes), label, heat[0][label, row, column])
    return Case({"heat": heat, "sizes": sizes, "offsets": offsets}, decoder("centernet"), found)


def fastest() -> Case:
    side = 8
    raw = numbers(93, 1, 5 + CLASSES, side, side)
    raw[:, 3:5] -= 3
    flat = raw[0].reshape(-1, side * side).T
    columns, rows = cells(SIDE // side)
    centre = np.stack([np.tanh(flat[:, 1]) + columns, np.tanh(flat[:, 2]) + rows], axis=1) * SIDE / side
    boxes = np.concatenate([centre, sigmoid(flat[:, 3:5]) * SIDE], axis=1)
    scores = flat[:, :1] ** 0.6 * flat[:, 5:] ** 0.4
    return Case({"output": raw}, decoder("fastestdet"), objects(corners(boxes), scores))


# Suppression that leaves all but what lies on top of another.
OFF = {"iou": 1.0, "per_class": True}
CASES: dict[str, Callable[[], Case]] = {
    "yolov5": grid_last,
    "yolov8": grid_first,
    "yolov8, suppressed": suppressed,
    "yolov8-seg": segments,
    "yolov8-pose": poses,
    "yolov8-obb": turned_boxes,
    "yolox": lambda: heads(decoded=False),
    "yolox_decoded": lambda: heads(decoded=True),
    "yolov10": finished_rows,
    "yolov7-end2end": lambda: counted_rows(9, "yolov7-end2end"),
    "yolov7-end2end, nothing": lambda: counted_rows(0, "yolov7-end2end"),
    "yolo-nas-flat": lambda: counted_rows(9, "yolo-nas-flat"),
    "yolo26-obb": turned_rows,
    "rt-detr-ultralytics": ultralytics_detr,
    "ppyoloe": paddle,
    "d-fine": detr_family,
    "tf": lambda: tuple_of(
        "tf",
        [
            "detection_boxes=boxes", "detection_classes=classes", "detection_scores=scores", "num_detections=count",
        ],
        "yxyx",
        "share",
    ),
    "tflite": lambda: tuple_of("tflite", ["a=boxes", "b=classes", "c=scores", "d=count"], "yxyx", "share"),
    "torchvision": lambda: tuple_of("torchvision", ["b=boxes", "l=classes", "s=scores"], "xyxy", "pixels"),
    "torchvision-ssd": lambda: tuple_of("torchvision-ssd", ["b=boxes", "s=scores", "l=classes"], "xyxy", "pixels"),
    "mmdeploy": padded_dets,
    "end2end": lambda: tuple_of(
        "end2end",
        ["num_dets=count", "det_boxes=boxes", "det_scores=scores", "det_classes=classes"],
        "xyxy",
        "pixels",
    ),
    "custom-vision": lambda: tuple_of(
        "custom-vision",
        ["detected_boxes=boxes", "detected_classes=classes", "detected_scores=scores"],
        "xyxy",
        "share",
    ),
    "deepstream-old": lambda: tuple_of(
        "deepstream-old", ["boxes=boxes", "scores=scores", "classes=classes"], "cxcywh", "pixels", nms=OFF
    ),
    "yolov3-zoo": indices,
    "yolov4": darknet,
    "rf-detr": lambda: query("rf-detr"),
    "detr": lambda: query("detr"),
    "rt-detr-hf": lambda: query("rt-detr-hf"),
    "anchors of v5": lambda: anchors("yolov5", "anchors"),
    "anchors of v3, planes": lambda: anchors("yolov3", "planes"),
    "anchors of v3, cells": lambda: anchors("yolov3", "cells"),
    "nanodet-plus": lambda: nanodet("nanodet-plus"),
    "nanodet-m": lambda: nanodet("nanodet-m"),
    "centernet": centres,
    "fastestdet": fastest,
}


def constant_model(case: Case) -> onnx.ModelProto:
    """Gives the case's outputs whatever it sees; those that an input beside the picture asks for depend on it."""
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0), helper.make_node("Mul", ["mean", "zero"], ["nothing"])]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    picture = [3, SIDE, SIDE] if case.is_listed else [1, 3, SIDE, SIDE]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, picture)]
    declared = []
    for name, value in case.outputs.items():
        kind = KINDS[str(value.dtype)]
        constants.append(numpy_helper.from_array(value, f"{name}_value"))
        nodes.append(helper.make_node("Cast", ["nothing"], [f"{name}_nothing"], to=kind))
        last = f"{name}_sum" if name in [of for of, _ in case.extra.values()] else name
        nodes.append(helper.make_node("Add", [f"{name}_value", f"{name}_nothing"], [last]))
        shape: list[int | str] = list(value.shape)
        # As exporters leave it: how many rows there are is known when it runs.
        if len(shape) == 2:
            shape[0] = "rows"
        declared.append(helper.make_tensor_value_info(name, kind, shape))
    for name, (of, how) in case.extra.items():
        kind = TensorProto.INT64 if how == "sizes" else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(name, kind, [1, 2]))
        nodes.append(helper.make_node("Cast", [name], ["fed"], to=TensorProto.FLOAT))
        if how == "sizes":
            # Width and height, twice, as RT-DETR's postprocessor multiplies shares.
            nodes += [helper.make_node("Concat", ["fed", "fed"], ["scale"], axis=1), helper.make_node("Mul", [f"{of}_sum", "scale"], [of])]
        elif how == "ones":
            # The picture's size over the input's own.
            constants.append(numpy_helper.from_array(np.array([[SIDE, SIDE]], np.float32), "own"))
            nodes += [
                helper.make_node("Div", ["fed", "own"], ["one"]),
                helper.make_node("Concat", ["one", "one"], ["scale"], axis=1),
                helper.make_node("Mul", [f"{of}_sum", "scale"], [of]),
            ]
        else:
            constants.append(numpy_helper.from_array(np.array([[1, 1]], np.float32), "plain"))
            nodes += [
                helper.make_node("Concat", ["plain", "fed", "fed"], ["scale"], axis=1),
                helper.make_node("Div", [f"{of}_sum", "scale"], [of]),
            ]
    graph = helper.make_graph(nodes, "constants", inputs, declared, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def suppress(found: list[Object], most: float) -> list[Object]:
    """Of boxes of a class that overlap, the surest stays."""
    kept: list[Object] = []
    for one in sorted(found, key=lambda one: -one[1]):
        if all(one[0] != other[0] or overlap(one[2:], other[2:]) <= most for other in kept):
            kept.append(one)
    return kept


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return common / (area - common)


def in_frame(one: Object) -> list[float]:
    """Class and score, then left, top, width and height in pixels of the picture, within it."""
    label, score, *box = one
    x0, x1 = (min(max(x * WIDTH / SIDE, 0), WIDTH) for x in (box[0], box[2]))
    y0, y1 = (min(max(y * HEIGHT / SIDE, 0), HEIGHT) for y in (box[1], box[3]))
    return [label, score, x0, y0, x1 - x0, y1 - y0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models.make(tmp_path_factory.mktemp("decoders"))


def seen(models: Models, name: str, case: Case) -> list[list[float]]:
    """What `verge eval detect` finds with the case's model."""
    folder = models.folder / name
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 60)).save(folder / "images" / "1.jpg")
    (folder / "labels" / "1.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    onnx.save(constant_model(case), models.folder / f"{name}.onnx")
    picture = {"layout": "nchw", "colour": "rgb", "element": "f32", "resize": "stretch"}
    keys = {"task": "detect", "input": picture, "output": case.card}
    card = models.card(name, keys, [f"class{number}" for number in range(CLASSES)])
    written = folder / "found.json"
    command = [verge(), "eval", "detect", "--model", str(card), "--data", str(folder), "--score", str(LEAST)]
    done = subprocess.run(
        [*command, "--detections", str(written)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [[one["category_id"], one["score"], *one["bbox"]] for one in json.loads(written.read_text())]


@pytest.mark.parametrize("name", CASES)
def test_a_decoder_reads_what_numpy_reads(made: Models, name: str) -> None:
    """Class, score and box of every object."""
    case = CASES[name]()
    expected = suppress(case.found, 0.45) if case.suppressed else case.found
    if "nothing" not in name:
        assert 2 <= len(expected) <= 100, f"{len(expected)} objects: the case shows something, and is reported whole"
    found = sorted(seen(made, name.replace(", ", "-").replace(" ", "-"), case))
    # Boxes wholly beyond the picture are none.
    wanted = [box for box in sorted(map(in_frame, expected)) if box[4] > 0 and box[5] > 0]
    assert len(found) == len(wanted), f"{len(found)} found, {len(wanted)} expected"
    np.testing.assert_allclose(np.array(found).reshape(-1, 6), np.array(wanted).reshape(-1, 6), atol=2e-3)
