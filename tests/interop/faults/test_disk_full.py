"""A disk that fills up under the whole gateway: it says so, acknowledges nothing that it cannot keep, and goes on when there is room."""

import json
from pathlib import Path

import pytest

from certificates import Certificates
from figures import Figures
from injection import fail_at
from media import small_disk
from scene import GATEWAY_ID, Scene, number_source, threshold
from supervised import Supervised
from waiting import wait_for

NUMBERS = 2_000


def test_a_full_disk_loses_nothing(tmp_path: Path, certificates: Certificates, figures: Figures) -> None:
    with small_disk(tmp_path / "disk", 40) as disk:
        scene = Scene(tmp_path / "scene", certificates).open()
        try:
            fill_and_free(scene, disk, figures)
        finally:
            print(scene.logs())
            scene.close()


def fill(path: Path) -> None:
    """Fills the disk to the last byte."""
    with path.open("ab", buffering=0) as out:
        piece = 1 << 16
        while piece:
            try:
                out.write(bytes(piece))
            except OSError:
                piece //= 2


def give_back(path: Path, mib: int) -> None:
    """Makes room on the disk."""
    with path.open("r+b") as out:
        out.truncate(max(path.stat().st_size - (mib << 20), 0))


@pytest.mark.parametrize("mib", [24, 4])
def test_a_little_room_is_used_without_a_restart(tmp_path: Path, certificates: Certificates, figures: Figures, mib: int) -> None:
    """The disk is full, upstream away; some room comes back, less than the ballast asks for: the alarms go on."""
    with small_disk(tmp_path / "disk", 64) as disk:
        scene = Scene(tmp_path / "scene", certificates).open()
        try:
            receiver = scene.receiver()
            judge = {"numbered": threshold(["numbers"], above=0, update_every="0s", lane="alarm")}
            gateway = scene.gateway({"numbers": number_source("numbers/+/value")}, judge)
            gateway.settings["gateway"] |= {"state_dir": str(disk / "state"), "replay_bytes": "0 B"}
            scene.start(gateway)
            device = scene.device()
            device.publish("numbers/counter/value", "1")
            receiver.wait_for_verdicts(1)
            # In good order: it keeps the receiver's session.
            scene.upstream.stop()
            hog = disk / "hog"
            fill(hog)
            # What the ballast gives up is taken as well, again and again, until the gateway is full for good.
            number = 1

            def publish(count: int) -> None:
                nonlocal number
                for number in range(number + 1, number + count + 1):
                    device.publish("numbers/counter/value", str(number))
                device.flush()

            def is_full() -> bool:
                fill(hog)
                publish(100)
                return "the disk of the store is full" in gateway.whole_log()

            wait_for(is_full, "the disk is full", 120)
            fill(hog)
            give_back(hog, mib)
            publish(500)
            ls = lambda: json.loads(gateway.run("--json", "outbox", "ls", "-c", str(gateway.configuration)).stdout)
            wait_for(lambda: ls()["lanes"][0]["last"] >= number, f"all alarms are stored in {mib} MiB", 60)
            assert not (disk / "state/store/ballast").exists(), "there is no room for the ballast"
            scene.upstream.start()
            ledger = receiver.wait_for_verdicts(number, 120)
            ledger.assert_sound()
            wait_for(lambda: receiver.statuses()[-1]["store"]["state"] == "ok", "all is well again", 60)
            hog.unlink()
            wait_for(lambda: (disk / "state/store/ballast").exists(), "the ballast is back", 60)
            figures.note("disk full, a little room", mib=mib, alarms=number, lost=0, duplicates=ledger.duplicates)
        finally:
            print(scene.logs())
            scene.close()


def test_a_quota_that_is_used_up_is_a_full_disk(tmp_path: Path, certificates: Certificates, figures: Figures) -> None:
    """EDQUOT for a while: the store is full, not broken, and goes on by itself."""
    scene = Scene(tmp_path / "scene", certificates).open()
    try:
        receiver = scene.receiver()
        judge = {"numbered": threshold(["numbers"], above=0, update_every="0s", lane="alarm")}
        settings = scene.gateway({"numbers": number_source("numbers/+/value")}, judge).settings
        gateway = Supervised(tmp_path, settings)
        store = tmp_path / "scene/state/store"
        store.mkdir(parents=True)
        paths = [part for name in ("outbox.db-wal", "outbox.probe", "ballast") for part in ("-P", str(store / name))]
        # The log, the file that asks whether it is a quota, and the ballast that would be made again.
        strace, *log = fail_at("pwrite64", "EDQUOT", "40..140")
        others = ["-e", "trace=pwrite64,write,fallocate", "-e", "inject=write:error=EDQUOT:when=1+", "-e", "inject=fallocate:error=EDQUOT:when=2+"]
        gateway.before = [strace, "-D", *paths, *log, *others]
        scene.start(gateway)
        device = scene.device()
        for number in range(1, 401):
            device.publish("numbers/counter/value", str(number))
        device.flush()
        wait_for(lambda: "its quota is used up" in gateway.whole_log(), "it says that it is full", 60)
        ledger = receiver.wait_for_verdicts(400, 120)
        ledger.assert_sound()
        wait_for(lambda: receiver.statuses()[-1]["store"]["state"] == "ok", "all is well again", 60)
        assert "storage fault" not in gateway.whole_log()
        assert gateway.exits == []
        figures.note("quota used up", alarms=400, lost=0, duplicates=ledger.duplicates)
    finally:
        print(gateway.log())
        gateway.end()
        scene.close()


def fill_and_free(scene: Scene, disk: Path, figures: Figures) -> None:
    """Fills the disk under a gateway at work, then makes room."""
    receiver = scene.receiver()
    judge = {"numbered": threshold(["numbers"], above=0, update_every="0s", lane="verdict")}
    gateway = scene.gateway({"numbers": number_source("numbers/+/value")}, judge)
    gateway.settings["gateway"]["state_dir"] = str(disk / "state")
    scene.start(gateway)
    device = scene.device()

    def publish(first: int, last: int) -> None:
        for number in range(first, last + 1):
            device.publish("numbers/counter/value", str(number))
        device.flush()

    publish(1, 200)
    receiver.wait_for_verdicts(200)
    scene.upstream.kill()
    hog = disk / "hog"
    fill(hog)
    publish(201, NUMBERS)
    wait_for(lambda: "full" in gateway.log() or "storage fault" in gateway.log(), "the gateway says that the disk is full", 60)
    assert gateway.is_running, "a full disk does not end it"
    scene.upstream.start()
    wait_for(lambda: receiver.statuses()[-1:] and receiver.statuses()[-1]["store"]["state"] != "ok", "the status says so", 60)
    hog.unlink()
    ledger = receiver.wait_for_verdicts(NUMBERS, 120)
    ledger.assert_sound()
    observed = sorted(verdict.fields["anomaly"]["observed"] for verdict in ledger.in_order("verdict"))
    assert observed == list(range(1, NUMBERS + 1)), "each reading once"
    wait_for(lambda: receiver.command(GATEWAY_ID, command="ledger")["ok"], "it still answers")
    wait_for(lambda: receiver.statuses()[-1]["store"]["state"] == "ok", "all is well again", 60)
    figures.note("disk full", acknowledged=NUMBERS, lost=0, duplicates=ledger.duplicates)
