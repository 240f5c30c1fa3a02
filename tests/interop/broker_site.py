"""A gateway with an embedded broker, and foreign devices of it with certificates of their own."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt

from certificates import Certificates
from clients import Receiver
from gateway import Gateway
from peers import free_port
from processes import resident_kib
from programs import tool, verge
from scene import UPLINK, Scene, number_source, threshold
from waiting import wait_for

HOST = "127.0.0.1"
# A status comes every half minute.
STATUS_S = 60.0


@dataclass
class Site:
    """A gateway with a broker of its own, and its devices."""

    gateway: Gateway
    receiver: Receiver
    certificates: Certificates
    folder: Path
    port: int
    has_tls: bool = True
    # What a test has counted of the verdicts, and how many messages were looked at for it.
    decoded: int = field(default=0, init=False)
    values: dict[str, set[int]] = field(default_factory=dict, init=False)

    def identity(self, device: str) -> tuple[Path, Path]:
        """Certificate and key of a device."""
        cert, key = self.folder / f"{device}.pem", self.folder / f"{device}.key"
        if not cert.exists():
            made = [verge(), "certs", "issue", device, "--dir", str(self.certificates.folder), "--usage", "client"]
            done = subprocess.run(made, capture_output=True, text=True, check=False)
            assert done.returncode == 0 or "exists already" in done.stderr, done.stderr
            for made_file in (cert, key):
                made_file.write_bytes((self.certificates.folder / made_file.name).read_bytes())
                made_file.chmod(0o600)
        return cert, key

    def mosquitto(self, program: str, device: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """mosquitto_pub or mosquitto_sub as a device."""
        cert, key = self.identity(device)
        where = ["-h", HOST, "-p", str(self.port), "--cafile", str(self.certificates.ca)]
        command = [tool(program), *where, "--cert", str(cert), "--key", str(key), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def paho(self, device: str, client_id: str, protocol: int = mqtt.MQTTv311) -> mqtt.Client:
        """A client of another make, not connected."""
        cert, key = self.identity(device)
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
        client.tls_set(str(self.certificates.ca), str(cert), str(key))
        return client

    def wait_until_served(self) -> None:
        """Waits until devices can connect, as after a restart."""

        def listens() -> bool:
            with socket.socket() as plain:
                return plain.connect_ex((HOST, self.port)) == 0

        wait_for(listens, "the listener is there", 60)

    @contextmanager
    def store_stalled(self, seconds: float = 3.0) -> Iterator[None]:
        """Each write to the medium takes this long."""
        delay = f"inject=fdatasync,fsync:delay_enter={int(seconds * 1e6)}"
        quiet = ["-f", "-qqq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=fdatasync,fsync"]
        tracer = subprocess.Popen([tool("strace"), *quiet, "-e", delay, "-p", str(self.gateway.pid)])
        wait_for(lambda: f"TracerPid:\t{tracer.pid}" in self._status(), "strace is attached")
        yield
        tracer.terminate()
        tracer.wait(30)

    def _status(self) -> str:
        return Path(f"/proc/{self.gateway.pid}/status").read_text()

    def verdicts(self, device: str) -> int:
        """Verdicts about a device so far."""
        messages = self.receiver.messages()
        return sum(verdict.fields["device"] == device for message in messages for verdict in message.verdicts)

    def broker_process(self) -> int | None:
        """The process of the broker behind the listener, while there is one."""
        children = Path(f"/proc/{self.gateway.pid}/task").glob("*/children")
        for child in " ".join(path.read_text() for path in children).split():
            if b"broker" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        return None

    def memory_kib(self) -> dict[str, int]:
        """What the gateway and the broker's process occupy."""
        process = self.broker_process()
        assert process is not None, "the broker's process lives"
        return {"gateway": self.gateway.resident_kib(), "broker": resident_kib(process)}

    def broker(self, **least: int) -> dict:
        """What the status says of the broker, once at least this was refused."""

        def counts(status: dict) -> bool:
            return all(status.get("refusals", {}).get(why, 0) >= count for why, count in least.items())

        return self.broker_until(counts)

    def broker_until(self, true: Callable[[dict], bool]) -> dict:
        """What the status says of the broker, once this is true of it."""

        def newest() -> dict | None:
            status = (self.receiver.statuses() or [{}])[-1].get("broker", {})
            return status if status and true(status) else None

        return wait_for(newest, "the status says so", STATUS_S)


@contextmanager
def pump_site(
    scene: Scene,
    tmp_path: Path,
    more: dict[str, object] | None = None,
    has_tls: bool = True,
    uplink: dict[str, object] | None = None,
    **local: object,
) -> Iterator[Site]:
    """A gateway that judges what pumps send to its own broker. `more` stands below `[gateway]`, `uplink` below that of the
    upstream, the rest below `[local]`."""
    port, certificates = free_port(), scene.certificates
    judge = threshold(["pump"], above=7.1, update_every="0s")
    uplinks = {UPLINK: scene.uplink(**(uplink or {}))}
    gateway = scene.gateway({"pump": number_source("plant/+/vibration", "vibration")}, {"high": judge}, **uplinks)
    server = certificates.broker
    files = {"ca": str(certificates.ca), "cert": str(server.cert), "key": str(server.key)} if has_tls else {}
    gateway.settings["local"] = {"mode": "embedded", "listen": f"{HOST}:{port}"} | files | local
    gateway.settings["gateway"] |= more or {}
    receiver = scene.receiver()
    gateway.start()
    receiver.wait_for_status("online", 60)
    folder = tmp_path / "devices"
    folder.mkdir(parents=True)
    yield Site(gateway, receiver, certificates, folder, port, has_tls)
