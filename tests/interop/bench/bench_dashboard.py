"""Measures what the dashboard costs, and how soon it shows an alarm.

    python tests/interop/bench/bench_dashboard.py           some three minutes
    python tests/interop/bench/bench_dashboard.py --quick   half a minute, to see that it works

Memory and processor time with a dashboard that nobody watches and without one; the same with ten viewers, who follow the stream
and fetch the overview again when something happens, once a second at most; from publishing a reading to its verdict upstream with
and without them, to its verdict in the stream, and to the picture of a browser that shows the list of events; with 10,000 signals
the time of a scrape, the bytes of each page, and for how long a reload pauses judging. Then four cameras of two frames a second,
which a model looks at, beside readings, with nobody and with ten viewers who follow the stream and fetch each picture with what is
seen in it as it comes: processor time, the p99 age of frames, the p99 of readings. The load, mosquitto, the browser and the viewers
share the machine with the gateway; CPU is the gateway's alone. What has a mark is a row of the table at the end.
"""

import argparse
import http.client
import io
import json
import re
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bench
import numpy as np
from camera_load import CameraGenerator, CameraLoad
from gateway import Gateway, Settings
from load import Generator, Load
from marks import Mark, rows, summary
from PIL import Image
from peers import HOST, free_port
from playwright.sync_api import sync_playwright
from programs import REPOSITORY
from report import machine, percentiles
from scene import frame_source
from usage import Usage, usage
from waiting import wait_for, wait_until_quiet
from wire import decode

VIEWERS = 10
CAMERAS, FRAMES_A_SECOND = 4, 2
# Readings beside the cameras, each of them a verdict: enough in a run that the 99th percentile is not the slowest.
READINGS_A_SECOND = 50
CHROMIUM = "/usr/bin/chromium"
PAGE_BYTES, SCRIPT_BYTES, STYLE_BYTES = 300_000, 40_000, 20_000


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


def idle(folder: Path, length: Length) -> list[Mark]:
    """What it costs that it is there."""
    found = []
    for with_dashboard in (False, True):
        with site(folder, f"idle-{with_dashboard}") as opened, running(folder, opened, with_dashboard, False) as watched:
            time.sleep(bench.IDLE_S)
            found.append(cpu_share(watched.gateway.pid, length.idle_s))
    (cpu_without, without), (cpu_with, with_it) = found
    print(f"not configured:     {without.rss_mib:.1f} MiB, {cpu_without:.2f} % of a core")
    print(f"nobody watches:     {with_it.rss_mib:.1f} MiB, {cpu_with:.2f} % of a core")
    return [
        Mark.at_most("a dashboard that nobody watches, MiB", with_it.rss_mib - without.rss_mib, 12.0),
        Mark.at_most("a dashboard that nobody watches, % of a core", cpu_with - cpu_without, 0.5, "{:.2f}"),
    ]


def viewers(folder: Path, length: Length) -> list[Mark]:
    """A flood of verdicts."""
    return at_rate(folder, length, length.rate)


def at_rate(folder: Path, length: Length, rate: int) -> list[Mark]:
    """At a steady load: processor time and the p99 of readings, without and with ten viewers."""
    load = Load(10, int(rate * length.loaded_s), rate)
    found = {}
    for count in (0, VIEWERS):
        with site(folder, f"viewers-{rate}-{count}") as opened, running(folder, opened, True, True) as watched:
            time.sleep(bench.IDLE_S)
            following = [Viewer(watched) for _ in range(count)]
            sending = generator(opened, load).start()
            cpu, _ = cpu_share(watched.gateway.pid, length.loaded_s)
            sending.join(60)
            found[count] = (cpu, *percentiles(lateness(opened, sending, load)))
            for viewer in following:
                viewer.end()
            fetched = sum(viewer.fetched for viewer in following)
            print(
                f"{count:2} viewers:         {found[count][0]:.1f} % of a core, readings p50 {found[count][1]:.1f} ms, "
                f"p99 {found[count][2]:.1f} ms at {rate} verdicts/s; {fetched} pages",
                flush=True,
            )
    more, ratio = found[VIEWERS][0] - found[0][0], found[VIEWERS][2] / found[0][2]
    return [
        Mark(f"ten viewers of {rate:,} verdicts/s, % of a core", f"{more:.1f}"),
        Mark(f"ten viewers of {rate:,} verdicts/s, readings' p99, times", f"{ratio:.2f}"),
    ]


