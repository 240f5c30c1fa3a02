"""F7: the wall clock at 1970, ten years ahead, an hour back, a step every few seconds: 0 lost, nothing evicted by a step."""

import os
import time
from pathlib import Path

import pytest

from counting import SOURCE, Numbers, check_fresh_alarm, judges, wait_for_numbers
from figures import Figures
from peers import Listener
from programs import is_full
from scene import GATEWAY_ID, Scene

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)
YEAR_S = 365 * 24 * 3600
STEP_EVERY_S = 10 if is_full() else 4
ROUNDS = 6 if is_full() else 1


def library() -> str:
    """What shows a program another time."""
    for path in LIBRARIES:
        if Path(path).exists():
            return path
    pytest.skip("libfaketime is not installed (Debian: apt-get install faketime)")


def test_steps_of_the_clock(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    plain = Listener()
    scene.upstream.stop()
    # Certificates are not what is tried here: ten years ahead they are rightly refused.
    scene.upstream.listeners.append(plain)
    scene.upstream.start()
    receiver = scene.receiver()
    clock = tmp_path / "clock"
    # 1970 is where a board without a battery begins.
    to_1970 = -int(time.time()) + 60
    clock.write_text(f"{to_1970:+d}")
    uplink = {"url": plain.url, "insecure_plaintext": True}
    gateway = scene.gateway(SOURCE, judges("verdict"), centre=uplink)
    # Short enough that any belief in the wall clock would evict at once.
    gateway.settings["gateway"]["replay_age"] = "1h"
    gateway.env = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    scene.start(gateway)
    numbers = Numbers(scene.device(), 100)
    steps = 0
    for _ in range(ROUNDS):
        for offset in (10 * YEAR_S, -3600, 0, to_1970, YEAR_S, -2 * YEAR_S, 0):
            time.sleep(STEP_EVERY_S)
            clock.write_text(f"{offset:+d}")
            steps += 1
        gateway.kill()
        gateway.start()
    last = numbers.stop()
    ledger = wait_for_numbers(receiver, last)
    check_fresh_alarm(scene, receiver)
    years = {time.gmtime(verdict.fields["decided"] / 1000).tm_year for verdict in ledger.in_order("verdict")}
    assert max(years) > 2030, f"the clock did not step: {years}"
    assert min(years) >= 2026, f"nothing is booked into a time before the clock was set: {years}"
    verdicts = ledger.in_order("verdict")
    ahead = [verdict.fields["estimated"] for verdict in verdicts if time.gmtime(verdict.fields["decided"] / 1000).tm_year > 2030]
    assert verdicts[0].fields["estimated"], "the clock was not set"
    # That it is set is noticed within half a second.
    assert ahead.count(True) < len(ahead) / 2 and not ahead[-1], "the clock was set, be it wrongly"
    log = gateway.whole_log()
    assert "the wall clock of this machine is not set" in log and "has stepped" in log, log[-2000:]
    kept = receiver.command(GATEWAY_ID, command="ledger")["lanes"]["verdict"]
    assert (kept["oldest"], kept["last"]) == (1, last), "nothing is evicted by a step"
    assert len(set(key[:2] for key in ledger.verdicts)) == 1, "one epoch"
    figures.note("F7", steps=steps, verdicts=last, lost=0, evicted=0, duplicates=ledger.duplicates, environment=os.uname().machine)
