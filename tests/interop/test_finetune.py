"""A new head for a model, against its solution in numpy: the same taps, weights, temperature and limit, from the same pictures."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models import LABELS, Models, classifier, model
from programs import data, verge
from textures import CLASSES, SIDE, draw

REFUSED, USAGE, BAD_INPUT = 1, 64, 65


def trunk() -> onnx.ModelProto:
    """A small network with weights that nobody trained: what it sees of textures is enough to tell them apart."""
    random = np.random.default_rng(1)
    shapes = [(16, 3, 3, 3), (24, 16, 3, 3), (32, 24, 3, 3), (48, 32, 3, 3)]
    weights, nodes, before = [], [], "picture"
    for number, shape in enumerate(shapes):
        scale = np.sqrt(2 / np.prod(shape[1:])) / (100 if number == 0 else 1)
        weights.append(numpy_helper.from_array((random.standard_normal(shape) * scale).astype(np.float32), f"w{number}"))
        stride = [1, 2, 1, 2][number]
        nodes.append(helper.make_node("Conv", [before, f"w{number}"], [f"c{number}"], pads=[1, 1, 1, 1], strides=[stride, stride]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        before = f"r{number}"
    weights.append(numpy_helper.from_array(np.array([1, 48], dtype=np.int64), "shape"))
    weights.append(numpy_helper.from_array(random.standard_normal((48, 2)).astype(np.float32), "direction"))
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["pool"]),
        helper.make_node("Reshape", ["pool", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "direction"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return model(nodes, ("picture", [1, 3, SIDE, SIDE]), ("probabilities", [1, 2]), weights)


@dataclass(frozen=True)
class Tuning:
    """A model whose head is replaced."""

    folder: Path
    card: Path

    def run(self, *arguments: str, out: str = "new", json_too: bool = True) -> subprocess.CompletedProcess[str]:
        """`verge model finetune`, without any other program at hand."""
        command = [verge(), *(["--json"] if json_too else []), "model", "finetune", str(self.card), "-o", str(self.folder / out)]
        environment = {**os.environ, "PATH": ""}
        return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=False, env=environment)

    def done(self, *arguments: str, out: str = "new") -> dict[str, Any]:
        """The same, which must end well."""
        ran = self.run(*arguments, out=out)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert len(ran.stdout.splitlines()) == 1
        return json.loads(ran.stdout)

    def left(self, out: str = "new") -> list[str]:
        """What of a model lies there."""
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith((out, ".verge")))


@pytest.fixture
def tuning(tmp_path: Path, models: Models) -> Tuning:
    """`models` brings ONNX Runtime."""
    assert models.folder
    folder = Models(tmp_path)
    onnx.save(trunk(), tmp_path / "textures.onnx")
    pixels = {"layout": "nchw", "colour": "rgb", "element": "f32"}
    return Tuning(tmp_path, folder.card("textures", classifier(**pixels), LABELS))


def pixels(path: Path) -> np.ndarray:
    """A picture as the model takes it, by another decoder."""
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32).transpose(2, 0, 1)[None]


def features(tuning: Tuning, taps: list[str], paths: list[Path]) -> np.ndarray:
    """Roots of the means of the planes of tensors, and of their deviations."""
    whole = onnx.load(tuning.folder / "textures.onnx")
    whole.graph.output.extend(helper.make_tensor_value_info(tap, TensorProto.FLOAT, None) for tap in taps)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = [session.run(taps, {"picture": pixels(path)}) for path in paths]

    def of(plane: np.ndarray) -> list[np.ndarray]:
        means = plane.astype(np.float64).mean(axis=(2, 3))[0]
        roots = means / np.sqrt(np.abs(means) + 1e-6)
        # A plane of one point has no deviation.
        return [roots] if plane.shape[2:] == (1, 1) else [roots, np.sqrt(np.sqrt(plane.astype(np.float64).var(axis=(2, 3))[0] + 1e-8))]

    return np.array([np.concatenate([feature for plane in row for feature in of(plane)]) for row in rows])


def softmax(scores: np.ndarray) -> np.ndarray:
    """Row by row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_head_is_the_one_that_numpy_solves(tuning: Tuning) -> None:
    train = draw(tuning.folder / "train", 20, seed=1)
    test = draw(tuning.folder / "test", 15, seed=2)
    found = tuning.done("--data", str(tuning.folder / "train"), "--hold-out", str(tuning.folder / "test"))
    assert found["written"] is True and found["refused"] is None
    assert found["classes"] == CLASSES and found["samples"] == 60
    assert found["dropped"] == {"duplicate": 0, "damaged": 0, "blurred": 0}
    taps = found["tap"]
    (of_tap,) = [one for one in found["choices"] if one["tap"] == taps]
    assert of_tap["as_good"] and of_tap["behind"] <= min(of_tap["error"], 1) + 1e-6
    assert max(one["right"] for one in found["choices"]) - of_tap["right"] == pytest.approx(of_tap["behind"] / 100 * 60)
    fits = [one for one in found["choices"] if one["as_good"]]
    assert of_tap["products"] == min(one["products"] for one in fits), "the cheapest that is as good"

    # The ridge by its normal equations, with the λ that was found.
    x = features(tuning, taps, [path for path, _ in train])
    labels = np.array([CLASSES.index(kind) for _, kind in train])
    deviation = x.std(axis=0)
    deviation = deviation + 0.001 * deviation.mean()
    z = (x - x.mean(axis=0)) / deviation
    targets = np.eye(3)[labels] - np.eye(3)[labels].mean(axis=0)
    penalty = found["lambda"] * (z * z).sum() / len(z)
    solve = lambda rows, wanted: np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ wanted)
    weights, constant = solve(z, targets), np.eye(3)[labels].mean(axis=0)
    # Its temperature, from one solve without each picture.
    def without(i: int) -> np.ndarray:
        rows, wanted = np.delete(z, i, 0), np.delete(np.eye(3)[labels], i, 0)
        return (z[i] - rows.mean(axis=0)) @ solve(rows - rows.mean(axis=0), wanted - wanted.mean(axis=0)) + wanted.mean(axis=0)

    left_out = np.array([without(i) for i in range(len(z))])
    loss = lambda temperature: -np.log(softmax(left_out / temperature)[np.arange(len(z)), labels]).mean()
    tried = np.exp(np.linspace(np.log(0.005), np.log(20), 2000))
    expected = tried[np.argmin([loss(one) for one in tried])]
    assert found["temperature"] == pytest.approx(expected, rel=0.05)
    # And the limit beyond which a picture is unknown.
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(len(z))
    # 60 are too few for one in a hundred of the further ones: all that were seen are known.
    assert found["unknown"]["limit"] == pytest.approx((1 - cosine.max(axis=1)).max(), rel=0.05)

    onnx.checker.check_model(onnx.load(tuning.folder / "new.onnx"))
    session = onnxruntime.InferenceSession(tuning.folder / "new.onnx", providers=["CPUExecutionProvider"])
    paths = [path for path, _ in test]
    said = np.array([session.run(None, {"picture": pixels(path)})[0][0] for path in paths])
    xs = features(tuning, taps, paths)
    zs = (xs - x.mean(axis=0)) / deviation
    likely = softmax((zs @ weights + constant) / found["temperature"])
    distance = 1 - (xs / np.linalg.norm(xs, axis=1, keepdims=True) @ unit.T).max(axis=1)
    limit = found["unknown"]["limit"]
    strange = 1 / (1 + np.exp(-50 * (distance - limit) / limit))
    expected = np.concatenate([likely * (1 - strange)[:, None], strange[:, None]], axis=1)
    assert said.shape == (45, 4) and np.abs(said - expected).max() < 0.06
    right = np.mean([(CLASSES + ["unknown"])[place] == kind for place, (_, kind) in zip(said.argmax(axis=1), test)])
    assert found["hold_out"]["top1"] == pytest.approx(100 * right, abs=2.3) and right > 0.9
    assert found["hold_out"]["low"] < found["hold_out"]["top1"] <= found["hold_out"]["high"]

    assert tuning.left() == ["new.onnx", "new.report.json", "new.toml", "new_labels.txt"]
    assert (tuning.folder / "new_labels.txt").read_text().split() == [*CLASSES, "unknown"]
    card = (tuning.folder / "new.toml").read_text()
    assert "[made]" in card and "finetune --tap auto" in card
    assert json.loads((tuning.folder / "new.report.json").read_text())["samples"] == 60
    scored = subprocess.run(
        [verge(), "--json", "eval", "classify", "--model", str(tuning.folder / "new.toml"), "--data", str(tuning.folder / "test")],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(scored.stdout)["top1"] * 100 == pytest.approx(found["hold_out"]["top1"], abs=0.01)


def test_what_is_like_nothing_of_the_training_is_unknown(tuning: Tuning) -> None:
    draw(tuning.folder / "train", 20, seed=1)
    tuning.done("--data", str(tuning.folder / "train"))
    session = onnxruntime.InferenceSession(tuning.folder / "new.onnx", providers=["CPUExecutionProvider"])
    random = np.random.default_rng(3)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    plain = np.ones((3, SIDE, SIDE))
    strangers = {
        "noise": [random.integers(0, 255, plain.shape) for _ in range(10)],
        "grey": [plain * random.integers(30, 220) for _ in range(10)],
        "colours": [plain * random.integers(0, 255, (3, 1, 1)) for _ in range(10)],
        "discs": [plain * ((x - random.integers(10, 40)) ** 2 + (y - random.integers(10, 40)) ** 2 < 100) * 200 for _ in range(10)],
        "squares": [np.kron(random.integers(0, 255, (3, 6, 6)), np.ones((8, 8))) for _ in range(10)],
    }  # fmt: skip
    for kind, pictures in strangers.items():
        said = [session.run(None, {"picture": one[None].astype(np.float32)})[0][0].argmax() for one in pictures]
        assert said == [3] * 10, kind


def test_labels_at_random_are_refused_and_nothing_is_written(tuning: Tuning) -> None:
    pictures = draw(tuning.folder / "sorted", 15, seed=4)
    random = np.random.default_rng(5)
    rows = [f"{path.relative_to(tuning.folder / 'sorted')},{label}" for (path, _), label in zip(pictures, random.permutation([kind for _, kind in pictures]))]
    (tuning.folder / "sorted" / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    ran = tuning.run("--data", str(tuning.folder / "sorted"))
    assert ran.returncode == REFUSED, ran.stdout + ran.stderr
    (line,) = ran.stdout.splitlines()
    found = json.loads(line)
    assert found["written"] is False and "no better than chance" in found["refused"]
    assert tuning.left() == []
    ran = tuning.run("--data", str(tuning.folder / "sorted"), json_too=False)
    assert ran.returncode == REFUSED and "refused, nothing is written" in ran.stdout


def test_pictures_that_cannot_be_used_are_named(tuning: Tuning) -> None:
    folder = tuning.folder / "train"
    pictures = draw(folder, 12, seed=6)
    first = pictures[0][0]
    (folder / "rows" / "broken.jpg").write_bytes(first.read_bytes()[:500])
    (folder / "rows" / "empty.jpg").write_bytes(b"")
    (folder / "checks" / "again.jpg").write_bytes(first.read_bytes())
    Image.open(first).resize((SIDE * 2, SIDE * 2), Image.Resampling.NEAREST).save(folder / "checks" / "larger.jpg", quality=80)
    ground = Image.fromarray(np.linspace(0, 200, SIDE, dtype=np.uint8)[None].repeat(SIDE, axis=0)).convert("RGB")
    ground.save(folder / "columns" / "smooth.jpg")
    ran = tuning.run("--data", str(folder))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout)
    assert found["dropped"] == {"duplicate": 2, "damaged": 2, "blurred": 1}
    assert found["samples"] == 36
    for name in ("broken.jpg", "empty.jpg", "smooth.jpg"):
        assert name in ran.stderr, ran.stderr


def test_wrong_input_says_what_is_wrong(tuning: Tuning) -> None:
    def check(code: int, part: str, *arguments: str) -> None:
        ran = tuning.run(*arguments)
        assert ran.returncode == code and part in ran.stderr, f"{ran.returncode}: {ran.stdout}{ran.stderr}"
        assert tuning.left() == []

    draw(tuning.folder / "few", 1, seed=7)
    check(BAD_INPUT, "has one picture", "--data", str(tuning.folder / "few"))
    check(BAD_INPUT, "cannot read the folder", "--data", str(tuning.folder / "none"))
    draw(tuning.folder / "one", 5, seed=8, kinds=["rows"])
    check(BAD_INPUT, "one class", "--data", str(tuning.folder / "one"))
    draw(tuning.folder / "train", 6, seed=9)
    check(BAD_INPUT, "no tap is named", "--data", str(tuning.folder / "train"), "--tap", "nowhere")
    check(USAGE, "flip, crop, light or jpeg", "--data", str(tuning.folder / "train"), "--augment", "turn")
    draw(tuning.folder / "other", 2, seed=10, kinds=["rows"])
    (tuning.folder / "other" / "rows").rename(tuning.folder / "other" / "spots")
    check(BAD_INPUT, '"spots"', "--data", str(tuning.folder / "train"), "--hold-out", str(tuning.folder / "other"))


def test_what_the_model_knew_is_kept_by_rehearsal(tuning: Tuning) -> None:
    draw(tuning.folder / "before", 20, seed=11)
    tuning.done("--data", str(tuning.folder / "before"), out="first", )
    first = Tuning(tuning.folder, tuning.folder / "first.toml")
    # The camera is dimmed.
    for path, _ in draw(tuning.folder / "dim", 12, seed=12):
        Image.open(path).point(lambda value: value // 3).save(path, quality=95, subsampling=0)
    found = first.done("--data", str(tuning.folder / "dim"), "--rehearse", str(tuning.folder / "before"), "--tap", "last", out="second")
    assert found["samples"] == 96 and found["rehearsal"]["pictures"] == 60
    assert found["rehearsal"]["drop"]["points"] <= 1
    # And where the new head is worse than the old one for classes that both have, it is refused.
    wrong = tuning.folder / "wrong"
    pictures = draw(wrong, 20, seed=13)
    names = {"checks": "columns", "columns": "rows", "rows": "checks"}
    rows = [f"{path.relative_to(wrong)},{names[kind]}" for path, kind in pictures]
    (wrong / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    ran = first.run("--data", str(wrong), "--hold-out", str(tuning.folder / "before"), "--no-unknown", out="third")
    assert ran.returncode == REFUSED, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["refused"] and tuning.left("third") == []


def test_more_pictures_are_made_only_as_asked(tuning: Tuning) -> None:
    draw(tuning.folder / "train", 10, seed=14)
    found = tuning.done("--data", str(tuning.folder / "train"), "--augment", "flip,crop,light,jpeg", "--tap", "last", "--no-unknown")
    assert found["samples"] == 30 and found["cross_validation"]["pictures"] == 30
    by_descent = tuning.done("--data", str(tuning.folder / "train"), "--method", "softmax", "--tap", "last", out="other")
    assert by_descent["lambda"] == 0 and by_descent["cross_validation"]["top1"] > 80


def test_sums_of_two_places_stand_for_their_pictures(tuning: Tuning) -> None:
    sums = [tuning.folder / f"{place}.json" for place in ("here", "there")]
    taps = "r2,r3"
    for seed, place, to in [(15, "here", sums[0]), (16, "there", sums[1])]:
        draw(tuning.folder / place, 12, seed=seed)
        tuning.done("--data", str(tuning.folder / place), "--tap", taps, "--statistics", str(to), out=place)
    draw(tuning.folder / "test", 15, seed=17)
    found = tuning.done("--from", *map(str, sums), "--hold-out", str(tuning.folder / "test"), out="centre")
    assert found["samples"] == 72 and found["tap"] == ["r2", "r3"] and found["hold_out"]["top1"] > 90
    # The same by numpy, with the λ that both found.
    pictures = [tuning.folder / place / kind / f"{number:02}.jpg" for place in ("here", "there") for kind in CLASSES for number in range(12)]
    x = features(tuning, ["r2", "r3"], pictures)
    labels = np.array([CLASSES.index(path.parent.name) for path in pictures])
    deviation = x.std(axis=0)
    deviation = deviation + 0.001 * deviation.mean()
    z = (x - x.mean(axis=0)) / deviation
    targets = np.eye(3)[labels] - 1 / 3
    penalty = found["lambda"] * (z * z).sum() / len(z)
    weights = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ targets)
    held = onnx.load(tuning.folder / "centre.onnx")
    (of_head,) = [numpy_helper.to_array(one) for one in held.graph.initializer if one.name == "head_weights"]
    expected = weights / deviation[:, None] / found["temperature"]
    # Decoders of JPEG differ by a grey level, which a small λ magnifies; to 1e-5 sums are held against pictures by a test in Rust.
    assert np.abs(of_head - expected).max() < 0.05 * np.abs(expected).max()
    other = tuning.run("--from", str(sums[0]), str(tuning.folder / "test" / "rows" / "00.jpg"), out="none")
    assert other.returncode == BAD_INPUT and "00.jpg" in other.stderr and tuning.left("none") == []


@pytest.mark.skipif(not (data() / "neu_det").is_dir(), reason="without the measuring data")
def test_steel_is_learnt_from_twenty_labels_a_class(models: Models, tmp_path: Path) -> None:
    card = models.real("mobilenet_v1_0.25_128_quant")
    tuning = Tuning(tmp_path, card)
    for path in sorted((data() / "neu_det" / "images").glob("*.jpg")):
        kind, number = path.stem.rsplit("_", 1)
        folder = tmp_path / ("train" if int(number) % 15 == 0 else "test") / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    found = tuning.done("--data", str(tmp_path / "train"), "--hold-out", str(tmp_path / "test"))
    assert found["hold_out"]["top1"] > 85 and found["after"]["bytes"] < found["before"]["bytes"]
