"""A fresh Debian root file system to install packages into. A program runs in it by chroot, with a /proc of its own
mount; the network is the machine's."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from processes import Process

# What `apt-get install` would add to the essential packages for ours; there is no apt here.
PACKAGES = "passwd,libstdc++6"
ENTER = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}


def why_not() -> str | None:
    """Why there can be none on this machine; `None` where there can."""
    if os.geteuid() != 0:
        return "not root: neither chroot nor mount"
    for program in ("mmdebstrap", "unshare", "dpkg-deb"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return f"no mounts of its own: {probe.stderr.strip()}" if probe.returncode else None


def make_archive(path: Path) -> Path:
    """The essential packages of this machine's release, from its mirror, as a tar file; some 50 s."""
    if not path.is_file():
        release = subprocess.run(
            ["sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"'], capture_output=True, text=True, check=True
        ).stdout.strip()
        part = path.with_suffix(".part.tar")
        command = ["mmdebstrap", "--variant=essential", f"--include={PACKAGES}", release, str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ends with {done.returncode}:\n{done.stderr[-2000:]}")
        part.rename(path)
    return path


@dataclass
class FreshRoot:
    """One of them, unpacked."""

    folder: Path

    @classmethod
    def unpack(cls, archive: Path, folder: Path) -> "FreshRoot":
        """Unpacks the archive."""
        folder.mkdir(parents=True)
        subprocess.run(["tar", "--extract", "--file", str(archive), "--directory", str(folder)], check=True)
        return cls(folder)

    def path(self, inside: str) -> Path:
        """Where a path within lies for this machine."""
        return self.folder / inside.lstrip("/")

    def command(self, *arguments: str, user: str | None = None) -> list[str]:
        """The command line that runs this in it."""
        by = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"] if user else []
        return ["unshare", "--mount", "sh", "-c", ENTER, str(self.folder), *by, *arguments]

    def run(self, *arguments: str, user: str | None = None, ends_with: int = 0) -> str:
        """Runs a command in it to its end, which is held against `ends_with`; says what it wrote."""
        done = subprocess.run(
            self.command(*arguments, user=user),
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == ends_with, f"{' '.join(arguments)} ends with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, name: str, log: Path, *arguments: str, user: str) -> Process:
        """Starts a command in it; the process is the command's own."""
        return Process(name, self.command(*arguments, user=user), log, ENVIRONMENT)

    def files(self) -> set[str]:
        """Every path there is."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def owner_and_mode(self, inside: str) -> str:
        """As `stat` prints them, with the names that are known within."""
        return self.run("stat", "--format=%U:%G %a", inside).strip()
