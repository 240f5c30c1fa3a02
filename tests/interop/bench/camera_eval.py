"""The models of the bench on cameras, and how fast they run without a gateway."""

import itertools
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pictures
from camera_figures import Bare
from models import Models
from programs import verge


@dataclass(frozen=True)
class Task:
    """A model and the pictures for it."""

    name: str
    detector: str
    model: str
    labels: str
    pictures: Callable[[], list]
    # At full speed.
    frames: int
    # Of the pictures, for the bare rate.
    rounds: int = 11
    # The health of the cameras is watched, too, and objects are followed.
    watched: bool = False
    # The settings of the judge's gate.
    gate: dict[str, str] | None = None
    # Made for the bench: its card stands beside it.
    made: bool = False

    def card(self, models: Models) -> Path:
        """The card of its model."""
        return Path(self.model).with_suffix(".toml") if self.made else models.real(self.name)


TASKS = (
    Task(
        "mobilenet_v2_1.0_224_quant",
        "classify",
        "imagenet/mobilenet_v2_1.0_224_quant.onnx",
        "imagenet/imagenet_labels_1001.txt",
        pictures.imagenet,
        3000,
    ),
    Task(
        "yolox_nano",
        "detect",
        "detection/yolox_nano.onnx",
        "detection/coco_80_names.txt",
        lambda: pictures.spread(pictures.traffic(), 120),
        1500,
    ),
)


def bare(task: Task, chosen: list, models: Models, rounds: int) -> Bare:
    """`verge eval` over the pictures once and `rounds` times: the difference is free of its start."""
    with tempfile.TemporaryDirectory(prefix="verge-bench-eval-") as name:
        seconds, cpu = zip(*(evaluated(task, chosen, models, Path(name), times) for times in (1, rounds)))
    frames = len(chosen) * (rounds - 1)
    return Bare(frames / (seconds[1] - seconds[0]), (cpu[1] - cpu[0]) / frames * 1000)


def evaluated(task: Task, chosen: list, models: Models, folder: Path, times: int) -> tuple[float, float]:
    """Seconds and CPU seconds of an evaluation of links to the pictures, each `times` times."""
    folder = folder / str(times)
    (folder / "images").mkdir(parents=True)
    rows = ["file,class_index"]
    for index, picture in itertools.product(range(times), chosen):
        linked = folder / "images" / f"{index}-{picture.path.stem}.jpg"
        os.symlink(picture.path, linked)
        rows.append(f"{linked.name},1")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    command = [verge(), "eval", task.detector, "--model", str(task.card(models)), "--data", str(folder)]
    if task.detector == "detect":
        # One object in all: what is measured is not the scoring.
        (folder / "labels").mkdir()
        (folder / "labels" / f"{linked.stem}.txt").write_text("1 0.5 0.5 0.1 0.1\n")
        command += ["--score", "0.25"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    took, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
