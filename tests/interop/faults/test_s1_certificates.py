"""S1: certificates that must be refused, and identifiers that are another device's: none of them reads a topic."""

import contextlib
import datetime
import ssl
from pathlib import Path

import pytest

from broker_site import Site, pump_site
from certificates import Identity
from figures import Figures
from others import device_context
from programs import is_full
from scene import Scene
from tls_device import connect, connect_packet, context, exactly, secured, subscribe_packet
from waiting import wait_for
from x509 import DAY, SERVER, Authority

VICTIM = "pump-1"
TOPIC = f"plant/{VICTIM}/cmd/secret"
HOUR = datetime.timedelta(hours=1)


def identities(site: Site, folder: Path) -> dict[str, Identity | None]:
    """Certificates that must not be let in."""
    folder.mkdir()
    ours, other = Authority.of(site.certificates.folder), Authority.make("another authority")
    # It calls itself as ours does.
    namesake = Authority.make(ours.cert.subject.rfc4514_string().removeprefix("CN="))
    with_chain = other.issue(folder, VICTIM, file="chain")
    with_chain.cert.write_bytes(with_chain.cert.read_bytes() + other.pem)
    return {
        "none": None,
        "another authority": other.issue(folder, VICTIM, file="other"),
        "another authority, its certificate sent along": with_chain,
        "another authority of the same name": namesake.issue(folder, VICTIM, file="namesake"),
        "expired": ours.issue(folder, VICTIM, begins=-30 * DAY, ends=-HOUR, file="expired"),
        "not yet valid": ours.issue(folder, VICTIM, begins=HOUR, ends=30 * DAY, file="future"),
        "a server's": ours.issue(folder, VICTIM, SERVER, file="server"),
        "the gateway's own": site.certificates.broker,
    }


def read(tls: ssl.SSLContext, site: Site, client_id: str, five: bool, session: ssl.SSLSession | None = None) -> bytes:
    """Everything that comes back to a client that connects and subscribes at once; nothing where TLS refuses it."""
    answer = b""
    # TLS 1.3 reports the refusal at the first read.
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        with secured(tls, site.port, timeout=3, session=session) as stream:
            stream.sendall(connect_packet(client_id, 60, five) + subscribe_packet([TOPIC, "#"], 1, five))
            try:
                while more := stream.recv(4096):
                    answer += more
            except TimeoutError:
                # Who is let in is answered, and not closed.
                if not answer:
                    raise
    return answer


@pytest.mark.parametrize("five", [False, True], ids=["3.1.1", "5"])
def test_no_certificate_but_its_own_reads_a_devices_topics(scene: Scene, tmp_path: Path, figures: Figures, five: bool) -> None:
    with pump_site(scene, tmp_path) as site:
        victim = device_context(site, VICTIM)
        assert victim is not None
        bad = identities(site, tmp_path / "bad")
        for name, identity in bad.items():
            answer = read(context(site.certificates.ca, identity), site, VICTIM, five)
            assert answer == b"", f"{name}: {answer.hex()}"
        # The device itself by an older TLS, and by a ticket from before its certificate ended.
        old = device_context(site, VICTIM)
        assert old is not None
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert read(old, site, VICTIM, five) == b""
        if is_full():
            ended = Authority.of(site.certificates.folder).issue(tmp_path, VICTIM, ends=datetime.timedelta(seconds=5), file="short")
            tls = context(site.certificates.ca, ended)
            with connect(tls, site.port, VICTIM) as stream:
                ticket = stream.session  # type: ignore[attr-defined]
            wait_for(lambda: read(context(site.certificates.ca, ended), site, VICTIM, five) == b"", "it has expired", 15)
            assert read(tls, site, VICTIM, five, ticket) == b"", "by a ticket"
        # A good certificate, and another device's identifier: an answer that says so, and no SUBACK.
        thief = device_context(site, "pump-2")
        assert thief is not None
        claimed = (VICTIM, f"{VICTIM}:2", "PUMP-2", "pump-2x", "@verge-interop-1")
        for client_id in claimed:
            answer = read(thief, site, client_id, five)
            if five:
                assert answer[0] == 0x20 and answer[3] == 0x85 and len(answer) == answer[1] + 2, (client_id, answer)
            else:
                assert answer == b"\x20\x02\x00\x02", (client_id, answer)
        # As itself it is let in, and may not read the other's topic.
        with connect(thief, site.port, "pump-2") as stream:
            stream.sendall(subscribe_packet([TOPIC, "plant/#", "#", f"$share/g/{TOPIC}", "plant/pump-2/cmd/#"]))
            assert exactly(stream, 9) == b"\x90\x07\x00\x01\x80\x80\x80\x80\x01"
        # And the device itself may: what was refused was not refused for another reason.
        with connect(victim, site.port, VICTIM) as stream:
            stream.sendall(subscribe_packet([TOPIC]))
            assert exactly(stream, 5) == b"\x90\x03\x00\x01\x01"
        figures.note("S1", version=5 if five else 3, refused_in_tls=len(bad), refused_identifiers=len(claimed))
