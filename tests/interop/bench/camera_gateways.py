"""What the bench on cameras measures: the gateway of this repository and a Python program, each between two brokers."""

import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path

from camera_eval import Task
from camera_load import PacingWatcher
from certificates import Certificates
from gateway import Gateway, Settings
from models import Models
from peers import Listener, Login, Mosquitto
from processes import Process
from programs import data
from raw_mqtt import Connection
from scene import frame_source, looking
from usage import usage
from waiting import wait_for
from wire import decode

# The health of the cameras, measured with every frame. What it finds in pictures of a hundred places is of no interest.
HEALTH: Settings = {"inputs": ["bench"], "detector": "health", "raise_after": "1h"}
# Objects are followed and counted at a line, beside the judge that reports each frame. The counts come too late to matter.
TRACK: Settings = {"inputs": ["bench"], "detector": "track", "model": "bench", "interval": "1h"}
TRACK |= {"line": {"middle": {"from": [0.05, 0.5], "to": [0.95, 0.5]}}}


class Site:
    """Brokers of one phase, fresh for each."""

    def __init__(self, folder: Path, certificates: Certificates, inflight: int):
        self.login = Login("bench", "bench")
        self.certificates = certificates
        self.local = Mosquitto(folder / "local", "local", [Listener(login=self.login)], max_inflight=inflight)
        # Frames that wait are not worth a disk: it would be the broker that is measured.
        self.local.persistence = False
        listeners = [Listener(certificates=certificates), Listener()]
        self.upstream = Mosquitto(folder / "upstream", "upstream", listeners, max_inflight=0)
        self.local.start()
        self.upstream.start()
        # The stopwatch reads from the plain port, so that its own decryption is not on the clock.
        self.watcher = PacingWatcher(Connection(self.upstream.listeners[1].port, "stopwatch"))
        self.watcher.start()

    def cpu_s(self) -> float:
        """Of both brokers so far."""
        return usage(self.local.pid).cpu_s + usage(self.upstream.pid).cpu_s

    def close(self) -> None:
        """Ends them."""
        self.watcher.connection.close()
        self.local.stop()
        self.upstream.stop()


def verge_settings(site: Site, folder: Path, task: Task, card: Path) -> Settings:
    """The configuration of one phase."""
    # Every judge that looks by the model: one without it would have each frame looked at.
    gate = {"gate": task.gate} if task.gate else {}
    judges = {"bench": looking(["bench"], task.detector, "bench", lane="alarm") | gate}
    if task.watched:
        judges["camera-health"] = HEALTH
        if task.detector == "detect":
            judges["crossing"] = TRACK | gate
    password_file = folder / "password"
    password_file.write_text(site.login.password)
    identity = site.certificates.gateway
    uplink: Settings = {"url": site.upstream.url, "prefix": "verge", "ca": str(site.certificates.ca)}
    uplink |= {"cert": str(identity.cert), "key": str(identity.key)}
    return {
        "gateway": {"id": "bench", "state_dir": str(folder / "state")},
        "local": {"url": site.local.url, "username": site.login.username, "password_file": str(password_file)},
        "uplink": {"centre": uplink},
        "model": {"bench": {"file": str(card)}},
        "source": {"bench": frame_source("road/+/frame")},
        "judge": judges,
    }


class VergeUnderTest:
    """The gateway of this repository."""

    name = "verge"

    def __init__(self, site: Site, folder: Path, task: Task, models: Models):
        self._gateway = Gateway(folder, verge_settings(site, folder, task, task.card(models))).start()
        self.pid = self._gateway.pid
        site.local.wait_for_subscriber("verge-bench-every")
        wait_for(lambda: site.watcher.statuses, "verge's first status")

    def stop(self) -> None:
        """Ends it."""
        if self._gateway.is_running:
            self._gateway.stop()

    @staticmethod
    def books(site: Site) -> dict[str, float]:
        """Of its last status document: 99th percentiles in ms."""
        status = json.loads(site.watcher.statuses[-1])
        spans = {"age": status["frames"]["age_ms"], "judging": status["frames"]["judging_ms"]}
        spans["commit"] = status["store"]["commit_ms"]
        return {name: span["p99"] for name, span in spans.items()}

    @staticmethod
    def reported(messages: list[tuple[float, bytes]]) -> list[tuple[str, int, float]]:
        """Camera, place in its order, and time of arrival, of each verdict."""
        found = ((verdict, at) for at, body in messages for verdict in decode(body).verdicts)
        verdicts = {verdict.seq: (verdict, at) for verdict, at in found if verdict.fields["judge"] == "bench"}
        numbers: dict[str, itertools.count] = defaultdict(itertools.count)
        ordered = [verdicts[seq] for seq in sorted(verdicts)]
        return [(v.fields["device"], next(numbers[v.fields["device"]]), at) for v, at in ordered]


class PythonUnderTest:
    """The Python program beside this file."""

    name = "python"

    def __init__(self, site: Site, folder: Path, task: Task, _models: Models):
        identity = site.certificates.gateway
        command = [sys.executable, str(Path(__file__).with_name("python_camera_gateway.py"))]
        command += ["--local-port", str(site.local.port), "--uplink-port", str(site.upstream.port)]
        command += ["--username", site.login.username, "--password", site.login.password]
        command += ["--ca", str(site.certificates.ca), "--cert", str(identity.cert), "--key", str(identity.key)]
        command += ["--task", task.detector, "--model", str(data() / "models" / task.model)]
        command += ["--labels", str(data() / "models" / task.labels)]
        self._process = Process("the Python camera gateway", command, folder / "python.log")
        self.pid = self._process.pid
        site.local.wait_for_subscriber("python-gateway")

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    @staticmethod
    def books(_site: Site) -> dict[str, float]:
        """It keeps none."""
        return {}

    @staticmethod
    def reported(messages: list[tuple[float, bytes]]) -> list[tuple[str, int, float]]:
        """See `VergeUnderTest.reported`."""
        documents = ((json.loads(body), at) for at, body in messages)
        return [(document["device"], document["frame"], at) for document, at in documents]


UnderTest = VergeUnderTest | PythonUnderTest
