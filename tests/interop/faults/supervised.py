"""A gateway under a supervisor, whose system calls fail as a test wants it."""

import os
import threading
import time
from dataclasses import dataclass, field

from gateway import Gateway
from processes import Process
from programs import verge

# What a gateway that wants to be started again ends with (EX_TEMPFAIL).
START_AGAIN = 75
# Ends after which the unit in examples/systemd starts nothing: in good order, wrong usage, a bad configuration.
FOR_GOOD = (0, 64, 78)
PAUSE_S = 0.05


@dataclass
class Supervised(Gateway):
    """Started again as examples/systemd does; `before` stands in front of its first start alone."""

    before: list[str] = field(default_factory=list)
    exits: list[int] = field(default_factory=list, init=False)

    def start(self) -> "Supervised":
        """Starts it, and watches it from then on."""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._spawn(self.before)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def _spawn(self, before: list[str]) -> None:
        command = [*before, verge(), "run", "-c", str(self.write())]
        self._process = Process("the gateway", command, self.folder / "gateway.log", os.environ | self.env)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                ended = self._process.ended if self._process and not self._stopping.is_set() else None
                if ended is not None:
                    self.exits.append(ended)
                    if ended in FOR_GOOD:
                        return
                    self._spawn([])
            time.sleep(PAUSE_S)

    def replace(self) -> None:
        """kill -9, and a new one that nothing fails for."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
            self._spawn([])

    def end(self) -> None:
        """After a test: no more starts, then as every gateway."""
        if hasattr(self, "_stopping"):
            self._stopping.set()
            with self._lock:
                super().end()
            self._watcher.join(5)
