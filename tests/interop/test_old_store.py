"""Stores and configurations of the program before the house's restructuring, under today's: nothing is lost, nothing changes."""

import re
import subprocess
from pathlib import Path

import pytest

import old_store
from clients import Receiver
from ledger import Ledger
from models import Models
from old_store import CAMERAS, ODD, PUMPS, TAUGHT, USUAL, WrittenGateway, picture, speed
from programs import REPOSITORY, verge
from scene import Scene
from waiting import wait_for
from wire import Verdict

CONFIGS = REPOSITORY / "tests" / "interop" / "fixtures" / "old_configs"
# Commented lines of the old configs/gateway.toml that exclude others of the same file.
EXCLUDED = ("store_key_credential", "listen", "effective_length")


def upgraded(scene: Scene, name: str, tmp_path: Path) -> tuple[WrittenGateway, dict[tuple[str, int], bytes]]:
    """Today's program on a store of the old one, not started; and the bytes that the store holds."""
    folder = tmp_path / name
    folder.mkdir()
    old_store.unpack(name, folder)
    gateway = old_store.gateway(scene, name, folder)
    return gateway, old_store.rows(gateway.state_dir)


def delivered(ledger: Ledger) -> dict[tuple[str, int], bytes | None]:
    """The bytes of each verdict as they arrived, by lane and number."""
    return {(identity.lane, identity.seq): verdict.raw for identity, verdict in ledger.verdicts.items()}


def of(ledger: Ledger, judge: str, device: str) -> list[Verdict]:
    """Verdicts of one judge about one device, in order."""
    return [one for one in ledger.in_order() if (one.fields["judge"], one.fields["device"]) == (judge, device)]


def wait_for_state(receiver: Receiver, judge: str, device: str, count: int, state: str) -> list[Verdict]:
    """Waits until that many verdicts of a judge about a device are there, the last of them with this state."""

    def found() -> list[Verdict]:
        verdicts = of(receiver.ledger(), judge, device)
        is_there = len(verdicts) >= count and verdicts[-1].fields["event"]["state"] == state
        return verdicts if is_there else []

    return wait_for(found, f"{judge} of {device} {state}", 60)


def check_one_event(verdicts: list[Verdict]) -> None:
    """What the old program raised and today's clears is one event."""
    assert len({one.fields["event"]["id"] for one in verdicts}) == 1, verdicts


def check_numbers_go_on(receiver: Receiver, epoch: str) -> None:
    """The store is still that of the old program: no number is missing, none came twice, and no new epoch began."""
    ledger = receiver.ledger()
    ledger.assert_sound()
    assert {identity.epoch for identity in ledger.verdicts} == {epoch}


def test_readings_go_on_where_the_old_program_stopped(scene: Scene, tmp_path: Path) -> None:
    gateway, stored = upgraded(scene, PUMPS, tmp_path)
    assert len(stored) == 12, "what make_pumps() puts in"
    receiver, epoch = scene.receiver(), old_store.epoch(gateway.state_dir)
    try:
        gateway.start()
        scene.site.wait_for_subscriber("verge-old-pumps", 2)
        ledger = receiver.wait_for_verdicts(len(stored))
        assert delivered(ledger) == stored, "as they were stored, byte by byte"
        device = scene.device()
        device.publish("pump/pump-1/pressure", "20")
        check_one_event(wait_for_state(receiver, "high", "pump-1", 2, "cleared"))
        # Not raised again: the event was known.
        check_one_event(wait_for_state(receiver, "record", "pump-1", 4, "cleared"))
        check_one_event(wait_for_state(receiver, "trace", "pump-1", 2, "cleared"))
        # What `auto` had learnt, and its event.
        for number in range(50):
            device.publish("line/line-1/state", speed(10_000 + TAUGHT + number))
        check_one_event(wait_for_state(receiver, "unusual", "line-1", 2, "cleared"))
        device.publish("line/line-2/state", {"speed": 500.0})
        wait_for_state(receiver, "unusual", "line-2", 1, "raised")
        check_numbers_go_on(receiver, epoch)
        assert stored.items() <= delivered(receiver.ledger()).items()
        assert gateway.stop() == 0
    finally:
        print(gateway.log())
        gateway.end()


def test_a_camera_goes_on_where_the_old_program_stopped(scene: Scene, models: Models, tmp_path: Path) -> None:
    """Of one camera the event is open; of both it is known what is usual: the first 150 frames of a camera only teach."""
    gateway, stored = upgraded(scene, CAMERAS, tmp_path)
    assert list(stored) == [("alarm", 1)], "what make_cameras() puts in"
    receiver, epoch = scene.receiver(), old_store.epoch(gateway.state_dir)
    try:
        gateway.start()
        scene.site.wait_for_subscriber("verge-old-cameras-every")
        assert delivered(receiver.wait_for_verdicts(1)) == stored, "as it was stored, byte by byte"
        device = scene.device("cameras")
        for number in range(20):
            device.publish("belt/north/frame", picture(1_000 + number, USUAL))
        check_one_event(wait_for_state(receiver, "strange", "north", 2, "cleared"))
        device.publish("belt/south/frame", picture(2_000, ODD))
        wait_for_state(receiver, "strange", "south", 1, "raised")
        check_numbers_go_on(receiver, epoch)
        assert gateway.stop() == 0
    finally:
        print(gateway.log())
        gateway.end()


def faults(configuration: Path) -> tuple[list[str], str]:
    """The faults that `verge check --offline` finds in a configuration, and its last line."""
    command = [verge(), "check", "--offline", "-c", str(configuration)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith("FAULT")], lines[-1]


@pytest.mark.parametrize("name", ["demo", "gateway", "junction", "pump-room"])
def test_an_old_configuration_is_well_formed(name: str) -> None:
    """The files that it names are not there, which is another matter."""
    found, last = faults(CONFIGS / f"{name}.toml")
    assert not found
    assert "is well formed" in last


def test_every_old_setting_is_still_known(tmp_path: Path) -> None:
    """The old example with each of its commented settings."""
    text = (CONFIGS / "gateway.toml").read_text()
    written = re.sub(rf"^#(?!(?:{'|'.join(EXCLUDED)}) )(?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    configuration = tmp_path / "gateway.toml"
    configuration.write_text(written)
    assert written.count("\n#") < text.count("\n#") - 50, "settings are written now"
    found, last = faults(configuration)
    assert not found
    assert "is well formed" in last
