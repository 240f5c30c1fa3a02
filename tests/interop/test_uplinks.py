"""Uplinks through brokers with rules: what they forbid is found out, and what they drop is not called delivered."""

from pathlib import Path

from counting import SOURCE, Numbers, check_numbers, judges
from gateway import Gateway, Settings
from peers import Login, Mosquitto
from scene import Scene
from waiting import wait_for

LOGIN = Login("verge", "of the centre")
FORBIDS = "user verge\ntopic readwrite other/#\n"
ALLOWS = "user verge\ntopic readwrite verge/#\n"
DROPPED = "acknowledged but not arrived"


def uplink_to(scene: Scene, broker: Mosquitto, **changes: object) -> Settings:
    """A section [uplink.*] to a broker without TLS."""
    given: Settings = {"url": broker.url, "insecure_plaintext": True}
    if broker.listeners[0].login:
        password = scene.folder / "centre.password"
        password.write_text(broker.listeners[0].login.password)
        given |= {"username": broker.listeners[0].login.username, "password_file": str(password)}
    return given | changes


def delivered(gateway: Gateway) -> list[str]:
    """What the store knows of the route."""
    lines = gateway.run("outbox", "ls", "-c", str(gateway.configuration)).stdout.splitlines()
    return next(line.split()[1:4] for line in lines if line.startswith("centre "))


def publish(scene: Scene, first: int, last: int) -> None:
    """Numbers that each make a verdict."""
    device = scene.device(f"device-{first}")
    for number in range(first, last + 1):
        device.publish("numbers/counter/value", str(number))
    device.flush()


def test_what_an_acl_drops_is_not_delivered_and_arrives_when_it_is_allowed(scene_without_upstream: Scene) -> None:
    scene = scene_without_upstream
    acl = scene.folder / "acl"
    acl.write_text(FORBIDS)
    broker = scene.other_upstream(f"acl_file {acl}", login=LOGIN)
    receiver = scene.receiver_at(broker)
    gateway = scene.gateway(SOURCE, judges("verdict"), centre=uplink_to(scene, broker))
    done = gateway.check("--listen", "0")
    assert DROPPED in done.stdout and "echo = false" in done.stdout, done.stdout
    scene.start(gateway)
    publish(scene, 1, 100)
    wait_for(lambda: DROPPED in gateway.whole_log(), "the gateway notices", 60)
    assert delivered(gateway) == ["0", "0", "0"]
    assert not receiver.ledger().verdicts
    acl.write_text(ALLOWS)
    broker.reload()
    receiver.wait_for_different(100, 120)
    check_numbers(receiver.ledger(), 100)
    wait_for(lambda: delivered(gateway)[1] == "100", "delivered", 30)
    wait_for(lambda: arrival(receiver.statuses()[-1], "verdict")["state"] == "proven", "the status says so", 60)


def test_a_broker_that_closes_at_what_it_forbids_is_named_and_used_when_it_allows_it(scene_without_upstream: Scene) -> None:
    scene = scene_without_upstream
    acl = scene.folder / "acl"
    acl.write_text(FORBIDS)
    broker = scene.other_upstream(f"acl_file {acl}", login=LOGIN, max_queued=0)
    receiver = scene.receiver_at(broker)
    gateway = scene.gateway(SOURCE, judges("verdict"), centre=uplink_to(scene, broker))
    scene.start(gateway)
    publish(scene, 1, 100)
    wait_for(lambda: "let this client publish" in gateway.whole_log(), "the gateway notices", 60)
    assert delivered(gateway) == ["0", "0", "0"]
    acl.write_text(ALLOWS)
    broker.reload()
    receiver.wait_for_different(100, 120)
    check_numbers(receiver.ledger(), 100)


def arrival(status: dict, channel: str) -> dict:
    """What a status says of the topic of a channel."""
    topics = status["routes"][0]["links"][0]["arrival"]
    return next(topic for topic in topics if topic["topic"].endswith(channel))


def test_messages_above_a_limit_are_cut(scene_without_upstream: Scene) -> None:
    scene = scene_without_upstream
    broker = scene.other_upstream("message_size_limit 2000")
    receiver = scene.receiver_at(broker, topics="+/verdict")
    uplink = uplink_to(scene, broker, format="json", status=False, batch={"max_verdicts": 6})
    scene.start(scene.gateway(SOURCE, judges("verdict"), centre=uplink))
    publish(scene, 1, 60)
    receiver.wait_for_different(60, 240)
    check_numbers(receiver.ledger(), 60)


def test_a_broker_without_retained_messages(scene_without_upstream: Scene) -> None:
    scene = scene_without_upstream
    broker = scene.other_upstream("retain_available false")
    receiver = scene.receiver_at(broker)
    gateway = scene.gateway(SOURCE, judges("alarm"), centre=uplink_to(scene, broker))
    done = gateway.check("--listen", "0")
    assert done.returncode == 0 and "uplink.centre.retain" in done.stdout, done.stdout
    scene.start(gateway)
    publish(scene, 1, 20)
    receiver.wait_for_different(20, 60)
    status = receiver.wait_for_status("online", 60)
    degraded = status["routes"][0]["links"][0]["degraded"]
    assert [service["service"] for service in degraded] == ["retain"], degraded


def test_all_on_one_topic(scene_without_upstream: Scene) -> None:
    scene = scene_without_upstream
    broker = scene.other_upstream()
    topic = "devices/{gateway}/messages/events/"
    gateway = scene.gateway(SOURCE, judges("alarm"), centre=uplink_to(scene, broker, topic=topic))
    done = gateway.check("--listen", "0")
    assert done.returncode == 0 and "devices/interop-1/messages/events/" in done.stdout, done.stdout
    scene.start(gateway)
    Numbers(scene.device(), 50)
    watched = gateway.run("watch", "-c", str(gateway.configuration), "--count", "5", "--json")
    assert watched.returncode == 0, watched.stderr
    assert '"verdicts":5' in watched.stderr.replace(" ", ""), watched.stderr


def test_a_password_that_changes_while_the_broker_is_away(scene_without_upstream: Scene, tmp_path: Path) -> None:
    scene = scene_without_upstream
    login = Login(LOGIN.username, "old")
    broker = scene.other_upstream(login=login)
    gateway = scene.gateway(SOURCE, judges("alarm"), centre=uplink_to(scene, broker))
    scene.start(gateway)
    wait_for(lambda: "connected upstream" in gateway.whole_log(), "connected upstream", 30)
    broker.stop()
    login.password = "new"
    (broker.folder / f"{login.username}.passwd").unlink()
    uplink_to(scene, broker)
    broker.start()
    receiver = scene.receiver_at(broker)
    publish(scene, 1, 20)
    receiver.wait_for_different(20, 60)
