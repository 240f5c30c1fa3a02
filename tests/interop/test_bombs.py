"""Pictures that are made to take memory or time: each is judged or refused, within 64 MiB more than a small one takes."""

import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gateway import Settings, to_toml
from models import Models
from programs import verge
from test_anomalies import card

MIB = 1 << 20
SEGMENT = 65_537
# Orientation 1 of a big-endian directory with one entry.
EXIF_HEAD = b"Exif\0\0MM\0*\0\0\0\x08"
ORIENTATION = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01\x00\x00"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models.make(tmp_path_factory.mktemp("bombs"))


def coded(width: int, height: int, *, noise: bool = False, progressive: bool = False) -> bytes:
    pixels = np.full((height, width, 3), 99, np.uint8)
    if noise:
        pixels = np.random.default_rng(1).integers(0, 255, pixels.shape, dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", progressive=progressive, quality=60, subsampling=2)
    return out.getvalue()


def of_scans(jpeg: bytes, count: int) -> bytes:
    """Its last scan again and again."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * count + jpeg[-2:]


def with_exif(jpeg: bytes, entries: int) -> bytes:
    """Ten megabytes of EXIF in front of the picture."""
    one = b"\xff\xe1\xff\xff" + EXIF_HEAD + entries.to_bytes(2, "big") + ORIENTATION * entries
    return jpeg[:2] + one.ljust(SEGMENT, b"\0") * 160 + jpeg[2:]


def of_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Its header claims this size."""
    frame = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:frame] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[frame + 4 :]


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "65,500 x 65,500 pixels": (lambda: of_size(coded(64, 64), 65_500, 65_500), "too_many_pixels"),
    "a thousand scans": (lambda: of_scans(coded(3300, 2200, progressive=True), 1000), "bad_jpeg"),
    "a thousand scans of a small one": (lambda: of_scans(coded(64, 64, progressive=True), 1000), "bad_jpeg"),
    "scans of noise": (lambda: of_scans(coded(2900, 1900, noise=True, progressive=True), 20), "bad_jpeg"),
    "EXIF without entries": (lambda: with_exif(coded(64, 64), 0), ""),
    "EXIF full of entries": (lambda: with_exif(coded(64, 64), 5000), ""),
    "noise, progressive": (lambda: coded(2900, 1900, noise=True, progressive=True), ""),
    "one pixel": (lambda: coded(1, 1), ""),
    "a row": (lambda: coded(8191, 1), ""),
    "a column": (lambda: coded(1, 8191), ""),
    "odd sides": (lambda: coded(97, 13), ""),
}


def write_site(folder: Path, model: Path) -> None:
    settings: Settings = {
        "gateway": {"id": "g", "state_dir": str(folder / "state")},
        "local": {"url": "mqtt://localhost:1", "max_frame": "32 MiB"},
        "model": {"m": {"file": str(model)}},
        "source": {"cameras": {"topic": "site/+/frame", "codec": "jpeg", "device": "topic:1", "max_payload": "32 MiB"}},
        "judge": {"unusual": {"inputs": ["cameras"], "detector": "anomaly", "model": "m"}},
    }
    (folder / "gateway.toml").write_text(to_toml(settings))


def judged(folder: Path, picture: bytes) -> tuple[str, int]:
    """What `verge judge` says of a picture, and the most memory that it took, in bytes."""
    (folder / "picture.jpg").write_bytes(picture)
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [verge(), "judge", "-c", "gateway.toml", "unusual", "picture.jpg"], cwd=folder, stdout=said, stderr=said
        )
        _, _, usage = os.wait4(process.pid, 0)
    return (folder / "said").read_text(), usage.ru_maxrss * 1024


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_judged_or_refused_within_its_memory(made: Models, tmp_path: Path, name: str) -> None:
    write_site(tmp_path, card(made, "small", {"decoder": "anomalib"}))
    said, least = judged(tmp_path, coded(64, 64))
    assert "1 messages, 1 frames" in said, said
    make, reason = BOMBS[name]
    picture = make()
    said, most = judged(tmp_path, picture)
    assert ("1 messages, 0 frames" in said and f"1 refused: {reason}" in said) if reason else "1 messages, 1 frames" in said, said
    # The file is in memory too, as it was read and as a message, and pages of the program that only such a picture needs.
    assert most - least <= (64 + 8) * MIB + 2 * len(picture), f"{(most - least) / MIB:.0f} MiB for {len(picture) / MIB:.1f} MiB"


def test_a_camera_may_change_size_and_orientation_in_mid_stream(made: Models, tmp_path: Path) -> None:
    """Each picture is judged as it is seen."""
    write_site(tmp_path, card(made, "turning", {"decoder": "anomalib"}))
    frames = tmp_path / "frames"
    frames.mkdir()
    noise = np.random.default_rng(2)
    sizes = ((96, 72), (72, 96), (33, 17), (640, 480))
    for number in range(320):
        width, height = sizes[number % len(sizes)]
        picture = Image.fromarray(noise.normal(128, 6, (height, width)).clip(0, 255).astype(np.uint8)).convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        if number == 302:
            # Stored lying (orientation 6: to be turned clockwise): what is at its lower left is seen at the upper left.
            picture = Image.fromarray(np.full((72, 96, 3), 128, np.uint8))
            picture.paste((255, 255, 255), (0, 54, 24, 72))
            exif[0x0112] = 6
        picture.save(frames / f"{number:04}.jpg", quality=95, exif=exif)
    command = [verge(), "--json", "judge", "-c", "gateway.toml", "unusual", "frames", "--device", "line-1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stderr.splitlines()[-1])
    assert (ended["messages"], ended["frames"], ended["rejections"]) == (320, 320, {})
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    (found,) = [one for one in verdicts if one["file"].endswith("0302.jpg")]
    regions = found["anomaly"]["regions"]
    (first, *_) = regions["boxes"]
    assert (regions["width"], regions["height"], first["x"], first["y"]) == (72, 96, 0, 0), regions
    # As it is seen it is 18 wide and 24 high; a cell of the map is 4.5 x 6.
    assert (first["width"], first["height"]) == (18, 24), regions
