"""Past events on the dashboard, out of the store: over a restart, by a cursor, beside a committer that goes on."""

from playwright.sync_api import Browser as Chromium

from gateway import Gateway
from scene import Scene
from test_dashboard import Browser, add, dashboard, start, token
from test_dashboard_pages import DESK, PHONE, _chromium, screen  # noqa: F401
from waiting import wait_for

EVENTS = 7


def with_past(scene: Scene) -> tuple[Gateway, Browser]:
    """A gateway that was started again after some events of one point, the last of which is open."""
    gateway, browser = dashboard(scene)
    add(gateway, "operator", "operator")
    start(scene, gateway)
    browser.token = token(gateway, "operator")
    sender = scene.device("sender")
    for _ in range(EVENTS):
        sender.publish("pump/pump-1/pressure", "8.25")
        sender.publish("pump/pump-1/pressure", "5")
    sender.publish("pump/pump-1/pressure", "9")
    sender.flush()
    wait_for(lambda: len(verdicts(browser)) == 2 * EVENTS + 1, "all of it is stored")
    gateway.kill()
    start(scene, gateway)
    return gateway, browser


def verdicts(browser: Browser) -> list[dict]:
    found, after = [], 0
    while after is not None:
        answer = browser.get(f"/api/v1/verdicts?lane=alarm&limit=4&after={after}").json()
        found += answer["verdicts"]
        after = answer.get("next")
    return found


def past(browser: Browser, query: str = "") -> list[dict]:
    found, after = [], ""
    for _ in range(20):
        answer = browser.get(f"/api/v1/events?state=past&limit=3{query}{after}").json()
        found += answer["events"]
        if "next" not in answer:
            return found
        after = f"&after={answer['next']}"
    raise AssertionError("it does not end")


def test_past_events_outlive_a_restart(scene: Scene) -> None:
    _, browser = with_past(scene)
    stored = verdicts(browser)
    assert [verdict["seq"] for verdict in stored] == list(range(1, 2 * EVENTS + 2))
    cleared = [verdict for verdict in stored if verdict["event"]["state"] == "cleared"]
    found = past(browser)
    assert [event["id"] for event in found] == [verdict["event"]["id"] for verdict in reversed(cleared)]
    assert all(event["state"] == "cleared" and event["device"] == "pump-1" for event in found)
    opened = browser.get("/api/v1/events?state=open").json()["events"]
    assert len(opened) == 1 and opened[0]["id"] not in [event["id"] for event in found]
    middle = found[3]["decided"]
    since = past(browser, f"&from={middle}")
    assert since == [event for event in found if event["decided"] >= middle] and len(since) >= 4
    assert past(browser, "&device=nobody") == [] == past(browser, "&to=2020-01-01T00:00")
    # One of them by itself, which the board does not know.
    assert browser.get(f"/api/v1/events/{found[-1]['id']}").json() == found[-1]
    # The committer goes on meanwhile.
    sender = scene.device("later")
    sender.publish("pump/pump-1/pressure", "5")
    sender.flush()
    wait_for(lambda: len(past(browser)) == EVENTS + 1, "the newest is there")


def test_a_past_event_is_found_by_a_person(scene: Scene, chromium: Chromium) -> None:
    gateway, _ = with_past(scene)
    for size in (PHONE, DESK):
        one = screen(chromium, gateway, size).log_in()
        page = one.open("/events")
        page.click("text=Past events")
        page.wait_for_url("**state=past")
        assert page.locator('[data-state="cleared"]').count() == EVENTS and one.fits()
        one.is_accessible("past events")
        page.locator("[data-event] a").last.click()
        page.wait_for_selector('article[data-state="cleared"]')
        one.is_accessible("a past event")
        page = one.open("/events?state=past&to=2020-01-01T00:00")
        assert page.locator("text=No event that the filter takes").is_visible()
        one.end()
