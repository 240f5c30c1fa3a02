"""The README's first days, word for word: a file, a check, a verdict that one sees; then an uplink, and nothing lost."""

import getpass
import os
import pty
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers import HOST, Listener, Mosquitto, accepts, free_port
from processes import Process
from programs import REPOSITORY, verge
from scene import Scene, number_source, threshold
from waiting import wait_for

README = (REPOSITORY / "README.md").read_text()


def blocks(title: str) -> list[str]:
    """The code blocks of the numbered steps of a section, in order."""
    text = README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    found: list[list[str]] = [[]]
    for line in [*text.splitlines(), "."]:
        if line.startswith("       ") or (not line and found[-1]):
            found[-1].append(line[7:])
        elif found[-1]:
            found.append([])
    return ["\n".join(block).strip() + "\n" for block in found if block]


FIRST = blocks("Your first configuration")
SECOND = blocks("Send verdicts upstream")
# The gateway's name at the site's broker.
CLIENT = "verge-pump-room-1"


def arguments(line: str, program: str) -> list[str]:
    """A line of the README as this program gets it."""
    words = shlex.split(line, comments=True)
    assert words[0] == program, line
    return words[1:]


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path):
        self._main, other = pty.openpty()
        self.program = subprocess.Popen(
            command, cwd=folder, stdin=other, stdout=other, stderr=other, start_new_session=True
        )
        os.close(other)
        self._written: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._main, 4096)
            except OSError:
                return
            if not piece:
                return
            self._written.append(piece.decode(errors="replace"))

    @property
    def shown(self) -> str:
        """What it has shown so far, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", "".join(self._written)).replace("\r", "")

    def wait_for(self, pattern: str) -> None:
        """Waits until it shows this."""
        wait_for(lambda: re.search(pattern, self.shown), f"{pattern} on the terminal")

    def interrupt(self) -> int:
        """Ctrl-C; says the exit code."""
        self.program.send_signal(signal.SIGINT)
        return self.program.wait(20)

    def end(self) -> None:
        """After a test."""
        if self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        os.close(self._main)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Mosquitto]:
    """The broker that the devices publish to, and the README's first file for it."""
    broker = Mosquitto(tmp_path / "site", "the site's broker", [Listener()]).start()
    assert "mqtt://localhost:1883" in FIRST[0]
    (tmp_path / "gateway.toml").write_text(FIRST[0].replace("mqtt://localhost:1883", broker.url))
    try:
        yield broker
    finally:
        broker.stop()


def publish(site: Mosquitto) -> None:
    """The README's reading."""
    line = arguments(FIRST[3], "mosquitto_pub")
    subprocess.run(["mosquitto_pub", *line, "-h", HOST, "-p", str(site.port), "-q", "1"], check=True)


