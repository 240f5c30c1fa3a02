"""Real pictures with what is on them, read from the folder that VERGE_DATA names."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from programs import data


@dataclass(frozen=True)
class Truth:
    """An object on a picture: its class, and centre and size in shares of the picture's sides."""

    label: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Picture:
    """A JPEG and the objects on it."""

    path: Path
    truths: tuple[Truth, ...]

    @property
    def name(self) -> str:
        """Without its ending."""
        return self.path.stem


@dataclass(frozen=True)
class Labelled:
    """A JPEG and its class, from 1 to 1000; 0 is the background."""

    path: Path
    label: int

    @property
    def name(self) -> str:
        """Without its ending."""
        return self.path.stem


def coco() -> list[Picture]:
    """64 pictures with objects of 80 classes."""
    return _with_objects(data() / "coco_val128")


def traffic() -> list[Picture]:
    """359 frames of cameras above roads, with objects of the one class "vehicle"."""
    return [picture for part in ("train", "valid") for picture in _with_objects(data() / "traffic_topview" / part)]


def _with_objects(folder: Path) -> list[Picture]:
    pictures = []
    for path in sorted((folder / "images").glob("*.jpg")):
        labels = folder / "labels" / f"{path.stem}.txt"
        lines = labels.read_text().splitlines() if labels.exists() else []
        pictures.append(Picture(path, tuple(_truth(line) for line in lines if line.strip())))
    return pictures


def _truth(line: str) -> Truth:
    label, *area = line.split()
    return Truth(int(label), *map(float, area))


def imagenet() -> list[Labelled]:
    """111 pictures of as many classes."""
    folder = data() / "imagenet_sample"
    with (folder / "labels.csv").open(newline="") as lines:
        rows = [(folder / "images" / row["file"], int(row["class_index_1001"])) for row in csv.DictReader(lines)]
    return [Labelled(path, label) for path, label in rows if path.exists()]


def reference_top5(model: str) -> dict[str, list[int]]:
    """By the name of the file: the five best classes of the reference pipeline, 0 for the background."""
    text = (data() / "imagenet_sample" / "reference_top5_onnxruntime.json").read_text()
    return {file: [label + 1 for label in labels] for file, labels in json.loads(text)[model].items()}


def spread(pictures: list, count: int) -> list:
    """`count` of them, evenly spread over all."""
    return [pictures[number * len(pictures) // count] for number in range(min(count, len(pictures)))]
