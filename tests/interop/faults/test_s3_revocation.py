"""S3: devices are revoked by the authority's list and by one of the site's own: new connections are refused, those that stand are cut off."""

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from broker_site import Site, pump_site
from figures import Figures
from others import device_context, standing
from programs import is_full, verge
from scene import Scene
from tls_device import connect, connect_packet, exactly, secured
from waiting import wait_for
from x509 import serial

# Of each kind of list, one device with each version of MQTT.
ROUNDS = 10 if is_full() else 1
KINDS = ("crl", "deny_file") if is_full() else ("deny_file",)
REFUSED_WITHIN_S, CUT_OFF_WITHIN_S = 60.0, 300.0


class Revoked:
    """A device that is connected by this version, and will be revoked."""

    def __init__(self, site: Site, name: str, five: bool):
        self.site, self.name, self.five = site, name, five
        self.tls = device_context(site, name)
        self.cut_off_at: float | None = None
        self._stream = self._connected()
        threading.Thread(target=self._watch, daemon=True).start()

    def _connected(self) -> socket.socket:
        assert self.tls is not None
        if not self.five:
            return connect(self.tls, self.site.port, f"{self.name}:standing", keep_alive=3600)
        stream = secured(self.tls, self.site.port)
        stream.sendall(connect_packet(f"{self.name}:standing", 3600, five=True))
        first, length = exactly(stream, 2)
        assert first == 0x20 and exactly(stream, length)[1] == 0
        return stream

    def _watch(self) -> None:
        self._stream.settimeout(None)
        try:
            while self._stream.recv(4096):
                pass
        except OSError:
            pass
        self.cut_off_at = time.monotonic()

    def is_refused(self) -> bool:
        """A new connection of it."""
        try:
            connect(self.tls, self.site.port, f"{self.name}:new", timeout=10).close()
        except OSError:
            return True
        return False

    def serial(self) -> str:
        """Of its certificate, as `verge certs show` prints it."""
        text = self.site.identity(self.name)[0].read_text()
        return f"{serial(ssl.PEM_cert_to_DER_cert(text)):X}"


def revoke(site: Site, *names: str) -> bytes:
    """The authority's list after that."""
    folder = site.certificates.folder
    done = subprocess.run([verge(), "certs", "revoke", *names, "--dir", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "ca.crl").read_bytes()


def test_who_is_revoked_is_refused_and_cut_off(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    crl, denied = tmp_path / "ca.crl", tmp_path / "denied"
    denied.write_text("# nobody yet\n")
    folder = scene.certificates.folder
    subprocess.run([verge(), "certs", "revoke", "serial:0a", "--dir", str(folder)], check=True, capture_output=True)
    crl.write_bytes((folder / "ca.crl").read_bytes())
    refused: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cut_off: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with pump_site(scene, tmp_path, crl=str(crl), deny_file=str(denied)) as site, standing(site):
        for number in range(ROUNDS):
            for kind in KINDS:
                devices = [Revoked(site, f"{kind.replace('_', '-')}-{number}-{n}", five=bool(n)) for n in range(2)]
                assert not any(device.is_refused() for device in devices), "they are let in before"
                began = time.monotonic()
                if kind == "crl":
                    crl.write_bytes(revoke(site, *(device.name for device in devices)))
                else:
                    with denied.open("a") as file:
                        file.writelines(f"{device.serial()}\n" for device in devices)
                for device in devices:
                    wait_for(device.is_refused, "new connections are refused", 2 * REFUSED_WITHIN_S)
                    refused[kind].append(time.monotonic() - began)
                for device in devices:
                    wait_for(lambda device=device: device.cut_off_at, "the one that stood is cut off", CUT_OFF_WITHIN_S)
                    assert device.cut_off_at is not None
                    cut_off[kind].append(device.cut_off_at - began)
        figures.note(
            "S3", devices=2 * len(KINDS) * ROUNDS, refused_after_s={kind: round(max(times), 1) for kind, times in refused.items()},
            cut_off_after_s={kind: round(max(times), 1) for kind, times in cut_off.items()},
        )
        if is_full():
            assert max(refused["crl"] + refused["deny_file"]) <= REFUSED_WITHIN_S
            assert max(cut_off["crl"] + cut_off["deny_file"]) <= CUT_OFF_WITHIN_S
