"""A junction whose signals Verge drives: pip install libsumo paho-mqtt pymodbus

    mosquitto -p 1883 &
    verge run -c gateway.toml &
    python drive.py --detector verge

SUMO simulates the traffic and an actuated signal controller. Each second of it the presence of vehicles on every approach
is published to the gateway; what the gateway says is polled by Modbus TCP, as a controller would, and takes the place of
the controller's own loops. Prints the mean delay of the vehicles. Other detectors to compare with: `own` (the loops of
SUMO), `call` (always a vehicle), `blind` (never one).
"""

import argparse
import json
import statistics
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import libsumo as sumo
import paho.mqtt.client as mqtt
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

HERE = Path(__file__).parent
APPROACHES = ("north", "south", "east", "west")
END_S = 900
# Presence: a vehicle within this distance of the stop line.
NEAR_M = 30.0
# Seconds of the clock after which a heartbeat that stands still means that nobody judges any more.
STALLED_S = 3.0
# The map of docs/modbus.md.
HEARTBEAT = 0
FIRST_INPUT, INPUTS_OF_POINT, PRESENCE = 100, 8, 3
FIRST_REGISTER, REGISTERS_OF_POINT, VEHICLES, BEGIN = 100, 32, 16, 20


class Junction:
    """The simulated junction: four approaches of one lane, an actuated controller."""

    def __init__(self, seed: int, report: Path, end: int):
        sumo.start([
            *("sumo", "-n", str(HERE / "junction.net.xml"), "-r", str(HERE / "junction.rou.xml")),
            *("-a", str(HERE / "junction.add.xml"), "--seed", str(seed), "--end", str(end), "--step-length", "1"),
            *("--tripinfo-output", str(report), "--tripinfo-output.write-unfinished", "--no-step-log", "--no-warnings"),
        ])
        self._end = end
        self._length = {approach: sumo.lane.getLength(f"{approach}_0") for approach in APPROACHES}
        self._before: dict[str, set[str]] = {approach: set() for approach in APPROACHES}

    def step(self) -> bool:
        """One second further; whether the run goes on."""
        sumo.simulationStep()
        return sumo.simulation.getTime() < self._end

    def occupied(self, approach: str) -> bool:
        """Whether a vehicle is near the stop line."""
        vehicles = sumo.lane.getLastStepVehicleIDs(f"{approach}_0")
        return any(self._length[approach] - sumo.vehicle.getLanePosition(vehicle) <= NEAR_M for vehicle in vehicles)

    def passed(self, approach: str) -> int:
        """Vehicles that have left the approach in the last second."""
        here = set(sumo.lane.getLastStepVehicleIDs(f"{approach}_0"))
        left = len(self._before[approach] - here)
        self._before[approach] = here
        return left

    @staticmethod
    def feed(approach: str, call: bool) -> None:
        """What the controller believes of its loop: a vehicle on it, or none for long."""
        sumo.inductionloop.overrideTimeSinceDetection(approach, 0.0 if call else 1000.0)


