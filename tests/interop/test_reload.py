"""A running gateway takes up a changed configuration: connections stay, nothing is lost, nothing is judged twice."""

import io
import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

from PIL import Image

from certificates import Identity
from clients import Receiver
from gateway import Gateway
from models import Models
from programs import REPOSITORY, is_full
from scene import UPLINK, Scene, frame_source, looking, number_source, threshold
from waiting import wait_for
from x509 import DAY, Authority

RELOADS = 999 if is_full() else 30
RELOADS_OF_FRAMES = 60 if is_full() else 12
JUNCTION = REPOSITORY / "examples" / "junction-model"
WINDOW = REPOSITORY / "tests" / "fixtures" / "models" / "window.onnx"
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
        # A third is valid, a third faulty, a third would need a restart.
        kinds = random.Random(7).sample(range(RELOADS), RELOADS)
        for number in range(RELOADS):
            judges = {"each": each | {"severity": ["info", "critical"][number % 2]}, "held": held, "usual": usual}
            if number % 4 == 1:
                judges["usual"] = usual | {"alarm_budget": "1/day"}
            if number % 2:
                judges[f"passing-{number % 5}"] = threshold(["numbers"], above=1e12)
            match kinds[number] % 3:
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
    # It runs as a gateway would that starts with the file as it is now.
    code, answer = reload(configured(gateway, first))
    assert code == 0 and answer["outcome"] == "reloaded", answer
    code, answer = reload(gateway, "--dry-run")
    assert code == 0 and [answer[key] for key in ("added", "removed", "changed")] == [[], [], []], answer
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


def test_files_that_cannot_be_taken_up_change_nothing(scene: Scene) -> None:
    receiver = scene.receiver()
    judges = {"each": threshold(["numbers"], **EVERY_VALUE)}
    gateway = scene.start(scene.gateway({"numbers": number_source("numbers/+/value")}, judges))
    device, good, expected = scene.device(), gateway.configuration.read_text(), 0
    without = good + '[model.m]\nfile = "nowhere.onnx"\n[judge.seen]\ninputs = ["numbers"]\ndetector = "detect"\nmodel = "m"\n'
    files: dict[str, bytes | None] = {
        "cut off": good.encode()[:-9],
        "empty": b"",
        "no text": b"\x00\xff" * 500,
        "values within values without an end": good.encode() + b"\n[judge.deep]\nabove = " + b"[" * 50_000,
        "letters of several bytes behind quotes": good.encode() + "\n[judge.other]\nunit = 'mm'²\n".encode(),
        "a model that is not there": without.encode(),
        "another state folder": good.replace("/state", "/other").encode(),
        "not there": None,
    }
    for case, content in files.items():
        gateway.configuration.unlink(missing_ok=True)
        if content is not None:
            gateway.configuration.write_bytes(content)
        os.kill(gateway.pid, signal.SIGHUP)
        expected += 1
        wait_for(lambda: gateway.whole_log().count("not reloaded") == expected, f"it is refused: {case}", 10)
        device.publish("numbers/counter/value", str(expected))
        device.flush()
        wait_for(lambda: len(verdicts(receiver, "each")) == expected, f"it goes on: {case}", 10)
    # A file that is cut off in front of its state folder leads to no gateway: what is said is that it is wrong.
    gateway.configuration.write_text(good[: good.index("state_dir")])
    code, answer = reload(gateway)
    assert (code, answer["outcome"]) == (78, "faulty"), answer
    gateway.configuration.write_text(good)
    code, answer = reload(gateway)
    assert (code, answer["outcome"], answer["changed"]) == (0, "reloaded", []), answer
    assert gateway.stop() == 0


def junction(folder: Path, version: str) -> Path:
    """The card of the junction's detector under this version; the weights are copied once."""
    folder.mkdir(exist_ok=True)
    for name in ("junction.onnx", "labels.txt"):
        if not (folder / name).exists():
            shutil.copy(JUNCTION / name, folder)
    card = folder / "junction.toml"
    card.write_text((JUNCTION / "junction.toml").read_text().replace('version = "1.0"', f'version = "{version}"'))
    return card


