"""Models that do not fit: `verge check` and `verge run` refuse them in one clear message, before anything runs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from gateway import Gateway
from models import GREY, LABELS, SIDE, Models, classifier, model, sha256, slow_model
from scene import Scene, frame_source, looking

UNAVAILABLE, BAD_CONFIG = 69, 78
LOUD = ("panicked", "RUST_BACKTRACE", "stack backtrace")


@dataclass
class Fault:
    """What is wrong, how the program must end, and what it must say."""

    # Makes the model, or changes the gateway.
    spoil: Callable[[Models, Gateway], object]
    code: int
    words: tuple[str, ...]


def fitting(models: Models, **changes: object) -> Path:
    """A model that fits its card, but for these changes to the card."""
    onnx.save(slow_model(1), models.folder / "parts.onnx")
    return models.card("parts", classifier(**GREY) | changes, LABELS)


def with_labels(models: Models, labels: list[str]) -> None:
    """The card names other labels than the model has outputs."""
    fitting(models)
    models.card("parts", classifier(**GREY), labels)


def with_picture(models: Models, **picture: object) -> None:
    """The card has other ideas of the input."""
    fitting(models, input=classifier(**(GREY | picture))["input"])


def with_external_data(models: Models) -> None:
    """Weights in a file of their own, which the library would read from wherever the model says."""
    fitting(models)
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save_model(slow_model(1), models.folder / "parts.onnx", **options)


def with_foreign_operator(models: Models) -> None:
    """An operator that somebody else's library would have to bring."""
    fitting(models)
    foreign = slow_model(1)
    foreign.graph.node[0].domain = "example.operators"
    foreign.opset_import.append(helper.make_opsetid("example.operators", 1))
    onnx.save(foreign, models.folder / "parts.onnx")


def with_other_rank(models: Models) -> None:
    """A model of vectors, not of pictures."""
    fitting(models)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = [helper.make_tensor("w", TensorProto.FLOAT, [9, 2], [0.0] * 18)]
    onnx.save(model(nodes, ("x", [1, 9]), ("y", [1, 2]), weights), models.folder / "parts.onnx")


def with_bytes(models: Models, content: bytes) -> None:
    """No model at all."""
    fitting(models)
    (models.folder / "parts.onnx").write_bytes(content)


def with_a_cut(models: Models) -> None:
    """A download that broke off."""
    fitting(models)
    path = models.folder / "parts.onnx"
    path.write_bytes(path.read_bytes()[:-1000])


def with_library(models: Models, gateway: Gateway, path: str) -> None:
    """The configuration names this library."""
    fitting(models)
    gateway.settings["engine"] = {"library": path}


def with_environment(models: Models, gateway: Gateway) -> None:
    """The environment names a file that is no library."""
    fitting(models)
    path = models.folder / "no-library.so"
    path.write_text("this is text\n")
    gateway.env["ORT_DYLIB_PATH"] = str(path)


def with_detector(models: Models, gateway: Gateway) -> None:
    """A judge asks a model that classifies for boxes."""
    fitting(models)
    gateway.settings["judge"]["parts"]["detector"] = "detect"


def without(models: Models, name: str) -> None:
    """One of the files is not there."""
    fitting(models)
    (models.folder / name).unlink()


