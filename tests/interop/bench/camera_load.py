"""The load of cameras: real JPEGs, read once, published by one light process over one connection."""

import itertools
import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event, Semaphore

import raw_mqtt
from raw_mqtt import Watcher

TICK_S = 0.001
_CONTEXT = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class CameraLoad:
    """What is published: `count` frames in all, by cameras in turn, going round in the pictures."""

    pictures: list[bytes]
    cameras: int
    count: int
    # Frames a second over all cameras; 0 is as fast as verdicts come.
    rate: float = 0.0
    # Frames published and not yet judged, at most; 0 is no limit.
    ahead: int = 0
    qos: int = 1
    topic: str = "road/{camera}/frame"

    def camera(self, number: int) -> str:
        """Who sends a frame."""
        return f"camera-{number % self.cameras}"


class CameraGenerator:
    """Publishes a load in the background and knows when each frame was sent."""

    def __init__(self, load: CameraLoad, port: int, username: str, password: str, client_id: str = "cameras"):
        # Time each frame was handed to the socket (monotonic, s); 0 before.
        self.sent: SynchronizedArray = _CONTEXT.Array("d", load.count, lock=False)
        self._places: Semaphore = _CONTEXT.Semaphore(load.ahead or load.count)
        # Until then it stays, so that its CPU time can be read.
        self._dismissed: Event = _CONTEXT.Event()
        arguments = (load, (port, client_id, username, password), self.sent, self._places, self._dismissed)
        self._process = _CONTEXT.Process(target=_run, args=arguments, daemon=True)

    def start(self) -> "CameraGenerator":
        """Begins."""
        self._process.start()
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def judged(self) -> None:
        """A verdict has come: one more frame may be sent."""
        self._places.release()

    def join(self, seconds: float) -> None:
        """Waits until all is published and, at QoS 1, acknowledged."""
        self._dismissed.set()
        self._process.join(seconds)
        if self._process.exitcode != 0:
            self._process.kill()
            raise RuntimeError("the load of the cameras failed")

    def stop(self) -> None:
        """Ends it wherever it stands."""
        self._process.kill()
        self._process.join()


class PacingWatcher(Watcher):
    """A watcher that tells a generator of each verdict message."""

    generator: CameraGenerator | None = None

    def noted(self) -> None:
        """One more has come."""
        if self.generator is not None:
            self.generator.judged()


def _run(
    load: CameraLoad,
    broker: tuple[int, str, str, str],
    sent: SynchronizedArray,
    places: Semaphore,
    dismissed: Event,
) -> None:
    connection = raw_mqtt.Connection(*broker)
    done = threading.Event()
    threading.Thread(target=_read, args=(connection, load, done), daemon=True).start()
    identifiers = raw_mqtt.identifiers()
    start = time.monotonic()
    for number, picture in zip(range(load.count), itertools.cycle(load.pictures)):
        if load.ahead:
            places.acquire()
        if load.rate:
            time.sleep(max(0.0, start + number / load.rate - time.monotonic()))
        topic = load.topic.format(camera=load.camera(number))
        head = raw_mqtt.publish_head(topic, len(picture), next(identifiers) if load.qos else None)
        sent[number] = time.monotonic()
        connection.socket.sendall(head)
        connection.socket.sendall(picture)
    if load.qos:
        done.wait()
    dismissed.wait()
    connection.close()


def _read(connection: raw_mqtt.Connection, load: CameraLoad, done: threading.Event) -> None:
    """Reads acknowledgements, lest the broker's buffer fill."""
    count = 0
    for kind, _, _ in connection.packets():
        count += kind == raw_mqtt.PUBACK
        if count == load.count:
            done.set()
