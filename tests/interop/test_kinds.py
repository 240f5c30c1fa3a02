"""Kinds of objects by a second model: coloured squares, found by one model and named by another, and counted."""

import io
import json
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image

from gateway import Settings, to_toml
from models import Models, model
from programs import verge
from scene import Scene, frame_source, looking
from test_track import A_SECOND, GROUND, INTERVAL, PASSAGE, SIDE, finds_squares, place
from waiting import wait_for

COLOURS = {"red": (255, 190, 190), "blue": (190, 190, 255)}
FRAMES = (3 * INTERVAL + INTERVAL // 2) * A_SECOND
# In each passage the square crosses the line after this number of frames.
CROSSED = 9


def colour(number: int) -> str:
    """The colour of the square in a frame: two passages in three are red."""
    return "blue" if number // (PASSAGE * A_SECOND) % 3 == 1 else "red"


def frame(number: int) -> bytes:
    """A frame, as a JPEG."""
    noise = np.random.default_rng(number).integers(-6, 7, (SIDE, SIDE))
    picture = np.repeat((GROUND + noise).astype(np.uint8)[:, :, None], 3, axis=2)
    top = place(number)
    picture[max(0, top) : max(0, top + 8), 28:36] = COLOURS[colour(number)]
    encoded = io.BytesIO()
    Image.fromarray(picture).resize((4 * SIDE, 4 * SIDE)).save(encoded, "JPEG", quality=95)
    return encoded.getvalue()


def names_colours(models: Models) -> Path:
    """A model that compares the means of red and blue."""
    weights = [
        numpy_helper.from_array(np.array([0, 2], np.int64), "channels"),
        numpy_helper.from_array(np.array(40.0, np.float32), "steep"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "channels"], ["two"], axis=1),
        helper.make_node("Mul", ["two", "steep"], ["steeper"]),
        helper.make_node("Softmax", ["steeper"], ["shares"], axis=1),
    ]
    made = model(nodes, ("picture", [1, 3, 8, 8]), ("shares", [1, 2]), weights)
    onnx.save(made, models.folder / "colours.onnx")
    scale = [1 / 255] * 3
    picture = {"resize": "stretch", "layout": "nchw", "colour": "rgb", "element": "f32", "scale": scale}
    card: Settings = {"task": "classify", "input": picture, "output": {"decoder": "probabilities"}}
    return models.card("colours", card, ["reddish", "bluish"])


def test_each_square_counts_as_what_a_second_model_calls_it(tmp_path: Path, models: Models) -> None:
    squares, colours = finds_squares(models), names_colours(models)
    folder = tmp_path / "frames"
    folder.mkdir()
    begin = 1_767_225_600
    times = ["frame,t"]
    for number in range(FRAMES):
        (folder / f"{number:06}.jpg").write_bytes(frame(number))
        times.append(f"{number:06},{begin + number / A_SECOND}")
    (tmp_path / "times.csv").write_text("\n".join(times) + "\n")
    passages = [number for number in range(0, FRAMES, PASSAGE * A_SECOND) if number + CROSSED < FRAMES]
    truth = Counter(f"square/{colour(number)}" for number in passages)

    counting: Settings = {
        "classes": {"square": ["square"]},
        "interval": f"{INTERVAL}s",
        "line": {"middle": {"from": [0.1, 0.5], "to": [0.9, 0.5]}},
        "then": {"model": "colours", "classes": {"red": ["reddish"], "blue": ["bluish"]}, "margin": 0.0},
    }
    (tmp_path / "count.toml").write_text(to_toml({"track": counting}))
    command = [verge(), "eval", "count", "--data", str(tmp_path), "--model", str(squares), "--then", str(colours)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    forward = json.loads(done.stdout)["lines"]["middle"]["forward"]
    assert {name: count for name, count in forward.items() if name != "total" and count} == truth
    assert forward["total"] == truth.total()

    judge: Settings = {"inputs": ["cameras"], "detector": "track", "model": "squares"} | counting
    settings: Settings = {
        "gateway": {"id": "trial", "state_dir": str(tmp_path / "state")},
        "local": {"url": "mqtt://localhost:1883"},
        "model": {"squares": {"file": str(squares)}, "colours": {"file": str(colours)}},
        "source": {"cameras": frame_source("road/+/frame")},
        "judge": {"crossing": judge},
    }
    configuration = tmp_path / "gateway.toml"
    configuration.write_text(to_toml(settings))
    command = [verge(), "judge", "-c", str(configuration), "crossing", str(folder), "--device", "north"]
    command += ["--interval", f"{1000 // A_SECOND}ms", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line)["traffic"] for line in done.stdout.splitlines() if '"traffic"' in line]
    judged: Counter[str] = Counter()
    for one in found:
        judged.update({each["label"]: each["count"] for each in one["lines"][0]["forward"]["classes"]})
    assert len(found) >= 2, done.stdout
    reported = [number for number in passages if number + CROSSED < len(found) * INTERVAL * A_SECOND]
    assert judged == Counter(f"square/{colour(number)}" for number in reported), done.stdout


def test_verdicts_of_a_gateway_name_the_kind(scene: Scene, models: Models) -> None:
    receiver = scene.receiver()
    made = {"squares": finds_squares(models), "colours": names_colours(models)}
    cards = {name: {"file": str(card)} for name, card in made.items()}
    source = frame_source("road/+/frame", frames="every")
    judge = looking(["cameras"], "detect", "squares", then={"model": "colours", "labels": ["square"], "margin": 0.0})
    gateway = scene.start(scene.gateway({"cameras": source}, {"seen": judge}, model=cards))
    device = scene.device()
    # The middle of a passage: the first is red, the second blue.
    sent = [8, 9, 10, 28, 29, 30]
    for number in sent:
        device.publish(f"road/{colour(number)}/frame", frame(number))

    def labels() -> list[tuple[str, str]]:
        found = [one for one in receiver.ledger().in_order() if one.fields["kind"] == "detections"]
        return [(one.fields["device"], each["label"]) for one in found for each in one.fields["detections"]["objects"]]

    wait_for(lambda: len(labels()) >= len(sent), "a verdict of each frame", 30)
    assert sorted(labels()) == [("blue", "square/bluish")] * 3 + [("red", "square/reddish")] * 3
    assert gateway.stop() == 0
