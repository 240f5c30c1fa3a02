"""The dashboard of a running gateway, by plain HTTP: logins, roles, events that an operator acknowledges, numbers, metrics."""

import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from clients import Receiver
from gateway import Gateway
from peers import HOST, free_port
from programs import tool
from scene import GATEWAY_ID, Scene, number_source, threshold
from waiting import wait_for

PASSWORD = "a long password"
ROLES = ("viewer", "operator", "admin")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> dict:
        return json.loads(self.text)


@dataclass
class Browser:
    """Asks as a browser or a program would."""

    port: int
    host: str = HOST
    cookie: str = ""
    token: str = ""
    context: ssl.SSLContext | None = None
    more: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        if self.context:
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=20, context=self.context)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in (self.more | headers).items()}
        if self.cookie:
            sent["Cookie"] = self.cookie
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            # A body that is too large is refused before all of it is read.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, **fields: str) -> Answer:
        return self.ask("POST", path, urlencode(fields), Content_Type="application/x-www-form-urlencoded")

    def put(self, path: str, body: dict | None = None) -> Answer:
        return self.ask("PUT", path, json.dumps(body or {}), Content_Type="application/json")

    def log_in(self, user: str) -> "Browser":
        answer = self.post("/login", user=user, password=PASSWORD)
        assert answer.status == 303, answer.text
        self.cookie = answer.headers["set-cookie"].split(";")[0]
        return self


