"""A supervisor of RSMP 3.2.2 that holds every message of a site against the published schema, of the core and of the signal
exchange list. Nobody has certified either."""

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from certificates import Certificates
from peers import HOST
from programs import data
from waiting import wait_for

SITE, MAIN, LOOP, AUX = "RN+SI0001", "KK+AG9998=001TC000", "KK+AG9998=001DL001", "KK+AG9998=001DL002"
END = b"\x0c"
Content = dict[str, Any]


class RsmpSchema:
    """The files of a folder, each under its own address."""

    ROOTS = ("core/3.2.2/rsmp.json", "tlc/1.2.1/rsmp.json")

    def __init__(self, folder: Path):
        resources = [(path.as_uri(), self._read(path)) for path in folder.glob("**/*.json")]
        registry: Registry = Registry().with_resources(resources)
        roots = [(folder / root).as_uri() for root in self.ROOTS]
        self._validators = [Draft7Validator({"$ref": root}, registry=registry) for root in roots]

    @staticmethod
    def _read(path: Path) -> Resource:
        # One of the files has a type that is none: see the README beside them.
        text = path.read_text().replace('"string, null"', '["string", "null"]')
        return Resource.from_contents(json.loads(text), default_specification=DRAFT7)

    def faults(self, message: Content) -> list[str]:
        """What is wrong with a message."""
        found = [fault for validator in self._validators for fault in validator.iter_errors(message)]
        return [f"{message.get('type')}: {fault.message}" for fault in found]


SCHEMA = RsmpSchema(data() / "rsmp_schema")


@dataclass
class Said:
    """One message of the site: on which connection, and when."""

    content: Content
    connection: int
    at: float


