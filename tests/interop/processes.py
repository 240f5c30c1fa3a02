"""A process of ours: started, watched, ended by its own id."""

import signal
import subprocess
import time
from pathlib import Path


def resident_kib(pid: int) -> int:
    """Memory that a process occupies."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"the system does not say how much memory process {pid} occupies")


class Process:
    """A program that runs in the background, with its standard error and output in a file."""

    def __init__(self, name: str, command: list[str], log: Path, env: dict[str, str] | None = None):
        self.name = name
        self.log = log
        with log.open("ab") as out:
            self._popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        self._popen.kill()
        self._popen.wait()

    def wait(self, seconds: float) -> int:
        """Waits until it ends by itself; says the exit code."""
        return self._popen.wait(seconds)

    def stop(self, seconds: float = 20.0, every: float | None = None) -> int:
        """SIGTERM; says the exit code. One that does not end in time is killed, and that is an error.

        `every` repeats the signal: mosquitto forgets one that comes after it listens and before its loop begins.
        """
        end = time.monotonic() + seconds
        while self._popen.poll() is None:
            self._popen.terminate()
            left = end - time.monotonic()
            try:
                return self._popen.wait(left if every is None else min(every, left))
            except subprocess.TimeoutExpired:
                if time.monotonic() < end:
                    continue
                self.kill()
                raise TimeoutError(f"{self.name} did not end {seconds:g} s after SIGTERM:\n{self.tail()}") from None
        return self._popen.returncode

    def tail(self, lines: int = 30) -> str:
        """The end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
