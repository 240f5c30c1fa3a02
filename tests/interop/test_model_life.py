"""The life of a model: measured side by side, signed, pushed, promoted, rolled back. openssl and zipfile are the foreign peers."""

import base64
import fcntl
import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from life import LABELS, NAME, Life
from models import Models
from programs import data
from scene import Scene, frame_source, looking

BAD_INPUT, TEMPORARY, BAD_CONFIG, USAGE = 65, 75, 78, 64
# Bytes before the name in front of an entry of a zip.
LOCAL_HEADER = 30


@pytest.fixture
def life(tmp_path: Path, models: Models) -> Life:
    """`models` brings ONNX Runtime."""
    assert models.folder
    return Life.make(tmp_path / "life")


def test_models_are_measured_side_by_side(models: Models) -> None:
    cards = [models.real(name) for name in ("mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.75_192_quant")]
    arguments = ["model", "bench", *map(str, cards), "--data", str(data() / "imagenet_sample"), "--limit", "40"]
    done = Life(models.folder, models.folder, models.folder).verge("--json", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    small, large = found["models"]
    assert (found["pictures"], found["drawn"]) == (40, False)
    for one in found["models"]:
        assert 0 < one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"]
        assert one["cpu_ms"] > 0 and one["load_ms"] > 0 and one["memory"] > 1 << 20
        assert one["saturation"]["pictures"] == 40
        assert one["bytes"] == (data() / "models" / "imagenet" / f"{one['name']}.onnx").stat().st_size
    assert small["agreement"]["share"] == 100 and large["agreement"]["share"] < 90
    assert small["cpu_ms"] < large["cpu_ms"]
    assert found["use"] == str(cards[0]) and "agree" in found["why"]


def test_bench_names_what_it_cannot_measure(models: Models, tmp_path: Path) -> None:
    life = Life(tmp_path, tmp_path, tmp_path)
    done = life.verge("model", "bench", str(tmp_path / "none.toml"))
    assert done.returncode == BAD_INPUT and "none.toml" in done.stderr
    done = life.verge("model", "bench", str(models.real("vww_96_int8")), "--data", str(tmp_path))
    assert done.returncode == BAD_INPUT and "holds no *.jpg" in done.stderr


def test_openssl_agrees_both_ways(life: Life) -> None:
    package = life.sign(1)
    with zipfile.ZipFile(package) as archive:
        manifest, signature = archive.read("manifest.json"), base64.b64decode(archive.read("manifest.sig"))
        assert set(archive.namelist()) == {"manifest.json", "manifest.sig", f"{NAME}.toml", f"{NAME}.onnx", f"{NAME}.txt"}
        packed = {one["name"]: one for one in json.loads(manifest)["files"]}
        for name, one in packed.items():
            assert one["bytes"] == len(archive.read(name))
    (life.folder / "m").write_bytes(manifest)
    (life.folder / "s").write_bytes(signature)
    arguments = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(life.trust("publisher"))]
    said = life.openssl(*arguments, "-in", str(life.folder / "m"), "-sigfile", str(life.folder / "s"))
    assert "Verified Successfully" in said
    # A publisher without Verge: the manifest by hand, the signature by openssl, the zip by zipfile.
    foreign = life.folder / "foreign.vmodel"
    repack(life, package, foreign, lambda manifest: manifest | {"counter": 5, "version": "five"})
    done = life.verge("--json", "model", "verify", str(foreign), "--trust", str(life.trust("publisher")))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == "five"
    assert "staged" in life.push(foreign)
    # Another's signature.
    done = life.verge("model", "verify", str(package), "--trust", str(life.trust("stranger")))
    assert done.returncode == BAD_INPUT and "none of the trusted keys" in done.stderr


def repack(life: Life, package: Path, to: Path, change=lambda manifest: manifest, files=lambda files: files, who="publisher") -> None:
    """A package with another manifest and other entries, signed by openssl."""
    with zipfile.ZipFile(package) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        entries = [(one["name"], archive.read(one["name"])) for one in manifest["files"]]
    text = life.folder / "manifest"
    text.write_text(json.dumps(change(manifest)))
    signature = life.folder / "signature"
    life.openssl("pkeyutl", "-sign", "-rawin", "-inkey", str(life.key(who)), "-in", str(text), "-out", str(signature))
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", text.read_bytes())
        # In lines, as `base64` and `openssl base64` write it.
        archive.writestr("manifest.sig", base64.encodebytes(signature.read_bytes()))
        for name, content in files(entries):
            archive.writestr(name, content)


