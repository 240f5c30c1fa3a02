"""Retained messages of devices: there again after the broker's process was killed, and after a restart of the gateway."""

import os
import signal
import subprocess
from pathlib import Path

from broker_site import HOST, Site, pump_site
from scene import Scene
from waiting import wait_for

TOPIC = "plant/pump-1/cmd/setting"


def kept(site: Site) -> str:
    """What a client that comes now is given."""
    read = ["-i", "pump-1:reader", "-q", "1", "-t", TOPIC, "-C", "1", "-W", "2"]
    return site.mosquitto("mosquitto_sub", "pump-1", *read).stdout.strip()


def keep(site: Site, payload: str) -> None:
    sent = site.mosquitto("mosquitto_pub", "pump-1", "-i", "pump-1", "-q", "1", "-r", "-t", TOPIC, "-m", payload)
    assert sent.returncode == 0, sent.stderr


def test_retained_messages_outlive_the_broker_and_the_gateway(scene: Scene, tmp_path: Path) -> None:
    with pump_site(scene, tmp_path, retained=True) as site:
        keep(site, "1")
        assert kept(site) == "1"
        killed = wait_for(lambda: site.broker_process(), "the broker's process")
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: site.broker_process() not in (None, killed), "it is started again")
        wait_for(lambda: kept(site) == "1", "the broker has it again")
        keep(site, "2")
        file = site.gateway.state_dir / "broker.retained"
        site.gateway.stop()
        assert b"2" in file.read_bytes() and file.stat().st_mode & 0o777 == 0o600
        site.gateway.start()
        site.wait_until_served()
        wait_for(lambda: kept(site) == "2", "the next run has it")
        # The gateway is killed: as of some seconds ago.
        keep(site, "3")
        wait_for(lambda: b"3" in file.read_bytes(), "it is written", 30)
        site.gateway.kill()
        site.gateway.start()
        site.wait_until_served()
        wait_for(lambda: kept(site) == "3", "the next run has it")
        assert site.broker_until(lambda broker: broker["retained"] == 1)["retained_not_kept"] == 0
        # A file that is damaged is set aside, and the gateway serves.
        site.gateway.stop()
        file.write_bytes(file.read_bytes()[:-1])
        site.gateway.start()
        site.wait_until_served()
        assert kept(site) == "" and file.with_suffix(".damaged").exists()
        assert "its content is damaged" in site.gateway.whole_log()


def test_nothing_is_kept_where_retained_messages_are_refused(scene: Scene, tmp_path: Path) -> None:
    with pump_site(scene, tmp_path) as site:
        sent: subprocess.CompletedProcess[str] = site.mosquitto(
            "mosquitto_pub", "pump-1", "-i", "pump-1", "-q", "1", "-r", "-t", TOPIC, "-m", "1"
        )
        assert sent.returncode != 0
        site.gateway.stop()
        assert not (site.gateway.state_dir / "broker.retained").exists()


def test_a_device_that_retains_without_end_fills_no_memory_and_leaves_room_for_others(
    scene: Scene, tmp_path: Path
) -> None:
    with pump_site(scene, tmp_path, retained=True) as site:
        flooding = site.paho("flood", "flood")
        flooding.connect(HOST, site.port)
        flooding.loop_start()
        before = sum(site.memory_kib().values())
        for number in range(900):
            sent = flooding.publish(f"plant/flood/{number}", bytes(60_000), qos=1, retain=True)
            sent.wait_for_publish(20)
            assert sent.is_published()
        # Nothing older stands in place of what is not retained.
        changed = flooding.publish("plant/flood/0", bytes(64_000), qos=1, retain=True)
        changed.wait_for_publish(20)
        flooding.disconnect()
        assert sum(site.memory_kib().values()) - before < 32 * 1024
        keep(site, "1")
        assert kept(site) == "1", "another device has room"
        site.broker_until(lambda broker: broker["retained_not_kept"] > 800)
