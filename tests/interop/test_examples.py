"""What stands in examples/ works as it is."""

import getpass
import itertools
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cbor2
import pytest

from certificates import Certificates
from peers import HOST, Mosquitto, accepts, free_port
from processes import Process
from programs import REPOSITORY, tool, verge
from scene import Scene, number_source, threshold
from waiting import wait_for

EXAMPLES = REPOSITORY / "examples"


def test_the_receiver_prints_verdicts(scene: Scene) -> None:
    log = scene.folder / "receiver.log"
    identity, ca = scene.certificates.receiver, scene.certificates.ca
    command = [sys.executable, str(EXAMPLES / "receiver.py"), HOST, str(scene.upstream.port)]
    command += ["--ca", str(ca), "--cert", str(identity.cert), "--key", str(identity.key)]
    receiver = Process("the example's receiver", command, log)
    try:
        scene.upstream.wait_for_subscriber("receiver")
        judges = {"high": threshold(["pump"], above=7.1), "noted": threshold(["pump"], above=1, severity="info")}
        scene.start(scene.gateway({"pump": number_source("plant/+/vibration", "vibration", unit="mm/s")}, judges))
        device = scene.device()
        device.publish("plant/pump-1/vibration", "8.25")
        device.publish("plant/pump-1/vibration", "0.5")
        device.flush()
        expected = {
            "interop-1 alarm 1 pump-1 vibration: high raised, 8.25 mm/s",
            "interop-1 alarm 2 pump-1 vibration: high cleared, 0.5 mm/s",
            "interop-1 verdict 1 pump-1 vibration: high raised, 8.25 mm/s",
            "interop-1 verdict 2 pump-1 vibration: high cleared, 0.5 mm/s",
        }
        wait_for(lambda: expected == set(log.read_text().splitlines()), "the receiver's lines")
    finally:
        receiver.stop()


def test_mosquitto_takes_the_configuration(tmp_path: Path, certificates: Certificates) -> None:
    port = free_port()
    replaced = {
        "/etc/verge/certs/ca.pem": certificates.ca,
        "/etc/verge/certs/broker.local.pem": certificates.broker.cert,
        "/etc/verge/certs/broker.local.key": certificates.broker.key,
        "/etc/mosquitto/verge.acl": EXAMPLES / "mosquitto" / "verge.acl",
        "/var/lib/mosquitto/": f"{tmp_path}/",
        "listener 8883": f"listener {port} {HOST}",
    }
    text = (EXAMPLES / "mosquitto" / "mosquitto.conf").read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, str(new))
    configuration = tmp_path / "mosquitto.conf"
    # As root it would change to a user that may not read here.
    configuration.write_text(f"user {getpass.getuser()}\nlog_dest stderr\n{text}")
    broker = Process("the example's broker", [Mosquitto.program(), "-c", str(configuration)], tmp_path / "log")
    try:
        wait_for(lambda: broker.ended is not None or accepts(port), "the broker listening")
        assert broker.ended is None, broker.tail()
    finally:
        broker.stop(every=Mosquitto.SIGNAL_AGAIN)
    # A fault of the configuration. An error of OpenSSL is only the probe above, which goes without a handshake.
    assert not re.search(r"^(\d+: )?Error: ", broker.tail(), re.MULTILINE), broker.tail()


def closed_list(name: str) -> dict[str, int]:
    """The numbers of a list in docs/verdict.cddl, which a test of the wire format holds to what is really sent."""
    schema = re.sub(r";.*", "", (REPOSITORY / "docs" / "verdict.cddl").read_text())
    alternatives = re.search(rf"^{name} = ([^=]*?)\n(?=\S)", schema, re.MULTILINE)
    assert alternatives, name
    words = alternatives[1].replace("\n", " ").split("/")
    number = {word.strip(): re.search(rf"^{word.strip()} = (\d+)", schema, re.MULTILINE) for word in words}
    return {word: int(found[1]) for word, found in number.items() if found}


def example_receiver() -> dict[str, Any]:
    """The names in examples/receiver.py."""
    return runpy.run_path(str(EXAMPLES / "receiver.py"))


# Of member 37 the schema says nothing: no release has sent it.
UNUSED = {"member": {37}}


def test_the_receiver_knows_every_name_of_the_wire() -> None:
    receiver = example_receiver()
    for of_schema, in_example in (("member", "MEMBERS"), ("event-state", "STATES"), ("reason", "REASONS"), ("lane", "LANES")):
        known, numbers = receiver[in_example], closed_list(of_schema)
        # Numbers that no release has sent may have a word, and no other position may.
        unused = set(range(len(known))) - set(numbers.values())
        assert unused == UNUSED.get(of_schema, set()), (of_schema, numbers)
        for word, number in numbers.items():
            plain = word.removesuffix("-lane").replace("-", " ")
            assert known[number] == plain, f"{of_schema} {number} is {plain}, the example says {known[number]}"


# One body of each kind, with the least that the schema lets it have.
BODIES: dict[int, dict[int, Any]] = {
    20: {0: 0, 1: 8.25},
    21: {0: 0, 1: 60_000, 2: 60_000, 3: False, 4: 9},
    22: {0: 4, 1: 31.0},
    23: {0: []},
    24: {0: 640, 1: 480, 2: []},
    25: {0: 0, 1: 60_000, 2: 60_000, 3: 9, 4: 0, 5: [], 6: 0, 7: [{0: "south", 1: {0: 2, 1: []}, 3: 0}], 8: [], 9: []},
}


