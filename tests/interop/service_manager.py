"""What systemd would be to the gateway: a socket of sd_notify(3) whose rules are held, a watchdog that ends what is silent; and
threads of it that stand still for real."""

import contextlib
import ctypes
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from waiting import wait_for

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WAIT_FOR_THREADS = 0x40000000
CREDENTIALS = struct.Struct("3i")
KNOWN = re.compile(
    r"READY=1|RELOADING=1|STOPPING=1|WATCHDOG=1|STATUS=[^\n]{1,200}|EXTEND_TIMEOUT_USEC=[1-9]\d*|MONOTONIC_USEC=[1-9]\d*"
)


@dataclass(frozen=True)
class Notice:
    """One datagram."""

    at: float
    pid: int
    lines: tuple[str, ...]


@dataclass
class ServiceManager:
    """A socket for NOTIFY_SOCKET, and all that came in."""

    folder: Path
    notices: list[Notice] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.path = self.folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(self.path))
        self._socket.settimeout(0.2)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        while not self._ends.is_set():
            try:
                text, ancillary, *_ = self._socket.recvmsg(65_536, socket.CMSG_SPACE(CREDENTIALS.size))
            except TimeoutError:
                continue
            pid, *_ = CREDENTIALS.unpack(ancillary[0][2])
            self.notices.append(Notice(time.monotonic(), pid, tuple(text.decode().splitlines())))

    def environment(self, watchdog_s: float | None) -> dict[str, str]:
        """For a process that it starts."""
        watchdog = {} if watchdog_s is None else {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
        return {"NOTIFY_SOCKET": str(self.path)} | watchdog

    def times(self, line: str, after: float = 0) -> list[float]:
        """When a line came."""
        return [notice.at for notice in list(self.notices) if line in notice.lines and notice.at > after]

    def statuses(self) -> list[str]:
        """The lines of status."""
        return [line[7:] for notice in list(self.notices) for line in notice.lines if line.startswith("STATUS=")]

    def wait_for(self, line: str, after: float = 0, seconds: float = 30) -> float:
        """When it came first."""
        return wait_for(lambda: self.times(line, after), f"{line} is received", seconds)[0]

    def end(self) -> None:
        self._ends.set()
        self._thread.join()
        self._socket.close()

    def check(self, pid: int) -> None:
        """What came keeps the rules of sd_notify(3) and of systemd.service(5)."""
        is_ready = stops = False
        for notice in self.notices:
            assert notice.pid == pid, "NotifyAccess=main: children are not believed"
            assert notice.lines, "nothing is no notice"
            assert not stops, f"after STOPPING: {notice.lines}"
            for line in notice.lines:
                assert KNOWN.fullmatch(line), line
            if "RELOADING=1" in notice.lines:
                assert is_ready
                (began,) = [int(line[15:]) / 1e6 for line in notice.lines if line.startswith("MONOTONIC_USEC=")]
                assert abs(began - notice.at) < 1, "of this clock, and in the same datagram"
            if "WATCHDOG=1" in notice.lines:
                assert is_ready or "READY=1" in notice.lines
            is_ready = is_ready or "READY=1" in notice.lines
            stops = "STOPPING=1" in notice.lines
        reloads, readies = len(self.times("RELOADING=1")), len(self.times("READY=1"))
        assert readies == reloads + 1, "each reload ends"


def threads(pid: int) -> dict[str, int]:
    """The threads of a process by their names."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            found[(task / "comm").read_text().strip()] = int(task.name)
    return found


def ptrace(request: int, thread: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@contextlib.contextmanager
def hanging(pid: int, name: str) -> Iterator[None]:
    """One thread of a process stands still, as a debugger would stop it; all others run on."""
    thread = threads(pid)[name]
    ptrace(PTRACE_SEIZE, thread)
    ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WAIT_FOR_THREADS)
    try:
        yield
    finally:
        try:
            ptrace(PTRACE_DETACH, thread)
        except OSError:
            # It was killed meanwhile; what remains of it is ours to take.
            with contextlib.suppress(OSError):
                os.waitpid(thread, WAIT_FOR_THREADS)
