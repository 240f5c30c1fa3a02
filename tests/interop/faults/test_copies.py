"""Stores that are not the one that ran last: copies put back, snapshots of a disk, files taken away."""

import shutil
from pathlib import Path

import pytest
from clients import Receiver
from gateway import Gateway
from media import Power
from scene import Scene, number_source, threshold
from waiting import wait_for


def site(scene: Scene, state: Path | None = None) -> tuple[Gateway, Receiver]:
    """A gateway that alarms at each reading, and who receives."""
    judges = {"alarms": threshold(["pump"], above=0, update_every="0s")}
    gateway = scene.gateway({"pump": number_source("plant/+/vibration")}, judges)
    if state is not None:
        gateway.settings["gateway"]["state_dir"] = str(state)
    receiver = scene.receiver()
    scene.start(gateway)
    return gateway, receiver


def alarms(scene: Scene, receiver: Receiver, values: range) -> None:
    """One alarm for each value, and it arrives."""
    before = len(receiver.ledger().in_order("alarm"))
    device = scene.device(client_id=f"device-{values.start}")
    for value in values:
        device.publish("plant/pump-1/vibration", str(value))
    device.flush()
    receiver.wait_for_different(before + len(values))


def epochs(receiver: Receiver) -> list[str]:
    """Epochs of the statuses, each once, in order."""
    return list(dict.fromkeys(status["epoch"] for status in receiver.statuses() if "epoch" in status))


def test_a_copy_put_back_gives_no_number_twice(scene: Scene, tmp_path: Path) -> None:
    gateway, receiver = site(scene)
    alarms(scene, receiver, range(1, 4))
    assert gateway.stop() == 0
    shutil.copytree(gateway.state_dir, tmp_path / "copy")
    scene.start(gateway)
    alarms(scene, receiver, range(4, 7))
    assert gateway.stop() == 0
    shutil.rmtree(gateway.state_dir)
    shutil.copytree(tmp_path / "copy", gateway.state_dir)
    scene.start(gateway)
    alarms(scene, receiver, range(7, 10))
    assert len(epochs(receiver)) == 2
    receiver.ledger().assert_sound()


def test_a_snapshot_of_a_disk_put_back_is_recognised_by_the_status_upstream(scene: Scene, tmp_path: Path) -> None:
    power = Power(tmp_path)
    with power.on() as disk:
        gateway, receiver = site(scene, disk / "state")
        alarms(scene, receiver, range(1, 4))
        with power.after_cut() as snapshot:
            alarms(scene, receiver, range(4, 7))
            assert gateway.stop() == 0
            receiver.wait_for_status("stopped")
            # Numbered before the gateway can know better.
            gateway.settings["gateway"]["state_dir"] = str(snapshot / "state")
            gateway.start()
            alarms(scene, receiver, range(7, 10))
            wait_for(lambda: len(epochs(receiver)) == 2, "a new epoch")
            receiver.ledger().assert_sound()
            assert "never gave" in gateway.whole_log()
            gateway.end()


@pytest.mark.parametrize("what", ["", "store", "store/outbox.db", "store/outbox.db-wal", "gateway.lock"])
def test_files_taken_away_end_the_gateway_and_lose_nothing(scene: Scene, what: str) -> None:
    gateway, receiver = site(scene)
    alarms(scene, receiver, range(1, 4))
    target = gateway.state_dir / what
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    wait_for(lambda: not gateway.is_running, "it notices", seconds=20)
    assert "deleted, moved or replaced" in gateway.whole_log() or "deleted or moved" in gateway.whole_log()
    scene.start(gateway)
    alarms(scene, receiver, range(4, 7))
    receiver.ledger().assert_sound()
