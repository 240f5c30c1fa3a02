"""A graph of the shape of ResNet50 (He et al. 2015, version 1.5) in fp32 and in int8, with weights out of a seed.

What it sees means nothing; that it takes the time of the real one is all. Both take bytes, NHWC, and give 1001 bytes, as
the MobileNets of the measuring data do: their card is its card.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models import CARDS, IR_VERSION, OPSET, Models
from programs import data

SIDE, CLASSES = 224, 1001
# Blocks of each stage, and channels inside them; four times as many come out.
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
MICROSOFT = "com.microsoft"
# Of activations: those behind a rectifier begin at zero.
SCALE, ZERO, MIDDLE = 0.05, 0, 128


@dataclass
class Graph:
    """Nodes and weights as they come."""

    is_int8: bool
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(50))
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: object) -> str:
        """Adds one; the name of its output."""
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        """Adds numbers; their name."""
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def quantised(self, zero: int) -> list[str]:
        """Scale and zero point of an activation."""
        return [self.constant(np.float32(SCALE)), self.constant(np.uint8(zero))]

    def convolution(self, given: tuple[str, int], to: int, kernel: int, stride: int = 1, relu: bool = True) -> str:
        """A convolution of a tensor with its number of channels, and the rectifier."""
        name, of = given
        form = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        deviation = (2 / (of * kernel * kernel)) ** 0.5
        weights = self.random.normal(0, deviation, (to, of, kernel, kernel)).astype(np.float32)
        if not self.is_int8:
            made = self.node("Conv", [name, self.constant(weights), self.constant(np.zeros(to, np.float32))], **form)
            return self.node("Relu", [made]) if relu else made
        step = np.float32(np.abs(weights).max() / 127)
        inputs = [name, *self.quantised(MIDDLE if of == 3 else ZERO)]
        inputs += [self.constant(np.round(weights / step).astype(np.int8)), self.constant(step)]
        inputs += [self.constant(np.int8(0)), *self.quantised(ZERO if relu else MIDDLE)]
        return self.node("QLinearConv", [*inputs, self.constant(np.zeros(to, np.int32))], **form)

    def added(self, first: str, second: str, zero: int) -> str:
        """The sum of a block's two ways, rectified. `zero`: where the second begins."""
        if not self.is_int8:
            return self.node("Relu", [self.node("Add", [first, second])])
        inputs = [first, *self.quantised(MIDDLE), second, *self.quantised(zero), *self.quantised(ZERO)]
        return self.node("QLinearAdd", inputs, MICROSOFT)

    def block(self, name: str, of: int, channels: int, stride: int) -> str:
        """A bottleneck, with a convolution on its short way where the shape changes."""
        inner = self.convolution((name, of), channels, 1)
        inner = self.convolution((inner, channels), channels, 3, stride)
        inner = self.convolution((inner, channels), 4 * channels, 1, relu=False)
        if of == 4 * channels:
            return self.added(inner, name, ZERO)
        return self.added(inner, self.convolution((name, of), 4 * channels, 1, stride, relu=False), MIDDLE)

    def begin(self) -> str:
        """From bytes to what the first convolution takes."""
        picture = self.node("Transpose", ["picture"], perm=[0, 3, 1, 2])
        if self.is_int8:
            return picture
        numbers = self.node("Cast", [picture], to=TensorProto.FLOAT)
        return self.node("Mul", [numbers, self.constant(np.float32(1 / 255))])

    def end(self, name: str, of: int) -> None:
        """From the last block to bytes."""
        if self.is_int8:
            name = self.node("DequantizeLinear", [name, *self.quantised(ZERO)])
        flat = self.node("Flatten", [self.node("GlobalAveragePool", [name])])
        weights = self.random.normal(0, of**-0.5, (of, CLASSES)).astype(np.float32)
        scores = self.node("Gemm", [flat, self.constant(weights), self.constant(np.zeros(CLASSES, np.float32))])
        scale = self.constant(np.float32(1 / 256))
        inputs = [self.node("Softmax", [scores], axis=1), scale, self.constant(np.uint8(0))]
        self.nodes.append(helper.make_node("QuantizeLinear", inputs, ["scores"]))


def resnet50(is_int8: bool) -> onnx.ModelProto:
    """The whole graph."""
    graph = Graph(is_int8)
    name, of = graph.convolution((graph.begin(), 3), 64, 7, 2), 64
    name = graph.node("MaxPool", [name], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, (blocks, channels) in enumerate(STAGES):
        for block in range(blocks):
            name = graph.block(name, of, channels, 2 if stage and not block else 1)
            of = 4 * channels
    graph.end(name, of)
    given = [helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, SIDE, SIDE, 3])]
    found = [helper.make_tensor_value_info("scores", TensorProto.UINT8, [1, CLASSES])]
    made = helper.make_graph(graph.nodes, "resnet50", given, found, graph.weights)
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(made, opset_imports=domains)
    model.ir_version = IR_VERSION
    return model


def written(models: Models, name: str, is_int8: bool) -> Path:
    """The model in a folder of models, its card beside it."""
    path = models.folder / f"{name}.onnx"
    onnx.save(resnet50(is_int8), path)
    template = (CARDS / "mobilenet_v2_1.0_224_quant.toml").read_text().replace("@MODELS@", str(data() / "models"))
    own = {"name": f'"{name}"', "file": f'"{path}"', "source": '"made by a bench"', "sha256": None}
    lines = []
    for line in template.splitlines():
        key = line.split(" = ")[0]
        if own.get(key, "") is not None:
            lines.append(f"{key} = {own[key]}" if key in own else line)
    path.with_suffix(".toml").write_text("\n".join(lines) + "\n")
    return path
