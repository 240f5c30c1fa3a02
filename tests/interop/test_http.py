"""Verdicts are pushed to a web service: signed, at least once, whatever it answers."""

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from cloudevents.v1.http import from_dict
from gateway import Gateway, Settings
from peers import HOST
from scene import Scene, number_source, threshold
from waiting import wait_for
from web_service import SIGNING_KEY, TAKEN, TOKEN, Answer, WebService

PRESSURE = "pump/pump-1/pressure"


@pytest.fixture(name="service")
def _service(scene: Scene) -> Iterator[WebService]:
    service = WebService(scene.certificates).start()
    yield service
    service.stop()


def uplink(scene: Scene, service: WebService, **changes: object) -> Settings:
    """A section [uplink.*] to the service."""
    files = {"token_file": TOKEN, "signing_key_file": SIGNING_KEY}
    for name, text in files.items():
        path = scene.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
    identity = scene.certificates.gateway
    given: Settings = {"kind": "http", "url": f"https://{HOST}:{service.port}/verge", "ca": str(scene.certificates.ca)}
    given |= {"cert": str(identity.cert), "key": str(identity.key), "timeout": "2s"}
    return given | {name: str(scene.folder / name) for name in files} | changes


def gateway_of(scene: Scene, **uplinks: Settings) -> Gateway:
    """Every value above zero is a verdict of its own."""
    judges = {"high": threshold(["pump"], above=0, severity="info", update_every="0s")}
    return scene.gateway({"pump": number_source("pump/+/pressure", "pressure")}, judges, **uplinks)


def publish(scene: Scene, values: range) -> None:
    device = scene.device()
    for value in values:
        device.publish(PRESSURE, str(value))
    device.flush()
    device.close()


def has_all(service: WebService, values: range) -> bool:
    return sorted(set(service.observed())) == list(values)


def test_everything_arrives_through_a_service_that_is_busy_away_and_killed_beside(
    scene: Scene, service: WebService
) -> None:
    answers = iter([(503, {"Retry-After": "1"}), (429, {"Retry-After": "0"}), (500, {}), (408, {})])
    service.decide = lambda _body: next(answers, TAKEN)
    gateway = scene.start(gateway_of(scene, hooks=uplink(scene, service)))
    publish(scene, range(1, 101))
    wait_for(partial(has_all, service, range(1, 101)), "what a busy service gave back came again", 60)
    assert service.statuses[:4] == [503, 429, 500, 408]

    service.stop()
    publish(scene, range(101, 201))
    wait_for(lambda: "connection upstream lost" in gateway.whole_log(), "it is known that the service is away")
    gateway.kill()
    service.start()
    scene.start(gateway)
    publish(scene, range(201, 301))
    wait_for(partial(has_all, service, range(1, 301)), "what came in an outage and before a kill arrives", 60)
    service.ledger().assert_sound()


def test_a_verdict_that_the_service_refuses_costs_no_other(scene: Scene, service: WebService) -> None:
    def decide(body: bytes) -> Answer:
        return (422, {}) if b'"observed":13.0' in body or b'"observed":13,' in body else TAKEN

    service.decide = decide
    gateway = scene.start(gateway_of(scene, hooks=uplink(scene, service)))
    publish(scene, range(1, 31))
    others = [value for value in range(1, 31) if value != 13]
    wait_for(lambda: sorted(set(service.observed())) == others and not service.ledger().gaps(), "the others arrive", 60)
    ledger = service.ledger()
    stones = [stone for stones in ledger.tombstones.values() for stone in stones.values()]
    assert [(stone.reason, stone.last - stone.first) for stone in stones] == [("refused", 0)]
    wait_for(lambda: "upstream refuses this verdict" in gateway.whole_log(), "it is said aloud")


def test_a_wrong_token_loses_nothing_and_is_named(scene: Scene, service: WebService) -> None:
    settings = uplink(scene, service)
    (scene.folder / "token_file").write_text("an old token\n")
    gateway = scene.start(gateway_of(scene, hooks=settings))
    publish(scene, range(1, 11))
    wait_for(lambda: service.statuses, "it is tried")
    wait_for(lambda: "401 Unauthorized: check token_file" in gateway.whole_log(), "what to do is said")
    assert TOKEN not in gateway.whole_log() and "an old token" not in gateway.whole_log()
    # The file is read again at each connection: no restart.
    (scene.folder / "token_file").write_text(TOKEN + "\n")
    wait_for(partial(has_all, service, range(1, 11)), "nothing is lost", 60)


