"""What devices send too large or too fast: one of them silences nobody, and nothing is judged twice."""

import json
import struct

import pytest

from clients import Receiver
from gateway import Gateway
from scene import Scene, number_source, threshold
from waiting import wait_for

# The default of max_packet is far below; a broker's packet can be no larger than 256 MiB.
SIZES = [3_000_000, 35_000_000, 100_000_000]
# A site that publishes more than the gateway judges in the meantime.
BACKLOG = 12_000
COSTLY_EVERY = 6


def alarms(scene: Scene) -> Gateway:
    """Every reading above zero is an alarm."""
    source = {"plant": number_source("plant/+/value")}
    judge = {"high": threshold(["plant"], above=0, update_every="0s", lane="alarm")}
    return scene.gateway(source, judge)


def observed(receiver: Receiver) -> list[int]:
    """The values of all alarms, in order of their numbers."""
    return [int(verdict.fields["anomaly"]["observed"]) for verdict in receiver.ledger().in_order("alarm")]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_large_messages_of_one_device_silence_nobody(scene: Scene, qos: int) -> None:
    receiver = scene.receiver()
    gateway = scene.start(alarms(scene))
    before = gateway.resident_kib()
    large, good = scene.device("large"), scene.device("good")
    for round_, size in enumerate(SIZES, 1):
        large.publish_raw("plant/large/value", bytes(size), qos)
        large.flush()
        good.publish("plant/good/value", str(round_))
        wait_for(lambda number=round_: len(observed(receiver)) == number, f"the alarm behind {size} bytes", 30)
    # A large retained message comes with every subscription.
    large.publish_raw("plant/large/value", bytes(SIZES[1]), 1, retain=True)
    large.flush()
    gateway.stop()
    good.publish("plant/good/value", "4")
    good.flush()
    log_before = len(gateway.whole_log())
    scene.start(gateway)
    wait_for(lambda: observed(receiver) == [1, 2, 3, 4], "the alarm after a restart", 30)
    assert gateway.resident_kib() < before + 20_000, "no memory for what is skipped"
    # The message that the broker kept comes after those that waited, and takes its time.
    skipped = f'topic="plant/large/value" bytes={SIZES[1] + 26}'
    wait_for(lambda: skipped in gateway.whole_log()[log_before:], "the large message of the subscription is skipped", 30)
    gateway.stop()
    state = receiver.wait_for_status("stopped")["local"]
    assert state["connections"] == 1 and state["oversized"] >= 1
    assert state["last_oversized"] == f'"plant/large/value": {SIZES[1] + 26} bytes (limit 65536)'


def test_many_large_messages_at_qos_0_hold_a_good_device_up_for_seconds_at_most(scene: Scene) -> None:
    receiver = scene.receiver()
    scene.start(alarms(scene))
    large, good = scene.device("large"), scene.device("good")
    for number in range(1, 4):
        for _ in range(2):
            large.publish_raw("plant/large/value", bytes(SIZES[2]), 0)
        large.flush()
        good.publish("plant/good/value", str(number))
        wait_for(lambda number=number: len(observed(receiver)) == number, f"alarm {number}", 15)


def test_a_backlog_that_the_broker_keeps_in_flight_is_judged_once_and_never_sent_again(scene: Scene) -> None:
    """Blocks of samples among numbers, all of them sent at once."""
    scene.site.stop()
    scene.site.max_inflight = 0
    scene.site.start()
    sources = {
        "plant": number_source("plant/+/value"),
        "machine": {"topic": "machine/+/raw", "codec": "samples_f32", "device": "topic:1", "signal": "raw"},
    }
    judges = {
        "high": threshold(["plant"], above=0, update_every="0s", lane="verdict"),
        "vibration": {"inputs": ["machine"], "detector": "vibration", "sample_rate": 16_000},
    }
    receiver = scene.receiver()
    gateway = scene.start(scene.gateway(sources, judges))
    gateway.stop()
    device = scene.device()
    block = struct.pack("<16000f", *(number % 17 / 17 for number in range(16_000)))
    costly = BACKLOG // COSTLY_EVERY // 10
    for number in range(BACKLOG):
        device.publish("plant/pump/value", str(number + 1))
        if number % (COSTLY_EVERY * 10) == 0:
            device.publish("machine/pump/raw", block)
    device.flush()
    gateway.start()
    receiver.wait_for_different(BACKLOG, 300)
    # The blocks have a queue of their own, and the status comes every 30 s.
    judged = lambda: sum(source["judged"] for status in receiver.statuses()[-1:] for source in status.get("sources", []))
    wait_for(lambda: judged() == BACKLOG + costly, "every block judged", 120)
    gateway.stop()
    state = receiver.wait_for_status("stopped")
    assert state["local"]["connections"] == 2, "one for numbers, one for blocks, and neither was given up"
    assert state["local"]["redelivered"] == 0
    assert sum(source["received"] for source in state["sources"]) == BACKLOG + costly, json.dumps(state["sources"])

    # Everything is acknowledged: the next run receives what is new.
    scene.start(gateway)
    device.publish("plant/pump/value", str(BACKLOG + 1))
    receiver.wait_for_different(BACKLOG + 1)
    ledger = receiver.ledger()
    ledger.assert_sound()
    values = [int(verdict.fields["anomaly"]["observed"]) for verdict in ledger.in_order("verdict")]
    assert values == list(range(1, BACKLOG + 2)), "each once, in order"
    gateway.stop()
    last = wait_for(lambda: [s for s in receiver.statuses() if s["state"] == "stopped"][1:], "its status")[-1]
    assert sum(source["received"] for source in last["sources"]) == 1, json.dumps(last["sources"])
