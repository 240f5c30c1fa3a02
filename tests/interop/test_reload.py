"""A running gateway takes up a changed configuration: connections stay, nothing is lost, nothing is judged twice."""

import json
import os
import signal
import threading
import time
from pathlib import Path

from clients import Receiver
from gateway import Gateway
from scene import Scene, number_source, threshold
from waiting import wait_for

FULL = os.environ.get("VERGE_FULL") == "1"
RELOADS = 300 if FULL else 30
EVERY_VALUE = {"above": 0, "update_every": "0s", "lane": "verdict"}


def reload(gateway: Gateway, *arguments: str) -> tuple[int, dict]:
    """The exit code and the answer of `verge reload`."""
    done = gateway.run("--json", "reload", "-c", str(gateway.configuration), *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def configured(gateway: Gateway, judges: dict) -> Gateway:
    """The gateway, its file with these judges."""
    gateway.settings["judge"] = judges
    gateway.write()
    return gateway


def test_reloads_under_load_lose_nothing_and_judge_nothing_twice(scene: Scene) -> None:
    """Every value is a verdict of `each`; `open` has one open event throughout; `usual` learns; others come and go."""
    receiver = scene.receiver()
    sources = {
        "numbers": number_source("numbers/+/value"),
        "steady": number_source("steady/+/value"),
    }
    each = threshold(["numbers"], **EVERY_VALUE)
    held = threshold(["steady"], above=10, update_every="never")
    usual = {"inputs": ["steady"], "detector": "auto"}
    first = {"each": each, "held": held, "usual": usual}
    gateway = scene.start(scene.gateway(sources, first))
    device = scene.device()
    device.publish("steady/tank/value", "11")
    device.flush()
    wait_for(lambda: verdicts(receiver, "held"), "the event is open")
    sent, stop = 0, threading.Event()

    def load() -> None:
        nonlocal sent
        while not stop.is_set():
            for _ in range(20):
                sent += 1
                device.publish("numbers/counter/value", str(sent))
            device.publish("steady/tank/value", str(11 + sent % 7 / 100))
            time.sleep(0.01)

    loading = threading.Thread(target=load)
    loading.start()
    pauses, carried = [], 0
    try:
        for number in range(RELOADS):
            judges = {"each": each | {"severity": ["info", "critical"][number % 2]}, "held": held, "usual": usual}
            if number % 4 == 1:
                judges["usual"] = usual | {"alarm_budget": "1/day"}
            if number % 2:
                judges[f"passing-{number % 5}"] = threshold(["numbers"], above=1e12)
            match number % 3:
                case 0:
                    code, answer = reload(configured(gateway, judges))
                    assert code == 0 and answer["outcome"] == "reloaded", answer
                    assert answer["instances"]["anew"] == [], answer
                    carried += answer["instances"]["carried"]
                    pauses.append(answer["pause_ms"])
                case 1:
                    code, answer = reload(configured(gateway, judges | {"each": each | {"above": "high"}}))
                    assert code == 78 and answer["outcome"] == "faulty", answer
                    assert "judge.each.above" in answer["faults"][0]
                case _:
                    gateway.settings["source"]["numbers"]["topic"] = "others/+/value"
                    code, answer = reload(configured(gateway, judges))
                    gateway.settings["source"]["numbers"]["topic"] = "numbers/+/value"
                    assert code == 1 and answer["outcome"] == "needs_restart", answer
                    assert [key["key"] for key in answer["keys"]] == ["source.numbers.topic"]
            time.sleep(0.05)
    finally:
        stop.set()
        loading.join()
    device.flush()
    assert carried > 0
    wait_for(lambda: len(verdicts(receiver, "each")) >= sent, "every value has its verdict", 60)
    receiver.ledger().assert_sound()
    observed = [verdict["anomaly"]["observed"] for verdict in verdicts(receiver, "each")]
    assert observed == [float(value) for value in range(1, sent + 1)], "each once, in order"
    assert len({verdict["event"]["id"] for verdict in verdicts(receiver, "each")}) == 1
    device.publish("steady/tank/value", "1")
    device.flush()
    wait_for(lambda: len(verdicts(receiver, "held")) == 2, "the event is cleared")
    raised, cleared = verdicts(receiver, "held")
    assert raised["event"]["id"] == cleared["event"]["id"]
    assert (raised["event"]["state"], cleared["event"]["state"]) == ("raised", "cleared")
    print(f"{sent} values, {RELOADS} reloads; judging paused for {max(pauses):.2f} ms at most")


def verdicts(receiver: Receiver, judge: str) -> list[dict]:
    """Verdicts of one judge, in order."""
    return [verdict.fields for verdict in receiver.ledger().in_order() if verdict.fields["judge"] == judge]


def test_sighup_does_the_same_and_other_files_are_refused(scene: Scene, tmp_path: Path) -> None:
    judges = {"high": threshold(["numbers"], above=10)}
    gateway = scene.start(scene.gateway({"numbers": number_source("numbers/+/value")}, judges))
    code, answer = reload(configured(gateway, {"high": threshold(["numbers"], above=5)}), "--dry-run")
    assert (code, answer["outcome"]) == (0, "would_reload")
    change = {"key": "judge.high.above", "before": "10", "after": "5"}
    assert answer["changed"] == [change]
    os.kill(gateway.pid, signal.SIGHUP)
    wait_for(lambda: "changed: judge.high.above: 5, was 10" in gateway.log(), "the report is in the log")
    other = tmp_path / "other.toml"
    other.write_text(gateway.configuration.read_text())
    done = gateway.run("reload", "-c", str(other))
    assert done.returncode == 64 and f"the gateway runs with {gateway.configuration}" in done.stderr, done.stderr
    mode = (gateway.state_dir / "reload.sock").stat().st_mode & 0o777
    assert mode == 0o600
    assert gateway.stop() == 0
    done = gateway.run("reload", "-c", str(gateway.configuration))
    assert done.returncode == 69 and "no gateway runs on" in done.stderr, done.stderr
