"""L3: 10,000 connections of 2,000 identities from many addresses, and 200 a second that leave and come back: all are let in, each takes
little memory, a device beside them is served at once, and in the end every file descriptor is free again."""

import random
import socket
import threading
import time
from pathlib import Path

from broker_site import Site, pump_site
from figures import Figures
from others import at_once, standing
from programs import is_full
from scene import Scene
from tls_device import connect, context
from waiting import wait_for
from x509 import Authority

# Each of them is a file here, two in the gateway (which keeps 512 for all else) and one in the broker's process.
WANTED, OF_A_DEVICE = (10_000, 5) if is_full() else (60, 3)
CHURN_S, A_SECOND = (60, 200) if is_full() else (1, 20)
AT_ONCE = 16
LET_IN_WITHIN_S, KIB_EACH, TRIP_MS = 120.0, 50.0, 250.0
# Pings of the test itself would be load.
KEEP_ALIVE_S = 3600
# What comes and goes by itself: the store, the uplink, canaries.
SPARE_FILES = 16


def fits(site: Site) -> int:
    """Connections that the system's limit of open files leaves room for, of those that are wanted."""
    line = next(line for line in Path(f"/proc/{site.gateway.pid}/limits").read_text().splitlines() if "open files" in line)
    return min(WANTED, (int(line.split()[3]) - 512) // 2 - 100)


def files(site: Site) -> int:
    """Open files of the gateway and of the broker's process."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (site.gateway.pid, site.broker_process()))


class Crowd:
    """All of the connections, each at an address of its own."""

    def __init__(self, site: Site, folder: Path, count: int):
        self.site, self.count = site, count
        folder.mkdir()
        authority = Authority.of(site.certificates.folder)
        self.contexts = []
        for number in range(-(-count // OF_A_DEVICE)):
            identity = authority.issue(folder, f"crowd-{number}")
            self.contexts.append(context(site.certificates.ca, identity))
        self.streams: list[socket.socket | None] = [None] * count
        self.connect_s: list[float] = []

    def join(self, number: int) -> None:
        """One of them connects, or connects again."""
        device = number // OF_A_DEVICE
        source = f"127.{10 + number // 60_000}.{number // 250 % 250 + 1}.{number % 250 + 1}"
        began = time.monotonic()
        tls, client_id = self.contexts[device], f"crowd-{device}:{number % OF_A_DEVICE}"
        self.streams[number] = connect(tls, self.site.port, client_id, source, KEEP_ALIVE_S, timeout=60)
        self.connect_s.append(time.monotonic() - began)

    def leave(self, number: int) -> None:
        """One of them closes."""
        stream = self.streams[number]
        if stream is not None:
            stream.close()
            self.streams[number] = None

    def all_join(self) -> float:
        """All of them, some at a time; seconds."""
        began = time.monotonic()
        at_once(AT_ONCE, lambda thread: [self.join(number) for number in range(thread, self.count, AT_ONCE)])
        return time.monotonic() - began

    def churn(self) -> float:
        """Some leave and come back, for a while; how many a second did."""
        began, done, lock = time.monotonic(), 0, threading.Lock()

        def some(thread: int) -> None:
            nonlocal done
            chance = random.Random(thread)
            while time.monotonic() < began + CHURN_S:
                # In turn, so that the rate is kept and not exceeded.
                with lock:
                    due = began + done / A_SECOND
                    done += 1
                time.sleep(max(0.0, due - time.monotonic()))
                number = chance.randrange(thread, self.count, AT_ONCE)
                self.leave(number)
                self.join(number)

        at_once(AT_ONCE, some)
        return done / (time.monotonic() - began)


def test_ten_thousand_connections_are_let_in_and_let_go(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    with pump_site(scene, tmp_path, max_connections=WANTED + 100) as site, standing(site) as other:
        count = fits(site)
        crowd = Crowd(site, tmp_path / "crowd", count)
        # What is made once is there before.
        wait_for(lambda: len(other.times) > 20, "the device beside them is served")
        files_before, memory_before = files(site), site.memory_kib()
        quiet = other.p99_ms()
        seconds = crowd.all_join()
        joining = other.p99_ms()
        # Buffers of a connection that has sent nothing for two seconds are small.
        time.sleep(3 if is_full() else 0)
        memory = site.memory_kib()
        kib = {name: round((memory[name] - memory_before[name]) / count, 1) for name in memory}
        whole = round(sum(kib.values()), 1)
        files_at_most = files(site)
        other.taken()
        rate = crowd.churn()
        churning = other.p99_ms()
        assert all(crowd.streams), "all are connected"
        for number in range(count):
            crowd.leave(number)
        wait_for(lambda: files(site) <= files_before + SPARE_FILES, "every file is closed again", 60)
        figures.note(
            "L3", connections=count, of_wanted=WANTED, identities=len(crowd.contexts), all_in_s=round(seconds, 1),
            slowest_s=round(max(crowd.connect_s), 2), kib_each=kib, kib_each_in_all=whole,
            mark_in_all=f"{'held' if whole <= KIB_EACH else 'missed'} ({KIB_EACH:g} KiB)", churn_a_second=round(rate), trip_p99_ms=churning,
            while_joining_ms=joining, quiet_ms=quiet, files=[files_before, files_at_most, files(site)],
        )
        assert "has failed" not in site.gateway.whole_log()
        if is_full():
            assert seconds <= LET_IN_WITHIN_S
            # The mark is of both processes together, and missed: rumqttd sets aside queues of a fixed size (docs/reliability.md).
            # What the gateway itself takes is held to it.
            assert kib["gateway"] <= KIB_EACH, kib
            assert churning <= TRIP_MS
