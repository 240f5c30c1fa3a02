"""A gateway with an output of each kind, twice: one peer of each kind takes all that it is given, the other takes the connection
and never answers. What the dead ones do not take changes nothing of what the others are given."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

import pytest
from peers import HOST, free_port
from rsmp import AUX, MAIN, Supervisor
from scene import UPLINK, Scene, number_source, threshold
from sparkplug import SparkplugHost
from test_http import uplink
from test_modbus import Plc
from test_rsmp import site
from test_sparkplug import edge_node
from waiting import wait_for
from web_service import WebService
from wire import decode

# Each is raised and cleared: two verdicts.
EVENTS = 100
OTHER = "A0009"
PRESSURE = "pump/pump-1/pressure"


@pytest.fixture(name="dead")
def _dead() -> Iterator[list[int]]:
    """Ports that take connections, and read nothing and say nothing."""
    with contextlib.ExitStack() as open_ones:
        listeners = [open_ones.enter_context(socket.create_server((HOST, 0), backlog=64)) for _ in range(4)]
        yield [listener.getsockname()[1] for listener in listeners]


@pytest.fixture(name="service")
def _service(scene: Scene) -> Iterator[WebService]:
    service = WebService(scene.certificates).start()
    yield service
    service.stop()


@pytest.fixture(name="supervisor")
def _supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor().start()
    yield supervisor
    supervisor.stop()


def stuck(port: int, over: threading.Event) -> threading.Thread:
    """A client of Modbus that asks, again and again, and takes no answer."""

    def run() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                while not over.is_set():
                    one.sendall(b"".join(bytes([0, number % 256, 0, 0, 0, 6, 1, 4, 0, 132, 0, 32]) for _ in range(64)))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_dead_peers_leave_the_others_all_they_are_given(
    scene: Scene, service: WebService, supervisor: Supervisor, dead: list[int]
) -> None:
    receiver, broker = scene.receiver(), scene.other_upstream()
    host = SparkplugHost(broker)
    port, over = free_port(), threading.Event()
    component = {"main": MAIN, "other": True, "component": {"aux": {"id": AUX, "device": "aux-1", "faults": ["quiet"]}}}
    silent = {
        "dead-mqtt": scene.uplink() | {"url": f"mqtt://{HOST}:{dead[0]}", "insecure_plaintext": True},
        "dead-hooks": {"kind": "http", "url": f"http://{HOST}:{dead[1]}/", "insecure_plaintext": True, "timeout": "2s"},
        "dead-scada": edge_node(f"mqtt://{HOST}:{dead[2]}", node="dead"),
        "dead-traffic": site(supervisor, **component) | {"url": f"rsmp://{HOST}:{dead[3]}"},
    }
    for key in ("ca", "cert", "key"):
        silent["dead-mqtt"].pop(key, None)
    given = {
        UPLINK: scene.uplink(),
        "hooks": uplink(scene, service),
        "scada": edge_node(broker.url),
        "traffic": site(supervisor, **component),
    }
    judges = {
        "high": threshold(["pump"], above=7.5, severity="critical", lane="alarm"),
        "quiet": {"inputs": ["aux"], "detector": "silence", "after": "60s", "severity": "warning"},
    }
    sources = {"pump": number_source("pump/+/pressure", "pressure"), "aux": number_source("aux/+/value", "value")}
    gateway = scene.gateway(sources, judges, **given, **silent)
    point = {"block": 1, "judge": "high", "device": "pump-1", "signal": "pressure", "strand": "high"}
    gateway.settings["server"] = {"plc": {"kind": "modbus", "listen": f"{HOST}:{port}", "point": {"pump-1": point}}}
    scene.start(gateway)
    supervisor.wait_for_site(1)
    wait_for(lambda: host.of("NBIRTH"), "the edge node is born")
    plc, clients = Plc(port), [stuck(port, over) for _ in range(3)]
    try:
        device = scene.device()
        for _ in range(EVENTS):
            device.publish(PRESSURE, "8.25")
            device.publish(PRESSURE, "5")
        device.flush()
        pushed = lambda: sum(len(decode(body).verdicts) for body in list(service.bodies))  # noqa: E731
        alarmed = lambda: len([one for one in supervisor.alarms(MAIN, OTHER) if one[0] == "Issue"])  # noqa: E731
        counts = lambda: {  # noqa: E731
            "mqtt": len(receiver.ledger().in_order()),
            "http": pushed(),
            "sparkplug": len(host.observed()),
            "rsmp": alarmed(),
            "modbus": 2 * plc.point()[14],
        }
        wait_for(lambda: min(counts().values()) >= 2 * EVENTS, "each of them has all of it", 60)
        assert counts()["mqtt"] == 2 * EVENTS and counts()["modbus"] == 2 * EVENTS
    finally:
        over.set()
        for client in clients:
            client.join()
        plc.client.close()
        host.close()
    assert gateway.stop() == 0
    routes = {route["name"]: route for route in receiver.wait_for_status("stopped")["routes"]}
    for name in given:
        assert (routes[name]["backlog"], routes[name]["delivered"]) == (0, 2 * EVENTS), routes[name]
    for name in silent:
        assert (routes[name]["backlog"], routes[name]["delivered"]) == (2 * EVENTS, 0), routes[name]
