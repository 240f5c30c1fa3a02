"""MQTT 3.1.1 as a device sees it at the listener: what the standard says, and where the broker behind it differs.

Each behaviour is one test with paho-mqtt, or with bytes where no client sends them. The differences, at the end, stand in
docs/broker.md, "Where it differs from the standard": what is asserted there is what is documented, not what is right.
"""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from broker_site import HOST, Site, pump_site
from certificates import Certificates
from scene import Scene
from waiting import wait_for

# Time in which a message would have come that must not come.
QUIET_S = 0.5


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Site]:
    """One broker for all of these tests: each uses topics and identifiers of its own."""
    folder = tmp_path_factory.mktemp("conformance")
    scene = Scene(folder, certificates)
    try:
        with pump_site(scene.open(), folder, access="open") as site:
            yield site
    finally:
        print(scene.logs())
        scene.close()


class Client:
    """paho-mqtt with MQTT 3.1.1 and a certificate; notes what it receives."""

    def __init__(self, site: Site, client_id: str, clean: bool = True, keep_alive: int = 60, **options: object):
        cert, key = site.identity("pump-1")
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, protocol=mqtt.MQTTv311, **options
        )
        self.client.tls_set(str(site.certificates.ca), str(cert), str(key))
        self.site, self.keep_alive = site, keep_alive
        self.session_present: bool | None = None
        self.refused: str | None = None
        self.messages: list[tuple[str, bytes, int, bool]] = []
        self.granted: list[list[int]] = []
        self.unsubscribed = 0
        self.client.on_connect = self._connected
        self.client.on_message = lambda _c, _d, message: self.messages.append(
            (message.topic, message.payload, message.qos, message.retain)
        )
        self.client.on_subscribe = lambda _c, _d, _id, codes, _p: self.granted.append([code.value for code in codes])
        self.client.on_unsubscribe = lambda *_: setattr(self, "unsubscribed", self.unsubscribed + 1)

    def _connected(self, _c: object, _d: object, flags: mqtt.ConnectFlags, reason: object, _p: object) -> None:
        if getattr(reason, "is_failure", False):
            self.refused = str(reason)
        else:
            self.session_present = flags.session_present

    def open(self) -> "Client":
        self.client.connect(HOST, self.site.port, self.keep_alive)
        self.client.loop_start()
        wait_for(lambda: self.session_present is not None or self.refused, "the broker answers")
        return self

    def subscribe(self, *filters: tuple[str, int]) -> list[int]:
        before = len(self.granted)
        self.client.subscribe(list(filters))
        wait_for(lambda: len(self.granted) > before, "the subscription is answered")
        return self.granted[-1]

    def unsubscribe(self, *filters: str) -> None:
        before = self.unsubscribed
        self.client.unsubscribe(list(filters))
        wait_for(lambda: self.unsubscribed > before, "the end of the subscription is acknowledged")

    def publish(self, topic: str, payload: str, qos: int = 1, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)

    def wait(self, count: int) -> list[tuple[str, bytes, int, bool]]:
        wait_for(lambda: len(self.messages) >= count, f"{count} messages, not {self.messages}")
        time.sleep(QUIET_S)
        return self.messages

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self) -> None:
        """The end of a device without power: no DISCONNECT."""
        stream = self.client.socket()
        stream.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()


@contextmanager
def client(site: Site, client_id: str, **options: object) -> Iterator[Client]:
    opened = Client(site, client_id, **options).open()
    yield opened
    opened.close()


@contextmanager
def stream(site: Site) -> Iterator[ssl.SSLSocket]:
    """A connection for bytes."""
    cert, key = site.identity("pump-1")
    context = ssl.create_default_context(cafile=str(site.certificates.ca))
    context.load_cert_chain(cert, key)
    with socket.create_connection((HOST, site.port)) as plain, context.wrap_socket(plain, server_hostname=HOST) as made:
        made.settimeout(10)
        yield made


def connect(client_id: bytes, flags: int = 2, keep_alive: int = 60, protocol: bytes = b"\x00\x04MQTT\x04") -> bytes:
    body = protocol + bytes([flags]) + struct.pack(">HH", keep_alive, len(client_id)) + client_id
    return bytes([0x10, len(body)]) + body


def received(made: ssl.SSLSocket) -> bytes:
    """All until the end of the connection."""
    data = b""
    try:
        while piece := made.recv(1024):
            data += piece
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return data


def test_basic(site: Site) -> None:
    with client(site, "basic-a") as a, client(site, "basic-b") as b:
        assert a.session_present is False
        assert a.subscribe(("basic/t", 2)) == [2]
        for qos in (0, 1, 2):
            b.publish("basic/t", f"qos {qos}", qos)
        assert [payload for _, payload, _, _ in a.wait(3)] == [b"qos 0", b"qos 1", b"qos 2"]
        assert all(topic == "basic/t" and not retain for topic, _, _, retain in a.messages)
    with stream(site) as made:
        made.sendall(connect(b"basic-c") * 2)
        assert received(made) == b"\x20\x02\x00\x00", "a second CONNECT ends the connection (section 3.1)"


