"""Edge nodes of Sparkplug B as devices of a site: npm sparkplug-client, and payloads by protobuf that no good node sends."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from clients import Device, Receiver
from gateway import Gateway
from scene import Scene, threshold
from sparkplug import REBIRTH, Payload
from waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "target" / "node" / "node_modules"
GROUP, NODE, DEVICE = "plant", "edge-1", "pump-1"
PRESSURE = {"name": "pressure", "alias": 4, "type": "Double"}
DOUBLE, UINT32 = 10, 7


@dataclass
class EdgeNode:
    """A process of Node.js."""

    scene: Scene
    births: dict[str, list[dict]]
    _process: subprocess.Popen | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.scene.folder / "edge_node.log"

    def start(self) -> "EdgeNode":
        login = self.scene.site.listeners[0].login
        assert login is not None
        script = ROOT / "tests" / "interop" / "node" / "edge_node.js"
        url = f"tcp://127.0.0.1:{self.scene.site.port}"
        command = ["node", str(script), url, login.username, login.password, GROUP, NODE, json.dumps(self.births)]
        before = self.said().count("born")
        with self.log.open("ab") as out:
            env = {"NODE_PATH": str(MODULES), "PATH": "/usr/bin:/bin:/usr/local/bin"}
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=env)
        wait_for(lambda: self.said().count("born") > before, "the edge node is born")
        return self

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def order(self, **order: object) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def pressure(self, value: float) -> None:
        """By alias alone, as Sparkplug 3.0 has it."""
        self.order(device=DEVICE, metrics=[{"alias": 4, "type": "Double", "value": value}])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(name="edge")
def _edge(scene: Scene) -> Iterator[EdgeNode]:
    if shutil.which("node") is None or not MODULES.exists():
        pytest.skip("Node.js or its packages are missing: `just node`")
    birth = [PRESSURE | {"value": 5.0}, {"name": "state", "type": "String", "value": "on"}]
    edge = EdgeNode(scene, {DEVICE: birth})
    yield edge
    edge.kill()


def settings(scene: Scene, **source: object) -> Gateway:
    judges = {
        "high": threshold(["edge"], above=7.5, severity="critical", update_every="0s"),
        # Silence by time alone would take an hour.
        "silence": {"inputs": ["edge"], "detector": "silence", "after": "1h"},
    }
    given = {"topic": f"spBv1.0/{GROUP}/+/+/#", "codec": "sparkplug"} | source
    return scene.gateway({"edge": given}, judges)


def events(receiver: Receiver, judge: str) -> list[tuple[str, str, str]]:
    """Device, signal and state of what a judge said."""
    verdicts = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
    return [(one["device"], one["signal"], one["event"]["state"]) for one in verdicts if one["judge"] == judge]


def rejections(receiver: Receiver) -> dict[str, int]:
    statuses = receiver.statuses()
    return statuses[-1]["sources"][0].get("rejections", {}) if statuses else {}


def test_a_foreign_edge_node_is_judged_from_birth_to_death(scene: Scene, edge: EdgeNode) -> None:
    receiver, gateway = scene.receiver(), settings(scene, rebirth=True)
    # Its births are over before the gateway comes.
    edge.start()
    scene.start(gateway)
    edge.pressure(6.0)
    wait_for(lambda: "ncmd true" in edge.said(), "the gateway asks for births")

    def alarms() -> list:
        edge.pressure(8.25)
        return events(receiver, "high")

    wait_for(alarms, "a value by its alias is judged")
    assert alarms()[0] == (f"{NODE}/{DEVICE}", "pressure", "raised")
    assert edge.said().count("ncmd") == 1, "one request per node and minute"
    edge.order(device_death=DEVICE)
    wait_for(lambda: events(receiver, "silence"), "the death of a device is its silence at once")
    assert events(receiver, "silence") == [(f"{NODE}/{DEVICE}", "pressure", "raised")]
    edge.order(birth=True)
    wait_for(lambda: len(events(receiver, "silence")) == 2, "its birth ends it")
    assert events(receiver, "silence")[-1][2] == "cleared"

    # The last will, by the broker.
    edge.kill()
    wait_for(lambda: len(events(receiver, "silence")) >= 4, "the death of the node silences all of it", 30)
    raised = {signal for _, signal, state in events(receiver, "silence")[2:] if state == "raised"}
    assert raised == {"pressure", "load"}
    edge.start()
    wait_for(lambda: len(events(receiver, "silence")) >= 6, "it is back")
    assert gateway.stop() == 0
    status = receiver.wait_for_status("stopped")
    assert status["local"]["births_asked"] == 1
    assert rejections(receiver)["unknown_alias"] >= 1


class Forged:
    """An edge node that does what no good one does."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def send(self, kind: str, seq: int | None, *metrics: dict, device: str | None = DEVICE) -> None:
        payload = Payload(timestamp=1_700_000_000_000)
        if seq is not None:
            payload.seq = seq
        for metric in metrics:
            payload.metrics.add(**metric)
        topic = f"spBv1.0/{GROUP}/{kind}/{NODE}" + (f"/{device}" if device else "")
        self.device.publish_raw(topic, payload.SerializeToString(), qos=0)


