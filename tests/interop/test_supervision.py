"""A gateway under a service manager: it says when it is ready, reloads and stops, and a thread that hangs is a restart, while an
outage, a full store and a slow model are not."""

import io
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from gateway import Gateway
from models import Models
from peers import HOST, free_port
from programs import is_full
from scene import Scene, frame_source, looking, number_source, threshold
from service_manager import ServiceManager, hanging, threads
from test_dashboard import Browser
from waiting import wait_for

WATCHDOG_S = 6.0
# It is beaten four times an interval; a machine that is busy with other tests may be late.
MOST_BETWEEN_S = 0.8 * WATCHDOG_S
# No beat within half the interval; looks and beats come once a second at most.
SILENT_AFTER_S = WATCHDOG_S / 2 + 1.5
THREADS = ["verge-judging", "verge-store", "verge-worker-0", "verge-web"]
# What carries the deliveries, and whatever else has a thread: at full length.
ALL_THREADS = [*THREADS, "verge-main", "verge-unwrap", "verge-local", "verge-frames", "verge-servers", "verge-states", "verge-bulk", "verge-blocks", "verge-notify"]

# Nothing else waits for these.
UNWATCHED = {"verge-deadline", "verge-log", "verge-print"}


@pytest.fixture(name="manager")
def _manager(tmp_path: Path) -> Iterator[ServiceManager]:
    manager = ServiceManager(tmp_path)
    yield manager
    manager.end()


def judges() -> dict:
    return {"each": threshold(["pump"], above=0, update_every="0s", lane="alarm")}


def supervised(scene: Scene, manager: ServiceManager, gateway: Gateway, watchdog_s: float | None = WATCHDOG_S) -> Gateway:
    """Started by the service manager, and ready."""
    gateway.env |= manager.environment(watchdog_s)
    before = time.monotonic()
    scene.start(gateway)
    manager.wait_for("READY=1", before)
    return gateway


def plain(scene: Scene) -> Gateway:
    return scene.gateway({"pump": number_source("pump/+/level")}, judges())


def everything(scene: Scene, models: Models) -> Gateway:
    """A gateway with a thread of each kind."""
    sources = {
        "pump": number_source("pump/+/level"),
        "road": frame_source("road/+/frame"),
        "blocks": {"topic": "blocks/+", "codec": "samples_f32", "device": "topic:1", "signal": "x"},
    }
    section = judges() | {
        "seen": looking(["road"], "classify", "slow"),
        "shaken": {"inputs": ["blocks"], "detector": "vibration", "sample_rate": 1000},
    }
    uplink = scene.uplink(state_topics=True)
    gateway = scene.gateway(sources, section, {"slow": {"file": str(models.slow("slow", 1))}}, centre=uplink)
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{free_port()}"}
    point = {"block": 0, "judge": "each", "device": "p", "signal": "level", "strand": "high"}
    gateway.settings["server"] = {"plc": {"kind": "modbus", "listen": f"{HOST}:{free_port()}", "point": {"p": point}}}
    gateway.settings["engine"] = {"workers": 1}
    return gateway


def send(scene: Scene, *values: int) -> None:
    device = scene.device(f"sender-{values[0]}-{time.monotonic_ns()}")
    for value in values:
        device.publish("pump/p/level", str(value))
    device.flush()


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 150)).save(out, "JPEG")
    return out.getvalue()


def longest_gap(manager: ServiceManager, since: float) -> float:
    """Between two beats of the watchdog, up to now."""
    beats = [since, *manager.times("WATCHDOG=1", since), time.monotonic()]
    return max(later - earlier for earlier, later in zip(beats, beats[1:], strict=False))


def test_it_is_ready_reloads_and_stops_by_the_rules(scene: Scene, manager: ServiceManager) -> None:
    gateway = supervised(scene, manager, plain(scene))
    pid = gateway.pid
    assert manager.times("EXTEND_TIMEOUT_USEC=30000000"), "while it opened its store"
    wait_for(lambda: any("1 of 1 routes connected" in words for words in manager.statuses()), "it says how it is", 30)
    gateway.settings["judge"]["each"]["above"] = 1
    gateway.write()
    before = time.monotonic()
    os.kill(pid, signal.SIGHUP)
    manager.wait_for("RELOADING=1", before)
    manager.wait_for("READY=1", before)
    dry = gateway.run("reload", "-c", str(gateway.configuration), "--dry-run")
    assert dry.returncode == 0 and len(manager.times("RELOADING=1")) == 1, "a dry run is no reload"
    gateway.settings["judge"]["each"]["above"] = "high"
    gateway.write()
    refused = gateway.run("reload", "-c", str(gateway.configuration))
    assert refused.returncode == 78
    wait_for(lambda: len(manager.times("READY=1")) == 3, "a reload that was refused ends too")
    assert gateway.stop() == 0
    wait_for(lambda: manager.times("STOPPING=1"), "it said so")
    manager.check(pid)
    assert "NOTIFY_SOCKET" not in gateway.whole_log()