def run(folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    command = [verge(), *given]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_a_file_a_check_and_a_verdict_that_one_sees(site: Mosquitto, tmp_path: Path) -> None:
    checked = run(tmp_path, *arguments(FIRST[1], "verge"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "no uplink: verdicts are judged, stored and printed, not sent" in checked.stdout
    # `check` subscribes under the gateway's name.
    before = site.subscriptions(CLIENT)
    terminal = Terminal([verge(), *arguments(FIRST[2], "verge")], tmp_path)
    try:
        site.wait_for_subscriber(CLIENT, before + 1)
        publish(site)
        # The line that the README shows, at another time and perhaps in another zone.
        shown = re.escape(FIRST[4].strip()).replace("\\ ", " ")
        terminal.wait_for(re.sub(r"2026\S* \S* UTC", r"\\S+ \\S+ \\S+", shown))
        terminal.program.send_signal(signal.SIGHUP)
        terminal.wait_for("reloaded: the configuration is the one that runs")
        assert terminal.interrupt() == 0, terminal.shown
    finally:
        terminal.end()
    listed = run(tmp_path, "outbox", "ls", "-c", "gateway.toml")
    assert "nothing lost: 1 of 1 stored, the newest; no uplink is configured, so none is sent" in listed.stdout


def test_an_uplink_that_is_added_gets_what_was_stored(site: Mosquitto, tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    first = Process("the gateway", [verge(), "run", "-c", str(tmp_path / "gateway.toml"), "--print"], log)
    site.wait_for_subscriber(CLIENT)
    publish(site)
    wait_for(lambda: "vibration: high" in log.read_text(), "the verdict is printed")
    first.stop()

    for line in SECOND[0].splitlines():
        made = run(tmp_path, *arguments(line, "verge"))
        assert made.returncode == 0, made.stderr
    port = free_port()
    assert "listener 8883" in SECOND[1] and "localhost:8883" in SECOND[2]
    # As root mosquitto would change to a user that may not read here.
    given = SECOND[1].replace("listener 8883", f"user {getpass.getuser()}\nlistener {port} {HOST}")
    given = given.replace("certs/", f"{tmp_path}/certs/")
    (tmp_path / "upstream.conf").write_text(given)
    uplink = SECOND[2].replace("localhost:8883", f"localhost:{port}")
    with (tmp_path / "gateway.toml").open("a") as file:
        file.write(f"\n{uplink}")
    command = [Mosquitto.program(), "-c", str(tmp_path / "upstream.conf")]
    upstream = Process("the broker upstream", command, tmp_path / "upstream.log")
    started, watching, listing = SECOND[4].splitlines()
    terminal = watch = None
    try:
        wait_for(lambda: accepts(port), "the broker upstream listening")
        checked = run(tmp_path, *arguments(SECOND[3], "verge"), "--listen", "0")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "no uplink" not in checked.stdout
        watch = Terminal([verge(), *arguments(watching, "verge")], tmp_path)
        watch.wait_for("connected to")
        terminal = Terminal([verge(), *arguments(started, "verge")], tmp_path)
        watch.wait_for(r"alarm +\S+ \S+ \S+ pump-room-1 warning +#1 vibration-high: pump-1 vibration: high, 8.4 mm/s")

        def delivered() -> bool:
            return "nothing lost: 1 of 1 delivered\n" in run(tmp_path, *arguments(listing, "verge")).stdout

        wait_for(delivered, "the store says that all is delivered")
        assert watch.interrupt() == 0
        watch.wait_for("nothing lost: 1 verdict, no number is missing")
        assert terminal.interrupt() == 0
    finally:
        for program in (terminal, watch):
            if program is not None:
                program.end()
        upstream.stop()


def test_a_program_gets_json_lines_and_a_file_no_verdicts(site: Mosquitto, tmp_path: Path) -> None:
    cases = ((["--json"], '"judge":"vibration-high"'), (["--json", "--quiet"], ""), ([], ""))
    for times, (given, expected) in enumerate(cases, start=1):
        out, log = tmp_path / "out", tmp_path / "log"
        command = [verge(), "run", "-c", "gateway.toml", *given]
        with out.open("wb") as written, log.open("wb") as logged:
            gateway = subprocess.Popen(command, cwd=tmp_path, stdout=written, stderr=logged)
        try:
            site.wait_for_subscriber(CLIENT, times)
            publish(site)
            if expected:
                wait_for(lambda out=out, expected=expected: expected in out.read_text(), "the verdict as JSON")
            gateway.send_signal(signal.SIGHUP)
            wait_for(lambda log=log: "reloaded: " in log.read_text(), "SIGHUP is logged")
        finally:
            gateway.terminate()
            assert gateway.wait(20) == 0
        assert bool(out.read_text()) == bool(expected)


def test_a_terminal_that_closes_stops_the_gateway_in_good_order(site: Mosquitto, tmp_path: Path) -> None:
    log = tmp_path / "log"
    main, other = pty.openpty()
    with log.open("wb") as logged:
        # A new session takes the terminal that it opens as its own: then its end is signalled.
        gateway = subprocess.Popen(
            [verge(), "run", "-c", "gateway.toml"], cwd=tmp_path, stdin=other, stdout=other, stderr=logged
        )
    os.close(other)
    wait_for(lambda: "connected to the local broker" in log.read_text(), "the gateway is connected")
    os.close(main)
    gateway.send_signal(signal.SIGHUP)
    assert gateway.wait(20) == 0
    assert "SIGHUP: the terminal was closed" in log.read_text()


def test_watch_keeps_a_session_when_it_has_a_name(scene: Scene, tmp_path: Path) -> None:
    judge = {"high": threshold(["pump"], above=7.1)}
    gateway = scene.start(scene.gateway({"pump": number_source("plant/+/vibration", "vibration")}, judge))
    identity = scene.certificates.receiver
    url = ["--url", scene.upstream.url, "--ca", str(scene.certificates.ca)]
    given = ["watch", *url, "--cert", str(identity.cert), "--key", str(identity.key), "--client-id", "desk-1"]
    watch = Terminal([verge(), *given], tmp_path)
    try:
        watch.wait_for("connected to")
        assert watch.interrupt() == 0
        watch.wait_for("nothing lost: no verdict was sent")
    finally:
        watch.end()
    device = scene.device()
    device.publish("plant/pump-1/vibration", "8.25")
    device.flush()

    def delivered() -> bool:
        return "nothing lost: 1 of 1 delivered" in gateway.run("outbox", "ls", "-c", str(gateway.configuration)).stdout

    wait_for(delivered, "the alarm is delivered while nobody watches")
    again = run(tmp_path, *given, "--count", "1")
    assert "pump-1 vibration: high, 8.25" in again.stdout, again.stderr
    assert re.search(r"^alarm     \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ interop-1 warning +#1 ", again.stdout, re.MULTILINE)


def test_an_output_that_nobody_reads_holds_up_nothing(site: Mosquitto, tmp_path: Path) -> None:
    """The pipe is full after some hundred verdicts."""
    verdicts = 3_000
    with (tmp_path / "gateway.toml").open("a") as file:
        file.write('[judge.each]\ninputs = ["vibration"]\ndetector = "threshold"\nabove = 0\nupdate_every = "0s"\n')
    with (tmp_path / "log").open("wb") as log:
        gateway = subprocess.Popen(
            [verge(), "run", "-c", "gateway.toml", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=log
        )
    try:
        site.wait_for_subscriber(CLIENT)
        readings = "\n".join(["1.5"] * verdicts)
        command = ["mosquitto_pub", "-t", "plant/pump-1/vibration", "-l", "-h", HOST, "-p", str(site.port), "-q", "1"]
        subprocess.run(command, input=readings, text=True, check=True)
        stored = f"nothing lost: {verdicts} of {verdicts} stored"
        wait_for(lambda: stored in run(tmp_path, "outbox", "ls", "-c", "gateway.toml").stdout, "all are judged", 60)
    finally:
        gateway.terminate()
        ended = gateway.wait(20)
        left, _ = gateway.communicate()
    assert ended == 0
    assert 0 < left.count(b"\n") < verdicts
