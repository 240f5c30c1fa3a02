"""The gateway under test: its configuration, its process."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import Process, resident_kib
from programs import verge

Settings = dict[str, Any]


def to_toml(settings: Settings) -> str:
    """Writes nested dictionaries as TOML. Lists of dictionaries become arrays of tables."""
    return "\n".join(_table((), settings)) + "\n"


def _table(path: tuple[str, ...], settings: Settings) -> list[str]:
    tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
    arrays = {key: value for key, value in settings.items() if _is_array_of_tables(value)}
    plain = {key: value for key, value in settings.items() if key not in tables and key not in arrays}
    lines = [f"[{'.'.join(map(json.dumps, path))}]"] if path and plain else []
    # JSON text, numbers and lists are TOML too.
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in tables.items():
        lines += _table((*path, key), value)
    for key, rows in arrays.items():
        for row in rows:
            lines.append(f"[[{'.'.join(map(json.dumps, (*path, key)))}]]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in row.items()]
    return lines


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


@dataclass
class Gateway:
    """`verge run`, startable again on the same state."""

    folder: Path
    settings: Settings
    env: dict[str, str] = field(default_factory=dict)
    _process: Process | None = field(default=None, init=False)

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.folder / "gateway.toml"

    @property
    def state_dir(self) -> Path:
        """Where the gateway keeps what must outlive it."""
        return Path(self.settings["gateway"]["state_dir"])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def write(self) -> Path:
        """Writes the configuration file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(to_toml(self.settings))
        return self.configuration

    def start(self) -> "Gateway":
        """Starts it; brokers need not be reachable."""
        command = [verge(), "run", "-c", str(self.write())]
        self._process = Process("the gateway", command, self.folder / "gateway.log", os.environ | self.env)
        return self

    def run(self, *arguments: str, seconds: float = 60.0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Another command of the program, to its end."""
        command = [verge(), *arguments]
        env = os.environ | self.env
        return subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=env, check=False, input=stdin
        )

    def check(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`verge check` on this configuration."""
        return self.run("check", "-c", str(self.write()), *arguments)

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the gateway does not run")
        ended = self._process.ended
        if ended is not None:
            raise RuntimeError(f"the gateway has ended with {ended}:\n{self._process.tail()}")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.ended is None

    def log(self) -> str:
        """The end of its log."""
        return self._process.tail() if self._process else ""

    def whole_log(self) -> str:
        """All of its log."""
        path = self.folder / "gateway.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def resident_kib(self) -> int:
        """Memory that it occupies."""
        return resident_kib(self.pid)

    def kill(self) -> None:
        """kill -9."""
        self._running().kill()
        self._process = None

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM; says its exit code. It has to end in time."""
        code = self._running().stop(seconds)
        self._process = None
        return code

    def end(self) -> None:
        """After a test: whatever state it is in."""
        if self._process is not None and self._process.ended is None:
            self._process.kill()
        self._process = None
