"""Orders about models that come twice, and packages that wait for each other: duplicates, slow and silent web services, rates."""

import json
import time
from pathlib import Path

import pytest

from certificates import Certificates
from clients import Device
from life import NAME
from models import sha256
from programs import is_full
from scene import GATEWAY_ID, PREFIX
from test_model_transport import Far, Files, far, served
from waiting import wait_for

# The fixture is used by its name.
__all__ = ["far"]

whole_turns = pytest.mark.skipif(not is_full(), reason="a turn takes half a minute: VERGE_FULL=1")


def order(far: Far, id_: str, again: int = 0, **command: str) -> list[dict]:
    """Gives an order, as often as that more, under one id; the answers that came to it now."""
    before, publisher = len(far.answers(id_)), Device(far.broker.listeners[0], "centre")
    payload, asked = json.dumps({"id": id_, **command}).encode(), 0.0

    def are_answered() -> bool:
        nonlocal asked
        # A gateway that has just started may not have subscribed yet.
        if time.monotonic() > asked + 10:
            asked = time.monotonic()
            for _ in range(1 + again):
                publisher.publish_raw(f"{PREFIX}/{GATEWAY_ID}/cmd", payload, qos=1)
        return len(far.answers(id_)) >= before + 1 + again

    wait_for(are_answered, "each is answered", 60)
    publisher.close()
    return far.answers(id_)[before : before + 1 + again]


def start_again(far: Far) -> None:
    """Starts the gateway, to where it takes orders."""
    before = len(far.receiver().statuses())
    far.gateway.start()
    wait_for(lambda: any(one["state"] == "online" for one in far.receiver().statuses()[before:]), "it is online", 30)


