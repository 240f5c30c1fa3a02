"""`verge model card`: drafts by what exporters write into files and beside them, held against the card that is known."""

import json
import subprocess
import tomllib
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from models import IR_VERSION, OPSET, Models
from programs import REPOSITORY, data, verge

BAD_INPUT = 65


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models.make(tmp_path_factory.mktemp("cards"))


def save(
    folder: Path,
    name: str,
    outputs: dict[str, list[int | str]],
    metadata: dict[str, str],
    inputs: dict[str, list[int | str]] | None = None,
) -> Path:
    """A model of these shapes. It finds nothing: every output is zero."""
    given = inputs or {"images": [1, 3, 64, 64]}
    picture = next(iter(given))
    nodes = [
        helper.make_node("ReduceMean", [picture], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
    ]
    declared = []
    for output, shape in outputs.items():
        sizes = [side if isinstance(side, int) else 1 for side in shape]
        zeros = helper.make_tensor(f"{output}_zeros", TensorProto.FLOAT, sizes, [0.0] * len_of(sizes))
        nodes.append(helper.make_node("Constant", [], [f"{output}_zeros"], value=zeros))
        nodes.append(helper.make_node("Add", ["nothing", f"{output}_zeros"], [output]))
        declared.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
    taken = [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one, shape in given.items()]
    graph = helper.make_graph(nodes, name, taken, declared)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, metadata)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


def len_of(shape: list[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def drafted(model: Path, *options: str) -> tuple[dict[str, object], list[str], str]:
    """The drafted card, what of it is guessed, and its text."""
    command = [verge(), "--json", "model", "card", str(model), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return tomllib.loads(said["card"]), said["guessed"], said["card"]


def checked(model: Path, detector: str) -> subprocess.CompletedProcess[str]:
    """`verge check` of a gateway with this model, without its brokers."""
    config = model.parent / "gateway.toml"
    config.write_text(
        f"[gateway]\nid = 'g'\nstate_dir = '{model.parent / 'state'}'\n[local]\nurl = 'mqtt://localhost'\n"
        f"[model.parts]\nfile = '{model}'\n[source.cameras]\ntopic = 'site/+/frame'\ncodec = 'jpeg'\ndevice = 'topic:1'\n"
        f"[judge.parts]\ninputs = ['cameras']\ndetector = '{detector}'\nmodel = 'parts'\n"
    )
    command = [verge(), "check", "-c", str(config), "--offline"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def ultralytics(task: str, **more: str) -> dict[str, str]:
    """What ultralytics 8.4 writes into a file."""
    names = "{0: 'car', 1: \"driver's seat\", 2: 'bus'}"
    stated = {"description": "Ultralytics model", "author": "Ultralytics", "version": "8.4.190", "license": "AGPL-3.0"}
    return stated | {"task": task, "names": names, "imgsz": "[64, 64]", "stride": "32", "batch": "1"} | more


NAMES = ["car", "driver's seat", "bus"]
# Task, metadata beside it, shapes of the outputs, and the decoder that is right.
SAID = {
    "detect": ("detect", {}, {"output0": [1, 7, 84]}, "yolov8"),
    "segment": ("segment", {}, {"output0": [1, 39, 84], "output1": [1, 32, 16, 16]}, "yolov8-seg"),
    "pose": ("pose", {"kpt_shape": "[17, 3]"}, {"output0": [1, 58, 84]}, "yolov8-pose"),
    "obb": ("obb", {}, {"output0": [1, 8, 84]}, "yolov8-obb"),
    "end2end": ("detect", {"end2end": "True"}, {"output0": [1, 300, 6]}, "yolov10"),
    "nms": ("detect", {"args": "{'nms': True, 'half': False}"}, {"output0": [1, 300, 6]}, "yolov10"),
    "obb_end2end": ("obb", {"end2end": "True"}, {"output0": [1, 300, 7]}, "yolo26-obb"),
    "detr": ("detect", {"head": "RTDETRDecoder"}, {"output0": [1, 300, 6]}, "rt-detr-ultralytics"),
    "classify": ("classify", {}, {"output0": [1, 3]}, "probabilities"),
}


@pytest.mark.parametrize("name", SAID)
def test_a_file_that_says_everything_needs_no_card(made: Models, tmp_path: Path, name: str) -> None:
    """Nothing is guessed, the card fits the file, and the gateway takes the file alone."""
    task, more, outputs, decoder = SAID[name]
    model = save(tmp_path, "parts", outputs, ultralytics(task, **more))
    card, guessed, text = drafted(model)
    assert guessed == [], text
    assert card["labels"] == NAMES
    assert (card["version"], card["file"]) == ("8.4.190", "parts.onnx")
    assert card["output"]["decoder"] == decoder
    detector = "classify" if task == "classify" else "detect"
    for _ in range(2):
        done = checked(model, detector)
        assert "one grey picture" in done.stdout, done.stdout + done.stderr
        assert "3 labels" in done.stdout, done.stdout
        # The same with the card beside it.
        (tmp_path / "parts.toml").write_text(text)


def test_names_as_python_text_are_read_and_never_evaluated(made: Models, tmp_path: Path) -> None:
    """What is no literal says nothing."""
    trap = tmp_path / "evaluated"
    for names in (f"[open({str(trap)!r}, 'w')]", "{0: 'car'", "[" * 5000, "{1: 'car'}"):
        model = save(tmp_path, "parts", {"output0": [1, 7, 84]}, ultralytics("detect", names=names))
        _, guessed, text = drafted(model)
        assert "labels" in guessed, text
    assert not trap.exists()


def test_what_is_guessed_is_marked_and_refused_without_a_card(made: Models, tmp_path: Path) -> None:
    """Both readings of a shape stand in the draft; the gateway says which command writes it."""
    model = save(tmp_path, "parts", {"output": [1, 300, 6]}, {})
    (tmp_path / "labels.txt").write_text("0 car\n1 bus\n")
    card, guessed, text = drafted(model)
    assert card["labels"] == ["car", "bus"]
    assert "from labels.txt" in text
    assert "decoder" in guessed
    assert card["output"]["decoder"] == "yolov10"
    for other in ("deepstream", "rt-detr-ultralytics", "ppyoloe"):
        assert f'#decoder = "{other}"' in text
    done = checked(model, "detect")
    assert done.returncode != 0
    assert "verge model card" in done.stdout + done.stderr


def test_files_of_transformers_are_read(made: Models, tmp_path: Path) -> None:
    """Names and preparation of a ViT; DETR by its type."""
    model = save(tmp_path, "vit", {"logits": [1, 2]}, {}, {"pixel_values": ["batch", 3, 224, 224]})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}}))
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True, "size": {"height": 224, "width": 224}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(half))
    card, _, text = drafted(model)
    assert card["labels"] == ["cat", "dog"]
    assert card["input"]["mean"] == [127.5] * 3
    assert card["input"]["scale"] == pytest.approx([2 / 255] * 3)
    assert "from preprocessor_config.json" in text
    outputs = {"logits": [1, 100, 3], "pred_boxes": [1, 100, 4]}
    detr = save(tmp_path, "detr", outputs, {}, {"pixel_values": [1, 3, 64, 64]})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "detr", "id2label": {"0": "cat", "1": "dog"}}))
    card, guessed, text = drafted(detr)
    assert card["output"]["decoder"] == "detr"
    assert guessed == [], text


