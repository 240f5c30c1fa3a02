"""Four cars of a real clip, whose crossings were counted by eye (TRUTH.md beside it), and what the gateway counts of them."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway import Settings, to_toml
from models import Models
from programs import data, tool, verge
from scene import frame_source

RATE = 12.5
BEGIN = 1_767_225_600
# Frames at which the lower edge of a car passes the middle of the picture, and whether downwards.
TRUTH = [(87.5, False), (197.5, True), (220.5, False), (326.5, True)]
# Every frame, and every third one.
STEPS = {"12.5/s": 1, "4/s": 3}
# Names as the traffic engineer has them. From above, most of the cars pass for other things.
VEHICLES = ["car", "truck", "bus", "motorbike"]
LINE = "[track.line.middle]\nfrom = [0.0, 0.5]\nto = [1.0, 0.5]\n"


@dataclass(frozen=True)
class Way:
    """What counts, the model that looks, and by how many frames a crossing may be off."""

    keys: str
    model: str | None
    slack: float


# By what moves alone, and by everything that a model sees whatever it calls it.
WAYS = {
    "blobs": Way('blobs = "count"', None, 8),
    "every label": Way('classes = { vehicle = ["*"] }', "yolox_nano", 2),
}


@dataclass(frozen=True)
class Counted:
    """Crossings of the line in the middle, in order: the frame, and whether downwards."""

    forward: int
    backward: int
    crossings: list[tuple[float, bool]]

    @property
    def is_right(self) -> bool:
        """Two down, two up, in the true order."""
        ways = [forward for _, forward in self.crossings]
        return (self.forward, self.backward) == (2, 2) and ways == [forward for _, forward in TRUTH]

    @property
    def off(self) -> float | None:
        """Frames by which the worst crossing is off."""
        if not self.is_right:
            return None
        return max(abs(at - expected) for (at, _), (expected, _) in zip(self.crossings, TRUTH))


def extract(folder: Path) -> Path:
    """The pictures of the clip, in `folder/frames`."""
    frames = folder / "frames"
    frames.mkdir()
    source = data() / "video_clips" / "car-detection.mp4"
    command = [tool("ffmpeg"), "-loglevel", "error", "-i", str(source), "-q:v", "3", "-start_number", "0"]
    subprocess.run([*command, str(frames / "%06d.jpg")], check=True, timeout=120)
    return frames


def run(*command: str) -> str:
    """What a command of the gateway writes."""
    done = subprocess.run([verge(), *command], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"verge {' '.join(command[:2])} ends with {done.returncode}: {done.stderr}")
    return done.stdout


def count(clip: Path, folder: Path, way: Way, step: int) -> Counted:
    """Counts every `step`-th picture of the clip in an empty folder."""
    frames = sorted(clip.iterdir())[::step]
    (folder / "frames").mkdir()
    for frame in frames:
        (folder / "frames" / frame.name).symlink_to(frame)
    rows = [f"{frame.stem},{BEGIN + int(frame.stem) / RATE:.3f}" for frame in frames]
    (folder / "times.csv").write_text("\n".join(["frame,t", *rows, ""]))
    (folder / "count.toml").write_text(f"[track]\n{way.keys}\n{LINE}")
    events = folder / "events.jsonl"
    model = [] if way.model is None else ["--model", str(Models.make(folder).real(way.model))]
    written = run("eval", "count", "--data", str(folder), "--events", str(events), "--json", *model)
    counted = json.loads(written)["lines"]["middle"]
    found = [json.loads(event) for event in events.read_text().splitlines()]
    crossings = [((one["t"] - BEGIN) * RATE, one["direction"] == "forward") for one in found]
    return Counted(counted["forward"]["total"], counted["backward"]["total"], crossings)


def causes_as_judged(clip: Path, folder: Path) -> list[str]:
    """What is raised of the camera's health where only vehicles count, judged as a gateway judges frames."""
    models = Models.make(folder)
    known = [label for label in VEHICLES if label in models.labels("yolox_nano")]
    line = {"middle": {"from": [0.0, 0.5], "to": [1.0, 0.5]}}
    judge: Settings = {"inputs": ["cameras"], "detector": "track", "model": "yolox", "labels": known, "line": line}
    settings: Settings = {
        "gateway": {"id": "trial", "state_dir": str(folder / "state")},
        "local": {"url": "mqtt://localhost:1883"},
        "model": {"yolox": {"file": str(models.real("yolox_nano"))}},
        "source": {"cameras": frame_source("road/+/frame")},
        "judge": {"junction": judge},
    }
    configuration = folder / "gateway.toml"
    configuration.write_text(to_toml(settings))
    command = ["judge", "-c", str(configuration), "junction", str(clip), "--device", "north"]
    verdicts = [json.loads(one) for one in run(*command, "--interval", "80ms", "--json").splitlines()]
    raised = [one["health"] for one in verdicts if one["kind"] == "health" and one["event"]["state"] == "raised"]
    return [one["cause"] for one in raised]


def causes_as_counted(clip: Path, folder: Path) -> list[str]:
    """The same by `verge eval count`."""
    models = Models.make(folder)
    known = [label for label in VEHICLES if label in models.labels("yolox_nano")]
    (folder / "frames").symlink_to(clip)
    (folder / "count.toml").write_text(f"[track]\nlabels = {json.dumps(known)}\n{LINE}")
    command = ["eval", "count", "--data", str(folder), "--fps", str(RATE), "--json"]
    written = run(*command, "--model", str(models.real("yolox_nano")))
    return [one["cause"] for one in json.loads(written)["health"]]


def causes_of_pictures(clip: Path, rate: float) -> list[str]:
    """What is found of the camera's health in the pictures alone, at this rate. Nothing is wrong with the camera: a
    bright car halves the exposure of the background."""
    written = run("eval", "health", "--data", str(clip.parent), "--rate", str(rate), "--json")
    return [one["cause"] for one in json.loads(written)["health"]]
