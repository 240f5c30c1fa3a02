"""A client of OPC UA: asyncua, with certificates of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asyncua import Client, Node, ua
from asyncua.crypto import security_policies
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from peers import HOST

NAMESPACE = "urn:verge:verdicts"
POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
UNCERTAIN = 0x4090_0000
# The library says of a queue of one that it overflowed; what a status means stands in its upper half.
MEANING = 0xFFFF_0000


async def made_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of a client, and its key."""
    key, certificate = folder / f"{name}.pem", folder / f"{name}.der"
    use, names = [ExtendedKeyUsageOID.CLIENT_AUTH], {"commonName": name}
    await setup_self_signed_certificate(key, certificate, f"urn:test:{name}", HOST, use, names)
    return certificate, key


class UaClient:
    """A connection, and what it is sent."""

    def __init__(self, port: int) -> None:
        self.client = Client(f"opc.tcp://{HOST}:{port}/", timeout=20)
        self.values: list[tuple[str, ua.DataValue]] = []
        self.events: list[Any] = []
        self.index = 0

    async def node(self, path: str) -> Node:
        return self.client.get_node(ua.NodeId(path, self.index))

    async def read(self, path: str) -> ua.DataValue:
        """A value whatever its status."""
        return await (await self.node(path)).read_data_value(raise_on_bad_status=False)

    async def value(self, path: str) -> Any:
        return (await self.read(path)).Value.Value

    async def status(self, path: str) -> int:
        return meaning(await self.read(path))

    # What asyncua calls.
    def datachange_notification(self, node: Node, _value: object, data: Any) -> None:
        self.values.append((str(node.nodeid.Identifier), data.monitored_item.Value))

    def event_notification(self, event: Any) -> None:
        self.events.append(event)

    async def follow(self, *paths: str, **how: Any) -> None:
        """Subscribes to variables, and to events."""
        subscription = await self.client.create_subscription(100, self)
        for path in paths:
            await subscription.subscribe_data_change(await self.node(path), **({"queuesize": 50} | how))
        await subscription.subscribe_events(queuesize=100)

    def seen(self, path: str) -> list[ua.DataValue]:
        return [value for known, value in self.values if known == path]


def meaning(value: ua.DataValue) -> int:
    """The status of a value, without its details."""
    return (value.StatusCode.value if value.StatusCode else 0) & MEANING


@contextlib.asynccontextmanager
async def connected(
    port: int,
    certificate: tuple[Path, Path],
    name: str,
    user: tuple[str, str] | None = None,
    policy: str = POLICIES[0],
    mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
) -> AsyncIterator[UaClient]:
    """A client with a certificate, and a user where one is given."""
    peer = UaClient(port)
    peer.client.application_uri = f"urn:test:{name}"
    kind = getattr(security_policies, f"SecurityPolicy{policy}")
    await peer.client.set_security(kind, str(certificate[0]), str(certificate[1]), mode=mode)
    if user:
        peer.client.set_user(user[0])
        peer.client.set_password(user[1])
    async with peer.client:
        peer.index = await peer.client.get_namespace_index(NAMESPACE)
        yield peer


async def until(condition: Any, what: str, seconds: float = 20.0) -> None:
    """Waits for a condition, which may be awaited."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        outcome = condition()
        if asyncio.iscoroutine(outcome):
            outcome = await outcome
        if outcome:
            return
        assert asyncio.get_running_loop().time() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)
