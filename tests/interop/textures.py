"""Pictures of three textures, and a small float net of convolutions that tells them apart."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models import Models, classifier
from quantized import run

SIDE = 48
CLASSES = ["checks", "columns", "rows"]
# Channels, those that each of them reads, side, groups and stride of each convolution: the third is depthwise.
LAYERS = [(32, 3, 3, 1, 2), (64, 32, 3, 1, 2), (64, 1, 3, 64, 1), (64, 64, 1, 1, 1), (128, 64, 3, 1, 2)]


def texture(kind: str, random: np.random.Generator, contrast: float = 60, noise: float = 6) -> Image.Image:
    """A fine pattern on a ground of its own."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    shift = random.integers(0, 6)
    pattern = {"rows": (y + shift) // 2 % 2, "columns": (x + shift) // 2 % 2, "checks": ((x + shift) // 2 + (y + shift) // 2) % 2}
    ground = Image.fromarray(random.integers(40, 216, (9, 10), dtype=np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grey = np.asarray(ground, dtype=np.float64) + (pattern[kind] - 0.5) * contrast + random.normal(0, noise, (SIDE, SIDE))
    return Image.fromarray(np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2))


def draw(folder: Path, each: int, seed: int, kinds: list[str] | None = None, **looks: float) -> list[tuple[Path, str]]:
    """Pictures of all kinds in folders of their names."""
    random = np.random.default_rng(seed)
    made = []
    for kind in kinds or CLASSES:
        (folder / kind).mkdir(parents=True)
        for number in range(each):
            path = folder / kind / f"{number:02}.jpg"
            texture(kind, random, **looks).save(path, quality=95, subsampling=0)
            made.append((path, kind))
    return made


@dataclass
class Net:
    """A classifier of textures with its card, and labelled pictures that it has not learnt from: their folder, inputs and classes."""

    card: Path
    weights: Path
    pictures: Path
    inputs: list[np.ndarray]
    classes: list[int]

    @classmethod
    def make(cls, folder: Path) -> "Net":
        # So faint that a part of them is mistaken.
        looks = {"contrast": 40, "noise": 20}
        school, pictures = (draw(folder / name, 40, seed, **looks) for name, seed in (("school", 1), ("pictures", 2)))
        models, weights = Models.make(folder), folder / "net.onnx"
        inputs, targets = inputs_of(school), np.eye(3)[classes_of(school)]
        # Each norm by what comes before it, as training leaves it behind; the head by least squares.
        norms: list[tuple[np.ndarray, np.ndarray]] = []
        for _ in LAYERS:
            onnx.save(net(norms, None), weights)
            made = np.concatenate([one[0] for one in run(weights, inputs[::3])])
            norms.append((made.mean((0, 2, 3)), made.var((0, 2, 3))))
        onnx.save(net(norms, None), weights)
        features = np.array([one[0].mean((2, 3))[0] for one in run(weights, inputs)])
        rows = np.c_[features - features.mean(0), np.ones(len(features))]
        solved = 8 * np.linalg.solve(rows.T @ rows + np.eye(rows.shape[1]), rows.T @ targets)
        onnx.save(net(norms, (solved[:-1].T, solved[-1] - features.mean(0) @ solved[:-1])), weights)
        onnx.checker.check_model(weights, full_check=True)
        pixels = classifier(layout="nchw", colour="rgb", element="f32", mean=[127.5] * 3, scale=[1 / 127.5] * 3)
        card = models.card("net", pixels, CLASSES)
        return cls(card, weights, folder / "pictures", inputs_of(pictures), classes_of(pictures))

    def top1(self, weights: Path) -> float:
        """Share of the pictures that a file of this model has right with the reference runtime, in percent."""
        best = [int(one[0].argmax()) for one in run(weights, self.inputs)]
        return 100 * float(np.mean([found == right for found, right in zip(best, self.classes)]))


def inputs_of(pictures: list[tuple[Path, str]]) -> list[np.ndarray]:
    read = [np.asarray(Image.open(path), dtype=np.float32) for path, _ in pictures]
    return [((one - 127.5) / 127.5).transpose(2, 0, 1)[np.newaxis].copy() for one in read]


def classes_of(pictures: list[tuple[Path, str]]) -> list[int]:
    return [CLASSES.index(kind) for _, kind in pictures]


def net(norms: list[tuple[np.ndarray, np.ndarray]], head: tuple[np.ndarray, np.ndarray] | None) -> onnx.ModelProto:
    """Convolutions that nobody trained, each with its norm. Without a head: as far as the first without a norm, which is what comes out."""
    random = np.random.default_rng(3)
    constants: dict[str, np.ndarray] = {}
    nodes, before = [], "x"
    for number, (channels, reads, side, groups, stride) in enumerate(LAYERS):
        weights = random.normal(0, 1, (channels, reads, side, side)) * np.sqrt(2 / (reads * side * side))
        if number > len(norms):
            break
        constants[f"w{number}"] = weights
        nodes.append(
            helper.make_node(
                "Conv", [before, f"w{number}"], [f"c{number}"], pads=[side // 2] * 4, strides=[stride, stride], group=groups
            )
        )
        before = f"c{number}"
        if number < len(norms):
            mean, variance = norms[number]
            parts = {"s": np.ones(channels), "b": np.zeros(channels), "m": mean, "v": variance}
            constants |= {f"{name}{number}": part for name, part in parts.items()}
            nodes.append(helper.make_node("BatchNormalization", [before, *(f"{name}{number}" for name in parts)], [f"n{number}"]))
            nodes.append(helper.make_node("Relu", [f"n{number}"], [f"r{number}"]))
            before = f"r{number}"
    found, sides = before, None
    if head is not None:
        found, sides = "y", [1, len(CLASSES)]
        constants |= {"head": head[0][:, :, np.newaxis, np.newaxis], "bias": head[1]}
        nodes += [
            helper.make_node("GlobalAveragePool", [before], ["p"]),
            helper.make_node("Conv", ["p", "head", "bias"], ["l"]),
            helper.make_node("Flatten", ["l"], ["f"]),
            helper.make_node("Softmax", ["f"], ["y"], axis=1),
        ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info(found, TensorProto.FLOAT, sides)]
    kept = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", inputs, outputs, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