PADDLE = """\
mode: paddle
arch: YOLO
Preprocess:
- interp: 2
  keep_ratio: false
  target_size:
  - 480
  - 640
  type: Resize
- mean:
  - 0.0
  - 0.0
  - 0.0
  norm_type: none
  std:
  - 1.0
  - 1.0
  - 1.0
  type: NormalizeImage
- type: Permute
label_list:
- person
- traffic light
"""


def test_the_file_beside_a_model_of_paddle_says_everything(made: Models, tmp_path: Path) -> None:
    """Labels, size and preparation out of infer_cfg.yml, each line with its source."""
    inputs = {"image": ["batch", 3, "height", "width"], "scale_factor": ["batch", 2]}
    model = save(tmp_path, "ppyoloe", {"boxes": ["found", 6], "count": ["batch"]}, {}, inputs)
    (tmp_path / "infer_cfg.yml").write_text(PADDLE)
    card, guessed, text = drafted(model)
    assert card["labels"] == ["person", "traffic light"]
    assert card["input"]["size"] == [640, 480]
    assert card["input"]["resize"] == "stretch"
    assert card["input"]["scale"] == pytest.approx([1 / 255] * 3)
    assert card["output"]["decoder"] == "ppyoloe"
    assert guessed == [], text
    assert text.count("from infer_cfg.yml") >= 5
    (tmp_path / "infer_cfg.yml").write_text(PADDLE.replace("mode: paddle", "mode: &a paddle"))
    assert "labels" in drafted(model)[1]