def lateness(opened: bench.Site, sending: Generator, load: Load) -> list[float]:
    """From publishing each reading to its verdict upstream."""
    wait_until_quiet(lambda: len(opened.watcher.verdicts))
    first: dict[float, float] = {}
    for at, body in list(opened.watcher.verdicts):
        for verdict in decode(body).verdicts:
            if anomaly := verdict.fields.get("anomaly"):
                first.setdefault(anomaly["observed"], at)
    return [first[float(n)] - sending.sent[n] for n in range(load.readings) if float(n) in first]


def pictures() -> list[bytes]:
    """Something bright on a noisy ground, somewhere else in each, as JPEGs of a usual camera."""
    ground = np.random.default_rng(1).integers(40, 120, (480, 640), dtype=np.uint8)
    found = []
    for number in range(16):
        frame = ground.copy()
        frame[100 + 20 * number : 150 + 20 * number, 280:360] = 250
        encoded = io.BytesIO()
        Image.fromarray(frame).convert("RGB").save(encoded, "JPEG", quality=85)
        found.append(encoded.getvalue())
    return found


def look(settings: Settings) -> None:
    """Cameras beside the readings, and a judge that counts before them."""
    settings["source"]["cameras"] = frame_source("road/+/frame", frames="newest")
    settings["model"] = {"junction": {"file": str(REPOSITORY / "examples/junction-model/junction.toml")}}
    line = {"middle": {"from": [0.0, 0.5], "to": [1.0, 0.5]}}
    settings["judge"]["crossing"] = {"inputs": ["cameras"], "detector": "track", "model": "junction", "line": line}


@dataclass
class CameraViewer:
    """Fetches what is seen by each camera, and the picture where it is another one, as often as frames come."""

    watched: Watched
    fetched: int = 0

    def __post_init__(self) -> None:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        connection = http.client.HTTPConnection(HOST, self.watched.port, timeout=20)
        last: dict[int, int] = {}
        while not self._ends.wait(1 / FRAMES_A_SECOND):
            for camera in range(CAMERAS):
                path = f"/api/v1/cameras/cameras/camera-{camera}"
                seen = json.loads(self.watched.get(f"{path}/views", connection))
                number = seen.get("picture", {}).get("number")
                if number not in (None, last.get(camera)):
                    self.watched.get(f"{path}/frame", connection)
                    self.fetched, last[camera] = self.fetched + 1, number

    def end(self) -> None:
        self._ends.set()
        self._thread.join()


def cameras(folder: Path, length: Length) -> list[Mark]:
    """Four cameras beside readings, with nobody and with ten viewers of all of them."""
    found, taken = {}, pictures()
    for count in (0, VIEWERS):
        with site(folder, f"cameras-{count}") as opened, running(folder, opened, True, True, change=look) as watched:
            rate = CAMERAS * FRAMES_A_SECOND
            load = CameraLoad(taken, CAMERAS, int(rate * (length.loaded_s + 20)), rate, qos=0)
            sending = CameraGenerator(load, opened.local.port, opened.login.username, opened.login.password).start()
            status = lambda: json.loads(watched.get("/api/v1/status"))  # noqa: E731
            listed = lambda: json.loads(watched.get("/api/v1/cameras"))["cameras"]  # noqa: E731
            wait_for(lambda: len(listed()) == CAMERAS, "all cameras are known", 30)
            following = [Viewer(watched, fetches=False) for _ in range(count)]
            looking = [CameraViewer(watched) for _ in range(count)]
            time.sleep(bench.IDLE_S)
            readings = Load(10, int(READINGS_A_SECOND * length.loaded_s), READINGS_A_SECOND)
            publishing = generator(opened, readings).start()
            cpu, _ = cpu_share(watched.gateway.pid, length.loaded_s)
            frames = status()["frames"]
            publishing.join(60)
            for viewer in [*following, *looking]:
                viewer.end()
            sending.stop()
            late = percentiles(lateness(opened, publishing, readings))[1]
            found[count] = (cpu, frames["age_ms"]["p99"], late)
            print(
                f"{count:2} viewers, {CAMERAS} cameras: {cpu:.1f} % of a core, frames' age p99 {found[count][1]:.1f} ms, "
                f"readings p99 {late:.1f} ms; {sum(viewer.fetched for viewer in looking)} pictures of {len(taken[0]):,} bytes",
                flush=True,
            )
    (cpu, frame_ms, reading_ms), (cpu_seen, frame_ms_seen, reading_ms_seen) = found[0], found[VIEWERS]
    return [
        Mark.at_most("ten viewers of four cameras at 2/s, % of a core", cpu_seen - cpu, 5.0),
        Mark.at_most("ten viewers of four cameras at 2/s, frames' p99, times", frame_ms_seen / max(frame_ms, 0.1), 1.05, "{:.2f}"),
        Mark.at_most("ten viewers of four cameras at 2/s, readings' p99, times", reading_ms_seen / reading_ms, 1.05, "{:.2f}"),
    ]


