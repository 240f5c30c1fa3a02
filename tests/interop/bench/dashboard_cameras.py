"""Four cameras of two frames a second, which a model looks at, beside readings, with nobody and with ten viewers of them."""

import http.client
import io
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import bench
import numpy as np
from camera_load import CameraGenerator, CameraLoad
from dashboard_site import VIEWERS, Length, Viewer, Watched, cpu_share, generator, lateness, running, site
from gateway import Settings
from load import Load
from marks import Mark
from peers import HOST
from PIL import Image
from programs import REPOSITORY
from report import percentiles
from scene import frame_source
from waiting import wait_for

CAMERAS, FRAMES_A_SECOND = 4, 2
# Readings beside the cameras, each of them a verdict: enough in a run that the 99th percentile is not the slowest.
READINGS_A_SECOND = 50


def pictures() -> list[bytes]:
    """Something bright on a noisy ground, somewhere else in each, as JPEGs of a usual camera."""
    ground = np.random.default_rng(1).integers(40, 120, (480, 640), dtype=np.uint8)
    found = []
    for number in range(16):
        frame = ground.copy()
        frame[100 + 20 * number : 150 + 20 * number, 280:360] = 250
        encoded = io.BytesIO()
        Image.fromarray(frame).convert("RGB").save(encoded, "JPEG", quality=85)
        found.append(encoded.getvalue())
    return found


def look(settings: Settings) -> None:
    """Cameras beside the readings, and a judge that counts before them."""
    settings["source"]["cameras"] = frame_source("road/+/frame", frames="newest")
    settings["model"] = {"junction": {"file": str(REPOSITORY / "examples/junction-model/junction.toml")}}
    line = {"middle": {"from": [0.0, 0.5], "to": [1.0, 0.5]}}
    settings["judge"]["crossing"] = {"inputs": ["cameras"], "detector": "track", "model": "junction", "line": line}


@dataclass
class CameraViewer:
    """Fetches what is seen by each camera, and the picture where it is another one, as often as frames come."""

    watched: Watched
    fetched: int = 0

    def __post_init__(self) -> None:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        connection = http.client.HTTPConnection(HOST, self.watched.port, timeout=20)
        last: dict[int, int] = {}
        while not self._ends.wait(1 / FRAMES_A_SECOND):
            for camera in range(CAMERAS):
                path = f"/api/v1/cameras/cameras/camera-{camera}"
                seen = json.loads(self.watched.get(f"{path}/views", connection))
                number = seen.get("picture", {}).get("number")
                if number not in (None, last.get(camera)):
                    self.watched.get(f"{path}/frame", connection)
                    self.fetched, last[camera] = self.fetched + 1, number

    def end(self) -> None:
        self._ends.set()
        self._thread.join()


def cameras(folder: Path, length: Length) -> list[Mark]:
    """Four cameras beside readings, with nobody and with ten viewers of all of them."""
    found, taken = {}, pictures()
    for count in (0, VIEWERS):
        with site(folder, f"cameras-{count}") as opened, running(folder, opened, True, True, change=look) as watched:
            rate = CAMERAS * FRAMES_A_SECOND
            load = CameraLoad(taken, CAMERAS, int(rate * (length.loaded_s + 20)), rate, qos=0)
            sending = CameraGenerator(load, opened.local.port, opened.login.username, opened.login.password).start()
            status = lambda: json.loads(watched.get("/api/v1/status"))  # noqa: E731
            listed = lambda: json.loads(watched.get("/api/v1/cameras"))["cameras"]  # noqa: E731
            wait_for(lambda: len(listed()) == CAMERAS, "all cameras are known", 30)
            following = [Viewer(watched, fetches=False) for _ in range(count)]
            looking = [CameraViewer(watched) for _ in range(count)]
            time.sleep(bench.IDLE_S)
            readings = Load(10, int(READINGS_A_SECOND * length.loaded_s), READINGS_A_SECOND)
            publishing = generator(opened, readings).start()
            cpu, _ = cpu_share(watched.gateway.pid, length.loaded_s)
            frames = status()["frames"]
            publishing.join(60)
            for viewer in [*following, *looking]:
                viewer.end()
            sending.stop()
            late = percentiles(lateness(opened, publishing, readings))[1]
            found[count] = (cpu, frames["age_ms"]["p99"], late)
            print(
                f"{count:2} viewers, {CAMERAS} cameras: {cpu:.1f} % of a core, frames' age p99 {found[count][1]:.1f} ms, "
                f"readings p99 {late:.1f} ms; {sum(viewer.fetched for viewer in looking)} pictures of {len(taken[0]):,} bytes",
                flush=True,
            )
    (cpu, frame_ms, reading_ms), (cpu_seen, frame_ms_seen, reading_ms_seen) = found[0], found[VIEWERS]
    return [
        Mark.at_most("ten viewers of four cameras at 2/s, % of a core", cpu_seen - cpu, 5.0),
        Mark.at_most("ten viewers of four cameras at 2/s, frames' p99, times", frame_ms_seen / max(frame_ms, 0.1), 1.05, "{:.2f}"),
        Mark.at_most("ten viewers of four cameras at 2/s, readings' p99, times", reading_ms_seen / reading_ms, 1.05, "{:.2f}"),
    ]