def test_what_no_good_node_sends_is_counted_and_does_no_harm(scene: Scene) -> None:
    receiver, gateway = scene.receiver(), settings(scene, device="device")
    scene.start(gateway)
    device = scene.device()
    forged = Forged(device)
    bd_seq = {"name": "bdSeq", "datatype": 4, "long_value": 3}
    rebirth = {"name": REBIRTH, "datatype": 11, "boolean_value": False}
    forged.send("NBIRTH", 0, bd_seq, rebirth, device=None)
    birth = {"name": "pressure", "alias": 4, "datatype": DOUBLE, "double_value": 5.0}
    count = {"name": "count", "alias": 5, "datatype": UINT32, "long_value": 1}
    forged.send("DBIRTH", 1, birth, count)
    forged.send("DDATA", 9, {"alias": 4, "double_value": 5.0})
    forged.send("DDATA", 10, {"alias": 99, "double_value": 5.0})
    forged.send("DDATA", 11, {"alias": 4, "is_historical": True, "double_value": 99.0})
    forged.send("DDATA", 12, {"alias": 4, "is_null": True})
    forged.send("DDATA", 13, {"alias": 4, "string_value": "five"})
    stale = bd_seq | {"long_value": 2}
    forged.send("NDEATH", None, stale, device=None)
    for junk in (b"\x12\xff\xff\xff\xff\x0f", b"not a payload", bytes(range(256)), b"\x12\x02\x12\x7f"):
        device.publish_raw(f"spBv1.0/{GROUP}/DDATA/{NODE}/{DEVICE}", junk, qos=0)
    forged.send("DDATA", 14, {"alias": 5, "long_value": 8}, {"alias": 4, "double_value": 8.25})
    wait_for(lambda: len(events(receiver, "high")) == 2, "what is good is judged: UInt32 in the field of 64 bits, too")
    assert {signal for _, signal, _ in events(receiver, "high")} == {"pressure", "count"}
    assert {name for name, *_ in events(receiver, "high")} == {DEVICE}, "named as the source says"
    assert events(receiver, "silence") == [], "an old last will silences nobody"
    forged.send("NDEATH", None, bd_seq, device=None)
    wait_for(lambda: len(events(receiver, "silence")) == 2, "the right one does")
    assert gateway.stop() == 0
    receiver.wait_for_status("stopped")
    refused = rejections(receiver)
    assert refused["seq_gap"] == 1 and refused["unknown_alias"] == 1 and refused["historical"] == 1
    assert refused["stale_death"] == 1 and refused["not_a_number"] == 1 and refused["bad_sparkplug"] >= 3


def test_check_names_the_right_that_requests_need(scene: Scene) -> None:
    checked = settings(scene, rebirth=True).check("--json")
    said = json.dumps(json.loads(checked.stdout))
    assert f"write spBv1.0/{GROUP}/NCMD/+" in said and "-births" in said
    narrow = settings(scene, topic=f"spBv1.0/{GROUP}/DDATA/#").check("--json", "--offline")
    assert "births, data or deaths may be left out" in narrow.stdout
    wrong = settings(scene, device="topic:3").check("--json", "--offline")
    assert wrong.returncode == 78 and "node/device" in wrong.stdout
