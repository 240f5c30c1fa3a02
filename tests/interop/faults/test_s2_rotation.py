"""S2: server certificate, authorities and the uplink's certificate are replaced again and again under load, once by a file that cannot
be used: nobody who is connected is cut off, nothing acknowledged is lost, and new connections see the new ones within a minute."""

import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt

from broker_site import HOST, Site, pump_site
from figures import Figures
from others import device_context, standing
from programs import is_full
from scene import Scene
from test_broker_durable import Counting, committed
from tls_device import connect, context, secured
from waiting import wait_for
from x509 import SERVER, Authority, serial

ROTATIONS, BAD = (20, 10) if is_full() else (1, 0)
DEVICES, PAUSE_S = 3, 0.02
SERVED_WITHIN_S = 60.0


class Load:
    """Devices that publish all the time and must stay connected."""

    def __init__(self, site: Site):
        self.cut_off: list[str] = []
        self.devices = [Counting(site, f"pump-{n}", [mqtt.MQTTv311, mqtt.MQTTv5][n % 2], 10) for n in range(DEVICES)]
        for device in self.devices:
            device.client.on_disconnect = lambda *_, name=device.device: self.cut_off.append(name)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(PAUSE_S):
            for device in self.devices:
                device.send(1)

    def stop(self) -> None:
        """Waits for the last acknowledgement."""
        self._end.set()
        self._thread.join()
        for device in self.devices:
            wait_for(lambda device=device: device.last() in device.acknowledged, "the last is acknowledged", 60)
        assert not self.cut_off, self.cut_off


class Rotating:
    """The files that the gateway names, and what replaces them."""

    def __init__(self, scene: Scene, folder: Path):
        folder.mkdir()
        self.folder, self.ours = folder, Authority.of(scene.certificates.folder)
        self.replace(0)

    @property
    def local(self) -> dict[str, str]:
        return {key: str(self.folder / name) for key, name in {"cert": "server.pem", "key": "server.key", "ca": "ca.pem"}.items()}

    @property
    def uplink(self) -> dict[str, str]:
        return {key: str(self.folder / name) for key, name in {"cert": "gateway.pem", "key": "gateway.key"}.items()}

    def replace(self, number: int) -> None:
        """A server certificate, another authority beside ours, and a certificate of the uplink."""
        self.other = Authority.make(f"plant {number}")
        (self.folder / "ca.pem").write_bytes(self.ours.pem + self.other.pem)
        self.ours.issue(self.folder, "broker", SERVER, file="server", more_names=(HOST,))
        self.ours.issue(self.folder, "gateway")

    def device(self, site: Site, name: str) -> object:
        """TLS as a device of the authority that has come last."""
        return context(site.certificates.ca, self.other.issue(self.folder, name))


def shown(site: Site) -> int:
    """Serial number of the certificate that a new connection is shown."""
    tls = device_context(site, "looking")
    assert tls is not None
    with secured(tls, site.port) as stream:
        cert = stream.getpeercert(binary_form=True)
        assert cert is not None
        return serial(cert)


def is_let_in(tls: object, site: Site, name: str) -> bool:
    try:
        connect(tls, site.port, name, timeout=10).close()  # type: ignore[arg-type]
    except OSError:
        return False
    return True


def test_certificates_are_replaced_under_load(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    files = Rotating(scene, tmp_path / "live")
    with pump_site(scene, tmp_path, durable=True, uplink=files.uplink, **files.local) as site, standing(site) as other:
        load, served_after, uplink_after = Load(site), [], []
        connected = lambda: site.gateway.whole_log().count("connected upstream")  # noqa: E731
        for number in range(1, ROTATIONS + 1):
            before, links, before_that = shown(site), connected(), files.device(site, f"old-{number}")
            began = time.monotonic()
            files.replace(number)
            if number == BAD:
                whole = (files.folder / "server.pem").read_bytes()
                (files.folder / "server.pem").write_bytes(whole[: len(whole) // 2])
                wait_for(lambda: "cannot be used; the ones before stay in use" in site.gateway.whole_log(), "it is reported", 60)
                assert shown(site) == before, "the one before is shown"
                (files.folder / "server.pem").write_bytes(whole)
            wait_for(lambda before=before: shown(site) != before, "new connections see the new one", SERVED_WITHIN_S)
            served_after.append(time.monotonic() - began)
            newest = files.device(site, f"new-{number}")
            wait_for(lambda newest=newest, n=number: is_let_in(newest, site, f"new-{n}"), "the new authority counts", 30)
            assert not is_let_in(before_that, site, f"old-{number}"), "the authority before counts no more"
            wait_for(lambda links=links: connected() > links, "the uplink shows its new one", SERVED_WITHIN_S)
            uplink_after.append(time.monotonic() - began)
        load.stop()
        for device in load.devices:
            numbers = device.acknowledged
            wait_for(lambda name=device.device, numbers=numbers: numbers <= committed(site, name), "all are there", 60)
            device.client.on_disconnect = None
            device.close()
        figures.note(
            "S2", rotations=ROTATIONS, bad_files=int(BAD > 0), sessions=DEVICES + 1, cut_off=0, lost=0,
            acknowledged=sum(len(device.acknowledged) for device in load.devices), served_after_s=round(max(served_after), 1),
            uplink_after_s=round(max(uplink_after), 1), standing_p99_ms=other.p99_ms(),
        )
        assert site.gateway.is_running
        if is_full():
            assert max(served_after) <= SERVED_WITHIN_S