def alarm_to_stream(folder: Path, length: Length) -> list[Mark]:
    """From publishing a reading to its alarm in the stream."""
    with site(folder, "alarms") as opened, running(folder, opened, True, True, "alarm") as watched:
        viewer = Viewer(watched, fetches=False)
        time.sleep(bench.IDLE_S)
        load = Load(1, length.alarms, 40)
        sending = generator(opened, load).start()
        sending.join(60)
        wait_for(lambda: len(viewer.seen) >= load.readings, "all are in the stream", 30)
        p50, p99 = percentiles([viewer.seen[float(n)] - sending.sent[n] for n in range(load.readings)])
        viewer.end()
    print(f"alarm to stream:    p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
    return [Mark("alarm to the stream, p99, ms", f"{p99:.1f}")]


# Notes when each observed value of the list has been painted: after the frame in which the browser draws what has changed.
NOTE_WHAT_IS_DRAWN = """() => {
    window.drawn = {};
    const look = () => requestAnimationFrame(() => requestAnimationFrame(() => {
        const at = performance.timeOrigin + performance.now();
        for (const value of document.querySelectorAll(".event .observed b")) {
            const observed = parseFloat(value.textContent);
            if (!(observed in window.drawn)) window.drawn[observed] = at;
        }
    }));
    new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
}"""


def alarm_to_pixel(folder: Path, length: Length) -> list[Mark]:
    """From publishing a reading to its alarm on the screen of a browser that shows the list of events."""
    with site(folder, "pixels") as opened, running(folder, opened, True, True, "alarm") as watched, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(extra_http_headers={"Authorization": f"Bearer {watched.token}"})
        page.goto(f"http://{HOST}:{watched.port}/events")
        page.wait_for_selector('html[data-connection="live"]')
        page.evaluate(NOTE_WHAT_IS_DRAWN)
        # Of the browser's clock.
        offset = time.time() - time.monotonic()
        # Each point has a new value every four seconds, so that every value is on the page for a while.
        load = Load(20, length.drawn, 5)
        sending = generator(opened, load).start()
        sending.join(120)
        drawn: dict[float, float] = {}

        def all_drawn() -> bool:
            drawn.update({float(value): at / 1e3 - offset for value, at in page.evaluate("window.drawn").items()})
            return all(float(number) in drawn for number in range(load.readings - 20, load.readings) if number % 20)

        wait_for(all_drawn, "the last alarms are drawn", 20)
        browser.close()
    # The first point's last value is the load's own sign of its end.
    seen = [number for number in range(load.readings) if float(number) in drawn]
    p50, p99 = percentiles([drawn[float(number)] - sending.sent[number] for number in seen])
    print(f"alarm to pixel:     p50 {p50:.0f} ms, p99 {p99:.0f} ms, {len(seen)} of {load.readings} alarms seen", flush=True)
    missed = load.readings - len(seen)
    return [
        Mark.at_most("alarm to pixel, p99, ms", p99, 500.0, "{:.0f}"),
        Mark.at_most("alarms that were not drawn", missed, 1, "{:.0f}"),
    ]


def many_signals(folder: Path, length: Length) -> list[Mark]:
    """A scrape, the pages, and a reload, of a gateway with many signals."""
    with site(folder, "scrape") as opened, running(folder, opened, True, False) as watched:
        generator(opened, Load(length.signals, length.signals, 5_000, numbered=False)).start().join(120)
        instances = lambda: json.loads(watched.get("/api/v1/status"))["judging"]["instances"]  # noqa: E731
        wait_for(lambda: instances() >= length.signals, "all signals are watched", 60)
        connection = http.client.HTTPConnection(HOST, watched.port, timeout=20)
        times, cpu = [], usage(watched.gateway.pid).cpu_s
        for _ in range(length.scrapes):
            began = time.monotonic()
            text = watched.get("/metrics", connection)
            times.append(time.monotonic() - began)
        spent = 1e3 * (usage(watched.gateway.pid).cpu_s - cpu) / length.scrapes
        p50, p99 = percentiles(times)
        print(
            f"scrape:             p50 {p50:.2f} ms, p99 {p99:.2f} ms, {spent:.2f} ms of a core, {len(text):,} bytes, "
            f"{length.signals:,} signals",
            flush=True,
        )
        scraped = Mark.at_most(f"scrape with {length.signals:,} signals, p99, ms", p99, 2.0, "{:.2f}")
        return [scraped, *pages(watched), *reloads(watched, length)]


def reloads(watched: Watched, length: Length) -> list[Mark]:
    """Judging pauses while the judge of all signals is exchanged, while one that learns comes, changes and leaves."""
    settings, pauses = watched.gateway.settings, {}

    def reload(what: str) -> None:
        watched.gateway.write()
        done = watched.gateway.run("--json", "reload", "-c", str(watched.gateway.configuration))
        answer = json.loads(done.stdout)
        assert answer["outcome"] == "reloaded", answer
        pauses[what] = max(answer["pause_ms"], pauses.get(what, 0.0))

    judges = settings["judge"]
    for number in range(length.reloads):
        judges["bench"] |= {"severity": ("warning", "critical")[number % 2]}
        reload("severity")
        judges["learns"] = {"inputs": ["bench"], "detector": "auto"}
        reload("judge added")
        sending = generator(watched.site, Load(length.signals, length.signals, 5_000, numbered=False)).start()
        sending.join(120)
        judges["learns"] |= {"alarm_budget": f"{1 + number}/day"}
        reload("budget")
        del judges["learns"]
        reload("judge removed")
    print("reload:             " + ", ".join(f"{what} {pause:.1f} ms" for what, pause in pauses.items()), flush=True)
    return [Mark.at_most(f"reload with {length.signals:,} signals, pause, ms", max(pauses.values()), 50.0)]


def pages(watched: Watched) -> list[Mark]:
    """All of the navigation, with what they load; pictures aside."""
    start = watched.get("/").decode()
    navigation = re.search(r"<nav.*?</nav>", start, re.DOTALL)
    paths = dict.fromkeys(["/", *re.findall(r'href="(/[a-z/]*)"', navigation[0] if navigation else ""), "/?wall", "/configuration?all"])
    signal = re.search(r'href="(/signals/[^"?]+)"', watched.get("/signals").decode())
    paths |= {signal[1]: None} if signal else {}
    assets = {path: len(watched.get(path)) for path in set(re.findall(r'(?:href|src)="(/assets/[^"]+)"', start))}
    scripts, styles = (sum(size for path, size in assets.items() if path.endswith(kind)) for kind in (".js", ".css"))
    print(f"scripts:            {scripts:,} bytes, styles {styles:,} bytes")
    sizes = {}
    for path in paths:
        sizes[path] = len(watched.get(path)) + sum(assets.values())
        print(f"page {path:15}{sizes[path]:,} bytes with them", flush=True)
    largest = max(sizes, key=lambda path: sizes[path])
    return [
        Mark.at_most(f"largest page ({largest}), bytes", sizes[largest], PAGE_BYTES, "{:,.0f}"),
        Mark.at_most("scripts of a page, bytes", scripts, SCRIPT_BYTES, "{:,.0f}"),
        Mark.at_most("styles of a page, bytes", styles, STYLE_BYTES, "{:,.0f}"),
    ]


PARTS = (idle, viewers, cameras, alarm_to_stream, alarm_to_pixel, many_signals)


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    length = QUICK if parser.parse_args().quick else Length()
    with tempfile.TemporaryDirectory(prefix="verge-bench-") as name:
        folder = Path(name)
        marks = [mark for part in PARTS for mark in part(folder, length)]
    print(rows(marks))
    print(summary(marks))
    print(machine(), file=sys.stderr)


if __name__ == "__main__":
    main()
