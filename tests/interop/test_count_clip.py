"""Four cars of a real clip, whose crossings were counted by eye (TRUTH.md beside it)."""

import json
import subprocess
from pathlib import Path

import pytest

from models import Models
from programs import data, tool, verge

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