SHAPE = f"[1, 1, {SIDE}, {SIDE}]"
NOWHERE = "/nowhere/libonnxruntime.so"
FAULTS = {
    "another sha256": Fault(lambda m, g: fitting(m, sha256="0" * 64), BAD_CONFIG, ("SHA-256", "0" * 64)),
    "too few labels": Fault(lambda m, g: with_labels(m, LABELS[:1]), BAD_CONFIG, ("label", "1", "2")),
    "too many labels": Fault(lambda m, g: with_labels(m, ["a", "b", "c"]), BAD_CONFIG, ("label", "3", "2")),
    "another size": Fault(lambda m, g: with_picture(m, size=[224, 192]), BAD_CONFIG, ("192, 224", SHAPE)),
    "another layout": Fault(
        lambda m, g: with_picture(m, layout="nhwc"), BAD_CONFIG, ("[batch, height, width, channel]", SHAPE)
    ),
    "another colour": Fault(lambda m, g: with_picture(m, colour="rgb"), BAD_CONFIG, ("[1, 3, ", SHAPE)),
    "another element": Fault(lambda m, g: with_picture(m, element="u8"), BAD_CONFIG, ("u8", "f32")),
    "another rank": Fault(lambda m, g: with_other_rank(m), BAD_CONFIG, ("[1, 9]",)),
    "external data": Fault(lambda m, g: with_external_data(m), BAD_CONFIG, ("another file",)),
    "a foreign operator": Fault(lambda m, g: with_foreign_operator(m), BAD_CONFIG, ("example.operators",)),
    "no model": Fault(lambda m, g: with_bytes(m, b"<html>404</html>" * 99), BAD_CONFIG, ("parts.onnx",)),
    "an empty file": Fault(lambda m, g: with_bytes(m, b""), BAD_CONFIG, ("parts.onnx",)),
    "half a model": Fault(lambda m, g: with_a_cut(m), BAD_CONFIG, ("parts.onnx",)),
    "no weights": Fault(lambda m, g: without(m, "parts.onnx"), BAD_CONFIG, ("parts.onnx",)),
    "no card": Fault(lambda m, g: without(m, "parts.toml"), BAD_CONFIG, ("parts.toml",)),
    "no labels": Fault(lambda m, g: without(m, "parts.txt"), BAD_CONFIG, ("parts.txt",)),
    "an unknown key": Fault(lambda m, g: fitting(m, tsak="classify"), BAD_CONFIG, ("parts.toml", "tsak")),
    "another task": Fault(with_detector, BAD_CONFIG, ("judge.parts", "detect", "classify")),
    "no library": Fault(lambda m, g: with_library(m, g, NOWHERE), UNAVAILABLE, (NOWHERE,)),
    "a library that is none": Fault(with_environment, UNAVAILABLE, ("ORT_DYLIB_PATH", "no-library.so")),
}


@pytest.fixture
def own(models: Models, tmp_path: Path) -> Models:
    """A folder of models for this test alone."""
    folder = tmp_path / "models"
    folder.mkdir()
    return Models(folder)


def gateway_of(scene: Scene, models: Models) -> Gateway:
    """A gateway whose one judge looks at frames through the model `parts`."""
    judges = {"parts": looking(["cameras"], "classify", "parts")}
    file = str(models.folder / "parts.onnx")
    return scene.gateway({"cameras": frame_source("road/+/frame")}, judges, model={"parts": {"file": file}})


@pytest.mark.parametrize("what", FAULTS)
def test_what_does_not_fit_is_refused(scene: Scene, own: Models, what: str) -> None:
    fault, gateway = FAULTS[what], gateway_of(scene, own)
    fault.spoil(own, gateway)
    wrong = []
    for command in (["check", "--offline"], ["run"]):
        # A run that does not refuse goes on: a few seconds tell.
        done = gateway.run(*command, "-c", str(gateway.write()), seconds=20)
        said = done.stdout + done.stderr
        missing = [word for word in fault.words if word not in said]
        loud = [word for word in LOUD if word in said]
        if done.returncode != fault.code or missing or loud:
            end = f"{command[0]}: exit {done.returncode}, expected {fault.code}"
            wrong.append(f"{end}; not said: {missing}; said: {loud}\n{said}")
        print(f"{what}, {command[0]}: {done.stderr.strip().splitlines()[-1:]}")
    assert not wrong, "\n".join(wrong)


def test_a_model_that_fits_is_shown(scene: Scene, own: Models) -> None:
    card = fitting(own)
    card.write_text(f'sha256 = "{sha256(own.folder / "parts.onnx")}"\n{card.read_text()}')
    done = gateway_of(scene, own).check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SIDE}x{SIDE} f32 into picture" in done.stdout


def test_the_card_decides_which_weights(scene: Scene, own: Models) -> None:
    """The configuration names other weights than the card beside them is for."""
    fitting(own)
    shutil.copy(own.folder / "parts.toml", own.folder / "other.toml")
    shutil.copy(own.folder / "parts.onnx", own.folder / "other.onnx")
    gateway = gateway_of(scene, own)
    gateway.settings["model"]["parts"]["file"] = str(own.folder / "other.onnx")
    done = gateway.check("--offline")
    assert done.returncode == BAD_CONFIG
    assert "other.onnx" in done.stdout and "parts.onnx" in done.stdout
