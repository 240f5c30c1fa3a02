"""The pages of the dashboard in a browser: journeys on a phone and on a wall, by keyboard, over a lost connection; axe-core
finds nothing serious on any page in any state."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from gateway import Gateway
from peers import HOST, free_port
from programs import REPOSITORY
from scene import Scene, frame_source, looking
from test_dashboard import Browser as Client
from test_dashboard import PASSWORD, add, dashboard, pressure, start
from waiting import wait_for

PHONE, DESK, WALL = (360, 740), (1280, 800), (1920, 1080)
CHROMIUM = "/usr/bin/chromium"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
# What the browser itself says of a gateway that is not there.
NO_CONNECTION = re.compile(r"net::ERR_(CONNECTION_REFUSED|SOCKET_NOT_CONNECTED|INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RESET|EMPTY_RESPONSE)")


@pytest.fixture(name="chromium", scope="module")
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root has no sandbox; the pages are ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Screen:
    """One browser window, and what went wrong in it."""

    context: BrowserContext
    url: str
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def log_in(self, user: str = "operator") -> "Screen":
        self.open("/")
        self.page.fill("#user", user)
        self.page.fill("#password", PASSWORD)
        self.page.click("text=Log in")
        self.page.wait_for_url(self.url + "/")
        return self

    def fits(self) -> bool:
        """Nothing to scroll sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def is_accessible(self, state: str) -> None:
        found = Axe().run(self.page, options=RULES).response["violations"]
        serious = [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], f"{state}: {serious}"

    def end(self, lost: bool = False) -> None:
        errors = [error for error in self.errors if not (lost and NO_CONNECTION.search(error))]
        assert errors == [] and self.hosts == {self.url.split("/")[2]}
        self.context.close()


def screen(chromium: Browser, gateway: Gateway, size: tuple[int, int], scheme: str = "light") -> Screen:
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    context.set_default_timeout(20_000)
    return Screen(context, f"http://{gateway.settings['dashboard']['listen']}")


def started(scene: Scene) -> Gateway:
    gateway, _ = dashboard(scene)
    add(gateway, "operator", "operator")
    return start(scene, gateway)


def test_an_alarm_is_acknowledged_and_shelved_on_a_phone_by_keyboard(scene: Scene, chromium: Browser) -> None:
    gateway = started(scene)
    phone = screen(chromium, gateway, PHONE).log_in()
    page = phone.page
    assert page.locator("text=No event is open.").is_visible() and phone.fits()
    page.click("nav >> text=Events")
    pressure(scene, "8.25")
    event = page.wait_for_selector("[data-event]")
    assert event.get_attribute("data-acknowledged") == "false" and phone.fits()
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.wait_for_selector('[data-acknowledged="true"]')
    assert page.locator("text=acknowledged by dashboard: operator").count() >= 1
    assert page.evaluate("document.activeElement.classList.contains('event')"), "the focus stays in the list"
    page.click("summary")
    # Another event comes while somebody is busy with this one, which stays open.
    pressure(scene, "9", "pump-22")
    page.wait_for_selector('[data-device="pump-22"]')
    page.select_option('[data-device="pump-1"] details[open] select[name=minutes]', "60")
    page.click("[data-device='pump-1'] details[open] button:text-is('Shelve')")
    page.wait_for_selector("text=shelved until")
    # Several at once; what is selected stays so while others come.
    for device in ("pump-22", "pump-23"):
        pressure(scene, "9", device)
        page.locator(f'[data-device="{device}"] label.pick').click()
    pressure(scene, "9", "pump-24")
    page.wait_for_selector('[data-device="pump-24"]')
    assert page.locator("input[name=event]:checked").count() == 2 and phone.fits()
    phone.is_accessible("some are selected")
    page.click("button:text-is('Selected events: acknowledge')")
    for device, acknowledged in (("pump-22", "true"), ("pump-23", "true"), ("pump-24", "false")):
        page.wait_for_selector(f'[data-device="{device}"][data-acknowledged="{acknowledged}"]')
    small = page.evaluate("[...document.querySelectorAll('main button, nav a, summary, label.pick')].filter(e => e.offsetHeight && e.offsetHeight < 44).length")
    assert small == 0, "targets for a thumb"
    phone.end()


