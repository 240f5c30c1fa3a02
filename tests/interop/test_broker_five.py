"""The embedded broker and foreign devices that speak MQTT 5: what is the same, what is said to be missing, what is answered."""

import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker_site import HOST, Site, pump_site

from scene import Scene
from waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "target" / "node" / "node_modules"


@pytest.fixture(name="site")
def _site(scene: Scene, tmp_path: Path) -> Iterator[Site]:
    with pump_site(scene, tmp_path) as site:
        yield site


class Five:
    """paho-mqtt as a device with MQTT 5, which notes what it is answered."""

    def __init__(self, site: Site, device: str, client_id: str | None = None, clean: bool = True, **asked: int):
        self.site = site
        self.client = site.paho(device, device if client_id is None else client_id, mqtt.MQTTv5)
        self.answer: tuple[Any, Any, Any] | None = None
        self.granted: list[list[Any]] = []
        self.acknowledged: list[Any] = []
        self.messages: list[tuple[str, bytes]] = []
        self.ended: list[Any] = []
        self.client.on_connect = lambda _c, _d, flags, reason, properties: setattr(
            self, "answer", (flags.session_present, reason, properties)
        )
        self.client.on_subscribe = lambda _c, _d, _id, codes, _p: self.granted.append(codes)
        self.client.on_publish = lambda _c, _d, _id, reason, _p: self.acknowledged.append(reason)
        self.client.on_message = lambda _c, _d, message: self.messages.append((message.topic, message.payload))
        self.client.on_disconnect = lambda _c, _d, _flags, reason, _p: self.ended.append(reason)
        properties = Properties(PacketTypes.CONNECT)
        for name, value in asked.items():
            setattr(properties, name, value)
        self.client.connect(HOST, site.port, clean_start=clean, properties=properties)
        self.client.loop_start()
        wait_for(lambda: self.answer or self.ended, "the broker answers")

    @property
    def properties(self) -> Any:
        assert self.answer is not None
        return self.answer[2]

    def subscribe(self, *filters: tuple[str, SubscribeOptions]) -> list[int]:
        """The codes of the answer."""
        before = len(self.granted)
        self.client.subscribe(list(filters))
        wait_for(lambda: len(self.granted) > before, "the subscription is answered")
        return [code.value for code in self.granted[-1]]

    def close(self, **asked: int) -> None:
        properties = Properties(PacketTypes.DISCONNECT)
        for name, value in asked.items():
            setattr(properties, name, value)
        self.client.disconnect(properties=properties)
        self.client.loop_stop()


def test_paho_with_mqtt_5_is_a_device_like_any_other(site: Site) -> None:
    device = Five(site, "pump-1", "")
    assert device.answer is not None and device.answer[1].value == 0, device.answer
    said = device.properties
    assert said.AssignedClientIdentifier == "pump-1"
    missing = (said.MaximumQoS, said.RetainAvailable, said.SharedSubscriptionAvailable, said.SubscriptionIdentifierAvailable)
    assert missing == (1, 0, 0, 0)
    assert not hasattr(said, "TopicAliasMaximum") and said.MaximumPacketSize > 1000
    options = SubscribeOptions
    codes = device.subscribe(
        ("plant/pump-1/cmd/#", options(qos=2)),
        ("plant/pump-2/cmd/#", options(qos=1)),
        ("$share/g/plant/pump-1/cmd/#", options(qos=0)),
        ("plant/pump-1/cmd/x", options(qos=1, noLocal=True)),
    )
    assert codes == [1, 0x87, 0x9E, 0x83]
    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 60
    properties.ContentType = "text/plain"
    properties.UserProperty = ("firmware", "1.2")
    for topic in ("plant/pump-1/vibration", "plant/pump-1/cmd/start"):
        device.client.publish(topic, "9.5", qos=1, properties=properties).wait_for_publish(10)
    wait_for(lambda: site.verdicts("pump-1") == 1, "the reading is judged")
    wait_for(lambda: device.messages == [("plant/pump-1/cmd/start", b"9.5")], "the command arrives")
    # Another's topic: the message alone is refused.
    device.client.publish("plant/pump-2/vibration", "9.5", qos=1)
    wait_for(lambda: len(device.acknowledged) == 3, "it is answered")
    assert [reason.value for reason in device.acknowledged] == [0, 0, 0x87]
    device.client.publish("plant/pump-1/vibration", "9.6", qos=1).wait_for_publish(10)
    unsubscribed = threading.Event()
    device.client.on_unsubscribe = lambda _c, _d, _id, _codes, _p: unsubscribed.set()
    device.client.unsubscribe(["plant/pump-1/cmd/#", "plant/pump-1/never"])
    assert unsubscribed.wait(10)
    # What cannot be answered for one message ends the connection, with a reason.
    device.client.publish("plant/pump-1/vibration", "9.7", qos=0, retain=True)
    wait_for(lambda: device.ended, "the connection ends")
    assert device.ended[0].value == 0x9A, device.ended
    device.client.loop_stop()
    assert site.verdicts("pump-2") == 0
    status = site.broker(publish_not_allowed=1, shared_subscription=1, subscribe_option=1, retained=1)
    assert status["restarts"] == 0 and status["serving"]


