"""Signals on the dashboard: what a foreign device published is what is shown, with what is expected; pages on phone and desk."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser as Chromium

from gateway import Gateway
from peers import HOST
from scene import Scene, number_source, threshold
from test_dashboard import Browser, add, dashboard, pressure, start, token
from test_dashboard_pages import DESK, PHONE, _chromium, screen  # noqa: F401
from waiting import wait_for

HOSTILE = '<b>"\u202epump&'


def served(scene: Scene, **more: object) -> tuple[Gateway, Browser]:
    gateway, browser = dashboard(scene, **more)
    add(gateway, "operator", "operator")
    start(scene, gateway)
    browser.token = token(gateway, "operator")
    return gateway, browser


def shown(browser: Browser, device: str = "pump-1") -> dict:
    answer = browser.get(f"/api/v1/signals/pump/{quote(device, safe='')}/pressure")
    return answer.json() if answer.status == 200 else {}


def test_what_was_published_is_what_is_shown(scene: Scene) -> None:
    gateway, browser = served(scene)
    assert browser.get("/api/v1/signals").json() == {"signals": []}
    sender = scene.device("sender")
    published = [3.25, -7.125, 1e-3, 123456.789, 0.1]
    for value in published:
        sender.publish("pump/pump-1/pressure", repr(value))
    sender.publish(f"pump/{HOSTILE}/pressure", "5")
    sender.flush()
    wait_for(lambda: shown(browser).get("value") == published[-1], "the newest value is shown exactly")
    one = shown(browser)
    assert one["judges"] == [{"judge": "high", "expected": {"high": 7.5}}]
    history = browser.get("/api/v1/signals/pump/pump-1/pressure/history").json()
    least = min(sample["least"] for sample in history["samples"])
    greatest = max(sample["greatest"] for sample in history["samples"])
    assert least == min(published) and abs(greatest - max(published)) < 0.01, history
    assert [band["changes"][0]["high"] for band in history["bands"]] == [7.5]
    # By a cursor, one at a time.
    first = browser.get("/api/v1/signals?limit=1").json()
    second = browser.get(f"/api/v1/signals?limit=1&after={quote(first['next'], safe='')}").json()
    assert {one["device"] for one in first["signals"] + second["signals"]} == {"pump-1", HOSTILE}
    assert "next" not in second
    assert shown(browser, HOSTILE)["value"] == 5.0
    # Lost at a restart, which the page says.
    gateway.kill()
    start(scene, gateway)
    assert browser.get("/api/v1/signals").json() == {"signals": []}
    assert browser.get("/api/v1/signals/pump/pump-1/pressure").json()["type"] == "unknown_signal"


def test_an_alarm_stands_on_the_page_of_its_signal(scene: Scene, chromium: Chromium) -> None:
    gateway, browser = served(scene)
    pressure(scene, "5")
    pressure(scene, "8.25")
    pressure(scene, "6", HOSTILE)
    wait_for(lambda: shown(browser).get("worst") == "critical", "the alarm is known")
    wait_for(lambda: shown(browser, HOSTILE), "the other is known")
    for size, scheme in ((PHONE, "light"), (DESK, "dark")):
        one = screen(chromium, gateway, size, scheme).log_in()
        page = one.open("/signals?state=abnormal")
        assert page.locator("[data-signal]").count() == 1 and one.fits()
        one.is_accessible("signals, abnormal")
        page = one.open("/signals")
        assert page.locator("[data-signal]").count() == 2 and one.fits()
        one.is_accessible("signals")
        page.click('[data-signal="pump/pump-1/pressure"] a')
        page.wait_for_selector('article[data-signal="pump/pump-1/pressure"][data-value="8.25"]')
        assert page.locator("text=expects at most 7.5").is_visible() and one.fits()
        drawn = "document.querySelector('.chart img').complete && document.querySelector('.chart img').naturalWidth"
        page.wait_for_function(drawn)
        page.click("summary")
        assert page.locator("tbody tr").count() >= 1 and "8.25" in page.locator("tbody").inner_text()
        one.is_accessible("signal")
        page.click("text=Day")
        page.wait_for_url("**?span=day")
        one.is_accessible("signal, a day")
        page.click(".alarms a")
        page.wait_for_selector("[data-event]")
        page.wait_for_function(drawn)
        one.is_accessible("event with its chart")
        page = one.open(f"/signals/pump/{quote(HOSTILE, safe='')}/pressure")
        assert page.locator("h1").inner_text().startswith('<b>"[U+202E]pump&') and one.fits()
        one.end()


def test_a_page_of_a_signal_follows_its_values(scene: Scene, chromium: Chromium) -> None:
    gateway, _ = served(scene)
    pressure(scene, "5")
    desk = screen(chromium, gateway, DESK).log_in()
    page = desk.open("/signals")
    page.wait_for_selector('[data-signal="pump/pump-1/pressure"][data-value="5"]', timeout=30_000)
    pressure(scene, "6.5")
    page.wait_for_selector('[data-signal="pump/pump-1/pressure"][data-value="6.5"]', timeout=30_000)
    desk.end()


def test_a_limit_of_memory_is_checked(scene: Scene) -> None:
    gateway, _ = dashboard(scene, history="many")
    done = gateway.check("--offline")
    assert done.returncode == 78 and "dashboard.history" in done.stdout, done.stdout
    gateway.settings["dashboard"] = {"history": "8 MiB"}
    assert "dashboard.listen" in gateway.check("--offline").stdout
