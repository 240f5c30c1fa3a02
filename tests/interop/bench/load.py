"""The load: M sensors that publish numbered readings, in a process of its own."""

import json
import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray

import raw_mqtt

PACKETS_AT_ONCE = 200
# The reading after all others: beyond every limit, so that its verdict says that all were judged.
SENTINEL = 2e12
TICK_S = 0.001


@dataclass(frozen=True)
class Load:
    """What is published: `readings` in all, by `sensors` in turn."""

    sensors: int
    readings: int
    # Readings a second over all sensors; 0 is as fast as the broker takes them.
    rate: int = 0
    # Whether values are the readings' numbers (each can be distinguished) or a steady noise.
    numbered: bool = True

    def topic(self, number: int) -> str:
        """Where a reading goes."""
        return f"bench/sensor-{number % self.sensors}/state"

    def payload(self, number: int) -> bytes:
        """What it says."""
        value = float(number) if self.numbered else number * 7919 % 97 / 97
        return _payload(value)


def _payload(value: float) -> bytes:
    return json.dumps({"ts": time.time_ns() // 1_000_000, "value": value, "unit": "mm/s", "ok": True}).encode()


class Generator:
    """Publishes a load in the background and knows when each reading was sent."""

    def __init__(self, load: Load, port: int, username: str, password: str):
        context = multiprocessing.get_context("fork")
        # Time each reading was handed to the socket (monotonic, s).
        self.sent: SynchronizedArray = context.Array("d", load.readings, lock=False)
        self._process = context.Process(target=_run, args=(load, port, username, password, self.sent), daemon=True)

    def start(self) -> "Generator":
        """Begins."""
        self._process.start()
        return self

    def join(self, seconds: float) -> None:
        """Waits until all is published and acknowledged."""
        self._process.join(seconds)
        if self._process.exitcode != 0:
            self._process.kill()
            raise RuntimeError("the load generator failed")


def _run(load: Load, port: int, username: str, password: str, sent: SynchronizedArray) -> None:
    connection = raw_mqtt.Connection(port, "bench-load", username, password)
    acknowledged = threading.Semaphore(0)
    reader = threading.Thread(target=_count_acknowledgements, args=(connection, load.readings + 1, acknowledged))
    reader.start()
    identifiers = raw_mqtt.identifiers()
    start = time.monotonic()
    number = 0
    while number < load.readings:
        due = load.readings if load.rate == 0 else int((time.monotonic() - start) * load.rate)
        upto = min(due, number + PACKETS_AT_ONCE, load.readings)
        if upto == number:
            time.sleep(TICK_S)
            continue
        packets = []
        for index in range(number, upto):
            packets.append(raw_mqtt.publish_packet(load.topic(index), load.payload(index), next(identifiers)))
            sent[index] = time.monotonic()
        connection.socket.sendall(b"".join(packets))
        number = upto
    connection.socket.sendall(raw_mqtt.publish_packet(load.topic(0), _payload(SENTINEL), next(identifiers)))
    acknowledged.acquire()
    connection.close()


def _count_acknowledgements(connection: raw_mqtt.Connection, expected: int, done: threading.Semaphore) -> None:
    count = 0
    for kind, _, _ in connection.packets():
        count += kind == raw_mqtt.PUBACK
        if count == expected:
            done.release()
            return
