"""The embedded broker and foreign devices with certificates of their own: who may do what, and what is refused."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_site import HOST, Site, pump_site
from certificates import Identity
from peers import free_port
from scene import Scene, number_source, threshold
from tls_device import connect, context
from waiting import wait_for
from x509 import Authority

@pytest.fixture(name="site")
def _site(scene: Scene, tmp_path: Path) -> Iterator[Site]:
    with pump_site(scene, tmp_path) as site:
        yield site


def test_a_device_publishes_below_its_own_name_and_no_other(site: Site) -> None:
    own = ["-q", "1", "-t", "plant/pump-1/vibration", "-m", "9.5"]
    for client_id in ([], ["-i", "pump-1"], ["-i", "pump-1:second"]):
        before = site.verdicts("pump-1")
        sent = site.mosquitto("mosquitto_pub", "pump-1", *client_id, *own)
        assert sent.returncode == 0, sent.stderr
        wait_for(lambda: site.verdicts("pump-1") > before, "the reading is judged")  # noqa: B023
    before = site.verdicts("pump-1")
    foreign = site.mosquitto("mosquitto_pub", "pump-2", "-i", "pump-2", *own)
    assert foreign.returncode != 0, "another's topic"
    claimed = site.mosquitto("mosquitto_pub", "pump-2", "-i", "pump-1", *own)
    assert claimed.returncode != 0 and "identifier" in claimed.stderr.lower(), claimed.stderr
    kept = site.mosquitto("mosquitto_pub", "pump-1", "-i", "pump-1", "-r", *own)
    assert kept.returncode != 0, "a retained message"
    status = site.broker(publish_not_allowed=1, foreign_client_id=1, retained=1)
    assert site.verdicts("pump-1") == before
    assert status["restarts"] == 0 and status["cut_off"] >= 2
    refused = {one["device"]: one["reason"] for one in status["refused_devices"]}
    assert refused == {"pump-1": "retained", "pump-2": "publish_not_allowed"}


def test_a_device_reads_its_own_commands_and_is_answered_filter_by_filter(site: Site) -> None:
    client = site.paho("pump-1", "pump-1")
    granted: list[list[str]] = []
    received = threading.Event()
    client.on_subscribe = lambda _client, _data, _id, codes, _properties: granted.append([str(code) for code in codes])
    client.on_message = lambda *_: received.set()
    client.connect(HOST, site.port)
    client.loop_start()
    client.subscribe([("#", 1), ("plant/pump-1/cmd/#", 1), ("$SYS/#", 0), ("plant/pump-2/cmd/#", 1)])
    wait_for(lambda: granted, "the answer")
    assert [code.startswith("Granted") for code in granted[0]] == [False, True, False, False], granted
    # Its own prefix takes its own commands: it may send them to itself.
    client.publish("plant/pump-1/cmd/start", "1", qos=1)
    assert received.wait(10)
    client.unsubscribe("plant/pump-1/cmd/#")
    client.disconnect()
    client.loop_stop()
    denied = site.mosquitto("mosquitto_sub", "pump-2", "-i", "pump-2", "-t", "plant/#", "-W", "5")
    assert "denied" in denied.stderr, denied.stderr


def test_a_certificate_whose_name_no_device_can_have_is_refused(site: Site, tmp_path: Path) -> None:
    """`pump-1:second` would have the session of the second connection of `pump-1`; others would be wildcards of topics."""
    authority = Authority.of(site.certificates.folder)
    names = ["pump-1:second", "pump+1", "+", "#", "a/b", "$1", "@verge-gateway", "a\x07b"]
    for number, name in enumerate(names):
        identity = authority.issue(tmp_path, name, file=f"odd-{number}")
        for client_id in ("pump-1:second", "pump-1", ""):
            with pytest.raises(ConnectionError, match="20020002"):
                connect(context(site.certificates.ca, identity), site.port, client_id)
    status = site.broker(certificate_name=3 * len(names))
    assert status["refusals"]["certificate_name"] == 3 * len(names), status["refusals"]
    assert "no name that a device can have" in status["last_refusal"]
    # The device itself has that session.
    connect(context(site.certificates.ca, Identity(*site.identity("pump-1"))), site.port, "pump-1:second").close()


def test_what_would_harm_the_broker_reaches_it_not(site: Site) -> None:
    site.mosquitto("mosquitto_pub", "pump-1", "-i", "pump-1", "-q", "1", "-t", "Öl/1", "-m", "1")
    site.mosquitto("mosquitto_sub", "pump-1", "-i", "pump-1", "-t", "$share/g/plant/pump-1/cmd", "-W", "2")
    big = site.folder / "big"
    big.write_bytes(bytes(5_000_000))
    site.mosquitto("mosquitto_pub", "pump-1", "-i", "pump-1", "-t", "plant/pump-1/vibration", "-f", str(big))
    will = ["--will-topic", "plant/pump-2/vibration", "--will-payload", "9"]
    left = site.mosquitto("mosquitto_sub", "pump-1", "-i", "pump-1", "-t", "plant/pump-1/cmd/#", "-W", "2", *will)
    assert left.returncode != 0, "a will on another's topic"
    status = site.broker(bad_topic=1, shared_subscription=1, too_large=1, will=1)
    assert status["restarts"] == 0 and status["serving"]
    sent = site.mosquitto("mosquitto_pub", "pump-1", "-q", "1", "-t", "plant/pump-1/vibration", "-m", "9.5")
    assert sent.returncode == 0, sent.stderr
    wait_for(lambda: site.verdicts("pump-1") > 0, "devices are served as before")


def test_the_smallest_client_there_is(site: Site) -> None:
    """As firmware writes it: no identifier, no library, one packet after the other."""
    cert, key = site.identity("pump-3")
    context = ssl.create_default_context(cafile=str(site.certificates.ca))
    context.load_cert_chain(cert, key)
    topic, payload = b"plant/pump-3/vibration", b"9.5"
    with socket.create_connection((HOST, site.port)) as plain, context.wrap_socket(plain, server_hostname=HOST) as stream:
        stream.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
        assert stream.recv(4) == b"\x20\x02\x00\x00"
        body = struct.pack(">H", len(topic)) + topic + payload
        stream.sendall(bytes([0x30, len(body)]) + body + b"\xe0\x00")
    wait_for(lambda: site.verdicts("pump-3") > 0, "the reading is judged")


def test_an_access_list_says_who_may_do_what(scene: Scene, tmp_path: Path) -> None:
    rules = tmp_path / "broker.acl"
    rules.write_text("pattern write plant/%u/#\nuser scada\ntopic read plant/#\n")
    certificates, port = scene.certificates, free_port()
    gateway = scene.gateway({"pump": number_source("plant/+/vibration")}, {"high": threshold(["pump"], above=7.1)})
    gateway.settings["local"] = {
        "mode": "embedded",
        "listen": f"{HOST}:{port}",
        "ca": str(certificates.ca),
        "cert": str(certificates.broker.cert),
        "key": str(certificates.broker.key),
        "acl_file": str(rules),
    }
    checked = gateway.check("--offline")
    assert checked.returncode == 0 and "who may do what is in" in checked.stdout, checked.stdout + checked.stderr
    receiver = scene.receiver()
    gateway.start()
    receiver.wait_for_status("online", 60)
    folder = tmp_path / "devices"
    folder.mkdir()
    site = Site(gateway, receiver, certificates, folder, port)
    reader, got = site.paho("scada", "scada"), threading.Event()
    subscribed = threading.Event()
    reader.on_subscribe = lambda *_: subscribed.set()
    reader.on_message = lambda *_: got.set()
    reader.connect(HOST, port)
    reader.loop_start()
    reader.subscribe("plant/#", qos=1)
    assert subscribed.wait(10)
    assert site.mosquitto("mosquitto_pub", "pump-1", "-q", "1", "-t", "plant/pump-1/x", "-m", "1").returncode == 0
    assert got.wait(10), "scada reads what pumps send"
    reader.disconnect()
    reader.loop_stop()
    assert site.mosquitto("mosquitto_pub", "scada", "-q", "1", "-t", "plant/pump-1/x", "-m", "1").returncode != 0
    # Who may do what is changed while the gateway runs.
    rules.write_text("pattern write plant/%u/#\nuser scada\ntopic readwrite plant/#\n")
    write = ["-q", "1", "-t", "plant/pump-1/x", "-m", "1"]
    wait_for(lambda: site.mosquitto("mosquitto_pub", "scada", *write).returncode == 0, "the new rules hold", 60)
    rules.write_text("pattern write plant/%u/#\nusers scada\n")
    faulty = gateway.check("--offline")
    assert faulty.returncode == 78 and "line 2" in faulty.stdout + faulty.stderr, faulty.stdout
