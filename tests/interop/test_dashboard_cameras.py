"""Cameras on the dashboard, with frames of a real clip that a foreign client publishes: pictures, what is seen in them, masks,
roles, and the editor of lines."""

import io
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from gateway import Gateway, Settings
from peers import HOST, free_port
from programs import REPOSITORY, data, tool
from scene import Scene, frame_source
from test_dashboard import Browser as Client
from test_dashboard import add, start, token
from test_dashboard_pages import DESK, PHONE, WALL, Screen, _chromium, screen
from waiting import wait_for

__all__ = ["_chromium"]

MODEL = {"junction": {"file": str(REPOSITORY / "examples/junction-model/junction.toml")}}
RATE = 12.5
CAMERA = "cameras/north"
MASK_GREY = 114


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The pictures of a clip in which cars drive by."""
    folder = tmp_path_factory.mktemp("clip")
    source = data() / "video_clips" / "car-detection.mp4"
    subprocess.run([tool("ffmpeg"), "-loglevel", "error", "-i", str(source), "-q:v", "5", str(folder / "%06d.jpg")], check=True, timeout=120)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def junction(scene: Scene, **source: object) -> Gateway:
    """A gateway whose camera counts what moves."""
    line = {"middle": {"from": [0.0, 0.5], "to": [1.0, 0.5]}}
    judge: Settings = {"inputs": ["cameras"], "detector": "track", "model": "junction", "blobs": "count", "line": line}
    silent = {"inputs": ["cameras"], "detector": "silence", "after": "4s", "severity": "critical"}
    source = frame_source("road/+/frame", **({"frames": "newest"} | source))
    gateway = scene.gateway({"cameras": source}, {"crossing": judge, "silent": silent}, MODEL)
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{free_port()}", "pictures": "operator"}
    gateway.write()
    add(gateway, "operator", "operator")
    add(gateway, "viewer", "viewer")
    return start(scene, gateway)


def client(gateway: Gateway, login: str = "operator") -> Client:
    """With a token, which works within two seconds."""
    made = Client(int(gateway.settings["dashboard"]["listen"].split(":")[1]), token=token(gateway, login))
    wait_for(lambda: made.get("/api/v1/status").status == 200, "the token works")
    return made


@contextmanager
def driving(scene: Scene, clip: list[bytes], device: str = "north") -> Iterator[None]:
    """The camera sends the clip over and over, as fast as it was taken."""
    stop = threading.Event()
    camera = scene.device(f"camera-{device}-{time.monotonic_ns()}")

    def drive() -> None:
        while True:
            for picture in clip:
                camera.publish_raw(f"road/{device}/frame", picture, 0)
                if stop.wait(1 / RATE):
                    return

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def picture(client: Client, path: str = CAMERA) -> bytes:
    """The newest picture, as bytes."""
    import http.client

    connection = http.client.HTTPConnection(client.host, client.port, timeout=20)
    connection.request("GET", f"/api/v1/cameras/{path}/frame", headers={"Authorization": f"Bearer {client.token}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body


def is_hidden(shown: Image.Image) -> bool:
    """Whether the left half is filled in, away from its border."""
    low, high = shown.crop((8, 8, shown.width // 2 - 16, shown.height - 8)).getextrema()
    return MASK_GREY - 6 <= low and high <= MASK_GREY + 6


def test_a_picture_is_what_the_camera_sent_and_is_for_operators(scene: Scene, clip: list[bytes]) -> None:
    gateway = junction(scene)
    with driving(scene, clip):
        operator, viewer = client(gateway), client(gateway, "viewer")
        wait_for(lambda: operator.get("/api/v1/cameras").json()["cameras"], "the camera is known")
        assert picture(operator) in clip, "not a byte is another"
        answer = operator.get(f"/api/v1/cameras/{CAMERA}/views").json()
        assert answer["picture"]["width"] == Image.open(io.BytesIO(clip[0])).size[0]
        assert viewer.get(f"/api/v1/cameras/{CAMERA}/frame").status == 403
        assert viewer.get(f"/api/v1/cameras/{CAMERA}/views").status == 403
        assert viewer.get(f"/api/v1/cameras/{CAMERA}").json()["received"] > 0
        # What is followed comes with the pictures.
        seen = wait_for(lambda: operator.get(f"/api/v1/cameras/{CAMERA}/views").json()["objects"], "an object", 60)
        assert 0 <= seen[0]["area"][0] <= 1 and seen[0]["track"] is not None
    assert operator.get("/api/v1/cameras/cameras/nobody/frame").json()["type"] == "unknown_camera"


def test_the_masked_picture_is_the_only_one(scene: Scene, clip: list[bytes]) -> None:
    mask = {"window": {"polygon": [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]}}
    gateway = junction(scene, mask=mask)
    with driving(scene, clip):
        operator = client(gateway)
        wait_for(lambda: operator.get("/api/v1/cameras").json()["cameras"], "the camera is known")
        shown = Image.open(io.BytesIO(picture(operator))).convert("L")
    assert is_hidden(shown)
    assert shown.crop((shown.width // 2 + 16, 0, shown.width, shown.height)).getextrema()[1] > 140
    assert operator.get(f"/api/v1/cameras/{CAMERA}/views").json()["picture"]["masked"]


def test_cameras_are_watched_on_a_phone_over_a_restart(scene: Scene, clip: list[bytes], chromium: Browser) -> None:
    gateway = junction(scene)
    phone = screen(chromium, gateway, PHONE).log_in()
    page = phone.open("/cameras")
    assert page.locator("text=No frame has come since").is_visible()
    with driving(scene, clip):
        figure = page.wait_for_selector(f'[data-camera="{CAMERA}"] img')
        assert page.get_attribute("[data-camera]", "data-stale") == "false" and phone.fits()
        phone.is_accessible("cameras")
        page.click("figcaption a")
        page.wait_for_url("**/cameras/cameras/north")
        page.wait_for_selector(f'[data-camera="{CAMERA}"] [data-detection]', timeout=60_000)
        numbers = {page.get_attribute("[data-camera]", "data-number") for _ in range(20) if page.wait_for_timeout(100) is None}
        assert len(numbers) >= 4, "it follows"
        assert page.locator("svg rect").count() > 0 and phone.fits()
        phone.is_accessible("one camera")
    # Nothing comes any more.
    page.wait_for_selector('[data-stale="true"]')
    assert page.locator(".veil").is_visible() and "no picture since" in page.inner_text(".veil")
    assert int(page.get_attribute("[data-camera]", "data-age-ms") or 0) > 1_000
    phone.is_accessible("stale")
    gateway.kill()
    page.wait_for_selector('html[data-connection="lost"]', timeout=40_000)
    scene.start(gateway)
    with driving(scene, clip):
        page.wait_for_selector('html[data-connection="live"]', timeout=40_000)
        page.wait_for_selector('[data-stale="false"]', timeout=20_000)
    assert figure is not None
    # The camera is unknown until it has sent something after the restart.
    phone.errors = [error for error in phone.errors if "404" not in error]
    phone.end(lost=True)


def test_a_wall_turns_to_the_camera_of_the_worst_alarm(scene: Scene, clip: list[bytes], chromium: Browser) -> None:
    gateway = junction(scene)
    wall = screen(chromium, gateway, WALL).log_in()
    page = wall.open("/?wall")
    assert page.locator("[data-camera]").count() == 0
    operator = client(gateway)
    with driving(scene, clip):
        wait_for(lambda: operator.get("/api/v1/cameras").json()["cameras"], "the camera is known")
    page.wait_for_selector(f'[data-camera="{CAMERA}"]', timeout=30_000)
    page.wait_for_selector("text=no picture since", timeout=40_000)
    # Whoever is sent the event sees the camera that it is about.
    event = page.get_attribute(".alarms a", "href")
    phone = screen(chromium, gateway, PHONE).log_in()
    phone.open(event).wait_for_selector(f'[data-camera="{CAMERA}"]')
    phone.is_accessible("an event of a camera")
    assert phone.fits()
    phone.end()
    with driving(scene, clip):
        page.wait_for_selector("text=No event is open.", timeout=30_000)
        wait_for(lambda: page.locator("[data-camera]").count() == 0, "it turns away", 30)
    wall.end()


def test_a_hostile_camera_is_inert(scene: Scene, clip: list[bytes], chromium: Browser) -> None:
    name = "<img src=x onerror=alert(1)>\u202e'\"&"
    gateway = junction(scene)
    desk = screen(chromium, gateway, DESK).log_in()
    with driving(scene, clip, name):
        page = desk.open("/cameras")
        page.wait_for_selector("[data-camera] img")
        assert page.get_attribute("[data-camera]", "data-camera") == f"cameras/{name}"
        page.click("figcaption a")
        page.wait_for_selector("[data-camera] img")
        assert "[U+202E]" in page.inner_text("h1") and "<img" in page.inner_text("h1")
        page.click("text=Draw lines and zones")
        page.wait_for_selector("[data-drawing] img")
    desk.end()


def drawing(client: Client) -> tuple[dict, str]:
    answer = client.get(f"/api/v1/drawings/{CAMERA}")
    return answer.json(), answer.headers["etag"]


def test_a_line_is_tried_saved_and_undone(scene: Scene, clip: list[bytes], chromium: Browser) -> None:
    gateway = junction(scene)
    desk: Screen = screen(chromium, gateway, DESK).log_in()
    written = gateway.configuration.read_text()
    with driving(scene, clip):
        operator = client(gateway)
        wait_for(lambda: operator.get("/api/v1/cameras").json()["cameras"], "the camera is known")
        page = desk.open(f"/lines/{CAMERA}")
        page.wait_for_selector("[data-drawing] img")
        desk.is_accessible("the editor")
        page.click("text=Add a line to crossing")
        page.wait_for_selector("input[value='line-1']")
        fields = page.locator("fieldset:has(input[value='line-1'])")
        fields.locator("input[name$='-name']").fill("stop")
        # By keyboard, and by the pointer.
        for field, value in (("-x0", "0"), ("-y0", "0.5"), ("-x1", "1"), ("-y1", "0.3")):
            fields.locator(f"input[name$='{field}']").fill(value)
        page.locator("[data-drawing]").scroll_into_view_if_needed()
        handle = page.locator("circle.handle").last.bounding_box()
        box = page.locator("[data-drawing] svg").bounding_box()
        assert handle and box
        page.mouse.move(handle["x"] + handle["width"] / 2 - 2, handle["y"] + handle["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        assert abs(float(fields.locator("input[name$='-y1']").input_value()) - 0.5) < 0.02
        # The tracks of a round of the clip.
        page.wait_for_timeout(int(len(clip) / RATE * 1000))
        page.click("#try")
        tried = page.inner_text('[data-tried="stop"]')
        assert " forward" in tried and tried != "0 forward, 0 backward", tried
        assert page.inner_text('[data-tried="middle"]') == tried, "it lies where the other does"
        assert len(drawing(operator)[0]["judges"][0]["lines"]) == 1, "nothing is saved yet"
        page.click("#save")
        page.wait_for_selector("text=drawn by operator")
        lines = operator.get(f"/api/v1/cameras/{CAMERA}/views").json()
        wait_for(lambda: {line["name"] for line in operator.get(f"/api/v1/cameras/{CAMERA}/views").json()["lines"]} == {"middle", "stop"}, "the judge counts by it")
        assert lines is not None and gateway.configuration.read_text() == written, "the operator's file is his"
        checked = gateway.check("--offline")
        assert "judge.crossing.line.stop: drawn by operator" in checked.stdout, checked.stdout
        patch = gateway.run("config", "drawn", "-c", str(gateway.configuration))
        assert patch.returncode == 0 and "[judge.crossing.line.stop]" in patch.stdout, patch
        # It outlives a restart.
        gateway.stop()
        start(scene, gateway)
        wait_for(lambda: operator.get(f"/api/v1/drawings/{CAMERA}").status == 200, "the camera is known again")
        assert len(drawing(operator)[0]["judges"][0]["lines"]) == 2
        page = desk.open(f"/lines/{CAMERA}")
        page.click("#undo")
        wait_for(lambda: len(drawing(operator)[0]["judges"][0]["lines"]) == 1, "the version before is at work")
        assert (gateway.state_dir / "drawn.toml.1").exists()
    desk.errors = [error for error in desk.errors if "404" not in error]
    desk.end(lost=True)


def test_programs_draw_and_faults_change_nothing(scene: Scene, clip: list[bytes]) -> None:
    gateway = junction(scene)
    with driving(scene, clip):
        operator, viewer = client(gateway), client(gateway, "viewer")
        wait_for(lambda: operator.get("/api/v1/cameras").json()["cameras"], "the camera is known")
        known, tag = drawing(operator)

        def put(document: dict, by: Client = operator, tag: str = tag) -> tuple[int, dict]:
            path = f"/api/v1/drawings/{CAMERA}"
            answer = by.ask("PUT", path, json.dumps(document), Content_Type="application/json", If_Match=tag)
            return answer.status, answer.json()

        outside = json.loads(json.dumps(known))
        outside["judges"][0]["lines"] = [{"name": "a b", "from": [0, 0], "to": [2, 0]}, {"name": "x", "from": [0, 0], "to": [0, 0]}]
        status, problem = put(outside)
        assert status == 422 and problem["type"] == "invalid" and len(problem["faults"]) == 2, problem
        assert put(known, viewer)[0] == 403
        assert put(known, tag='"old"')[0] == 412
        masked = json.loads(json.dumps(known))
        masked["masks"] = [{"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}]
        status, now = put(masked)
        assert status == 200 and not now["masks"][0]["fixed"], now
        wait_for(lambda: operator.get(f"/api/v1/cameras/{CAMERA}/views").json().get("picture", {}).get("masked"), "it is hidden", 20)
        assert put(masked)[0] == 412, "the tag is another now"
        shown = Image.open(io.BytesIO(picture(operator))).convert("L")
        assert is_hidden(shown)
    assert [path.name for path in Path(gateway.state_dir).glob("drawn.toml*")] != []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_with_a_camera(scene: Scene, clip: list[bytes], chromium: Browser, scheme: str) -> None:
    mask = {"window": {"polygon": [[0.0, 0.0], [0.2, 0.0], [0.2, 0.3]]}}
    gateway = junction(scene, mask=mask)
    phone = screen(chromium, gateway, PHONE, scheme).log_in()
    with driving(scene, clip):
        phone.open("/cameras").wait_for_selector("[data-camera] img")
        for path in ("/", "/?wall", "/cameras", f"/cameras/{CAMERA}", f"/lines/{CAMERA}"):
            phone.open(path)
            phone.is_accessible(f"{path}, {scheme}")
            assert phone.fits(), path
        # What is tried is kept, and a fault says what it is about.
        page = phone.page
        page.click("text=Add a zone to crossing")
        page.fill("fieldset:has(input[value='zone-1']) input[name$='-x0']", "0.5")
        page.fill("fieldset:has(input[value='zone-1']) input[name$='-y0']", "0.7")
        page.click("#save")
        page.wait_for_selector(".faults >> text=zone-1")
        phone.is_accessible(f"a fault, {scheme}")
        assert phone.fits() and page.input_value("fieldset:has(input[value='zone-1']) input[name$='-x0']") == "0.5"
    phone.end()
    # Who may not see pictures, nor draw.
    viewer = screen(chromium, gateway, PHONE, scheme).log_in("viewer")
    for path in ("/cameras", f"/cameras/{CAMERA}", f"/lines/{CAMERA}"):
        viewer.open(path)
        viewer.is_accessible(f"{path} of a viewer, {scheme}")
        assert viewer.fits(), path
    viewer.errors = [error for error in viewer.errors if "403" not in error]
    viewer.end()
