"""`verge model prune`, `quantize --bits 4` and `--dynamic` beside onnx, zlib and `onnxruntime.quantization`."""

import json
import subprocess
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from PIL import Image

from models import Models, classifier
from programs import data, is_full, verge
from quantized import HERE, Twin, run, top1
from textures import Net

DONE, REFUSED, USAGE, BAD_INPUT = 0, 1, 64, 65
SIDE, PATCH, WIDTH = 64, 8, 192
# Pictures that are looked at, of ImageNet and of textures.
SOME = 111
# Repair is a run over 20 pictures for each layer: of the 53 of a MobileNet V2 it takes minutes.
SUBJECTS = ["small", "mobilenet"] if is_full() else ["small"]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Net:
    return Net.make(tmp_path_factory.mktemp("net"))


@dataclass
class Subject:
    """A model of convolutions, its pictures with labels, and what the reference runtime has right of them."""

    card: Path
    weights: Path
    pictures: Path
    top1: Callable[[Path], float]
    layers: int
    depthwise: int
    sparsity: float
    # Points that repair gives back at least.
    repaired: float


@pytest.fixture(scope="module")
def small(net: Net) -> Subject:
    """Half of its weights are a part that it misses."""
    return Subject(net.card, net.weights, net.pictures, net.top1, layers=5, depthwise=1, sparsity=0.5, repaired=20)


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The float twin of a MobileNet V2, over pictures of ImageNet."""
    twin = Twin.make(tmp_path_factory.mktemp("twin"))
    smooth(twin.weights)

    def right(path: Path) -> float:
        places = [number * len(twin.inputs) // SOME for number in range(SOME)]
        return top1(run(path, [twin.inputs[place] for place in places]), [twin.classes[place] for place in places])

    pictures = data() / "imagenet_sample"
    return Subject(twin.card, twin.weights, pictures, right, layers=36, depthwise=17, sparsity=0.3, repaired=5)


def smooth(path: Path) -> None:
    """Moves weights by up to a hundredth: those of the twin were whole numbers and pack to a third, as those of no float model do."""
    random, model = np.random.default_rng(11), onnx.load(path)
    for place, one in enumerate(model.graph.initializer):
        value = numpy_helper.to_array(one)
        if value.ndim == 4:
            moved = value * random.uniform(0.99, 1.01, value.shape)
            model.graph.initializer[place].CopyFrom(numpy_helper.from_array(moved.astype(np.float32), one.name))
    onnx.save(model, path)


@dataclass
class Block:
    """A small transformer over pictures, the inputs of some pictures, and the folder of these."""

    card: Path
    weights: Path
    pictures: Path
    inputs: list[np.ndarray]


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Block:
    folder = tmp_path_factory.mktemp("block")
    inputs = []
    random = np.random.default_rng(7)
    for number in range(60):
        name = ["red", "blue"][number % 2]
        pixels = random.integers(0, 200, (SIDE, SIDE, 3)) + np.array([[40, 0, 0], [0, 0, 40]][number % 2])
        path = folder / "pictures" / name / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95, subsampling=0)
        read = np.asarray(Image.open(path), dtype=np.float32)
        inputs.append(((read - 127.5) / 127.5).transpose(2, 0, 1)[np.newaxis].copy())
    models = Models.make(folder)
    # The last layer goes along what separates both classes.
    onnx.save(transformer(np.zeros((WIDTH, 2), np.float32)), folder / "block.onnx")
    pooled = np.concatenate([one[1] for one in run(folder / "block.onnx", inputs)])
    way = pooled[::2].mean(0) - pooled[1::2].mean(0)
    way *= 8 / ((pooled[::2] - pooled[1::2].mean(0)) @ way).mean()
    middle = pooled.mean(0) @ way
    onnx.save(transformer(np.stack([way, -way], 1), np.array([-middle, middle])), folder / "block.onnx")
    picture = classifier(layout="nchw", colour="rgb", element="f32", mean=[127.5] * 3, scale=[1 / 127.5] * 3)
    return Block(models.card("block", picture, ["red", "blue"]), folder / "block.onnx", folder / "pictures", inputs)


def transformer(head: np.ndarray, bias: np.ndarray | None = None) -> onnx.ModelProto:
    """Patches, one block of attention, one of two layers, the mean of all tokens, a head."""
    random = np.random.default_rng(9)
    tokens = (SIDE // PATCH) ** 2
    draw = lambda *sides: (random.normal(0, 1, sides) / np.sqrt(np.prod(sides[:-1]))).astype(np.float32)
    constants = {
        "patches": draw(3, PATCH, PATCH, WIDTH).transpose(3, 0, 1, 2).copy(),
        "query": draw(WIDTH, WIDTH), "key": draw(WIDTH, WIDTH), "value": draw(WIDTH, WIDTH), "join": draw(WIDTH, WIDTH),
        "wide": draw(WIDTH, 4 * WIDTH), "narrow": draw(4 * WIDTH, WIDTH),
        "head": head.astype(np.float32), "bias": (np.zeros(2) if bias is None else bias).astype(np.float32),
        "root": np.float32(1 / np.sqrt(WIDTH)), "sides": np.array([1, WIDTH, tokens]),
    }  # fmt: skip
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "patches"], ["grid"], strides=[PATCH, PATCH], name="patch"),
        make("Reshape", ["grid", "sides"], ["columns"]),
        make("Transpose", ["columns"], ["t"], perm=[0, 2, 1]),
        make("MatMul", ["t", "query"], ["q"]), make("MatMul", ["t", "key"], ["k"]), make("MatMul", ["t", "value"], ["v"]),
        make("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        make("MatMul", ["q", "kt"], ["products"]), make("Mul", ["products", "root"], ["scaled"]),
        make("Softmax", ["scaled"], ["looks"], axis=-1),
        make("MatMul", ["looks", "v"], ["seen"]), make("MatMul", ["seen", "join"], ["joined"]), make("Add", ["t", "joined"], ["a"]),
        make("MatMul", ["a", "wide"], ["w"]), make("Relu", ["w"], ["r"]), make("MatMul", ["r", "narrow"], ["n"]),
        make("Add", ["a", "n"], ["out"]),
        make("ReduceMean", ["out"], ["pooled"], axes=[1], keepdims=0),
        make("Gemm", ["pooled", "head", "bias"], ["logits"]), make("Softmax", ["logits"], ["y"], axis=1),
    ]  # fmt: skip
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])]
    if bias is None:
        outputs.append(helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [1, WIDTH]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    graph = helper.make_graph(nodes, "block", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def command(*arguments: object) -> tuple[int, dict, str]:
    """Runs `verge --json model …`; what it prints on standard output is one JSON object."""
    words = [verge(), "--json", "model", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def weights(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights of all layers, those of depthwise convolutions apart."""
    graph = onnx.load(path).graph
    known = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = [known[node.input[1]] for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    return [one for one in found if one.shape[1] != 1], [one for one in found if one.shape[1] == 1]


def inner(path: Path, tensor: str, inputs: list[np.ndarray]) -> np.ndarray:
    """What a tensor within a model holds, over all inputs."""
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    changed = path.with_suffix(".inner.onnx")
    onnx.save(model, changed)
    return np.concatenate([one[-1].ravel() for one in run(changed, inputs)])


def error(of: np.ndarray, beside: np.ndarray) -> float:
    """Root of the mean square of a difference, in parts of what it is of."""
    return float(np.linalg.norm(of - beside) / np.linalg.norm(beside))


@pytest.mark.parametrize("of", SUBJECTS)
def test_pruned_weights_are_zero_and_the_price_is_said(of: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    subject: Subject = request.getfixturevalue(of)
    out, pictures = tmp_path / "pruned", ["--data", subject.pictures, "--limit", str(SOME)]
    share = subject.sparsity
    code, said, errors = command("prune", subject.card, "--sparsity", share, *pictures, "-o", tmp_path / "no")
    assert code == REFUSED and said["written"] is False, errors
    assert "--max-drop" in said["refused"] and "no time" in said["refused"]
    assert list(tmp_path.iterdir()) == []
    arguments = ["--sparsity", f"{100 * share:.0f}%", "--max-drop", "40", "--keep-slower", *pictures, "-o", out]
    code, said, errors = command("prune", subject.card, *arguments)
    assert code == DONE and said["written"] is True and said["refused"] is None, errors + str(said)
    layers, others = weights(tmp_path / "pruned.onnx")
    # Those of depthwise convolutions, of which each channel has nine, stay.
    before = [float((layer == 0).mean()) for layer in weights(subject.weights)[1]]
    assert [float((layer == 0).mean()) for layer in others] == pytest.approx(before) and len(others) == subject.depthwise
    shares = [float((layer == 0).mean()) for layer in layers]
    assert len(layers) == said["layers"] == subject.layers
    for found, layer in zip(shares, layers):
        assert found >= share - 1 / layer.size, f"{found} of {layer.shape}"
    total = 100 * sum(int((layer == 0).sum()) for layer in layers) / sum(layer.size for layer in layers)
    assert said["zeros"] == pytest.approx(total) and said["sparsity"] == pytest.approx(100 * share)
    # Repair gives back a part of what was lost, and costs no zero.
    was, lost, now = (said[when]["top1"] for when in ("before", "unrepaired", "after"))
    print(f"\n{of}, {100 * share:.0f} % zeros: {was:.1f} %, before repair {lost:.1f} %, after {now:.1f} %")
    assert lost < now < was and said["repaired"] is True
    assert now - lost > subject.repaired
    assert abs(subject.top1(tmp_path / "pruned.onnx") - now) < 4
    for side, path in (("before", subject.weights), ("after", tmp_path / "pruned.onnx")):
        assert said[side]["bytes"] == path.stat().st_size
        assert said[side]["packed"] == pytest.approx(len(zlib.compress(path.read_bytes(), 6)), rel=0.1)
    assert said["after"]["packed"] < 0.95 * said["before"]["packed"]
    onnx.checker.check_model(f"{out}.onnx", full_check=True)
    report = json.loads((tmp_path / "pruned.report.json").read_text())
    assert report["made"]["command"].startswith(f"prune --sparsity {share}")
    assert report["made"]["figures"]["zeros %"] == pytest.approx(total)
    assert "[made]" in (tmp_path / "pruned.toml").read_text()


def test_bad_shares_are_usage_and_a_quantised_model_is_bad_input(net: Net, tmp_path: Path) -> None:
    arguments = ["--data", net.pictures, "-o", tmp_path / "out"]
    for share in ("0", "1", "x", "120"):
        done = subprocess.run([verge(), "model", "prune", net.card, "--sparsity", share, *arguments], capture_output=True)
        assert done.returncode == USAGE, share
    card = Models(tmp_path).real("mobilenet_v2_1.0_224_quant")
    code, said, errors = command("prune", card, "--sparsity", "0.3", *arguments)
    assert code == BAD_INPUT and "quantised already" in said["refused"] and "quantised already" in errors
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("of", SUBJECTS)
def test_convolutions_of_4_bits_are_refused_unless_the_loss_is_asked_for(of: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    subject: Subject = request.getfixturevalue(of)
    out, arguments = tmp_path / "int4", ["--bits", "4", "--data", subject.pictures, "--limit", str(SOME)]
    code, said, errors = command("quantize", subject.card, *arguments, "-o", tmp_path / "no")
    assert code == REFUSED and said["written"] is False, errors
    # What it costs is said: accuracy, or the time of layers that the library has no kernel of 4 bits for.
    assert "no time" in said["refused"] or "slower; --keep-slower" in said["refused"], said
    code, said, errors = command("quantize", subject.card, *arguments, "--max-drop", "40", "--keep-slower", "-o", out)
    assert code == DONE and said["weight_bits"] == 4, errors + str(said)
    was, lost, now = (said[when]["top1"] for when in ("before", "unrepaired", "after"))
    print(f"\n{of}, 4 bits: {was:.1f} %, before repair {lost:.1f} %, after {now:.1f} %")
    assert lost < now and said["repaired"] is True
    assert said["after"]["bytes"] < 0.2 * said["before"]["bytes"] and said["after"]["packed"] < 0.25 * said["before"]["packed"]
    onnx.checker.check_model(f"{out}.onnx", full_check=True)
    whole = [one for one in onnx.load(f"{out}.onnx").graph.initializer if one.data_type == TensorProto.INT4]
    assert len(whole) == said["layers"] == subject.layers
    of_8_bits = sum(one.data_type == TensorProto.INT8 for one in onnx.load(f"{out}.onnx").graph.initializer)
    assert of_8_bits == subject.depthwise
    assert {int(numpy_helper.to_array(one).astype(int).min()) for one in whole} == {-8}, "all steps are used"
    # The reference runtime gives the same answers.
    assert now > 60
    assert abs(subject.top1(tmp_path / "int4.onnx") - now) < 4
    code, said, errors = command("quantize", tmp_path / "int4.toml", "--data", subject.pictures, "-o", tmp_path / "again")
    assert code == BAD_INPUT and "quantised already" in said["refused"]


def test_matrix_products_of_4_bits_are_as_good_as_the_foreign_tools(block: Block, tmp_path: Path) -> None:
    out = tmp_path / "int4"
    arguments = ["--bits", "4", "--max-drop", "10", "--keep-slower", "--data", block.pictures, "-o", out]
    code, said, errors = command("quantize", block.card, *arguments)
    assert code == DONE, errors + str(said)
    assert said["before"]["top1"] == 100 and said["after"]["bytes"] < 0.17 * said["before"]["bytes"]
    onnx.checker.check_model(f"{out}.onnx", full_check=True)
    found = operators(tmp_path / "int4.onnx")
    # Six products with weights and the head; two products of activations stay.
    assert (found["MatMulNBits"], found["MatMul"], found["Gemm"], found["DequantizeLinear"]) == (7, 2, 0, 1), found
    tool = MatMulNBitsQuantizer(onnx.load(block.weights), bits=4, block_size=32, is_symmetric=True)
    tool.process()
    other = tmp_path / "foreign.onnx"
    tool.model.save_model_to_file(str(other))
    # One product by itself, so that only its own weights differ: what its layer makes of the same input.
    float_q = inner(block.weights, "q", block.inputs[:8])
    patch = lambda path: float(error(inner(path, "q", block.inputs[:8]), float_q))
    assert 0 < patch(other) < 0.2
    # Here the patches have 4 bits, too: as much again at most, and half of that.
    assert patch(tmp_path / "int4.onnx") < 2 * patch(other)
    answers, right = run(tmp_path / "int4.onnx", block.inputs), 100 * said["after"]["top1"]
    best = [int(np.argmax(one[0])) == number % 2 for number, one in enumerate(answers)]
    assert abs(100 * 100 * np.mean(best) - right) < 200


def test_dynamic_int8_is_what_the_foreign_tool_makes(block: Block, net: Net, tmp_path: Path) -> None:
    out = tmp_path / "dynamic"
    code, said, errors = command("quantize", block.card, "--dynamic", "--keep-slower", "--data", block.pictures, "-o", out)
    assert code == DONE, errors + str(said)
    bits = 8 if HERE == "x86-vnni" else 7
    assert (said["method"], said["weight_bits"], said["for"], said["layers"]) == ("dynamic", bits, HERE, 7)
    assert said["after"]["top1"] == 100 and said["saturation"] >= 95
    other = tmp_path / "foreign.onnx"
    quantize_dynamic(block.weights, other, per_channel=True, reduce_range=bits == 7, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"], extra_options={"MatMulConstBOnly": True})  # fmt: skip
    mine, theirs = operators(tmp_path / "dynamic.onnx"), operators(other)
    for operator in ("MatMulInteger", "DynamicQuantizeLinear", "MatMul", "Gemm"):
        assert mine[operator] == theirs[operator], f"{operator}: {mine} beside {theirs}"
    onnx.checker.check_model(f"{out}.onnx", full_check=True)
    exact = inner(block.weights, "out", block.inputs[:8])
    assert error(inner(tmp_path / "dynamic.onnx", "out", block.inputs[:8]), exact) <= 1.2 * error(inner(other, "out", block.inputs[:8]), exact)
    weights = [numpy_helper.to_array(one) for one in onnx.load(f"{out}.onnx").graph.initializer]
    assert max(int(np.abs(one.astype(int)).max()) for one in weights if one.dtype == np.int8) == (127 if bits == 8 else 63)
    # The library puts the nodes of a product together.
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(f"{out}.onnx", options, providers=["CPUExecutionProvider"])
    fused = operators(tmp_path / "fused.onnx")
    assert fused["MatMulIntegerToFloat"] + fused["DynamicQuantizeMatMul"] == 7, fused
    # For a processor that overflows, 7 bits; convolutions alone gain nothing.
    seven = tmp_path / "seven"
    code, said, errors = command("quantize", block.card, "--dynamic", "--for", "x86", "--keep-slower", "--data", block.pictures, "-o", seven)
    assert code == DONE and said["weight_bits"] == 7, errors
    code, said, errors = command("quantize", net.card, "--dynamic", "--data", net.pictures, "-o", tmp_path / "no")
    assert code == BAD_INPUT and "no MatMul or Gemm" in said["refused"] and "no MatMul or Gemm" in errors
    code, said, errors = command("quantize", block.card, "--bits", "4", "--method", "mse", "--data", block.pictures, "-o", out)
    assert code == USAGE and "--method" in said["refused"]
