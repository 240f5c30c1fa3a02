//! Messages of real devices, read with configurations as an integrator would write them. The messages stand in
//! the folder that `VERGE_DATA` names; without it these tests say so and pass.

#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use verge_domain::filter::matches;
use verge_domain::reading::{Decoded, Inbound, Reading, SourceIndex};
use verge_domain::stage::Decoder;
use verge_domain::time::{Moment, UtcMillis};
use verge_gateway::settings::Settings;
use verge_gateway::wiring::decoders;

const CONFIGURATION: &str = r#"
[gateway]
id = "real"
state_dir = "state"

[local]
url = "mqtt://localhost:1883"

[uplink.centre]
url = "mqtts://localhost:8883"
ca = "ca.pem"

[judge.seen]
inputs = ["frigate"]
detector = "silence"
after = "1h"

[source.frigate]
topic = "frigate/events"
codec = "json"
device = "pointer:/before/camera"
time = { pointer = "/before/frame_time", format = "unix_s" }
reading = [{ pointer = "/before/score" }, { pointer = "/before/area" }, { pointer = "/before/box/*", signal = "box-*" }]

[source.axis]
topic = "axis:CameraApplicationPlatform/#"
codec = "json"
device = "pointer:/serial"
time = { pointer = "/timestamp", format = "unix_ms" }
reading = [{ pointer = "/message/data/active" }]

[source.zigbee]
topic = "tele/+/RESULT"
codec = "json"
device = "topic:1"
reading = [
    { pointer = "/*/Occupancy", required = false },
    { pointer = "/ZigbeeZCLReceived/linkquality", required = false },
]

[source.tasmota]
topic = "stat/+/STATUS10"
codec = "json"
device = "topic:1"
reading = [{ pointer = "/StatusSNS/*/Temperature", signal = "*", unit = "Cel" }, { pointer = "/StatusSNS/Switch1" }]

[source.shelly]
topic = "<configured_prefix>/status/em:0"
codec = "json"
device = "topic:0"
reading = [{ pointer = "/total_act_power", unit = "W" }, { pointer = "/b_voltage", unit = "V" }, { pointer = "/n_current" }]

[source.radio]
topic = "rtl_433/events"
codec = "json"
device = "pointer:/id"
reading = [
    { pointer = "/temperature_C", unit = "Cel", required = false },
    { pointer = "/humidity", required = false },
    { pointer = "/consumption_data", scale = 0.01, required = false },
]

[source.radiator]
topic = "zigbee2mqtt/+"
codec = "json"
device = "topic:1"
reading = [{ pointer = "/local_temperature" }, { pointer = "/pi_heating_demand" }]

[source.sparkplug]
topic = "spBv1.0/#"
codec = "json"
device = "fixed:node"
reading = [{ pointer = "/metrics/*/value", signal = "metric-*" }]
"#;

/// `device signal value unit @captured` of every reading, `!reason` of every rejection: by family, in the order of
/// the file.
const EXPECTED: &[(&str, &[&str])] = &[
    (
        "frigate",
        &["front_door score 0.76953125 @1659438940521 \
           front_door box-0 394 @1659438940521 front_door box-1 27 @1659438940521 \
           front_door box-2 756 @1659438940521 front_door box-3 383 @1659438940521 \
           front_door area 128872 @1659438940521"],
    ),
    // A truth value as a number in a string, as Axis writes all values.
    ("axis", &["B8A44F4DAC06 active 0 @1692892990562"]),
    (
        "tasmota",
        &[
            "",
            "zigbee linkquality 63",
            "zigbee 0xF874/Occupancy 1",
            "zigbee linkquality 136",
            "sonoff_test Switch1 0 sonoff_test DS18B20 25.3 Cel",
        ],
    ),
    (
        "shelly",
        &[
            "<configured_prefix> b_voltage 229.2 V <configured_prefix> total_act_power 2238.718 W !missing_field",
        ],
    ),
    (
        "rtl_433",
        &[
            "9884 temperature_C 22.8 Cel 9884 humidity 66",
            "12053 temperature_C 21 Cel 12053 humidity 73",
            "54585868 consumption_data 5624.56",
        ],
    ),
    ("zigbee2mqtt", &["<friendly_name> local_temperature 23 <friendly_name> pi_heating_demand 0"]),
    ("sparkplug-json", &["node metric-0 28.7 node metric-1 33.6"]),
];