def test_a_page_says_that_it_is_old_and_recovers_by_itself(scene: Scene, chromium: Browser) -> None:
    gateway = started(scene)
    pressure(scene, "8.25")
    phone, wall = (screen(chromium, gateway, size).log_in() for size in (PHONE, WALL))
    page, far = phone.open("/events"), wall.open("/?wall")
    page.wait_for_selector("[data-event]")
    far.wait_for_selector(".alarms li")
    assert far.locator("button, nav").count() == 0
    gateway.kill()
    for one in (page, far):
        one.wait_for_selector('html[data-connection="lost"]', timeout=40_000)
        assert one.locator("[data-lost]").is_visible()
    assert page.locator("main button:enabled").count() == 0
    phone.is_accessible("lost")
    scene.start(gateway)
    for one in (page, far):
        one.wait_for_selector('html[data-connection="live"]', timeout=40_000)
        assert not one.locator("[data-lost]").is_visible()
    # What happens after it is shown, by the same login.
    page.click("button:text-is('Acknowledge')")
    page.wait_for_selector('[data-acknowledged="true"]')
    pressure(scene, "5")
    page.wait_for_selector('[data-state="cleared"]')
    far.wait_for_selector("text=No event is open.")
    phone.end(lost=True)
    wall.end(lost=True)


def test_numbers_follow_the_status(scene: Scene, chromium: Browser) -> None:
    gateway = started(scene)
    desk = screen(chromium, gateway, DESK).log_in()
    place = desk.open("/accounts").locator('[data-status="/sources/0/received"]')
    assert place.get_attribute("data-value") == "0"
    pressure(scene, "5")
    wait_for(lambda: place.get_attribute("data-value") == "1" and place.inner_text() == "1", "the number is shown")
    desk.end()


def test_a_refused_button_says_so(scene: Scene, chromium: Browser) -> None:
    gateway = started(scene)
    pressure(scene, "8.25")
    desk = screen(chromium, gateway, DESK).log_in()
    page = desk.open("/events")
    page.wait_for_selector("[data-event]")
    # At once: the page may be fetched anew at any time, and then the form is whole again.
    page.evaluate(
        """action => {
            const form = document.querySelector("form[action$='/acknowledge']");
            form.action = action;
            form.querySelector("button").click();
        }""",
        f"/events/{'0' * 32}/acknowledge",
    )
    page.wait_for_selector("[data-failure]:has-text('is not known here')")
    assert all("404" in error for error in desk.errors)
    desk.errors.clear()
    desk.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scene: Scene, chromium: Browser, scheme: str) -> None:
    gateway = started(scene)
    for size in (PHONE, DESK):
        empty = screen(chromium, gateway, size, scheme)
        empty.open("/login")
        empty.is_accessible("login")
        empty.log_in()
        # The configuration is not for an operator: that page says so.
        for path in ("/", "/events", "/accounts", "/models", "/actions", "/api", "/configuration"):
            empty.open(path)
            empty.is_accessible(f"{path}, {size}")
        empty.errors = [error for error in empty.errors if "403" not in error]
        empty.end()
    pressure(scene, "8.25")
    pressure(scene, "9", "pump-22")
    pressure(scene, "4", "pump-22")
    for size in (PHONE, DESK):
        full = screen(chromium, gateway, size, scheme).log_in()
        page = full.open("/events")
        page.wait_for_selector('[data-state="cleared"]')
        full.is_accessible("events")
        page.locator("summary").first.click()
        full.is_accessible("what operators do")
        event = page.get_attribute("[data-event]", "data-event")
        for path in ("/", "/?wall", f"/events/{event}", "/events?state=past", "/accounts"):
            full.open(path)
            full.is_accessible(f"{path}, {size}")
        full.end()
        missing = screen(chromium, gateway, size, scheme).log_in()
        missing.open("/nothing")
        missing.is_accessible("not found")
        missing.context.close()


