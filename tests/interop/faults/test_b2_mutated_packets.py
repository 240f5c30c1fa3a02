"""B2: a million packets that are changed at random, before and behind CONNECT, of both versions, through sockets: no panic, the
broker's process lives, and others are served as beside as many good ones."""

from pathlib import Path

from broker_site import pump_site
from figures import Figures
from mutated import send
from others import standing
from programs import is_full
from scene import Scene

PACKETS = 1_000_000 if is_full() else 3_000
# Good ones by the same clients, as a control: what they take of the machine is not the mutations' doing.
CONTROL = PACKETS // 10
SEED = 7
# Below this a ratio says nothing on a machine that does other things.
NOTICEABLE_MS = 20.0


def test_a_million_mutated_packets_harm_nobody(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    with pump_site(scene, tmp_path, has_tls=False, access="own", rate=1_000_000, rate_bytes="200 MiB") as site:
        process = site.broker_process()
        with standing(site) as other:
            control = send(site.port, CONTROL, SEED, mutate=False)
            beside_good = other.p99_ms()
            sent = send(site.port, PACKETS, SEED)
            beside_bad = other.p99_ms()
            assert sent.before + sent.behind >= PACKETS and sent.before > PACKETS // 20
            assert control.behind >= CONTROL
        assert site.broker_process() == process, "the broker's process lives"
        log = site.gateway.whole_log()
        assert "panicked" not in log and "has failed" not in log, site.gateway.log()
        if is_full():
            status = site.broker()
            assert status["restarts"] == 0 and status["serving"] and status["refused_connections"] == 0, status
            figures.note(
                "B2", packets=sent.before + sent.behind, before_connect=sent.before, connections=sent.connections,
                restarts=status["restarts"], others_p99_ms=beside_bad, beside_good_packets_ms=beside_good,
                reasons=len(status["refusals"]),
            )
            assert beside_bad <= max(2 * beside_good, NOTICEABLE_MS)
