"""The status document and the last will, as a stranger at the broker sees them."""

import clients
from scene import GATEWAY_ID, UPLINK, Scene, number_source, threshold
from waiting import wait_for


def test_status_is_retained_and_the_last_will_tells_of_a_kill(scene: Scene) -> None:
    gateway = scene.gateway({"pump": number_source("plant/+/vibration", "vibration")}, {"high": threshold(["pump"], above=7.1)})
    scene.start(gateway)
    first = scene.receiver(client_id="first")
    status = first.wait_for_status("online")
    assert status["v"] == 1
    assert (status["gateway"], status["site"]) == (GATEWAY_ID, "interop")
    assert len(status["epoch"]) == 32
    assert [source["name"] for source in status["sources"]] == ["pump"]
    assert [route["name"] for route in status["routes"]] == [UPLINK]
    assert status["store"]["state"] == "ok"

    late = scene.receiver(client_id="late")
    late.wait_for_status("online")
    assert late.of("status")[0].retained, "whoever comes late receives it too"

    gateway.kill()
    offline = late.wait_for_status("offline")
    assert {key: offline[key] for key in ("v", "state", "gateway")} == {"v": 1, "state": "offline", "gateway": GATEWAY_ID}
    assert offline["store"]["run"] == status["store"]["run"], "the next run reads it back"
    assert scene.receiver(client_id="later").wait_for_status("offline") == offline, "the will is retained"

    gateway.start()
    again = late.wait_for_status("online")
    assert again["epoch"] == status["epoch"], "the store outlived the kill"

    assert gateway.stop() == 0
    stopped = late.wait_for_status("stopped")
    assert stopped["epoch"] == status["epoch"]
    assert not [s for s in late.statuses()[-1:] if s["state"] == "offline"], "an orderly end sends no will"


def test_a_second_gateway_on_the_same_state_is_refused(scene: Scene) -> None:
    gateway = scene.gateway({"pump": number_source("plant/+/vibration")}, {"high": threshold(["pump"], above=7.1)})
    scene.start(gateway)
    second = gateway.run("run", "-c", str(gateway.configuration))
    assert second.returncode == 75, second.stderr
    assert str(gateway.state_dir) in second.stderr
    assert gateway.is_running


def test_the_topics_are_those_of_the_documentation(scene: Scene) -> None:
    judges = {
        "alarms": threshold(["pump"], above=1),
        "records": threshold(["pump"], above=1, severity="info"),
    }
    receiver: clients.Receiver = scene.receiver(prefix="centre")
    uplink = scene.uplink(prefix="centre")
    scene.start(scene.gateway({"pump": number_source("plant/+/vibration")}, judges, centre=uplink))
    device = scene.device()
    device.publish("plant/pump-1/vibration", "2")
    device.flush()
    receiver.wait_for_verdicts(2)
    topics = {arrival.topic for arrival in receiver.arrivals}
    assert topics == {f"centre/{GATEWAY_ID}/{channel}" for channel in ("alarm", "verdict", "status")}
    wait_for(lambda: {m.lane for m in receiver.messages()} == {"alarm", "verdict"}, "both lanes")
