"""Mosquitto brokers on free loopback ports."""

import getpass
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from certificates import Certificates
from processes import Process
from programs import tool
from waiting import wait_for

HOST = "127.0.0.1"
ATTEMPTS = 5


# Bound, and nobody listens there: the system gives their ports to nobody else while the tests run.
RESERVED: list[socket.socket] = []


def free_port() -> int:
    """A port for whoever is asked to listen there."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((HOST, 0))
    RESERVED.append(reserved)
    return reserved.getsockname()[1]


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


@dataclass
class Login:
    """A user that a broker knows."""

    username: str
    password: str


@dataclass
class Listener:
    """One port of a broker: plain, or with mutual TLS where certificates are given."""

    login: Login | None = None
    certificates: Certificates | None = None
    port: int = 0

    @property
    def url(self) -> str:
        """Its address for a gateway's configuration."""
        scheme = "mqtts" if self.certificates else "mqtt"
        return f"{scheme}://{HOST}:{self.port}"


@dataclass
class Mosquitto:
    """A mosquitto with persistence by default, no limit on queued messages, and without Nagle's algorithm."""

    folder: Path
    name: str
    listeners: list[Listener]
    # Messages in flight towards one client; 0 is no limit.
    max_inflight: int = 100
    persistence: bool = True
    # Messages queued for one client; 0 is no limit (then mosquitto 2.0.11 closes at a publish that its ACL denies).
    max_queued: int = 0
    log_types: tuple[str, ...] = ("error", "warning", "subscribe")
    # Further lines of its configuration, for the last listener.
    rules: tuple[str, ...] = ()
    _process: Process | None = field(default=None, init=False)

    # Seconds after which a signal to stop is repeated.
    SIGNAL_AGAIN: ClassVar[float] = 2.0

    @property
    def url(self) -> str:
        """Address of the first listener."""
        return self.listeners[0].url

    @property
    def port(self) -> int:
        """Port of the first listener."""
        return self.listeners[0].port

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def start(self) -> "Mosquitto":
        """Starts it on free ports; again on the same ones if it ran before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = [listener for listener in self.listeners if listener.port == 0]
        for _ in range(ATTEMPTS):
            for listener in fresh:
                listener.port = free_port()
            if self._try_start():
                return self
            if not fresh:
                break
        raise RuntimeError(f"{self.name} does not start:\n{self.log()}")

    def _try_start(self) -> bool:
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(self._configuration()) + "\n")
        process = Process(self.name, [self.program(), "-c", str(configuration)], self._log_path)
        ports = [listener.port for listener in self.listeners]
        wait_for(lambda: process.ended is not None or all(map(accepts, ports)), f"{self.name} listening")
        if process.ended is not None:
            return False
        self._process = process
        return True

    @staticmethod
    def program() -> str:
        """The program itself."""
        return tool("mosquitto")

    def _configuration(self) -> list[str]:
        lines = [
            "per_listener_settings true",
            f"persistence {'true' if self.persistence else 'false'}",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            f"max_inflight_messages {self.max_inflight}",
            f"max_queued_messages {self.max_queued}",
            "set_tcp_nodelay true",
            # As root it would change to a user that may not write here.
            f"user {getpass.getuser()}",
            "log_dest stderr",
            *(f"log_type {kind}" for kind in self.log_types),
        ]
        for listener in self.listeners:
            lines += self._listener_lines(listener)
        return [*lines, *self.rules]

    def _listener_lines(self, listener: Listener) -> list[str]:
        lines = [f"listener {listener.port} {HOST}"]
        if listener.login:
            lines += ["allow_anonymous false", f"password_file {self._password_file(listener.login)}"]
        else:
            lines.append("allow_anonymous true")
        if listener.certificates:
            server = listener.certificates.broker
            lines += [
                f"cafile {listener.certificates.ca}",
                f"certfile {server.cert}",
                f"keyfile {server.key}",
                "require_certificate true",
                "use_identity_as_username true",
            ]
        return lines

    def _password_file(self, login: Login) -> Path:
        path = self.folder / f"{login.username}.passwd"
        if not path.exists():
            command = [tool("mosquitto_passwd"), "-b", "-c", str(path), login.username, login.password]
            subprocess.run(command, check=True, capture_output=True)
        return path

    @property
    def _log_path(self) -> Path:
        return self.folder / "mosquitto.log"

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process

    def log(self) -> str:
        """Everything it has logged."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def subscriptions(self, client_id: str) -> int:
        """How many filters this client has subscribed to so far."""
        return sum(f": {client_id} " in line for line in self.log().splitlines())

    def wait_for_subscriber(self, client_id: str, times: int = 1) -> None:
        """Waits until this client has subscribed to that many filters."""
        # A gateway looks at a picture with each of its models before, which takes long on a machine that is busy.
        wait_for(lambda: self.subscriptions(client_id) >= times, f"{client_id} subscribed at {self.name}", 90)

    def save(self) -> None:
        """Makes it write its sessions and messages to disk now."""
        database = self.folder / "mosquitto.db"
        before = database.stat().st_mtime_ns if database.exists() else 0
        self._running().signal(signal.SIGUSR1)
        wait_for(lambda: database.exists() and database.stat().st_mtime_ns > before, f"{self.name} has saved")

    def reload(self) -> None:
        """Reads passwords and rules again."""
        self._running().signal(signal.SIGHUP)

    def kill(self) -> None:
        """kill -9."""
        self._running().kill()
        self._process = None

    def stop(self) -> None:
        """Ends it, if it runs."""
        if self._process is not None:
            self._process.stop(every=self.SIGNAL_AGAIN)
            self._process = None
