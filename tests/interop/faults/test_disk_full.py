"""A disk that fills up under the whole gateway: it says so, acknowledges nothing that it cannot keep, and goes on when there is room."""

from pathlib import Path

from certificates import Certificates
from figures import Figures
from media import small_disk
from scene import GATEWAY_ID, Scene, number_source, threshold
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
    with hog.open("wb") as out:
        try:
            while True:
                out.write(bytes(1 << 16))
                out.flush()
        except OSError:
            pass
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
