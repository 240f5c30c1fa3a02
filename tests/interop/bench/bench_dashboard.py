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
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import bench
from dashboard_cameras import cameras
from dashboard_site import QUICK, VIEWERS, Length, Viewer, Watched, cpu_share, generator, lateness, running, site
from load import Load
from marks import Mark, rows, summary
from peers import HOST
from playwright.sync_api import sync_playwright
from report import machine, percentiles
from usage import usage
from waiting import wait_for

CHROMIUM = "/usr/bin/chromium"
PAGE_BYTES, SCRIPT_BYTES, STYLE_BYTES = 300_000, 40_000, 20_000


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
    """A flood of verdicts: processor time and the p99 of readings, without and with ten viewers."""
    rate = length.rate
    load = Load(10, int(rate * length.loaded_s), rate)
    found = {}
    for count in (0, VIEWERS):
        with site(folder, f"viewers-{count}") as opened, running(folder, opened, True, True) as watched:
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
