"""What devices send under ever new names: it costs little, and locks nobody out."""

import time

from gateway import Gateway
from scene import Scene, number_source, threshold
from waiting import wait_for

# 1.2 MB of hostile traffic took a gibibyte, and 35 s to stop.
NAMES = 1_000
SIGNALS = 64
MEMORY_KIB = 100_000
# More than are known at once.
DEVICES = 20_000
GRANTED = 10.0


def gateway_with(scene: Scene, **changes: str) -> Gateway:
    """`auto` on everything, and an alarm for values above 100."""
    source = {"plant": number_source("plant/+/+") | {"device": "topic:1", "signal": "topic:2"}}
    judges = {"unusual": {"inputs": ["plant"], "detector": "auto"}, "high": threshold(["plant"], above=100)}
    gateway = scene.gateway(source, judges)
    gateway.settings["gateway"] |= changes
    return scene.start(gateway)


def test_many_names_of_one_device_take_little_and_the_gateway_stops_at_once(scene: Scene) -> None:
    receiver = scene.receiver()
    gateway = gateway_with(scene)
    before = gateway.resident_kib()
    hostile = scene.device("hostile")
    for name in range(NAMES):
        for signal in range(SIGNALS):
            hostile.publish(f"plant/x{name}/s{signal}", str(name % 9))
    hostile.flush()
    scene.device("good").publish("plant/pump/value", "500")
    wait_for(lambda: receiver.ledger().in_order("alarm"), "the alarm of a device that is new", 30)
    assert gateway.resident_kib() < before + MEMORY_KIB
    assert gateway.stop(GRANTED) == 0
    judging = receiver.wait_for_status("stopped")["judging"]
    assert judging["defects"] == 0 and judging["bytes"] <= judging["cap_bytes"]


def test_a_flood_of_names_displaces_no_device_and_locks_none_out(scene: Scene) -> None:
    receiver = scene.receiver()
    gateway = gateway_with(scene, judges_memory="8 MiB")
    good, hostile = scene.device("good"), scene.device("hostile")
    # A device is known once it has sent eight times, a second apart each.
    for _ in range(10):
        good.publish("plant/pump/value", "20")
        good.flush()
        due = time.monotonic() + 1.1
        wait_for(lambda due=due: time.monotonic() >= due, "more than a second is over")
    good.publish("plant/pump/value", "500")
    wait_for(lambda: len(receiver.ledger().in_order("alarm")) == 1, "the alarm of the pump")
    for name in range(DEVICES):
        hostile.publish(f"plant/x{name}/value", "1")
    hostile.flush()

    def fan_alarms() -> bool:
        good.publish("plant/fan/value", "500")
        good.flush()
        devices = [verdict.fields["device"] for verdict in receiver.ledger().in_order("alarm")]
        return "fan" in devices

    wait_for(fan_alarms, "the alarm of a device that is new", 30)
    good.publish("plant/pump/value", "20")
    # Raised before the flood, cleared after it: it was known all the time.

    def cleared() -> bool:
        alarms = receiver.ledger().in_order("alarm")
        return ("pump", "cleared") in [(one.fields["device"], one.fields["event"]["state"]) for one in alarms]

    wait_for(cleared, "the end of the pump's alarm")
    assert gateway.stop(GRANTED) == 0
    status = receiver.wait_for_status("stopped")
    assert status["judging"]["bytes"] <= 9 << 20
    refused = status["sources"][0].get("rejections", {})
    assert status["judging"]["evicted"] + refused.get("too_many_new_names", 0) > 0
