"""The example of a junction that Verge drives, with a gateway and a broker of its own."""

import runpy
import tomllib
from pathlib import Path
from typing import Any

from gateway import Gateway
from peers import HOST, Listener, Mosquitto, accepts, free_port
from programs import REPOSITORY
from waiting import wait_for

EXAMPLE = REPOSITORY / "examples" / "sumo-junction"


class Site:
    """Broker, gateway and the example's script."""

    def __init__(self, folder: Path, interval: str = "1m"):
        self.script: dict[str, Any] = runpy.run_path(str(EXAMPLE / "drive.py"))
        self.broker = Mosquitto(folder / "broker", "the site's broker", [Listener()])
        self.broker.start()
        self.port = free_port()
        settings = tomllib.loads((EXAMPLE / "gateway.toml").read_text())
        settings["gateway"]["state_dir"] = str(folder / "state")
        settings["local"]["url"] = self.broker.url
        settings["judge"]["counts"]["interval"] = interval
        settings["server"]["controller"]["listen"] = f"{HOST}:{self.port}"
        self.gateway = Gateway(folder / "gateway", settings)
        self.controller: Any = None

    def start(self) -> None:
        """Starts the gateway and connects what polls it."""
        self.gateway.start()
        self.broker.wait_for_subscriber("verge-junction-1")
        wait_for(lambda: accepts(self.port), "the gateway's Modbus server")
        self.controller = self.script["Gateway"]((HOST, self.broker.port), (HOST, self.port))

    def close(self) -> None:
        """Ends everything."""
        if self.controller is not None:
            self.controller.close()
        if self.gateway.is_running:
            self.gateway.stop()
        self.broker.stop()
