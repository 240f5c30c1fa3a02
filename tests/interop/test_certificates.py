"""Certificates as openssl and common guides make them: `verge check` says in one line what is wrong and what to do."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers import Listener, Mosquitto
from programs import verge

CONFIG = """\
[gateway]
id = "g"
state_dir = "state"
[local]
url = "mqtts://localhost:{port}"
ca = "{ca}"
{rest}
[uplink.c]
url = "mqtt://127.0.0.1:1"
insecure_plaintext = true
[source.s]
topic = "d/+/x"
codec = "number"
device = "topic:1"
signal = "v"
[judge.j]
inputs = ["s"]
detector = "threshold"
above = 1.0
"""


def openssl(folder: Path, line: str) -> None:
    """One call of openssl."""
    subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates of it for localhost."""
    folder = tmp_path_factory.mktemp("certs")
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=plant")
    for name in ("srv", "other"):
        openssl(folder, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN=localhost")
    for name, extension in {"good": "subjectAltName=DNS:localhost", "cn": "basicConstraints=CA:FALSE",
                            "client": "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth"}.items():
        (folder / "ext").write_text(extension + "\n")
        openssl(folder, f"x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -days 30 -extfile ext")
    openssl(folder, "x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out v1.crt -days 30")
    openssl(folder, "req -x509 -key srv.key -out self.crt -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost")
    openssl(folder, "x509 -in good.crt -outform der -out good.der")
    openssl(folder, "pkcs12 -export -in good.crt -inkey srv.key -passout pass:x -out good.p12")
    openssl(folder, "pkcs8 -topk8 -in srv.key -passout pass:x -out encrypted.key")
    (folder / "bom.crt").write_bytes(b"\xef\xbb\xbf" + (folder / "ca.crt").read_bytes())
    (folder / "empty.crt").write_bytes(b"")
    return folder


def check(folder: Path, port: int, ca: str, rest: str = "") -> list[str]:
    """What `verge check` says of the connection to the site's broker."""
    config = folder / "g.toml"
    config.write_text(CONFIG.format(port=port, ca=ca, rest=rest))
    done = subprocess.run([verge(), "check", "-c", str(config), "--listen", "0"], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if " local: " in line]
    assert lines, done.stdout + done.stderr
    for line in lines:
        for type_name in ("Error", "Unknown", "BadSignature", "Other(", "os error"):
            assert type_name not in line, line
    return lines


FILES = {
    "bom": ("ca.crt", "bom.crt", "local.ca: {0}/bom.crt begins with a byte order mark"),
    "der": ("ca.crt", "good.der", "openssl x509 -inform der -in {0}/good.der"),
    "p12": ("ca.crt", "good.p12", "is a PKCS#12 container"),
    "empty": ("ca.crt", "empty.crt", "local.ca: {0}/empty.crt is empty"),
    "missing": ("ca.crt", "none.crt", "local.ca: there is no file {0}/none.crt"),
    "swapped": ("ca.crt", "srv.key", "is a private key, expected a certificate"),
}


@pytest.mark.parametrize("case", FILES)
def test_authorities_that_cannot_be_read_are_named(certs: Path, case: str) -> None:
    _, ca, expected = FILES[case]
    (line,) = check(certs, 1, ca)
    assert expected.format(certs) in line


IDENTITIES = {
    "other": ("good.crt", "other.key", "local.key: {0}/other.key is not the key of {0}/good.crt"),
    "missing key": ("good.crt", "none.key", "local.key: there is no file {0}/none.key"),
    "missing certificate": ("none.crt", "srv.key", "local.cert: there is no file {0}/none.crt"),
    "encrypted": ("good.crt", "encrypted.key", "local.key: {0}/encrypted.key is encrypted"),
    "version 1": ("v1.crt", "srv.key", "local.cert: {0}/v1.crt is a certificate of X.509 version 1"),
}


@pytest.mark.parametrize("case", IDENTITIES)
def test_identities_that_cannot_be_used_are_named(certs: Path, case: str) -> None:
    cert, key, expected = IDENTITIES[case]
    lines = check(certs, 1, "ca.crt", f'cert = "{cert}"\nkey = "{key}"')
    assert expected.format(certs) in lines[-1]


SERVERS = {
    "v1": ("ca.crt", "is of X.509 version 1"),
    "self": ("self.crt", "`verge certs issue localhost --usage server`"),
    "cn": ("ca.crt", "it carries a name in its subject only (CN localhost)"),
    "client": ("ca.crt", "was made for clients (clientAuth)"),
    "good": ("self.crt", "CN=localhost is signed by CN=plant, and CN=localhost (sha256 "),
}


@pytest.fixture
def broker(certs: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """A mosquitto with the certificate of this name; its port."""
    rules = (f"certfile {certs}/{request.param}.crt", f"keyfile {certs}/srv.key")
    made = Mosquitto(tmp_path, "the site's broker", [Listener()], rules=rules).start()
    try:
        yield made.port
    finally:
        made.stop()


@pytest.mark.parametrize(("broker", "case"), [(name, name) for name in SERVERS], indirect=["broker"])
def test_servers_that_are_not_believed_are_distinguished(certs: Path, broker: int, case: str) -> None:
    ca, expected = SERVERS[case]
    tcp, tls = check(certs, broker, ca)
    assert tcp.startswith("ok"), tcp
    assert tls.startswith("FAILED") and expected in tls, tls


@pytest.mark.parametrize("broker", ["good"], indirect=True)
def test_a_good_certificate_is_believed(certs: Path, broker: int) -> None:
    assert all(line.startswith("ok") for line in check(certs, broker, "ca.crt"))
