"""File systems of a test's own: a small one that fills up, and one whose power can fail. For root only."""

import filecmp
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def need_root() -> None:
    """Skips the test, saying why, where nothing can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    for program in ("mount", "umount", "mkfs.ext4"):
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mounts something at a folder; gone afterwards, whatever happened."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _call("mount", *options, str(folder))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine mounts nothing here: {error.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        _call("umount", "--lazy", str(folder))


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A file system in memory that is soon full."""
    need_root()
    with mounted(folder, "-t", "tmpfs", "-o", f"size={mebibytes}m", "verge-test") as disk:
        yield disk


class Power:
    """An ext4 in a file. What the file holds at a moment is what a disk would hold if the power failed then."""

    def __init__(self, folder: Path, mebibytes: int = 64):
        need_root()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._cuts = 0
        self._image = folder / "disk.img"
        with self._image.open("wb") as image:
            image.truncate(mebibytes << 20)
        _call("mkfs.ext4", "-q", "-F", str(self._image))

    @contextmanager
    def on(self) -> Iterator[Path]:
        """The disk, with power."""
        with mounted(self.folder / "disk", "-o", "loop", str(self._image)) as disk:
            yield disk

    @contextmanager
    def after_cut(self) -> Iterator[Path]:
        """The disk as it would be found if the power had failed now."""
        self._cuts += 1
        # A file of its own: the kernel would mount one that was mounted before as it knew it then, for as long as another
        # mount namespace (a test of the packages has some) still holds that mount.
        copy = self.folder / f"cut-{self._cuts}.img"
        self._copy(copy)
        try:
            with mounted(self.folder / "cut", "-o", "loop", str(copy)) as disk:
                yield disk
        finally:
            copy.unlink()

    def _copy(self, copy: Path) -> None:
        """The disk at one moment: a copy that the kernel wrote into meanwhile is of several."""
        for _ in range(100):
            shutil.copyfile(self._image, copy)
            if filecmp.cmp(self._image, copy, shallow=False):
                return
        raise AssertionError("the disk did not come to rest")
