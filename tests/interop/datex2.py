"""Rules for publications of DATEX II version 3, and what they say, read by a foreign parser.

The rules are written after the public model: which elements may stand in which order in which type, and what their texts look
like. They are no schema, and nobody has certified them."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = {
    "d2": "http://datex2.eu/schema/3/d2Payload",
    "com": "http://datex2.eu/schema/3/common",
    "loc": "http://datex2.eu/schema/3/locationReferencing",
    "roa": "http://datex2.eu/schema/3/roadTrafficData",
    "sit": "http://datex2.eu/schema/3/situation",
}
PREFIXES = {uri: prefix for prefix, uri in NAMESPACES.items()}
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
NUMBER, WHOLE, ANY = r"-?\d+(\.\d+)?", r"\d+", r"(?s).+"

ONE, MAYBE, SOME, MANY = (1, 1), (0, 1), (1, 10**6), (0, 10**6)
Children = list[tuple[str, tuple[int, int]]]

PAYLOAD: Children = [("com:publicationTime", ONE), ("com:publicationCreator", ONE)]
RECORD: Children = [
    ("sit:situationRecordCreationTime", ONE),
    ("sit:situationRecordObservationTime", MAYBE),
    ("sit:situationRecordVersionTime", ONE),
    ("sit:probabilityOfOccurrence", ONE),
    ("sit:severity", MAYBE),
    ("sit:validity", ONE),
    ("sit:locationReference", ONE),
]
DATA_VALUE: Children = [("com:dataError", MAYBE), ("com:reasonForDataError", MAYBE)]

# By type where one is stated, else by name: the children, in this order.
CHILDREN: dict[str, Children] = {
    "roa:MeasuredDataPublication": [
        *PAYLOAD,
        ("roa:measurementSiteTableReference", SOME),
        ("roa:headerInformation", ONE),
        ("roa:siteMeasurements", SOME),
    ],
    "roa:MeasurementSiteTablePublication": [
        *PAYLOAD,
        ("roa:headerInformation", ONE),
        ("roa:measurementSiteTable", SOME),
    ],
    "sit:SituationPublication": [*PAYLOAD, ("sit:situation", MANY)],
    "com:publicationCreator": [("com:country", ONE), ("com:nationalIdentifier", ONE)],
    "roa:headerInformation": [("com:confidentiality", MAYBE), ("com:informationStatus", ONE)],
    "sit:headerInformation": [("com:confidentiality", MAYBE), ("com:informationStatus", ONE)],
    "roa:measurementSiteTableReference": [],
    "roa:measurementSiteReference": [],
    "roa:measurementSiteTable": [("roa:measurementSite", SOME)],
    "roa:measurementSite": [
        ("roa:measurementEquipmentReference", MAYBE),
        ("roa:measurementSiteName", MAYBE),
        ("roa:measurementSiteNumberOfLanes", MAYBE),
        ("roa:measurementSiteIdentification", MAYBE),
        ("roa:measurementSpecificCharacteristics", MANY),
        ("roa:measurementSiteLocation", ONE),
    ],
    "roa:measurementSpecificCharacteristics[index]": [("roa:measurementSpecificCharacteristics", ONE)],
    "roa:measurementSpecificCharacteristics": [
        ("roa:period", MAYBE),
        ("roa:specificMeasurementValueType", ONE),
        ("roa:specificVehicleCharacteristics", MAYBE),
    ],
    "roa:specificVehicleCharacteristics": [("com:vehicleType", MANY)],
    "roa:siteMeasurements": [
        ("roa:measurementSiteReference", ONE),
        ("roa:physicalQuantity", MANY),
        ("roa:measurementTimeDefault", ONE),
    ],
    "roa:physicalQuantity[index]": [("roa:physicalQuantity", ONE)],
    "roa:SinglePhysicalQuantity": [("roa:physicalQuantityFault", MANY), ("roa:basicData", MAYBE)],
    "roa:physicalQuantityFault": [("com:faultLastUpdateTime", ONE), ("roa:physicalQuantityFaultType", ONE)],
    "roa:TrafficFlow": [("roa:vehicleFlow", MAYBE)],
    "roa:TrafficSpeed": [("roa:averageVehicleSpeed", MAYBE)],
    "roa:TrafficConcentration": [("roa:occupancy", MAYBE)],
    "roa:vehicleFlow": [*DATA_VALUE, ("com:vehicleFlowRate", ONE)],
    "roa:averageVehicleSpeed": [*DATA_VALUE, ("com:speed", ONE)],
    "roa:occupancy": [*DATA_VALUE, ("com:percentage", ONE)],
    "roa:measurementTimeDefault": [("roa:timeMeaning", MAYBE), ("roa:timeValue", MAYBE), ("roa:period", MAYBE)],
    "roa:period": [("com:startOfPeriod", MAYBE), ("com:endOfPeriod", MAYBE)],
    "com:reasonForDataError": [("com:values", ONE)],
    "roa:measurementSiteName": [("com:values", ONE)],
    "com:values": [("com:value", SOME)],
    "loc:PointLocation": [("loc:pointByCoordinates", MAYBE)],
    "loc:pointByCoordinates": [("loc:bearing", MAYBE), ("loc:pointCoordinates", ONE)],
    "loc:pointCoordinates": [("loc:latitude", ONE), ("loc:longitude", ONE)],
    "sit:situation": [
        ("sit:overallSeverity", MAYBE),
        ("sit:situationVersionTime", MAYBE),
        ("sit:headerInformation", ONE),
        ("sit:situationRecord", SOME),
    ],
    "sit:AbnormalTraffic": [*RECORD, ("sit:abnormalTrafficType", MAYBE), ("sit:numberOfVehiclesWaiting", MAYBE)],
    "sit:VehicleObstruction": [*RECORD, ("sit:vehicleObstructionType", ONE)],
    "sit:EquipmentOrSystemFault": [
        *RECORD,
        ("sit:equipmentOrSystemFaultType", ONE),
        ("sit:faultyEquipmentOrSystemType", ONE),
    ],
    "sit:validity": [("com:validityStatus", ONE), ("com:validityTimeSpecification", ONE)],
    "com:validityTimeSpecification": [("com:overallStartTime", ONE), ("com:overallEndTime", MAYBE)],
}

TEXTS = {
    "com:publicationTime": TIME,
    "com:country": r"[a-z]{2}",
    "com:nationalIdentifier": ANY,
    "com:informationStatus": r"real|securityExercise|technicalExercise|test",
    "com:value": ANY,
    "com:dataError": r"true|false",
    "com:vehicleFlowRate": WHOLE,
    "com:speed": NUMBER,
    "com:percentage": NUMBER,
    "com:faultLastUpdateTime": TIME,
    "com:vehicleType": r"anyVehicle",
    "com:startOfPeriod": TIME,
    "com:endOfPeriod": TIME,
    "com:validityStatus": r"active|planned|suspended|definedByValidityTimeSpec",
    "com:overallStartTime": TIME,
    "com:overallEndTime": TIME,
    "loc:bearing": WHOLE,
    "loc:latitude": NUMBER,
    "loc:longitude": NUMBER,
    "roa:measurementEquipmentReference": ANY,
    "roa:measurementSiteNumberOfLanes": WHOLE,
    "roa:measurementSiteIdentification": ANY,
    "roa:period": NUMBER,
    "roa:specificMeasurementValueType": r"trafficFlow|trafficSpeed|trafficConcentration",
    "roa:physicalQuantityFaultType": r"intermittentDataValues|noDataValuesAvailable|spuriousUnreliableDataValues"
    r"|unspecifiedOrUnknownFault|other",
    "roa:timeMeaning": r"beginTime|endTime|middleTime",
    "roa:timeValue": TIME,
    "sit:overallSeverity": r"highest|high|medium|low|lowest|none|unknown",
    "sit:severity": r"highest|high|medium|low|lowest|none|unknown",
    "sit:situationVersionTime": TIME,
    "sit:situationRecordCreationTime": TIME,
    "sit:situationRecordObservationTime": TIME,
    "sit:situationRecordVersionTime": TIME,
    "sit:probabilityOfOccurrence": r"certain|probable|riskOf",
    "sit:abnormalTrafficType": r"stationaryTraffic|queuingTraffic|slowTraffic|heavyTraffic"
    r"|unspecifiedAbnormalTraffic|other",
    "sit:numberOfVehiclesWaiting": WHOLE,
    "sit:vehicleObstructionType": r"vehicleOnWrongCarriageway|vehicleStuck|brokenDownVehicle|slowVehicle",
    "sit:equipmentOrSystemFaultType": r"notWorking|outOfService|workingIncorrectly|workingIntermittently",
    "sit:faultyEquipmentOrSystemType": r"cctvCameras|_extended",
}

ATTRIBUTES = {
    "d2:payload": {"lang": r"[a-z]{2}", "modelBaseVersion": "3", TYPE: ANY},
    "roa:measurementSiteTableReference": {
        "id": ANY,
        "version": ANY,
        "targetClass": "roa:MeasurementSiteTable",
    },
    "roa:measurementSiteReference": {"id": ANY, "version": ANY, "targetClass": "roa:MeasurementSite"},
    "roa:measurementSiteTable": {"id": ANY, "version": ANY},
    "roa:measurementSite": {"id": ANY, "version": ANY},
    "sit:situation": {"id": ANY},
    "sit:situationRecord": {"id": ANY, "version": WHOLE, TYPE: ANY},
    "com:value": {"lang": r"[a-z]{2}"},
}


def named(element: ElementTree.Element) -> str:
    """The name with the prefix that the rules use."""
    uri, _, name = element.tag.removeprefix("{").partition("}")
    return f"{PREFIXES.get(uri, uri)}:{name}"


def faults(document: bytes) -> list[str]:
    """What is wrong with a publication, in words; nothing if it keeps all rules."""
    root = ElementTree.fromstring(document)
    found = [] if named(root) == "d2:payload" else [f"the root is {named(root)}"]
    return found + [fault for element in root.iter() for fault in _faults_of(element)]


def _faults_of(element: ElementTree.Element) -> Iterator[str]:
    name = named(element)
    for key, pattern in ATTRIBUTES.get(name, {}).items():
        if not re.fullmatch(pattern, element.get(key, "")):
            yield f"{name}: attribute {key} is {element.get(key)!r}"
    kind = element.get(TYPE) or (f"{name}[index]" if element.get("index") else name)
    children = [named(child) for child in element]
    # Of an interval, or of a table: the one has children, the other a number.
    is_leaf = name in TEXTS and not children and (kind == name or kind not in CHILDREN)
    if is_leaf:
        if not re.fullmatch(TEXTS[name], element.text or ""):
            yield f"{name}: {element.text!r} is no {TEXTS[name]}"
        return
    if kind not in CHILDREN:
        yield f"{name} of type {kind} is in no rule"
        return
    if (element.text or "").strip():
        yield f"{name}: a text beside elements"
    rest = list(children)
    for child, (least, most) in CHILDREN[kind]:
        count = 0
        while rest and rest[0] == child:
            rest.pop(0)
            count += 1
        if not least <= count <= most:
            yield f"{kind}: {count} of {child} in {children}"
    if rest:
        yield f"{kind}: {rest[0]} is not in its place in {children}"


@dataclass(frozen=True)
class Measured:
    """What is said of one place and interval."""

    site: str
    end: str
    flow: str | None
    speed: str | None
    occupancy: str | None
    inputs: str | None
    faults: tuple[str, ...]
    data_error: bool


@dataclass(frozen=True)
class Record:
    """A version of a situation."""

    id: str
    version: int
    kind: str
    status: str
    start: str
    end: str | None
    # The word of its type: what it is.
    what: str


WORDS = ("sit:abnormalTrafficType", "sit:vehicleObstructionType", "sit:equipmentOrSystemFaultType")


def kind(document: bytes) -> str:
    """The type of a publication."""
    return (ElementTree.fromstring(document).get(TYPE) or "").partition(":")[2]


def measured(document: bytes) -> list[Measured]:
    """What was measured."""
    found = []
    for site in ElementTree.fromstring(document).findall("roa:siteMeasurements", NAMESPACES):
        text = lambda path, site=site: site.findtext(path, None, NAMESPACES)
        reference = site.find("roa:measurementSiteReference", NAMESPACES)
        flow = site.find(".//roa:vehicleFlow", NAMESPACES)
        kinds = site.findall(".//roa:physicalQuantityFaultType", NAMESPACES)
        assert reference is not None
        one = Measured(
            reference.get("id", ""),
            text("roa:measurementTimeDefault/roa:timeValue") or "",
            text(".//com:vehicleFlowRate"),
            text(".//com:speed"),
            text(".//com:percentage"),
            None if flow is None else flow.get("numberOfInputValuesUsed"),
            tuple(fault.text or "" for fault in kinds),
            text(".//com:dataError") == "true",
        )
        found.append(one)
    return found


def records(document: bytes) -> list[Record]:
    """The records of situations."""
    found = []
    for record in ElementTree.fromstring(document).findall(".//sit:situationRecord", NAMESPACES):
        text = lambda path, record=record: record.findtext(f"sit:validity/{path}", None, NAMESPACES)
        one = Record(
            record.get("id", ""),
            int(record.get("version", "")),
            (record.get(TYPE) or "").partition(":")[2],
            text("com:validityStatus") or "",
            text("com:validityTimeSpecification/com:overallStartTime") or "",
            text("com:validityTimeSpecification/com:overallEndTime"),
            next((record.findtext(word, "", NAMESPACES) for word in WORDS if record.find(word, NAMESPACES) is not None), ""),
        )
        found.append(one)
    return found


def read(path: Path) -> bytes:
    """A document that someone fetches."""
    return path.read_bytes()
