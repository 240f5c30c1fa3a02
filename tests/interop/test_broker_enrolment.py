"""Devices that get their certificates themselves: by openssl and curl as the documentation says, and by `verge certs enrol`."""

import base64
import datetime
import ipaddress
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker_site import HOST, Site, pump_site
from certificates import Certificates
from peers import free_port
from programs import tool, verge
from scene import Scene
from waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
READING = ["-q", "1", "-t", "plant/pump-9/vibration", "-m", "9.5"]


@dataclass
class Enrolling:
    """A gateway with an authority, and a device that has only the authority's certificate."""

    site: Site
    certificates: Certificates
    url: str
    device: Path

    def run(self, *command: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, cwd=self.device, input=stdin, capture_output=True, timeout=30, check=False)

    def openssl(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        done = self.run(tool("openssl"), *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def request(self, name: str) -> None:
        """As docs/broker.md has it."""
        key = ["-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]
        self.openssl("req", *key, "-subj", f"/CN={name}", "-out", f"{name}.csr")

    def curl(self, operation: str, *arguments: str) -> tuple[int, bytes]:
        """Status and body."""
        asked = [tool("curl"), "-sS", "--cacert", "ca.pem", "-w", "\n%{http_code}", *arguments]
        done = self.run(*asked, f"{self.url}/.well-known/est/{operation}")
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    def enrol(self, name: str, token: str, request: str) -> tuple[int, bytes]:
        """simpleenroll."""
        posted = ["-H", "Content-Type: application/pkcs10", "--data-binary", f"@{request}"]
        return self.curl("simpleenroll", "--user", f"{name}:{token}", *posted)

    def certificate(self, pkcs7: bytes, file: str) -> None:
        """Out of what was answered."""
        pem = self.openssl("pkcs7", "-inform", "DER", "-print_certs", stdin=base64.b64decode(pkcs7))
        (self.device / file).write_bytes(pem)

    def token(self, name: str, *arguments: str) -> str:
        made = self.run(verge(), "certs", "token", name, "--dir", str(self.certificates.folder), *arguments)
        assert made.returncode == 0, made.stderr
        return made.stdout.decode().split("\n", 1)[0]

    def publishes(self, name: str, key: str) -> bool:
        """Whether the broker takes the certificate."""
        files = ["--cafile", "ca.pem", "--cert", f"{name}.pem", "--key", key]
        done = self.run(tool("mosquitto_pub"), "-h", HOST, "-p", str(self.site.port), *files, "-i", "pump-9", *READING)
        return done.returncode == 0


@pytest.fixture(name="enrolling")
def _enrolling(tmp_path: Path) -> Iterator[Enrolling]:
    # An authority of its own: its tokens are this test's.
    certificates = Certificates.make(tmp_path / "authority")
    port = free_port()
    own = Scene(tmp_path, certificates)
    device = tmp_path / "pump-9"
    device.mkdir()
    (device / "ca.pem").write_bytes(certificates.ca.read_bytes())
    try:
        local = {"enrol": f"{HOST}:{port}", "authority": str(certificates.folder)}
        with pump_site(own.open(), tmp_path / "site", **local) as site:
            yield Enrolling(site, certificates, f"https://{HOST}:{port}", device)
    finally:
        print(own.logs())
        own.close()


def test_a_device_enrols_with_openssl_and_curl(enrolling: Enrolling) -> None:
    status, body = enrolling.curl("cacerts")
    assert status == 200
    known = enrolling.openssl("pkcs7", "-inform", "DER", "-print_certs", stdin=base64.b64decode(body))
    assert base64.b64decode(b"".join(known.split(b"-----")[2].split())) == base64.b64decode(
        b"".join((enrolling.device / "ca.pem").read_bytes().split(b"-----")[2].split())
    )
    assert enrolling.curl("csrattrs")[0] == 204
    token = enrolling.token("pump-9")
    stored = (enrolling.certificates.folder / "enrol.tokens").read_text()
    assert token not in stored and "pump-9" in stored
    enrolling.request("pump-9")
    enrolling.request("pump-8")
    assert enrolling.enrol("pump-9", "wrong", "pump-9.csr")[0] == 401
    assert enrolling.enrol("pump-8", token, "pump-8.csr")[0] == 401, "another's name"
    assert enrolling.enrol("pump-9", token, "pump-8.csr")[0] == 400, "a request for another"
    assert enrolling.enrol("pump-9", token, "ca.pem")[0] == 400, "no request"
    status, body = enrolling.enrol("pump-9", token, "pump-9.csr")
    assert status == 200
    enrolling.certificate(body, "pump-9.pem")
    assert enrolling.enrol("pump-9", token, "pump-9.csr")[0] == 401, "once"
    assert enrolling.publishes("pump-9", "pump-9.key")
    wait_for(lambda: enrolling.site.verdicts("pump-9") > 0, "the reading is judged")
    # The next one, by the one before; in the form that the standard has.
    der = enrolling.openssl("req", "-in", "pump-9.csr", "-outform", "DER")
    (enrolling.device / "pump-9.b64").write_bytes(base64.encodebytes(der))
    posted = ["-H", "Content-Type: application/pkcs10", "--data-binary", "@pump-9.b64"]
    shown = ["--cert", "pump-9.pem", "--key", "pump-9.key"]
    assert enrolling.curl("simplereenroll", *posted)[0] == 403, "nobody"
    status, body = enrolling.curl("simplereenroll", *shown, *posted)
    assert status == 200
    before = (enrolling.device / "pump-9.pem").read_bytes()
    enrolling.certificate(body, "pump-9.pem")
    assert (enrolling.device / "pump-9.pem").read_bytes() != before
    assert enrolling.publishes("pump-9", "pump-9.key")
    log = enrolling.site.gateway.whole_log()
    assert "a certificate was given out by a token" in log and token not in log


def test_the_commands_of_the_documentation_are_good_as_they_stand(enrolling: Enrolling) -> None:
    text = (ROOT / "docs" / "broker.md").read_text()
    (block,) = re.findall(r"^    openssl req -new .*-nodes -keyout pump-1\.key.*\n    curl(?:.|\n    )*", text, re.MULTILINE)
    commands = block.replace("https://gateway.plant:8443", enrolling.url).replace("TOKEN", enrolling.token("pump-1"))
    done = enrolling.run("bash", "-euo", "pipefail", "-c", commands)
    assert done.returncode == 0, done.stderr
    assert enrolling.openssl("verify", "-CAfile", "ca.pem", "pump-1.pem").strip() == b"pump-1.pem: OK"


def test_a_device_enrols_and_renews_with_verge(enrolling: Enrolling) -> None:
    token = enrolling.token("pump-9", "--days", "3")
    asked = [verge(), "certs", "enrol", "pump-9", "--url", enrolling.url, "--ca", "ca.pem"]
    done = enrolling.run(*asked, stdin=b"wrong\n")
    assert done.returncode != 0 and b"status 401" in done.stderr, done.stderr
    assert not (enrolling.device / "pump-9.key").exists()
    # All that `certs token` prints, as a pipe has it.
    done = enrolling.run(*asked, stdin=f"{token}\nvalid for 3 days, once\n".encode())
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"3 days" in done.stdout or b"2 days" in done.stdout, done.stdout
    assert (enrolling.device / "pump-9.key").stat().st_mode & 0o777 == 0o600
    assert enrolling.publishes("pump-9", "pump-9.key")
    again = enrolling.run(*asked, stdin=token.encode())
    assert again.returncode != 0 and b"--renew" in again.stderr
    before = (enrolling.device / "pump-9.pem").read_bytes()
    done = enrolling.run(*asked, "--renew")
    assert done.returncode == 0, done.stderr
    assert (enrolling.device / "pump-9.pem").read_bytes() != before
    assert enrolling.publishes("pump-9", "pump-9.key")


def test_guesses_are_slowed_down_and_check_says_that_enrolment_is_on(enrolling: Enrolling) -> None:
    token = enrolling.token("pump-9")
    enrolling.request("pump-9")
    seen = [enrolling.enrol("pump-9", f"{number:040x}", "pump-9.csr")[0] for number in range(11)]
    assert seen == [401] * 10 + [429]
    assert enrolling.enrol("pump-9", token, "pump-9.csr")[0] == 429, "whoever guesses waits a minute"
    checked = enrolling.site.gateway.check("--offline")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "enrolment" in checked.stdout and "1 token is open" in checked.stdout, checked.stdout


def test_a_revoked_certificate_is_not_renewed(scene: Scene, tmp_path: Path) -> None:
    certificates, port = scene.certificates, free_port()
    denied = tmp_path / "denied"
    denied.write_text("")
    local = {"enrol": f"{HOST}:{port}", "authority": str(certificates.folder), "deny_file": str(denied)}
    with pump_site(scene, tmp_path, **local) as site:
        device = tmp_path / "pump-7"
        device.mkdir()
        (device / "ca.pem").write_bytes(certificates.ca.read_bytes())
        enrolling = Enrolling(site, certificates, f"https://{HOST}:{port}", device)
        cert, key = site.identity("pump-7")
        enrolling.request("pump-7")
        asked = ["--cert", str(cert), "--key", str(key), "--data-binary", "@pump-7.csr"]
        assert enrolling.curl("simplereenroll", *asked)[0] == 200
        serial = enrolling.openssl("x509", "-in", str(cert), "-noout", "-serial").decode().strip().split("=")[1]
        denied.write_text(f"{serial.lower()}\n")

        def is_refused() -> bool:
            done = enrolling.run(
                tool("curl"), "-s", "--cacert", "ca.pem", *asked, f"{enrolling.url}/.well-known/est/simplereenroll"
            )
            # Of TLS: an alert within the handshake, or right behind it.
            assert done.returncode in (0, 35, 56), done
            return done.returncode != 0

        wait_for(is_refused, "the handshake is refused", 30)
        assert enrolling.curl("cacerts")[0] == 200, "others are served"
        wait_for(lambda: "a device's certificate was refused" in site.gateway.whole_log(), "the log says so", 10)


def test_a_connection_ends_with_its_answer(enrolling: Enrolling) -> None:
    context = ssl.create_default_context(cafile=str(enrolling.device / "ca.pem"))
    asked = f"GET /.well-known/est/csrattrs HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    port = int(enrolling.url.rsplit(":", 1)[1])
    with (
        socket.create_connection((HOST, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        connection.sendall(asked + asked)
        answered = b""
        while part := connection.recv(4096):
            answered += part
        assert answered.count(b"HTTP/1.1 204") == 1, answered
        assert not connection.session_reused


def test_of_two_that_come_with_one_token_one_gets_a_certificate(enrolling: Enrolling) -> None:
    token = enrolling.token("pump-9")
    enrolling.request("pump-9")
    with ThreadPoolExecutor(2) as both:
        asked = [both.submit(enrolling.enrol, "pump-9", token, "pump-9.csr") for _ in range(2)]
        assert sorted(one.result()[0] for one in asked) == [200, 401]


def ends_soon(certificates: Certificates, name: str, host: str) -> None:
    """A certificate in its last third, for a gateway's listener."""
    now = datetime.datetime.now(datetime.UTC)
    authority = x509.load_pem_x509_certificate(certificates.ca.read_bytes())
    signer = serialization.load_pem_private_key((certificates.folder / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(host))]
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    (certificates.folder / f"{name}.pem").write_bytes(made.public_bytes(pem))
    private = certificates.folder / f"{name}.key"
    private.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    private.chmod(0o600)


def test_a_gateway_renews_its_own_certificate_before_it_ends(tmp_path: Path) -> None:
    certificates, port = Certificates.make(tmp_path / "authority"), free_port()
    ends_soon(certificates, "listener", HOST)
    cert = certificates.folder / "listener.pem"
    before = x509.load_pem_x509_certificate(cert.read_bytes())
    own = Scene(tmp_path, certificates)
    local = {
        "enrol": f"{HOST}:{port}",
        "authority": str(certificates.folder),
        "cert": str(cert),
        "key": str(certificates.folder / "listener.key"),
    }
    more = {"renew_at": f"https://{HOST}:{port}", "renew_ca": str(certificates.ca)}
    try:
        with pump_site(own.open(), tmp_path / "site", more, **local) as site:

            def shown() -> x509.Certificate:
                return x509.load_pem_x509_certificate(ssl.get_server_certificate((HOST, site.port)).encode())

            assert shown().serial_number == before.serial_number
            wait_for(lambda: cert.read_bytes() != before.public_bytes(serialization.Encoding.PEM), "it is renewed", 30)
            renewed = x509.load_pem_x509_certificate(cert.read_bytes())
            assert renewed.not_valid_after_utc > before.not_valid_after_utc + datetime.timedelta(days=7)
            names = x509.SubjectAlternativeName
            assert renewed.extensions.get_extension_for_class(names).value == before.extensions.get_extension_for_class(names).value
            wait_for(lambda: shown().serial_number == renewed.serial_number, "the listener shows it", 90)
            assert "the certificate was renewed" in site.gateway.whole_log()
    finally:
        print(own.logs())
        own.close()