def staged(far: Far, version: int, *more: str) -> Path:
    package = far.life.sign(version)
    done = far.push(package, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return package


def test_an_order_that_comes_twice_is_carried_out_once(far: Far) -> None:
    far.start()
    for version in (1, 2):
        staged(far, version)
        (done,) = order(far, f"p{version}", command="promote", name=NAME)
        assert done["ok"] and "repeated" not in done, done
    staged(far, 3)
    (done,) = order(far, "shadow", command="promote", name=NAME, stage="shadow")
    assert done["ok"] and far.ls()["stage"] == "shadow"
    # The first ends the trial; a second one would put version 1 in use.
    done = order(far, "back", again=3, command="rollback", name=NAME)
    assert [one["ok"] for one in done] == [True] * 4 and [one.get("repeated", False) for one in done] == [False, True, True, True]
    assert (far.ls()["active"]["version"], far.ls()["candidate"]) == ("2", None)
    # Also to one that was killed in between.
    far.gateway.kill()
    start_again(far)
    (done,) = order(far, "back", command="rollback", name=NAME)
    assert done["repeated"] and done["report"]["candidate"] is None and far.ls()["active"]["version"] == "2", done
    # An old promotion does not promote what has come since.
    staged(far, 4)
    (done,) = order(far, "p2", command="promote", name=NAME)
    assert done["repeated"] and (far.ls()["active"]["version"], far.ls()["candidate"]["version"]) == ("2", "4"), done
    # Another id is another order, and so is another word.
    (done,) = order(far, "p2", command="promote", name=NAME, stage="shadow")
    assert done["ok"] and "repeated" not in done and far.ls()["stage"] == "shadow", done
    (done,) = order(far, "back-2", command="rollback", name=NAME)
    assert done["ok"] and far.ls()["candidate"] is None
    (done,) = order(far, "back-3", command="rollback", name=NAME)
    assert done["ok"] and far.ls()["active"]["version"] == "1"
    known = json.loads((far.gateway.state_dir / "models" / "orders.json").read_text())
    assert {one["key"]["id"] for one in known} >= {"p1", "p2", "back", "back-2", "back-3"}


def test_an_order_killed_before_its_answer_is_about_the_version_that_it_meant(far: Far) -> None:
    far.start()
    for version in (1, 2):
        staged(far, version)
        order(far, f"p{version}", command="promote", name=NAME)
    order(far, "back", command="rollback", name=NAME)
    assert far.ls()["active"]["version"] == "1"
    far.gateway.stop()
    # As a gateway leaves it that was killed once the command was done, and before it knew.
    path = far.gateway.state_dir / "models" / "orders.json"
    path.write_text(json.dumps([one | {"done": None} if one["key"]["id"] == "back" else one for one in json.loads(path.read_text())]))
    start_again(far)
    (done,) = order(far, "back", command="rollback", name=NAME)
    assert done["ok"] and done["report"]["changed"] is False, done
    assert (far.ls()["active"]["version"], far.ls()["previous"]) == ("1", None)
    # The commands of a shell name the version, too.
    run = lambda *words: far.gateway.run("model", *words, "-c", str(far.gateway.configuration))  # noqa: E731
    done = run("rollback", NAME, "--from", "7-0123456789ab")
    assert done.returncode == 0 and "neither on trial nor in use" in done.stdout, done.stdout + done.stderr
    staged(far, 3)
    done = run("promote", NAME, "--candidate", "7-0123456789ab")
    assert done.returncode == 0 and "is not the candidate, but 3-" in done.stdout, done.stdout + done.stderr
    assert far.ls()["candidate"]["version"] == "3"


def offer(far: Far, package: Path, url: str) -> dict:
    """Offers a package at a web service."""
    bytes_ = package.stat().st_size
    answer = far.command(command="offer", name=NAME, bytes=bytes_, hash=sha256(package), url=url)
    assert answer["ok"], answer
    return answer


def test_a_rate_is_kept_where_a_service_knows_no_ranges(far: Far, certificates: Certificates) -> None:
    package = far.life.sign(1, padding=1 << 20)
    content = package.read_bytes()
    rate = 256 << 10
    with served(content, certificates, known=False, breaks=[len(content) * 3 // 4]) as below:
        far.start(**{"from": [below], "ca": str(certificates.ca), "rate": "256 KiB"})
        offer(far, package, f"{below}a.vmodel")
        wait_for(lambda: len(Files.ranges) == 2, "it is asked for again", 60)
        # All of it comes again; three quarters are here already, and are read no faster than the last one.
        began = time.monotonic()
        assert int(Files.ranges[1].removeprefix("bytes=").split("-")[0]) > len(content) // 2
        wait_for(lambda: far.ls()["candidate"], "the candidate", 90)
        took = time.monotonic() - began
    assert took >= 0.8 * len(content) / rate, f"{len(content)} bytes in {took:.1f} s"


@whole_turns
@pytest.mark.parametrize("how", ["slow", "silent"])
def test_no_package_waits_for_a_slow_service(far: Far, certificates: Certificates, how: str) -> None:
    first, second = far.life.sign(1, padding=1 << 18), far.life.sign(2)
    content = first.read_bytes()
    # A server of which hardly anything comes, or nothing at all.
    pause, piece = (0.5, 64) if how == "slow" else (20.0, 1)
    with served(content, certificates, trickle=(pause, piece)) as below:
        far.start(**{"from": [below], "ca": str(certificates.ca)})
        offer(far, first, f"{below}a.vmodel")
        wait_for(lambda: Files.ranges, "it is asked for", 30)
        began = time.monotonic()
        done = far.push(second)
        assert done.returncode == 0, done.stdout + done.stderr
        print(f"\n{how}: the second package is here after {time.monotonic() - began:.0f} s")
        assert far.ls()["candidate"]["version"] == "2"
        if how == "slow":
            # It goes on where it was, once the service does.
            Files.trickle = None
            wait_for(lambda: (far.ls()["candidate"] or {}).get("version") == "1", "the first one", 120)
            begins = [int(one.removeprefix("bytes=").split("-")[0]) for one in Files.ranges]
            assert begins == sorted(begins) and begins[-1] > 0, begins


@whole_turns
def test_a_slow_service_without_ranges_comes_to_its_end(far: Far, certificates: Certificates) -> None:
    """Its package takes longer than a turn, and begins anew in each."""
    package, pieces = far.life.sign(1, padding=1 << 18), 100
    content = package.read_bytes()
    with served(content, certificates, known=False, trickle=(0.45, len(content) // pieces + 1)) as below:
        far.start(**{"from": [below], "ca": str(certificates.ca)})
        answer = offer(far, package, f"{below}a.vmodel")
        wait_for(lambda: Files.ranges, "it is asked for", 30)
        # Of another one nothing comes: it waits for its turn again and again.
        silent = far.command(command="offer", name=NAME, bytes=9, hash="22" * 32)
        assert silent["ok"], silent
        wait_for(lambda: len(Files.ranges) == 2, "it begins anew", 120)
        assert far.result(answer["id"])["state"] == "staged"
        assert len(Files.ranges) == 2, Files.ranges


def test_no_package_waits_for_a_service_that_is_not_there(far: Far) -> None:
    below = "http://127.0.0.1:1/models/"
    far.start(**{"from": [below]})
    offer(far, far.life.sign(1), f"{below}a.vmodel")
    done = far.push(far.life.sign(2), wait=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.ls()["candidate"]["version"] == "2"
    digest = sha256(far.life.folder / f"{NAME}-1.vmodel")
    why = lambda: "tried again" in far.gateway.whole_log() and digest in far.gateway.whole_log()  # noqa: E731
    wait_for(why, "the log says why the first one does not come", 60)
    if is_full():
        # The next status is half a minute away.
        waits = lambda: [one for one in far.offers().get("packages", []) if one["sha256"] == digest and one.get("error")]  # noqa: E731
        wait_for(waits, "the status says so, too", 60)
    # Nobody fetches it any more where upstream may not.
    incoming = far.gateway.state_dir / "models" / "incoming"
    assert list(incoming.glob("*.json"))
    far.gateway.stop()
    far.gateway.settings["models"]["upstream"] = False
    far.gateway.start()
    wait_for(lambda: not list(incoming.glob("*")), "nothing is left of it", 30)
