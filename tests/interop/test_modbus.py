"""A control system polls the gateway over Modbus TCP: pymodbus reads what the verdicts say."""

import json
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from clients import Receiver
from gateway import Gateway
from peers import HOST, free_port
from pymodbus.client import ModbusTcpClient
from scene import Scene, number_source, threshold
from waiting import wait_for

PRESSURE = "pump/pump-1/pressure"
# Block 1: the block before it belongs to nobody.
REGISTERS, INPUTS, COIL = 132, 108, 108
NEVER, GOOD, UNCERTAIN, STALE = range(4)
NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, _RETURNED, SHELVED, SUPPRESSED = range(6)


def settings(scene: Scene, **server: object) -> tuple[Gateway, int]:
    """A gateway with one point, and the port of its server."""
    judges = {"high": threshold(["pump"], above=7.5, severity="critical", update_every="0s")}
    judges["high"]["settable"] = {"above": [6.0, 10.0]}
    gateway = scene.gateway({"pump": number_source("pump/+/pressure", "pressure")}, judges)
    port = free_port()
    point = {"block": 1, "judge": "high", "device": "pump-1", "signal": "pressure", "strand": "high"}
    plc = {"kind": "modbus", "listen": f"{HOST}:{port}", "stale_after": "3s", "point": {"pump-1": point}}
    gateway.settings["server"] = {"plc": plc | server}
    return gateway, port


class Plc:
    """What a PLC knows of one point."""

    def __init__(self, port: int) -> None:
        self.client = ModbusTcpClient(HOST, port=port, timeout=5)
        wait_for(self.client.connect, "the server listens")

    def registers(self, address: int, count: int) -> list[int]:
        answer = self.client.read_input_registers(address, count=count)
        assert not answer.isError(), answer
        return answer.registers

    def point(self) -> list[int]:
        return self.registers(REGISTERS, 32)

    def inputs(self) -> list[bool]:
        answer = self.client.read_discrete_inputs(INPUTS, count=8)
        assert not answer.isError(), answer
        return answer.bits[:6]

    def observed(self) -> float:
        point = self.point()
        return struct.unpack(">f", struct.pack(">HH", *point[6:8]))[0]

    def refused(self, address: int, count: int) -> int:
        return self.client.read_input_registers(address, count=count).exception_code


@pytest.fixture(name="plcs")
def _plcs() -> Iterator[list[Plc]]:
    plcs: list[Plc] = []
    yield plcs
    for plc in plcs:
        plc.client.close()


def is_over(connection: socket.socket) -> bool:
    """Whether the server ends the connection; what it has not read makes that a reset."""
    try:
        return connection.recv(16) == b""
    except ConnectionResetError:
        return True


def last_event(receiver: Receiver) -> dict:
    events = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
    return events[-1] if events else {}


def test_a_point_says_what_the_verdicts_say(scene: Scene, plcs: list[Plc]) -> None:
    receiver, (gateway, port) = scene.receiver(), settings(scene, writes=True)
    scene.start(gateway)
    device, plc = scene.device(), Plc(port)
    plcs.append(plc)
    assert plc.registers(2, 2) == [1, 1], "version of the map, and one point"
    assert plc.point()[:3] == [NEVER, NORMAL, 0] and plc.registers(100, 32) == [0] * 32
    assert plc.inputs() == [False, False, True, True, False, False], "fail-safe: a call"
    device.publish(PRESSURE, "5")
    device.flush()
    wait_for(lambda: plc.point()[0] == GOOD, "a healthy device is good without any verdict")
    assert plc.inputs() == [False] * 6

    device.publish(PRESSURE, "8.25")
    device.flush()
    wait_for(lambda: plc.point()[1] == UNACKNOWLEDGED, "the alarm is shown")
    assert plc.registers(6, 2) == [1, 1], "the gateway counts it as soon as the point shows it"
    point = plc.point()
    assert (point[2], point[13], point[14]) == (3, 1, 1), "critical, member high, one event so far"
    assert plc.observed() == 8.25 and plc.inputs() == [True, True, False, True, False, True]
    bits = plc.registers(1, 1)[0]
    assert bits & 0b110000 == 0b110000 and plc.client.read_discrete_inputs(0, count=8).bits[4:6] == [True, True]

    # The PLC acknowledges; upstream sees it under its name.
    assert not plc.client.write_coil(COIL, True).isError()
    wait_for(lambda: plc.point()[1] == ACKNOWLEDGED, "it is acknowledged")
    wait_for(lambda: (last_event(receiver).get("action") or {}).get("kind") == "acknowledged", "upstream knows")
    assert last_event(receiver)["action"]["by"] == f"server plc: {HOST}"
    shelve = gateway.run("shelve", "-c", str(gateway.configuration), "--device", "pump-1", "--judge", "high", "30")
    assert shelve.returncode == 0, shelve.stderr
    wait_for(lambda: plc.point()[1] == SHELVED and plc.inputs()[4], "it is shelved")
    gateway.run("shelve", "-c", str(gateway.configuration), "--device", "pump-1", "--judge", "high", "0")
    wait_for(lambda: plc.point()[1] == UNACKNOWLEDGED, "it waits anew")

    # After a kill the alarm stands, and is not to be trusted before its device sends.
    gateway.kill()
    scene.start(gateway)
    plc = Plc(port)
    plcs.append(plc)
    assert (plc.point()[0], plc.point()[1], plc.inputs()[2]) == (UNCERTAIN, UNACKNOWLEDGED, True)
    device.publish(PRESSURE, "5")
    device.flush()
    wait_for(lambda: plc.point()[:3] == [GOOD, NORMAL, 0], "it is over")
    codes = [plc.client.write_coil(COIL, True).exception_code for _ in range(30)]
    assert codes[0] == 4 and 6 in codes, "nothing is left to acknowledge, and no more than ten commands in a second"
    beats = plc.registers(0, 1)[0]
    wait_for(lambda: plc.registers(0, 1)[0] > beats, "the heart beats")
    wait_for(lambda: plc.point()[0] == STALE, "its device sends no more")
    assert plc.point()[3] >= 30 and plc.registers(1, 1)[0] & 0b100_0000


