"""F5: what networks do to an uplink: 0 lost, each outage noticed within 45 s, at most one attempt a second, jittered."""

import itertools
import random
import time

from chaos import Chaos, Mode
from counting import SOURCE, Numbers, check_fresh_alarm, judges, wait_for_numbers
from figures import Figures
from peers import Listener
from programs import is_full
from scene import Scene
from waiting import wait_for

MINUTES = 30 if is_full() else 1
# Under these the gateway must find out by itself that nothing gets through.
SILENT = (Mode.BLACK_HOLE, Mode.HALF_OPEN, Mode.DROP_PUBACKS, Mode.AFTER_HELLO)
SLOW = (Mode.LATENCY, Mode.BANDWIDTH, Mode.SLICER)
LIMIT_S = 45


def test_a_mix_of_bad_networks(scene: Scene, figures: Figures) -> None:
    plain = Listener()
    scene.upstream.stop()
    scene.upstream.listeners.append(plain)
    scene.upstream.start()
    receiver = scene.receiver()
    chaos = Chaos(plain.port, framed=True)
    uplink = {"url": f"mqtt://127.0.0.1:{chaos.port}", "insecure_plaintext": True}
    if not is_full():
        uplink["keep_alive"] = "5s"
    try:
        gateway = scene.start(scene.gateway(SOURCE, judges("verdict"), centre=uplink))
        numbers = Numbers(scene.device(), 100)
        noticed = mix(gateway, chaos)
        chaos.switch(Mode.PASS)
        last = numbers.stop()
        ledger = wait_for_numbers(receiver, last)
        check_fresh_alarm(scene, receiver)
        pauses = [later - earlier for earlier, later in itertools.pairwise(chaos.attempts)]
        figures.note(
            "F5", minutes=MINUTES, verdicts=last, lost=0, duplicates=ledger.duplicates, outages=len(noticed),
            slowest_notice_s=round(max(noticed), 1), attempts=len(chaos.attempts), shortest_pause_s=round(min(pauses), 2),
        )
        assert max(noticed) <= LIMIT_S
        assert min(pauses) >= 0.95, "more than one attempt a second"
        assert len({round(pause, 1) for pause in pauses}) > len(pauses) // 4, "the pauses are not spread"
    finally:
        chaos.close()


def mix(gateway: object, chaos: Chaos) -> list[float]:
    """Faults in random order until the time is up; how long each silent one took to be noticed."""
    losses = lambda: gateway.whole_log().count("connection upstream lost")  # type: ignore[attr-defined]
    connected = lambda: gateway.whole_log().count("connected upstream")  # type: ignore[attr-defined]
    chance = random.Random(5)
    noticed: list[float] = []
    end = time.monotonic() + MINUTES * 60
    turn = itertools.cycle(chance.sample(list(Mode), len(Mode)))
    wait_for(lambda: connected() >= 1, "the gateway connected upstream")
    while time.monotonic() < end or len(set(SILENT)) > len(noticed):
        mode = next(turn)
        if mode is Mode.PASS:
            continue
        before, began = losses(), time.monotonic()
        chaos.switch(mode)
        if mode in SLOW:
            time.sleep(chance.uniform(3, 8))
        else:
            wait_for(lambda before=before: losses() > before, f"the loss noticed under {mode.name}", 2 * LIMIT_S)
            if mode in SILENT:
                noticed.append(time.monotonic() - began)
            time.sleep(chance.uniform(0, 6))
        back = connected()
        chaos.switch(Mode.PASS)
        if mode not in SLOW:
            wait_for(lambda back=back: connected() > back, f"connected again after {mode.name}", 150)
            time.sleep(2)
    return noticed