def test_a_store_that_takes_nothing_is_said_on_every_page(scene: Scene, chromium: Browser) -> None:
    """Another program holds the file of the store for longer than the gateway waits."""
    gateway = started(scene)
    pressure(scene, "8.25")
    program = Client(int(gateway.settings["dashboard"]["listen"].split(":")[1]))
    phone, wall = screen(chromium, gateway, PHONE).log_in(), screen(chromium, gateway, WALL, "dark").log_in()
    with closing(sqlite3.connect(gateway.state_dir / "store" / "outbox.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        pressure(scene, "9", "pump-9")
        wait_for(lambda: program.get("/readyz").status == 503, "the store is in fault", 30)
        assert phone.open("/").locator("text=does not take verdicts: look at its disk").is_visible()
        for one, path in ((phone, "/"), (phone, "/accounts"), (wall, "/?wall")):
            one.open(path)
            one.is_accessible(f"{path}, a store in fault")
            assert one.fits(), path
        holder.execute("ROLLBACK")
    phone.open("/events").wait_for_selector('[data-device="pump-9"]', timeout=30_000)
    phone.end()
    wall.end()


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_a_configuration_is_checked_and_taken_up_on_its_page(
    scene: Scene, chromium: Browser, size: tuple[int, int]
) -> None:
    gateway, _ = dashboard(scene)
    add(gateway, "admin", "admin")
    start(scene, gateway)
    desk = screen(chromium, gateway, size).log_in("admin")
    page = desk.open("/configuration")
    above = page.locator('[data-key="judge.high.above"]')
    assert above.get_attribute("data-origin") == "file" and "7.5" in above.inner_text() and desk.fits()
    assert page.locator('[data-key="gateway.replay_age"]').count() == 0
    desk.is_accessible("configuration")
    page.click("text=Show defaults as well")
    assert page.locator('[data-key="gateway.replay_age"]').get_attribute("data-origin") == "default"
    desk.is_accessible("all settings")

    # Every fault of what is pasted, and none of it is markup.
    page.fill("#text", gateway.configuration.read_text() + "\n[judge.\"<img src=x onerror=alert(1)>\"]\nodd = 1\n")
    page.click("#check")
    page.wait_for_selector('[data-said="refused"]')
    assert page.locator("#said li").count() >= 2 and page.locator("#said img").count() == 0
    assert page.evaluate("document.activeElement.id") == "said" and desk.fits()
    desk.is_accessible("faults")
    page.fill("#text", gateway.configuration.read_text())
    page.click("#check")
    page.wait_for_selector('[data-said="ok"]:has-text("No fault.")')

    # First what would change, then the change.
    page.click("#reload-dry")
    page.wait_for_selector('[data-said="ok"]:has-text("a reload would change nothing")')
    assert page.locator("#reload-now").count() == 0
    gateway.settings["judge"]["high"]["above"] = 9.5
    gateway.write()
    page.click("#reload-dry")
    page.wait_for_selector("#said:has-text('changed: judge.high.above')")
    desk.is_accessible("what would change")
    page.click("#reload-now")
    page.wait_for_selector("#said:has-text('reloaded in')")
    page.wait_for_selector('[data-key="judge.high.above"]:has-text("9.5")')
    gateway.settings["gateway"]["id"] = "another"
    gateway.write()
    page.click("#reload-dry")
    page.wait_for_selector("[data-said='refused']:has-text('needs a restart')")
    desk.is_accessible("refused")
    desk.end()


def test_models_are_shown_with_their_contract(scene: Scene, chromium: Browser) -> None:
    model = REPOSITORY / "examples" / "junction-model"
    sources = {"north": frame_source("cam/+/frame")}
    judges = {"objects": looking(["north"], "detect", "vehicles")}
    gateway = scene.gateway(sources, judges)
    (file,) = model.glob("*.onnx")
    gateway.settings["model"] = {"vehicles": {"file": str(file)}}
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{free_port()}"}
    gateway.write()
    add(gateway, "operator", "operator")
    start(scene, gateway)
    for size in (PHONE, DESK):
        desk = screen(chromium, gateway, size).log_in()
        page = desk.open("/models")
        card = page.locator('[data-model="vehicles"]').inner_text()
        for part in ("objects", "detect", "CPU", "asked by", "classes"):
            assert part in card, card
        page.click("summary")
        assert desk.fits()
        desk.is_accessible("models")
        page.goto(desk.url + "/api")
        assert "GET /api/v1/models" in page.inner_text("main") and desk.fits()
        desk.is_accessible("interface")
        desk.end()
