"""Scores by programs of another make: pycocotools for detections, plain counting for classes."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any, NamedTuple

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pictures import Picture

# Within a union of classes, boxes that overlap a surer one by more mean the same object.
UNION_IOU = 0.6


class Box(NamedTuple):
    """A detection: left, top, width and height in pixels."""

    label: int
    score: float
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Seen:
    """What was detected on a picture of this size."""

    picture: Picture
    width: int
    height: int
    boxes: list[Box]


class Precision(NamedTuple):
    """Mean average precision over IoU .50 to .95, and at .50."""

    map: float
    ap50: float


def average_precision(seen: list[Seen]) -> Precision:
    """As COCO reckons it, by pycocotools."""
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, one in enumerate(seen, 1):
        for truth in one.picture.truths:
            width, height = truth.width * one.width, truth.height * one.height
            left, top = truth.x * one.width - width / 2, truth.y * one.height - height / 2
            entry = {"id": len(truths) + 1, "image_id": image, "category_id": truth.label, "iscrowd": 0}
            truths.append(entry | {"bbox": [left, top, width, height], "area": width * height})
        for box in one.boxes:
            found.append({"image_id": image, "category_id": box.label, "score": box.score, "bbox": list(box[2:])})
    labels = sorted({truth["category_id"] for truth in truths})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image, "width": one.width, "height": one.height} for image, one in enumerate(seen, 1)],
            "annotations": truths,
            "categories": [{"id": label} for label in labels],
        }
        coco.createIndex()
        scorer = COCOeval(coco, coco.loadRes(found), "bbox")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return Precision(float(scorer.stats[0]), float(scorer.stats[1]))


def union(boxes: list[Box], labels: set[int]) -> list[Box]:
    """Boxes of these classes as one class, 0; of those that mean the same object the surest stays."""
    kept: list[Box] = []
    for box in sorted((box for box in boxes if box.label in labels), key=lambda box: -box.score):
        if all(overlap(box, other) <= UNION_IOU for other in kept):
            kept.append(box._replace(label=0))
    return kept


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one.width * one.height + other.width * other.height - both)


class Accuracy(NamedTuple):
    """Share of pictures whose class is the first reported, or among the five best."""

    top1: float
    top5: float


def accuracy(reported: list[tuple[str, list[str]]]) -> Accuracy:
    """Of pairs: the true label, and the labels reported, best first."""
    top1 = sum(labels[:1] == [truth] for truth, labels in reported)
    top5 = sum(truth in labels[:5] for truth, labels in reported)
    return Accuracy(top1 / len(reported), top5 / len(reported))