@dataclass
class Supervisor:
    """Listens, on a port of its own that it keeps. Acknowledges what comes, unless `acks` is false."""

    certificates: Certificates | None = None
    port: int = 0
    version: Content = field(default_factory=dict)
    acks: bool = True
    delay: float = 0.0
    said: list[Said] = field(default_factory=list, init=False)
    faults: list[str] = field(default_factory=list, init=False)
    answers: dict[str, Content] = field(default_factory=dict, init=False)
    connections: int = field(default=0, init=False)
    _open: socket.socket | None = field(default=None, init=False)
    _listener: socket.socket | None = field(default=None, init=False)

    def start(self) -> "Supervisor":
        """Listens."""
        self._listener = socket.create_server((HOST, self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'rsmps' if self.certificates else 'rsmp'}://{HOST}:{self.port}"

    def stop(self) -> None:
        """Goes away, and its connections with it."""
        listener, self._listener = self._listener, None
        if listener:
            listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Ends the connection."""
        connection, self._open = self._open, None
        if connection:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            if self._listener is not listener:
                raw.close()
                return
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                connection = self._wrap(raw)
            except OSError:
                continue
            self.connections += 1
            self._open = connection
            arguments = (connection, self.connections)
            threading.Thread(target=self._read, args=arguments, daemon=True).start()

    def _wrap(self, raw: socket.socket) -> socket.socket:
        if self.certificates is None:
            return raw
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificates.broker.cert, self.certificates.broker.key)
        context.load_verify_locations(self.certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context.wrap_socket(raw, server_side=True)

    def _read(self, connection: socket.socket, number: int) -> None:
        pending = b""
        while True:
            try:
                got = connection.recv(1 << 16)
            except OSError:
                return
            if not got:
                return
            *packets, pending = (pending + got).split(END)
            for packet in packets:
                if not packet:
                    self.faults.append("an empty packet")
                    continue
                try:
                    self._take(json.loads(packet), number)
                except OSError:
                    return

    def _take(self, content: Content, number: int) -> None:
        kind = content["type"]
        is_answer = kind in ("MessageAck", "MessageNotAck")
        if self.delay:
            time.sleep(self.delay)
        # First, since a site does not wait for what takes long here.
        acks = self.acks
        if acks and not is_answer:
            self.send({"type": "MessageAck", "oMId": content["mId"]})
        if self.delay == 0:
            self.faults += SCHEMA.faults(content)
        if is_answer:
            self.answers[content["oMId"]] = content
            return
        ids = {said.content["mId"] for said in self.said} if self.delay == 0 else set()
        if content["mId"] in ids:
            self.faults.append(f"the identifier {content['mId']} comes again")
        self.said.append(Said(content, number, time.monotonic()))
        if not acks:
            return
        if kind == "Version":
            given: Content = {"RSMP": [{"vers": "3.2.2"}], "siteId": [{"sId": SITE}], "SXL": "1.2.1"}
            self.send({"type": "Version"} | given | self.version)
        if kind == "Watchdog" and len(self.of(kind, number)) == 1:
            self.send({"type": "Watchdog", "wTs": "2026-11-29T12:00:00.000Z"})

    def send(self, content: Content) -> str:
        """Says something. Returns its identifier."""
        message = {"mType": "rSMsg"} | content
        if "oMId" not in message:
            message.setdefault("mId", str(uuid.uuid4()))
        self.send_raw(json.dumps(message).encode() + END)
        return str(message.get("mId", ""))

    def send_raw(self, content: bytes) -> None:
        """Says these bytes."""
        connection = self._open
        if connection is None:
            raise OSError("no site is connected")
        connection.sendall(content)

    def ask(self, content: Content, seconds: float = 10.0) -> Content:
        """Says something and waits for its acknowledgement, or its refusal."""
        if not self.acks:
            raise RuntimeError("nothing is acknowledged now")
        assert not SCHEMA.faults({"mType": "rSMsg", "mId": str(uuid.uuid4())} | content)
        identifier = self.send(content)
        return wait_for(lambda: self.answers.get(identifier), f"an answer to {content}", seconds)

    def of(self, kind: str, connection: int | None = None) -> list[Content]:
        """Messages of a kind, in order."""
        found = [said for said in list(self.said) if said.content["type"] == kind]
        return [said.content for said in found if connection in (None, said.connection)]

    def wait_for_site(self, connection: int, seconds: float = 30.0) -> None:
        """Waits until a site has said how everything stands, on its connection of this number."""
        stands = lambda: len(self.of("Alarm", connection)) >= 1 and self.of("AggregatedStatus", connection)
        wait_for(stands, f"the site on connection {connection}", seconds)

    def subscribe(self, component: str, every: int, *items: tuple[str, str]) -> Content:
        """Subscribes to values."""
        wanted = [{"sCI": code, "n": name, "uRt": str(every), "sOc": False} for code, name in items]
        return self.ask({"type": "StatusSubscribe", "cId": component, "sS": wanted})

    def updates(self, component: str) -> list[dict[str, tuple[str | None, str]]]:
        """Updates of a component: value and quality of each name."""
        updates = [update for update in self.of("StatusUpdate") if update["cId"] == component]
        return [{one["n"]: (one["s"], one["q"]) for one in update["sS"]} for update in updates]

    def alarms(self, component: str, code: str, connection: int | None = None) -> list[tuple[str, str, str, str]]:
        """What was said of an alarm: why, active, suspended, acknowledged."""
        of = [alarm for alarm in self.of("Alarm", connection) if (alarm["cId"], alarm["aCId"]) == (component, code)]
        return [(alarm["aSp"], alarm["aS"], alarm["sS"], alarm["ack"]) for alarm in of]


@dataclass
class Traffic:
    """A loop that counts, ten times a second."""

    publish: Callable[[str, str], None]
    topic: str
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        turn = 0
        while not self._stopped.wait(0.1):
            turn += 1
            content = {"count": 1 if turn % 3 == 0 else 0, "occupancy": 12.5, "speed": 47}
            self.publish(self.topic, json.dumps(content))

    def stop(self) -> None:
        """Counts no further."""
        self._stopped.set()
        self._thread.join()
