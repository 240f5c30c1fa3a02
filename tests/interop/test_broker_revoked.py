"""The embedded broker and devices that may not come any more: revoked by the authority's list, by one of its own, or by the access list."""

import datetime
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt

from broker_site import HOST, Site, pump_site
from certificates import Identity
from programs import tool, verge
from scene import Scene
from tls_device import connect, context, exactly, publish_packet
from waiting import wait_for
from x509 import Authority

# Files are looked at every few seconds, and read once they have stopped changing.
TAKEN_UP_S = 60.0


class Standing:
    """A device that stays connected, and does not come back."""

    def __init__(self, site: Site, device: str, protocol: int = mqtt.MQTTv311):
        self.client = site.paho(device, device, protocol)
        self.connected, self.ended = threading.Event(), threading.Event()
        self.reason: list[object] = []
        self.client.on_connect = lambda *_: self.connected.set()
        self.client.on_disconnect = self._note
        self.client.reconnect_delay_set(min_delay=600, max_delay=600)
        self.client.will_set(f"plant/{device}/vibration", "9.9", qos=1)
        self.client.connect(HOST, site.port)
        self.client.loop_start()
        assert self.connected.wait(10)

    def _note(self, _client: object, _data: object, _flags: object, reason: object, _properties: object) -> None:
        self.reason.append(reason)
        self.ended.set()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def certs(site: Site, *arguments: str) -> str:
    done = subprocess.run(
        [verge(), "certs", *arguments, "--dir", str(site.certificates.folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def publishes(site: Site, device: str) -> bool:
    own = ["-i", f"{device}:once", "-q", "1", "-t", f"plant/{device}/vibration", "-m", "9.5"]
    return site.mosquitto("mosquitto_pub", device, *own).returncode == 0


def test_a_revoked_device_is_cut_off_and_the_others_go_on(scene: Scene, tmp_path: Path) -> None:
    crl = tmp_path / "ca.crl"
    denied = tmp_path / "denied"
    denied.write_text("# nobody yet\n")
    # The list of an authority that has revoked a certificate already: one that is lost.
    folder = scene.certificates.folder
    made = subprocess.run(
        [verge(), "certs", "revoke", "serial:0a", "--dir", str(folder)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    crl.write_bytes((folder / "ca.crl").read_bytes())
    with pump_site(scene, tmp_path, crl=str(crl), deny_file=str(denied)) as site:
        checked = site.gateway.check("--offline")
        assert "1 certificate is revoked" in checked.stdout, checked.stdout + checked.stderr
        revoked, other, five = Standing(site, "pump-1"), Standing(site, "pump-2"), Standing(site, "pump-3", mqtt.MQTTv5)
        certs(site, "revoke", "pump-1", "pump-3")
        crl.write_bytes((folder / "ca.crl").read_bytes())
        assert revoked.ended.wait(TAKEN_UP_S) and five.ended.wait(TAKEN_UP_S)
        assert getattr(five.reason[0], "value") == 0x87, five.reason
        assert not other.ended.is_set() and not publishes(site, "pump-1") and publishes(site, "pump-2")
        # A list of ones own works without the authority.
        serial = subprocess.run(
            [tool("openssl"), "x509", "-in", str(site.identity("pump-2")[0]), "-noout", "-serial"],
            capture_output=True, text=True, check=True,
        ).stdout.strip().partition("=")[2]
        denied.write_text(f"{serial}  # stolen\n")
        assert other.ended.wait(TAKEN_UP_S)
        assert not publishes(site, "pump-2")
        # One that cannot be read, or that another authority has signed, changes nothing.
        crl.write_text("no list\n")
        status = site.broker_until(lambda broker: "crl" in broker.get("credentials_error", ""))
        assert status["refusals"].get("revoked", 0) >= 3, status
        assert not publishes(site, "pump-1") and publishes(site, "pump-4")
        assert site.verdicts("pump-1") == 0, "the last will of a revoked device is void"
        for device in (revoked, other, five):
            device.close()


def test_a_changed_access_list_ends_what_it_does_not_allow(scene: Scene, tmp_path: Path) -> None:
    rules = tmp_path / "broker.acl"
    rules.write_text("pattern write plant/%u/#\nuser scada\ntopic read plant/#\nuser other\ntopic read plant/#\n")
    with pump_site(scene, tmp_path, acl_file=str(rules)) as site:
        readers = {}
        for name in ("scada", "other"):
            client, subscribed, ended = site.paho(name, name), threading.Event(), threading.Event()
            client.on_subscribe = lambda *_, subscribed=subscribed: subscribed.set()
            client.on_disconnect = lambda *_, ended=ended: ended.set()
            client.reconnect_delay_set(min_delay=600, max_delay=600)
            client.connect(HOST, site.port)
            client.loop_start()
            client.subscribe("plant/#", qos=1)
            assert subscribed.wait(10)
            readers[name] = (client, ended)
        rules.write_text("pattern write plant/%u/#\nuser scada\ntopic read plant/#\nuser other\ntopic read plant/pump-1/#\n")
        assert readers["other"][1].wait(TAKEN_UP_S), "it reads more than it may"
        assert not readers["scada"][1].is_set() and publishes(site, "pump-1")
        for client, _ in readers.values():
            client.disconnect()
            client.loop_stop()


def test_a_connection_ends_with_its_certificate(scene: Scene, tmp_path: Path) -> None:
    with pump_site(scene, tmp_path) as site:
        authority = Authority.of(scene.certificates.folder)
        ends_at = time.monotonic() + 12
        streams = {}
        for device in ("idle-1", "busy-1"):
            identity = authority.issue(tmp_path, device, ends=datetime.timedelta(seconds=ends_at - time.monotonic()))
            streams[device] = connect(context(scene.certificates.ca, identity), site.port, device, timeout=60)
        lasting = connect(context(scene.certificates.ca, Identity(*site.identity("pump-9"))), site.port, "pump-9", timeout=60)
        ended = []

        def waits() -> None:
            ended.append(streams["idle-1"].recv(1))
            ended.append(time.monotonic())

        waiting = threading.Thread(target=waits)
        waiting.start()
        # One that never pauses is not let go on either.
        sent = 0
        try:
            while time.monotonic() < ends_at + 10:
                streams["busy-1"].sendall(publish_packet("plant/busy-1/vibration", b"9.5"))
                exactly(streams["busy-1"], 4)
                sent += 1
        except OSError:
            pass
        assert sent > 5 and ends_at - 3 < time.monotonic() < ends_at + 5, sent
        waiting.join(20)
        assert ended and ended[0] == b"" and ends_at - 3 < ended[1] < ends_at + 5, ended
        status = site.broker(expired=2)
        assert {one["device"]: one["reason"] for one in status["refused_devices"]} == {"idle-1": "expired", "busy-1": "expired"}
        assert "certificate has ended" in site.gateway.whole_log()
        lasting.sendall(publish_packet("plant/pump-9/vibration", b"9.5"))
        exactly(lasting, 4)
        for stream in (*streams.values(), lasting):
            stream.close()


def test_certificates_are_renewed_and_signed_by_hand(scene: Scene, tmp_path: Path) -> None:
    with pump_site(scene, tmp_path) as site:
        before = site.identity("pump-7")[0].read_bytes()
        assert "is left as it is" in certs(site, "renew", "pump-7", "--within", "30")
        certs(site, "renew", "pump-7")
        folder = site.certificates.folder
        assert (folder / "pump-7.pem").read_bytes() != before
        # A device that keeps its key, by openssl alone.
        key, request = site.folder / "pump-8.key", site.folder / "pump-8.csr"
        options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=anybody"]
        made = [tool("openssl"), "req", "-new", *options, "-keyout", str(key), "-out", str(request)]
        subprocess.run(made, capture_output=True, check=True)
        certs(site, "sign", str(request), "pump-8")
        (site.folder / "pump-8.pem").write_bytes((folder / "pump-8.pem").read_bytes())
        assert publishes(site, "pump-8")
        wait_for(lambda: site.verdicts("pump-8") == 1, "its reading is judged")
