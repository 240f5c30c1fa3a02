"""What Verge is measured against: the gateway that one writes in an afternoon with paho-mqtt and json.

It subscribes to readings (QoS 1, kept session), keeps an exponentially weighted mean and variance per sensor,
and publishes a JSON verdict (QoS 1) for each reading whose z-score is beyond the limit. Unlike Verge it stores
nothing: what it holds is lost with it.
"""

import argparse
import json
import math
import signal
import socket
import time
from dataclasses import dataclass

import paho.mqtt.client as mqtt

# Weight of the newest reading in mean and variance.
WEIGHT = 0.02
MESSAGES_IN_FLIGHT = 100


@dataclass(slots=True)
class Sensor:
    """Running mean and variance of one sensor."""

    mean: float = 0.0
    variance: float = 0.0
    seen: int = 0

    def score(self, value: float) -> float:
        """How many standard deviations the value is away from what was usual, then takes it in."""
        if self.seen == 0:
            self.mean = value
        self.seen += 1
        difference = value - self.mean
        deviation = math.sqrt(self.variance)
        score = abs(difference) / deviation if deviation > 0.0 else 0.0
        self.mean += WEIGHT * difference
        self.variance = (1.0 - WEIGHT) * (self.variance + WEIGHT * difference * difference)
        return score


class PythonGateway:
    """From one broker to the other."""

    def __init__(self, arguments: argparse.Namespace):
        self.limit = arguments.limit
        self.prefix = arguments.prefix
        self.sensors: dict[str, Sensor] = {}
        self.seq = 0
        self.uplink = mqtt_client("python-gateway-uplink")
        if arguments.ca:
            self.uplink.tls_set(ca_certs=arguments.ca, certfile=arguments.cert, keyfile=arguments.key)
        self.uplink.connect("127.0.0.1", arguments.uplink_port)
        self.local = mqtt_client("python-gateway")
        self.local.username_pw_set(arguments.username, arguments.password)
        self.local.on_message = self.on_message
        self.local.on_connect = lambda client, *_: client.subscribe("bench/+/state", qos=1)
        self.local.connect("127.0.0.1", arguments.local_port)

    def on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        """Judges one reading."""
        received = time.time_ns() // 1_000_000
        try:
            reading = json.loads(message.payload)
            value = float(reading["value"])
            captured = int(reading["ts"])
        except (ValueError, KeyError, TypeError):
            return
        if not math.isfinite(value):
            return
        device = message.topic.split("/")[1]
        sensor = self.sensors.get(device)
        if sensor is None:
            sensor = self.sensors[device] = Sensor()
        score = sensor.score(value)
        if score > self.limit:
            self.publish(device, value, score, captured, received)

    def publish(self, device: str, value: float, score: float, captured: int, received: int) -> None:
        """Sends one verdict."""
        self.seq += 1
        verdict = {
            "gateway": "python",
            "seq": self.seq,
            "device": device,
            "signal": "value",
            "captured": captured,
            "received": received,
            "decided": time.time_ns() // 1_000_000,
            "detector": "z-score",
            "observed": value,
            "score": score,
            "limit": self.limit,
        }
        self.uplink.publish(f"{self.prefix}/verdict", json.dumps(verdict, separators=(",", ":")), qos=1)

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, lambda *_: self.local.disconnect())
        self.uplink.loop_start()
        self.local.loop_forever()
        self.uplink.disconnect()
        self.uplink.loop_stop()


def mqtt_client(client_id: str) -> mqtt.Client:
    """A client whose session the broker keeps, without Nagle's algorithm."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.max_inflight_messages_set(MESSAGES_IN_FLIGHT)
    client.on_socket_open = _without_nagle
    return client


def _without_nagle(_client: mqtt.Client, _userdata: object, opened: socket.socket) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local-port", type=int, required=True)
    parser.add_argument("--username", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--uplink-port", type=int, required=True)
    parser.add_argument("--ca", help="certificates for mutual TLS upstream; without, it is plain")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--prefix", default="verge/python")
    parser.add_argument("--limit", type=float, required=True, help="z-score beyond which there is a verdict")
    PythonGateway(parser.parse_args()).run()


if __name__ == "__main__":
    main()
