"""Four cars of a real clip, whose crossings were counted by eye (TRUTH.md beside it)."""

import json
import subprocess
from pathlib import Path

import pytest

from gateway import Settings, to_toml
from models import Models
from programs import data, tool, verge
from scene import frame_source

RATE = 12.5
# Frames at which the lower edge of a car passes the middle of the picture, and whether downwards.
TRUTH = [(87.5, False), (197.5, True), (220.5, False), (326.5, True)]
BLOBS = 'blobs = "count"'
EVERYTHING = 'classes = { vehicle = ["*"] }'


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of the clip."""
    folder = tmp_path_factory.mktemp("clip") / "frames"
    folder.mkdir()
    source = data() / "video_clips" / "car-detection.mp4"
    command = [tool("ffmpeg"), "-loglevel", "error", "-i", str(source), "-q:v", "3", "-start_number", "0"]
    subprocess.run([*command, str(folder / "%06d.jpg")], check=True, timeout=120)
    return folder


@pytest.mark.parametrize("step", [1, 3], ids=["12.5/s", "4/s"])
@pytest.mark.parametrize(("what", "model", "slack"), [(BLOBS, None, 8), (EVERYTHING, "yolox_nano", 2)])
def test_all_four_cars_count(
    clip: Path, tmp_path: Path, what: str, model: str | None, slack: float, step: int
) -> None:
    """By what moves alone, and by everything that a model sees whatever it calls it."""
    frames = sorted(clip.iterdir())[::step]
    (tmp_path / "frames").mkdir()
    for frame in frames:
        (tmp_path / "frames" / frame.name).symlink_to(frame)
    rows = [f"{frame.stem},{1_767_225_600 + int(frame.stem) / RATE:.3f}" for frame in frames]
    (tmp_path / "times.csv").write_text("\n".join(["frame,t", *rows, ""]))
    line = "[track.line.middle]\nfrom = [0.0, 0.5]\nto = [1.0, 0.5]\n"
    (tmp_path / "count.toml").write_text(f"[track]\n{what}\n{line}")
    events = tmp_path / "events.jsonl"
    command = [verge(), "eval", "count", "--data", str(tmp_path), "--events", str(events), "--json"]
    if model is not None:
        command += ["--model", str(Models.make(tmp_path).real(model))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)["lines"]["middle"]
    assert (counted["forward"]["total"], counted["backward"]["total"]) == (2, 2)
    found = [json.loads(event) for event in events.read_text().splitlines()]
    crossings = [((one["t"] - 1_767_225_600) * RATE, one["direction"] == "forward") for one in found]
    assert [forward for _, forward in crossings] == [forward for _, forward in TRUTH]
    off = [abs(at - expected) for (at, _), (expected, _) in zip(crossings, TRUTH)]
    assert max(off) <= slack, crossings


VEHICLES = ["car", "truck", "bus", "motorbike"]


def test_vehicles_that_the_model_does_not_know_are_unexplained_motion(clip: Path, tmp_path: Path) -> None:
    """From above, most of the cars pass for other things. The pictures are judged as a gateway judges frames, and counted."""
    models = Models.make(tmp_path)
    known = [label for label in VEHICLES if label in models.labels("yolox_nano")]
    line = {"middle": {"from": [0.0, 0.5], "to": [1.0, 0.5]}}
    judge: Settings = {"inputs": ["cameras"], "detector": "track", "model": "yolox", "labels": known, "line": line}
    settings: Settings = {
        "gateway": {"id": "trial", "state_dir": str(tmp_path / "state")},
        "local": {"url": "mqtt://localhost:1883"},
        "model": {"yolox": {"file": str(models.real("yolox_nano"))}},
        "source": {"cameras": frame_source("road/+/frame")},
        "judge": {"junction": judge},
    }
    configuration = tmp_path / "gateway.toml"
    configuration.write_text(to_toml(settings))
    (tmp_path / "frames").symlink_to(clip)
    command = [verge(), "judge", "-c", str(configuration), "junction", str(clip), "--device", "north"]
    done = subprocess.run(
        [*command, "--interval", "80ms", "--json"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(one) for one in done.stdout.splitlines()]
    raised = [one["health"] for one in verdicts if one["kind"] == "health" and one["event"]["state"] == "raised"]
    assert [one["cause"] for one in raised] == ["unexplained_motion"], done.stdout
    (tmp_path / "count.toml").write_text(
        f"[track]\nlabels = {json.dumps(known)}\n[track.line.middle]\nfrom = [0.0, 0.5]\nto = [1.0, 0.5]\n"
    )
    command = [verge(), "eval", "count", "--data", str(tmp_path), "--fps", str(RATE), "--json"]
    command += ["--model", str(models.real("yolox_nano"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert [one["cause"] for one in json.loads(done.stdout)["health"]] == ["unexplained_motion"], done.stdout


def test_nothing_is_wrong_with_the_camera_of_the_clip(clip: Path) -> None:
    """A bright car that halves the exposure of the background is no fault."""
    for rate in [RATE, 4.0, 30.0]:
        command = [verge(), "eval", "health", "--data", str(clip.parent), "--rate", str(rate), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["health"] == [], rate