def test_what_is_not_offered_is_refused(scene: Scene, plcs: list[Plc]) -> None:
    gateway, port = settings(scene)
    scene.start(gateway)
    plc = Plc(port)
    plcs.append(plc)
    assert (plc.refused(163, 2), plc.refused(60_000, 1)) == (2, 2)
    assert len(plc.registers(0, 125)) == 125
    assert plc.client.write_coil(COIL, True).exception_code == 1
    assert plc.client.write_register(REGISTERS, 1).exception_code == 1
    assert plc.client.read_holding_registers(REGISTERS, count=2).exception_code == 1
    named = plc.client.read_device_information()
    assert named.information[0] == b"Verge"


def test_noise_half_frames_and_strangers_disturb_nobody(scene: Scene, plcs: list[Plc]) -> None:
    gateway, port = settings(scene, max_clients=3, idle="1s", allow=["127.0.0.0/8"])
    scene.start(gateway)
    plc = Plc(port)
    plcs.append(plc)

    def ended(payload: bytes) -> bool:
        with socket.create_connection((HOST, port), timeout=10) as noise:
            noise.sendall(payload)
            return is_over(noise)

    assert ended(b"GET / HTTP/1.1\r\n\r\n"), "another protocol"
    assert ended(struct.pack(">HHHB", 1, 0, 65_535, 1)), "a length that cannot be"
    assert ended(struct.pack(">HHHB", 1, 0, 0, 1)), "no request"
    assert ended(struct.pack(">HHHB", 1, 0, 6, 1) + b"\x04"), "half a frame"
    many = [socket.create_connection((HOST, port), timeout=10) for _ in range(3)]
    assert any(is_over(one) for one in many), "more clients than are allowed, and idle ones"
    for one in many:
        one.close()
    again = Plc(port)
    plcs.append(again)
    assert again.registers(2, 1) == [1]


def test_check_tries_to_listen_and_lists_the_points(scene: Scene) -> None:
    gateway, port = settings(scene)
    listed = gateway.check("--offline", "--points", "--json")
    steps = json.dumps(json.loads(listed.stdout))
    assert "input registers 132 to 163, discrete inputs 108 to 115" in steps and "can listen" in steps
    with socket.create_server((HOST, port)):
        assert gateway.check("--offline").returncode == 69


def alike(number: int) -> float:
    """A number both of whose registers say the same."""
    return struct.unpack(">f", struct.pack(">HH", 0x4100 + number, number))[0]