def test_without_a_broker_it_is_ready_all_the_same(scene: Scene, manager: ServiceManager) -> None:
    scene.site.stop()
    gateway = plain(scene)
    gateway.env |= manager.environment(WATCHDOG_S)
    began = time.monotonic()
    gateway.start()
    ready = manager.wait_for("READY=1")
    assert 9.5 < ready - began < 20
    pid = gateway.pid
    time.sleep(WATCHDOG_S)
    assert longest_gap(manager, ready) < MOST_BETWEEN_S, "a lost broker is no hang"
    assert any("site broker not connected" in words for words in manager.statuses())
    assert gateway.stop() == 0
    manager.check(pid)


def test_while_the_store_opens_it_lives_and_is_not_ready(scene: Scene) -> None:
    """Another program holds the file of the store, which takes as long as a check of a large one: five seconds, then the gateway
    gives up. On a machine that was too busy to look in time it is started again."""
    gateway, browser = plain(scene), Browser(free_port())
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{browser.port}"}
    scene.start(gateway)
    send(scene, 1)
    gateway.kill()

    def status(path: str, **headers: str) -> int:
        try:
            return browser.get(path, **headers).status
        except ConnectionError:
            return 0

    def while_it_opens() -> tuple[int, ...] | None:
        """What it answered; none where it ended before it had been asked all of it."""
        gateway.start()
        wait_for(lambda: status("/healthz") == 204 or not gateway.is_running, "it lives", 60)
        found = (status("/readyz"), status("/"), status("/healthz", Host="rebound.example"))
        return found if gateway.is_running and 0 not in found else None

    store = gateway.state_dir / "store" / "outbox.db"
    with closing(sqlite3.connect(store, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for _ in range(5):
            answered = while_it_opens()
            if answered:
                break
            gateway.end()
        holder.execute("ROLLBACK")
    assert answered == (503, 503, 421)
    if not gateway.is_running:
        gateway.start()
    wait_for(lambda: status("/readyz") == 204, "it is ready", 60)
    assert (status("/"), gateway.stop()) == (303, 0)


def test_a_socket_that_nobody_reads_holds_nothing_up(scene: Scene, tmp_path: Path) -> None:
    gateway = plain(scene)
    gateway.env |= {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1000000"}
    receiver = scene.receiver()
    scene.start(gateway)
    send(scene, 7)
    receiver.wait_for_verdicts(1)
    assert gateway.stop() == 0
    assert gateway.whole_log().count("systemd cannot be reached") == 1


@pytest.mark.alone
def test_any_thread_that_hangs_ends_the_beat(scene: Scene, manager: ServiceManager, models: Models) -> None:
    """Each thread in turn is stopped as by a debugger; all others run on."""
    gateway = supervised(scene, manager, everything(scene, models))
    pid = gateway.pid
    # Ready is what takes messages: the thread of the dashboard comes a moment later.
    wait_for(lambda: set(THREADS) - {"verge-main"} <= set(threads(pid)), "all threads are there")
    known = threads(pid)
    names = [name for name in (ALL_THREADS if is_full() else THREADS) if name in known or name == "verge-main"]
    assert set(THREADS) <= set(names), known
    if is_full():
        assert {name for name in known if name.startswith("verge-")} - UNWATCHED <= set(names), known
    for name in names:
        ready = time.monotonic()
        wait_for(lambda: manager.times("WATCHDOG=1", ready), f"it beats before {name}")
        stopped = "verge" if name == "verge-main" else name
        with hanging(pid, stopped):
            began = time.monotonic()
            time.sleep(SILENT_AFTER_S + 1.5)
            late = [at - began for at in manager.times("WATCHDOG=1", began + SILENT_AFTER_S)]
            assert late == [], f"{name} hangs, and the watchdog is beaten after {late} s"
        again = time.monotonic()
        wait_for(lambda: manager.times("WATCHDOG=1", again), f"it beats again after {name}")
    hung = [words for words in manager.statuses() if "makes no progress" in words]
    assert any("verge-store" in words for words in hung), hung
    assert "a thread makes no progress" in gateway.whole_log()
    assert gateway.stop() == 0
    manager.check(pid)


def test_a_hung_thread_is_a_restart_that_loses_nothing(scene: Scene, manager: ServiceManager) -> None:
    """The service manager ends what has not beaten for the whole interval, and starts it again."""
    receiver = scene.receiver()
    gateway = supervised(scene, manager, plain(scene))
    send(scene, 1, 2, 3)
    receiver.wait_for_verdicts(3)
    with hanging(gateway.pid, "verge-store"):
        send(scene, 4, 5, 6)
        wait_for(
            lambda: time.monotonic() - manager.times("WATCHDOG=1")[-1] > WATCHDOG_S, "the watchdog runs out", 4 * WATCHDOG_S
        )
        os.kill(gateway.pid, signal.SIGABRT)
    wait_for(lambda: not gateway.is_running, "it has ended")
    supervised(scene, manager, gateway)
    send(scene, 7)
    receiver.wait_for_verdicts(7)
    ledger = receiver.ledger()
    ledger.assert_sound()
    observed = [verdict.fields["anomaly"]["observed"] for verdict in ledger.in_order()]
    assert sorted(observed) == [1, 2, 3, 4, 5, 6, 7], "none lost, none judged twice"
    assert gateway.stop() == 0


def test_a_page_that_never_answers_is_a_hang(scene: Scene, manager: ServiceManager) -> None:
    """The file of the logins is a pipe that nobody writes to: the thread of the dashboard waits in the system call, for real."""
    gateway = plain(scene)
    port = free_port()
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{port}"}
    supervised(scene, manager, gateway)
    pipe = gateway.state_dir / "access.toml"
    os.mkfifo(pipe)
    began = time.monotonic()
    with pytest.raises(OSError):
        Browser(port).get("/login")
    time.sleep(max(began + SILENT_AFTER_S - time.monotonic(), 0))
    since = time.monotonic()
    time.sleep(1.5)
    assert manager.times("WATCHDOG=1", since) == []
    with pipe.open("w"):
        pass
    manager.wait_for("WATCHDOG=1", since)
    assert any("verge-web makes no progress" in words for words in manager.statuses())


def test_an_outage_of_the_wan_and_a_full_store_are_no_hang(scene: Scene, manager: ServiceManager) -> None:
    gateway = plain(scene)
    gateway.settings["gateway"] |= {"store_cap": "16 MiB", "replay_bytes": "0 B"}
    supervised(scene, manager, gateway)
    scene.upstream.stop()
    cut = time.monotonic()
    time.sleep(WATCHDOG_S)
    assert longest_gap(manager, cut) < MOST_BETWEEN_S, "an outage is no hang"
    device = scene.device("filler")
    number = 0

    def is_full_now() -> bool:
        nonlocal number
        for number in range(number + 1, number + 2_001):
            device.publish("pump/p/level", str(number))
        return any("store full" in words for words in manager.statuses()[-3:])

    wait_for(is_full_now, "the store is full", 240)
    full = time.monotonic()
    time.sleep(WATCHDOG_S)
    assert longest_gap(manager, full) < MOST_BETWEEN_S, "a full store is no hang"


def test_a_slow_model_is_no_hang(scene: Scene, manager: ServiceManager, models: Models) -> None:
    """A frame takes longer than half the interval of the watchdog."""
    slow = {"slow": {"file": str(models.slow("slow", 4_000))}}
    gateway = scene.gateway({"road": frame_source("road/+/frame")}, {"seen": looking(["road"], "classify", "slow")}, slow)
    gateway.settings["engine"] = {"workers": 1}
    receiver = scene.receiver()
    supervised(scene, manager, gateway)
    began = time.monotonic()
    device = scene.device()
    for _ in range(3):
        device.publish("road/north/frame", picture())
    device.flush()
    receiver.wait_for_verdicts(3, 120)
    assert longest_gap(manager, began) < MOST_BETWEEN_S
    judging = wait_for(lambda: receiver.statuses()[-1].get("frames", {}).get("judging_ms"), "the status says how long it takes", 60)
    assert judging["p50"] > WATCHDOG_S / 2 * 1_000, judging
    assert not any("verge-worker-0 makes no progress" in words for words in manager.statuses())
