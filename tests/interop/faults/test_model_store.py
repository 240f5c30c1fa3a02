"""The store of models under kill -9 at every system call, and on a disk that is full: a whole verified version is in use, always."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from figures import Figures
from injection import kill_at, strace
from life import NAME, Life
from media import small_disk
from models import Models
from programs import is_full
from test_model_transport import Far, far

# By these a change of the store touches the disk.
CALLS = ("openat", "write", "fsync", "rename", "mkdir", "unlink", "unlinkat", "rmdir", "flock")
STRIDE = {"openat": 1 if is_full() else 23}
BAD_INPUT, TEMPORARY = 65, 75
# The fixture is used by its name.
__all__ = ["far"]


@pytest.fixture
def life(tmp_path: Path, models: Models) -> Life:
    """With version 1 in use and version 2 to come."""
    assert models.folder
    life = Life.make(tmp_path / "life")
    life.push(life.sign(1))
    life.promote()
    life.sign(2)
    return life


@pytest.mark.parametrize("command", ["push", "promote", "rollback"])
def test_killed_at_every_call_a_whole_version_is_in_use(life: Life, figures: Figures, command: str) -> None:
    package = life.folder / f"{NAME}-2.vmodel"
    arguments = {"push": ["push", str(package)], "promote": ["promote", NAME], "rollback": ["rollback", NAME]}[command]
    before, after = {"push": ("1", "1"), "promote": ("1", "2"), "rollback": ("2", "1")}[command]
    if command != "push":
        life.push(package)
    if command == "rollback":
        life.promote()
    saved = life.folder / "saved"
    shutil.copytree(life.state_dir, saved)
    kills = dict.fromkeys(CALLS, 0)
    for call in CALLS:
        for when in range(1, 10_000, STRIDE.get(call, 1)):
            shutil.rmtree(life.state_dir)
            shutil.copytree(saved, life.state_dir)
            done = life.model(*arguments, before=kill_at(call, when))
            # Whole as it lies there, before anything has looked at it.
            assert life.slots()
            assert life.active() in (before, after), f"{call} {when}"
            if done.returncode == 0:
                break
            kills[call] += 1
            # Done again it is done.
            again = life.model(*arguments)
            assert again.returncode == 0, f"{call} {when}: {again.stderr}"
            assert life.active() == after, f"{call} {when}"
    # Those by which a change becomes durable, and others.
    assert all(kills[call] for call in ("write", "fsync", "rename")) and sum(kills.values()) > 5, kills
    figures.note("models", command=command, kills=sum(kills.values()))


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, models: Models, figures: Figures) -> None:
    assert models.folder
    with small_disk(tmp_path / "disk", 6) as disk:
        life = Life.make(tmp_path / "life", disk / "state")
        for version in (1, 2):
            life.push(life.sign(version))
            life.promote()
        package = life.sign(3, padding=3 << 20)
        fill = disk / "fill"
        for room in (0, 8, 64, 1024, 3 << 10):
            with fill.open("wb", buffering=0) as out:
                full(out)
                if room:
                    out.truncate(max(fill.stat().st_size - (room << 10), 0))
            said = life.push(package, TEMPORARY)
            assert "untouched" in said, said
            assert life.incoming() == [] and life.active() == "2"
        with fill.open("wb", buffering=0) as out:
            full(out)
        # A rollback needs no free disk.
        life.rollback()
        assert life.active() == "1"
        fill.unlink()
        # Neither does a promotion: what is in use then is whole, and so it is where what was changed makes no room.
        life.push(life.sign(4))
        with fill.open("wb", buffering=0) as out:
            full(out)
        done = life.model("promote", NAME)
        assert done.returncode in (0, TEMPORARY), done.stderr
        assert life.active() == ("4" if done.returncode == 0 else "1")
        (old, new), out = (life.folder / f"v{version}" / f"{NAME}.onnx" for version in (1, 3)), disk / "new.onnx"
        changes = life.folder / "changes"
        assert life.verge("model", "delta", str(old), str(new), "-o", str(changes)).returncode == 0
        key = ["--key", str(life.key("publisher")), "--counter", "5"]
        # What changed is written to the full disk, or made of it there; a package is signed there.
        for arguments in (
            ["delta", str(old), str(new)],
            ["patch", str(old), str(changes)],
            ["sign", str(new.with_suffix(".toml")), *key],
        ):
            done = life.verge("model", *arguments, "-o", str(out))
            assert done.returncode == TEMPORARY and not out.exists(), done.stderr
            assert not [path for path in disk.iterdir() if path.name.startswith("new.")]
        fill.unlink()
        figures.note("models on a full disk", pushes_refused=5)


def test_a_limit_of_files_is_a_full_disk_and_ends_no_process(life: Life, figures: Figures) -> None:
    """`ulimit -f`: the system ends a process that knows nothing of it, where it stands (SIGXFSZ)."""
    package, out = life.sign(3, padding=1 << 20), life.folder / "out" / "new"
    out.parent.mkdir()
    old, new = (life.folder / f"v{version}" / f"{NAME}.onnx" for version in (1, 3))
    changes = life.folder / "changes"
    assert life.verge("model", "delta", str(old), str(new), "-o", str(changes)).returncode == 0
    key = ["--key", str(life.key("publisher")), "--counter", "5"]
    for blocks in (0, 1, 64):
        before = ["sh", "-c", f'ulimit -f {blocks}; exec "$0" "$@"']
        said = life.push(package, TEMPORARY, before=before)
        assert "untouched" in said, said
        assert life.incoming() == [] and life.active() == "1"
        for arguments in (
            ["delta", str(old), str(new)],
            ["patch", str(old), str(changes)],
            ["sign", str(new.with_suffix(".toml")), *key],
        ):
            done = life.verge("model", *arguments, "-o", str(out), before=before)
            assert done.returncode == TEMPORARY, f"{arguments[0]}, {blocks}: {done.returncode} {done.stderr}"
            assert list(out.parent.iterdir()) == [], arguments[0]
    figures.note("models under a limit of files", commands_refused=12)


@pytest.mark.parametrize("signal", ["SEGV", "ABRT", "BUS", "KILL"] if is_full() else ["SEGV", "KILL"])
def test_a_library_that_a_file_ends_ends_its_process_alone(life: Life, figures: Figures, signal: str) -> None:
    """As the library does it: a signal while the weights are read, which only the process does that loads them first."""
    package = life.folder / f"{NAME}-2.vmodel"
    with zipfile.ZipFile(package) as archive:
        id_ = f"2-{hashlib.sha256(archive.read('manifest.json')).hexdigest()[:12]}"
    weights = life.state_dir / "models" / "incoming" / id_ / f"{NAME}.onnx"
    # Again and again: the first one of some signals only ends Rust's own handler.
    done = life.model("push", str(package), before=[*strace("read", f"signal={signal}", "1+"), "-P", str(weights)])
    assert done.returncode == BAD_INPUT and "the library was ended by signal" in done.stderr, f"{done.returncode}: {done.stderr}"
    assert life.incoming() == [] and life.ls()["candidate"] is None and life.active() == "1"
    # Nothing is held against the file: it was not its fault.
    life.push(package)
    assert life.ls()["candidate"]["version"] == "2"
    figures.note("models", signal=signal, children_ended=1)


def test_a_child_that_is_killed_by_a_file_from_upstream_leaves_the_gateway_at_work(far: Far) -> None:
    far.start()
    pid = far.gateway.pid
    package = far.life.package_that_eats_memory(1)
    done = far.push(package)
    assert done.returncode == BAD_INPUT, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)["gateways"]
    assert one["state"] == "refused" and far.ls()["candidate"] is None
    assert far.gateway.is_running and far.gateway.pid == pid
    assert list((far.gateway.state_dir / "models" / "incoming").iterdir()) == []
    done = far.push(far.life.sign(2))
    assert done.returncode == 0 and far.ls()["candidate"]["version"] == "2", done.stdout + done.stderr


def full(out) -> None:
    piece = 1 << 16
    while piece:
        try:
            out.write(bytes(piece))
        except OSError:
            piece //= 2


def test_a_patch_killed_at_every_call_leaves_the_whole_file_or_none(tmp_path: Path, figures: Figures) -> None:
    life = Life(tmp_path, tmp_path, tmp_path)
    old, new = (life.card(version, padding=4096).with_suffix(".onnx") for version in (1, 2))
    changes, out = tmp_path / "changes", tmp_path / "out.onnx"
    assert life.verge("model", "delta", str(old), str(new), "-o", str(changes)).returncode == 0
    kills = 0
    for call in CALLS:
        for when in range(1, 10_000, STRIDE.get(call, 1)):
            out.unlink(missing_ok=True)
            done = life.verge("model", "patch", str(old), str(changes), "-o", str(out), before=kill_at(call, when))
            assert not out.exists() or out.read_bytes() == new.read_bytes(), f"{call} {when}"
            if done.returncode == 0:
                break
            kills += 1
            # Done again it is done, over whatever was left.
            assert life.verge("model", "patch", str(old), str(changes), "-o", str(out)).returncode == 0
            assert out.read_bytes() == new.read_bytes()
    assert kills > 3, kills
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(("out", ".verge"))) == ["out.onnx"]
    figures.note("models", command="patch", kills=kills)
