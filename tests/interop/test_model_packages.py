"""Packages that play tricks with the format of zip, clocks that are wrong, keys that are none, and files made elsewhere."""

import io
import json
import os
import shutil
import struct
import subprocess
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from life import NAME, Life
from models import Models, sha256
from programs import is_full, tool, verge
from scene import Scene, frame_source, looking
from waiting import wait_for

BAD_INPUT, BAD_CONFIG = 65, 78
LIBRARIES = [Path(f"/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1") for machine in ("x86_64", "aarch64")]
CARD, ONNX, TEXT = f"{NAME}.toml", f"{NAME}.onnx", f"{NAME}.txt"


@pytest.fixture
def life(tmp_path: Path, models: Models) -> Life:
    """`models` brings ONNX Runtime."""
    assert models.folder
    return Life.make(tmp_path / "life")


def entries(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(to: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, **of_text: object) -> bytes:
    """The same entries, signature included; attributes of the entry with the labels."""
    with zipfile.ZipFile(to, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method if name == TEXT else zipfile.ZIP_DEFLATED
            if name == TEXT:
                for key, value in of_text.items():
                    setattr(info, key, value)
            archive.writestr(info, content)
    return to.read_bytes()


def in_directory(content: bytes, name: str) -> int:
    """Where the record of an entry stands in the central directory."""
    at = content.index(b"PK\x01\x02")
    while content[at + 46 : at + 46 + len(name)] != name.encode():
        at = content.index(b"PK\x01\x02", at + 1)
    return at


def changed(content: bytes, at: int, what: bytes) -> bytes:
    return content[:at] + what + content[at + len(what) :]


def test_tricks_of_zip_are_refused_and_leave_nothing(life: Life) -> None:
    good = entries(life.sign(1))
    bad = life.folder / "bad.vmodel"

    def refused(content: bytes | None = None) -> str:
        if content is not None:
            bad.write_bytes(content)
        said = life.push(bad, BAD_INPUT)
        assert life.incoming() == [] and life.active() is None and life.ls()["candidate"] is None, said
        assert not life.store.is_dir() or not [path for path in life.store.iterdir() if path.is_dir()], said
        assert "panicked" not in said, said
        return said

    def harmless(content: bytes) -> None:
        """Refused, or taken as what was signed and nothing else."""
        bad.write_bytes(content)
        other = replace(life, state_dir=life.folder / "other", configuration=life.folder / "other.toml")
        other.configure()
        done = other.model("push", str(bad))
        assert done.returncode in (0, BAD_INPUT), done.stderr
        stored = [path for path in other.store.iterdir() if path.is_dir()] if done.returncode == 0 else []
        assert len(stored) == (done.returncode == 0), stored
        assert all({name: (one / name).read_bytes() for name in good} == good for one in stored), done.stdout
        shutil.rmtree(other.state_dir, ignore_errors=True)

    # What may never end is not waited for.
    os.mkfifo(bad)
    assert "no file but a folder, a pipe or a device" in refused()
    done = life.verge("--json", "model", "push", str(bad), "-c", str(life.configuration))
    assert done.returncode == BAD_INPUT and "a pipe or a device" in json.loads(done.stdout)["refused"], done.stdout
    bad.unlink()
    # Other ways of packing; a reader that knew them would be one more to attack.
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packed(bad, good, method)
        said = refused()
        assert "compressed in another way" in said or "cannot be read" in said, said
    whole = packed(bad, good)
    # Encrypted, as its flags say in both places.
    local, central = whole.index(TEXT.encode()) - 30, in_directory(whole, TEXT)
    refused(changed(changed(whole, local + 6, b"\x01\x00"), central + 8, b"\x01\x00"))
    # A folder, a device, a pipe.
    packed(bad, {**good, f"{NAME}/": b""})
    assert "entries" in refused()
    for mode in (0o040755, 0o020666, 0o010666):
        packed(bad, good, external_attr=mode << 16, create_system=3)
        assert "a link, a folder or a device" in refused()
    # Something in front, as self-extracting ones have it, behind, or as a comment.
    for content in (b"#!/bin/sh\nrm -rf /\n" + whole, whole + b"\0", whole[:-2] + b"\x04\x00evil"):
        harmless(content)
    # The directory leads elsewhere: beyond the file, into another entry, to itself.
    for offset in (0xFFFFFFFE, len(whole) + 10, whole.index(ONNX.encode()) - 30, central):
        refused(changed(whole, central + 42, struct.pack("<I", offset)))
    # Sizes that lie in the directory: more, less, four gigabytes. Bytes are counted as they come, and held against those signed.
    for size in (0, 1):
        refused(changed(whole, central + 20, struct.pack("<I", size)))
    harmless(changed(whole, central + 20, struct.pack("<I", 0xFFFFFFFE)))
    for size in (0, 1, 0xFFFFFFFE):
        harmless(changed(whole, central + 24, struct.pack("<I", size)))
    # More entries than there are, and none.
    end = len(whole) - 22
    for count in (0, 1, 0xFFFF):
        refused(changed(whole, end + 8, struct.pack("<HH", count, count)))
    refused(changed(whole, end + 16, struct.pack("<I", 0)))
    # Names by another case are others.
    packed(bad, {name.upper() if name == TEXT else name: content for name, content in good.items()})
    refused()
    # The good one is taken after all of them.
    bad.write_bytes(whole)
    assert "staged" in life.push(bad)


def test_a_bomb_is_no_larger_than_what_was_signed(life: Life) -> None:
    good = entries(life.sign(1))
    bomb = life.folder / "bomb.vmodel"
    # Three quarters of a gigabyte in some megabytes, for a file of some bytes.
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in {**good, TEXT: bytes(3 << 28)}.items():
            archive.writestr(name, content)
    assert bomb.stat().st_size < 8 << 20
    before = time.monotonic()
    command = [verge(), "model", "push", str(bomb), "-c", str(life.configuration)]
    # It may not have the memory for it.
    done = subprocess.run(["prlimit", f"--as={700 << 20}", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == BAD_INPUT and "more than the" in done.stderr, done.stderr
    assert time.monotonic() - before < 20 and life.incoming() == []


def test_expiry_is_judged_by_the_latest_time_that_is_known(life: Life) -> None:
    """The clock stands at 1970 (libfaketime); Verge knows when it was written, and when the store was changed last."""
    library = next((str(path) for path in LIBRARIES if path.exists()), None)
    if library is None:
        pytest.skip("libfaketime is not installed (Debian: apt-get install faketime)")
    fake = {"LD_PRELOAD": library, "FAKETIME": f"{60 - int(time.time()):+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def push(package: Path, **env: str) -> subprocess.CompletedProcess[str]:
        command = [verge(), "model", "push", str(package), "-c", str(life.configuration)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | env)

    done = push(life.sign(1, "--expires", "2026-11-29T00:00:00Z"), **fake)
    assert done.returncode == BAD_INPUT and "it expired at" in done.stderr, done.stderr
    assert push(life.sign(2, "--expires", "2050-01-01T00:00:00Z"), **fake).returncode == 0
    # The store was changed in 2040, as far as anybody knows.
    late = {**fake, "FAKETIME": f"{14 * 365 * 86_400:+d}"}
    command = [verge(), "model", "promote", NAME, "-c", str(life.configuration)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | late)
    assert done.returncode == 0, done.stderr
    third = life.sign(3, "--expires", "2035-01-01T00:00:00Z")
    for env in (fake, {}):
        done = push(third, **env)
        assert done.returncode == BAD_INPUT and "it expired at 2035" in done.stderr, done.stderr
    assert push(life.sign(4, "--expires", "2050-01-01T00:00:00Z")).returncode == 0


def test_commands_that_need_no_key_work_without_one(life: Life) -> None:
    for version in (1, 2):
        life.push(life.sign(version))
        life.promote()
    life.configure(trust=[])
    assert life.active() == "2"
    said = life.push(life.sign(3), BAD_INPUT)
    assert "name the publisher's key in [models] trust" in said, said
    done = life.verge("check", "--offline", "-c", str(life.configuration))
    assert done.returncode == 0 and "none: no package is taken" in done.stdout, done.stdout + done.stderr
    life.rollback()
    assert life.active() == "1"
    # A key that is not there hinders no rollback either.
    life.configure(trust=[str(life.folder / "nobody.pem")])
    assert life.active() == "1" and "nothing to roll back" in life.rollback()
    assert "nobody.pem" in life.push(life.folder / f"{NAME}-3.vmodel", BAD_CONFIG)


def test_a_flipped_bit_in_any_file_of_a_version_is_found(life: Life) -> None:
    for version in (1, 2):
        life.push(life.sign(version))
        life.promote()
    (active,) = [path for path in life.store.iterdir() if path.name.startswith("2-")]
    files = list(active.iterdir())
    assert {path.name for path in files} == {CARD, ONNX, TEXT, "manifest.json", "manifest.sig", "manifest.sha256"}
    for path in files:
        content = path.read_bytes()
        for at in {0, len(content) // 3, len(content) - 1}:
            path.write_bytes(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])
            assert life.ls()["active"]["state"] == "damaged", f"{path.name}, byte {at}"
        done = life.verge("check", "--offline", "-c", str(life.configuration))
        assert done.returncode == 0 and f"{NAME} 1" in done.stdout, f"{path.name}: {done.stdout}{done.stderr}"
        path.write_bytes(content)
    assert life.ls()["active"]["state"] == "ok"
    subprocess.run([tool("sha256sum"), "-c", "manifest.sha256"], cwd=active, check=True)
    # A version that was taken in before there were these sums is as whole as it was.
    (active / "manifest.sha256").unlink()
    assert life.ls()["active"]["state"] == "ok"


MADE = """
[made]
command = "quantize"
source_sha256 = "{0}"
pictures = 100
processor = "{1}"
verge = "0.1.0"
onnxruntime = "1.20.0"
figures."top1 %" = 87.5
"""


def test_a_file_made_elsewhere_is_pointed_at_and_tested_anew(scene: Scene, models: Models) -> None:
    assert models.folder
    life = Life.make(scene.folder / "life", scene.folder / "state")
    card = life.folder / "v0" / CARD
    plain = card.read_text()
    card.write_text(plain + MADE.format("ab" * 32, "arm"))
    sources, judges = {"cameras": frame_source("cameras/+")}, {"seen": looking(["cameras"], "classify", NAME)}
    gateway = scene.gateway(sources, judges, model=life.section())
    gateway.settings["models"] = {"trust": [str(life.trust("publisher"))]}
    receiver = scene.receiver()
    scene.start(gateway)
    life.configuration = gateway.configuration
    listed = lambda: [one for status in receiver.statuses()[-1:] for one in status.get("made_elsewhere", [])]  # noqa: E731
    found = lambda: next((one for one in listed() if one["tested"] or one.get("error")), None)  # noqa: E731
    one = wait_for(found, "it is tested", 90)
    weights = sha256(life.folder / "v0" / ONNX)
    assert (one["model"], one["sha256"], one["saturates"]) == (NAME, weights, False) and "error" not in one, one
    words = "made for a processor of kind arm, and this one is"
    assert words in one["remark"] and gateway.whole_log().count(words) == 1
    done = life.verge("check", "--offline", "-c", str(life.configuration))
    assert done.returncode == 0 and words in done.stdout + done.stderr, done.stdout + done.stderr
    # Judging never waited for the test.
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 150)).save(picture, "JPEG")
    device = scene.device()
    device.publish("cameras/north", picture.getvalue())
    device.flush()
    receiver.wait_for_verdicts(1)
    # A version that was made here says nothing.
    life.push(life.sign(1))
    life.promote()
    if is_full():
        # The next status is half a minute away.
        wait_for(lambda: not listed(), "nothing is to be said of it", 60)
