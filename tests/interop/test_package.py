"""The Debian package and the archive, in a fresh root file system: installed, checked, started, upgraded, removed.

There is no systemd in it: the command of the unit is run by hand, as the unit's user; the unit itself is judged by
systemd-analyze.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients import Receiver
from fresh_root import FreshRoot, make_archive, why_not
from gateway import to_toml
from processes import Process
from programs import REPOSITORY, verge
from scene import PREFIX, Scene, number_source, threshold
from waiting import wait_for

UNIT = REPOSITORY / "examples" / "systemd" / "verge.service"
# systemd-analyze counts in tenths.
EXPOSURE_TENTHS = 15
CONFIGURATION = "/etc/verge/gateway.toml"
STATE = "/var/lib/verge"
BAD_CONFIGURATION = 78
SKIPPED = why_not()

needs_root = pytest.mark.skipif(SKIPPED is not None, reason=f"no fresh root file system: {SKIPPED}")


@dataclass(frozen=True)
class Made:
    """What packaging/package.sh made: this version and the next."""

    deb: Path
    next_deb: Path
    archive: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of the program under test; compressed in haste."""
    out = tmp_path_factory.mktemp("packages")
    for version in ("1.0.0", "1.0.1"):
        command = [str(REPOSITORY / "packaging" / "package.sh"), "--binary", verge(), "--fast", "--out", str(out)]
        done = subprocess.run([*command, "--version", version], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    deb, next_deb = sorted(out.glob("*.deb"))
    return Made(deb, next_deb, min(out.glob("*.tar.zst")))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[FreshRoot]:
    """A fresh root file system, for one test."""
    target = REPOSITORY / "target" / "package"
    target.mkdir(parents=True, exist_ok=True)
    fresh = FreshRoot.unpack(make_archive(target / "fresh-root.tar"), tmp_path / "root")
    yield fresh
    shutil.rmtree(fresh.folder)


def install(root: FreshRoot, deb: Path) -> str:
    """dpkg, without a question."""
    shutil.copy(deb, root.path("/tmp/verge.deb"))
    return root.run("dpkg", "--install", "/tmp/verge.deb")


def configure(root: FreshRoot, scene: Scene) -> None:
    """A configuration and keys as root copies them there: the keys still belong to root."""
    gateway = scene.gateway({"level": number_source("tank/+/level")}, {"high": threshold(["level"], above=0, lane="alarm")})
    settings = gateway.settings
    settings["gateway"]["state_dir"] = STATE
    for section, key in ((settings["local"], "password_file"), *((settings["uplink"]["centre"], k) for k in ("ca", "cert", "key"))):
        file = Path(section[key])
        shutil.copy(file, root.path(f"/etc/verge/certs/{file.name}"))
        section[key] = f"certs/{file.name}"
    root.path(CONFIGURATION).write_text(to_toml(settings))


def as_unit(root: FreshRoot, unit: str, log: Path) -> Process:
    """What the unit would start, as its user."""
    said = dict(re.findall(r"^(ExecStart|User)=(.*)$", root.path(unit).read_text(), re.MULTILINE))
    return root.start("the gateway", log, *said["ExecStart"].split(), user=said["User"])


def start(root: FreshRoot, scene: Scene, unit: str) -> Process:
    """Starts it and waits until nothing published is missed."""
    before = scene.site.subscriptions(scene.client_id)
    process = as_unit(root, unit, root.folder.parent / "gateway.log")
    try:
        scene.site.wait_for_subscriber(scene.client_id, before + 1)
    except TimeoutError as error:
        raise TimeoutError(process.tail()) from error
    return process


def alarm(scene: Scene, device: str) -> None:
    """A reading that raises an alarm, acknowledged by the site's broker."""
    sender = scene.device(f"sender-{device}")
    sender.publish(f"tank/{device}/level", "1")
    sender.flush()


def check_arrives(receiver: Receiver, count: int) -> None:
    """As many alarms as were raised, none twice, no number missing."""
    receiver.wait_for_different(count)
    ledger = receiver.ledger()
    ledger.assert_sound()
    assert len(ledger.verdicts) == count


def test_the_unit_exposes_little(tmp_path: Path) -> None:
    """systemd's own score of the unit, and its own check of what is written there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # With a program that is there: it looks for it.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/verge", verge()))
    for question in (["security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager"], ["verify"]):
        done = subprocess.run(["systemd-analyze", *question, str(unit)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_root
def test_a_package_is_installed_checked_started_upgraded_and_removed(root: FreshRoot, made: Made, scene: Scene) -> None:
    """The life of the Debian package, verdicts included."""
    unit = "/lib/systemd/system/verge.service"
    before = root.files()
    assert "not started" in install(root, made.deb)

    # Installed: the user, its folders, the library; neither enabled nor able to start.
    assert root.run("id", "--name", "--user", "verge").strip() == "verge"
    owners = {path: root.owner_and_mode(path) for path in ("/etc/verge", CONFIGURATION, "/etc/verge/certs", STATE)}
    assert owners == {
        "/etc/verge": "root:verge 750",
        CONFIGURATION: "root:verge 640",
        "/etc/verge/certs": "verge:verge 750",
        STATE: "verge:verge 700",
    }
    assert not [path for path in root.files() if path.startswith("etc/systemd") and path.endswith("verge.service")]
    assert "part of the installed package" in root.run("verge", "runtime", "show", user="verge")
    refused = root.run("verge", "check", "-c", CONFIGURATION, user="verge", ends_with=BAD_CONFIGURATION)
    assert "gateway.id" in refused
    assert as_unit(root, unit, root.folder.parent / "unconfigured.log").wait(20) == BAD_CONFIGURATION

    # Configured: keys that root copied are the service's after set-up.
    configure(root, scene)
    root.run("/usr/lib/verge/set-up")
    assert root.owner_and_mode("/etc/verge/certs/gateway.key") == "verge:verge 600"
    root.run("verge", "check", "-c", CONFIGURATION, "--listen", "0", user="verge")

    # Started: a verdict arrives; what was raised while upstream is away waits.
    receiver = scene.receiver(PREFIX)
    process = start(root, scene, unit)
    alarm(scene, "north")
    check_arrives(receiver, 1)
    scene.upstream.stop()
    alarm(scene, "south")
    list_store = ("verge", "--json", "outbox", "ls", "-c", CONFIGURATION)
    wait_for(lambda: '"waiting":1' in root.run(*list_store, user="verge"), "an alarm that waits")
    assert process.stop() == 0

    # Upgraded: the configuration of this site and its store are as they were.
    mine = root.path(CONFIGURATION).read_text()
    install(root, made.next_deb)
    assert root.run("dpkg-query", "--show", "--showformat=${Version}", "verge").startswith("1.0.1")
    assert root.path(CONFIGURATION).read_text() == mine
    assert root.owner_and_mode(CONFIGURATION) == "root:verge 640"

    # Purged while an alarm waits: it is kept, with the keys, and delivered by the next installation.
    said = root.run("dpkg", "--purge", "verge")
    assert "not delivered" in said and "kept /etc/verge/certs" in said
    assert root.path(f"{STATE}/store/outbox.db").is_file()
    assert not root.path(CONFIGURATION).exists() and not root.path("/usr/bin/verge").exists()
    install(root, made.deb)
    root.path(CONFIGURATION).write_text(mine)
    scene.upstream.start()
    process = start(root, scene, unit)
    check_arrives(receiver, 2)
    wait_for(lambda: '"waiting":1' not in root.run(*list_store, user="verge"), "nothing waits")
    assert process.stop() == 0

    # Removed: state and configuration stay. Purged with everything delivered: nothing stays but the keys.
    root.run("dpkg", "--remove", "verge")
    assert root.path(CONFIGURATION).is_file() and root.path(f"{STATE}/store/outbox.db").is_file()
    assert "kept /etc/verge/certs" in root.run("dpkg", "--purge", "verge")
    left = {path for path in root.files() - before if "verge" in path and not path.startswith("tmp/")}
    assert {path for path in left if not path.startswith("etc/verge")} == set(), left


@needs_root
def test_an_archive_is_installed_started_and_removed(root: FreshRoot, made: Made, scene: Scene) -> None:
    """The life of the archive: its script says what it does, and a dry run does nothing."""
    subprocess.run(["tar", "--extract", "--zstd", "--file", str(made.archive), "--directory", str(root.path("/tmp"))], check=True)
    folder = f"/tmp/{made.archive.name.removesuffix('.tar.zst')}"
    before = root.files()

    said = root.run(f"{folder}/install.sh", "--dry-run")
    assert "/usr/local/bin/verge" in said and "useradd" in said
    assert root.files() == before

    said = root.run(f"{folder}/install.sh")
    assert "install -D -m 755" in said and "not started" in said
    assert "part of the installed package" in root.run("verge", "runtime", "show", user="verge")
    configure(root, scene)
    root.run("/usr/local/lib/verge/set-up")
    root.run("verge", "check", "-c", CONFIGURATION, "--listen", "0", user="verge")
    receiver = scene.receiver(PREFIX)
    unit = "/etc/systemd/system/verge.service"
    process = start(root, scene, unit)
    alarm(scene, "north")
    check_arrives(receiver, 1)

    # Again, as an upgrade: the configuration is kept, the gateway that runs is not disturbed.
    mine = root.path(CONFIGURATION).read_text()
    root.path("/usr/local/lib/verge/files").open("a").write("share/doc/verge/of-an-older-version\n")
    root.path("/usr/local/share/doc/verge/of-an-older-version").write_text("")
    assert f"kept: {CONFIGURATION}" in root.run(f"{folder}/install.sh")
    assert root.path(CONFIGURATION).read_text() == mine
    assert not root.path("/usr/local/share/doc/verge/of-an-older-version").exists()
    alarm(scene, "south")
    check_arrives(receiver, 2)
    assert process.stop() == 0

    shutil.rmtree(root.path(folder))
    said = root.run("/usr/local/lib/verge/install.sh", "--uninstall")
    assert "Kept" in said
    left = {path for path in root.files() - before if "verge" in path}
    assert left and all(path.startswith(("etc/verge", "var/lib/verge")) for path in left), left


@needs_root
def test_an_archive_goes_below_any_prefix_without_a_service(root: FreshRoot, made: Made) -> None:
    """Program and documents alone, somewhere else."""
    subprocess.run(["tar", "--extract", "--zstd", "--file", str(made.archive), "--directory", str(root.path("/tmp"))], check=True)
    folder = f"/tmp/{made.archive.name.removesuffix('.tar.zst')}"
    before = root.files()
    root.run(f"{folder}/install.sh", "--prefix", "/opt/verge", "--no-service")
    assert all(path.startswith("opt/verge") for path in root.files() - before)
    assert "part of the installed package" in root.run("/opt/verge/bin/verge", "runtime", "show")
    assert "unknown option" in root.run(f"{folder}/install.sh", "--perfix", "/opt", ends_with=1)
    root.run(f"{folder}/install.sh", "--uninstall", "--prefix", "/opt/verge")
    assert not {path for path in root.files() - before if not root.path(path).is_dir()}
