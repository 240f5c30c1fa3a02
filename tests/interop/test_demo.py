"""`verge demo` serves its gateway's dashboard: the link that it prints logs in once, and nothing else does."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import HOST, free_port
from programs import verge
from test_dashboard import Browser
from waiting import wait_for

LINK = re.compile(rf"^dashboard: http://{re.escape(HOST)}:(\d+)(/login/once\?ticket=([A-Za-z0-9_-]{{43}}))$", re.MULTILINE)


class Demo:
    """A run of the demo, and what it has printed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder / "demo.log"
        env = os.environ | {"RUST_LOG": "trace,h2=off"}
        with self.log.open("wb") as log:
            command = [verge(), "demo", "--seconds", "60", *options]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def link(self) -> re.Match[str]:
        wait_for(lambda: LINK.search(self.text) or self.process.poll() is not None, "the link is printed", 60)
        found = LINK.search(self.text)
        assert found, self.text + self.log.read_text()
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self._reader.join()


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[Demo]:
    running = Demo(folder, *options)
    try:
        yield running
    finally:
        running.end()


def test_the_link_logs_in_once_and_nothing_else_does(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        link = running.link()
        port, path, ticket = int(link[1]), link[2], link[3]
        stranger, first, second = Browser(port), Browser(port), Browser(port)
        assert stranger.get("/").headers["location"] == "/login"
        assert stranger.post("/login", user="demo", password=ticket).status == 401
        assert stranger.get("/login/once").status == 401
        assert stranger.get(path[:-1]).status == 401, "nearly the ticket"
        assert Browser(port, token=ticket).get("/api/v1/status").status == 401
        assert Browser(port, "localhost").get(path, Host="evil.example").status == 421
        # What looks at a link before a person opens it does not use it up.
        head = stranger.ask("HEAD", path)
        assert (head.status, head.headers.get("set-cookie")) == (204, None)

        entered = first.get(path)
        assert entered.status == 200 and 'content="0;url=/"' in entered.text
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        first.cookie = cookie.split(";")[0]
        assert "demo-gateway" in first.get("/").text
        assert first.get("/api/v1/status").json()["gateway"] == "demo-gateway"
        wait_for(lambda: first.get("/api/v1/events").json()["events"], "the first fault has come", 60)
        (event, *_) = first.get("/api/v1/events").json()["events"]
        assert first.put(f"/api/v1/events/{event['id']}/acknowledgement").status in (200, 409)
        again = first.get(path)
        assert (again.status, again.headers["location"]) == (303, "/"), "who is logged in need not log in again"

        refused = second.get(path)
        assert refused.status == 401 and "used" in refused.text and "set-cookie" not in refused.headers
        assert first.post("/logout").status == 303
        assert first.get("/api/v1/status").status == 401
    written = running.log.read_text(errors="replace")
    assert ticket not in written and cookie.split("=")[1].split(";")[0] not in written
    assert running.text.count(ticket) == 1


def test_it_serves_where_it_is_asked_to_or_not_at_all(tmp_path: Path) -> None:
    port = free_port()
    with demo(tmp_path, "--dashboard-port", str(port)) as running:
        assert int(running.link()[1]) == port
        folder = tmp_path / "other"
        folder.mkdir()
        with demo(folder, "--dashboard-port", str(port)) as other:
            assert other.process.wait(60) == 69
        assert f"dashboard.listen: cannot listen on {HOST}:{port}" in other.log.read_text()
        assert "--no-dashboard" in other.log.read_text()
    with demo(tmp_path, "--no-dashboard") as running:
        wait_for(lambda: "judged" in running.text or running.process.poll() is not None, "it runs", 60)
    assert "dashboard" not in running.text, running.text
