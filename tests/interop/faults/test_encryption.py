"""A store that gets a key, killed on the way: the next start finishes it, and no plain text is left in its files."""

import json
import shutil
from pathlib import Path

import pytest

from figures import Figures
from gateway import Gateway
from injection import kill_at
from programs import is_full
from scene import Scene, number_source, threshold
from supervised import Supervised
from waiting import wait_for

DEVICE = "TOPSECRETDEVICE"
ALARMS = 6_000
KEY = "07" * 32
# Calls of the start that encrypts: the first mark, sealing, the rewrite, the cutting of the log.
CALLS = (("pwrite64", range(3, 6_000, 37 if is_full() else 1_200)), ("ftruncate", (1, 2, 3)), ("fsync", (2, 5, 9)))


def has_plain_text(store: Path) -> bool:
    """Whether the device's name is found in any file of the store."""
    return any(DEVICE.encode() in path.read_bytes() for path in store.iterdir() if path.is_file())


def plain_store(scene: Scene) -> Gateway:
    """A gateway that has stopped, with many alarms of one device that wait in its store."""
    judge = {"high": threshold(["plant"], above=0, update_every="0s", lane="alarm")}
    gateway = scene.gateway({"plant": number_source("plant/+/value")}, judge)
    scene.start(gateway)
    device = scene.device()
    for number in range(1, ALARMS + 1):
        device.publish(f"plant/{DEVICE}/value", str(number))
    device.flush()
    stored = lambda: json.loads(gateway.run("--json", "outbox", "ls", "-c", str(gateway.configuration)).stdout)["lanes"][0]
    wait_for(lambda: stored()["last"] >= ALARMS, "all alarms are stored", 120)
    gateway.stop()
    assert has_plain_text(gateway.state_dir / "store"), "the test can see it"
    return gateway


def look(gateway: Gateway) -> tuple[dict, int]:
    """What `outbox ls` and the exit code of `outbox verify` say."""
    said = gateway.run("--json", "outbox", "ls", "-c", str(gateway.configuration))
    return json.loads(said.stdout), gateway.run("outbox", "verify", "-c", str(gateway.configuration)).returncode


def test_an_interrupted_encryption_is_finished(scene_without_upstream: Scene, tmp_path: Path, figures: Figures) -> None:
    scene = scene_without_upstream
    plain = plain_store(scene)
    key = tmp_path / "store.key"
    key.write_text(KEY)
    key.chmod(0o600)
    runs = kills = 0
    for call, places in CALLS:
        for place in places:
            folder = tmp_path / f"{call}-{place}"
            settings = json.loads(json.dumps(plain.settings))
            settings["gateway"] |= {"state_dir": str(folder / "state"), "store_key_file": str(key)}
            shutil.copytree(plain.state_dir, folder / "state")
            gateway = Supervised(folder, settings, before=kill_at(call, place))
            try:
                gateway.start()
                wait_for(lambda: "the store is encrypted" in gateway.whole_log() or look(gateway)[1] == 0, "it is done", 120)
            finally:
                gateway.end()
            kills += len(gateway.exits)
            runs += 1
            listed, sound = look(gateway)
            where = f"killed at {call} {place}"
            assert listed["encrypted"] and not listed["encryption_unfinished"], where
            assert listed["lanes"][0]["last"] == ALARMS, where
            assert not has_plain_text(folder / "state" / "store"), where
            assert sound == 0, where
            shutil.rmtree(folder)
    assert kills > 0, "some were killed on the way"
    figures.note("encryption", runs=runs, kills=kills, alarms=ALARMS, plain=0)


def test_verify_sees_what_an_earlier_version_left(scene_without_upstream: Scene, tmp_path: Path) -> None:
    """The first mark alone, as a kill left it: said by ls and verify, and by check."""
    gateway = plain_store(scene_without_upstream)
    key = tmp_path / "store.key"
    key.write_text(KEY)
    key.chmod(0o600)
    gateway.settings["gateway"]["store_key_file"] = str(key)
    killed = Supervised(gateway.folder, gateway.settings, before=kill_at("pwrite64", 300))
    killed.start()
    wait_for(lambda: killed.exits, "the kill", 60)
    killed.end()
    if not has_plain_text(gateway.state_dir / "store"):
        pytest.skip("its supervisor was quicker")
    listed, sound = look(gateway)
    assert listed["encryption_unfinished"] and sound != 0
    words = gateway.run("outbox", "ls", "-c", str(gateway.configuration)).stdout
    assert "encryption unfinished" in words
