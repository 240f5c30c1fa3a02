"""Pictures of the dashboard's pages for the documentation, as they are: from the demo, in a browser.

    python tests/interop/dashboard_pictures.py                  all pages that there are, into docs/
    python tests/interop/dashboard_pictures.py overview events  only these
    python tests/interop/dashboard_pictures.py --list

A page is a line of PAGES. Pages that this build does not have are passed over, unless they are named.
"""

import argparse
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

from programs import REPOSITORY, verge

DOCS = REPOSITORY / "docs"
CHROMIUM = "/usr/bin/chromium"
DESK, PHONE, WALL = (1280, 800), (390, 780), (1600, 900)
QUALITY = 82
# A picture of the documentation is small.
MOST_BYTES = 150_000
LINK = re.compile(r"^dashboard: (http://[^/]+)(/login/once\?ticket=\S+)$")
# By then the first faults of the demo have come, and the uplink still works.
STORY_S = 14
SECONDS = 90


@dataclass(frozen=True)
class View:
    """What is taken."""

    path: str
    size: tuple[int, int] = DESK
    # What must be there before; and what is followed to the page, from the path.
    wait: str = "main"
    follow: tuple[str, ...] = ()
    dark: bool = False


PAGES = {
    "overview": View("/", wait="[data-live]"),
    "events": View("/events", wait="[data-event]"),
    "event-phone": View("/events", PHONE, wait="main", follow=("[data-event] a",)),
    "cameras": View("/cameras", wait="[data-camera] img"),
    "camera": View("/cameras", wait="[data-camera] img", follow=("[data-camera] a",)),
    "signals": View("/signals"),
    "signal": View("/signals", wait="main img", follow=("main a[href^='/signals/'][href*='vibration']",)),
    "lines": View("/cameras", wait="[data-drawing] img", follow=("[data-camera] a", "a[href^='/lines/']")),
    "models": View("/models"),
    "configuration": View("/configuration"),
    "accounts": View("/accounts"),
    "wall": View("/?wall", WALL, dark=True),
}


class Demo:
    """A run of the demo, and the link that it prints."""

    def __init__(self) -> None:
        command = [verge(), "demo", "--seconds", str(SECONDS)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url, self.link = self._link()

    def _link(self) -> tuple[str, str]:
        assert self.process.stdout
        for line in self.process.stdout:
            if found := LINK.match(line.strip()):
                return found[1], found[2]
        raise RuntimeError(f"the demo ends with {self.process.wait()} and prints no link")

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout
        self.process.stdout.read()
        self.process.wait(60)


def shoot(context: BrowserContext, url: str, view: View) -> bytes | None:
    """A picture of a page; nothing where there is no such page."""
    page: Page = context.new_page()
    try:
        page.set_viewport_size({"width": view.size[0], "height": view.size[1]})
        page.emulate_media(color_scheme="dark" if view.dark else "light")
        answer = page.goto(url + view.path)
        if answer is None or answer.status == 404:
            return None
        for link in view.follow:
            page.wait_for_selector(link)
            page.locator(link).first.click()
        page.wait_for_selector(view.wait)
        # Pictures come a moment after the page.
        page.wait_for_timeout(1_500)
        return page.screenshot()
    finally:
        page.close()


def write(name: str, picture: bytes) -> Path:
    """As WebP, small."""
    path = DOCS / f"dashboard-{name}.webp"
    Image.open(BytesIO(picture)).convert("RGB").save(path, "WEBP", quality=QUALITY, method=6)
    if path.stat().st_size > MOST_BYTES:
        raise RuntimeError(f"{path} has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,} are for a picture of the documentation")
    return path


def main() -> None:
    """Takes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="names of PAGES")
    parser.add_argument("--list", action="store_true", help="say which there are, and end")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{name:16}{view.path}" for name, view in PAGES.items()))
        return
    unknown = set(arguments.pages) - set(PAGES)
    if unknown:
        parser.error(f"no such page: {', '.join(sorted(unknown))}; there are {', '.join(PAGES)}")
    demo = Demo()
    missing = []
    try:
        with sync_playwright() as playwright:
            # Root has no sandbox; the pages are ours.
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            context = browser.new_context()
            context.set_default_timeout(30_000)
            first = context.new_page()
            first.goto(demo.url + demo.link)
            first.wait_for_url(demo.url + "/")
            first.wait_for_timeout(STORY_S * 1_000)
            first.close()
            for name in arguments.pages or PAGES:
                picture = shoot(context, demo.url, PAGES[name])
                if picture is None:
                    missing.append(name)
                    print(f"{name}: there is no page {PAGES[name].path}")
                    continue
                path = write(name, picture)
                print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} bytes", flush=True)
            browser.close()
    finally:
        demo.end()
    if arguments.pages and missing:
        sys.exit(f"not taken: {', '.join(missing)}")


if __name__ == "__main__":
    main()
