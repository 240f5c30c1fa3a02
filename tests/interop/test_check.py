"""`verge check` against real brokers: what is wrong is named, and says where."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from certificates import Certificates
from gateway import Gateway
from peers import HOST, free_port
from scene import Scene, number_source, threshold

UNAVAILABLE, BAD_CONFIG = 69, 78


def gateway_of(scene: Scene) -> Gateway:
    """A gateway whose configuration is good."""
    return scene.gateway({"pump": number_source("plant/+/vibration")}, {"high": threshold(["pump"], above=7.1, clear_below=6.5)})


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Everything it said."""
    return done.stdout + done.stderr


def test_a_good_configuration_passes(scene: Scene) -> None:
    done = gateway_of(scene).check("--listen", "0")
    assert done.returncode == 0, said(done)
    assert "is good\n" in done.stdout


def test_alarms_that_nobody_could_follow_are_named(scene: Scene) -> None:
    gateway = gateway_of(scene)
    judges = gateway.settings["judge"]
    quiet = gateway.check("--offline")
    assert "is good\n" in quiet.stdout, said(quiet)
    for changes in ({}, {"raise_after": "15s"}, {"clear_after": "15s"}, {"clear_below": 6.5}, {"severity": "info"}):
        judges["high"] = threshold(["pump"], above=7.1) | changes
        done = gateway.check("--offline")
        assert done.returncode == 0, said(done)
        assert ("judge.high: neither hysteresis nor a delay" in done.stdout) == (not changes), said(done)
    judges["high"] = threshold(["pump"], above=7.1, clear_below=6.5, severity="critical")
    assert "raise critical ones" not in gateway.check("--offline").stdout, "one judge is no share"
    judges["quiet"] = {"inputs": ["pump"], "detector": "silence", "after": "5m", "severity": "critical"}
    assert "2 of 2 judges that raise alarms raise critical ones" in gateway.check("--offline").stdout
    judges["quiet"]["severity"] = "warning"
    assert "raise critical ones" not in gateway.check("--offline").stdout


def test_sources_that_hear_nothing_or_cannot_read_what_they_hear_are_named(scene: Scene) -> None:
    gateway = gateway_of(scene)
    gateway.settings["source"] |= {
        "mute": number_source("mute/+/level"),
        "words": number_source("words/+/level"),
        "kept": number_source("kept/+/level"),
    }
    rare = {"inputs": ["pump"], "alarm_budget": "1/year", "budget_of": "signal"}
    gateway.settings["judge"]["usual"] = {"detector": "auto"} | rare
    device = scene.device()
    device.publish("kept/k1/level", "1", retain=True)
    device.publish("mute/m1/level", "1" * 40_000_000, retain=True)
    device.flush()
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(0.1):
            device.publish("plant/pump-1/vibration", "7.5")
            device.publish("words/w1/level", "high")
            device.publish("words/w2/level", "7,5")

    publishing = threading.Thread(target=publish)
    publishing.start()
    try:
        began = time.monotonic()
        done = gateway.check("--listen", "2")
        assert time.monotonic() - began > 2, "it has stopped listening at the first messages"
    finally:
        ended.set()
        publishing.join()
    assert done.returncode == 0, said(done)
    for words in (
        'source.pump: received on "plant/+/vibration": messages: ',
        ", signals: 1, ",
        'the first "pump-1 level: 7.5"',
        'source.mute.topic: nothing arrived on "mute/+/level"',
        "source.words.topic: ",
        'not_a_number on "words/w1/level", 4 bytes, `high`',
        'not_a_number on "words/w2/level", 3 bytes, `7,5`, which looks like a decimal comma',
        "1 that the broker had retained",
        "a message larger than the gateway takes was received, on \"mute/m1/level\": 400000",
        "judge.usual.alarm_budget: can never be supported: pump-1 level sends ",
        "is good, with 5 warnings",
    ):
        assert words in done.stdout, f"{words!r} is not in\n{said(done)}"


@dataclass
class Fault:
    """A change to a good configuration, how check must end, and what it must say."""

    section: tuple[str, ...]
    changes: dict[str, object]
    code: int
    words: tuple[str, ...]


