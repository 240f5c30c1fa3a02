"""What stands in examples/ works as it is."""

import getpass
import sys
from pathlib import Path

from certificates import Certificates
from peers import HOST, Mosquitto, accepts, free_port
from processes import Process
from programs import REPOSITORY
from scene import Scene, number_source, threshold
from waiting import wait_for

EXAMPLES = REPOSITORY / "examples"


def test_the_receiver_prints_verdicts(scene: Scene) -> None:
    log = scene.folder / "receiver.log"
    identity, ca = scene.certificates.receiver, scene.certificates.ca
    command = [sys.executable, str(EXAMPLES / "receiver.py"), HOST, str(scene.upstream.port)]
    command += ["--ca", str(ca), "--cert", str(identity.cert), "--key", str(identity.key)]
    receiver = Process("the example's receiver", command, log)
    try:
        scene.upstream.wait_for_subscriber("receiver")
        judges = {"high": threshold(["pump"], above=7.1), "noted": threshold(["pump"], above=1, severity="info")}
        scene.start(scene.gateway({"pump": number_source("plant/+/vibration", "vibration", unit="mm/s")}, judges))
        device = scene.device()
        device.publish("plant/pump-1/vibration", "8.25")
        device.publish("plant/pump-1/vibration", "0.5")
        device.flush()
        expected = {
            "interop-1 alarm 1 pump-1 vibration: high raised, 8.25 mm/s",
            "interop-1 alarm 2 pump-1 vibration: high cleared, 0.5 mm/s",
            "interop-1 verdict 1 pump-1 vibration: high raised, 8.25 mm/s",
            "interop-1 verdict 2 pump-1 vibration: high cleared, 0.5 mm/s",
        }
        wait_for(lambda: expected == set(log.read_text().splitlines()), "the receiver's lines")
    finally:
        receiver.stop()


def test_mosquitto_takes_the_configuration(tmp_path: Path, certificates: Certificates) -> None:
    port = free_port()
    replaced = {
        "/etc/verge/certs/ca.pem": certificates.ca,
        "/etc/verge/certs/broker.local.pem": certificates.broker.cert,
        "/etc/verge/certs/broker.local.key": certificates.broker.key,
        "/etc/mosquitto/verge.acl": EXAMPLES / "mosquitto" / "verge.acl",
        "/var/lib/mosquitto/": f"{tmp_path}/",
        "listener 8883": f"listener {port} {HOST}",
    }
    text = (EXAMPLES / "mosquitto" / "mosquitto.conf").read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, str(new))
    configuration = tmp_path / "mosquitto.conf"
    # As root it would change to a user that may not read here.
    configuration.write_text(f"user {getpass.getuser()}\nlog_dest stderr\n{text}")
    broker = Process("the example's broker", [Mosquitto.program(), "-c", str(configuration)], tmp_path / "log")
    try:
        wait_for(lambda: broker.ended is not None or accepts(port), "the broker listening")
        assert broker.ended is None, broker.tail()
    finally:
        broker.stop()
    assert "Error" not in broker.tail()
