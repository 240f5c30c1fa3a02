"""F10: reloads at random under load, a third of them invalid: what runs in the end is what a fresh start would run, no reading
of QoS 1 is lost or judged twice, and the numbers of verdicts are dense."""

import copy
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from clients import Receiver
from counting import Numbers, check_numbers, observed
from figures import Figures, percentile
from gateway import Gateway, Settings, to_toml
from peers import HOST, accepts, free_port
from programs import is_full
from scene import Scene, number_source, threshold
from test_dashboard import Browser, add
from waiting import wait_for, wait_until_quiet

RELOADS = 1_000 if is_full() else 60
A_SECOND = 200
MACHINES = 6
SEED = int(os.environ.get("F10_SEED", "10"))
# What an invalid reload ends with; and where the command does not find the gateway by its file.
REFUSED, NOT_FOUND = (1, 78), (69, 78)


def numbered(chance: random.Random) -> Settings:
    """Every number is a verdict, whatever else about the judge changes."""
    severity = chance.choice(["info", "warning", "critical"])
    return threshold(["numbers"], above=0, update_every="0s") | {"severity": severity, "lane": "verdict"}


def passing(chance: random.Random) -> Settings:
    """A judge over the machines, of any kind that needs no model."""
    kind = chance.choice(["threshold", "rate", "cusum", "silence", "health", "auto"])
    severity = {"severity": chance.choice(["info", "warning", "critical"])}
    inputs = {"inputs": ["machines"], "detector": kind}
    match kind:
        case "threshold":
            return threshold(["machines"], above=round(chance.uniform(2, 9), 2), **{"raise_after": chance.choice(["0s", "200ms"])})
        case "rate":
            return inputs | severity | {"rise_above": round(chance.uniform(1, 20), 1), "window": "1s"}
        case "cusum":
            return inputs | severity | {"target": round(chance.uniform(3, 6), 1), "sigma": 1.0}
        case "silence":
            return inputs | severity | {"after": f"{chance.randint(1, 5)}s"}
        case "health":
            return inputs
        case _:
            return inputs | {"alarm_budget": chance.choice(["1/day", "1/week"])}


def mutated(settings: Settings, chance: random.Random) -> Settings:
    """Another configuration, of which everything can be taken up."""
    changed = copy.deepcopy(settings)
    judges = changed["judge"]
    for _ in range(chance.randint(1, 3)):
        others = [name for name in judges if name != "numbered"]
        match chance.randrange(4):
            case 0 if others:
                del judges[chance.choice(others)]
            case 1 if others:
                judges[chance.choice(others)] = passing(chance)
            case 2:
                judges["numbered"] = numbered(chance)
            case _ if len(others) < 12:
                judges[f"passing-{chance.randrange(20)}"] = passing(chance)
    return changed


def _with(change: Callable[[Settings], Any]) -> Callable[[Settings, random.Random], str]:
    def invalid(settings: Settings, _: random.Random) -> str:
        changed = copy.deepcopy(settings)
        change(changed)
        return to_toml(changed)

    return invalid


def _truncated(settings: Settings, chance: random.Random) -> str:
    text = to_toml(settings)
    return text[: chance.randrange(len(text))] + "\n[judge.brok"


def _missing_model(settings: Settings) -> None:
    settings["model"] = {"m": {"file": "/nowhere/m.toml"}}
    settings["judge"]["odd"] = {"inputs": ["numbers"], "detector": "autoencoder", "model": "m"}


