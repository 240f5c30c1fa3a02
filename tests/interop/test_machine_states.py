"""Judges with `while`: the state of a machine comes live from the site's broker, before, between and after readings."""

from typing import Any

from clients import Device, Receiver
from gateway import Gateway, Settings
from scene import Scene, number_source, threshold
from waiting import wait_for

RUN = "plc/pump-1/XS701"
PRESSURE = "pump/pump-1/pressure"
# A judge of every value says when a reading has been judged.
SEEN = "seen"


def settings(scene: Scene, **plc: object) -> Gateway:
    """A gateway that judges the pressure of a pump while its contact is 1."""
    sources: Settings = {
        "plc": number_source("plc/+/XS701", "XS701", words={"run": 1, "stop": 0}, **plc),
        "pump": number_source("pump/+/pressure", "pressure"),
    }
    only_while = {"signal": "plc:XS701", "equals": 1}
    judges = {
        "low": threshold(["pump"], below=2, **{"while": only_while}),
        SEEN: threshold(["pump"], above=-1, update_every="0s", lane="verdict", severity="info"),
    }
    return scene.gateway(sources, judges)


def lives(receiver: Receiver) -> list[tuple[str, bool]]:
    """State and `suspended` of what the judge has said, in order."""
    fields: list[dict[str, Any]] = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
    events = [one["event"] for one in fields if one["judge"] == "low"]
    return [(event["state"], bool(event.get("suspended"))) for event in events]


def seen(receiver: Receiver) -> int:
    """Readings of the pressure that were judged."""
    return sum(verdict.fields["judge"] == SEEN for message in receiver.messages() for verdict in message.verdicts)


def send(device: Device, receiver: Receiver, *messages: tuple[str, str]) -> None:
    """Publishes in this order and waits until each reading of the pressure is judged."""
    before = seen(receiver)
    wanted = before + sum(topic == PRESSURE for topic, _ in messages)
    for topic, payload in messages:
        device.publish(topic, payload)
    device.flush()
    wait_for(lambda: seen(receiver) >= wanted, f"{wanted} readings are judged")


def comes(receiver: Receiver, last: tuple[str, bool]) -> None:
    """Waits until this is the last that the judge has said: its lane is another than that of `seen`."""
    wait_for(lambda: lives(receiver)[-1:] == [last], f"{last} of {lives(receiver)}")


def test_a_pump_is_judged_while_its_contact_says_that_it_runs(scene: Scene) -> None:
    receiver, gateway = scene.receiver(), settings(scene)
    scene.start(gateway)
    device = scene.device()
    send(device, receiver, (PRESSURE, "1"))
    assert lives(receiver) == [], "it is not known whether the pump runs"
    send(device, receiver, (RUN, "run"), (PRESSURE, "1"))
    comes(receiver, ("raised", False))
    send(device, receiver, (RUN, "stop"), (PRESSURE, "0"), (PRESSURE, "5"))
    # A stop suspends the event, whatever the pump says at rest.
    comes(receiver, ("updated", True))
    assert lives(receiver) == [("raised", False), ("updated", True)]

    # The contact speaks when it changes: what it said last holds after a restart, after a kill, too.
    gateway.kill()
    scene.start(gateway)
    send(device, receiver, (PRESSURE, "5"))
    assert [state for state, _ in lives(receiver)].count("cleared") == 0, "the pump still rests"
    send(device, receiver, (RUN, "run"), (PRESSURE, "5"))
    comes(receiver, ("cleared", False))
    assert gateway.stop() == 0
    scene.start(gateway)
    send(device, receiver, (PRESSURE, "1"))
    comes(receiver, ("raised", False))


def test_a_contact_that_the_broker_keeps_is_known_at_the_start(scene: Scene) -> None:
    device = scene.device()
    device.publish(RUN, "run", retain=True)
    device.flush()
    receiver, gateway = scene.receiver(), settings(scene, retained=True)
    scene.start(gateway)
    # What is retained comes with the subscription, ahead of what is published afterwards.
    send(device, receiver, (PRESSURE, "1"))
    comes(receiver, ("raised", False))
    assert len(lives(receiver)) == 1
