"""Other devices, beside whatever else happens: how long their messages take, and how soon a new one is let in."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator

from broker_site import Site
from certificates import Identity
from figures import percentile
from tls_device import connect, context, exactly, publish_packet
from waiting import wait_for


def device_context(site: Site, device: str) -> ssl.SSLContext | None:
    """TLS as a device of the site, where it has TLS."""
    if not site.has_tls:
        return None
    return context(site.certificates.ca, Identity(*site.identity(device)))


class Standing:
    """A device that stays connected: one message at a time, each acknowledged, and how long that took."""

    def __init__(self, site: Site, device: str = "other-1", pause_s: float = 0.01):
        self.times: list[float] = []
        self.lost: list[str] = []
        # Without certificates the identifier is the name.
        client_id = f"{device}:standing" if site.has_tls else device
        self._stream = connect(device_context(site, device), site.port, client_id, keep_alive=3600)
        self._packet = publish_packet(f"plant/{device}/vibration", b"1")
        self._pause_s = pause_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._end.wait(self._pause_s):
                began = time.monotonic()
                self._stream.sendall(self._packet)
                exactly(self._stream, 4)
                self.times.append(time.monotonic() - began)
        except OSError as error:
            self.lost.append(str(error))

    def taken(self) -> list[float]:
        """What it has measured since the last call."""
        taken, self.times = self.times, []
        return taken

    def p99_ms(self) -> float:
        """Of what it has measured since the last call, in milliseconds; waits for the first of it."""
        wait_for(lambda: self.times or self.lost, "the other device has its acknowledgement", 60)
        assert not self.lost, f"another device lost its connection: {self.lost}"
        return round(percentile(self.taken(), 99) * 1000, 2)

    def close(self) -> None:
        self._end.set()
        self._thread.join(60)
        self._stream.close()


class Newcomers:
    """A device that connects again and again, and how long each time takes until CONNACK."""

    def __init__(self, site: Site, device: str = "other-2", pause_s: float = 0.2):
        self.times: list[float] = []
        self.refused: list[str] = []
        self._tls, self._port, self._device, self._pause_s = device_context(site, device), site.port, device, pause_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._pause_s):
            began = time.monotonic()
            try:
                connect(self._tls, self._port, f"{self._device}:new").close()
                self.times.append(time.monotonic() - began)
            except OSError as error:
                self.refused.append(str(error))

    def close(self) -> None:
        self._end.set()
        self._thread.join(60)


@contextlib.contextmanager
def standing(site: Site, device: str = "other-1") -> Iterator[Standing]:
    """Closed at the end, and connected throughout."""
    other = Standing(site, device)
    try:
        yield other
    finally:
        other.close()
    assert not other.lost, f"another device lost its connection: {other.lost}"


def at_once(count: int, run: Callable[[int], None]) -> None:
    """Runs it in that many threads, and fails where one of them does."""
    faults: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            run(number)
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