INVALID: dict[str, Callable[[Settings, random.Random], str]] = {
    "truncated": _truncated,
    "empty": lambda _settings, _chance: "",
    "not text": lambda settings, _chance: to_toml(settings) + "\x00\udcff",
    "another id": _with(lambda s: s["gateway"].update(id="another")),
    "another topic": _with(lambda s: s["source"]["numbers"].update(topic="others/+/value")),
    "another state folder": _with(lambda s: s["gateway"].update(state_dir="/nowhere")),
    "a source less": _with(lambda s: s["source"].pop("spare")),
    "a wrong number": _with(lambda s: s["judge"]["numbered"].update(above="high")),
    "an unknown key": _with(lambda s: s["judge"]["numbered"].update(abvoe=1)),
    "an unknown detector": _with(lambda s: s["judge"].update(odd={"inputs": ["numbers"], "detector": "odd"})),
    "an unknown input": _with(lambda s: s["judge"].update(odd=threshold(["nothing"], above=1))),
    "a missing model": _with(_missing_model),
    "a negative window": _with(lambda s: s["judge"].update(odd={"inputs": ["numbers"], "detector": "rate", "rise_above": 1, "window": "-1s"})),
}


class Machines:
    """Values that wander, cross limits and pause, until `stop`."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._device, self._chance, self._ends = scene.device("machines"), random.Random(seed), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        values = [5.0] * MACHINES
        while not self._ends.is_set():
            for number in range(MACHINES):
                values[number] = min(max(values[number] + self._chance.gauss(0, 0.4), 0.0), 10.0)
                if self._chance.random() < 0.7:
                    self._device.publish(f"machines/m{number}/value", f"{values[number]:.3f}")
            time.sleep(0.05)

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()
        self._device.flush()


def reload(gateway: Gateway, *options: str) -> tuple[int, dict]:
    done = gateway.run("--json", "reload", "-c", str(gateway.configuration), *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def refuse(gateway: Gateway, name: str) -> None:
    """The file as it is now is refused: by the command, or by the gateway itself where the file leads the command elsewhere."""
    done = gateway.run("--json", "reload", "-c", str(gateway.configuration))
    if done.stdout:
        assert done.returncode in REFUSED, (name, done.stdout)
        assert json.loads(done.stdout)["outcome"] in ("faulty", "needs_restart"), (name, done.stdout)
        return
    assert done.returncode in NOT_FOUND, (name, done.stderr)
    before = gateway.whole_log().count("ERROR")
    os.kill(gateway.pid, signal.SIGHUP)
    wait_for(lambda: gateway.whole_log().count("ERROR") > before, f"SIGHUP refuses {name}")


def is_taken_up(gateway: Gateway) -> bool:
    """A dry run finds nothing to change."""
    code, answer = reload(gateway, "--dry-run")
    return code == 0 and not (answer["added"] or answer["removed"] or answer["changed"])


def open_events(port: int) -> list[tuple]:
    """What is open, as a person sees it, without what time changes."""
    browser = Browser(port).log_in("viewer")
    events = browser.get("/api/v1/events?state=open&limit=1000").json()
    assert events.get("more", 0) == 0
    return sorted((e["judge"], e["device"], e["signal"] or "", e["severity"], e["id"]) for e in events["events"])


def probe(scene: Scene) -> None:
    """Devices that nobody has seen before, with values that every kind of rule has something to say about."""
    device = scene.device("probe")
    for step in range(60):
        for number in range(3):
            value = [step / 6, 9.5 if step % 20 < 10 else 0.5, 5.0][number]
            device.publish(f"machines/probe-{number}/value", f"{value:.3f}")
        time.sleep(0.05)
    device.flush()


def said(receiver: Receiver, gateway: str) -> list[tuple]:
    """What a gateway says of the probes by rules that time does not enter, in order."""
    found = []
    for key, verdict in sorted(receiver.ledger().verdicts.items()):
        fields = verdict.fields
        if key.gateway == gateway and fields["device"].startswith("probe") and fields["detector"] == "threshold":
            state = (fields.get("event") or {}).get("state")
            found.append((fields["judge"], fields["device"], key.lane, fields["severity"], state, fields["anomaly"]["observed"]))
    return sorted(found, key=str)


def test_a_thousand_reloads_end_as_a_fresh_start_would(scene: Scene, figures: Figures) -> None:
    chance = random.Random(SEED)
    print(f"F10_SEED={SEED}")
    receiver = scene.receiver()
    sources = {
        "numbers": number_source("numbers/+/value"),
        "machines": number_source("machines/+/value"),
        "spare": number_source("spare/+/value"),
    }
    gateway = scene.gateway(sources, {"numbered": numbered(chance)} | {f"passing-{n}": passing(chance) for n in range(4)})
    port = free_port()
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{port}"}
    gateway.write()
    add(gateway, "viewer", "viewer")
    scene.start(gateway)
    numbers, machines = Numbers(scene.device(), A_SECOND), Machines(scene, SEED)
    pauses: list[float] = []
    refused = hangups = 0
    for number in range(RELOADS):
        if number % 3 == 2:
            name = chance.choice(list(INVALID))
            text = INVALID[name](gateway.settings, chance)
            gateway.configuration.write_bytes(text.encode(errors="surrogateescape"))
            refuse(gateway, name)
            refused += 1
            gateway.write()
            if chance.random() < 0.2:
                assert is_taken_up(gateway), f"after {name} the old one runs"
            continue
        gateway.settings = mutated(gateway.settings, chance)
        gateway.write()
        if chance.random() < 0.1:
            os.kill(gateway.pid, signal.SIGHUP)
            wait_for(lambda: is_taken_up(gateway), "SIGHUP reloads")
            hangups += 1
            continue
        code, answer = reload(gateway)
        assert code == 0 and answer["outcome"] == "reloaded", (number, answer)
        pauses.append(answer["pause_ms"])
    # One that says something of the probes.
    gateway.settings["judge"]["last"] = threshold(["machines"], above=6.0)
    gateway.write()
    assert reload(gateway)[0] == 0 and is_taken_up(gateway)
    last = numbers.stop()
    machines.stop()
    wait_for(lambda: len(observed(receiver.ledger())) >= last, "every number has its verdict", 180)
    wait_until_quiet(lambda: len(receiver.arrivals))
    check_numbers(receiver.ledger(), last)

    # What is open is what a start on the same store finds.
    by_time = [name for name, judge in gateway.settings["judge"].items() if judge["detector"] in ("silence", "health")]
    of_rules = lambda: [event for event in open_events(port) if event[0] not in by_time]  # noqa: E731
    assert "defects" not in json.dumps(status(port)["judging"]) or status(port)["judging"]["defects"] == 0
    # An event without a reading since the last reload is shown as it was reported, and restored as it would be now.
    device = scene.device("once more")
    for number in range(MACHINES):
        device.publish(f"machines/m{number}/value", "5")
    device.flush()
    wait_until_quiet(lambda: len(receiver.arrivals))
    before, instances = of_rules(), status(port)["judging"]["instances"]
    assert before and instances > 0
    assert gateway.stop() == 0
    scene.start(gateway)
    wait_for(lambda: accepts(port), "the dashboard listens")
    wait_for(lambda: of_rules() == before, f"the same is open as before the restart: {before} {of_rules()}")

    # And what it says from now on is what a gateway says that never knew another configuration.
    fresh = scene.gateway(sources, gateway.settings["judge"])
    fresh.folder = scene.folder / "fresh"
    fresh.settings["gateway"] |= {"id": "fresh", "state_dir": str(fresh.folder / "state")}
    fresh.settings["source"] = sources
    fresh.start()
    scene.site.wait_for_subscriber("verge-fresh", len(sources))
    probe(scene)
    own = gateway.settings["gateway"]["id"]
    wait_until_quiet(lambda: len(receiver.arrivals))
    assert said(receiver, own) == said(receiver, "fresh") != []
    receiver.ledger().assert_sound()
    figures.note(
        "F10",
        reloads=RELOADS,
        refused=refused,
        by_signal=hangups,
        numbers=last,
        lost=0,
        judged_twice=0,
        pause_p99_ms=round(percentile(pauses, 99), 2),
        pause_most_ms=round(max(pauses), 2),
    )


def status(port: int) -> dict:
    return Browser(port).log_in("viewer").get("/api/v1/status").json()