def test_what_is_no_connect_or_another_version_is_refused(site: Site) -> None:
    with stream(site) as made:
        made.sendall(b"\xc0\x00")
        assert received(made) == b"", "the first packet is CONNECT (section 3.1)"
    for protocol, answer in ((b"\x00\x04MQTT\x03", b"\x20\x02\x00\x01"), (b"\x00\x04MQTX\x04", b"")):
        with stream(site) as made:
            made.sendall(connect(b"version", protocol=protocol))
            assert received(made) == answer, protocol


def test_retained_messages(site: Site) -> None:
    with client(site, "kept-a") as a, client(site, "kept-b") as b:
        for topic, payload in (("kept/a", "1"), ("kept/x/b", "2"), ("kept/c", "3")):
            a.publish(topic, payload, 1, retain=True)
        a.publish("kept/a", "4", 1, retain=True)
        assert b.subscribe(("kept/+", 1)) == [1]
        got = sorted(b.wait(2))
        assert [(topic, payload, retain) for topic, payload, _, retain in got] == [
            ("kept/a", b"4", True),
            ("kept/c", b"3", True),
        ]
        b.messages.clear()
        a.publish("kept/a", "5", 1, retain=True)
        assert b.wait(1)[0][3] is False, "to those that subscribe already without the flag (section 3.3.1.3)"
        for topic in ("kept/a", "kept/x/b", "kept/c"):
            a.publish(topic, "", 1, retain=True)
    with client(site, "kept-c") as c:
        c.subscribe(("kept/#", 1))
        assert c.wait(0) == [], "an empty one takes it away"


def test_zero_length_client_id(site: Site) -> None:
    with stream(site) as made:
        made.sendall(connect(b""))
        assert made.recv(4) == b"\x20\x02\x00\x00"
    with stream(site) as made:
        made.sendall(connect(b"", flags=0))
        assert received(made) == b"\x20\x02\x00\x02", "no session can be kept under it (section 3.1.3.1)"


def test_offline_messages_wait_for_a_session_that_is_kept(site: Site) -> None:
    with client(site, "offline-a", clean=False) as a:
        assert a.session_present is False
        a.subscribe(("offline/#", 1))
    with client(site, "offline-b") as b:
        for number in range(20):
            b.publish(f"offline/{number}", str(number), 1)
    with client(site, "offline-a", clean=False) as a:
        assert a.session_present is True
        assert [payload for _, payload, _, _ in a.wait(20)] == [str(number).encode() for number in range(20)]
    with client(site, "offline-a", clean=True) as a:
        assert a.session_present is False and a.wait(0) == []
    with client(site, "offline-a", clean=False) as a:
        assert a.session_present is False, "a clean one has ended it (section 3.1.2.4)"


def test_overlapping_subscriptions(site: Site) -> None:
    with client(site, "over-a") as a, client(site, "over-b") as b:
        assert a.subscribe(("over/#", 1), ("over/+", 1)) == [1, 1]
        b.publish("over/t", "1", 1)
        # Once, or once for each subscription (section 3.3.5).
        assert {(topic, payload) for topic, payload, _, _ in a.wait(1)} == {("over/t", b"1")}
        assert len(a.messages) in (1, 2)


def test_keep_alive_and_last_will(site: Site) -> None:
    with client(site, "alive-b") as b, stream(site) as made:
        b.subscribe(("alive/will", 1))
        topic, payload = b"alive/will", b"away"
        body = b"\x00\x04MQTT\x04\x0e" + struct.pack(">HH", 2, 7) + b"alive-a"
        body += struct.pack(">H", len(topic)) + topic + struct.pack(">H", len(payload)) + payload
        made.sendall(bytes([0x10, len(body)]) + body)
        assert made.recv(4) == b"\x20\x02\x00\x00"
        began = time.monotonic()
        assert received(made) == b""
        assert 2.5 <= time.monotonic() - began <= 6, "one and a half times the keep-alive (section 3.1.2.10)"
        assert b.wait(1)[0][:2] == ("alive/will", b"away")


def test_last_will_is_void_after_disconnect(site: Site) -> None:
    with client(site, "will-b") as b:
        b.subscribe(("will/#", 1))
        for ends in ("close", "break_off"):
            a = Client(site, "will-a")
            a.client.will_set("will/a", ends, qos=1)
            getattr(a.open(), ends)()
        assert [payload for _, payload, _, _ in b.wait(1)] == [b"break_off"]


def test_a_retained_last_will(site: Site) -> None:
    a = Client(site, "will-kept-a")
    a.client.will_set("will-kept/a", "away", qos=1, retain=True)
    a.open().break_off()

    def is_kept() -> bool:
        with client(site, "will-kept-b") as b:
            b.subscribe(("will-kept/a", 1))
            return [(payload, retain) for _, payload, _, retain in b.wait(0)] == [(b"away", True)]

    wait_for(is_kept, "the will is retained")


