"""The embedded broker and devices that log in by a password: mosquitto's own clients and files, and paho-mqtt."""

import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from broker_site import HOST, Site, pump_site
from programs import tool, verge
from scene import Scene
from waiting import wait_for

# A file is looked at every few seconds, and read once it has stopped changing.
TAKEN_UP_S = 60.0


def passwd(file: Path, name: str, password: str, *more: str) -> None:
    command = [verge(), "broker", "passwd", name, "--file", str(file), *(more or ("--password-stdin",))]
    done = subprocess.run(command, input=f"{password}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def publishes(site: Site, name: str, *login: str) -> subprocess.CompletedProcess[str]:
    """mosquitto_pub without a certificate."""
    where = ["-h", HOST, "-p", str(site.port), "--cafile", str(site.certificates.ca), "-i", name, *login]
    what = ["-q", "1", "-t", f"plant/{name}/vibration", "-m", "9.5"]
    return subprocess.run([tool("mosquitto_pub"), *where, *what], capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("protocol", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_devices_log_in_and_are_cut_off_when_their_login_changes(scene: Scene, tmp_path: Path, protocol: int) -> None:
    logins = tmp_path / "broker.passwords"
    passwd(logins, "pump-1", "correct horse")
    passwd(logins, "pump-2", "battery staple")
    assert "correct" not in logins.read_text()
    with pump_site(scene, tmp_path, passwords=str(logins)) as site:
        good = publishes(site, "pump-1", "-u", "pump-1", "-P", "correct horse")
        assert good.returncode == 0, good.stderr
        wait_for(lambda: site.verdicts("pump-1") == 1, "the reading is judged")
        # With a certificate no password is needed.
        assert site.mosquitto("mosquitto_pub", "pump-3", "-i", "pump-3", "-t", "plant/pump-3/x", "-m", "1").returncode == 0
        for login in ([], ["-u", "pump-1", "-P", "wrong"], ["-u", "nobody", "-P", "correct horse"]):
            assert publishes(site, "pump-1", *login).returncode != 0, login
        # Another's name, and another's topic.
        assert publishes(site, "pump-2", "-u", "pump-1", "-P", "correct horse").returncode != 0
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="pump-2", protocol=protocol)
        client.tls_set(str(site.certificates.ca))
        client.username_pw_set("pump-2", "battery staple")
        connected, ended = threading.Event(), threading.Event()
        client.on_connect = lambda *_: connected.set()
        client.on_disconnect = lambda *_: ended.set()
        client.reconnect_delay_set(min_delay=600, max_delay=600)
        client.connect(HOST, site.port)
        client.loop_start()
        assert connected.wait(10)
        passwd(logins, "pump-2", "another secret")
        assert ended.wait(TAKEN_UP_S), "its password has changed"
        assert publishes(site, "pump-1", "-u", "pump-1", "-P", "correct horse").returncode == 0
        assert publishes(site, "pump-2", "-u", "pump-2", "-P", "battery staple").returncode != 0
        assert publishes(site, "pump-2", "-u", "pump-2", "-P", "another secret").returncode == 0
        client.disconnect()
        client.loop_stop()
        status = site.broker(password=4, foreign_client_id=1)
        assert status["serving"] and status["restarts"] == 0


def test_a_site_moves_from_mosquitto_with_its_files(scene: Scene, tmp_path: Path) -> None:
    passwords, rules = tmp_path / "passwd", tmp_path / "acl"
    made = [tool("mosquitto_passwd"), "-b", "-c", str(passwords), "pump-1", "from mosquitto"]
    subprocess.run(made, check=True, capture_output=True)
    rules.write_text("user pump-1\ntopic write plant/pump-1/#\n")
    moved = [verge(), "broker", "import", "--passwords", str(passwords), "--acl", str(rules), "--dir", str(tmp_path)]
    done = subprocess.run(moved, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "broker.passwords" in done.stdout, done.stderr
    files = {"passwords": str(tmp_path / "broker.passwords"), "acl_file": str(tmp_path / "broker.acl")}
    with pump_site(scene, tmp_path, **files) as site:
        good = publishes(site, "pump-1", "-u", "pump-1", "-P", "from mosquitto")
        assert good.returncode == 0, good.stderr
        wait_for(lambda: site.verdicts("pump-1") == 1, "the reading is judged")
        assert publishes(site, "pump-1", "-u", "pump-1", "-P", "other").returncode != 0
