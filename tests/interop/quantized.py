"""Float models to quantise, and `onnxruntime.quantization`, the foreign tool that Verge's files are held against."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image

from models import Models, classifier
from programs import data

NAME = "mobilenet_v2_1.0_224_quant"
# The kind of processor that files are made for here.
HERE = "x86-vnni" if "vnni" in Path("/proc/cpuinfo").read_text() else "x86"


@dataclass
class Twin:
    """The float twin of a quantised MobileNet V2, with its card and the inputs of all pictures."""

    card: Path
    weights: Path
    inputs: list[np.ndarray]
    classes: list[int]

    @classmethod
    def make(cls, folder: Path) -> "Twin":
        models = Models.make(folder)
        quantized = data() / "models" / "imagenet" / f"{NAME}.onnx"
        scale, zero = input_steps(quantized)
        float_twin(quantized, folder / "twin.onnx")
        labels = models.labels(NAME)
        picture = {"layout": "nhwc", "colour": "rgb", "element": "f32", "resize": "central-crop", "crop_fraction": 0.875}
        card: dict[str, Any] = classifier(**picture, mean=[float(zero)] * 3, scale=[scale] * 3)
        card["output"]["background"] = 0
        inputs = [(central_crop(path, 224)[np.newaxis] - zero) * np.float32(scale) for path, _ in pictures()]
        path = models.card("twin", card, labels)
        return cls(path, folder / "twin.onnx", inputs, [number for _, number in pictures()])


def top1(answers: list[list[np.ndarray]], classes: list[int]) -> float:
    """Share of the best classes that are right, in percent; the background is none."""
    best = [int(np.argmax(one[0][0][1:])) + 1 for one in answers]
    return 100 * sum(found == right for found, right in zip(best, classes)) / len(classes)


def float_twin(quantized: Path, to: Path) -> None:
    """A quantised model with all its pairs folded: weights become what they stand for, activations are no longer rounded."""
    model = onnx.load(quantized)
    graph = model.graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    makers = {output: one for one in graph.node for output in one.output}
    replaced: dict[str, str] = {}
    added, kept = [], []
    for one in graph.node:
        if one.op_type == "QuantizeLinear":
            replaced[one.output[0]] = one.input[0]
        elif one.op_type == "DequantizeLinear":
            source = one.input[0]
            if source in constants:
                value, scale, zero = (constants[name] for name in one.input)
                axis = next((a.i for a in one.attribute if a.name == "axis"), 1)
                if scale.ndim:
                    sides = [-1 if side == axis else 1 for side in range(value.ndim)]
                    scale, zero = scale.reshape(sides), zero.reshape(sides)
                added.append(numpy_helper.from_array(((value.astype(np.float32) - zero) * scale).astype(np.float32), one.output[0]))
            else:
                replaced[one.output[0]] = source
        else:
            kept.append(one)

    def final(name: str) -> str:
        while name in replaced:
            name = replaced[name]
        return name

    for one in kept:
        one.input[:] = [final(name) for name in one.input]
    outputs = []
    for one in graph.output:
        made = final(one.name)
        maker = makers[made]
        maker.output[:] = [one.name if name == made else name for name in maker.output]
        for reader in kept:
            reader.input[:] = [one.name if name == made else name for name in reader.input]
        dims = [side.dim_value for side in one.type.tensor_type.shape.dim]
        outputs.append(helper.make_tensor_value_info(one.name, TensorProto.FLOAT, dims))
    (given,) = graph.input
    dims = [side.dim_value for side in given.type.tensor_type.shape.dim]
    inputs = [helper.make_tensor_value_info(given.name, TensorProto.FLOAT, dims)]
    used = {name for one in kept for name in one.input}
    initializers = [one for one in (*graph.initializer, *added) if one.name in used]
    twin = helper.make_model(
        helper.make_graph(kept, "twin", inputs, outputs, initializers),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(twin, full_check=True)
    onnx.save(twin, to)


def input_steps(quantized: Path) -> tuple[float, int]:
    """What a quantised model's input stands for: its step, and what stands for zero."""
    model = onnx.load(quantized)
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    made = {one.output[0] for one in model.graph.node if one.op_type == "QuantizeLinear"}
    # The picture is turned before, as bytes.
    first = next(
        one
        for one in model.graph.node
        if one.op_type == "DequantizeLinear" and one.input[0] not in constants and one.input[0] not in made
    )
    return float(constants[first.input[1]]), int(constants[first.input[2]])


def central_crop(path: Path, side: int, fraction: float = 0.875) -> np.ndarray:
    """As the cards of the MobileNets have it: RGB, the middle cut out, then resized."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    left, top = (width - width * fraction) / 2, (height - height * fraction) / 2
    box = (left, top, left + width * fraction, top + height * fraction)
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box), dtype=np.float32)


class Reader(CalibrationDataReader):
    """Inputs for the foreign tool."""

    def __init__(self, name: str, inputs: list[np.ndarray]) -> None:
        self.items: Iterator[dict[str, Any]] = iter([{name: one} for one in inputs])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.items, None)


def foreign(model: Path, to: Path, inputs: list[np.ndarray], seven_bits: bool) -> None:
    """What `onnxruntime.quantization` makes of a model."""
    # It simplifies the model first, as its own documentation asks for.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    simplified = to.with_suffix(".simplified.onnx")
    options.optimized_model_filepath = str(simplified)
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    quantize_static(
        str(simplified),
        str(to),
        Reader(session.get_inputs()[0].name, inputs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=seven_bits,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def pairs(model: Path) -> Counter[str]:
    """How often a model goes to whole numbers, and back."""
    operators = Counter(one.op_type for one in onnx.load(model).graph.node)
    return Counter({name: operators[name] for name in ("QuantizeLinear", "DequantizeLinear")})


def run(model: Path, inputs: list[np.ndarray], optimised: bool = True) -> list[list[np.ndarray]]:
    """All outputs of a model for each input, by the reference runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: one}) for one in inputs]


def pictures() -> list[tuple[Path, int]]:
    """The labelled pictures of ImageNet, with their class of 1,001."""
    folder = data() / "imagenet_sample"
    rows = [line.split(",") for line in (folder / "labels.csv").read_text().splitlines()]
    column = rows[0].index("class_index_1001")
    found = [(folder / "images" / row[0], int(row[column])) for row in rows[1:]]
    # The table is of a larger set.
    return [(path, number) for path, number in found if path.is_file()]
