"""Models for the tests: the real ones with their cards, and small ones made here."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway import Settings, to_toml
from programs import REPOSITORY, data, verge

CARDS = REPOSITORY / "tests" / "fixtures" / "cards"
# Operators of this version are known to every library that Verge takes.
OPSET = 13
IR_VERSION = 8
# What goes into the models made here, and what comes out.
SIDE = 512
GREY: Settings = {"layout": "nchw", "colour": "grey", "element": "f32"}
LABELS = ["dark", "bright"]


@dataclass(frozen=True)
class Models:
    """A folder of models, each with its card beside it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Models":
        """An empty folder; brings ONNX Runtime where it is not there yet."""
        done = subprocess.run([verge(), "runtime", "install"], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"verge runtime install ends with {done.returncode}: {done.stderr}")
        return cls(folder)

    def real(self, name: str) -> Path:
        """One of the real models: its card, filled in. The weights stay where they are."""
        card = self.folder / f"{name}.toml"
        card.write_text((CARDS / card.name).read_text().replace("@MODELS@", str(data() / "models")))
        for labels in CARDS.glob(f"{name}.txt"):
            (self.folder / labels.name).write_text(labels.read_text())
        return card

    def labels(self, name: str) -> list[str]:
        """The labels that a real model's card names."""
        card = self.real(name).read_text()
        (line,) = [line for line in card.splitlines() if line.startswith("labels")]
        return Path(line.split('"')[1]).read_text().splitlines()

    def slow(self, name: str, products: int) -> Path:
        """A model that takes its time: it multiplies a grey picture with the identity again and again, then tells
        `bright` from `dark`. A product takes one to two ms on a server's core."""
        model = self.folder / f"{name}.onnx"
        onnx.save(slow_model(products), model)
        return self.card(name, classifier(**GREY), LABELS)

    def card(self, name: str, card: Settings, labels: list[str]) -> Path:
        """Writes a card, and its labels, beside a model of this folder."""
        (self.folder / f"{name}.txt").write_text("".join(f"{label}\n" for label in labels))
        own: Settings = {"name": name, "version": "1", "file": f"{name}.onnx", "labels": f"{name}.txt"}
        path = self.folder / f"{name}.toml"
        path.write_text(to_toml(own | card))
        return path


def classifier(**picture: object) -> Settings:
    """A card's keys for a model that classifies pictures given in this form."""
    return {"task": "classify", "input": {"resize": "stretch", **picture}, "output": {"decoder": "probabilities"}}


def slow_model(products: int) -> onnx.ModelProto:
    """See `Models.slow`."""
    shape = numpy_helper.from_array(np.array([1, 1], dtype=np.int64), "shape")
    weights = [
        numpy_helper.from_array(np.eye(SIDE, dtype=np.float32), "identity"),
        numpy_helper.from_array(np.array([[-1 / 64, 1 / 64]], dtype=np.float32), "direction"),
        numpy_helper.from_array(np.array([2.0, -2.0], dtype=np.float32), "middle"),
        shape,
    ]
    names = ["picture", *(f"product{number}" for number in range(products))]
    nodes = [helper.make_node("MatMul", [before, "identity"], [after]) for before, after in zip(names, names[1:])]
    nodes += [
        helper.make_node("GlobalAveragePool", [names[-1]], ["mean"]),
        helper.make_node("Reshape", ["mean", "shape"], ["brightness"]),
        helper.make_node("Gemm", ["brightness", "direction", "middle"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return model(nodes, ("picture", [1, 1, SIDE, SIDE]), ("probabilities", [1, 2]), weights)


def model(
    nodes: list[onnx.NodeProto],
    given: tuple[str, list[int]],
    found: tuple[str, list[int]],
    weights: list[onnx.TensorProto],
) -> onnx.ModelProto:
    """A model of one input and one output, both f32."""
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)] for name, dims in (given, found))
    graph = helper.make_graph(nodes, "made by a test", inputs, outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = IR_VERSION
    onnx.checker.check_model(made)
    return made


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
