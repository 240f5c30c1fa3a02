"""The forms in which devices send pictures, and the kinds of JPEG that they make."""

import io
import time
from collections import defaultdict
from dataclasses import dataclass

import pytest
from PIL import Image

import pictures
from cameras import data_uri, esp32, lz4_packed, mime_base64, publish_file
from certificates import Certificates
from gateway import Settings
from models import Models
from scene import Scene, frame_source, looking
from scoring import Box, overlap
from wire import Fields

MODEL = "yolox_nano"
# A room with a television, chairs and a person, which every codec should leave recognisable.
PICTURE = "000000000139"
# The model is sure of objects above this score.
SURE = 600
# EXIF 2.3, tag 0x0112: the first row of the stored picture is the right side of what is seen.
ORIENTATION, TURNED_RIGHT = 0x0112, 6


def sources() -> Settings:
    """One source for each form; the camera is the second level of the topic, or says so itself."""
    snapshot = frame_source("frigate/+/person/snapshot")
    return {
        "jpeg": frame_source("jpeg/+/frame"),
        "packed": frame_source("packed/+/frame", compression="lz4"),
        "text": frame_source("text/+/frame", "jpeg_b64"),
        "packed-text": frame_source("packed-text/+/frame", "jpeg_b64", compression="lz4"),
        "esp32": frame_source(
            "esp32/cam",
            "json_image",
            device="pointer:/device",
            image="/image",
            time={"pointer": "/timestamp", "format": "unix_s"},
        ),
        "frigate": snapshot,
        "kept": snapshot | {"topic": "kept/+/person/snapshot", "retained": True},
    }


@dataclass
class Reported:
    """The verdicts, by camera, and the last status document by source."""

    verdicts: dict[str, list[Fields]]
    status: dict[str, dict]

    def of(self, camera: str) -> Fields:
        """What was reported of the one frame of a camera."""
        (fields,) = self.verdicts[camera]
        return fields

    def boxes(self, camera: str) -> list[Box]:
        """The objects in its frame; labels stand as numbers, for comparison."""
        objects = self.of(camera)["detections"]["objects"]
        sides = ("x", "y", "width", "height")
        return [Box(hash(one["label"]), one["score"], *(one[side] for side in sides)) for one in objects]

    def sure(self, camera: str) -> list[Box]:
        """Those that the model is sure of."""
        return [box for box in self.boxes(camera) if box.score >= SURE]


def encoded(picture: Image.Image, **options: object) -> bytes:
    """As a JPEG by Pillow."""
    out = io.BytesIO()
    picture.save(out, "JPEG", **{"quality": 95, **options})
    return out.getvalue()


def turned(picture: Image.Image) -> bytes:
    """Stored on its side, with EXIF that says so: as telephones hand their pictures on."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    return encoded(picture.transpose(Image.Transpose.ROTATE_90), exif=exif)


@pytest.fixture(scope="module")
def reported(models: Models, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Every form published once, from a camera named after it."""
    scene = Scene(tmp_path_factory.mktemp("codecs"), certificates)
    try:
        return publish_and_receive(scene.open(), models)
    finally:
        print(scene.logs())
        scene.close()


def publish_and_receive(scene: Scene, models: Models) -> Reported:
    """From the file to the verdicts."""
    (path,) = [picture.path for picture in pictures.coco() if picture.name == PICTURE]
    jpeg, picture = path.read_bytes(), Image.open(path).convert("RGB")
    site, device = scene.site.listeners[0], scene.device()
    for kept in ("frigate/old/person/snapshot", "kept/old/person/snapshot"):
        publish_file(site, kept, path, "-r")

    receiver = scene.receiver()
    judges = {"objects": looking(list(sources()), "detect", MODEL)}
    cards = {MODEL: {"file": str(models.real(MODEL))}}
    gateway = scene.start(scene.gateway(sources(), judges, model=cards))
    publish_file(site, "jpeg/file/frame", path)
    publish_file(site, "frigate/new/person/snapshot", path)
    kinds = {
        "baseline": encoded(picture),
        "progressive": encoded(picture, progressive=True),
        "restarts": encoded(picture, restart_marker_rows=1),
        "grey": encoded(picture.convert("L")),
        "cmyk": encoded(picture.convert("CMYK")),
        "turned": turned(picture),
        "trailer": jpeg + bytes(64),
    }
    for name, content in kinds.items():
        device.publish(f"jpeg/{name}/frame", content)
    device.publish("packed/lz4/frame", lz4_packed(jpeg))
    device.publish("text/base64/frame", mime_base64(jpeg))
    device.publish("text/uri/frame", data_uri(jpeg))
    device.publish("packed-text/lz4-uri/frame", lz4_packed(data_uri(jpeg)))
    device.publish("esp32/cam", esp32(jpeg, "porch", *picture.size))
    device.flush()

    ledger = receiver.wait_for_verdicts(len(kinds) + 8)
    ledger.assert_sound()
    assert gateway.stop() == 0
    verdicts = defaultdict(list)
    for verdict in ledger.in_order():
        verdicts[verdict.fields["device"]].append(verdict.fields)
    status = receiver.wait_for_status("stopped")
    return Reported(verdicts, {source["name"]: source for source in status["sources"]})


def test_the_picture_is_one_that_tells(reported: Reported) -> None:
    body = reported.of("file")["detections"]
    assert (body["width"], body["height"]) == (640, 426)
    assert len(reported.sure("file")) >= 3


@pytest.mark.parametrize("camera", ["lz4", "base64", "uri", "lz4-uri", "porch", "new", "trailer"])
def test_every_wrapping_holds_the_same_picture(reported: Reported, camera: str) -> None:
    assert reported.of(camera)["detections"] == reported.of("file")["detections"]


@pytest.mark.parametrize("camera", ["progressive", "restarts"])
def test_the_order_of_the_data_changes_no_pixel(reported: Reported, camera: str) -> None:
    assert reported.of(camera)["detections"] == reported.of("baseline")["detections"]


@pytest.mark.parametrize("camera", ["baseline", "grey", "cmyk", "turned"])
def test_every_kind_of_jpeg_shows_the_same_objects(reported: Reported, camera: str) -> None:
    body = reported.of(camera)["detections"]
    assert (body["width"], body["height"]) == (640, 426), "as it is seen, not as it is stored"
    found = reported.boxes(camera)
    missed = [
        box for box in reported.sure("file") if not any(box.label == one.label and overlap(box, one) > 0.7 for one in found)
    ]
    assert len(missed) <= (1 if camera in ("grey", "cmyk") else 0), f"{missed}, among {found}"


def test_the_time_beside_the_picture_is_the_capture(reported: Reported) -> None:
    fields = reported.of("porch")
    assert fields["clock"] == "trusted"
    assert abs(fields["captured"] - time.time() * 1000) < 120_000
    assert reported.of("file")["captured"] is None


def test_snapshots_that_the_broker_kept_are_old_news(reported: Reported) -> None:
    assert reported.status["frigate"]["rejections"] == {"retained": 1}
    assert (reported.status["frigate"]["received"], reported.status["frigate"]["judged"]) == (2, 1)
    assert (reported.status["kept"]["received"], reported.status["kept"]["judged"]) == (1, 1)
    # The kept source said that it wants them.
    assert reported.of("old")["source"] == "kept"


def test_nothing_else_was_refused(reported: Reported) -> None:
    for name, source in reported.status.items():
        assert source["received"] == source["judged"] + source["refused"]
        assert source["refused"] == (1 if name == "frigate" else 0)