def test_versions_come_and_go(life: Life) -> None:
    assert life.ls() == {"name": NAME, "stage": None, "active": None, "previous": None, "candidate": None}
    assert "nothing to promote" in life.promote()
    assert "nothing to roll back" in life.rollback()
    first, second = life.sign(1), life.sign(2)
    life.push(first)
    assert life.ls()["candidate"]["version"] == "1" and life.ls()["stage"] == "staged" and life.active() is None
    assert "here already" in life.push(first)
    assert "no gateway runs" in life.promote()
    assert life.active() == "1"
    assert "nothing to promote" in life.promote()
    life.push(second)
    life.promote()
    line = life.ls()
    assert (line["active"]["version"], line["previous"]["version"], line["candidate"]) == ("2", "1", None)
    assert line["active"]["sha256"] == sha256_of(life, 2)
    assert "1-" in life.rollback() and life.active() == "1"
    assert "nothing to roll back" in life.rollback() and life.active() == "1"
    # What was returned from is not tried again, and what is older than it not at all.
    assert "rolled back" in life.push(second, BAD_INPUT)
    life.push(life.sign(3))
    life.promote()
    assert "counter is 2" in life.push(life.sign(4, counter=2), BAD_INPUT)
    assert "has the counter 3 already" in life.push(life.sign(4, counter=3), BAD_INPUT)
    assert life.incoming() == []
    done = life.verge("check", "--offline", "-c", str(life.configuration))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME} 3" in done.stdout
    done = life.model("promote", NAME, "--stage", "shadow")
    assert done.returncode == 0 and "nothing to promote" in done.stdout
    done = life.model("promote", "nobody")
    assert done.returncode == BAD_CONFIG and f"managed are {NAME}" in done.stderr


def sha256_of(life: Life, version: int) -> str:
    with zipfile.ZipFile(life.folder / f"{NAME}-{version}.vmodel") as archive:
        files = json.loads(archive.read("manifest.json"))["files"]
    return next(one["sha256"] for one in files if one["name"].endswith(".onnx"))


def test_few_versions_are_kept(life: Life) -> None:
    life.configure(keep=1)
    for version in range(1, 7):
        life.push(life.sign(version))
        life.promote()
    stored = sorted(path.name.split("-")[0] for path in life.store.iterdir() if path.is_dir())
    assert stored == ["3", "4", "5", "6"] or stored == ["4", "5", "6"], stored
    assert life.active() == "6"


