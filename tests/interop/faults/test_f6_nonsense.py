"""F6: an upstream that acknowledges in any order or not at all, refuses, and talks nonsense: 0 lost, no wedge over 60 s."""

import time

from counting import SOURCE, Numbers, check_numbers, judges
from figures import Figures
from programs import is_full
from scene import Scene
from upstream import Manner, Upstream
from waiting import wait_for

# Between attempts that fail the gateway waits longer and longer, so all of them together take minutes.
SHORT = [Manner.BACKWARDS, Manner.STRANGERS, Manner.LEAVES_OUT, Manner.SILENT, Manner.GARBAGE]
MANNERS = [manner for manner in Manner if manner is not Manner.FINE] if is_full() else SHORT
KEEP_ALIVE_S = 5


def test_an_upstream_that_talks_nonsense(scene_without_upstream: Scene, figures: Figures) -> None:
    scene = scene_without_upstream
    upstream = Upstream([*MANNERS, Manner.FINE])
    try:
        uplink = {"url": upstream.url, "insecure_plaintext": True, "keep_alive": f"{KEEP_ALIVE_S}s"}
        # It lets nothing be read back.
        uplink["echo"] = False
        gateway = scene.start(scene.gateway(SOURCE, judges("verdict"), centre=uplink))
        numbers = Numbers(scene.device(), 200)
        # A wedge: neither a verdict nor an attempt to connect.
        longest, since, known = 0.0, time.monotonic(), (0, 0)
        deadline = since + 1200
        # A connection in a manner that works lasts, so it is closed for the next one's turn.
        while len(upstream.served) <= len(MANNERS) and time.monotonic() < deadline:
            sign_of_life = (upstream.acknowledged(), len(upstream.served))
            if sign_of_life != known:
                longest, since, known = max(longest, time.monotonic() - since), time.monotonic(), sign_of_life
            upstream.rest_lasting(3.0)
            time.sleep(0.05)
        assert len(upstream.served) > len(MANNERS), f"it never came back after {upstream.served[-1]}"
        last = numbers.stop()
        wait_for(lambda: len(upstream.ledger.verdicts) >= last, "all verdicts upstream", 60)
        check_numbers(upstream.ledger, last)
        assert gateway.is_running
        figures.note(
            "F6", manners=len(MANNERS), verdicts=last, lost=0, duplicates=upstream.ledger.duplicates,
            longest_pause_s=round(longest, 1),
        )
        assert longest <= 61
    finally:
        upstream.close()
