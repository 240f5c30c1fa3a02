"""Certificates for a test, made by `verge certs` itself."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from programs import verge


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """An authority, and one identity each for the broker, the gateway and the receiver."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        """Makes them all."""
        made = cls(folder)
        made._verge("init", "--dir", str(folder))
        made._verge("issue", "broker", "--dir", str(folder), "--usage", "server", "--name", "127.0.0.1")
        for client in ("gateway", "receiver"):
            made._verge("issue", client, "--dir", str(folder), "--usage", "client")
        return made

    @staticmethod
    def _verge(*arguments: str) -> None:
        done = subprocess.run([verge(), "certs", *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"verge certs {' '.join(arguments)} ends with {done.returncode}: {done.stderr}")

    def _identity(self, name: str) -> Identity:
        return Identity(self.folder / f"{name}.pem", self.folder / f"{name}.key")

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.pem"

    @property
    def broker(self) -> Identity:
        """Of the broker upstream; good for 127.0.0.1."""
        return self._identity("broker")

    @property
    def gateway(self) -> Identity:
        """Of the gateway."""
        return self._identity("gateway")

    @property
    def receiver(self) -> Identity:
        """Of the receiver."""
        return self._identity("receiver")