def test_cloud_events_are_read_by_a_foreign_library(scene: Scene, service: WebService) -> None:
    scene.start(gateway_of(scene, hooks=uplink(scene, service, format="cloudevents")))
    publish(scene, range(1, 41))
    seen: Callable[[], bool] = lambda: len({event["id"] for event in service.events()}) == 40
    wait_for(seen, "an event for each verdict", 60)
    for given in service.events():
        event = from_dict(given)
        assert event["source"] == "urn:verge:interop-1" and event["specversion"] == "1.0"
        data = event.data
        assert event["id"] == f"{data['epoch']}/{data['lane']}/{data['seq']}"
        assert event["type"] == f"verge.anomaly.{data['event']['state']}"
        assert event["subject"] == "pump-1/pressure"


def test_a_service_that_never_answers_delays_no_other_uplink(scene: Scene, service: WebService) -> None:
    receiver = scene.receiver()

    def decide(_body: bytes) -> Answer:
        wait_for(lambda: len(receiver.ledger().verdicts) >= 50, "the broker has it all meanwhile")
        return TAKEN

    service.decide = decide
    slow = uplink(scene, service, timeout="60s")
    scene.start(gateway_of(scene, hooks=slow, centre=scene.uplink()))
    publish(scene, range(1, 51))
    wait_for(lambda: len(receiver.ledger().verdicts) == 50, "the broker upstream waits for no web service")
    wait_for(partial(has_all, service, range(1, 51)), "and then the service has it, too", 60)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("json", "kind anomaly, event raised|updated|cleared; device and signal"),
        ("cloudevents", "type verge.anomaly.raised|updated|cleared; subject DEVICE/SIGNAL"),
    ],
)
def test_check_lists_what_is_sent_of_each_judge(scene: Scene, service: WebService, form: str, says: str) -> None:
    secret = f"https://{HOST}:{service.port}/verge?key=secret"
    gateway = gateway_of(scene, hooks=uplink(scene, service, url=secret, format=form, lanes=["alarm", "verdict"]))
    gateway.settings["judge"]["noted"] = threshold(["pump"], above=0, severity="info", lane="telemetry")
    done = gateway.check("--points", "--offline", "--json")
    steps = {step["section"]: step for step in json.loads(done.stdout)["steps"]}
    high = steps["uplink.hooks.high"]
    assert high["what"] == f"POST https://{HOST}:{service.port}/verge", "an address is shown without its query"
    assert high["result"] == f"lane verdict: {says}"
    assert steps["uplink.hooks.noted"]["result"] == "not sent: it reports in lane telemetry, which is not in lanes"
    assert not service.bodies and "secret" not in done.stdout


def test_check_tries_the_service_and_sends_nothing(scene: Scene, service: WebService) -> None:
    gateway = gateway_of(scene, hooks=uplink(scene, service))
    good = gateway.check("--listen", "0")
    assert f"https://{HOST}:{service.port}/verge" in good.stdout, good.stdout
    assert "answers 405 to HEAD" in good.stdout and good.returncode == 0
    assert service.heads == 1 and not service.bodies
    service.stop()
    away = gateway.check("--listen", "0")
    assert away.returncode != 0 and "nothing listens there (connection refused)" in away.stdout, away.stdout

    gateway.settings["uplink"] = {"hooks": uplink(scene, service, url="http://hooks.example/verge")}
    plain = gateway.check("--offline")
    assert 'uplink.hooks.url: "http://hooks.example/verge", expected https://' in plain.stdout, plain.stdout
    assert 'write url = "https://hooks.example/verge" with ca beside it' in plain.stdout
    mixed = {"hooks": uplink(scene, service, route="r"), "centre": scene.uplink(route="r")}
    gateway.settings["uplink"] = mixed
    assert "the same as uplink" in gateway.check("--offline").stdout

    gateway.settings["uplink"] = {"hooks": uplink(scene, service)}
    watch = gateway.run("watch", "-c", str(gateway.write()))
    assert watch.returncode != 0 and 'is of kind "http"' in watch.stderr, watch.stderr
    json.loads(gateway.run("check", "-c", str(gateway.configuration), "--offline", "--json").stdout)
