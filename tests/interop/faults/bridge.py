"""Mosquitto's own bridge as a gateway: the site's broker forwards what devices publish to the broker upstream."""

import getpass
import os
from dataclasses import dataclass, field
from pathlib import Path

from peers import HOST, Listener, accepts, free_port
from processes import Process
from programs import tool
from waiting import wait_for


@dataclass
class Bridge:
    """A mosquitto with persistence that bridges `verge/#` at QoS 1, startable again on the same state."""

    folder: Path
    upstream_port: int
    # What its makers' documents recommend against loss, or the defaults.
    tuned: bool
    port: int = 0
    _process: Process | None = field(default=None, init=False)

    def start(self) -> "Bridge":
        """Starts it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        configuration = self.folder / "bridge.conf"
        lines = [
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self.folder}/",
            f"user {getpass.getuser()}",
            "connection upstream",
            f"address {HOST}:{self.upstream_port}",
            "topic verge/# out 1",
            "cleansession false",
            "log_dest stderr",
            "log_type error",
        ]
        if self.tuned:
            lines += ["max_queued_messages 0", "autosave_interval 1", "restart_timeout 1 5"]
        configuration.write_text("\n".join(lines) + "\n")
        self._process = Process("the bridge", [tool("mosquitto"), "-c", str(configuration)], self.folder / "log", dict(os.environ))
        wait_for(lambda: accepts(self.port), "the bridge listening")
        return self

    @property
    def listener(self) -> Listener:
        """Where devices connect to."""
        return Listener(port=self.port)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None and self._process.ended is None:
            self._process.stop()
        self._process = None
