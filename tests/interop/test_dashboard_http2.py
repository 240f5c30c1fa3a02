"""The dashboard by HTTP/2, before two foreign stacks: httpx, and frames of hyper-h2 that no browser would send."""

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import httpx
import pytest
from peers import HOST
from scene import Scene
from test_dashboard import add, dashboard, pressure, start, token
from waiting import wait_for

# What ends a connection, counted.
CUT = r'verge_dashboard_connections_cut_total\{reason="(\w+)"\} (\d+)'


class Served:
    """A gateway with a dashboard by TLS, and a token for it."""

    def __init__(self, scene: Scene) -> None:
        identity = scene.certificates.broker
        gateway, browser = dashboard(scene, cert=str(identity.cert), key=str(identity.key))
        add(gateway, "operator", "operator")
        self.port, self.shown = browser.port, {"Authorization": f"Bearer {token(gateway, 'operator')}"}
        self.context = ssl.create_default_context(cafile=str(scene.certificates.ca))
        self.url = f"https://{HOST}:{self.port}"
        start(scene, gateway)
        pressure(scene, "8.25")

    def client(self) -> httpx.Client:
        """One connection for all that it asks."""
        limits = httpx.Limits(max_connections=1)
        return httpx.Client(
            http2=True, verify=self.context, headers=self.shown, limits=limits, base_url=self.url, timeout=20
        )

    def cut(self) -> dict[str, int]:
        with self.client() as client:
            found = re.findall(CUT, client.get("/metrics").text)
        return {reason: int(count) for reason, count in found}


@pytest.fixture(name="served")
def _served(scene: Scene) -> Served:
    return Served(scene)


class Raw:
    """A connection of HTTP/2, frame by frame."""

    def __init__(self, served: Served, **settings: int) -> None:
        context = served.context
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((HOST, served.port), timeout=60)
        self.stream = context.wrap_socket(plain, server_hostname=HOST)
        assert self.stream.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes[name]: value for name, value in settings.items()})
        self.names = [(":method", "GET"), (":scheme", "https"), (":authority", f"{HOST}:{served.port}"), (":path", "/login")]

    def flush(self) -> None:
        self.stream.sendall(self.h2.data_to_send())

    def ask(self, *more: tuple[str, str]) -> int:
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, [*self.names, *more], end_stream=True)
        return number

    def events(self) -> Iterator[h2.events.Event]:
        """What the server says until it ends the connection. Pings are answered."""
        ended = (ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError)
        with contextlib.suppress(*ended):
            while piece := self.stream.recv(65_535):
                # What comes behind the end of the connection hyper-h2 does not read.
                yield from self.h2.receive_data(piece)
                self.flush()


def test_tabs_share_a_connection(served: Served) -> None:
    """More than a browser's six connections, streams among them, and a command beside them."""
    with served.client() as client, ExitStack() as streams:
        wait_for(lambda: client.get("/api/v1/events").json()["events"], "an event is open")
        for _ in range(20):
            stream = streams.enter_context(client.stream("GET", "/api/v1/stream?kinds=verdict"))
            assert (stream.status_code, stream.http_version) == (200, "HTTP/2")
            assert next(stream.iter_text()).startswith("retry:")
        assert client.get("/api/v1/status").json()["gateway"]
        body = {"device": "pump-1", "minutes": 5}
        assert client.post("/api/v1/maintenance", json=body, headers={"Origin": served.url}).status_code == 200
        foreign = client.post("/api/v1/maintenance", json=body, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert client.get("/", headers={"Host": "rebound.example"}).status_code == 421
    with served.client() as client:
        large = client.post("/api/v1/maintenance", content=b"x" * 100_000, headers={"Content-Type": "application/json"})
        assert large.status_code == 413
        (action,) = client.get("/api/v1/actions").json()["actions"]
        assert (action["who"], action["what"], action["about"]) == ("operator", "maintenance", body)


def test_requests_that_are_taken_back_at_once_are_a_flood(served: Served) -> None:
    raw = Raw(served)
    # Fewer are what an impatient person does.
    for _ in range(10):
        raw.h2.reset_stream(raw.ask(), 8)
    asked = raw.ask()
    raw.flush()
    answered = next(event for event in raw.events() if isinstance(event, h2.events.ResponseReceived))
    assert (answered.stream_id, dict(answered.headers)[":status"]) == (asked, "200")
    for _ in range(200):
        raw.h2.reset_stream(raw.ask(), 8)
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        raw.flush()
    ended = [event for event in raw.events() if isinstance(event, h2.events.ConnectionTerminated)]
    assert [event.error_code for event in ended] == [0xB], "ENHANCE_YOUR_CALM"
    assert served.cut() == {"no_place": 0, "stalled": 0, "flood": 1}


def test_bounds_are_said_and_kept(served: Served) -> None:
    raw = Raw(served)
    raw.flush()
    changed = next(event for event in raw.events() if isinstance(event, h2.events.RemoteSettingsChanged))
    said = {code: setting.new_value for code, setting in changed.changed_settings.items()}
    assert said[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] == 64
    assert said[h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE] == 16_384
    # Headers that are too large cost that request, or the connection, and nobody else.
    asked = raw.ask(*((f"x-{number}", "y" * 4_000) for number in range(40)))
    raw.flush()
    refused = [
        event
        for event in raw.events()
        if isinstance(event, h2.events.ResponseReceived | h2.events.StreamReset | h2.events.ConnectionTerminated)
    ]
    first = refused[0]
    if isinstance(first, h2.events.ResponseReceived):
        assert (first.stream_id, dict(first.headers)[":status"]) == (asked, "431")
    with served.client() as client:
        assert client.get("/healthz").status_code == 204


def test_who_asks_for_nothing_or_takes_nothing_is_left(served: Served) -> None:
    def silent() -> list[int]:
        raw = Raw(served)
        raw.flush()
        # Frame by frame: what stands behind a GOAWAY hyper-h2 does not read.
        said, codes = b"", []
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := raw.stream.recv(65_535):
                said += piece
        while len(said) >= 9:
            length, kind = int.from_bytes(said[:3]), said[3]
            codes += [int.from_bytes(said[13:17])] if kind == 7 else []
            said = said[9 + length :]
        return codes

    def greedy() -> int:
        raw = Raw(served, INITIAL_WINDOW_SIZE=0)
        raw.ask()
        raw.flush()
        return sum(len(event.data) for event in raw.events() if isinstance(event, h2.events.DataReceived))

    # Both return once the server has ended the connection; pings are answered until then.
    with ThreadPoolExecutor() as pool:
        one, other = pool.submit(silent), pool.submit(greedy)
        assert 0 in one.result() and other.result() == 0
    assert served.cut() == {"no_place": 0, "stalled": 1, "flood": 0}
