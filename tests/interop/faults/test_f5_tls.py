"""F5 with TLS: what happens below it is noticed as well, a handshake that hangs in particular: 0 lost."""

import itertools
import time
from collections.abc import Iterator

import pytest

from chaos import Chaos, Mode
from counting import SOURCE, Numbers, check_fresh_alarm, judges, wait_for_numbers
from figures import Figures
from gateway import Gateway
from programs import is_full
from scene import PREFIX, Scene
from waiting import wait_for

# PUBACKs cannot be distinguished here. Each of the others once; at full length several times.
SLOW = (Mode.SLICER, Mode.LATENCY, Mode.BANDWIDTH)
SILENT = (Mode.BLACK_HOLE, Mode.HALF_OPEN)
ROUNDS = 5 if is_full() else 1
KEEP_ALIVE_S = 30 if is_full() else 5
LIMIT_S = 45
# The longest pause between two attempts.
PAUSE_S = 60
# Attempts that must be seen while handshakes hang; the pauses between them grow.
HANGING = 4 if is_full() else 2


@pytest.fixture
def chaos(scene: Scene) -> Iterator[Chaos]:
    """The proxy in front of the broker upstream."""
    made = Chaos(scene.upstream.port)
    try:
        yield made
    finally:
        made.close()


class Watch:
    """What the gateway has said about its uplink."""

    def __init__(self, gateway: Gateway):
        self._gateway = gateway

    def lost(self) -> int:
        """Connections that it has given up."""
        return self._gateway.whole_log().count("connection upstream lost")

    def connected(self) -> int:
        """Connections that stood."""
        return self._gateway.whole_log().count("connected upstream")


def pass_again(chaos: Chaos, watch: Watch, mode: Mode) -> None:
    """Ends the fault; waits for a connection unless one stands."""
    before = watch.connected()
    chaos.switch(Mode.PASS)
    if watch.lost() >= before:
        wait_for(lambda: watch.connected() > before, f"connected again after {mode.name}", LIMIT_S + PAUSE_S)


def hang_in_handshake(chaos: Chaos, watch: Watch) -> float:
    """Only the ClientHello passes; how long the slowest attempt is kept waiting for an answer."""
    losses, attempts = watch.lost(), len(chaos.attempts)
    chaos.mode = Mode.AFTER_HELLO
    chaos.reset_all()
    wait_for(lambda: watch.lost() > losses, "the loss noticed", LIMIT_S)
    wait_for(lambda: len(chaos.attempts) >= attempts + HANGING, "further attempts", HANGING * (LIMIT_S + PAUSE_S))
    times = chaos.attempts[attempts:]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_networks_below_tls(scene: Scene, chaos: Chaos, figures: Figures) -> None:
    receiver = scene.receiver()
    uplink = scene.uplink(url=f"mqtts://127.0.0.1:{chaos.port}", prefix=PREFIX, keep_alive=f"{KEEP_ALIVE_S}s")
    gateway = scene.start(scene.gateway(SOURCE, judges("verdict"), centre=uplink))
    watch = Watch(gateway)
    wait_for(lambda: watch.connected() == 1, "the gateway connected upstream")
    numbers = Numbers(scene.device(), 100)
    noticed: list[float] = []
    hung: list[float] = []
    for _ in range(ROUNDS):
        # First, while the pauses between attempts are short.
        hung.append(hang_in_handshake(chaos, watch))
        pass_again(chaos, watch, Mode.AFTER_HELLO)
        for mode in SLOW:
            chaos.switch(mode)
            time.sleep(2)
            pass_again(chaos, watch, mode)
        for mode in SILENT:
            losses, began = watch.lost(), time.monotonic()
            chaos.switch(mode)
            wait_for(lambda losses=losses: watch.lost() > losses, f"the loss noticed under {mode.name}", 2 * LIMIT_S)
            noticed.append(time.monotonic() - began)
            pass_again(chaos, watch, mode)
    last = numbers.stop()
    ledger = wait_for_numbers(receiver, last)
    check_fresh_alarm(scene, receiver)
    pauses = [later - earlier for earlier, later in itertools.pairwise(chaos.attempts)]
    figures.note(
        "F5 (TLS)", verdicts=last, lost=0, duplicates=ledger.duplicates, slowest_notice_s=round(max(noticed), 1),
        longest_between_hanging_handshakes_s=round(max(hung), 1), attempts=len(chaos.attempts), shortest_pause_s=round(min(pauses), 2),
    )
    assert max(noticed) <= LIMIT_S
    assert max(hung) <= LIMIT_S + PAUSE_S
    assert min(pauses) >= 0.95, "more than one attempt a second"
