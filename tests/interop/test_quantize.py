"""`verge model quantize` beside `onnxruntime.quantization`: the same graph, as good, and read by the reference runtime."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gateway import to_toml
from models import Models, classifier
from programs import data, is_full, verge
from quantized import HERE, Twin, foreign, pairs, run, top1

REFUSED, USAGE, BAD_INPUT = 1, 64, 65


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    return Twin.make(tmp_path_factory.mktemp("twin"))


def quantize(card: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command; what it prints on standard output is one JSON object."""
    command = [verge(), "--json", "model", "quantize", str(card), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)


def test_a_float_twin_of_mobilenet_becomes_small_and_fast(twin: Twin, tmp_path: Path) -> None:
    out = tmp_path / "int8"
    # Nothing of the machine but the library is needed: no Python, no compiler.
    bare = {name: value for name, value in os.environ.items() if name in ("HOME", "XDG_CACHE_HOME")} | {"PATH": ""}
    done = quantize(twin.card, "--data", str(data() / "imagenet_sample"), "-o", str(out), environment=bare)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["written"] is True and said["refused"] is None
    assert (said["for"], said["weight_bits"]) == (HERE, 8 if HERE == "x86-vnni" else 7)
    assert said["before"]["top1"] - said["after"]["top1"] <= 1.0
    assert said["drop"]["points"] == pytest.approx(said["before"]["top1"] - said["after"]["top1"])
    assert said["after"]["ms"] <= 0.8 * said["before"]["ms"]
    assert said["after"]["bytes"] == (tmp_path / "int8.onnx").stat().st_size
    assert said["after"]["bytes"] < 0.3 * said["before"]["bytes"]
    assert said["saturation"] >= 95 and said["agreement"] > 85
    # Beside the foreign tool's file.
    other = tmp_path / "foreign.onnx"
    foreign(twin.weights, other, twin.inputs[:100], seven_bits=HERE == "x86")
    mine, theirs = pairs(tmp_path / "int8.onnx"), pairs(other)
    for operator, count in theirs.items():
        assert abs(mine[operator] - count) <= 0.1 * count, f"{operator}: {mine} beside {theirs}"
    onnx.checker.check_model(str(tmp_path / "int8.onnx"), full_check=True)
    fused = run(tmp_path / "int8.onnx", twin.inputs)
    right, reference = top1(fused, twin.classes), top1(run(other, twin.inputs), twin.classes)
    assert right >= reference - 1, f"{right}, and the foreign tool's file {reference}"
    # Pillow rounds otherwise than the gateway: of 111 pictures that is one or two.
    assert abs(right - said["after"]["top1"]) < 2
    # How far the probabilities are apart, over all classes; the command takes the less probable ones together.
    float_, whole = (np.array([one[0][0] for one in answers], dtype=np.float64) for answers in (run(twin.weights, twin.inputs), fused))
    float_, whole = (np.maximum(one / one.sum(axis=1, keepdims=True), 1e-6) for one in (float_, whole))
    apart = (float_ * np.log(float_ / whole)).sum(axis=1).mean()
    assert 0.5 * apart < said["divergence"] < 1.3 * apart, f"{said['divergence']} beside {apart}"
    # As the reference runtime runs it, and as the file is written.
    written = run(tmp_path / "int8.onnx", twin.inputs[:32], optimised=False)
    same = [np.argmax(one[0]) == np.argmax(other[0]) for one, other in zip(fused, written)]
    assert np.mean(same) >= 0.95
    # Card, labels and report.
    assert (tmp_path / "int8_labels.txt").read_text() == (twin.card.parent / "twin.txt").read_text()
    report = json.loads((tmp_path / "int8.report.json").read_text())
    assert report["made"]["processor"] == HERE and report["made"]["pictures"] == len(twin.classes)
    scored = [verge(), "--json", "eval", "classify", "--model", str(out) + ".toml", "--data", str(data() / "imagenet_sample")]
    found = json.loads(subprocess.run(scored, capture_output=True, text=True, timeout=300, check=True).stdout)
    assert found["top1"] * 100 == pytest.approx(said["after"]["top1"])
    again = quantize(tmp_path / "int8.toml", "--data", str(data() / "imagenet_sample"), "-o", str(tmp_path / "twice"))
    assert again.returncode == BAD_INPUT and "quantised already" in again.stderr
    assert json.loads(again.stdout)["written"] is False and not (tmp_path / "twice.onnx").exists()


