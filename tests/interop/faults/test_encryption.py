"""A store that gets a key, killed on the way: the next start finishes it, and no plain text is left in its files."""

import json
import subprocess
from pathlib import Path

from figures import Figures
from gateway import Gateway
from injection import kill_at
from programs import is_full, verge
from scene import Scene, number_source, threshold
from supervised import Supervised
from waiting import wait_for

DEVICE = "TOPSECRETDEVICE"
ALARMS = 3_000
KEY = "07" * 32
# Calls of the start that encrypts: the first mark, sealing, the rewrite, the cutting of the log.
CALLS = (("pwrite64", range(3, 3_000, 37 if is_full() else 600)), ("ftruncate", (1, 2, 3)), ("fsync", (2, 5, 9)))


def has_plain_text(store: Path) -> bool:
    """Whether the device's name is found in any file of the store."""
    return any(DEVICE.encode() in path.read_bytes() for path in store.iterdir() if path.is_file())


def plain_store(scene: Scene, state: Path) -> Gateway:
    """A gateway that has stopped, with many alarms of one device that wait in its store."""
    judge = {"high": threshold(["plant"], above=0, update_every="0s", lane="alarm")}
    gateway = scene.gateway({"plant": number_source("plant/+/value")}, judge)
    gateway.settings["gateway"]["state_dir"] = str(state)
    scene.start(gateway)
    device = scene.device(f"device of {state.parent.name}")
    for number in range(1, ALARMS + 1):
        device.publish(f"plant/{DEVICE}/value", str(number))
    device.flush()
    wait_for(lambda: look(gateway)["lanes"][0]["last"] >= ALARMS, "all alarms are stored", 120)
    gateway.stop()
    assert has_plain_text(gateway), "the test can see it"
    return gateway


def has_plain_text(gateway: Gateway) -> bool:
    """Whether the device's name is found in any file of the store."""
    files = (path for path in (gateway.state_dir / "store").iterdir() if path.is_file())
    return any(DEVICE.encode() in path.read_bytes() for path in files)


def look(gateway: Gateway) -> dict:
    """What `outbox ls` says; nothing while it cannot be read."""
    said = gateway.run("--json", "outbox", "ls", "-c", str(gateway.configuration))
    return json.loads(said.stdout) if said.returncode == 0 else {"encrypted": False}


def verifies(gateway: Gateway) -> bool:
    """Whether `outbox verify` finds nothing wrong."""
    return gateway.run("outbox", "verify", "-c", str(gateway.configuration)).returncode == 0


def with_key(plain: Gateway, key: Path, call: str, place: int) -> Supervised:
    """A gateway on the same store, with a key, whose first start is killed."""
    key.write_text(KEY)
    key.chmod(0o600)
    plain.settings["gateway"]["store_key_file"] = str(key)
    # strace beside the program, not above it: what ends is the program itself.
    strace, *arguments = kill_at(call, place)
    return Supervised(plain.folder, plain.settings, before=[strace, "-D", *arguments])


def is_done(gateway: Gateway) -> bool:
    """Whether it is encrypted, to the end."""
    listed = look(gateway)
    return listed["encrypted"] and not listed["encryption_unfinished"]


def test_an_interrupted_encryption_is_finished(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    scene.upstream.stop()
    runs = kills = 0
    for call, places in CALLS:
        for place in places:
            where = f"killed at {call} {place}"
            plain = plain_store(scene, tmp_path / f"{call}-{place}" / "state")
            gateway = with_key(plain, tmp_path / "store.key", call, place)
            try:
                gateway.start()
                wait_for(lambda: is_done(gateway), f"it is done, {where}", 120)
            finally:
                gateway.end()
            kills += len(gateway.exits)
            runs += 1
            assert look(gateway)["lanes"][0]["last"] >= ALARMS, where
            assert not has_plain_text(gateway), where
            assert verifies(gateway), where
    assert kills > 0, "some were killed on the way"
    figures.note("encryption", runs=runs, kills=kills, alarms=ALARMS, plain=0)


def test_an_unfinished_encryption_is_reported(scene: Scene, tmp_path: Path) -> None:
    scene.upstream.stop()
    plain = plain_store(scene, tmp_path / "once" / "state")
    killed = with_key(plain, tmp_path / "store.key", "pwrite64", 900)
    # No supervisor: it stays as the kill left it.
    ended = subprocess.run([*killed.before, verge(), "run", "-c", str(killed.write())], capture_output=True, timeout=120, check=False)
    assert ended.returncode != 0, "it was killed"
    assert look(killed)["encryption_unfinished"] and not verifies(killed)
    words = killed.run("outbox", "ls", "-c", str(killed.configuration)).stdout
    assert "encryption unfinished" in words
    assert "encryption unfinished" in killed.check("--offline").stdout
