"""What readers with many filters make the embedded broker keep: a log for each filter, which rumqttd never frees."""

import threading
import time
from pathlib import Path

from broker_site import Site, pump_site
from certificates import Identity
from scene import Scene
from tls_device import connect, context, exactly, packet, publish_packet, subscribe_packet, text

LEVELS = [f"l{number}" for number in range(5)]
# Filters of a device, and beside the memory that all logs may take what comes between two looks.
PER_DEVICE, LIMIT_KIB, BETWEEN_KIB = 64, 256 * 1024, 96 * 1024


def forms(prefix: str) -> list[str]:
    """Filters that all match one topic below the prefix."""
    found = []
    for depth in range(len(LEVELS) + 1):
        for form in range(2**depth):
            levels = ["+" if form >> place & 1 else LEVELS[place] for place in range(depth)]
            found.append("/".join([prefix, *levels, "#"]))
    return found


def anonymous_kib(process: int | None) -> int:
    """Memory that a process has for itself; none where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


class Reader:
    """A device that reads all that matches many filters, and connects again where its connection ends."""

    def __init__(self, site: Site, device: str, filters: list[str]):
        self.device, self.filters, self.granted = device, filters, 0
        self.site, self.tls = site, context(site.certificates.ca, Identity(*site.identity(device.partition(":")[0])))
        self.subscribed, self.end = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.end.is_set():
            try:
                with connect(self.tls, self.site.port, self.device, keep_alive=600, timeout=2) as stream:
                    stream.sendall(subscribe_packet(self.filters))
                    head = exactly(stream, 2)
                    codes = exactly(stream, head[1])[2:]
                    self.granted = sum(code != 0x80 for code in codes)
                    self.subscribed.set()
                    while not self.end.is_set():
                        try:
                            if not stream.recv(1 << 16):
                                break
                        except TimeoutError:
                            pass
            except OSError:
                time.sleep(0.1)

    def close(self) -> None:
        self.end.set()
        self.thread.join(10)


def flood(site: Site, device: str, topic: str, seconds: float, payload: bytes = b"") -> int:
    """Publishes as fast as it may, and gives the most that the broker's process had for itself meanwhile, in KiB."""
    tls = context(site.certificates.ca, Identity(*site.identity(device.partition(":")[0])))
    messages = packet(0x30, text(topic) + payload) * 50
    end, most = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            with connect(tls, site.port, device, keep_alive=600, timeout=5) as stream:
                while time.monotonic() < end:
                    stream.sendall(messages)
                    most = max(most, anonymous_kib(site.broker_process()))
        except OSError:
            time.sleep(0.1)
    return most


def test_readers_with_many_filters_fill_no_memory(scene: Scene, tmp_path: Path) -> None:
    with pump_site(scene, tmp_path, access="open", rate=20_000) as site:
        prefixes = ["plant/x", "+/x", "plant/+", "+/+"]
        # 63 forms each, of which as many as fit a packet with a short length are asked for at a time.
        readers = [Reader(site, f"reader-{number}", forms(prefix)[:PER_DEVICE]) for number, prefix in enumerate(prefixes)]
        assert all(reader.subscribed.wait(20) for reader in readers)
        assert sum(reader.granted for reader in readers) == 4 * 63
        most = flood(site, "writer-1", "/".join(["plant/x", *LEVELS]), 15.0)
        assert most <= LIMIT_KIB + BETWEEN_KIB, most
        status = site.broker_until(lambda broker: broker["restarts"] > 0)
        assert status["restarts"] <= 6 and "topic filters" in status["last_fault"], status
        # Everybody is served as before.
        for reader in readers:
            reader.close()
        with connect(context(site.certificates.ca, Identity(*site.identity("pump-1"))), site.port, "pump-1") as stream:
            stream.sendall(publish_packet("plant/pump-1/vibration", b"9.5"))
            exactly(stream, 4)


def test_a_device_fills_no_memory_with_commands_to_itself(scene: Scene, tmp_path: Path) -> None:
    with pump_site(scene, tmp_path) as site:
        reader = Reader(site, "pump-1", forms("plant/pump-1/cmd"))
        assert reader.subscribed.wait(20) and reader.granted == 63
        before = anonymous_kib(site.broker_process())
        # Its own rate is 2,000 a second.
        grown = flood(site, "pump-1:writer", "/".join(["plant/pump-1/cmd", *LEVELS]), 8.0) - before
        assert grown <= 32 * 1024, grown
        assert site.broker_until(lambda broker: True)["restarts"] == 0
        reader.close()
