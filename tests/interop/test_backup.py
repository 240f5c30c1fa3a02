"""docs/backup.md as written: its commands back a store up, put it back and refuse a downgrade; no number is given twice."""

import re
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path

from gateway import Gateway
from programs import REPOSITORY, verge
from scene import Scene, number_source, threshold
from waiting import wait_for

PAGE = (REPOSITORY / "docs" / "backup.md").read_text()
BAD_CONFIG = 78


def commands(section: str) -> list[str]:
    """The commands of a section of the page, without comments."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = (line.split("#")[0].strip() for line in text.splitlines() if line.startswith("    "))
    return [line for line in lines if line]


class Page:
    """Runs the page's commands on a gateway of a test, with its own paths."""

    def __init__(self, scene: Scene, gateway: Gateway, folder: Path):
        self.scene, self.gateway, self.folder = scene, gateway, folder
        self.backups: dict[str, Path] = {}
        folder.mkdir(exist_ok=True)

    def run(self, section: str) -> None:
        """All of them, in order."""
        for command in commands(section):
            self._run(command)

    def _run(self, command: str) -> None:
        if command == "systemctl stop verge":
            assert self.gateway.stop() == 0
        elif command == "systemctl start verge":
            self.scene.start(self.gateway)
        elif command.startswith("cd "):
            assert command == "cd /var/lib/verge"
        else:
            command = command.replace("/backup/", f"{self.folder}/")
            command = command.replace("gateway.toml", str(self.gateway.configuration))
            words = shlex.split(command)
            words[0] = verge() if words[0] == "verge" else words[0]
            extra = ["--listen", "0"] if words[1] == "check" else []
            done = subprocess.run([*words, *extra], cwd=self.gateway.state_dir, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def alarms(scene: Scene, receiver, values: range) -> None:
    """One alarm for each value, and it arrives."""
    before = len(receiver.ledger().in_order("alarm"))
    device = scene.device(client_id=f"device-{values.start}")
    for value in values:
        device.publish("plant/pump-1/vibration", str(value))
    device.flush()
    receiver.wait_for_different(before + len(values))


def site(scene: Scene) -> Gateway:
    """A gateway that alarms at each reading."""
    judges = {"alarms": threshold(["pump"], above=0, update_every="0s")}
    return scene.start(scene.gateway({"pump": number_source("plant/+/vibration")}, judges))


def test_a_backup_is_put_back_as_written_and_gives_no_number_twice(scene: Scene, tmp_path: Path) -> None:
    receiver, gateway = scene.receiver(), site(scene)
    page = Page(scene, gateway, tmp_path / "backup")
    alarms(scene, receiver, range(1, 4))
    page.run("Back up")
    alarms(scene, receiver, range(4, 7))
    page.run("Restore")
    alarms(scene, receiver, range(7, 10))
    epochs = {status["epoch"] for status in receiver.statuses() if "epoch" in status}
    assert len(epochs) == 2
    receiver.ledger().assert_sound()


def test_an_upgrade_goes_on_at_its_numbers(scene: Scene, tmp_path: Path) -> None:
    receiver, gateway = scene.receiver(), site(scene)
    alarms(scene, receiver, range(1, 4))
    Page(scene, gateway, tmp_path / "backup").run("Upgrade")
    alarms(scene, receiver, range(4, 7))
    assert len({status["epoch"] for status in receiver.statuses() if "epoch" in status}) == 1
    receiver.ledger().assert_sound()


def test_a_downgrade_is_refused_in_the_words_of_the_page_and_works_as_written(scene: Scene, tmp_path: Path) -> None:
    receiver, gateway = scene.receiver(), site(scene)
    alarms(scene, receiver, range(1, 4))
    assert gateway.stop() == 0
    # To this program it is what its own store is to an older one.
    state_dir, newer = gateway.state_dir, tmp_path / "newer"
    (newer / "store").mkdir(parents=True)
    shutil.copy(state_dir / "store" / "outbox.db", newer / "store" / "outbox.db")
    connection = sqlite3.connect(newer / "store" / "outbox.db")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.close()
    gateway.settings["gateway"]["state_dir"] = str(newer)
    done = gateway.run("run", "-c", str(gateway.write()))
    assert done.returncode == BAD_CONFIG
    quoted = re.search(r'"the store \.\.\. (.*)"', PAGE)
    assert quoted
    expected = quoted[1].replace("version 4", f"version {version + 1}").replace("up to 2", f"up to {version}")
    assert expected in done.stdout + done.stderr
    gateway.settings["gateway"]["state_dir"] = str(state_dir)
    scene.start(gateway)
    alarms(scene, receiver, range(4, 7))
    Page(scene, gateway, tmp_path / "backup").run("Downgrade")
    alarms(scene, receiver, range(7, 10))
    receiver.ledger().assert_sound()
    # And up again.
    assert gateway.stop() == 0
    shutil.rmtree(gateway.state_dir / "store")
    (gateway.state_dir / "store-newer").rename(gateway.state_dir / "store")
    scene.start(gateway)
    alarms(scene, receiver, range(10, 13))
    wait_for(lambda: gateway.is_running, "the gateway runs")
    receiver.ledger().assert_sound()
