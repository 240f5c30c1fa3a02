"""The unit's filter of system calls, with models at work: strace refuses every call that systemd would refuse."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from certificates import Certificates
from gateway import to_toml
from models import Models
from peers import free_port
from programs import REPOSITORY, verge

UNIT = REPOSITORY / "examples" / "systemd" / "verge.service"
MODELS = {
    "junction": REPOSITORY / "examples" / "junction-model" / "junction.onnx",
    "window": REPOSITORY / "tests" / "fixtures" / "models" / "window.onnx",
}
# SQLite calls it as root alone, to give its files the owner of the database.
AS_ROOT = {"fchown"} if os.geteuid() == 0 else set()


def expanded(name: str) -> set[str]:
    """The calls of a set, as systemd has them."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    members = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*(expanded(member) for member in members))


def allowed() -> set[str]:
    """The calls that the unit leaves to the gateway."""
    calls: set[str] = set()
    for names in re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text(), flags=re.MULTILINE):
        named = set().union(*(expanded(name) for name in names.removeprefix("~").split()))
        calls = calls - named if names.startswith("~") else calls | named
    return calls


@pytest.mark.skipif(
    not (shutil.which("systemd-analyze") and shutil.which("strace")), reason="systemd-analyze or strace is missing"
)
def test_models_run_within_the_units_filter(tmp_path: Path, certificates: Certificates, models: Models) -> None:
    """A detector with two threads, an autoencoder and an embedded broker: start, one inference each, stop."""
    window = tmp_path / "window.toml"
    window.write_text(f'name = "window"\nversion = "1"\nfile = "{MODELS["window"]}"\ntask = "reconstruct"\n')
    configuration = tmp_path / "gateway.toml"
    gateway = certificates.broker
    configuration.write_text(
        to_toml(
            {
                "gateway": {"id": "filtered", "state_dir": str(tmp_path / "state")},
                "local": {
                    "mode": "embedded",
                    "listen": f"127.0.0.1:{free_port()}",
                    "ca": str(certificates.ca),
                    "cert": str(gateway.cert),
                    "key": str(gateway.key),
                },
                "engine": {"threads": 2, "workers": 2},
                "model": {
                    "junction": {"file": str(MODELS["junction"])},
                    "window": {"file": str(window)},
                },
                "source": {
                    "road": {"topic": "road/+/frame", "codec": "jpeg", "device": "topic:1"},
                    "pump": {"topic": "p/+/v", "codec": "number", "device": "topic:1", "signal": "v"},
                },
                "judge": {
                    "look": {"inputs": ["road"], "detector": "detect", "model": "junction"},
                    "odd": {"inputs": ["pump"], "detector": "autoencoder", "model": "window"},
                },
            }
        )
    )
    calls, log = tmp_path / "calls", tmp_path / "log"
    refused = "!" + ",".join(f"?{name}" for name in sorted(allowed() | AS_ROOT))
    command = ["strace", "-f", "-qq", "-o", str(calls), "-e", f"inject={refused}:error=EPERM"]
    with log.open("wb") as out:
        traced = subprocess.Popen([*command, verge(), "run", "-c", str(configuration)], stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + 60
            while "gateway runs" not in log.read_text():
                assert traced.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            os.kill(int(calls.read_text().split(None, 1)[0]), signal.SIGINT)
            assert traced.wait(30) == 0, log.read_text()
        finally:
            traced.kill()
    injected = [line for line in calls.read_text(errors="replace").splitlines() if "(INJECTED)" in line]
    assert not injected, injected[:10]
    # The same filter does refuse something.
    assert "(INJECTED)" in subprocess.run(
        ["strace", *command[5:], "nice", "-n", "1", "true"], capture_output=True, text=True, check=False
    ).stderr