class Hooks(HTMLParser):
    """Elements with the attributes that programs rely on."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.events: dict[str, dict[str, str]] = {}
        self.numbers: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "data-event" in found:
            self.events[found["data-event"]] = found
        if "data-status" in found and "data-value" in found:
            self.numbers[found["data-status"]] = found["data-value"]


def dashboard(scene: Scene, **more: object) -> tuple[Gateway, Browser]:
    """A gateway with one judge and a dashboard, not started."""
    judges = {"high": threshold(["pump"], above=7.5, severity="critical", update_every="0s")}
    gateway = scene.gateway({"pump": number_source("pump/+/pressure", "pressure")}, judges)
    port = free_port()
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{port}"} | more
    gateway.write()
    return gateway, Browser(port)


def start(scene: Scene, gateway: Gateway) -> Gateway:
    """Starts it and waits until its dashboard listens, which is after the sources have subscribed."""
    scene.start(gateway)
    host, port = gateway.settings["dashboard"]["listen"].split(":")

    def listens() -> bool:
        try:
            socket.create_connection((host, int(port)), timeout=20).close()
        except ConnectionRefusedError:
            return False
        return True

    wait_for(listens, "the dashboard listens")
    return gateway


def add(gateway: Gateway, name: str, role: str) -> None:
    command = ["users", "add", name, "--role", role, "--password-stdin", "-c", str(gateway.configuration)]
    done = gateway.run(*command, stdin=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr


def token(gateway: Gateway, name: str) -> str:
    done = gateway.run("--json", "users", "token", name, "--label", "test", "-c", str(gateway.configuration))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["token"]


def pressure(scene: Scene, value: str, device: str = "pump-1") -> None:
    sender = scene.device(f"sender-{value}-{len(device)}")
    sender.publish(f"pump/{device}/pressure", value)
    sender.flush()


def actions(receiver: Receiver) -> list[dict]:
    verdicts = [verdict.fields for message in receiver.messages() for verdict in message.verdicts]
    return [verdict["action"] for verdict in verdicts if verdict.get("action")]


def test_nobody_gets_in_without_a_login_and_each_role_does_what_it_may(scene: Scene) -> None:
    gateway, anyone = dashboard(scene)
    start(scene, gateway)
    wait_for(lambda: anyone.get("/healthz").status == 204, "it serves")
    assert anyone.get("/").headers["location"] == "/login"
    page = anyone.get("/login").text
    assert "No login exists yet" in page and "verge users add" in page
    # Made beside the running gateway.
    for role in ROLES:
        add(gateway, role, role)
    wait_for(lambda: "No login exists yet" not in anyone.get("/login").text, "logins are taken up")
    assert oct(gateway.state_dir.joinpath("access.toml").stat().st_mode & 0o777) == "0o600"
    assert PASSWORD not in gateway.state_dir.joinpath("access.toml").read_text()
    assert anyone.post("/login", user="viewer", password="wrong").status == 401

    event = "0" * 32
    for path in ("/events", "/accounts", "/?wall"):
        assert anyone.get(path).status == 303
    for path in ("/api/v1/status", "/api/v1/events", "/api/v1/stream", "/metrics"):
        assert anyone.get(path).status == 401, path
    allowed = {"viewer": 403, "operator": 404, "admin": 404}
    for role in ROLES:
        for who in (Browser(anyone.port).log_in(role), Browser(anyone.port, token=token(gateway, role))):
            wait_for(lambda: who.get("/api/v1/status").status == 200, "its token is known")
            for path in ("/", "/events", "/accounts", "/metrics", "/api/v1/events"):
                assert who.get(path).status == 200, (role, path)
            assert who.put(f"/api/v1/events/{event}/acknowledgement").status == allowed[role]
            assert who.post(f"/events/{event}/acknowledge").status == allowed[role]
            assert who.get("/", Host="rebound.example").status == 421
            assert who.ask("POST", "/logout", "", Origin="http://evil.example").status == 403

    # A removed login, and one with another password, are out.
    admin, operator = Browser(anyone.port).log_in("admin"), Browser(anyone.port).log_in("operator")
    assert gateway.run("users", "rm", "admin", "-c", str(gateway.configuration)).returncode == 0
    other = gateway.run(
        "users", "password", "operator", "--password-stdin", "-c", str(gateway.configuration), stdin="another password\n"
    )
    assert other.returncode == 0, other.stderr
    wait_for(lambda: admin.get("/").status == 303 and operator.get("/").status == 303, "both are out")
    listed = json.loads(gateway.run("--json", "users", "ls", "-c", str(gateway.configuration)).stdout)["users"]
    assert [(user["name"], user["tokens"]) for user in listed] == [("operator", ["test"]), ("viewer", ["test"])]


def test_an_acknowledged_event_is_durable_and_upstream_and_on_every_page(scene: Scene) -> None:
    receiver, (gateway, browser) = scene.receiver(), dashboard(scene)
    add(gateway, "operator", "operator")
    start(scene, gateway)
    pressure(scene, "8.25")
    anna = Browser(browser.port).log_in("operator")
    events = lambda: Hooks(anna.get("/events").text).events  # noqa: E731
    wait_for(events, "the event is on the page")
    ((event, hook),) = events().items()
    assert (hook["data-device"], hook["data-judge"]) == ("pump-1", "high")
    assert (hook["data-state"], hook["data-acknowledged"]) == ("raised", "false")
    page = anna.get("/events").text
    assert "<b>8.25</b>" in page and "<b>at most 7.5</b>" in page and re.search(r">\s*Acknowledge", page)
    number = anna.get(f"/api/v1/events/{event}").json()["number"]

    done = anna.post(f"/events/{event}/acknowledge", note="bearing ordered", back=f"/events/{event}")
    assert (done.status, done.headers["location"]) == (303, f"/events/{event}"), done.text
    # The answer came once it was durable: a kill loses nothing.
    gateway.kill()
    start(scene, gateway)
    wait_for(lambda: Hooks(anna.get("/events").text).events, "the event is on the page again")
    assert events()[event]["data-acknowledged"] == "true", "and the cookie holds"
    wait_for(lambda: actions(receiver), "upstream knows")
    action = actions(receiver)[-1]
    assert (action["kind"], action["by"], action["note"]) == ("acknowledged", "dashboard: operator", "bearing ordered")
    shown = gateway.run("--json", "alarms", "-c", str(gateway.configuration)).stdout
    assert f'"number":{number}' in shown.replace(" ", "") or f"#{number}" in shown or str(number) in shown

    # It gets worse: again for an operator. Shelved by the interface, it is off the list.
    assert anna.put(f"/api/v1/events/{event}/shelving", {"minutes": 481}).status == 422
    assert anna.put(f"/api/v1/events/{event}/shelving", {"minutes": 30}).status == 200
    assert anna.get(f"/api/v1/events/{event}").json()["shelved_until"]
    assert anna.ask("DELETE", f"/api/v1/events/{event}/shelving").status == 200
    assert anna.put(f"/api/v1/events/{event}/label", {"remark": "real"}).status == 200
    assert anna.put(f"/api/v1/events/{event}/label", {"remark": "odd"}).json()["type"] == "invalid"
    pressure(scene, "5")
    wait_for(lambda: events()[event]["data-state"] == "cleared", "it is over")
    assert Hooks(anna.get("/events?state=open").text).events == {}
    kinds = [action["kind"] for action in actions(receiver)]
    assert kinds.count("acknowledged") == 1 and "shelved" in kinds and "unshelved" in kinds
    (labelled,) = [action for action in actions(receiver) if action["kind"] == "labelled"]
    assert (labelled["by"], labelled["note"]) == ("dashboard: operator", "real")
    # Who did what outlived the kill, and what was refused is not in it.
    recorded = anna.get("/api/v1/actions").json()["actions"]
    assert [action["what"] for action in recorded] == ["login", "acknowledge", "shelve", "unshelve", "label"]
    assert [action["number"] for action in recorded] == [1, 2, 3, 4, 5]
    assert {action["who"] for action in recorded} == {"operator"}
    about = {"event": number, "note": "bearing ordered", "device": "pump-1", "signal": "pressure", "judge": "high"}
    assert recorded[1]["about"] == about
    page = anna.get("/actions").text
    assert "bearing ordered" in page and ">acknowledge<" in page, page
    file = gateway.state_dir / "actions.jsonl"
    assert [json.loads(line) for line in file.read_text().splitlines()] == recorded
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_who_acknowledged_stays_with_the_event_when_it_is_reported_again(scene: Scene) -> None:
    gateway, browser = dashboard(scene)
    add(gateway, "operator", "operator")
    start(scene, gateway)
    pressure(scene, "8.25")
    anna = Browser(browser.port).log_in("operator")
    wait_for(lambda: anna.get("/api/v1/events").json()["events"], "the event is there")
    (event,) = anna.get("/api/v1/events").json()["events"]
    assert anna.put(f"/api/v1/events/{event['id']}/acknowledgement").status == 200
    pressure(scene, "8.3")
    one = lambda: anna.get(f"/api/v1/events/{event['id']}").json()  # noqa: E731
    wait_for(lambda: one()["observed"] == 8.3, "it is reported again")
    assert (one()["acknowledged"], one()["acknowledged_by"]) == (True, "dashboard: operator")
    assert "acknowledged by <bdi>dashboard: operator</bdi>" in anna.get(f"/events/{event['id']}").text


def leaves(at: str, value: object) -> dict[str, object]:
    """All numbers of a document by their pointers."""
    if isinstance(value, dict):
        return {k: v for key, below in value.items() for k, v in leaves(f"{at}/{key}", below).items()}
    if isinstance(value, list):
        return {k: v for index, below in enumerate(value) for k, v in leaves(f"{at}/{index}", below).items()}
    return {at: value} if isinstance(value, (int, float)) else {}


def test_pages_and_metrics_say_what_the_status_says(scene: Scene) -> None:
    gateway, browser = dashboard(scene)
    add(gateway, "viewer", "viewer")
    browser.token = token(gateway, "viewer")
    start(scene, gateway)
    for value in ("5", "6", "8.25", "no number"):
        pressure(scene, value)
    status = lambda: browser.get("/api/v1/status").json()  # noqa: E731
    wait_for(lambda: status()["sources"][0]["received"] == 4 and status()["routes"][0]["delivered"] >= 1, "all is judged")
    before = status()
    shown = Hooks(browser.get("/accounts").text).numbers
    after = status()
    for part in ("sources", "store", "routes"):
        numbers, later = leaves(f"/{part}", before[part]), leaves(f"/{part}", after[part])
        for pointer, number in numbers.items():
            assert pointer in shown, pointer
            values = {json.dumps(number), json.dumps(later.get(pointer))}
            assert number != later.get(pointer) or shown[pointer] in values, (pointer, shown[pointer], values)

    plain = browser.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    # Prometheus' own checker; its advice on names counts as well.
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=plain.text, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0 and not checked.stderr, checked.stdout + checked.stderr
    opened = browser.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(opened.text)}
    samples = {sample.name + str(sorted(sample.labels.items())): sample.value for one in families.values() for sample in one.samples}
    assert samples["verge_messages_received_total[('source', 'pump')]"] == 4
    refused = {s.labels["reason"]: s.value for s in families["verge_messages_refused"].samples}
    assert refused == before["sources"][0]["rejections"] and sum(refused.values()) == 1
    assert samples["verge_link_up[('link', 'centre'), ('route', 'centre')]"] in (0, 1)
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    assert "pump-1" not in opened.text, "labels come from the configuration only"
    assert browser.get("/readyz").status == 204

    reloads = lambda: dict(re.findall(r'^verge_reloads_total\{outcome="(\w+)"\} (\d+)', browser.get("/metrics").text, re.M))  # noqa: E731
    assert set(reloads().values()) == {"0"}, reloads()
    good = gateway.configuration.read_text()
    for text, code in ((good, 0), (good.replace(GATEWAY_ID, "another"), 1), (good + "\n[judge", 78)):
        gateway.configuration.write_text(text)
        done = gateway.run("reload", "-c", str(gateway.configuration), "--dry-run")
        assert done.returncode == code, done.stderr
        assert gateway.run("reload", "-c", str(gateway.configuration)).returncode == code
    assert reloads() == {"done": "1", "needs_restart": "1", "faulty": "1", "failed": "0"}
    assert status()["reloads"]["last"] == "faulty"

    # Also with a stream that stays open.
    stream = socket.create_connection((HOST, browser.port), timeout=20)
    stream.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {browser.token}\r\n\r\n".encode())
    assert stream.recv(1000).startswith(b"HTTP/1.1 200")
    assert gateway.stop() == 0, gateway.log()
    stream.close()


def read_until(stream: socket.socket, wanted: str, seen: str = "") -> str:
    while wanted not in seen:
        piece = stream.recv(65_536)
        assert piece, f"ended without {wanted}: {seen[-500:]}"
        seen += piece.decode()
    return seen


def listen(browser: Browser, after: str = "") -> socket.socket:
    stream = socket.create_connection((HOST, browser.port), timeout=20)
    head = f"GET /api/v1/stream?kinds=verdict HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {browser.token}\r\n"
    head += f"Last-Event-ID: {after}\r\n" if after else ""
    stream.sendall((head + "\r\n").encode())
    return stream


def test_what_a_login_sees_ends_with_it(scene: Scene) -> None:
    gateway, browser = dashboard(scene)
    add(gateway, "viewer", "viewer")
    browser.token = token(gateway, "viewer")
    start(scene, gateway)
    with listen(browser) as stream:
        read_until(stream, "retry: 2000")
        done = gateway.run("users", "rm", "viewer", "-c", str(gateway.configuration))
        assert done.returncode == 0, done.stderr
        began = time.monotonic()
        read_until(stream, "\r\n0\r\n\r\n")
        # Two seconds, and what a busy machine needs.
        assert time.monotonic() - began < 4
    assert browser.get("/api/v1/status").status == 401
    assert gateway.stop() == 0


def test_a_listener_misses_nothing_and_one_that_reads_nothing_disturbs_nobody(scene: Scene) -> None:
    gateway, browser = dashboard(scene)
    add(gateway, "viewer", "viewer")
    browser.token = token(gateway, "viewer")
    start(scene, gateway)
    with listen(browser) as stream, listen(browser) as deaf:
        read_until(stream, "retry: 2000")
        pressure(scene, "8.25")
        seen = read_until(stream, '"pump-1"')
        last = re.findall(r"^id: (\S+)", seen, re.M)[-1]
        assert re.fullmatch(r"[0-9a-f]{32}/alarm/1", last)
        # While nobody listens, the event ends.
        stream.close()
        pressure(scene, "5")
        wait_for(lambda: browser.get("/api/v1/events?state=past").json()["events"], "it is over")
        with listen(browser, last) as again:
            seen = read_until(again, "/alarm/2")
            assert "resync" not in seen and last + "\n" not in seen, seen
        deaf.close()
    gateway.kill()
    start(scene, gateway)
    # Also over a restart, out of the store.
    with listen(browser, last) as later:
        seen = read_until(later, "/alarm/2")
        assert "resync" not in seen and last + "\n" not in seen, seen
    with listen(browser, last.replace("/1", "/100")) as unknown:
        read_until(unknown, "event: resync")


def test_it_is_served_by_tls_and_takes_up_another_certificate(scene: Scene) -> None:
    identity = scene.certificates.broker
    folder = scene.folder / "web"
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "cert.key"
    cert.write_bytes(identity.cert.read_bytes())
    key.write_bytes(identity.key.read_bytes())
    key.chmod(0o600)
    gateway, browser = dashboard(scene, cert=str(cert), key=str(key))
    add(gateway, "viewer", "viewer")
    start(scene, gateway)
    browser.context = ssl.create_default_context(cafile=str(scene.certificates.ca))
    browser.context.set_alpn_protocols(["http/1.1"])
    assert browser.get("/healthz").status == 204
    answer = browser.post("/login", user="viewer", password=PASSWORD)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-verge=") and "; Secure" in cookie, cookie
    # No TLS on this port, and it goes on.
    with socket.create_connection((HOST, browser.port), timeout=20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(4096).startswith(b"HTTP")
    cert.write_text("damaged")
    assert browser.get("/healthz").status == 204, "the one before stays in use"
    wait_for(lambda: "certificate cannot be used" in gateway.whole_log(), "it is said")


def test_a_certificate_has_the_role_of_its_name(scene: Scene) -> None:
    server, client = scene.certificates.broker, scene.certificates.gateway
    files = {"cert": str(server.cert), "key": str(server.key), "client_ca": str(scene.certificates.ca)}
    gateway, browser = dashboard(scene, **files, certificate={"gateway": {"role": "operator"}})
    start(scene, gateway)
    pressure(scene, "8.25")
    browser.context = ssl.create_default_context(cafile=str(scene.certificates.ca))
    assert browser.get("/api/v1/status").status == 401, "offered, not demanded"
    browser.context = ssl.create_default_context(cafile=str(scene.certificates.ca))
    browser.context.load_cert_chain(client.cert, client.key)
    wait_for(lambda: browser.get("/api/v1/events").json()["events"], "the event is there")
    (event,) = browser.get("/api/v1/events").json()["events"]
    assert browser.put(f"/api/v1/events/{event['id']}/acknowledgement").status == 200
    assert browser.get(f"/api/v1/events/{event['id']}").json()["acknowledged_by"] == "dashboard: gateway"
    browser.context = ssl.create_default_context(cafile=str(scene.certificates.ca))
    receiver = scene.certificates.receiver
    browser.context.load_cert_chain(receiver.cert, receiver.key)
    assert browser.get("/api/v1/status").status == 401, "a name without a role"


def test_a_dashboard_that_others_reach_needs_a_certificate_and_a_login(scene: Scene) -> None:
    gateway, _ = dashboard(scene)
    gateway.settings["dashboard"] = {"listen": "0.0.0.0:8443"}
    done = gateway.check("--offline")
    assert done.returncode == 78 and "dashboard.listen" in done.stdout and "cert and key" in done.stdout, done.stdout
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{free_port()}"}
    done = gateway.check("--offline")
    assert "nobody can log in yet" in done.stdout, done.stdout
    add(gateway, "anna", "admin")
    done = gateway.check("--offline")
    assert "nobody can log in" not in done.stdout and "1 login" in done.stdout, done.stdout
    refused = gateway.run("users", "add", "anna", "--role", "viewer", "--no-password", "-c", str(gateway.configuration))
    assert refused.returncode == 64 and "there is a login" in refused.stderr
    short = gateway.run(
        "users", "add", "bob", "--role", "viewer", "--password-stdin", "-c", str(gateway.configuration), stdin="short\n"
    )
    assert short.returncode == 64 and "expected 12" in short.stderr
    gateway.settings["dashboard"] = {"hosts": ["a"]}
    assert "dashboard.listen" in gateway.check("--offline").stdout
