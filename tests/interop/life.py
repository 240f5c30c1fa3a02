"""A gateway's configuration with a managed model, its publisher, and packages; no broker is needed."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from gateway import to_toml
from models import classifier, model
from programs import tool, verge

NAME = "parts"
LABELS = ["dark", "bright"]
SIDE = 32


def weights(version: int, padding: int = 0) -> onnx.ModelProto:
    """A classifier of brightness; each version has other weights. `padding`: bytes of weights that do nothing."""
    constants = [
        numpy_helper.from_array(np.array([1, 3], dtype=np.int64), "shape"),
        numpy_helper.from_array(np.array([[-1, 1], [-1, 1], [-1, 1]], dtype=np.float32) / 300, "direction"),
        numpy_helper.from_array(np.array([1.0 + version / 100, -1.0], dtype=np.float32), "middle"),
    ]
    if padding:
        noise = np.random.default_rng(version).standard_normal(padding // 4).astype(np.float32)
        constants.append(numpy_helper.from_array(noise, "noise"))
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
        helper.make_node("Reshape", ["mean", "shape"], ["colours"]),
        helper.make_node("Gemm", ["colours", "direction", "middle"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return model(nodes, ("picture", [1, 3, SIDE, SIDE]), ("probabilities", [1, 2]), constants)


@dataclass
class Life:
    """A folder with a configuration, a factory version, keys, and a state folder."""

    folder: Path
    state_dir: Path
    configuration: Path

    @classmethod
    def make(cls, folder: Path, state_dir: Path | None = None) -> "Life":
        """With a factory version 0."""
        folder.mkdir(parents=True, exist_ok=True)
        life = cls(folder, state_dir or folder / "state", folder / "gateway.toml")
        for key in ("publisher", "stranger"):
            life.openssl("genpkey", "-algorithm", "ed25519", "-out", str(life.key(key)))
            life.openssl("pkey", "-in", str(life.key(key)), "-pubout", "-out", str(life.trust(key)))
        life.card(0)
        life.configure()
        return life

    def configure(self, labels: list[str] | None = None, **models: object) -> None:
        """Writes the configuration; keys of [models] beside the publisher's."""
        judge: dict[str, Any] = {"inputs": ["cameras"], "detector": "classify", "model": NAME}
        if labels:
            judge["labels"] = labels
        settings = {
            "gateway": {"id": "life", "state_dir": str(self.state_dir)},
            "local": {"url": "mqtt://localhost:1"},
            "models": {"trust": [str(self.trust("publisher"))]} | models,
            "model": self.section(),
            "source": {"cameras": {"topic": "cameras/+", "codec": "jpeg", "device": "topic:1"}},
            "judge": {"seen": judge},
        }
        self.configuration.write_text(to_toml(settings))

    def section(self) -> dict[str, Any]:
        """The section of the model."""
        return {NAME: {"file": str(self.folder / "v0" / f"{NAME}.onnx"), "managed": True}}

    @property
    def store(self) -> Path:
        """The folder of the model's versions."""
        return self.state_dir / "models" / NAME

    def key(self, who: str) -> Path:
        """A private key."""
        return self.folder / f"{who}.pem"

    def trust(self, who: str) -> Path:
        """A public key."""
        return self.folder / f"{who}.pub.pem"

    def openssl(self, *arguments: str) -> str:
        """Runs openssl."""
        return subprocess.run([tool("openssl"), *arguments], check=True, capture_output=True, text=True).stdout

    def card(self, version: int, padding: int = 0, labels: list[str] | None = None) -> Path:
        """Weights and card of a version."""
        folder = self.folder / f"v{version}"
        folder.mkdir(exist_ok=True)
        onnx.save(weights(version, padding), folder / f"{NAME}.onnx")
        (folder / f"{NAME}.txt").write_text("".join(f"{label}\n" for label in labels or LABELS))
        own = {"name": NAME, "version": str(version), "file": f"{NAME}.onnx", "labels": f"{NAME}.txt"}
        card = folder / f"{NAME}.toml"
        card.write_text(to_toml(own | classifier(layout="nchw", colour="rgb", element="f32")))
        return card

    def sign(self, version: int, *more: str, who: str = "publisher", padding: int = 0, counter: int | None = None) -> Path:
        """A package of a version."""
        package = self.folder / f"{NAME}-{version}.vmodel"
        card = self.card(version, padding)
        number = str(version if counter is None else counter)
        done = self.verge("model", "sign", str(card), "--key", str(self.key(who)), "--counter", number, "-o", str(package), *more)
        assert done.returncode == 0, done.stderr
        return package

    def package_that_eats_memory(self, version: int) -> Path:
        """255 Mi numbers times themselves: allowed by their shape, and more than the child that loads it first may have."""
        package = self.sign(version)
        nodes = [
            helper.make_node("ConstantOfShape", ["big"], ["ones"]),
            helper.make_node("Add", ["ones", "ones"], ["more"]),
            helper.make_node("ReduceMean", ["more"], ["nothing"], keepdims=0),
            helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
            helper.make_node("Add", ["mean", "nothing"], ["sum"]),
            helper.make_node("Reshape", ["sum", "shape"], ["colours"]),
            helper.make_node("Gemm", ["colours", "direction", "middle"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
        graph = weights(version)
        del graph.graph.node[:]
        graph.graph.node.extend(nodes)
        graph.graph.initializer.append(numpy_helper.from_array(np.array([256, 1024, 1023], dtype=np.int64), "big"))
        card = self.folder / f"v{version}" / f"{NAME}.toml"
        onnx.save(graph, card.with_suffix(".onnx"))
        key = str(self.key("publisher"))
        done = self.verge("model", "sign", str(card), "--key", key, "--counter", str(version), "-o", str(package))
        assert done.returncode == 0, done.stderr
        return package

    def verge(self, *arguments: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the program; `before`: what stands in front of it."""
        command = [*(before or []), verge(), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def model(self, *arguments: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        """`verge model … -c FILE`."""
        return self.verge("model", *arguments, "-c", str(self.configuration), before=before)

    def push(self, package: Path, code: int = 0, before: list[str] | None = None) -> str:
        """Pushes, and gives what was said."""
        done = self.model("push", str(package), before=before)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def promote(self, code: int = 0) -> str:
        """Promotes, and gives what was said."""
        done = self.model("promote", NAME)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def rollback(self, code: int = 0) -> str:
        """Rolls back, and gives what was said."""
        done = self.model("rollback", NAME)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def ls(self) -> dict[str, Any]:
        """The model's line."""
        done = self.verge("--json", "model", "ls", "-c", str(self.configuration))
        assert done.returncode == 0, done.stderr
        (line,) = json.loads(done.stdout)["models"]
        return line

    def active(self) -> str | None:
        """The version in use, which is whole; nothing for that of the factory."""
        active = self.ls()["active"]
        if active is None:
            return None
        assert active["state"] == "ok", active
        return active["version"]

    def slots(self) -> dict[str, Any]:
        """The slots as they lie there."""
        return json.loads((self.store / "slots.json").read_text())

    def incoming(self) -> list[str]:
        """What lies in the folder of arrivals."""
        folder = self.state_dir / "models" / "incoming"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