def picture() -> bytes:
    """A JPEG without anything on it."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 150)).save(out, "JPEG")
    return out.getvalue()


def test_frames_are_judged_once_while_their_judges_and_models_change(
    scene: Scene, models: Models, tmp_path: Path
) -> None:
    """Each frame is of a camera of its own. The model's card gets a new version again and again: in the order of their
    numbers, verdicts name the versions in their order."""
    assert models.folder.exists()
    receiver = scene.receiver()
    seen = looking(["road"], "detect", "junction")
    card = junction(tmp_path / "model", "1")
    gateway = scene.gateway({"road": frame_source("road/+/frame")}, {"seen": seen}, model={"junction": {"file": str(card)}})
    scene.start(gateway)
    device, frame = scene.device(), picture()
    sent, stop = 0, threading.Event()

    def load() -> None:
        nonlocal sent
        while not stop.is_set():
            device.publish(f"road/frame-{sent}/frame", frame)
            sent += 1
            time.sleep(0.03)

    loading = threading.Thread(target=load)
    loading.start()
    pauses = []
    try:
        wait_for(lambda: verdicts(receiver, "seen"), "the first frame is judged")
        for number in range(RELOADS_OF_FRAMES):
            judges = {"seen": seen | {"score": 0.4 + number % 2 / 10}}
            if number % 3 == 1:
                judges["also"] = seen | {"labels": ["car"], "region": {"right": 0.5}}
            if number % 4 == 3:
                card.write_text("a card of nothing")
                code, answer = reload(configured(gateway, judges))
                assert code == 78 and answer["outcome"] == "faulty", answer
                assert "model.junction" in answer["faults"][0], answer
            junction(tmp_path / "model", f"1.{number:03}")
            code, answer = reload(configured(gateway, judges))
            assert code == 0 and answer["outcome"] == "reloaded", answer
            assert "model.junction" in [change["key"] for change in answer["changed"]], answer
            assert answer["instances"]["anew"] == [], "what is reported of frames goes on with another version"
            pauses.append(answer["pause_ms"])
            # Once more without a change, with the file written again.
            junction(tmp_path / "model", f"1.{number:03}")
            code, answer = reload(gateway)
            assert (code, answer["changed"]) == (0, []), answer
            time.sleep(0.1)
    finally:
        stop.set()
        loading.join()
    device.flush()
    wait_for(lambda: len(verdicts(receiver, "seen")) >= sent, "every frame has its verdict", 60)
    receiver.ledger().assert_sound()
    of_frames = [verdict["device"] for verdict in verdicts(receiver, "seen")]
    assert sorted(of_frames) == sorted(f"frame-{number}" for number in range(sent)), "each once"
    versions = [verdict["model"]["version"] for verdict in verdicts(receiver, "seen")]
    assert versions == sorted(versions) and len(set(versions)) > RELOADS_OF_FRAMES / 2
    assert verdicts(receiver, "also")
    print(f"{sent} frames, {2 * RELOADS_OF_FRAMES} reloads; judging paused for {max(pauses):.2f} ms at most")


def test_judges_that_ask_a_model_over_readings_are_exchanged(scene: Scene, models: Models, tmp_path: Path) -> None:
    assert models.folder.exists()
    card = tmp_path / "window.toml"
    written = lambda version: card.write_text(  # noqa: E731
        f'name = "window"\nversion = "{version}"\nfile = "{WINDOW}"\ntask = "reconstruct"\n'
    )
    written("1")
    sources = {"sound": number_source("sound/+/value"), "plain": number_source("plain/+/value")}
    odd = {"inputs": ["sound"], "detector": "autoencoder", "model": "window"}
    gateway = scene.gateway(sources, {"odd": odd}, model={"window": {"file": str(card)}})
    gateway.start()
    scene.site.wait_for_subscriber(f"{scene.client_id}-bulk", 1)
    device = scene.device()
    for value in range(40):
        device.publish("sound/pump/value", str(value % 3))
    device.flush()
    gateway.settings["model"]["other"] = {"file": str(card)}
    judges = {"odd": odd | {"alarm_budget": "1/day"}, "more": odd | {"model": "other"}}
    code, answer = reload(configured(gateway, judges))
    assert (code, answer["added"]) == (0, ["more"]), answer
    assert answer["instances"] == {"kept": 0, "carried": 1, "ended": 0, "anew": []}, answer
    written("2")
    code, answer = reload(gateway)
    assert sorted(change["key"] for change in answer["changed"]) == ["model.other", "model.window"], answer
    (anew,) = [one for one in answer["instances"]["anew"] if one["judge"] == "odd"]
    assert (anew["instances"], anew["why"]) == (1, "its model is another"), answer
    # Where no judge has looked for blocks or windows, a subscription is missing.
    code, answer = reload(configured(gateway, {"odd": odd, "new": odd | {"inputs": ["plain"]}}))
    assert code == 1 and answer["keys"][0]["why"] == "subscriptions are made when the gateway starts", answer
    code, answer = reload(configured(gateway, {"odd": odd}))
    assert (code, answer["removed"]) == (0, ["more"]), answer
    assert gateway.stop() == 0


def test_a_certificate_that_has_ended_changes_nothing_by_a_reload_until_the_next_connection(scene: Scene) -> None:
    """It is no fault of the configuration: the connection stays, `verge check` names it, and a good one heals it by itself."""
    receiver = scene.receiver()
    judges = {"each": threshold(["numbers"], **EVERY_VALUE)}
    gateway = scene.gateway({"numbers": number_source("numbers/+/value")}, judges)
    cert, key = scene.folder / "own.pem", scene.folder / "own.key"
    gateway.settings["uplink"][UPLINK] |= {"cert": str(cert), "key": str(key)}

    def shown(identity: Identity) -> None:
        """Other tests use the files of the authority as well."""
        shutil.copy(identity.key, key)
        shutil.copy(identity.cert, cert)

    shown(scene.certificates.gateway)
    scene.start(gateway)
    device = scene.device()

    def publish(number: int) -> None:
        device.publish("numbers/counter/value", str(number))
        device.flush()

    publish(1)
    wait_for(lambda: len(verdicts(receiver, "each")) == 1, "the first verdict")
    authority = Authority.of(scene.certificates.folder)
    shown(authority.issue(scene.folder, "gateway", begins=-3 * DAY, ends=-DAY, file="ended"))
    code, answer = reload(configured(gateway, judges | {"more": threshold(["numbers"], above=1e12)}))
    assert (code, answer["outcome"], answer["added"]) == (0, "reloaded", ["more"]), answer
    checked = gateway.check("--offline")
    assert f"{cert} has ended on" in checked.stdout + checked.stderr, checked
    publish(2)
    wait_for(lambda: len(verdicts(receiver, "each")) == 2, "the connection that there was goes on")
    shown(scene.certificates.gateway)
    scene.upstream.stop()
    scene.upstream.start()
    publish(3)
    wait_for(lambda: len(verdicts(receiver, "each")) == 3, "it connects with the good one", 60)
    receiver.ledger().assert_sound()
    assert gateway.stop() == 0
