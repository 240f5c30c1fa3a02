"""The same gateway id twice: `check` finds it, and two that fight read why; a broker that stops is not taken for it."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import programs
from gateway import Gateway
from scene import UPLINK, Scene, number_source, threshold
from waiting import wait_for

UNAVAILABLE = 69


def gateway_of(scene: Scene) -> Gateway:
    """A gateway that alarms at each reading."""
    return scene.gateway({"pump": number_source("plant/+/vibration")}, {"high": threshold(["pump"], above=0, update_every="0s")})


def twin_of(gateway: Gateway, folder: Path) -> Gateway:
    """The same configuration on another machine: another state folder."""
    folder.mkdir()
    settings = gateway.settings | {"gateway": gateway.settings["gateway"] | {"state_dir": str(folder / "state")}}
    return Gateway(folder, settings)


@contextlib.contextmanager
def watching(gateway: Gateway, output: Path, *arguments: str) -> Iterator[Path]:
    """`verge watch` at the gateway's uplink; what it says goes to the file."""
    with output.open("w") as file:
        command = [programs.verge(), "watch", "-c", str(gateway.write()), *arguments]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: "connected to" in output.read_text(), "the receiver")
            yield output
        finally:
            process.terminate()
            process.wait(10)


def failed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Lines of steps that failed."""
    return [line for line in done.stdout.splitlines() if line.startswith("FAILED")]


def test_check_finds_a_gateway_of_this_id_elsewhere_and_leaves_it_alone(scene: Scene, tmp_path: Path) -> None:
    gateway, receiver = gateway_of(scene), scene.receiver()
    scene.start(gateway)
    receiver.wait_for_status("online")
    done = twin_of(gateway, tmp_path / "twin").check("--listen", "0")
    assert done.returncode == UNAVAILABLE
    (line,) = failed(done)
    assert f'uplink.{UPLINK}: gateway id "interop-1": another gateway of this id is online: its status, ' in line
    assert "give one of the two another gateway.id" in line
    assert 'MQTT connection as "verge-interop-1-check"' in done.stdout
    # Its own state folder says that it is the one that runs.
    assert failed(gateway.check("--listen", "0")) == []
    assert "lost" not in gateway.whole_log(), gateway.whole_log()
    assert gateway.stop() == 0
    receiver.wait_for_status("stopped")
    assert failed(twin_of(gateway, tmp_path / "later").check("--listen", "0")) == []


def test_two_gateways_of_one_id_are_named_as_the_cause(scene: Scene, tmp_path: Path) -> None:
    gateway = gateway_of(scene)
    scene.start(gateway)
    twin = twin_of(gateway, tmp_path / "twin")
    with watching(gateway, tmp_path / "watched") as watched:
        twin.start()
        try:
            proof = 'another gateway with the id interop-1 is connected to the same upstream'
            wait_for(lambda: any(proof in one.whole_log() for one in (gateway, twin)), "the proof by the status", seconds=90)
            pattern = "as brokers do when another client connects under the same client_id (verge-interop-1"
            wait_for(lambda: any(pattern in one.whole_log() for one in (gateway, twin)), "the pattern", seconds=90)
            wait_for(lambda: "two gateways publish as interop-1" in watched.read_text(), "the words of watch", seconds=90)
        finally:
            twin.end()


def test_two_receivers_under_one_name_are_named_as_the_cause(scene: Scene, tmp_path: Path) -> None:
    gateway = gateway_of(scene)
    gateway.write()
    name = ("--client-id", "desk-1")
    with watching(gateway, tmp_path / "one", *name) as one, watching(gateway, tmp_path / "other", *name) as other:
        pattern = "as brokers do when another client connects under the same client_id (desk-1)"
        wait_for(lambda: any(pattern in file.read_text() for file in (one, other)), "the pattern", seconds=60)


def test_a_broker_that_stops_is_not_taken_for_another_client(scene: Scene) -> None:
    gateway, receiver = gateway_of(scene), scene.receiver()
    scene.start(gateway)
    receiver.wait_for_status("online")
    scene.upstream.stop()
    scene.site.stop()
    wait_for(lambda: "connection upstream lost" in gateway.whole_log(), "the loss upstream")
    wait_for(lambda: "nothing listens there" in gateway.whole_log(), "further attempts")
    assert "another client" not in gateway.whole_log(), gateway.whole_log()


def test_a_check_takes_nothing_that_waits_for_the_gateway(scene: Scene) -> None:
    gateway, receiver = gateway_of(scene), scene.receiver()
    scene.start(gateway)
    assert gateway.stop() == 0
    device = scene.device()
    for value in (1, 2, 3):
        device.publish("plant/pump-1/vibration", str(value))
    device.flush()
    done = gateway.check("--listen", "1")
    assert 'local: MQTT connection as "verge-interop-1": accepted' in done.stdout, done.stdout
    assert failed(done) == []
    scene.start(gateway)
    receiver.wait_for_different(3)
    receiver.ledger().assert_sound()
