"""MQTT clients of the tests: paho-mqtt as devices and as receivers."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt

from ledger import Ledger
from peers import HOST, Listener
from wire import Message, decode
from waiting import wait_for, wait_until_quiet


# Last levels of the topics on which verdicts travel.
VERDICT_CHANNELS = ("alarm", "verdict")


def _client(client_id: str, listener: Listener, clean_session: bool) -> mqtt.Client:
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean_session, protocol=mqtt.MQTTv311
    )
    if listener.login:
        client.username_pw_set(listener.login.username, listener.login.password)
    if listener.certificates:
        identity = listener.certificates.receiver
        client.tls_set(
            ca_certs=str(listener.certificates.ca), certfile=str(identity.cert), keyfile=str(identity.key)
        )
    client.on_socket_open = _without_nagle
    client.reconnect_delay_set(min_delay=1, max_delay=1)
    return client


def _without_nagle(_client: mqtt.Client, _userdata: Any, opened: socket.socket) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Device:
    """Publishes as a device would: QoS 1, and knows what the broker has acknowledged."""

    def __init__(self, listener: Listener, client_id: str = "device"):
        self._client = _client(client_id, listener, clean_session=True)
        self._client.max_inflight_messages_set(500)
        self._last: mqtt.MQTTMessageInfo | None = None
        self._connected = threading.Event()
        self._client.on_connect = lambda *_: self._connected.set()
        self._client.connect(HOST, listener.port)
        self._client.loop_start()
        if not self._connected.wait(10):
            raise TimeoutError("the device is not connected")

    def publish(self, topic: str, payload: str | bytes | float | dict, retain: bool = False) -> None:
        """Hands a message to the broker, without waiting for its acknowledgement."""
        if isinstance(payload, dict):
            payload = json.dumps(payload)
        self._last = self._accepted(topic, payload, 1, retain)

    def _accepted(self, topic: str, payload: str | bytes | float, qos: int, retain: bool) -> mqtt.MQTTMessageInfo:
        """Publishes it; waits while 65,535 messages have no acknowledgement: the client throws away what it has no number for."""
        deadline = time.monotonic() + 60
        while True:
            info = self._client.publish(topic, payload, qos=qos, retain=retain)
            if info.rc != mqtt.MQTT_ERR_QUEUE_SIZE:
                return info
            if time.monotonic() > deadline:
                raise TimeoutError("the broker acknowledges nothing for a minute")
            time.sleep(0.01)

    def publish_raw(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """The same at any QoS."""
        self._last = self._accepted(topic, payload, qos, retain)

    def subscribe(self, topic: str, receive: Callable[[bytes], object]) -> None:
        """Subscribes at QoS 1 and waits until the broker has granted it; what arrives goes to `receive`."""
        granted = threading.Event()
        self._client.on_subscribe = lambda *_: granted.set()
        self._client.on_message = lambda _client, _data, message: receive(message.payload)
        self._client.subscribe(topic, qos=1)
        if not granted.wait(10):
            raise TimeoutError(f"the broker has not granted {topic}")

    def flush(self, seconds: float = 60.0) -> None:
        """Waits until the broker has acknowledged everything."""
        if self._last is not None:
            self._last.wait_for_publish(seconds)
            if not self._last.is_published():
                raise TimeoutError(f"not acknowledged within {seconds:g} s")

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(frozen=True)
class Arrival:
    """One MQTT message as it arrived."""

    topic: str
    payload: bytes
    retained: bool
    at: float

    @property
    def channel(self) -> str:
        """Last level of the topic: alarm, verdict or status."""
        return self.topic.rsplit("/", 1)[-1]


@dataclass
class Receiver:
    """Takes everything under a prefix, QoS 1, in a session that the broker keeps."""

    listener: Listener
    prefix: str = "verge"
    client_id: str = "receiver"
    # Below the prefix.
    topics: str = "#"
    arrivals: list[Arrival] = field(default_factory=list, init=False)
    # Of the arrivals, up to the one that is read next.
    _decoded: list[Message] = field(default_factory=list, init=False)
    _read: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._subscribed = threading.Event()
        # A service of a test may look as well, in a thread of its own.
        self._decoding = threading.Lock()
        self._client = _client(self.client_id, self.listener, clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{self.prefix}/{self.topics}", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._note
        self._client.connect(HOST, self.listener.port)
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise TimeoutError("the receiver is not subscribed")

    def _note(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.arrivals.append(Arrival(message.topic, message.payload, bool(message.retain), time.monotonic()))

    def of(self, channel: str) -> list[Arrival]:
        """Arrivals on one channel."""
        return [arrival for arrival in list(self.arrivals) if arrival.channel == channel]

    def messages(self) -> list[Message]:
        """Every verdict message, in order of arrival; each is decoded once, however often a test asks."""
        with self._decoding:
            for arrival in list(self.arrivals[self._read :]):
                if arrival.channel not in VERDICT_CHANNELS:
                    self._read += 1
                    continue
                message = decode(arrival.payload)
                expected = "alarm" if message.lane == "alarm" else "verdict"
                assert arrival.channel == expected, f"lane {message.lane} on {arrival.topic}"
                count = len(message.verdicts) + len(message.tombstones)
                assert arrival.channel != "alarm" or count <= 1, "alarms go alone"
                self._decoded.append(message)
                self._read += 1
            return list(self._decoded)

    def ledger(self) -> Ledger:
        """All verdicts by identity."""
        ledger = Ledger()
        for message in self.messages():
            ledger.note(message)
        return ledger

    def statuses(self) -> list[dict]:
        """Every status document, oldest first."""
        return [json.loads(arrival.payload) for arrival in self.of("status") if arrival.payload]

    def command(self, gateway: str, seconds: float = 10.0, every: float = 1.0, **command: object) -> dict:
        """Sends a command to a gateway, again after `every` seconds while no answer comes, and returns its answer."""
        command = {"id": f"test-{len(self.arrivals)}-{time.monotonic()}"} | command
        topic, payload = f"{self.prefix}/{gateway}/cmd", json.dumps(command)
        sent = -1.0

        def answer() -> dict | None:
            nonlocal sent
            if time.monotonic() - sent > every:
                sent = time.monotonic()
                self._client.publish(topic, payload, qos=1)
            answers = [json.loads(arrival.payload) for arrival in self.of("reply")]
            return next((answer for answer in answers if answer.get("id") == command["id"]), None)

        return wait_for(answer, f"an answer to {command}", seconds)

    def wait_for_verdicts(self, count: int, seconds: float = 60.0) -> Ledger:
        """Waits for that many different verdicts, then for silence, since there could be more."""
        self.wait_for_different(count, seconds)
        wait_until_quiet(lambda: len(self.arrivals))
        return self.ledger()

    def wait_for_different(self, count: int, seconds: float = 60.0) -> None:
        """Waits for that many different verdicts."""
        counter = _Counter(self)
        wait_for(lambda: counter.count() >= count, f"{count} verdicts", seconds)

    def counter(self) -> Callable[[], int]:
        """Counts different verdicts so far, each message decoded once."""
        self._counter = _Counter(self)
        return self._counter.count

    def repeated(self) -> int:
        """Verdicts that had come before, as the last count of `counter` found them."""
        return self._counter.ledger.duplicates

    def wait_for_status(self, state: str, seconds: float = 20.0) -> dict:
        """Waits for a status document whose state, the newest there is, is this."""
        wait_for(lambda: [s["state"] for s in self.statuses()[-1:]] == [state], f"status {state}", seconds)
        return self.statuses()[-1]

    def close(self) -> None:
        """Disconnects; the session stays."""
        self._client.disconnect()
        self._client.loop_stop()


class _Counter:
    """Counts different verdicts as they arrive, each message decoded once."""

    def __init__(self, receiver: Receiver):
        self._receiver = receiver
        self.ledger = Ledger()
        self._read = 0

    def count(self) -> int:
        arrivals = self._receiver.arrivals
        while self._read < len(arrivals):
            arrival = arrivals[self._read]
            self._read += 1
            if arrival.channel in VERDICT_CHANNELS:
                self.ledger.note(decode(arrival.payload))
        return len(self.ledger.verdicts)
