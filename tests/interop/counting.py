"""The oracle of the fault tests: numbers go in, each makes one verdict, and what comes out is held against them.

The payload is the number, so it says itself what it must become. What the site's broker has acknowledged to the device is
an obligation: its verdict must arrive, once at least, always with the same content, or a tombstone must stand for it.
"""

import threading
import time
from dataclasses import dataclass, field

from clients import Device, Receiver
from ledger import Ledger
from scene import Scene, number_source, threshold
from waiting import wait_for
from wire import decode

TOPIC = "numbers/counter/value"
SOURCE = {"numbers": number_source("numbers/+/value"), "fresh": number_source("fresh/+/value")}


def judges(lane: str) -> dict:
    """One verdict for each number in this lane; and an alarm for each fresh one, whatever the lane of the others."""
    return {
        "numbered": threshold(["numbers"], above=0, update_every="0s", lane=lane),
        "fresh": threshold(["fresh"], above=0, update_every="0s", lane="alarm"),
    }


def quiet_judges() -> dict:
    """Numbers that cause nothing."""
    return {"numbered": threshold(["numbers"], above=1e12), "fresh": threshold(["fresh"], above=0, update_every="0s", lane="alarm")}


@dataclass
class Numbers:
    """Publishes 1, 2, 3, … at a steady rate, in the background, until `stop` or up to `last`."""

    device: Device
    a_second: float
    up_to: int | None = None
    last: int = field(default=0, init=False)
    published: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        start = time.monotonic()
        while not self._stop.is_set() and self.last != self.up_to:
            due = int((time.monotonic() - start) * self.a_second) + 1
            if self.up_to is not None:
                due = min(due, self.up_to)
            while self.last < due and not self._stop.is_set():
                self.published.append(time.time())
                self.last += 1
                self.device.publish(TOPIC, str(self.last))
            time.sleep(0.002)

    def stop(self, seconds: float = 120.0) -> int:
        """Ends; says the last number, which the broker has acknowledged like all before it."""
        self._stop.set()
        return self.join(seconds)

    def join(self, seconds: float = 120.0) -> int:
        """Waits for the last number and its acknowledgement."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the device cannot keep up"
        self.device.flush(seconds)
        return self.last


def observed(ledger: Ledger, judge: str = "numbered") -> list[int]:
    """The numbers that verdicts of a judge carry, sorted."""
    return sorted(int(v.fields["anomaly"]["observed"]) for v in ledger.in_order() if v.fields["judge"] == judge)


def check_numbers(ledger: Ledger, last: int) -> None:
    """Every number up to the last has one verdict, nothing else is there, nothing came with two contents."""
    ledger.assert_sound()
    found = observed(ledger)
    missing = sorted(set(range(1, last + 1)) - set(found))
    assert not missing, f"{len(missing)} of {last} are lost: {missing[:10]} …"
    assert len(found) == last, f"{len(found) - last} verdicts too many: a number was judged twice"


def wait_for_numbers(receiver: Receiver, last: int, seconds: float = 120.0) -> Ledger:
    """Waits until as many verdicts are there as numbers went in, and checks them."""
    try:
        receiver.wait_for_different(last, seconds)
    except TimeoutError:
        # Says which are missing, where any are.
        check_numbers(receiver.ledger(), last)
        raise
    ledger = receiver.ledger()
    check_numbers(ledger, last)
    return ledger


def check_fresh_alarm(scene: Scene, receiver: Receiver, seconds: float = 10.0) -> None:
    """A fresh alarm passes in time: whatever happened is over."""
    device = scene.device("fresh")
    number, before = int(time.time()), len(receiver.arrivals)
    device.publish("fresh/now/value", str(number))

    def is_there() -> bool:
        # Only what came since: to decode everything again would itself take seconds.
        messages = [decode(arrival.payload) for arrival in receiver.arrivals[before:] if arrival.channel == "alarm"]
        verdicts = [verdict for message in messages for verdict in message.verdicts]
        return any(v.fields["judge"] == "fresh" and v.fields["anomaly"]["observed"] == number for v in verdicts)

    wait_for(is_there, "a fresh alarm", seconds)


def first_arrivals(receiver: Receiver, channel: str) -> dict[int, float]:
    """When each number arrived first on a channel, by the clock of the receiver."""
    first: dict[int, float] = {}
    for arrival in receiver.of(channel):
        for verdict in decode(arrival.payload).verdicts:
            first.setdefault(int(verdict.fields["anomaly"]["observed"]), arrival.at)
    return first
