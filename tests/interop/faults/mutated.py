"""MQTT packets that are changed at random and sent to a listener without TLS, a connection after the other, by several processes.

Each packet behind CONNECT is followed by PINGREQ: as many PINGRESP come back as packets were judged and let pass, and one more was
judged where fewer come back than went out. So what is counted was judged, whatever a changed length has swallowed.
"""

import multiprocessing
import random
import socket
from dataclasses import dataclass

from others import at_once
from tls_device import connect_packet, opened, packet, publish_packet, subscribe_packet, text

PINGREQ = b"\xc0\x00"
CONNACK, PINGRESP = b"\x20", 13
AT_ONCE = 8
# Packets behind one CONNECT.
BEHIND = 24
# Of all connections, how many begin with a packet that is changed.
BEFORE = 0.25


def packets(client_id: str, five: bool) -> list[bytes]:
    """Good ones of every type that a client sends, and some that only a broker does."""
    own, command = f"plant/{client_id}/vibration", f"plant/{client_id}/cmd/#"
    properties = b"\x00" if five else b""
    good = [
        publish_packet(own, b"1", 7, five),
        publish_packet(own, b"x" * 300, 8, five),
        packet(0x30, text(own) + properties + b"1"),
        packet(0x34, text(own) + b"\x00\x09" + properties + b"1"),
        packet(0x31, text(own) + properties + b"1"),
        subscribe_packet([command, f"plant/{client_id}/cmd/one", "#"], 3, five),
        subscribe_packet(["$share/g/" + command, "$SYS/#"], 4, five),
        packet(0xA2, b"\x00\x05" + properties + text(command)),
        b"\x40\x02\x00\x07",
        b"\x50\x02\x00\x09",
        b"\x62\x02\x00\x09",
        b"\x70\x02\x00\x09",
        PINGREQ,
        b"\x20\x02\x00\x00",
        b"\x90\x03\x00\x03\x01",
        b"\xb0\x02\x00\x05",
        b"\xd0\x00",
        b"\xf0\x00",
        connect_packet(client_id, 60, five),
    ]
    if five:
        good += [
            packet(0x32, text(own) + b"\x00\x07\x05\x02\x00\x00\x00\x3c" + b"1"),
            packet(0x30, text(own) + b"\x0a\x26\x00\x01a\x00\x03b\x00c" + b"1"),
            packet(0xE0, b"\x04\x05\x11\x00\x00\x00\x09"),
        ]
    return good


def connects(client_id: str) -> list[bytes]:
    """CONNECT of both versions, with a will and a login."""
    will = text(f"plant/{client_id}/vibration") + text("9")
    full = text("MQTT") + b"\x04\xce\x00\x3c" + text(client_id) + will + text("user") + text("password")
    properties = b"\x05\x11\x00\x00\x00\x3c"
    full_of_five = text("MQTT") + b"\x05\xce\x00\x3c" + properties + text(client_id) + b"\x00" + will + text("user") + text("secret")
    plain = [connect_packet(client_id, 60, five) for five in (False, True)]
    return [*plain, packet(0x10, full), packet(0x10, full_of_five), b"\x10\x0c\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"]


def changed(good: bytes, chance: random.Random) -> bytes:
    """One to three changes: a byte, one more, one less, a piece doubled, the end cut off."""
    bad = bytearray(good)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(bad)) if bad else 0
        match chance.randrange(6):
            case 0 | 1 if bad:
                bad[place] = chance.randrange(256)
            case 2:
                bad.insert(place, chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0x24, 0x23, 0x2B)))
            case 3 if bad:
                del bad[place]
            case 4:
                bad[place:place] = bad[place : place + chance.randint(1, 20)]
            case 5 if len(bad) > 2 and chance.random() < 0.3:
                del bad[place:]
            case _ if bad:
                bad[place] ^= 1 << chance.randrange(8)
    return bytes(bad)


@dataclass
class Sent:
    """What one process has sent and had judged."""

    before: int = 0
    behind: int = 0
    connections: int = 0


def pings(answer: bytes) -> int:
    """PINGRESPs in what came back."""
    count = at = 0
    while at + 1 < len(answer):
        length = shift = 0
        head = at + 1
        while head < len(answer):
            byte = answer[head]
            head += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        count += answer[at] >> 4 == PINGRESP
        at = head + length
    return count


def exchange(port: int, source: str, data: bytes) -> bytes:
    """Sends this, and takes what comes until the other end closes."""
    answer = b""
    with opened(port, source) as stream:
        try:
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            while more := stream.recv(65_536):
                answer += more
        except TimeoutError:
            # It is an OSError as well, and not one of those: the other end neither answers nor closes.
            raise
        except OSError:
            # What was still unread there resets the connection, at any of these steps.
            pass
    return answer


def drive(port: int, seed: int, number: int, wanted: int, mutate: bool, sent: Sent) -> None:
    """One thread of it."""
    chance = random.Random(seed * 1000 + number)
    done = 0
    while done < wanted:
        source = f"127.{seed % 200 + 10}.{number + 1}.{chance.randrange(1, 250)}"
        client_id, five = f"fuzz-{seed}-{number}-{chance.randrange(4)}", chance.random() < 0.5
        make = changed if mutate else (lambda good, _chance: good)
        if mutate and chance.random() < BEFORE:
            exchange(port, source, make(chance.choice(connects(client_id) + packets(client_id, five)), chance))
            sent.before += 1
            done += 1
        else:
            goods = packets(client_id, five)
            # Those that a good client sends and that end nothing.
            goods = goods if mutate else [goods[0], goods[1], goods[2], PINGREQ]
            blob = connect_packet(client_id, 60, five)
            for _ in range(BEHIND):
                blob += make(chance.choice(goods), chance) + PINGREQ
            answer = exchange(port, source, blob)
            # One that is not let in has had nothing judged.
            if answer.startswith(CONNACK):
                passed = min(pings(answer), BEHIND)
                judged = passed + (passed < BEHIND)
                sent.behind += judged
                done += judged
        sent.connections += 1
        assert sent.connections <= 2 * wanted + 100, "nobody is let in"


def work(port: int, seed: int, wanted: int, mutate: bool, out: "multiprocessing.Queue[tuple[int, int, int]]") -> None:
    """One process of it."""
    parts = [Sent() for _ in range(AT_ONCE)]
    share = -(-wanted // AT_ONCE)
    at_once(AT_ONCE, lambda number: drive(port, seed, number, share, mutate, parts[number]))
    out.put((sum(p.before for p in parts), sum(p.behind for p in parts), sum(p.connections for p in parts)))


def send(port: int, wanted: int, seed: int, mutate: bool = True, processes: int = 2) -> Sent:
    """Sends until that number was judged."""
    spawning = multiprocessing.get_context("spawn")
    out = spawning.Queue()
    share = -(-wanted // processes)
    workers = [spawning.Process(target=work, args=(port, seed + number, share, mutate, out)) for number in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(worker.exitcode == 0 for worker in workers), "a process has failed: its output says why"
    found = [out.get(timeout=10) for _ in workers]
    return Sent(*(sum(column) for column in zip(*found)))
