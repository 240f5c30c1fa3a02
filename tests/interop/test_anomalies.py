"""Models of visual anomalies, as Anomalib exports them: an independent reader in numpy finds the same scores and regions, and
an unusual picture raises an event that says where."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from gateway import Settings, to_toml
from models import IR_VERSION, OPSET, Models
from programs import verge

SIDE, CELLS = 64, 16
WIDTH, HEIGHT = 96, 72
USUAL = 300
SHARES = [1 / 255] * 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models.make(tmp_path_factory.mktemp("anomalies"))


def difference_model(outputs: tuple[str, ...]) -> onnx.ModelProto:
    """What differs from grey, in cells of four pixels: a map, its greatest value, a label and a mask."""
    weights = [numpy_helper.from_array(np.array(0.5, dtype=np.float32), "grey")]
    cell = SIDE // CELLS
    nodes = [
        helper.make_node("Sub", ["input", "grey"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        helper.make_node("ReduceMean", ["distance"], ["plane"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["plane"], ["anomaly_map"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("ReduceMax", ["anomaly_map"], ["pred_score"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Greater", ["pred_score", "grey"], ["pred_label"]),
        helper.make_node("Greater", ["anomaly_map", "grey"], ["pred_mask"]),
        helper.make_node("Identity", ["anomaly_map"], ["output"]),
    ]
    kinds = {"pred_label": TensorProto.BOOL, "pred_mask": TensorProto.BOOL}
    shapes: dict[str, list[int | str]] = {"pred_score": ["batch"], "pred_label": ["batch"]}
    plane: list[int | str] = ["batch", 1, CELLS, CELLS]
    found = [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), shapes.get(n, plane)) for n in outputs]
    given = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])]
    graph = helper.make_graph(nodes, "differences", given, found, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


ANOMALIB_2 = ("pred_score", "pred_label", "anomaly_map", "pred_mask")


def card(models: Models, name: str, output: Settings, outputs: tuple[str, ...] = ANOMALIB_2) -> Path:
    onnx.save(difference_model(outputs), models.folder / f"{name}.onnx")
    picture = {"layout": "nchw", "colour": "rgb", "element": "f32", "resize": "stretch", "scale": SHARES}
    keys = {"name": name, "version": "1", "file": f"{name}.onnx", "task": "anomaly", "input": picture, "output": output}
    (models.folder / f"{name}.toml").write_text(to_toml(keys))
    return models.folder / f"{name}.onnx"


def picture(seed: int, spots: tuple[tuple[int, int, int, int, int], ...] = ()) -> bytes:
    """Grey with noise; each spot is left, top, width, height and its brightness."""
    pixels = np.random.default_rng(seed).normal(128, 6, (HEIGHT, WIDTH)).clip(0, 255).astype(np.uint8)
    for x, y, width, height, value in spots:
        pixels[y : y + height, x : x + width] = value
    coded = io.BytesIO()
    Image.fromarray(np.stack([pixels] * 3, axis=2)).save(coded, "JPEG", quality=95)
    return coded.getvalue()


def write_site(folder: Path, model: Path, **judge: object) -> None:
    """A gateway with one camera source and the judge `unusual`."""
    rules: Settings = {"inputs": ["cameras"], "detector": "anomaly", "model": "m", "alarm_budget": "1/week", **judge}
    settings: Settings = {
        "gateway": {"id": "g", "state_dir": str(folder / "state")},
        "local": {"url": "mqtt://localhost:1"},
        "model": {"m": {"file": str(model)}},
        "source": {"cameras": {"topic": "site/+/frame", "codec": "jpeg", "device": "topic:1"}},
        "judge": {"unusual": rules},
    }
    (folder / "gateway.toml").write_text(to_toml(settings))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [verge(), "--json", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def judged(folder: Path, spots: tuple[tuple[int, int, int, int, int], ...], *more: str) -> list[dict]:
    """The verdicts on usual pictures, then one with spots, then usual ones."""
    frames = folder / "frames"
    frames.mkdir(exist_ok=True)
    for number in range(USUAL + 20):
        odd = spots if number == USUAL else ()
        (frames / f"{number:04}.jpg").write_bytes(picture(number, odd))
    done = run(folder, "judge", "-c", "gateway.toml", "unusual", "frames", "--device", "line-1", *more)
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    return [one for one in verdicts if one["file"].endswith(f"{USUAL:04}.jpg")]


def expected_map(coded: bytes) -> np.ndarray:
    """What the model makes of a picture, by Pillow's resize and numpy."""
    small = Image.open(io.BytesIO(coded)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    plane = np.abs(np.asarray(small, dtype=np.float32) / 255 - 0.5).mean(axis=2)
    cell = SIDE // CELLS
    return plane.reshape(CELLS, cell, CELLS, cell).mean(axis=(1, 3))


def expected_regions(found: np.ndarray, least: float) -> list[tuple[list[int], float]]:
    """Boxes of what hangs together, in pixels of the picture, the highest peak first."""
    left, boxes = set(zip(*np.nonzero(found >= least), strict=True)), []
    while left:
        edge, members = [left.pop()], []
        while edge:
            row, column = edge.pop()
            members.append((row, column))
            near = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= near
            edge += near
        rows, columns = zip(*members, strict=True)
        across, down = WIDTH / CELLS, HEIGHT / CELLS
        x, y = min(columns) * across, min(rows) * down
        right, bottom = (max(columns) + 1) * across, (max(rows) + 1) * down
        box = [round(x), round(y), round(right) - round(x), round(bottom) - round(y)]
        boxes.append((box, float(max(found[cell] for cell in members))))
    return sorted(boxes, key=lambda one: -one[1])[:8]


SPOTS = ((12, 9, 18, 18, 255), (66, 45, 12, 9, 235))


@pytest.mark.parametrize("form", ["score and map", "map alone", "above"])
def test_an_unusual_picture_is_reported_with_its_places_as_numpy_finds_them(made: Models, tmp_path: Path, form: str) -> None:
    name = form.replace(" ", "-")
    match form:
        case "map alone":
            write_site(tmp_path, card(made, name, {"decoder": "anomalib-1"}, ("output",)))
        case "above":
            write_site(tmp_path, card(made, name, {"decoder": "anomalib"}), map_above=0.45)
        case _:
            write_site(tmp_path, card(made, name, {"decoder": "anomalib"}))
    (found,) = judged(tmp_path, SPOTS)
    body = found["anomaly"]
    plane = expected_map(picture(USUAL, SPOTS))
    assert (found["detector"], found["signal"], body["member"]) == ("anomaly", "unusual", "appearance")
    assert found["event"]["state"] == "raised"
    assert body["observed"] == pytest.approx(float(plane.max()), abs=0.01)
    assert body["expected"]["high"] < 0.1
    least = 0.45 if form == "above" else (float(plane.mean()) + float(plane.max())) / 2
    wanted = expected_regions(plane, least)
    assert len(wanted) == (1 if form == "above" else 2)
    regions = body["regions"]
    assert (regions["width"], regions["height"]) == (WIDTH, HEIGHT)
    assert [[box[key] for key in ("x", "y", "width", "height")] for box in regions["boxes"]] == [box for box, _ in wanted]
    for box, (_, peak) in zip(regions["boxes"], wanted, strict=True):
        assert box["peak"] == pytest.approx(peak, abs=0.01)


def test_regions_are_drawn(made: Models, tmp_path: Path) -> None:
    write_site(tmp_path, card(made, "drawn", {"decoder": "anomalib"}))
    judged(tmp_path, SPOTS, "--annotate", "seen")
    before = np.asarray(Image.open(tmp_path / "frames" / f"{USUAL:04}.jpg").convert("RGB"), dtype=int)
    after = np.asarray(Image.open(tmp_path / "seen" / f"{USUAL:04}.jpg").convert("RGB"), dtype=int)
    assert np.abs(after - before)[9:27, 12:30].max() > 60, "the frame of the box lies around the spot"


def test_check_says_what_it_is_and_refuses_what_does_not_fit(made: Models, tmp_path: Path) -> None:
    def check(output: Settings, expected: str, detector: str = "anomaly", outputs: tuple[str, ...] = ANOMALIB_2) -> None:
        write_site(tmp_path, card(made, "checked", output, outputs), detector=detector)
        done = subprocess.run(
            [verge(), "check", "-c", "gateway.toml", "--offline"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert expected in done.stdout, done.stdout + done.stderr

    check({"decoder": "anomalib"}, "say how unusual frames are; 64x64 f32 into input, anomalib, which is anomaly")
    check({"decoder": "anomalib"}, "pred_score f32 [1] from 0.")
    check({"decoder": "anomalib-1"}, 'output.names: the card says "output", the file has "pred_score"')
    swapped = {"decoder": "anomaly", "names": ["anomaly_map", "pred_score"], "outputs": ["score", "map"]}
    check(swapped, 'shape of output "anomaly_map": the card says one number, [1] or [1, 1], the file has [?, 1, 16, 16]')
    mask = {"decoder": "anomaly", "names": ["pred_mask"], "outputs": ["map"]}
    check(mask, 'type of output "pred_mask"')
    task = 'detector = "autoencoder" over frames needs a model with task = "reconstruct"; the card of checked says task = "anomaly"'
    check({"decoder": "anomalib"}, task, detector="autoencoder")


def test_cards_are_drafted(made: Models, tmp_path: Path) -> None:
    for outputs, decoder in ((ANOMALIB_2, "anomalib"), (("output",), "anomalib-1"), (("anomaly_map",), "anomaly")):
        onnx.save(difference_model(outputs), tmp_path / "m.onnx")
        done = run(tmp_path, "model", "card", "m.onnx")
        assert done.returncode == 0, done.stderr
        text = json.loads(done.stdout)["card"]
        assert 'task = "anomaly"' in text and f'decoder = "{decoder}"' in text and "labels" not in text, text
        (tmp_path / "m.toml").write_text(text)
        write_site(tmp_path, tmp_path / "m.onnx")
        checked = subprocess.run(
            [verge(), "check", "-c", "gateway.toml", "--offline"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert "FAILED  model" not in checked.stdout and "say how unusual frames are" in checked.stdout, checked.stdout
