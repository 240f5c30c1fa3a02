//! The declared schema: every section, every key, its kind, its default and when it applies.
//!
//! Defaults stand here and nowhere else. A test holds `configs/gateway.toml` to it, so the commented example
//! can neither miss a key nor show another default.

mod find;
mod judge;

use std::time::Duration;

pub(crate) use find::{homes_of, kind_of, kind_of_table, other_name};
pub(crate) use judge::ALARM_BUDGET;
use judge::JUDGE;

use super::kind::{Key, Kind, Section, default, optional, required};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// The largest packet that MQTT can frame (MQTT 3.1.1 section 2.2.3: remaining length).
const MAX_MQTT_PACKET: u64 = 256 * MIB - 1;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

const SHARE: Kind = Kind::Number { low: 0.0, high: 1.0 };
const ANY_NUMBER: Kind = Kind::Number { low: f64::MIN, high: f64::MAX };
const POSITIVE: Kind = Kind::Number { low: f64::MIN_POSITIVE, high: f64::MAX };
const BROKER_URL: Kind = Kind::Text(r#"the broker's address, such as "mqtts://broker.example:8883""#);
const LISTEN: Kind = Kind::Text(r#"an address of this machine with a port, such as "127.0.0.1:1883""#);
const PEM_FILE: Kind = Kind::Text("the path of a PEM file");
const SIGNAL: Kind = Kind::Text("the name of a signal");
const UNIT: Kind = Kind::Text(r#"a unit, such as "mm/s" or "Cel""#);
/// MQTT's keep-alive is 16 bits of seconds; below 5 s the pings alone load a cellular link.
const KEEP_ALIVE: Kind = Kind::Span { low: Duration::from_secs(5), high: Duration::from_secs(65_535) };
const MAX_PACKET: Kind = Kind::Size { low: KIB, high: MAX_MQTT_PACKET };

/// All sections, in the order in which people write them.
pub(crate) const SECTIONS: &[Section] = &[
    Section { name: "gateway", named: false, optional: false, keys: GATEWAY },
    Section { name: "local", named: false, optional: false, keys: LOCAL },
    Section { name: "uplink", named: true, optional: true, keys: UPLINK },
    Section { name: "route", named: true, optional: true, keys: ROUTE },
    Section { name: "engine", named: false, optional: false, keys: ENGINE },
    Section { name: "model", named: true, optional: true, keys: MODEL },
    Section { name: "source", named: true, optional: false, keys: SOURCE },
    Section { name: "judge", named: true, optional: false, keys: JUDGE },
];

const GATEWAY: &[Key] = &[
    required("id", Kind::Name),
    optional("site", Kind::Name),
    default("state_dir", Kind::Text("the path of a folder"), "/var/lib/verge"),
    default("store_cap", Kind::Size { low: 16 * MIB, high: TIB }, "2 GiB"),
    default("replay_age", Kind::Span { low: Duration::ZERO, high: YEAR }, "24h"),
    default("replay_bytes", Kind::Size { low: 0, high: TIB }, "256 MiB"),
    optional("states_cap", Kind::Size { low: 0, high: TIB }),
    default("when_full", Kind::Choice(&["wait", "drop_oldest"]), "wait"),
    default("ballast", Kind::Size { low: 0, high: GIB }, "16 MiB"),
    default("judging_threads", Kind::Whole { low: 1, high: 16 }, "1"),
    default("judges_memory", Kind::Size { low: MIB, high: TIB }, "256 MiB"),
    default("verdict_life", Kind::SpanOrNever { high: YEAR }, "never"),
    default("telemetry_life", Kind::SpanOrNever { high: YEAR }, "never"),
    default("summary_interval", Kind::Span { low: Duration::from_secs(1), high: DAY }, "10m"),
    optional("store_key", Kind::Secret),
    optional("store_key_file", Kind::Text("the path of a file that holds a key of 64 hexadecimal digits")),
    optional("store_key_credential", Kind::Text("the name of a systemd credential")),
];

/// The site has a broker, and this is a client of it.
const EXTERNAL: &[&str] = &["external"];

const LOCAL: &[Key] = &[
    default("mode", Kind::Choice(&["external", "embedded"]), "external"),
    required("url", BROKER_URL).when("mode", EXTERNAL),
    optional("client_id", Kind::Text("an MQTT client id")).when("mode", EXTERNAL),
    optional("username", Kind::Text("a user name")).when("mode", EXTERNAL),
    optional("password", Kind::Secret).when("mode", EXTERNAL),
    optional("password_file", Kind::Text("the path of a file that holds the password alone"))
        .when("mode", EXTERNAL),
    default("listen", LISTEN, "127.0.0.1:1883").when("mode", &["embedded"]),
    optional("ca", PEM_FILE),
    optional("cert", PEM_FILE),
    optional("key", PEM_FILE),
    default("keep_alive", KEEP_ALIVE, "30s"),
    default("max_packet", MAX_PACKET, "64 KiB"),
    default("max_frame", MAX_PACKET, "2 MiB"),
];

const UPLINK: &[Key] = &[
    default("kind", Kind::Choice(&["mqtt"]), "mqtt"),
    required("url", BROKER_URL),
    default("insecure_plaintext", Kind::Flag, "false"),
    optional("client_id", Kind::Text("an MQTT client id")),
    optional("username", Kind::Text("a user name")),
    optional("password", Kind::Secret),
    optional("password_file", Kind::Text("the path of a file that holds the password alone")),
    optional("ca", PEM_FILE),
    optional("cert", PEM_FILE),
    optional("key", PEM_FILE),
    default("keep_alive", KEEP_ALIVE, "30s"),
    default("max_packet", MAX_PACKET, "64 KiB"),
    default("prefix", Kind::Text(r#"the first levels of a topic, such as "verge""#), "verge"),
    default(
        "topic",
        Kind::Text(r#"a topic with placeholders, such as "devices/{gateway}/messages/events/""#),
        "{prefix}/{gateway}/{channel}",
    ),
    default("format", Kind::Choice(&["cbor", "json"]), "cbor"),
    default("window", Kind::Whole { low: 1, high: 1000 }, "64"),
    default("rewind", Kind::Span { low: Duration::ZERO, high: HOUR }, "5s"),
    default("lanes", Kind::Choices(&["alarm", "verdict", "telemetry"]), "alarm,verdict,telemetry"),
    default("batch", Kind::Table(BATCH), ""),
    optional("route", Kind::Name),
    optional("budget", Kind::Size { low: KIB, high: TIB }),
    default("commands", Kind::Flag, "true"),
    default("status", Kind::Flag, "true"),
    default("retain", Kind::Flag, "true"),
    default("will", Kind::Flag, "true"),
    default("echo", Kind::Flag, "true"),
];

const ROUTE: &[Key] = &[
    default("mode", Kind::Choice(&["failover", "spread"]), "failover"),
    default("return_after", Kind::Span { low: Duration::ZERO, high: HOUR }, "30s")
        .when("mode", &["failover"]),
];

const BATCH: &[Key] = &[
    default("max_verdicts", Kind::Whole { low: 1, high: 1000 }, "20"),
    default("verdict_wait", Kind::Span { low: Duration::ZERO, high: MINUTE }, "200ms"),
    default("telemetry_wait", Kind::Span { low: Duration::ZERO, high: MINUTE }, "1s"),
];

const ENGINE: &[Key] = &[
    optional("library", Kind::Text("the path of an ONNX Runtime library, 1.20 or later")),
    optional("workers", Kind::Whole { low: 1, high: 256 }),
    default("threads", Kind::Whole { low: 1, high: 64 }, "1"),
    default("max_model", Kind::Size { low: KIB, high: 2 * GIB }, "512 MiB"),
];

const MODEL: &[Key] = &[required(
    "file",
    Kind::Text(
        r#"the path of a model with its card beside it, such as "models/vehicles.onnx", or of the card"#,
    ),
)];

/// What tells series apart in line protocol. Judges that name a field alone mean it in each measurement.
pub(crate) const LINE_SIGNAL: &str = verge_codec::LineSettings::SIGNAL;

/// Codecs that carry readings.
const READINGS: &[&str] = &["number", "json", "senml", "line", "samples_f32", "samples_i16"];
/// Codecs that carry few readings in a message.
const FEW: &[&str] = &["number", "json", "senml", "line"];
/// Codecs that carry blocks of samples.
const SAMPLES: &[&str] = &["samples_f32", "samples_i16"];
/// Codecs that carry bare numbers.
const NUMBERS: &[&str] = &["number", "samples_f32", "samples_i16"];
/// Codecs in which numbers may stand in text.
const TEXTS: &[&str] = &["number", "json"];
/// Codecs that carry frames.
const FRAMES: &[&str] = &["jpeg", "jpeg_b64", "json_image"];

const SOURCE: &[Key] = &[
    required("topic", Kind::Text(r#"an MQTT topic filter, such as "plant/+/vibration""#)),
    required(
        "codec",
        Kind::Choice(&[
            "number",
            "json",
            "senml",
            "line",
            "samples_f32",
            "samples_i16",
            "jpeg",
            "jpeg_b64",
            "json_image",
        ]),
    ),
    default("compression", Kind::Choice(&["none", "lz4"]), "none"),
    default("retained", Kind::Flag, "false"),
    default("max_payload", Kind::Size { low: 1, high: MAX_MQTT_PACKET }, "64 KiB").when("codec", READINGS),
    default("max_payload", Kind::Size { low: 1, high: MAX_MQTT_PACKET }, "2 MiB").when("codec", FRAMES),
    default("max_readings", Kind::Whole { low: 1, high: 65_536 }, "256").when("codec", FEW),
    default("max_readings", Kind::Whole { low: 1, high: 65_536 }, "65536").when("codec", SAMPLES),
    default("overload", Kind::Choice(&["wait", "newest"]), "wait").when("codec", SAMPLES),
    default("max_pixels", Kind::Whole { low: 1, high: 1 << 30 }, "16777216").when("codec", FRAMES),
    default("frames", Kind::Choice(&["newest", "every"]), "newest").when("codec", FRAMES),
    default("max_age", Kind::Span { low: Duration::from_millis(10), high: HOUR }, "2s").when("codec", FRAMES),
    default("urgency", Kind::Span { low: Duration::from_millis(1), high: HOUR }, "1s").when("codec", FRAMES),
    required("device", Kind::Text(r#""topic:1" (level of the topic, counted from 0) or "fixed:pump-1""#))
        .when("codec", &["number", "samples_f32", "samples_i16", "jpeg", "jpeg_b64"]),
    required(
        "device",
        Kind::Text(r#""topic:1" (level of the topic, counted from 0), "pointer:/dev/id" or "fixed:pump-1""#),
    )
    .when("codec", &["json", "json_image"]),
    required(
        "device",
        Kind::Text(r#""topic:1" (level of the topic, counted from 0), "tag:host" or "fixed:pump-1""#),
    )
    .when("codec", &["line"]),
    default(
        "device",
        Kind::Text(r#""name", "topic:1" (level of the topic, counted from 0) or "fixed:pump-1""#),
        "name",
    )
    .when("codec", &["senml"]),
    required(
        "signal",
        Kind::Text(
            r#"the name of the signal, "topic:2" (level of the topic, counted from 0), or several parts such as "{topic:2}/{topic:3}""#,
        ),
    )
    .when("codec", NUMBERS),
    default("signal", Kind::Text(r#"parts such as "{measurement}/{field}{tags}" or "{field}""#), LINE_SIGNAL)
        .when("codec", &["line"]),
    optional("signal", Kind::Text(r#"parts such as "{name}/{record}""#)).when("codec", &["senml"]),
    optional("unit", UNIT).when("codec", NUMBERS),
    default("scale", ANY_NUMBER, "1").when("codec", NUMBERS),
    default("offset", ANY_NUMBER, "0").when("codec", NUMBERS),
    optional("words", Kind::Numbers).when("codec", TEXTS),
    default("decimal", Kind::Choice(&[".", ","]), ".").when("codec", TEXTS),
    optional("time", Kind::Table(TIME)).when("codec", &["json", "json_image"]),
    optional("quality", Kind::Table(QUALITY)).when("codec", &["json"]),
    required("image", Kind::Text(r#"a JSON pointer, such as "/image""#)).when("codec", &["json_image"]),
    required("reading", Kind::Tables(READING)).when("codec", &["json"]),
    default("format", Kind::Choice(&["auto", "json", "cbor"]), "auto").when("codec", &["senml"]),
    default("precision", Kind::Choice(&["s", "ms", "us", "ns"]), "ns").when("codec", &["line"]),
];

const TIME: &[Key] = &[
    required("pointer", Kind::Text(r#"a JSON pointer, such as "/ts""#)),
    required("format", Kind::Choice(&["unix_s", "unix_ms", "unix_us", "unix_ns", "rfc3339", "auto"])),
    optional("zone", Kind::Text(r#"the name of a time zone, such as "Europe/Berlin""#)),
];

const QUALITY: &[Key] = &[
    required("pointer", Kind::Text(r#"a JSON pointer, such as "/values/*/q""#)),
    default("format", Kind::Choice(&["auto", "opc_da", "opc_ua"]), "auto"),
];

const READING: &[Key] = &[
    required("pointer", Kind::Text(r#"a JSON pointer, such as "/sensors/*/value""#)),
    optional("signal", SIGNAL),
    optional("time", Kind::Table(TIME)),
    optional("quality", Kind::Table(QUALITY)),
    optional("unit", UNIT),
    default("scale", ANY_NUMBER, "1"),
    default("offset", ANY_NUMBER, "0"),
    optional("words", Kind::Numbers),
    default("required", Kind::Flag, "true"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::kind::Need;

    const COMMENTED: &str = include_str!("../../../../../configs/gateway.toml");

    /// The lines `key = value` and `#key = value` of the example, with the section they stand in.
    fn example_lines() -> Vec<(String, String, String)> {
        let mut section = String::new();
        let mut lines = Vec::new();
        for line in COMMENTED.lines() {
            if let Some(header) = line.strip_prefix('[') {
                let header = header.trim_matches(|bracket| bracket == '[' || bracket == ']');
                let parts: Vec<&str> = header.split('.').collect();
                section = parts
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| *index != 1)
                    .map(|(_, part)| *part)
                    .collect();
            }
            let line = line.strip_prefix('#').unwrap_or(line);
            if let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
                lines.push((section.clone(), key.to_owned(), value.to_owned()));
            }
        }
        lines
    }

    fn check(section: &str, keys: &[Key], lines: &[(String, String, String)]) {
        for key in keys {
            if let Kind::Table(inner) | Kind::Tables(inner) = key.kind {
                if !matches!(key.name, "time" | "quality") {
                    check(&format!("{section}{}", key.name), inner, lines);
                }
                continue;
            }
            let shown: Vec<&str> = lines
                .iter()
                .filter(|(place, name, _)| place == section && name == key.name)
                .map(|(_, _, value)| value.as_str())
                .collect();
            match key.need {
                _ if matches!(key.kind, Kind::Secret) => assert!(shown.is_empty(), "a secret in an example"),
                Need::Required | Need::Optional => {
                    assert!(!shown.is_empty(), "configs/gateway.toml does not show {section}.{}", key.name);
                }
                Need::Default(text) => {
                    let plain = |value: &str| {
                        let value =
                            value.trim_matches(|letter| matches!(letter, '[' | ']')).replace(['"', ' '], "");
                        value.strip_suffix(".0").map_or(value.clone(), str::to_owned)
                    };
                    let text = text.replace(' ', "");
                    assert!(
                        shown.iter().any(|value| plain(value) == text),
                        "configs/gateway.toml does not show the default {text:?} of {section}.{}: {shown:?}",
                        key.name
                    );
                }
            }
        }
    }

    #[test]
    fn the_commented_example_shows_every_key_and_its_default() {
        let lines = example_lines();
        for section in SECTIONS {
            check(section.name, section.keys, &lines);
        }
    }
}