def test_files_of_mmdeploy_are_read(made: Models, tmp_path: Path) -> None:
    """The kind of model out of detail.json, its preparation out of pipeline.json."""
    model = save(tmp_path, "end2end", {"dets": [1, 100, 5], "labels": [1, 100]}, {}, {"input": [1, 3, 640, 640]})
    (tmp_path / "classes.txt").write_text("car\nbus\n")
    assert "decoder" in drafted(model)[1]
    detail = {"codebase": {"task": "ObjectDetection", "codebase": "mmdet"}, "backend_config": {"type": "onnxruntime"}}
    (tmp_path / "detail.json").write_text(json.dumps(detail))
    normalize = {"type": "Normalize", "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395], "to_rgb": False}
    transforms = [{"type": "Resize", "keep_ratio": True, "size": [640, 640]}, normalize]
    (tmp_path / "pipeline.json").write_text(json.dumps({"pipeline": {"tasks": [{"transforms": transforms}]}}))
    card, guessed, text = drafted(model)
    assert card["output"]["decoder"] == "mmdeploy"
    assert (card["input"]["colour"], card["input"]["resize"]) == ("bgr", "letterbox-topleft")
    assert guessed == [], text
    assert "from detail.json" in text and "from pipeline.json" in text


@pytest.mark.parametrize(("name", "decoder"), [("yolox_nano", "yolox"), ("FastestDet", "fastestdet")])
def test_real_models_are_recognised(made: Models, name: str, decoder: str) -> None:
    """By their shapes and labels; the draft equals the card that is known but for what nothing says."""
    folder = data() / "models" / "detection"
    card, guessed, _ = drafted(folder / f"{name}.onnx", "--labels", str(folder / "coco_80_names.txt"))
    known = tomllib.loads(made.real(name).read_text())
    assert card["output"]["decoder"] == decoder
    assert "decoder" in guessed
    for key in ("layout", "colour", "element", "resize"):
        assert card["input"][key] == known["input"][key]
    assert len(card["labels"]) == 80


def test_a_network_of_two_levels_is_recognised_by_the_number_of_its_cells(made: Models, tmp_path: Path) -> None:
    """The model of the demo's junction, without the card that it comes with."""
    assert made.folder
    model = tmp_path / "junction.onnx"
    model.write_bytes((REPOSITORY / "examples" / "junction-model" / "junction.onnx").read_bytes())
    output = drafted(model)[0]["output"]
    assert (output["decoder"], output["strides"]) == ("yolox", [8, 16])


def test_what_is_no_model_over_frames_is_refused(made: Models, tmp_path: Path) -> None:
    """A window of numbers, a file of labels that is none."""
    window = save(tmp_path, "window", {"y": [1, 8]}, {}, {"x": [1, 8]})
    model = save(tmp_path, "parts", {"output0": [1, 7, 84]}, {})
    (tmp_path / "empty.txt").write_text("")
    for command, words in (([str(window)], "none of its inputs takes a picture"), ([str(model), "--labels", str(tmp_path / "empty.txt")], "no list of labels")):
        done = subprocess.run([verge(), "model", "card", *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == BAD_INPUT
        assert words in done.stderr


def custom_vision(folder: Path, labels: list[str]) -> Path:
    """A classifier as Custom Vision exports it (ONNX 1.2): the best label, and a list with a map of labels and numbers. The
    mean of each channel decides, blue first."""
    count = len(labels)
    numbers = helper.make_tensor("numbers", TensorProto.INT64, [1], [count])
    nodes = [
        helper.make_node("ReduceMean", ["data"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Softmax", ["means"], ["softmax"], axis=1),
        helper.make_node("ArgMax", ["softmax"], ["best"], axis=1, keepdims=0),
        helper.make_node("Constant", [], ["names"], value=helper.make_tensor("n", TensorProto.STRING, [count], labels)),
        helper.make_node("ArrayFeatureExtractor", ["names", "best"], ["classLabel"], domain="ai.onnx.ml"),
        helper.make_node("ZipMap", ["softmax"], ["loss"], domain="ai.onnx.ml", classlabels_strings=labels),
    ]
    loss = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    graph = helper.make_graph(
        nodes,
        "customvision",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("classLabel", TensorProto.STRING, [1, 1]), helper.make_value_info("loss", loss)],
        [numbers],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="OnnxMLTools")
    helper.set_model_props(
        model, {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
    )
    path = folder / "parts.onnx"
    onnx.save(model, path)
    return path


def teachable_machine(folder: Path) -> Path:
    """A classifier as tf2onnx converts the Keras file of Teachable Machine: the mean of red decides between the two."""
    nodes = [
        helper.make_node("ReduceMean", ["sequential_1_input"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["dense"]),
        helper.make_node("Softmax", ["dense"], ["sequential_3"], axis=1),
    ]
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3, 2], [4.0, -4.0, 0.0, 0.0, 0.0, 0.0])
    graph = helper.make_graph(
        nodes,
        "tf2onnx",
        [helper.make_tensor_value_info("sequential_1_input", TensorProto.FLOAT, ["batch", 32, 32, 3])],
        [helper.make_tensor_value_info("sequential_3", TensorProto.FLOAT, ["batch", 2])],
        [weights],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="tf2onnx"
    )
    path = folder / "parts.onnx"
    onnx.save(model, path)
    return path


def judged(model: Path, colour: tuple[int, int, int]) -> dict[str, float]:
    """What `verge judge` reports of a picture of one colour: labels and probabilities."""
    picture = model.parent / "picture.jpg"
    Image.new("RGB", (64, 48), colour).save(picture, quality=100)
    config = model.parent / "gateway.toml"
    command = [verge(), "--json", "judge", "-c", str(config), "parts", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (verdict,) = [json.loads(line) for line in done.stdout.splitlines() if "classification" in line]
    return {one["label"]: one["score"] for one in verdict["classification"]["labels"]}


def test_classifiers_of_custom_vision_are_read_as_they_are(made: Models, tmp_path: Path) -> None:
    """The draft names the list of maps, whose numbers are read; labels in another order are refused."""
    model = custom_vision(tmp_path, ["sea", "meadow", "brick"])
    (tmp_path / "labels.txt").write_text("brick\nmeadow\nsea\n")
    card, guessed, text = drafted(model)
    assert card["labels"] == ["sea", "meadow", "brick"], text
    assert card["output"] == {"decoder": "probabilities", "names": ["loss"]}
    assert (card["input"]["colour"], card["input"]["resize"]) == ("bgr", "shorter-side-crop")
    assert "scale" not in card["input"]
    assert "decoder" not in guessed
    (tmp_path / "parts.toml").write_text(text)
    done = checked(model, "classify")
    assert "one grey picture" in done.stdout, done.stdout + done.stderr
    for colour, label in (((0, 0, 255), "sea"), ((0, 255, 0), "meadow"), ((255, 0, 0), "brick")):
        assert judged(model, colour)[label] > 0.9
    (tmp_path / "parts.toml").write_text(text.replace('["sea", "meadow", "brick"]', '["brick", "meadow", "sea"]'))
    done = checked(model, "classify")
    assert "order of labels" in done.stdout + done.stderr
    assert "list them in the order of the file" in done.stdout + done.stderr
    # Other names for the same classes are the user's right.
    (tmp_path / "parts.toml").write_text(text.replace('["sea", "meadow", "brick"]', '["Meer", "Wiese", "Ziegel"]'))
    assert "one grey picture" in checked(model, "classify").stdout


def test_classifiers_of_teachable_machine_are_recognised(made: Models, tmp_path: Path) -> None:
    """By their numbered labels; pixels go in from -1 to 1."""
    model = teachable_machine(tmp_path)
    (tmp_path / "labels.txt").write_text("0 ripe\n1 raw\n")
    card, guessed, text = drafted(model)
    assert card["labels"] == ["ripe", "raw"]
    assert card["output"]["decoder"] == "probabilities"
    assert "decoder" not in guessed, text
    assert card["input"]["layout"] == "nhwc"
    assert card["input"]["mean"] == [127.5] * 3
    assert card["input"]["scale"] == pytest.approx([1 / 127.5] * 3)
    (tmp_path / "parts.toml").write_text(text)
    assert "one grey picture" in checked(model, "classify").stdout
    # e^8 to one, and as much the other way.
    assert judged(model, (255, 0, 0))["ripe"] == pytest.approx(1.0, abs=0.002)
    assert judged(model, (0, 0, 0))["raw"] == pytest.approx(1.0, abs=0.002)
    grey = judged(model, (128, 128, 128))
    assert grey["ripe"] == pytest.approx(0.5, abs=0.02)