def test_seven_bits_are_for_processors_that_overflow(twin: Twin, tmp_path: Path) -> None:
    arguments = ["--data", str(data() / "imagenet_sample"), "--limit", "40", "--method", "minmax", "--max-drop", "10"]
    done = quantize(twin.card, *arguments, "--for", "x86", "-o", str(tmp_path / "seven"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["weight_bits"] == 7
    weights = [numpy_helper.to_array(one) for one in onnx.load(tmp_path / "seven.onnx").graph.initializer]
    whole = [one for one in weights if one.dtype == np.int8]
    assert len(whole) > 50 and max(int(np.abs(one.astype(int)).max()) for one in whole) == 63
    done = quantize(twin.card, *arguments, "--for", "arm", "-o", str(tmp_path / "arm"))
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["before"]["ms"] is None and said["saturation"] is None, "it is not run here as there"
    assert TensorProto.UINT8 not in {one.data_type for one in onnx.load(tmp_path / "arm.onnx").graph.initializer}
    # `check` warns of a file for another kind of processor.
    gateway = tmp_path / "gateway.toml"
    gateway.write_text(to_toml(configuration(tmp_path / "arm.onnx", tmp_path / "state")))
    checked = subprocess.run([verge(), "check", "--offline", "-c", str(gateway)], capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "made for a processor of kind arm" in checked.stdout + checked.stderr


def configuration(weights: Path, state: Path) -> dict[str, Any]:
    return {
        "gateway": {"id": "quantize", "state_dir": str(state)},
        "local": {"url": "mqtt://localhost:1"},
        "model": {"parts": {"file": str(weights)}},
        "source": {"cameras": {"topic": "cameras/+", "codec": "jpeg", "device": "topic:1"}},
        "judge": {"seen": {"inputs": ["cameras"], "detector": "classify", "model": "parts"}},
    }


def small(folder: Path, change=lambda nodes, constants: None) -> Path:
    """A little classifier with its card."""
    random = np.random.default_rng(3)
    constants = [
        numpy_helper.from_array(random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(random.normal(0, 1, (8, 2)).astype(np.float32), "v"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="first"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"], axis=1),
    ]
    change(nodes, constants)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "small.onnx")
    picture = classifier(layout="nchw", colour="rgb", element="f32", mean=[127.5] * 3, scale=[1 / 127.5] * 3)
    return Models(folder).card("small", picture, ["one", "two"])


def some_pictures(folder: Path, count: int, change=lambda pixels: pixels) -> Path:
    from PIL import Image

    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    for number in range(count):
        pixels = change(random.integers(0, 256, (64, 64, 3)))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=95)
    return folder


def refusal(card: Path, folder: Path, out: Path, code: int, words: str) -> None:
    done = quantize(card, "--data", str(folder), "-o", str(out))
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert words in done.stderr + done.stdout, done.stderr + done.stdout
    said = json.loads(done.stdout)
    assert said["written"] is False and said["refused"]
    assert list(out.parent.glob(f"{out.name}*")) == []


def test_what_cannot_be_quantised_is_refused_by_name(models: Models, tmp_path: Path) -> None:
    assert models.folder
    card, folder, out = small(tmp_path / "m"), some_pictures(tmp_path / "p", 40), tmp_path / "out"
    few = some_pictures(tmp_path / "few", 15)
    refusal(card, few, out, BAD_INPUT, "15 different pictures")
    same = tmp_path / "same"
    same.mkdir()
    for number in range(40):
        shutil.copy(folder / "000.jpg", same / f"{number}.jpg")
    refusal(card, same, out, BAD_INPUT, "1 different pictures")
    dark = some_pictures(tmp_path / "dark", 40, lambda pixels: pixels // 40)
    refusal(card, dark, out, BAD_INPUT, "all pictures are alike")
    # Three frames with the lamp on do not make up for it.
    for number in range(3):
        shutil.copy(folder / f"{number:03}.jpg", dark / f"lamp{number}.jpg")
    refusal(card, dark, out, BAD_INPUT, "all pictures are alike")

    def square(nodes: list, constants: list) -> None:
        """Infinite behind the activation, where the weights are finite."""
        constants.append(numpy_helper.from_array(np.float32(3e38), "huge"))
        nodes[2:3] = [
            helper.make_node("Mul", ["r", "huge"], ["h"]),
            helper.make_node("Mul", ["h", "huge"], ["hh"], name="too_much"),
            helper.make_node("GlobalAveragePool", ["hh"], ["p"]),
        ]

    refusal(small(tmp_path / "inf", square), folder, out, BAD_INPUT, "NaN or an infinity")
    done = quantize(small(tmp_path / "inf2", square), "--data", str(folder), "-o", str(out))
    assert ".jpg" in done.stderr and "makes NaN" in done.stderr

    def choice(nodes: list, constants: list) -> None:
        branch = lambda name: helper.make_graph(
            [helper.make_node("Identity", ["r"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        constants.append(numpy_helper.from_array(np.array(True), "yes"))
        nodes[2:3] = [
            helper.make_node("If", ["yes"], ["i"], then_branch=branch("a"), else_branch=branch("b")),
            helper.make_node("GlobalAveragePool", ["i"], ["p"]),
        ]

    refusal(small(tmp_path / "if", choice), folder, out, BAD_INPUT, "control flow")
    done = quantize(card, "--data", str(folder), "-o", str(card.with_suffix("")))
    assert done.returncode == USAGE and "the model itself" in done.stderr
    done = quantize(card, "--data", str(folder), "-o", str(out), "--max-drop", "-1")
    assert done.returncode == USAGE


def test_a_net_that_gains_nothing_is_refused_unless_bytes_are_the_point(models: Models, tmp_path: Path) -> None:
    assert models.folder
    # Its one layer with many weights stands behind a pool: its bytes are a quarter, its time is that of the pictures.
    def wide(nodes: list, constants: list) -> None:
        random = np.random.default_rng(4)
        constants[0] = numpy_helper.from_array(random.normal(0, 0.2, (8, 3, 1, 1)).astype(np.float32), "w")

    card, folder, out = small(tmp_path / "m", wide), some_pictures(tmp_path / "p", 60), tmp_path / "out"
    done = quantize(card, "--data", str(folder), "-o", str(out))
    said = json.loads(done.stdout)
    if done.returncode == 0:
        assert said["after"]["ms"] <= 0.95 * said["before"]["ms"]
    else:
        assert done.returncode == REFUSED and said["written"] is False
        assert "not faster" in said["refused"] or "agree" in said["refused"], said
        assert not Path(f"{out}.onnx").exists()


@pytest.mark.skipif(not is_full(), reason="a minute: VERGE_FULL=1, and a mark of `just eval-models`")
def test_yolox_is_good_and_fast_or_refused_with_the_reason(models: Models, tmp_path: Path) -> None:
    card = models.real("yolox_nano")
    done = quantize(card, "--data", str(data() / "coco_val128"), "-o", str(tmp_path / "int8"))
    assert done.returncode in (0, REFUSED), done.stderr
    said = json.loads(done.stdout)
    # Without a good choice of ranges and layers a third is left.
    assert said["after"]["ap50"] >= 0.7 * said["before"]["ap50"], said
    if said["written"]:
        assert said["after"]["ap50"] >= 0.97 * said["before"]["ap50"]
        assert said["after"]["ms"] <= 0.95 * said["before"]["ms"]
        onnx.checker.check_model(str(tmp_path / "int8.onnx"))
    else:
        assert "not faster" in said["refused"] or "points are lost" in said["refused"] or "worse" in said["refused"]
        assert list(tmp_path.glob("int8*")) == []
