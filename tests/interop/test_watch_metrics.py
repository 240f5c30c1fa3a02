"""`verge watch --metrics` at a centre: the status documents of all gateways as metrics, and none of them is trusted."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from clients import Device
from gateway import Gateway
from peers import HOST, free_port
from processes import Process
from programs import tool, verge
from scene import PREFIX, Scene, number_source, threshold
from test_dashboard import Browser
from waiting import wait_for


@contextmanager
def watching(scene: Scene, port: int) -> Iterator[Process]:
    identity = scene.certificates.receiver
    command = [verge(), "watch", "--url", scene.upstream.url, "--ca", str(scene.certificates.ca)]
    command += ["--cert", str(identity.cert), "--key", str(identity.key), "--metrics", f"{HOST}:{port}"]
    process = Process("verge watch", command, scene.folder / "watch.log", dict(os.environ))
    try:
        yield process
    finally:
        process.kill()


def named(scene: Scene, name: str) -> Gateway:
    """A gateway of this name, with a source of its own."""
    judges = {"high": threshold(["pump"], above=7.5)}
    gateway = scene.gateway({"pump": number_source(f"{name}/+/pressure", "pressure")}, judges)
    gateway.folder = scene.folder / name
    gateway.settings["gateway"] |= {"id": name, "state_dir": str(gateway.folder / "state")}
    return gateway.start()


def samples(port: int) -> dict[str, float]:
    answer = Browser(port).get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.status == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    found: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        key = sample.name + json.dumps(dict(sorted(sample.labels.items())))
        assert key not in found, f"twice: {key}"
        found[key] = sample.value
    return found


def of(gateway: str, name: str, **labels: str) -> str:
    return name + json.dumps(dict(sorted((labels | {"gateway": gateway}).items())))


def is_clean(port: int) -> None:
    """By Prometheus' own checker."""
    text = Browser(port).get("/metrics").text
    checked = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and not checked.stderr, checked.stdout + checked.stderr


def test_two_gateways_are_one_place_to_scrape_and_hostile_documents_change_nothing(scene: Scene) -> None:
    port = free_port()
    north, south = named(scene, "north"), named(scene, "south")
    with watching(scene, port) as process:
        wait_for(lambda: "connected to" in process.tail(), "it is connected")
        online = lambda name: samples(port).get(of(name, "verge_gateway_online"))  # noqa: E731
        wait_for(lambda: online("north") == online("south") == 1, "both are known")
        device = scene.device()
        for value in ("5", "6", "no number"):
            device.publish("north/pump-1/pressure", value)
        device.flush()
        received = of("north", "verge_messages_received_total", source="pump")
        # The status comes every half minute.
        wait_for(lambda: samples(port).get(received) == 3, "the numbers of north have come", 60)
        found = samples(port)
        assert found[of("south", "verge_messages_received_total", source="pump")] == 0
        refused = {key: value for key, value in found.items() if key.startswith("verge_messages_refused_total")}
        assert list(refused.values()) == [1] and '"gateway": "north"' in next(iter(refused))
        assert found[of("north", "verge_route_up", route="centre")] == 1
        assert "pump-1" not in " ".join(found), "no devices"
        is_clean(port)

        hostile = Device(scene.upstream.listeners[0], "hostile")
        status = lambda name: f"{PREFIX}/{name}/status"  # noqa: E731
        good = {"state": "online", "gateway": "north", "version": "9"}
        twice = [{"name": "a", "received": 1}] * 2
        many = [{"name": str(number), "received": 1} for number in range(9_000)]
        for document in (
            b"\xff{",
            b"[" * 200_000,
            b"x" * ((1 << 20) + 1),
            {"gateway": "north"},
            good | {"gateway": "south"},
            good | {"gateway": "a/b"},
            good | {"sources": [{"name": 'a"} 1\nverge_evil 1', "received": 1}]},
            good | {"sources": twice},
            good | {"sources": many},
            good | {"routes": [{"name": "\u202e" * 200, "connected": True}]},
        ):
            hostile.publish(status("north"), document)
        hostile.flush()
        count = lambda: sum(v for k, v in samples(port).items() if k.startswith("verge_watch_statuses_refused"))  # noqa: E731
        wait_for(lambda: count() >= 10, "all are counted")
        after = samples(port)
        assert count() == 10 and after[received] >= 3 and not any("evil" in key for key in after)
        assert process.tail().count("is refused") == 1, process.tail()
        is_clean(port)
        hostile.close()

        assert south.stop() == 0
        wait_for(lambda: online("south") == 0, "it has ended")
        north.kill()
        wait_for(lambda: online("north") == 0, "its last will says so")
        assert of("north", "verge_messages_received_total", source="pump") not in samples(port), "not true now"
        assert samples(port)[of("north", "verge_gateway_status_age_seconds")] < 60
        scene.upstream.stop()
        wait_for(lambda: samples(port)["verge_watch_connected{}"] == 0, "the broker is away")
        assert Browser(port, "localhost").get("/metrics", Host="evil.example").status == 421
        assert Browser(port).get("/").status == 404


def test_a_port_that_is_taken_is_named(scene: Scene) -> None:
    port = free_port()
    with watching(scene, port) as first:
        wait_for(lambda: "metrics: http://" in first.tail(), "it listens")
        with watching(scene, port) as other:
            assert other.wait(20) == 69
        assert f"--metrics: cannot listen on {HOST}:{port}" in first.tail(), "both have one log"