def test_the_receiver_has_words_for_every_body_and_member(capsys: pytest.CaptureFixture[str]) -> None:
    schema = (REPOSITORY / "docs" / "verdict.cddl").read_text()
    body = re.search(r"^body = \(\n(.*?)^\)", schema, re.MULTILINE | re.DOTALL)
    assert body
    assert set(BODIES) == {int(key) for key in re.findall(r"^ +(\d+) => ", body[1], re.MULTILINE)}, "a body is new here"
    receiver = example_receiver()
    members = closed_list("member").values()
    seq = itertools.count(1)
    verdicts = []
    for kind, least in BODIES.items():
        for member in members if kind in (20, 22) else (None,):
            for state in (None, *closed_list("event-state").values()):
                event = {} if state is None else {11: {0: bytes(16), 1: state, 2: 0, 3: 0}}
                said = least if member is None else least | {0: member}
                verdicts.append({0: next(seq), 3: "pump-1", 10: 1, **event, kind: said})
    # What a later release may send.
    verdicts += [{0: next(seq), 3: "pump-1", 20: {0: 999, 1: 1.0}}, {0: next(seq), 3: "pump-1", 99: {}}]
    stones = [{0: next(seq), 1: 1_000, 2: reason, 3: 0} for reason in (*closed_list("reason").values(), 999)]
    taking = receiver["Receiver"]()
    for content in ({5: verdicts}, {8: stones}, {5: []}):
        payload = b"\x00" + cbor2.dumps({0: 1, 1: "g", 2: bytes(16), 3: 0, 4: 0, 6: 0, **content})
        taking.take(None, None, SimpleNamespace(payload=payload))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(verdicts) + len(stones)
    assert "number 999" in lines[-1] and "does not know" in lines[len(verdicts) - 1]
    assert "g alarm 1 pump-1: high, 8.25" == lines[0]


def test_every_example_is_run_by_a_test() -> None:
    """What is new in examples/ needs a test; then it may stand here."""
    run_by = {
        "README.md": "test_documents.py",
        "receiver.py": "test_examples.py",
        "mosquitto/mosquitto.conf": "test_examples.py",
        "mosquitto/verge.acl": "test_examples.py",
        "systemd/verge.service": "test_examples.py",
        "junction_frames.rs": "compiled with the workspace",
        "junction_clip.rs": "compiled with the workspace",
        "grafana/verge.json": "test_examples.py",
        "prometheus/alerts.yml": "test_examples.py",
        "prometheus/prometheus.yml": "test_examples.py",
        "sumo-junction/README.md": "test_documents.py",
        "sumo-junction/drive.py": "test_sumo.py",
        "sumo-junction/gateway.toml": "test_sumo.py",
        "sumo-junction/junction.add.xml": "test_sumo.py",
        "sumo-junction/junction.net.xml": "test_sumo.py",
        "sumo-junction/junction.rou.xml": "test_sumo.py",
        "junction-model/README.md": "test_documents.py",
        "junction-model/counting.toml": "pictures.rs",
        "junction-model/junction.onnx": "the demo",
        "junction-model/junction.toml": "the demo",
        "junction-model/junction-1.1.vmodel": "the demo",
        "junction-model/publisher.pem": "the demo",
        "junction-model/labels.txt": "the demo",
        "junction-model/requirements.txt": "kept for train.py",
        "junction-model/train.py": "test_examples.py",
    }
    listed = subprocess.run(
        ["git", "ls-files", "examples"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name.removeprefix("examples/") for name in listed} == set(run_by)


def test_prometheus_and_grafana_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    room = REPOSITORY / "crates" / "verge-web" / "src" / "metrics"
    made = "".join((room / name).read_text() for name in ("families.rs", "fleet.rs"))
    named = re.findall(r"out\.(counter|gauge)\(\s*\"([a-z_]+)\"", made)
    known = {name + ("_total" if kind == "counter" else "") for kind, name in named}
    assert "verge_messages_received_total" in known
    for example in ("prometheus/alerts.yml", "grafana/verge.json"):
        asked = set(re.findall(r"\b(?:verge|process)_[a-z_]+", (EXAMPLES / example).read_text()))
        assert asked and asked <= known, (example, asked - known)
    # Prometheus reads its configuration and the rules that it names.
    for name in ("alerts.yml", "prometheus.yml"):
        (tmp_path / name).write_text((EXAMPLES / "prometheus" / name).read_text())
    for name in ("verge.token", "ca.pem"):
        (tmp_path / name).touch()
    command = [tool("promtool"), "check", "config", "prometheus.yml"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_training_script_is_python() -> None:
    compile((EXAMPLES / "junction-model" / "train.py").read_text(), "train.py", "exec")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = (EXAMPLES / "systemd" / "verge.service").read_text()
    program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)
    assert program
    there = tmp_path / "verge.service"
    there.write_text(unit.replace(program[1], verge()))
    looked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(there)], capture_output=True, text=True, check=False
    )
    own = [line for line in looked.stderr.splitlines() if "verge.service" in line]
    assert own == [], looked.stderr