class Gateway:
    """Verge: readings go to its broker, presence comes from its Modbus server."""

    def __init__(self, broker: tuple[str, int], server: tuple[str, int]):
        self._mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="junction-simulation")
        self._mqtt.connect(*broker)
        self._mqtt.loop_start()
        self._server = server
        self._modbus: ModbusTcpClient | None = None
        self._beat = (-1, time.monotonic())
        self._said = dict.fromkeys(APPROACHES, True)
        self._published: dict[str, tuple[bool, float]] = {}
        # Seconds from publishing a change of presence to the poll that shows it.
        self.latencies: list[float] = []
        # Of vehicles: published, and in the registers of whole intervals.
        self.published = dict.fromkeys(APPROACHES, 0)
        self.counted: dict[tuple[str, int], int] = {}
        self.untrusted_polls = 0

    def publish(self, approach: str, occupied: bool, passed: int) -> None:
        """One message of the approach's detector."""
        if self._published.get(approach, (None, 0.0))[0] != occupied:
            self._published[approach] = (occupied, time.monotonic())
        self.published[approach] += passed
        payload = json.dumps({"occupied": int(occupied), "passed": passed})
        self._mqtt.publish(f"junction/{approach}/approach", payload, qos=1)

    def poll(self) -> dict[str, bool]:
        """The presence of each approach: a call for all while the gateway does not answer or its heart stands still."""
        try:
            presence = self._read()
        except (ModbusException, OSError):
            presence = None
        if presence is None:
            self.untrusted_polls += 1
            return dict.fromkeys(APPROACHES, True)
        now = time.monotonic()
        for approach, said in presence.items():
            given, since = self._published.get(approach, (None, 0.0))
            if said == given and self._said[approach] != said:
                self.latencies.append(now - since)
            self._said[approach] = said
        return presence

    def _read(self) -> dict[str, bool] | None:
        if self._modbus is None:
            self._modbus = ModbusTcpClient(self._server[0], port=self._server[1], timeout=1, retries=0)
        if not self._modbus.connected and not self._modbus.connect():
            return None
        beat = self._modbus.read_input_registers(HEARTBEAT, count=1)
        bits = self._modbus.read_discrete_inputs(FIRST_INPUT, count=INPUTS_OF_POINT * len(APPROACHES))
        if beat.isError() or bits.isError():
            return None
        now = time.monotonic()
        if beat.registers[0] != self._beat[0]:
            self._beat = (beat.registers[0], now)
        if now - self._beat[1] > STALLED_S:
            return None
        return {name: bits.bits[INPUTS_OF_POINT * block + PRESENCE] for block, name in enumerate(APPROACHES)}

    def note_counts(self) -> None:
        """Takes down the newest whole interval of each approach."""
        if self._modbus is None or not self._modbus.connected:
            return
        for block, approach in enumerate(APPROACHES, start=len(APPROACHES)):
            try:
                answer = self._modbus.read_input_registers(FIRST_REGISTER + REGISTERS_OF_POINT * block, count=REGISTERS_OF_POINT)
            except (ModbusException, OSError):
                return
            if not answer.isError():
                begin = answer.registers[BEGIN] << 16 | answer.registers[BEGIN + 1]
                if begin:
                    self.counted[approach, begin] = answer.registers[VEHICLES]

    def close(self) -> None:
        """Ends both connections."""
        self._mqtt.loop_stop()
        self._mqtt.disconnect()
        if self._modbus is not None:
            self._modbus.close()


def mean_delay(report: Path) -> tuple[float, int]:
    """Mean of time lost and of waiting to depart in seconds, and of how many vehicles."""
    delays = [float(trip.get("timeLoss")) + float(trip.get("departDelay")) for trip in ET.parse(report).getroot().iter("tripinfo")]
    return statistics.fmean(delays), len(delays)


def run(seed: int, detector: str, gateway: Gateway | None, pace: float, end: int, each_second: Callable[[int], None]) -> float:
    """One run of the junction; `pace` seconds of it pass in one second of the clock. Answers the mean delay in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "trips.xml"
        junction = Junction(seed, report, end)
        sumo.trafficlight.setProgram("centre", "0" if detector == "own" else "fed")
        begun, second, going = time.monotonic(), 0, True
        while going:
            going = junction.step()
            second += 1
            each_second(second)
            if detector in ("call", "blind"):
                for approach in APPROACHES:
                    junction.feed(approach, detector == "call")
            if gateway is not None:
                for approach in APPROACHES:
                    gateway.publish(approach, junction.occupied(approach), junction.passed(approach))
                # Polls as a controller does, until this second is over.
                while True:
                    presence = gateway.poll()
                    left = begun + second / pace - time.monotonic()
                    if left <= 0.0:
                        break
                    time.sleep(min(0.02, left))
                gateway.note_counts()
                for approach in APPROACHES:
                    junction.feed(approach, presence[approach])
        sumo.close()
        return mean_delay(report)[0]


def address(text: str) -> tuple[str, int]:
    """A host and a port."""
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--detector", choices=("verge", "own", "call", "blind"), default="verge")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--pace", type=float, default=5.0, help="seconds of traffic in one second of the clock")
    options.add_argument("--end", type=int, default=END_S, help="seconds of traffic")
    options.add_argument("--broker", type=address, default=("127.0.0.1", 1883))
    options.add_argument("--server", type=address, default=("127.0.0.1", 1502))
    given = options.parse_args()
    gateway = Gateway(given.broker, given.server) if given.detector == "verge" else None
    delay = run(given.seed, given.detector, gateway, given.pace, given.end, lambda _second: None)
    print(f"{given.detector}, seed {given.seed}: mean delay {delay:.1f} s")
    if gateway is not None:
        gateway.close()
        if gateway.latencies:
            ordered = sorted(gateway.latencies)
            p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
            print(f"presence to register: p50 {1e3 * statistics.median(ordered):.0f} ms, p99 {1e3 * p99:.0f} ms of {len(ordered)}")
        print(f"vehicles published: {gateway.published}; in whole intervals: {sum(gateway.counted.values())}")
        print(f"polls without a trustworthy answer: {gateway.untrusted_polls}")


if __name__ == "__main__":
    main()
