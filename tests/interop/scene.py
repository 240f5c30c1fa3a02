"""A site: its broker, a gateway, the broker upstream, and a receiver there."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from certificates import Certificates
from clients import Device, Receiver
from gateway import Gateway, Settings
from peers import Listener, Login, Mosquitto

GATEWAY_ID = "interop-1"
UPLINK = "centre"
PREFIX = "verge"
SAMPLES_CODECS = ("samples_f32", "samples_i16")
FRAME_CODECS = ("jpeg", "jpeg_b64", "json_image")


@dataclass
class Scene:
    """Everything one test needs, in a folder of its own. What was opened is closed by `close`."""

    folder: Path
    certificates: Certificates
    site: Mosquitto = field(init=False)
    upstream: Mosquitto = field(init=False)
    _gateways: list[Gateway] = field(default_factory=list, init=False)
    _more: list[Mosquitto] = field(default_factory=list, init=False)
    _clients: list[Device | Receiver] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        login = Login("verge", "a password of the site")
        self.site = Mosquitto(self.folder / "site", "the site's broker", [Listener(login=login)])
        # No limit of messages in flight: what the gateway reported as taken is in flight to the receiver.
        listener = Listener(certificates=self.certificates)
        self.upstream = Mosquitto(self.folder / "upstream", "the broker upstream", [listener], max_inflight=0)

    def open(self, with_upstream: bool = True) -> "Scene":
        """Starts the brokers."""
        self.site.start()
        if with_upstream:
            self.upstream.start()
        return self

    def second_upstream(self) -> Mosquitto:
        """Another broker upstream, started."""
        listener = Listener(certificates=self.certificates)
        second = Mosquitto(self.folder / "second", "the second broker upstream", [listener], max_inflight=0)
        self._more.append(second.start())
        return second

    def other_upstream(self, *rules: str, login: Login | None = None, max_queued: int = 100_000) -> Mosquitto:
        """A broker upstream without TLS and with these rules, started."""
        listeners = [Listener(login=login)]
        folder = self.folder / "other"
        other = Mosquitto(folder, "the other broker upstream", listeners, max_queued=max_queued, rules=rules)
        self._more.append(other.start())
        return other

    def receiver_at(self, broker: Mosquitto, client_id: str = "receiver", topics: str = "#") -> Receiver:
        """A receiver at a broker, of these topics below the prefix."""
        receiver = Receiver(broker.listeners[0], PREFIX, client_id, topics)
        self._clients.append(receiver)
        return receiver

    def local(self) -> Settings:
        """The gateway's [local] section."""
        login = self.site.listeners[0].login
        assert login is not None
        password_file = self.folder / "site.password"
        password_file.write_text(login.password)
        password_file.chmod(0o600)
        return {"url": self.site.url, "username": login.username, "password_file": str(password_file)}

    def uplink(self, **changes: object) -> Settings:
        """A section [uplink.*] to the broker upstream."""
        identity = self.certificates.gateway
        given: Settings = {"url": self.upstream.url, "ca": str(self.certificates.ca), "prefix": PREFIX}
        given |= {"cert": str(identity.cert), "key": str(identity.key)}
        return given | changes

    def gateway(
        self, source: Settings, judge: Settings, model: Settings | None = None, **uplinks: Settings
    ) -> Gateway:
        """A gateway with these sections, not started; one uplink named `centre` unless others are given."""
        settings = {
            "gateway": {"id": GATEWAY_ID, "site": "interop", "state_dir": str(self.folder / "state")},
            "local": self.local(),
            "uplink": uplinks or {UPLINK: self.uplink()},
            "source": source,
            "judge": judge,
        }
        if model:
            settings["model"] = model
        gateway = Gateway(self.folder, settings)
        self._gateways.append(gateway)
        return gateway

    def start(self, gateway: Gateway) -> Gateway:
        """Starts a gateway and waits until it has subscribed at the site's broker: from then on nothing is missed."""
        wanted = self._filters(gateway)
        before = {client_id: self.site.subscriptions(client_id) for client_id in wanted}
        gateway.start()
        for client_id, filters in wanted.items():
            self.site.wait_for_subscriber(client_id, before[client_id] + filters)
        return gateway

    def _filters(self, gateway: Gateway) -> Counter[str]:
        """How many filters each of the gateway's connections subscribes to."""
        sources = gateway.settings["source"].values()
        return Counter(self.client_id + connection_of(source) for source in sources)

    @property
    def client_id(self) -> str:
        """The gateway's name at the site's broker, by default."""
        return f"verge-{GATEWAY_ID}"

    def device(self, client_id: str = "device") -> Device:
        """A device at the site's broker."""
        device = Device(self.site.listeners[0], client_id)
        self._clients.append(device)
        return device

    def receiver(self, prefix: str = PREFIX, client_id: str = "receiver") -> Receiver:
        """A receiver upstream."""
        receiver = Receiver(self.upstream.listeners[0], prefix, client_id)
        self._clients.append(receiver)
        return receiver

    def close(self) -> None:
        """Ends everything that is still there."""
        for client in self._clients:
            client.close()
        for gateway in self._gateways:
            gateway.end()
        for broker in (self.site, self.upstream, *self._more):
            broker.stop()

    def logs(self) -> str:
        """What the gateways said last, for the report of a failed test."""
        return "\n".join(gateway.log() for gateway in self._gateways)


def connection_of(source: Settings) -> str:
    """What the name of the connection that carries a source ends with."""
    if source["codec"] in SAMPLES_CODECS:
        return "-newest" if source.get("overload") == "newest" else "-bulk"
    if source["codec"] not in FRAME_CODECS:
        return ""
    return "-every" if source.get("frames") == "every" else "-frames"


def frame_source(topic: str, codec: str = "jpeg", **changes: object) -> Settings:
    """A source of frames whose second topic level is the camera, and of which every frame is judged."""
    return {"topic": topic, "codec": codec, "device": "topic:1", "frames": "every"} | changes


def looking(inputs: list[str], detector: str, model: str, **changes: object) -> Settings:
    """A judge that tells of each frame what a model sees in it."""
    given: Settings = {"inputs": inputs, "detector": detector, "model": model, "report": "every"}
    return given | changes


def number_source(topic: str, signal: str = "level", **changes: object) -> Settings:
    """A source of plain numbers whose second topic level is the device."""
    return {"topic": topic, "codec": "number", "device": "topic:1", "signal": signal} | changes


def json_source(topic: str, pointer: str, signal: str = "level", **changes: object) -> Settings:
    """A source of JSON messages with a device time in milliseconds at /ts."""
    given: Settings = {"topic": topic, "codec": "json", "device": "topic:1"}
    given |= {"time": {"pointer": "/ts", "format": "unix_ms"}, "reading": [{"pointer": pointer, "signal": signal}]}
    return given | changes


def threshold(inputs: list[str], **changes: object) -> Settings:
    """A judge with fixed limits."""
    return {"inputs": inputs, "detector": "threshold", "severity": "warning"} | changes