def test_packages_that_lie_are_refused_and_leave_nothing(life: Life) -> None:
    package = life.sign(1)
    bad = life.folder / "bad.vmodel"

    def refused(part: str, code: int = BAD_INPUT) -> None:
        said = life.push(bad, code)
        assert part in said, said
        assert life.incoming() == [] and life.active() is None and life.ls()["candidate"] is None
        assert not life.store.is_dir() or not [path for path in life.store.iterdir() if path.is_dir()]

    def renamed(to: str):
        rename = lambda name: to if name == f"{NAME}.txt" else name  # noqa: E731
        change = lambda m: m | {"files": [one | {"name": rename(one["name"])} for one in m["files"]]}  # noqa: E731
        return change, lambda files: [(rename(name), content) for name, content in files]

    for name in ("../evil.txt", "/tmp/evil.txt", "a/b.txt", "..", ".hidden", "a\\b"):
        repack(life, package, bad, *renamed(name))
        refused("is no name of a file")
    repack(life, package, bad, *renamed("manifest.json"))
    refused("twice")
    assert not (life.store / "evil.txt").exists() and not (life.state_dir / "models" / "evil.txt").exists()
    repack(life, package, bad, lambda m: m | {"files": [*m["files"], m["files"][0]]})
    refused("twice")
    repack(life, package, bad, files=lambda files: [*files, ("more.txt", b"more")])
    refused("entries")
    repack(life, package, bad, files=lambda files: files[1:] + [(files[1][0], b"other")])
    refused("twice")
    repack(life, package, bad, files=lambda files: [(name, content + b"x") for name, content in files])
    refused("more than the")
    repack(life, package, bad, files=lambda files: [(name, content[:-1]) for name, content in files])
    refused("fewer than the")
    repack(life, package, bad, files=lambda files: [(name, bytes(len(content))) for name, content in files])
    refused("is signed")
    repack(life, package, bad, files=lambda files: files[:-1])
    refused("entries")
    repack(life, package, bad, lambda m: m | {"format": 2})
    refused("format is 2")
    # What changed, from weights that are not here, and something else in its place.
    as_delta = lambda files: [(f"{name}.delta" if name == f"{NAME}.onnx" else name, content) for name, content in files]  # noqa: E731
    repack(life, package, bad, lambda m: m | {"base": "0" * 64}, as_delta)
    refused("delta")
    repack(life, package, bad, lambda m: m | {"min_verge": "99.0.0"})
    refused("needs Verge 99.0.0")
    repack(life, package, bad, lambda m: m | {"expires": "2026-11-01T00:00:00Z"})
    refused("expired at")
    repack(life, package, bad, lambda m: m | {"expires": "soon"})
    refused("no time")
    repack(life, package, bad, lambda m: m | {"files": [one | {"bytes": 1 << 40} for one in m["files"]]})
    refused("engine.max_model")
    repack(life, package, bad, lambda m: m | {"name": "other"})
    refused("which it is for", BAD_CONFIG)
    repack(life, package, bad, who="stranger")
    refused("none of the trusted keys")
    link = zipfile.ZipInfo(f"{NAME}.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    repack(life, package, bad, files=lambda files: [(link if name == f"{NAME}.txt" else name, content) for name, content in files])
    refused("link")
    bad.write_bytes(package.read_bytes()[:-30])
    refused("no package")
    bad.write_bytes(package.read_bytes() + b"more")
    refused("no package")
    bad.write_bytes(b"")
    refused("no package")
    # A card that would read a file of the machine.
    repack(life, package, bad, *elsewhere(package))
    refused("not among the files")
    # Weights that are none: the library refuses them in the child.
    repack(life, package, bad, nothing_of_weights, lambda files: [(n, b"\x08\x08" if n.endswith(".onnx") else c) for n, c in files])
    refused("holds no graph")


def elsewhere(package: Path):
    """A card that names labels outside the package, correctly signed."""
    with zipfile.ZipFile(package) as archive:
        card = archive.read(f"{NAME}.toml").replace(f'"{NAME}.txt"'.encode(), b'"/etc/passwd"')
    assert b"/etc/passwd" in card
    hashed = {"bytes": len(card), "sha256": hashlib.sha256(card).hexdigest()}
    change = lambda m: m | {"files": [one | hashed if one["name"] == f"{NAME}.toml" else one for one in m["files"]]}  # noqa: E731
    return change, lambda files: [(name, card if name == f"{NAME}.toml" else content) for name, content in files]


def nothing_of_weights(manifest: dict) -> dict:
    digest = hashlib.sha256(b"\x08\x08").hexdigest()
    files = [one | {"bytes": 2, "sha256": digest} if one["name"].endswith(".onnx") else one for one in manifest["files"]]
    return manifest | {"files": files}


def members(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        # The name that the directory holds is the one that counts; Python also compares it with the one before the entry.
        for entry in archive.infolist():
            at = entry.header_offset + LOCAL_HEADER
            entry.orig_filename = package.read_bytes()[at : at + len(entry.filename)].decode("cp437")
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def test_every_flipped_bit_is_found(life: Life) -> None:
    package = life.sign(1)
    bytes_ = package.read_bytes()
    bad = life.folder / "bad.vmodel"
    refused = 0
    places = range(0, len(bytes_), max(1, len(bytes_) // 60))
    for at in places:
        bad.write_bytes(bytes_[:at] + bytes([bytes_[at] ^ 0x10]) + bytes_[at + 1 :])
        done = life.verge("model", "verify", str(bad), "--trust", str(life.trust("publisher")))
        # Times, attributes and second names of a zip's entries are not signed, and not used: all that is signed is as it was.
        if done.returncode == 0:
            assert members(bad) == members(package), f"byte {at}"
            continue
        assert done.returncode == BAD_INPUT, f"byte {at}: {done.stderr}"
        refused += 1
    assert refused > len(places) / 2
    life.push(package)


def test_damage_falls_back_and_is_reported(life: Life) -> None:
    for version in (1, 2):
        life.push(life.sign(version))
        life.promote()
    (active,) = [path for path in life.store.iterdir() if path.name.startswith("2-")]
    weights = active / f"{NAME}.onnx"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert life.ls()["active"]["state"] == "damaged"
    done = life.verge("check", "--offline", "-c", str(life.configuration))
    assert done.returncode == 0 and f"{NAME} 1" in done.stdout and "is damaged" in done.stdout + done.stderr
    # A link is not followed, whatever it leads to.
    weights.unlink()
    weights.symlink_to(life.folder / "v2" / f"{NAME}.onnx")
    assert life.ls()["active"]["state"] == "damaged"
    # Pushed again it is whole again.
    life.push(life.folder / f"{NAME}-2.vmodel")
    assert life.active() == "2"
    # Slots that are cut are restored from those of the last change.
    slots = life.store / "slots.json"
    text = slots.read_bytes()
    for end in (0, 1, len(text) // 2, len(text) - 2):
        slots.write_bytes(text[:end])
        assert life.active() == "2", end
        assert life.slots()["floor"] == 2
    # Where they were deleted, too.
    slots.unlink()
    done = life.model("rollback", NAME, "--from", "nobody")
    assert done.returncode == 0 and "slots.json was damaged" in done.stderr and slots.is_file(), done.stderr
    assert life.active() == "2" and life.slots()["floor"] == 2
    # Nothing is whole.
    for path in life.store.iterdir():
        if path.is_dir():
            (path / f"{NAME}.txt").write_text("other\n")
    (life.folder / "v0" / f"{NAME}.onnx").write_bytes(b"none")
    done = life.verge("check", "--offline", "-c", str(life.configuration))
    assert done.returncode == BAD_CONFIG, done.stdout


def test_a_judge_that_names_a_missing_label_keeps_a_version_out(life: Life) -> None:
    life.configure(labels=["bright"])
    package = life.sign(1)
    life.push(package)
    life.promote()
    life.card(2, labels=["dark", "shiny"])
    card = life.folder / "v2" / f"{NAME}.toml"
    done = life.verge("model", "sign", str(card), "--key", str(life.key("publisher")), "--counter", "2", "-o", str(life.folder / "2.vmodel"))
    assert done.returncode == 0
    listed = "its labels are not those of the version in use: missing: bright; new: shiny"
    assert listed in life.push(life.folder / "2.vmodel")
    said = life.promote(BAD_CONFIG)
    assert listed in said and "bright" in said.replace(listed, ""), said
    assert life.active() == "1" and LABELS[1] == "bright"


def test_one_change_at_a_time(life: Life) -> None:
    life.push(life.sign(1))
    lock = life.state_dir / "models" / "store.lock"
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(f"{os.getpid()}\n")
        held.flush()
        assert f"pid {os.getpid()}" in life.promote(TEMPORARY)
    life.promote()
    assert life.active() == "1"


def test_a_running_gateway_takes_versions_up(scene: Scene, models: Models) -> None:
    assert models.folder
    life = Life.make(scene.folder / "life", scene.folder / "state")
    sources, judges = {"cameras": frame_source("cameras/+")}, {"seen": looking(["cameras"], "classify", NAME)}
    gateway = scene.gateway(sources, judges, model=life.section())
    gateway.settings["models"] = {"trust": [str(life.trust("publisher"))]}
    receiver = scene.receiver()
    scene.start(gateway)
    life.configuration = gateway.configuration
    device, seen = scene.device(), []
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 150)).save(picture, "JPEG")

    def version() -> str:
        device.publish("cameras/north", picture.getvalue())
        device.flush()
        seen.append(None)
        return receiver.wait_for_verdicts(len(seen)).in_order()[-1].fields["model"]["version"]

    assert version() == "0"
    life.push(life.sign(1))
    assert version() == "0", "pushed is not promoted"
    assert "the running gateway uses it now" in life.promote()
    assert version() == "1"
    life.push(life.sign(2))
    life.promote()
    assert version() == "2"
    assert "the running gateway uses it now" in life.rollback()
    assert version() == "1"
    assert gateway.pid


def test_a_file_that_eats_memory_ends_the_child_alone(life: Life) -> None:
    said = life.push(life.package_that_eats_memory(1), BAD_INPUT)
    assert life.active() is None and life.incoming() == [], said


def test_a_version_that_verdicts_would_not_tell_from_the_one_in_use_is_pointed_at(life: Life) -> None:
    said = life.push(life.sign(0, counter=1))
    assert 'verdicts do not tell it from the version in use, whose card says version = "0", too' in said, said
    assert "warning" not in life.push(life.sign(2))