def test_redelivery_on_reconnect(site: Site) -> None:
    """What was not acknowledged comes again, with DUP or as the first time."""
    with client(site, "again-b") as b:
        first = Client(site, "again-a", clean=False, manual_ack=True).open()
        first.subscribe(("again/#", 1))
        for number in range(5):
            b.publish("again/t", str(number), 1)
        first.wait(5)
        first.break_off()
        second = Client(site, "again-a", clean=False).open()
        assert second.session_present is True
        assert [payload for _, payload, _, _ in second.wait(5)] == [str(number).encode() for number in range(5)]
        second.close()


def test_subscribe_failure(site: Site) -> None:
    with client(site, "failure-a") as a:
        assert a.subscribe(("$share/g/failure", 1), ("failure/ok", 1), ("$SYS/#", 0)) == [0x80, 1, 0x80]
    # A filter without a character is no filter (section 4.7.3).
    for filter_, answer in ((b"failure/#/x", b"\x90\x03\x00\x05\x80"), (b"failure/x+", b"\x90\x03\x00\x05\x80"), (b"", b"")):
        with stream(site) as made:
            made.sendall(connect(b"failure-b"))
            assert made.recv(4) == b"\x20\x02\x00\x00"
            body = b"\x00\x05" + struct.pack(">H", len(filter_)) + filter_ + b"\x01"
            made.sendall(bytes([0x82, len(body)]) + body)
            assert made.recv(5) == answer, filter_


def test_dollar_topics_are_not_of_wildcards(site: Site) -> None:
    with client(site, "dollar-a") as a:
        a.subscribe(("+/dollar", 1))
        with client(site, "dollar-b") as b:
            b.client.publish("$dollar/dollar", "1", qos=0)
            wait_for(lambda: not b.client.is_connected(), "nobody publishes there")
        assert a.wait(0) == []


def test_unsubscribe(site: Site) -> None:
    with client(site, "un-a") as a, client(site, "un-b") as b:
        a.subscribe(("un/1", 1), ("un/2", 1), ("un/3", 1))
        a.unsubscribe("un/1", "un/3")
        for topic in ("un/1", "un/2", "un/3"):
            b.publish(topic, topic, 1)
        assert [topic for topic, *_ in a.wait(1)] == ["un/2"]
        a.unsubscribe("un/never")


def test_a_second_connection_of_a_client_ends_the_first(site: Site) -> None:
    with stream(site) as first, stream(site) as second:
        first.sendall(connect(b"twice"))
        assert first.recv(4) == b"\x20\x02\x00\x00"
        second.sendall(connect(b"twice"))
        assert second.recv(4) == b"\x20\x02\x00\x00"
        assert received(first) == b"", "the first ends (section 3.1.4)"
        second.sendall(b"\xc0\x00")
        assert second.recv(2) == b"\xd0\x00"


def test_messages_of_a_topic_keep_their_order(site: Site) -> None:
    with client(site, "order-a") as a, client(site, "order-b") as b:
        a.subscribe(("order/t", 1))
        published = [b.client.publish("order/t", str(number), qos=1) for number in range(300)]
        published[-1].wait_for_publish(20)
        assert [payload for _, payload, _, _ in a.wait(300)] == [str(number).encode() for number in range(300)]


def test_wildcards(site: Site) -> None:
    matching = {"wild/+/c": ["wild/b/c", "wild//c"], "wild/b/#": ["wild/b", "wild/b/c", "wild/b/c/d"], "wild": []}
    topics = ["wild/b", "wild/b/c", "wild/b/c/d", "wild//c"]
    for number, (filter_, expected) in enumerate(matching.items()):
        with client(site, f"wild-{number}") as a, client(site, "wild-b") as b:
            a.subscribe((filter_, 1))
            for topic in topics:
                b.publish(topic, "1", 1)
            assert sorted(topic for topic, *_ in a.wait(len(expected))) == sorted(expected), filter_


def test_differences(site: Site) -> None:
    """What docs/broker.md says of the broker behind the listener. A change here is a change there."""
    with client(site, "differs-a") as a, client(site, "differs-b") as b:
        # QoS of the subscription, not the lower of both.
        a.subscribe(("differs/t", 1))
        b.publish("differs/t", "1", 0)
        assert a.wait(1)[0][2] == 1
        # Retained messages at the first subscription only.
        b.publish("differs/kept", "1", 1, retain=True)
        a.messages.clear()
        a.subscribe(("differs/kept", 1))
        assert a.wait(1)[0][3] is True
        a.subscribe(("differs/kept", 1))
        assert len(a.wait(1)) == 1
        # An empty message without the flag takes a retained one away.
        b.publish("differs/kept", "", 1)
    with client(site, "differs-c") as c:
        c.subscribe(("differs/kept", 1))
        assert c.wait(0) == []


def test_a_client_without_keep_alive_is_served(site: Site) -> None:
    """A keep-alive of 0 is 60 s, which the tests of the front's CONNECT assert; here: nobody is refused or cut off for it."""
    with stream(site) as made:
        made.sendall(connect(b"forever", keep_alive=0))
        assert made.recv(4) == b"\x20\x02\x00\x00"
        waiting = threading.Event()
        assert not waiting.wait(3)
        made.sendall(b"\xc0\x00")
        assert made.recv(2) == b"\xd0\x00"
