"""A gateway with a dashboard, who watches it, and what that costs."""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import bench
from gateway import Gateway, Settings
from load import Generator, Load
from peers import HOST, free_port
from usage import Usage, usage
from waiting import wait_until_quiet
from wire import decode

VIEWERS = 10


@dataclass(frozen=True)
class Length:
    """How long it measures."""

    idle_s: float = 20.0
    loaded_s: float = 15.0
    rate: int = 1_000
    alarms: int = 400
    drawn: int = 200
    signals: int = 10_000
    scrapes: int = 100
    reloads: int = 5


QUICK = Length(idle_s=3.0, loaded_s=3.0, rate=200, alarms=40, drawn=20, signals=500, scrapes=10, reloads=2)


@dataclass
class Watched:
    """A gateway with a dashboard, and a token for it."""

    gateway: Gateway
    site: bench.Site
    port: int
    token: str

    def get(self, path: str, connection: http.client.HTTPConnection | None = None) -> bytes:
        """A page, over a connection that stays."""
        connection = connection or http.client.HTTPConnection(HOST, self.port, timeout=20)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text[:200]!r}")
        return text


@contextmanager
def site(folder: Path, name: str) -> Iterator[bench.Site]:
    opened = bench.Site(folder / name, None)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def running(
    folder: Path,
    opened: bench.Site,
    with_dashboard: bool,
    every: bool,
    lane: str = "verdict",
    change: Callable[[Settings], None] = lambda _settings: None,
) -> Iterator[Watched]:
    """A gateway whose readings are verdicts, or cause none."""
    place = folder / f"gateway-{time.monotonic_ns()}"
    place.mkdir()
    settings = bench.verge_settings(opened, place, bench.Phase("dashboard", every, lane, Load(1, 1)))
    change(settings)
    port, token = free_port(), ""
    gateway = Gateway(place, settings)
    if with_dashboard:
        settings["dashboard"] = {"listen": f"{HOST}:{port}"}
        gateway.write()
        file = ["-c", str(gateway.configuration)]
        done = gateway.run("users", "add", "bench", "--role", "admin", "--no-password", *file)
        assert done.returncode == 0, done.stderr
        token = json.loads(gateway.run("--json", "users", "token", "bench", "--label", "bench", *file).stdout)["token"]
    before = opened.local.subscriptions("verge-bench")
    gateway.start()
    opened.local.wait_for_subscriber("verge-bench", before + 1)
    try:
        yield Watched(gateway, opened, port, token)
    finally:
        gateway.stop()


def generator(opened: bench.Site, load: Load) -> Generator:
    return Generator(load, opened.local.port, opened.login.username, opened.login.password)


def cpu_share(pid: int, seconds: float) -> tuple[float, Usage]:
    """Percent of a core over this time, and the memory at its end."""
    before, began = usage(pid).cpu_s, time.monotonic()
    time.sleep(seconds)
    now = usage(pid)
    return 100 * (now.cpu_s - before) / (time.monotonic() - began), now


@dataclass
class Viewer:
    """Follows the stream; fetches the overview when something has happened, once a second at most."""

    watched: Watched
    fetches: bool = True
    seen: dict[float, float] = field(default_factory=dict)
    fetched: int = 0

    def __post_init__(self) -> None:
        self._socket = socket.create_connection((HOST, self.watched.port), timeout=30)
        head = f"GET /api/v1/stream?kinds=verdict HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {self.watched.token}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        fetched = 0.0
        page = http.client.HTTPConnection(HOST, self.watched.port, timeout=20)
        rest = b""
        while not self._ends.is_set():
            try:
                piece = self._socket.recv(1 << 16)
            except OSError:
                return
            now = time.monotonic()
            *lines, rest = (rest + piece).split(b"\n")
            if not piece:
                return
            for line in lines:
                if line.startswith(b"data: {") and (value := re.search(rb'"observed":\s*([0-9.eE+]+)', line)):
                    self.seen.setdefault(float(value[1]), now)
            if self.fetches and now - fetched >= 1:
                fetched, self.fetched = now, self.fetched + 1
                self.watched.get("/", page)

    def end(self) -> None:
        self._ends.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def lateness(opened: bench.Site, sending: Generator, load: Load) -> list[float]:
    """From publishing each reading to its verdict upstream."""
    wait_until_quiet(lambda: len(opened.watcher.verdicts))
    first: dict[float, float] = {}
    for at, body in list(opened.watcher.verdicts):
        for verdict in decode(body).verdicts:
            if anomaly := verdict.fields.get("anomaly"):
                first.setdefault(anomaly["observed"], at)
    return [first[float(n)] - sending.sent[n] for n in range(load.readings) if float(n) in first]
