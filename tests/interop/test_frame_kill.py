"""kill -9 in the middle of frames of which every one counts: each is judged, and no verdict is lost."""

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import pictures
from models import Models
from programs import is_full
from scene import Scene, frame_source, looking
from waiting import wait_for

MODEL = "yolox_nano"
FRAMES = 1200 if is_full() else 240
KILLS = 10 if is_full() else 3
# Fast enough that the gateway always has some in hand, slow enough that it is killed before the last.
A_SECOND = 60


def publish_frames(scene: Scene) -> threading.Thread:
    """Publishes real frames in the background, QoS 1, each from a camera of its own, so that it is known by name."""
    frames = [picture.path.read_bytes() for picture in pictures.spread(pictures.traffic(), 60)]
    device = scene.device()

    def run() -> None:
        start = time.monotonic()
        for number, frame in zip(range(FRAMES), itertools.cycle(frames)):
            time.sleep(max(0.0, start + number / A_SECOND - time.monotonic()))
            device.publish(f"road/frame-{number}/frame", frame)
        device.flush()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("lane", ["alarm", "verdict"])
def test_gateway_killed_among_frames(scene: Scene, models: Models, lane: str) -> None:
    receiver = scene.receiver()
    judges = {"objects": looking(["cameras"], "detect", MODEL, lane=lane)}
    cards = {MODEL: {"file": str(models.real(MODEL))}}
    gateway = scene.start(scene.gateway({"cameras": frame_source("road/+/frame")}, judges, model=cards))
    publisher = publish_frames(scene)
    so_far = lambda: len(receiver.ledger().verdicts)  # noqa: E731
    for kill in range(1, KILLS + 1):
        kill_at = kill * FRAMES // (KILLS + 2)
        wait_for(lambda at=kill_at: so_far() >= at, f"{kill_at} verdicts")
        assert publisher.is_alive() or so_far() < FRAMES, "killed in the middle"
        gateway.kill()
        gateway.start()
    publisher.join()

    expected = {f"frame-{number}" for number in range(FRAMES)}
    reported = lambda: {verdict.fields["device"] for verdict in receiver.ledger().in_order()}  # noqa: E731
    wait_for(lambda: expected <= reported(), "a verdict on each frame", 120)
    ledger = receiver.wait_for_verdicts(FRAMES)
    ledger.assert_sound()
    judged = Counter(verdict.fields["device"] for verdict in ledger.in_order())
    assert set(judged) == expected
    twice = sum(count - 1 for count in judged.values())
    print(f"{KILLS} kills: {FRAMES} frames judged, {twice} of them twice; {ledger.duplicates} verdicts came twice")
    assert gateway.stop() == 0
    status = receiver.wait_for_status("stopped")
    (source,) = status["sources"]
    assert source["received"] == source["judged"] + source["superseded"] + source["refused"] + source["in_flight"]
    assert status["local"]["outstanding"] == 0


def test_cameras_are_known_after_a_kill(scene: Scene, models: Models) -> None:
    """What was reported of each camera is not reported again; what differs from it is, as if nothing had happened."""
    receiver = scene.receiver()
    judges = {"objects": looking(["cameras"], "detect", MODEL, report="change", update_every="never")}
    cards = {MODEL: {"file": str(models.real(MODEL))}}
    gateway = scene.start(scene.gateway({"cameras": frame_source("road/+/frame")}, judges, model=cards))
    device = scene.device()
    seen = [picture.path.read_bytes() for picture in pictures.spread(pictures.traffic(), 4)]
    blank = (Path(__file__).parent.parent / "fixtures" / "pictures" / "grey.jpg").read_bytes()
    for number, frame in enumerate(seen):
        device.publish(f"road/{number}/frame", frame)
    device.flush()
    receiver.wait_for_verdicts(len(seen))
    gateway.kill()
    gateway.start()

    # The same of each, and then another: of one camera.
    for _ in range(2):
        for number, frame in enumerate(seen):
            device.publish(f"road/{number}/frame", frame)
    device.publish("road/0/frame", blank)
    device.flush()
    ledger = receiver.wait_for_verdicts(len(seen) + 1)
    ledger.assert_sound()
    assert gateway.stop() == 0
    status = receiver.wait_for_status("stopped")
    assert status["sources"][0]["judged"] == 2 * len(seen) + 1
    reported = [verdict.fields["device"] for verdict in receiver.ledger().in_order()]
    assert Counter(reported) == Counter({"0": 2, "1": 1, "2": 1, "3": 1}), reported