def test_a_session_is_kept_for_as_long_as_it_was_asked_for(site: Site) -> None:
    wanted = ("plant/pump-1/cmd/#", SubscribeOptions(qos=1))

    def missed(ending: Five, **asked: int) -> None:
        ending.close(**asked)
        other = Five(site, "pump-1", "pump-1:other")
        other.client.publish("plant/pump-1/cmd/start", "1", qos=1).wait_for_publish(10)
        other.close()

    first = Five(site, "pump-1", clean=True, SessionExpiryInterval=3600)
    assert first.answer is not None and not first.answer[0]
    assert first.subscribe(wanted) == [1]
    missed(first)
    second = Five(site, "pump-1", clean=False, SessionExpiryInterval=3600)
    assert second.answer is not None and second.answer[0], "the session is there"
    wait_for(lambda: len(second.messages) == 1, "what it missed arrives")
    # It says at its end that the session is to be kept for a second.
    missed(second, SessionExpiryInterval=1)
    time.sleep(1.5)
    third = Five(site, "pump-1", clean=False, SessionExpiryInterval=3600)
    assert third.answer is not None and not third.answer[0] and not third.messages, "it has expired"
    assert third.subscribe(wanted) == [1]
    missed(third)
    fourth = Five(site, "pump-1", clean=True, SessionExpiryInterval=3600)
    assert fourth.answer is not None and not fourth.answer[0] and not fourth.messages, "a clean start"
    assert fourth.subscribe(wanted) == [1]
    missed(fourth)
    # One that goes on with a session, and keeps none.
    fifth = Five(site, "pump-1", clean=False)
    assert fifth.answer is not None and fifth.answer[0]
    fifth.close()
    time.sleep(0.5)
    sixth = Five(site, "pump-1", clean=False)
    assert sixth.answer is not None and not sixth.answer[0], "it ended with its connection"
    sixth.close()


def test_a_device_gets_no_more_and_nothing_larger_than_it_takes(site: Site) -> None:
    device = site.paho("pump-1", "pump-1", mqtt.MQTTv5)
    device.manual_ack_set(True)
    got: list[mqtt.MQTTMessage] = []
    subscribed = threading.Event()
    device.on_message = lambda _c, _d, message: got.append(message)
    device.on_subscribe = lambda *_: subscribed.set()
    asked = Properties(PacketTypes.CONNECT)
    asked.ReceiveMaximum, asked.MaximumPacketSize = 2, 200
    device.connect(HOST, site.port, keepalive=2, properties=asked)
    device.loop_start()
    device.subscribe("plant/pump-1/cmd/#", options=SubscribeOptions(qos=1))
    assert subscribed.wait(10)
    sender = Five(site, "pump-1", "pump-1:sender")
    sent = [b"0", b"x" * 1000, b"1", b"2", b"3", b"x" * 500]
    for payload in sent:
        sender.client.publish("plant/pump-1/cmd/start", payload, qos=1).wait_for_publish(10)
    wait_for(lambda: len(got) == 2, "two arrive")
    # Its keep-alive runs on while it takes nothing.
    time.sleep(5)
    assert [message.payload for message in got] == [b"0", b"1"] and device.is_connected()
    # In another order than they came in.
    for index in (1, 0):
        device.ack(got[index].mid, got[index].qos)
    wait_for(lambda: len(got) == 4, "the others arrive")
    assert [message.payload for message in got] == [b"0", b"1", b"2", b"3"]
    for message in got[2:]:
        device.ack(message.mid, message.qos)
    sender.client.publish("plant/pump-1/cmd/start", b"4", qos=1).wait_for_publish(10)
    wait_for(lambda: len(got) == 5, "the connection stands")
    device.disconnect()
    device.loop_stop()
    sender.close()


def test_a_will_is_published_unless_the_device_says_goodbye(site: Site) -> None:
    for with_will, value in ((True, "9.5"), (False, "9.6")):
        before = site.verdicts("pump-1")
        client = site.paho("pump-1", "pump-1", mqtt.MQTTv5)
        client.will_set("plant/pump-1/vibration", value, qos=1)
        connected = threading.Event()
        client.on_connect = lambda *_, connected=connected: connected.set()
        client.connect(HOST, site.port)
        client.loop_start()
        assert connected.wait(10)
        reason = mqtt.ReasonCode(PacketTypes.DISCONNECT, identifier=4 if with_will else 0)
        client.disconnect(reasoncode=reason)
        client.loop_stop()
        if with_will:
            wait_for(lambda before=before: site.verdicts("pump-1") > before, "the will is judged")
        else:
            time.sleep(1)
            assert site.verdicts("pump-1") == before


