"""S5: no private key, password or token stands where it does not belong: not in logs at every level, not in what commands print, not in
exports, copies, the store, the state folder or what is sent upstream. Each secret is looked for as it is, in hexadecimal, in base64 at
each of its three places, and as an address would hold it."""

import base64
import json
import os
import secrets
import subprocess
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker_site import HOST, pump_site
from certificates import Certificates
from figures import Figures
from gateway import Gateway
from peers import Login, accepts, free_port
from programs import is_full, verge
from scene import Scene, number_source, threshold
from test_broker_passwords import passwd, publishes
from test_dashboard import Browser
from waiting import wait_for
from web_service import SIGNING_KEY, TOKEN, WebService

LOUD = {"VERGE_LOG": "trace", "RUST_BACKTRACE": "full"}
# Shorter pieces would be found by chance.
SHORTEST = 12
# What `check` ends with where a peer cannot be reached or refuses (EX_UNAVAILABLE).
UNAVAILABLE = 69


def in_base64(raw: bytes) -> list[bytes]:
    """As it stands within a longer text, at each of three places, without the ends that depend on what is beside it."""
    found = []
    for ahead in range(3):
        text = base64.b64encode(b"\0" * ahead + raw)
        inner = text[-(-ahead * 4 // 3) : len(text) - (4 if (len(raw) + ahead) % 3 else 0)]
        found += [inner, inner.replace(b"+", b"-").replace(b"/", b"_")]
    return found


def forms(raw: bytes) -> list[bytes]:
    """What a secret may look like."""
    hexadecimal = raw.hex().encode()
    listed = ", ".join(map(str, raw)).encode()
    quoted = urllib.parse.quote_from_bytes(raw).encode()
    found = [raw, hexadecimal, hexadecimal.upper(), listed, quoted, *in_base64(raw)]
    return [form for form in found if len(form) >= SHORTEST]


@dataclass
class Secrets:
    """What must not be found, and where it was looked for."""

    known: dict[str, list[bytes]] = field(default_factory=dict)
    bytes_searched: int = 0
    places: int = 0
    hits: list[str] = field(default_factory=list)

    def add(self, name: str, secret: str | bytes) -> str | bytes:
        """One more; gives it back."""
        self.known[name] = forms(secret.encode() if isinstance(secret, str) else secret)
        return secret

    def word(self, name: str) -> str:
        """A new one."""
        made = f"canary-{secrets.token_urlsafe(18)}"
        self.add(name, made)
        return made

    def key(self, name: str, file: Path) -> None:
        """A private key: the number that it is, and the lines of its file."""
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        number = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
        lines = [line for line in file.read_bytes().splitlines() if len(line) >= 60 and not line.startswith(b"-")]
        self.known[name] = forms(number) + lines

    def search(self, place: str, content: bytes | str) -> None:
        """Looks for all of them."""
        content = content.encode(errors="surrogateescape") if isinstance(content, str) else content
        self.places += 1
        self.bytes_searched += len(content)
        self.hits += [f"{name} in {place}" for name, looks in self.known.items() if any(look in content for look in looks)]

    def search_folder(self, folder: Path) -> None:
        """Everything below it."""
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                self.search(str(file.relative_to(folder.parent)), file.read_bytes())

    def stands_in(self, file: Path) -> bool:
        """Whether one is there: where it belongs, so that a search that finds nothing means something."""
        content = file.read_bytes()
        return any(look in content for looks in self.known.values() for look in looks)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def commands(gateway: Gateway, looking: Secrets, folder: Path) -> None:
    """What the program prints and writes about a gateway that runs."""
    at = ["-c", str(gateway.configuration)]
    folder.mkdir()
    printed = [
        ["check", "--offline", *at],
        ["config", "show", *at],
        ["config", "show", "--origin", *at],
        ["users", "ls", *at],
        ["alarms", *at],
        ["reload", "--dry-run", *at],
        ["outbox", "ls", *at],
        ["outbox", "show", "alarm", *at],
        ["outbox", "verify", *at],
        ["outbox", "export", *at],
    ]
    printed += [["check", *at]] if is_full() else []
    for form in ([], ["--json"]) if is_full() else ([],):
        # A copy is not written over another.
        copy = folder / f"backup{''.join(form)}.db"
        for command in [*printed, ["outbox", "backup", *at, str(copy)]]:
            done = gateway.run(*form, *command)
            # One of the brokers upstream refuses the login that it is given.
            expected = UNAVAILABLE if command == ["check", *at] else 0
            assert done.returncode == expected and done.stdout + done.stderr, (command, done.returncode, done.stderr)
            looking.search(" ".join(command), done.stdout + done.stderr)
        assert copy.is_file(), "the copy is made"
    looking.search_folder(folder)


def wrong_uses(looking: Secrets, folder: Path) -> None:
    """Messages of programs that are given secrets in the wrong place."""
    secret = looking.word("a secret in the wrong place")
    as_start = subprocess.run([verge(), "broker"], input=f"verge-broker 9 1883 65536 verge {secret}\n", capture_output=True, text=True, check=False)
    looking.search("the start message of another version", as_start.stdout + as_start.stderr)
    faulty = written(folder / "faulty.toml", f'[local]\nurl = "mqtt://localhost"\npassword = "{secret}"\nunknown = 1\n')
    done = subprocess.run([verge(), "check", "-c", str(faulty)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    looking.search("check of a file with faults", done.stdout + done.stderr)
    not_a_key = written(folder / "not.key", f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n")
    shown = subprocess.run([verge(), "certs", "show", str(not_a_key)], capture_output=True, text=True, check=False)
    looking.search("certs show of a key", shown.stdout + shown.stderr)


def test_secrets_of_a_gateway_with_every_kind_of_login(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    """A site broker, two brokers upstream, a web service, a dashboard, an encrypted store."""
    looking, service = Secrets(), WebService(scene.certificates).start()
    login = scene.site.listeners[0].login
    assert login is not None
    looking.add("password of the site's broker", login.password)
    looking.add("token of the web service", TOKEN)
    looking.add("key of signatures", SIGNING_KEY)
    looking.key("key of the gateway", scene.certificates.gateway.key)
    other = Login("verge", looking.word("password of the broker upstream"))
    beside = scene.other_upstream(login=other)
    store_key = tmp_path / "store.key"
    subprocess.run([verge(), "outbox", "new-key", str(store_key)], check=True, capture_output=True)
    looking.add("key of the store", store_key.read_text().strip())
    wrong = looking.word("a wrong password of the uplink")
    files = {
        "token_file": written(tmp_path / "token", TOKEN),
        "signing_key_file": written(tmp_path / "signing", SIGNING_KEY),
        "password_file": written(tmp_path / "password", other.password),
    }
    plain = {"url": beside.url, "insecure_plaintext": True, "prefix": "verge", "username": "verge"}
    hook = {name: str(files[name]) for name in ("token_file", "signing_key_file")}
    hook |= {"kind": "http", "url": f"https://{HOST}:{service.port}/verge", "ca": str(scene.certificates.ca)}
    hook |= {"cert": str(scene.certificates.gateway.cert), "key": str(scene.certificates.gateway.key)}
    gateway = scene.gateway(
        {"pump": number_source("pump/+/pressure")},
        {"high": threshold(["pump"], above=0, update_every="0s", lane="alarm")},
        centre=scene.uplink(),
        beside=plain | {"password_file": str(files["password_file"])},
        refused=plain | {"client_id": "refused"},
        hooks=hook,
    )
    gateway.env = LOUD | {"VERGE__UPLINK__REFUSED__PASSWORD": wrong}
    gateway.settings["gateway"]["store_key_file"] = str(store_key)
    port = free_port()
    gateway.settings["dashboard"] = {"listen": f"{HOST}:{port}"}
    gateway.write()
    password = looking.word("password of a user")
    done = gateway.run("users", "add", "viewer", "--role", "admin", "--password-stdin", *["-c", str(gateway.configuration)], stdin=password + "\n")
    assert done.returncode == 0, done.stderr
    looking.search("users add", done.stdout + done.stderr)
    token = json.loads(gateway.run("--json", "users", "token", "viewer", "--label", "s5", "-c", str(gateway.configuration)).stdout)["token"]
    looking.add("token of a user", token)
    assert all(looking.stands_in(file) for file in (store_key, *files.values())), "a search finds what is there"

    receiver = scene.receiver()
    scene.start(gateway)
    device = scene.device()
    device.publish("pump/pump-1/pressure", "1")
    device.flush()
    wait_for(lambda: service.observed(), "the web service has the alarm", 30)
    wait_for(lambda: receiver.messages(), "the broker upstream has it", 30)
    wait_for(lambda: accepts(port), "the dashboard listens")
    for given in (looking.word("a wrong password of a user"), password):
        looking.search("an answer to a login", Browser(port).post("/login", user="viewer", password=given).text)
    program = Browser(port, token=token)
    for path in ("/api/v1/status", "/api/v1/events", "/api/v1/config", "/metrics", "/", "/settings", "/api/openapi.json"):
        looking.search(path, program.ask("GET", path).text)
    assert program.ask("GET", "/api/v1/status").status == 200
    Browser(port, token=looking.word("a wrong token of a user")).ask("GET", "/api/v1/status")
    commands(gateway, looking, tmp_path / "printed")
    wrong_uses(looking, tmp_path)
    os.kill(gateway.pid, 1)
    assert gateway.stop() == 0
    looking.search("the log", gateway.whole_log())
    assert "DEBUG rumqttc" in gateway.whole_log(), "everything is logged"
    looking.search_folder(gateway.state_dir)
    for arrival in receiver.arrivals:
        looking.search(f"what is sent upstream ({arrival.channel})", arrival.payload)
    for body in service.bodies:
        looking.search("what is pushed", body)
    service.stop()
    figures.note("S5", secrets=len(looking.known), places=looking.places, mib=round(looking.bytes_searched / 2**20, 1), hits=len(looking.hits))
    assert not looking.hits, looking.hits


def test_secrets_of_the_embedded_broker(scene: Scene, tmp_path: Path, figures: Figures) -> None:
    """Passwords of devices, tokens of enrolment, the keys of the listener and of the authority."""
    looking = Secrets()
    certificates = Certificates.make(tmp_path / "authority")
    own = Scene(tmp_path / "own", certificates)
    logins = tmp_path / "broker.passwords"
    password, wrong = looking.word("password of a device"), looking.word("a wrong password of a device")
    passwd(logins, "pump-1", password)
    looking.key("key of the authority", certificates.folder / "ca.key")
    looking.key("key of the listener", certificates.broker.key)
    enrol = free_port()
    local = {"passwords": str(logins), "enrol": f"{HOST}:{enrol}", "authority": str(certificates.folder)}
    try:
        (tmp_path / "own").mkdir()
        made = own.open()
        with pump_site(made, tmp_path / "site", **local) as site:
            site.gateway.stop()
            site.gateway.env = LOUD
            site.gateway.start()
            site.wait_until_served()
            assert publishes(site, "pump-1", "-u", "pump-1", "-P", password).returncode == 0
            assert publishes(site, "pump-1", "-u", "pump-1", "-P", wrong).returncode != 0
            made_token = [verge(), "certs", "token", "pump-9", "--dir", str(certificates.folder)]
            token = subprocess.run(made_token, capture_output=True, text=True, check=True).stdout.split()
            looking.add("token of enrolment", max(token, key=len))
            folder = tmp_path / "pump-9"
            folder.mkdir()
            for given in (looking.word("a wrong token of enrolment"), max(token, key=len)):
                command = [verge(), "certs", "enrol", "pump-9", "--url", f"https://{HOST}:{enrol}", "--ca", str(certificates.ca)]
                done = subprocess.run([*command, "--dir", str(folder)], input=given + "\n", capture_output=True, text=True, check=False)
                looking.search("certs enrol", done.stdout + done.stderr)
            assert done.returncode == 0, done.stderr
            looking.key("key of a device", folder / "pump-9.key")
            checked = site.gateway.check()
            looking.search("check", checked.stdout + checked.stderr)
            shown = site.gateway.run("config", "show", "-c", str(site.gateway.configuration))
            looking.search("config show", shown.stdout + shown.stderr)
            # What the child says when it ends by a kill, and when it is started again.
            process = wait_for(site.broker_process, "the broker's process")
            os.kill(process, 6)
            wait_for(lambda: site.broker_process() not in (None, process), "it is started again", 30)
            site.gateway.stop()
            looking.search("the log", site.gateway.whole_log())
            assert "DEBUG" in site.gateway.whole_log()
            looking.search_folder(site.gateway.state_dir)
            for file in (logins, certificates.folder / "enrol.tokens"):
                looking.search(file.name, file.read_bytes())
            for arrival in site.receiver.arrivals:
                looking.search("what is sent upstream", arrival.payload)
    finally:
        own.close()
    figures.note("S5 (broker)", secrets=len(looking.known), places=looking.places, mib=round(looking.bytes_searched / 2**20, 1), hits=len(looking.hits))
    assert not looking.hits, looking.hits
