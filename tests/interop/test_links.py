"""Several uplinks of one route, budgets, commands: against real brokers."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from clients import Receiver
from counting import SOURCE, Numbers, check_numbers, judges
from gateway import Gateway
from ledger import Ledger
from peers import Mosquitto
from programs import verge
from scene import GATEWAY_ID, Scene, number_source, threshold
from waiting import wait_for

A_SECOND = 200


def two_links(scene: Scene, second: Mosquitto, lane: str, **route: object) -> Gateway:
    """A gateway whose one route has two uplinks, the first preferred."""
    links = {name: scene.uplink(url=broker.url, route="centre") for name, broker in (("fibre", scene.upstream), ("lte", second))}
    gateway = scene.gateway(SOURCE, judges(lane), **links)
    gateway.settings["route"] = {"centre": route}
    return scene.start(gateway)


def together(*receivers: Receiver) -> Ledger:
    """What all receivers have, as one: they belong to one centre."""
    ledger = Ledger()
    for receiver in receivers:
        for message in receiver.messages():
            ledger.note(message)
    return ledger


def wait_for_numbers(last: int, *receivers: Receiver) -> Ledger:
    """Waits until the numbers up to the last are there, once each."""
    wait_for(lambda: len(together(*receivers).verdicts) >= last, f"{last} verdicts over all links", 60)
    ledger = together(*receivers)
    check_numbers(ledger, last)
    return ledger


def arrived(receiver: Receiver) -> int:
    """Messages with verdicts that arrived there."""
    return len(receiver.messages())


def rests(receiver: Receiver) -> bool:
    """Whether nothing arrives there for a second."""
    before = arrived(receiver)
    time.sleep(1.0)
    return arrived(receiver) == before


@pytest.mark.parametrize("lane", ["alarm", "verdict"])
def test_the_second_link_takes_over_and_gives_back(scene: Scene, lane: str) -> None:
    second = scene.second_upstream()
    fibre, lte = scene.receiver(), scene.receiver_at(second)
    scene.upstream.save()
    gateway = two_links(scene, second, lane, return_after="2s")
    numbers = Numbers(scene.device(), A_SECOND)
    # Whichever is connected first begins.
    wait_for(lambda: arrived(fibre) >= 5 and rests(lte), "verdicts over the preferred link alone")
    before = arrived(lte)
    scene.upstream.kill()
    wait_for(lambda: arrived(lte) >= before + 5, "verdicts over the other link")
    scene.upstream.start()
    before = arrived(fibre)
    wait_for(lambda: arrived(fibre) >= before + 20, "the preferred link works again", 40)
    wait_for(lambda: rests(lte), "the other link rests again")
    wait_for_numbers(numbers.stop(), fibre, lte)
    assert gateway.is_running


def test_spread_uses_both_links_and_the_order_can_be_restored(scene: Scene) -> None:
    second = scene.second_upstream()
    receivers = scene.receiver(), scene.receiver_at(second)
    two_links(scene, second, "verdict", mode="spread")
    numbers = Numbers(scene.device(), A_SECOND)
    wait_for(lambda: all(arrived(receiver) >= 10 for receiver in receivers), "verdicts over both links")
    second.kill()
    so_far = arrived(receivers[0])
    wait_for(lambda: arrived(receivers[0]) >= so_far + 5, "the link that is left carries all")
    second.start()
    ledger = wait_for_numbers(numbers.stop(), *receivers)
    observed = [verdict.fields["anomaly"]["observed"] for verdict in ledger.in_order("verdict")]
    assert observed == sorted(observed), "by number, a lane is in order"


def test_an_exhausted_budget_defers_routine_verdicts_and_never_alarms(scene: Scene) -> None:
    receiver = scene.receiver()
    judges = {
        "loud": threshold(["numbers"], above=1_000_000, update_every="0s", lane="alarm"),
        "routine": threshold(["numbers"], above=0, update_every="0s", lane="verdict"),
    }
    gateway = scene.gateway(
        {"numbers": number_source("numbers/+/value")}, judges, centre=scene.uplink(budget="8 KiB", format="json")
    )
    scene.start(gateway)
    numbers = Numbers(scene.device(), 100)
    link = lambda: receiver.command(GATEWAY_ID, command="ledger")["links"][0]
    wait_for(lambda: link().get("deferred") == ["verdict", "telemetry"], "verdicts wait", 30)
    last = numbers.stop()
    assert len(receiver.ledger().in_order("verdict")) < last
    scene.device("loud").publish("numbers/counter/value", "2000000")
    wait_for(lambda: receiver.ledger().in_order("alarm"), "an alarm in spite of the budget")
    status = receiver.command(GATEWAY_ID, command="ledger")
    assert status["links"][0]["day_bytes"] >= 8192 * 0.9
    gateway.kill()
    gateway.start()
    wait_for(lambda: receiver.statuses()[-1].get("uptime_s", 99) < 5, "the status after a restart")
    assert link().get("deferred") == ["verdict", "telemetry"], "a restart opens no new day"


def test_verdicts_are_sent_again_on_command(scene: Scene) -> None:
    receiver = scene.receiver()
    scene.start(scene.gateway(SOURCE, judges("verdict")))
    device = scene.device()
    for number in range(1, 51):
        device.publish("numbers/counter/value", str(number))
    receiver.wait_for_verdicts(50)
    ask = lambda **command: receiver.command(GATEWAY_ID, **command)
    answer = ask(command="replay", lane="verdict", **{"from": 11, "to": 30})
    assert answer["ok"] is True and (answer["from"], answer["to"]) == (11, 30)
    wait_for(lambda: receiver.ledger().duplicates == 20, "twenty verdicts once more")
    receiver.ledger().assert_sound()
    books = ask(command="ledger")
    assert (books["lanes"]["verdict"]["oldest"], books["lanes"]["verdict"]["last"]) == (1, 50)
    wait_for(lambda: ask(command="ledger")["lanes"]["verdict"]["delivered"] == 50, "all of them delivered")
    for wrong in (
        {"command": "replay", "lane": "verdict", "from": 51, "to": 60},
        {"command": "replay", "lane": "rumour", "from": 1, "to": 2},
        {"command": "replay", "lane": "verdict", "from": 9, "to": 8},
        {"command": "replay", "lane": "verdict", "from": 1, "to": 2, "epoch": "00" * 16},
        {"command": "sing"},
    ):
        answer = ask(**wrong)
        assert answer["ok"] is False and answer["error"], wrong


@pytest.fixture
def healing_watch(scene: Scene) -> Iterator[subprocess.Popen[str]]:
    """`verge watch --heal` at the broker upstream."""
    identity = scene.certificates.receiver
    command = [verge(), "watch", "--url", scene.upstream.url, "--ca", str(scene.certificates.ca), "--json", "--heal"]
    command += ["--cert", str(identity.cert), "--key", str(identity.key)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_watch_heals_what_a_forgetful_broker_lost(scene: Scene, healing_watch: subprocess.Popen[str]) -> None:
    """Verdicts that the broker took while nobody listened are gone there; the gateway still has them."""
    seen: list[dict] = []
    reader = threading.Thread(target=lambda: seen.extend(map(json.loads, healing_watch.stdout)), daemon=True)
    reader.start()
    numbers_seen = lambda: {line["seq"] for line in seen if "seq" in line}
    uplink = scene.uplink(rewind="0s")
    scene.start(scene.gateway(SOURCE, judges("verdict"), centre=uplink))
    device = scene.device()

    def publish(first: int, last: int) -> None:
        for number in range(first, last + 1):
            device.publish("numbers/counter/value", str(number))
        device.flush()

    wait_for(lambda: healing_watch.stderr.readline().startswith("connected"), "watch has subscribed")
    publish(1, 20)
    wait_for(lambda: numbers_seen() >= set(range(1, 21)), "the first twenty")
    # Its session is clean: what comes while it is away is not kept for it.
    other = scene.receiver(client_id="witness")
    healing_watch.send_signal(19)  # SIGSTOP
    scene.upstream.kill()
    scene.upstream.start()
    publish(21, 60)
    wait_for(lambda: len(other.ledger().verdicts) >= 40, "forty more at the broker", 60)
    healing_watch.send_signal(18)  # SIGCONT
    wait_for(lambda: numbers_seen() == set(range(1, 61)), "all sixty, some of them asked for again", 60)