def test_mosquittos_own_clients_with_mqtt_5(site: Site) -> None:
    five = ["-V", "mqttv5", "-i", "pump-1"]
    sent = site.mosquitto("mosquitto_pub", "pump-1", *five, "-q", "1", "-t", "plant/pump-1/vibration", "-m", "9.5")
    assert sent.returncode == 0, sent.stderr
    wait_for(lambda: site.verdicts("pump-1") == 1, "the reading is judged")
    twice = site.mosquitto("mosquitto_pub", "pump-1", *five, "-q", "2", "-t", "plant/pump-1/vibration", "-m", "9.5")
    assert "QoS not supported" in twice.stderr, twice.stderr
    foreign = ["-q", "1", "-t", "plant/pump-2/vibration", "-m", "9.5"]
    refused = site.mosquitto("mosquitto_pub", "pump-1", *five, *foreign)
    assert "Not authorized" in refused.stdout + refused.stderr, refused
    alias = ["-D", "publish", "topic-alias", "1", "--repeat", "2", "-q", "1", "-t", "plant/pump-1/vibration", "-m", "9.6"]
    site.mosquitto("mosquitto_pub", "pump-1", *five, *alias)
    claimed = site.mosquitto("mosquitto_pub", "pump-2", "-V", "mqttv5", "-i", "pump-1", "-t", "plant/pump-1/x", "-m", "1")
    assert claimed.returncode != 0 and "identifier" in claimed.stderr.lower(), claimed.stderr
    got: list[subprocess.CompletedProcess[str]] = []
    reads = ["-i", "pump-1:reader", "-V", "mqttv5", "-q", "1", "-t", "plant/pump-1/cmd/#", "-C", "1", "-W", "15", "-v"]
    reader = threading.Thread(target=lambda: got.append(site.mosquitto("mosquitto_sub", "pump-1", *reads)))
    reader.start()
    while not got:
        site.mosquitto("mosquitto_pub", "pump-1", *five, "-q", "1", "-t", "plant/pump-1/cmd/start", "-m", "now")
    reader.join()
    assert got[0].stdout.strip() == "plant/pump-1/cmd/start now", got[0]
    assert site.broker(foreign_client_id=1)["restarts"] == 0


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_js_is_a_device(site: Site, version: int) -> None:
    if shutil.which("node") is None or not (MODULES / "mqtt").exists():
        pytest.skip("Node.js or its packages are missing: `just node`")
    cert, key = site.identity("pump-1")
    files = {"ca": str(site.certificates.ca), "cert": str(cert), "key": str(key)}
    options = {"protocolVersion": version, "clientId": "pump-1:js"} | files
    script = ROOT / "tests" / "interop" / "node" / "device.js"
    topics = ["plant/pump-1/cmd/#", "plant/pump-1/cmd/start"]
    command = ["node", str(script), f"mqtts://{HOST}:{site.port}", json.dumps(options), *topics]
    env = {"NODE_PATH": str(MODULES), "PATH": "/usr/bin:/bin:/usr/local/bin"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["message"] == ["plant/pump-1/cmd/start", "9.5"] and seen["published"] == "acknowledged", seen
    if version == 5:
        assert seen["properties"]["maximumQoS"] == 1, seen
        assert seen["properties"]["subscriptionIdentifiersAvailable"] is False


def test_the_smallest_client_of_mqtt_5_and_what_it_may_not_send(site: Site) -> None:
    """As firmware writes it, packet by packet; then packets that no good client sends."""
    cert, key = site.identity("pump-3")
    context = ssl.create_default_context(cafile=str(site.certificates.ca))
    context.load_cert_chain(cert, key)

    def connected() -> ssl.SSLSocket:
        stream = context.wrap_socket(socket.create_connection((HOST, site.port), timeout=10), server_hostname=HOST)
        stream.sendall(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")
        head = stream.recv(4096)
        assert head[0] == 0x20 and head[3] == 0, head
        return stream

    topic, payload = b"plant/pump-3/vibration", b"9.5"
    with connected() as stream:
        body = struct.pack(">H", len(topic)) + topic + b"\x00" + payload
        stream.sendall(bytes([0x30, len(body)]) + body + b"\xc0\x00")
        assert stream.recv(2) == b"\xd0\x00"
        stream.sendall(b"\xe0\x00")
    wait_for(lambda: site.verdicts("pump-3") > 0, "the reading is judged")
    aliased = struct.pack(">H", len(topic)) + topic + b"\x03\x23\x00\x01" + payload
    for packet, code in (
        (bytes([0x30, len(aliased)]) + aliased, 0x94),
        (b"\x30\xff\xff\xff\x7f", 0x95),
        (b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", 0x82),
        (b"\xf0\x02\x18\x00", 0x82),
        (b"\x82\x05\x00\x01\x00\x00\x00", 0x81),
        (b"\x30\x80\x00", 0x81),
    ):
        with connected() as stream:
            stream.sendall(packet)
            assert stream.recv(3) == bytes([0xE0, 1, code]), packet
            assert stream.recv(1) == b""
    assert site.broker(topic_alias=1, too_large=1, packet_order=2, malformed=2)["restarts"] == 0