struct Message {
    family: String,
    topic: String,
    payload: Bytes,
}

fn messages() -> Option<Vec<Message>> {
    let Some(data) = std::env::var_os("VERGE_DATA").map(PathBuf::from) else {
        eprintln!("VERGE_DATA is not set: nothing was tested on real messages");
        return None;
    };
    let text = std::fs::read_to_string(data.join("mqtt_messages/messages.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let message = |value: Value| {
        let field = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Message { family: field("family"), topic: field("topic"), payload: field("payload").into() }
    };
    Some(lines.map(message).filter(|message| message.family != "lorawan").collect())
}

fn settings() -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, CONFIGURATION).unwrap();
    Settings::load(&file, []).unwrap()
}

fn inbound(settings: &Settings, topic: &str, payload: Bytes) -> Inbound {
    let source = settings.sources.iter().position(|source| matches(&source.filter, topic)).unwrap();
    Inbound::of(
        SourceIndex(u16::try_from(source).unwrap()),
        topic,
        payload,
        Moment::from_wall(UtcMillis(1_700_000_000_000)),
    )
}

fn reported(decoded: &Decoded<Reading>) -> String {
    let mut parts = Vec::new();
    for reading in &decoded.items {
        parts.push(format!("{} {} {}", reading.device, reading.signal, reading.value));
        parts.extend(reading.unit.as_ref().map(ToString::to_string));
        parts.extend(reading.captured_at.map(|at| format!("@{}", at.0)));
    }
    parts.extend(decoded.rejections.iter().map(|rejection| format!("!{}", rejection.reason.as_str())));
    parts.join(" ")
}

#[test]
fn real_messages_come_out_with_the_right_fields() {
    let Some(messages) = messages() else { return };
    let settings = settings();
    let mut decoders = decoders(&settings).unwrap();
    let mut decoded = Decoded::default();
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for message in &messages {
        decoders.decode(&inbound(&settings, &message.topic, message.payload.clone()), &mut decoded);
        found.entry(&message.family).or_default().push(reported(&decoded));
    }
    for (family, expected) in EXPECTED {
        assert_eq!(found.remove(family).unwrap_or_default(), *expected, "{family}");
    }
    assert_eq!(found, BTreeMap::new(), "families that nobody has written down");
}

#[test]
fn damaged_copies_of_real_messages_are_refused_and_counted() {
    let Some(messages) = messages() else { return };
    let settings = settings();
    let mut decoders = decoders(&settings).unwrap();
    let mut decoded = Decoded::default();
    let (mut copies, mut refused) = (0_u32, 0_u32);
    let mut try_copy = |topic: &str, payload: Vec<u8>, must_be_refused: bool| {
        decoders.decode(&inbound(&settings, topic, payload.into()), &mut decoded);
        copies += 1;
        refused += u32::from(!decoded.rejections.is_empty());
        assert!(decoded.items.iter().all(|reading| reading.value.is_finite()));
        assert!(
            !must_be_refused || (decoded.items.is_empty() && !decoded.rejections.is_empty()),
            "{decoded:?}"
        );
    };
    for Message { topic, payload, .. } in &messages {
        // What is cut off is not JSON any more.
        for length in 0..payload.trim_ascii_end().len() {
            try_copy(topic, payload[..length].to_vec(), true);
        }
        for at in 0..payload.len() {
            for byte in [0x00, b'"', b'9', b'{', b']', b'-', 0x80, 0xFF] {
                let mut copy = payload.to_vec();
                copy[at] = byte;
                try_copy(topic, copy, false);
            }
            let mut longer = payload.to_vec();
            longer.insert(at, b'e');
            try_copy(topic, longer, false);
            let mut shorter = payload.to_vec();
            shorter.remove(at);
            try_copy(topic, shorter, false);
        }
    }
    assert!(copies > 20_000 && refused > copies / 2, "{refused} of {copies} copies were refused");
}
