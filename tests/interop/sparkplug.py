"""A host application for Sparkplug B: it holds what it receives against the rules of the specification, by their
identifiers (without `tck-id-`). Payloads are decoded by PyPI protobuf, from messages described here after the text of
the specification. Nobody has certified either."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from waiting import wait_for

from peers import HOST, Mosquitto

GROUP, NODE = "plant", "gw"
REBIRTH = "Node Control/Rebirth"

_TYPES = {"u32": 13, "u64": 4, "float": 2, "double": 1, "bool": 8, "string": 9, "bytes": 12}
# Name -> number, type; `*` repeated, `=` part of the value.
_MESSAGES = {
    "PropertyValue": {"type": (1, "u32"), "is_null": (2, "bool"), "int_value": (3, "u32"), "string_value": (8, "string")},
    "PropertySet": {"keys": (1, "*string"), "values": (2, "*PropertyValue")},
    "Metric": {
        "name": (1, "string"),
        "alias": (2, "u64"),
        "timestamp": (3, "u64"),
        "datatype": (4, "u32"),
        "is_historical": (5, "bool"),
        "is_transient": (6, "bool"),
        "is_null": (7, "bool"),
        "properties": (9, "PropertySet"),
        "int_value": (10, "=u32"),
        "long_value": (11, "=u64"),
        "float_value": (12, "=float"),
        "double_value": (13, "=double"),
        "boolean_value": (14, "=bool"),
        "string_value": (15, "=string"),
        "bytes_value": (16, "=bytes"),
    },
    "Payload": {"timestamp": (1, "u64"), "metrics": (2, "*Metric"), "seq": (3, "u64"), "uuid": (4, "string")},
}


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package="verge.test", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind.startswith("=") for _, kind in fields.values()):
            message.oneof_decl.add(name="value")
        for key, (number, kind) in fields.items():
            label = 3 if kind.startswith("*") else 1
            made = message.field.add(name=key, number=number, label=label)
            if kind.startswith("="):
                made.oneof_index = 0
            kind = kind.lstrip("*=")
            if kind in _TYPES:
                made.type = _TYPES[kind]
            else:
                made.type, made.type_name = 11, f".verge.test.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("verge.test.Payload"))


Payload = _payload_class()


@dataclass
class Value:
    """One value of a metric as it arrived."""

    device: str
    name: str
    value: Any
    historical: bool
    time_ms: int
    kind: str
    at: float


@dataclass
class Said:
    """One message."""

    kind: str
    device: str
    payload: Any
    at: float


@dataclass
class SparkplugHost:
    """Subscribes to the group and keeps what it learns. `faults`: rules that were broken."""

    broker: Mosquitto
    said: list[Said] = field(default_factory=list, init=False)
    values: list[Value] = field(default_factory=list, init=False)
    faults: list[str] = field(default_factory=list, init=False)
    seq: int | None = field(default=None, init=False)
    aliases: dict[int, tuple[str, str]] = field(default_factory=dict, init=False)
    datatypes: dict[tuple[str, str], int] = field(default_factory=dict, init=False)
    born: set[str] = field(default_factory=set, init=False)
    bd_seq: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        subscribed = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="host", protocol=mqtt.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe(f"spBv1.0/{GROUP}/#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._note
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.connect(HOST, self.broker.port)
        self._client.loop_start()
        if not subscribed.wait(10):
            raise TimeoutError("the host is not subscribed")

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

    def command(self, *metrics: tuple[str, str, Any], topic: str = f"spBv1.0/{GROUP}/NCMD/{NODE}") -> None:
        """Writes metrics of the node: name, field and value of each."""
        payload = Payload(timestamp=int(time.time() * 1000))
        for name, key, value in metrics:
            setattr(payload.metrics.add(name=name), key, value)
        self._client.publish(topic, payload.SerializeToString(), qos=1).wait_for_publish(10)

    def raw_command(self, data: bytes) -> None:
        """The same, of any bytes."""
        self._client.publish(f"spBv1.0/{GROUP}/NCMD/{NODE}", data, qos=1).wait_for_publish(10)

    def rebirth(self) -> None:
        """Asks for all births."""
        self.command((REBIRTH, "boolean_value", True))

    def state(self, text: str, topic: str) -> None:
        """Says whether a primary host is there."""
        self._client.publish(topic, text, qos=1, retain=True).wait_for_publish(10)

    def of(self, kind: str) -> list[Said]:
        """Messages of one kind."""
        return [said for said in list(self.said) if said.kind == kind]

    def wait_for(self, kind: str, count: int = 1, seconds: float = 20.0) -> list[Said]:
        """Waits until there are as many."""
        wait_for(lambda: len(self.of(kind)) >= count, f"{count} of {kind}", seconds)
        return self.of(kind)

    def observed(self, historical: bool | None = None) -> list[float]:
        """Every value of a metric `observed`, in order of arrival."""
        found = [value for value in list(self.values) if value.name.endswith("/observed") and value.value is not None]
        return [value.value for value in found if historical is None or value.historical == historical]

    def latest(self, name: str) -> Any:
        """The newest value of a metric that is no history."""
        found = [value for value in list(self.values) if value.name == name and not value.historical]
        return found[-1].value if found else None

    def assert_sound(self) -> None:
        """No rule was broken."""
        assert not self.faults, self.faults

    def _rule(self, holds: bool, rule: str, what: object) -> None:
        if not holds:
            self.faults.append(f"{rule}: {what}")

    def _note(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        levels = message.topic.split("/")
        kind, device = levels[2], levels[4] if len(levels) > 4 else ""
        if kind in ("NCMD", "DCMD"):
            return
        payload = Payload.FromString(message.payload)
        try:
            self._check(kind, device, payload, bool(message.retain))
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"{kind} {device}: {error!r}")
        self.said.append(Said(kind, device, payload, time.monotonic()))

    def _check(self, kind: str, device: str, payload: Any, retained: bool) -> None:
        self._rule(not retained, "topics-*-mqtt (retain)", kind)
        if kind == "NDEATH":
            self._rule(not payload.HasField("seq"), "topics-ndeath-seq", payload)
            self._rule([metric.name for metric in payload.metrics] == ["bdSeq"], "payloads-ndeath-will-message", payload)
            self.bd_seq, self.born = None, set()
            return
        self._rule(payload.HasField("timestamp"), "payloads-timestamp-in-UTC", kind)
        self._rule(payload.HasField("seq") and payload.seq <= 255, "payloads-sequence-num-always-included", kind)
        if kind == "NBIRTH":
            self._node_birth(payload)
        else:
            self._rule(payload.seq == ((self.seq or 0) + 1) % 256, "payloads-sequence-num-incrementing", (kind, payload.seq))
        self.seq = payload.seq
        if kind == "DBIRTH":
            self._rule(bool(self.born), "payloads-dbirth-order", device)
            self._birth(device, payload)
        elif kind in ("DDATA", "NDATA"):
            self._rule(device in self.born, "topics-ddata before its birth", device)
            self._data(kind, device, payload)

    def _node_birth(self, payload: Any) -> None:
        self._rule(payload.seq == 0, "payloads-nbirth-seq", payload.seq)
        named = {metric.name: metric for metric in payload.metrics}
        self._rule("bdSeq" in named and named["bdSeq"].datatype == 4, "payloads-nbirth-bdseq", list(named))
        rebirth = named.get(REBIRTH)
        fits = rebirth is not None and rebirth.datatype == 11 and rebirth.boolean_value is False
        self._rule(fits and not rebirth.HasField("alias"), "payloads-nbirth-rebirth-req", rebirth)
        self.bd_seq = named["bdSeq"].long_value
        self.aliases.clear()
        self.born = set()
        self._birth("", payload)

    def _birth(self, device: str, payload: Any) -> None:
        self.born.add(device)
        self.aliases = {alias: place for alias, place in self.aliases.items() if place[0] != device}
        names = [metric.name for metric in payload.metrics]
        self._rule(len(set(names)) == len(names), "payloads-name-requirement", names)
        for metric in payload.metrics:
            for key in ("name", "datatype", "timestamp"):
                self._rule(metric.HasField(key), f"payloads-name-birth-data-requirement ({key})", metric)
            self._rule((metric.WhichOneof("value") is None) == metric.is_null, "payloads-metric-is-null", metric.name)
            self.datatypes[(device, metric.name)] = metric.datatype
            if metric.HasField("alias"):
                self._rule(metric.alias not in self.aliases, "payloads-alias-uniqueness", metric.name)
                self.aliases[metric.alias] = (device, metric.name)
            self._keep("birth", device, metric.name, metric)

    def _data(self, kind: str, device: str, payload: Any) -> None:
        for metric in payload.metrics:
            self._rule(not metric.HasField("name"), "payloads-alias-data-cmd-requirement", metric.name)
            self._rule(metric.alias in self.aliases, "payloads-alias-birth-requirement", metric.alias)
            self._rule(metric.HasField("timestamp"), "payloads-metric-timestamp-in-UTC", metric.alias)
            of, name = self.aliases[metric.alias]
            self._rule(of == device, "payloads-alias-uniqueness (device)", (device, of, name))
            self._keep(kind, device, name, metric)

    def _keep(self, kind: str, device: str, name: str, metric: Any) -> None:
        # Field of the value by datatype: Int32 3, UInt32 7, Int64 4, UInt64 8, Double 10, Boolean 11, String 12, DateTime 13.
        fields = {3: "int", 7: "int", 4: "long", 8: "long", 10: "double", 11: "boolean", 12: "string", 13: "long"}
        which = metric.WhichOneof("value")
        if which is not None:
            expected = fields[self.datatypes[(device, name)]] + "_value"
            self._rule(which == expected, "payloads-metric-datatype-value-type", (name, which))
        for key, value in zip(metric.properties.keys, metric.properties.values):
            if key == "Quality":
                self._rule(value.int_value in (0, 192, 500), "payloads-propertyset-quality-value-value", value)
        value = getattr(metric, which) if which else None
        made = Value(device, name, value, metric.is_historical, metric.timestamp, kind, time.monotonic())
        self.values.append(made)