@pytest.fixture
def strangers(tmp_path: Path) -> Certificates:
    """Certificates of another authority."""
    return Certificates.make(tmp_path / "strangers")


def faults(scene: Scene, strangers: Certificates) -> dict[str, Fault]:
    """What people get wrong."""
    local, centre = ("local",), ("uplink", "centre")
    wrong = scene.folder / "wrong.password"
    wrong.write_text("not the password")
    unused = free_port()
    stranger = strangers.gateway
    site = f"{HOST}:{scene.site.port}"
    upstream = f"{HOST}:{scene.upstream.port}"
    return {
        "wrong password": Fault(local, {"password_file": str(wrong)}, UNAVAILABLE, (site, "password")),
        "unknown user": Fault(local, {"username": "nobody"}, UNAVAILABLE, (site, "user")),
        "nobody listens": Fault(local, {"url": f"mqtt://{HOST}:{unused}"}, UNAVAILABLE, (f"{HOST}:{unused}",)),
        "nobody listens upstream": Fault(centre, {"url": f"mqtts://{HOST}:{unused}"}, UNAVAILABLE, (f"{HOST}:{unused}",)),
        "another authority": Fault(centre, {"ca": str(strangers.ca)}, UNAVAILABLE, (upstream, "certificate")),
        "another name": Fault(
            centre, {"url": f"mqtts://localhost:{scene.upstream.port}"}, UNAVAILABLE, ("localhost", "name")
        ),
        "a stranger's certificate": Fault(
            centre, {"cert": str(stranger.cert), "key": str(stranger.key)}, UNAVAILABLE, (upstream, "certificate")
        ),
        "TLS towards a plain port": Fault(
            centre, {"url": f"mqtts://{HOST}:{scene.site.port}"}, UNAVAILABLE, (site,)
        ),
        "no such certificate": Fault(centre, {"ca": "/nowhere/ca.pem"}, BAD_CONFIG, ("/nowhere/ca.pem",)),
        "key of another certificate": Fault(centre, {"key": str(stranger.key)}, BAD_CONFIG, (str(stranger.key),)),
        "plaintext upstream": Fault(
            centre, {"url": f"mqtt://{HOST}:1883"}, BAD_CONFIG, ("uplink.centre.url", "insecure_plaintext")
        ),
    }


def test_each_fault_is_named(scene: Scene, strangers: Certificates) -> None:
    wrong = []
    for what, fault in faults(scene, strangers).items():
        gateway = gateway_of(scene)
        section = gateway.settings
        for key in fault.section:
            section = section[key]
        section |= fault.changes
        done = gateway.check("--listen", "0")
        missing = [word for word in fault.words if word not in said(done)]
        if done.returncode != fault.code or missing:
            wrong.append(f"{what}: exit {done.returncode}, expected {fault.code}; not said: {missing}\n{said(done)}")
        assert "panicked" not in said(done)
        assert "not the password" not in said(done)
    assert not wrong, "\n".join(wrong)


def test_all_faults_come_at_once(scene: Scene) -> None:
    gateway = gateway_of(scene)
    gateway.settings["gateway"]["store_cap"] = "many"
    gateway.settings["source"]["pump"]["codec"] = "xml"
    gateway.settings["judge"]["high"]["abvoe"] = 3
    gateway.settings["uplink"]["centre"]["window"] = -1
    done = gateway.check()
    assert done.returncode == BAD_CONFIG
    for key in ("gateway.store_cap", "source.pump.codec", "judge.high.abvoe", "uplink.centre.window"):
        assert key in said(done)


def test_a_check_beside_a_running_gateway_disturbs_nothing(scene: Scene) -> None:
    receiver = scene.receiver()
    gateway = scene.start(gateway_of(scene))
    receiver.wait_for_status("online")
    done = gateway.check()
    assert done.returncode in (0, 75), said(done)
    assert gateway.stop() == 0
    status = receiver.wait_for_status("stopped")
    assert status["local"]["connections"] == 1, "check took over the gateway's session"
    assert [route["connections"] for route in status["routes"]] == [1]
    assert not [s for s in receiver.statuses() if s["state"] == "offline"]