def test_no_pair_is_torn_while_values_change(scene: Scene, plcs: list[Plc]) -> None:
    gateway, port = settings(scene)
    scene.start(gateway)
    device, plc = scene.device(), Plc(port)
    plcs.append(plc)
    device.publish(PRESSURE, repr(alike(0)))
    device.flush()
    wait_for(lambda: plc.point()[1] == UNACKNOWLEDGED, "an event is open, and each reading updates it")
    done = threading.Event()

    def change() -> None:
        number = 0
        while not done.is_set():
            for number in range(64):
                device.publish(PRESSURE, repr(alike(number)))
            device.flush()

    changing = threading.Thread(target=change)
    changing.start()
    seen = set()
    try:
        wait_for(lambda: plc.registers(REGISTERS + 7, 1)[0] < 64, "values come")
        for _ in range(10_000):
            high, low = plc.registers(REGISTERS + 6, 2)
            assert high - 0x4100 == low, (high, low)
            seen.add(low)
    finally:
        done.set()
        changing.join()
    assert len(seen) > 8, "the value changed between polls"


def raised(receiver: Receiver) -> int:
    """Events of the point that upstream knows."""
    verdicts = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
    return len({verdict["event"]["id"] for verdict in verdicts if verdict.get("event", {}).get("state") == "raised"})


def test_events_are_counted_as_in_the_books_through_a_kill(scene: Scene, plcs: list[Plc]) -> None:
    receiver, (gateway, port) = scene.receiver(), settings(scene)
    scene.start(gateway)
    device, plc = scene.device(), Plc(port)
    plcs.append(plc)

    def come_and_go(times: int) -> None:
        for _ in range(times):
            device.publish(PRESSURE, "8")
            device.publish(PRESSURE, "5")
        device.flush()

    come_and_go(3)
    wait_for(lambda: plc.point()[14] == 3 and plc.point()[1] == NORMAL, "three came and went")
    gateway.kill()
    come_and_go(2)
    scene.start(gateway)
    plc = Plc(port)
    plcs.append(plc)
    assert plc.point()[14] >= 3, "it counts on"
    wait_for(lambda: plc.point()[14] == 5, "what came meanwhile is counted")
    wait_for(lambda: raised(receiver) == 5, "as upstream has them")


def words(value: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def test_a_plc_moves_a_limit_within_its_bounds(scene: Scene, plcs: list[Plc]) -> None:
    gateway, port = settings(scene, writes=True)
    scene.start(gateway)
    device, plc = scene.device(), Plc(port)
    plcs.append(plc)

    def limits() -> list[int]:
        return plc.client.read_holding_registers(REGISTERS, count=4).registers

    def refused(address: int, values: list[int]) -> int:
        return plc.client.write_registers(address, values).exception_code

    assert limits() == words(7.5) + words(float("nan")), "as configured, and none below"
    assert not plc.client.write_registers(REGISTERS, words(9.0)).isError()
    assert limits()[:2] == words(9.0)
    assert (refused(REGISTERS, words(10.5)), refused(REGISTERS, words(9.0)[:1])) == (3, 3), "beyond, and half of it"
    assert refused(REGISTERS + 2, words(1.0)) == 2, "not opened"
    gateway.kill()
    scene.start(gateway)
    plc = Plc(port)
    plcs.append(plc)
    assert limits()[:2] == words(9.0), "it outlives a kill"
    device.publish(PRESSURE, "8.25")
    device.flush()
    wait_for(lambda: plc.point()[:2] == [GOOD, NORMAL], "8.25 is below it")
    wait_for(lambda: not plc.registers(1, 1)[0] & 0b1000, "commands can come by the uplink")
    back = gateway.run("set", "-c", str(gateway.configuration), "high", "above", "null", "--by", "anna")
    assert back.returncode == 0 and "above is 7.5, as configured" in back.stdout, back.stdout + back.stderr
    assert limits()[:2] == words(7.5)
    device.publish(PRESSURE, "8.25")
    device.flush()
    wait_for(lambda: plc.point()[1] == UNACKNOWLEDGED, "and above the configured one")


def test_points_follow_a_reload_that_gives_their_judge_other_inputs(scene: Scene, plcs: list[Plc]) -> None:
    gateway, port = settings(scene)
    gateway.settings["source"]["spare"] = number_source("spare/+/pressure", "pressure")
    scene.start(gateway)
    device, plc = scene.device(), Plc(port)
    plcs.append(plc)
    gateway.settings["judge"]["high"]["inputs"] = ["spare"]
    gateway.write()
    assert gateway.run("reload", "-c", str(gateway.configuration)).returncode == 0
    device.publish("spare/pump-1/pressure", "8")
    device.flush()
    wait_for(lambda: plc.point()[:2] == [GOOD, UNACKNOWLEDGED], "its device comes by another source")
