"""Models as exporters of other years wrote them: opsets 7 to 18, constants that are inputs too (IR 3), nodes without names, and names
that Verge would give; by every command that changes a model."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from models import Models, classifier
from programs import is_full, verge
from quantized import run
from textures import CLASSES, Net

DONE, BAD_INPUT = 0, 65
# A quarter of a minute each in a release build.
OPSETS = (7, 8, 9, 10, 11, 12, 13, 18) if is_full() else (7,)
# Of a whole number of bytes in a picture, what may change with another way to reckon.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Net:
    return Net.make(tmp_path_factory.mktemp("net"))


def written(net: Net, folder: Path, opset: int, names: str = "") -> Path:
    """The net as an exporter of that opset writes it; its card."""
    old = onnx.load(net.weights)
    nodes: list[onnx.NodeProto] = []
    constants = list(old.graph.initializer)
    constant = lambda name, value: constants.append(numpy_helper.from_array(value, name))  # noqa: E731
    for node in old.graph.node:
        if node.op_type == "Relu":
            # A clip has its bounds in attributes up to 10.
            if opset < 11:
                nodes.append(helper.make_node("Clip", node.input, node.output, min=0.0, max=1e6))
            else:
                if "low" not in [one.name for one in constants]:
                    constant("low", np.array(0, np.float32))
                    constant("high", np.array(1e6, np.float32))
                nodes.append(helper.make_node("Clip", [node.input[0], "low", "high"], node.output))
        elif node.op_type == "GlobalAveragePool":
            # As exporters leave them behind: a dropout, and a pad of nothing.
            nodes.append(helper.make_node("Dropout", node.input, ["dropped"]))
            if opset < 11:
                nodes.append(helper.make_node("Pad", ["dropped"], ["padded"], pads=[0] * 8))
            else:
                constant("pads", np.zeros(8, np.int64))
                nodes.append(helper.make_node("Pad", ["dropped", "pads"], ["padded"]))
            nodes.append(helper.make_node(node.op_type, ["padded"], node.output))
        else:
            nodes.append(node)
    for number, node in enumerate(nodes):
        node.name = f"c{number}_repaired_weights" if names == "taken" else ""
    inputs = list(old.graph.input)
    ir_version = 3 if opset < 9 else 6 if opset < 12 else 8
    if ir_version == 3:
        inputs += [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in constants]
    graph = helper.make_graph(nodes, "net", inputs, list(old.graph.output), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    onnx.checker.check_model(model, full_check=True)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "net.onnx")
    pixels = classifier(layout="nchw", colour="rgb", element="f32", mean=[127.5] * 3, scale=[1 / 127.5] * 3)
    return Models(folder).card("net", pixels, CLASSES)


def command(*arguments: object) -> tuple[int, dict[str, Any], str]:
    words = [verge(), "--json", "model", *map(str, arguments)]
    environment = {**os.environ, "PATH": ""}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert "panic" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def is_sound(path: Path) -> None:
    """Another library takes it, and its checker finds nothing."""
    onnx.checker.check_model(path)
    outputs = [one.name for one in onnx.load(path).graph.output]
    assert len(outputs) == len(set(outputs))


@pytest.mark.parametrize(("opset", "names"), [*((opset, "") for opset in OPSETS), (12, "taken")])
def test_every_command_takes_what_exporters_of_other_years_wrote(net: Net, tmp_path: Path, opset: int, names: str) -> None:
    card = written(net, tmp_path / "m", opset, names)
    weights = card.with_suffix(".onnx")
    ours, theirs = ([one[0] for one in run(path, net.inputs)] for path in (weights, net.weights))
    assert max(float(np.abs(one - other).max()) for one, other in zip(ours, theirs)) < ROUNDING, "the test's own file"
    drafted = subprocess.run([verge(), "model", "card", str(weights)], capture_output=True, text=True, timeout=60, check=False)
    assert drafted.returncode == DONE and "nchw" in drafted.stdout, drafted.stdout + drafted.stderr
    code, said, why = command("bench", card, "--data", net.pictures, "--limit", 20)
    assert code == DONE and said["models"][0]["cpu_ms"] > 0, why
    consent = ["--data", net.pictures, "--max-drop", 100, "--keep-slower"]
    made = {
        "int8": ["quantize", card, *consent],
        "four": ["quantize", card, "--bits", 4, *consent],
        "pruned": ["prune", card, "--sparsity", 0.3, *consent],
        "tuned": ["finetune", card, "--data", net.pictures, "--max-drop", 100],
    }
    lost = {"int8": 5, "four": 15, "pruned": 25}
    before = net.top1(weights)
    for name, arguments in made.items():
        out = tmp_path / name
        code, said, why = command(*arguments, "-o", out)
        assert code == DONE and said["written"] is True, f"{name}, opset {opset}: {code} {said.get('refused')} {why}"
        is_sound(out.with_suffix(".onnx"))
        if name in lost:
            after = net.top1(out.with_suffix(".onnx"))
            assert after >= before - lost[name], f"{name}, opset {opset}: {before} {after}"
            assert abs(after - said["after"]["top1"]) < 2, f"{name}: {after} {said['after']}"
    # A student and its teacher of other years.
    code, said, why = command(
        "distil", card, "--teacher", tmp_path / "tuned.toml", "--data", net.pictures, "--max-drop", 100, "--keep-slower", "-o", tmp_path / "taught"
    )
    assert code == DONE and said["written"] is True, f"opset {opset}: {code} {said.get('refused')} {why}"
    is_sound(tmp_path / "taught.onnx")


def test_an_opset_that_is_too_old_or_unknown_is_named(net: Net, tmp_path: Path) -> None:
    for opset in (1, 6, 99):
        card = written(net, tmp_path / "m", 7)
        model = onnx.load(card.with_suffix(".onnx"))
        model.opset_import[0].version = opset
        onnx.save(model, card.with_suffix(".onnx"))
        for arguments in (["quantize", card, "--data", net.pictures], ["finetune", card, "--data", net.pictures], ["bench", card]):
            out = [] if arguments[0] == "bench" else ["-o", tmp_path / "out"]
            code, said, why = command(*arguments, *out)
            assert code == BAD_INPUT, f"{arguments[0]}, opset {opset}: {code} {why}"
            assert said["refused"] and (opset != 99 or "opset of ai.onnx is 99" in said["refused"]), f"{arguments[0]}, opset {opset}: {why}"
            assert not list(tmp_path.glob("out*"))
