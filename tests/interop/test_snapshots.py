"""Pictures on request: off by default, masked, within the bytes that are asked for."""

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from cameras import publish_file
from programs import REPOSITORY
from scene import GATEWAY_ID, Scene, frame_source, looking
from waiting import wait_for

MASK_GREY = 114
MODEL = {"junction": {"file": str(REPOSITORY / "examples/junction-model/junction.toml")}}
# The left half.
MASK = {"window": {"polygon": [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]}}


def noise(path: Path) -> Path:
    """A picture of many bytes, bright on the left."""
    picture = Image.effect_noise((640, 480), 80).convert("RGB")
    picture.paste((250, 250, 250), (0, 0, 320, 480))
    picture.save(path, "JPEG", quality=95)
    return path


@contextmanager
def filming(scene: Scene, path: Path) -> Iterator[None]:
    """A camera that sends the same frame four times a second."""
    stop = threading.Event()

    def film() -> None:
        while not stop.wait(0.25):
            publish_file(scene.site.listeners[0], "road/north/frame", path)

    camera = threading.Thread(target=film)
    camera.start()
    try:
        yield
    finally:
        stop.set()
        camera.join()


def judged(scene: Scene, snapshots: bool) -> None:
    """A gateway that looks at one masked source."""
    source = frame_source("road/+/frame", mask=MASK)
    judge = looking(["cameras"], "detect", "junction")
    gateway = scene.gateway({"cameras": source}, {"cars": judge}, MODEL)
    if snapshots:
        gateway.settings["gateway"]["snapshots"] = True
    scene.start(gateway)


def test_a_picture_is_masked_annotated_and_as_small_as_asked_for(scene: Scene, tmp_path: Path) -> None:
    judged(scene, snapshots=True)
    receiver = scene.receiver()
    asked = {"command": "snapshot", "source": "cameras", "device": "north"}
    with filming(scene, noise(tmp_path / "noise.jpg")):
        wait_for(lambda: receiver.of("verdict"), "a verdict about a frame", 20)
        answer = receiver.command(GATEWAY_ID, **asked, judge="cars", max_bytes=12_000)
        again = receiver.command(GATEWAY_ID, **asked)
    assert answer["ok"], answer
    jpeg = base64.b64decode(answer["jpeg"])
    assert len(jpeg) == answer["bytes"] <= 12_000
    picture = Image.open(io.BytesIO(jpeg)).convert("L")
    assert picture.size == (answer["width"], answer["height"])
    assert picture.width < 640, "smaller: noise has many bytes"
    # Within the mask, away from its outline and from its name in the middle.
    hidden = picture.crop((8, 8, picture.width // 2 - 12, picture.height // 4))
    assert all(abs(value - MASK_GREY) < 24 for value in hidden.getdata()), hidden.getextrema()
    assert not again["ok"] and "one snapshot at a time" in again["error"], again
    unknown = receiver.command(GATEWAY_ID, **(asked | {"source": "camera"}))
    assert "there is no source camera; there are" in unknown["error"], unknown


def test_lines_with_their_counts_are_drawn(scene: Scene, tmp_path: Path) -> None:
    """What the judge knows of its scene is of the frame before; it lies over the picture."""
    line = {"from": [0.1, 0.5], "to": [0.9, 0.5]}
    judge = {"inputs": ["cameras"], "detector": "track", "model": "junction", "line": {"stop": line}}
    gateway = scene.gateway({"cameras": frame_source("road/+/frame")}, {"crossing": judge}, MODEL)
    gateway.settings["gateway"]["snapshots"] = True
    scene.start(gateway)
    grey = tmp_path / "grey.jpg"
    Image.new("RGB", (640, 480), (96, 96, 96)).save(grey, "JPEG")
    asked = {"command": "snapshot", "source": "cameras", "device": "north", "max_bytes": 200_000}
    with filming(scene, grey):
        # Asked again while it waits for a frame, it would answer that one is on its way.
        answer = scene.receiver().command(GATEWAY_ID, seconds=30.0, every=8.0, **asked)
    assert answer["ok"], answer
    picture = Image.open(io.BytesIO(base64.b64decode(answer["jpeg"]))).convert("RGB")
    row = [picture.getpixel((x, picture.height // 2)) for x in range(picture.width)]
    yellow = [x for x, (red, green, blue) in enumerate(row) if red > 190 and green > 180 and blue < 130]
    assert len(yellow) > 300 and 50 < yellow[0] < 80 and 560 < yellow[-1] < 590, (len(yellow), yellow[:1], yellow[-1:])


def test_without_the_setting_there_is_none(scene: Scene) -> None:
    judged(scene, snapshots=False)
    answer = scene.receiver().command(GATEWAY_ID, command="snapshot", source="cameras", device="north")
    assert not answer["ok"] and "snapshots = true below [gateway]" in answer["error"], answer
