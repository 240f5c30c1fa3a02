//! Keys of `[judge.NAME]`: what every judge has, then each detector's own.

use std::time::Duration;

use super::super::kind::{Key, Kind, default, optional, required};
use super::{ANY_NUMBER, DAY, HOUR, POSITIVE, SHARE, SIGNAL};

const EVENTFUL: &[&str] = &[
    "threshold",
    "rate",
    "silence",
    "health",
    "auto",
    "multi",
    "pattern",
    "vibration",
    "cusum",
    "autoencoder",
];

/// Detectors that learn what is usual.
const LEARNING: &[&str] = &["auto", "multi", "pattern", "vibration", "autoencoder"];
/// Detectors that look at frames.
const VIEWS: &[&str] = &["classify", "detect"];
/// Detectors that ask a model.
const ASKING: &[&str] = &["classify", "detect", "autoencoder"];

pub(super) const JUDGE: &[Key] = &[
    required(
        "inputs",
        Kind::Texts(r#"sources, or "source:signal" with "*" for any part of a signal's name"#),
    ),
    optional("devices", Kind::Texts(r#"names of devices, with "*" for any part"#)),
    default("detector", Kind::Choice(DETECTORS), "auto"),
    default("severity", Kind::Choice(&["info", "warning", "critical"]), "warning").when("detector", EVENTFUL),
    default("severity", Kind::Choice(&["info", "warning", "critical"]), "info")
        .when("detector", &["loop", "classify", "detect"]),
    optional("lane", Kind::Choice(&["alarm", "verdict", "telemetry"])),
    default("raise_after", Kind::Span { low: Duration::ZERO, high: DAY }, "0s").when("detector", EVENTFUL),
    default("clear_after", Kind::Span { low: Duration::ZERO, high: DAY }, "0s").when("detector", EVENTFUL),
    default("update_every", Kind::SpanOrNever { high: DAY }, "10m").when("detector", EVENTFUL),
    optional("above", ANY_NUMBER).when("detector", &["threshold"]),
    optional("clear_below", ANY_NUMBER).when("detector", &["threshold"]),
    optional("below", ANY_NUMBER).when("detector", &["threshold"]),
    optional("clear_above", ANY_NUMBER).when("detector", &["threshold"]),
    optional("rise_above", POSITIVE).when("detector", &["rate"]),
    optional("fall_above", POSITIVE).when("detector", &["rate"]),
    default("per", Kind::Span { low: Duration::from_millis(1), high: DAY }, "1s").when("detector", &["rate"]),
    default("window", Kind::Span { low: Duration::from_millis(1), high: DAY }, "30s")
        .when("detector", &["rate"]),
    default("hysteresis", Kind::Number { low: 0.0, high: 0.99 }, "0.2").when("detector", &["rate"]),
    default("hysteresis", Kind::Number { low: 0.0, high: 0.99 }, "0.5").when("detector", &["cusum"]),
    required(
        "after",
        Kind::Span { low: Duration::from_millis(100), high: Duration::from_secs(30 * 24 * 3600) },
    )
    .when("detector", &["silence"]),
    optional("expect", Kind::Texts("names of devices that must be heard")).when("detector", &["silence"]),
    default("interval", Kind::Span { low: Duration::from_secs(1), high: DAY }, "1m")
        .when("detector", &["loop"]),
    optional("pulses", SIGNAL).when("detector", &["loop"]),
    optional("presence", SIGNAL).when("detector", &["loop"]),
    optional("occupancy", SIGNAL).when("detector", &["loop"]),
    default("occupancy_unit", Kind::Choice(&["percent", "fraction"]), "percent").when("detector", &["loop"]),
    optional("speed", SIGNAL).when("detector", &["loop"]),
    optional("effective_length", Kind::Number { low: 0.1, high: 100.0 }).when("detector", &["loop"]),
    default("max_gap", Kind::Span { low: Duration::from_millis(100), high: HOUR }, "30s")
        .when("detector", &["loop"]),
    required("model", Kind::Text("the name of a [model.NAME]")).when("detector", ASKING),
    optional("stride", Kind::Whole { low: 1, high: 1 << 20 }).when("detector", &["autoencoder"]),
    optional("score", SHARE).when("detector", VIEWS),
    optional("labels", Kind::Texts("labels of the model")).when("detector", VIEWS),
    default("top", Kind::Whole { low: 1, high: 100 }, "5").when("detector", &["classify"]),
    default("region", Kind::Table(REGION), "").when("detector", ASKING),
    default("report", Kind::Choice(&["change", "every"]), "change").when("detector", VIEWS),
    default("hold", Kind::Span { low: Duration::ZERO, high: HOUR }, "0s").when("detector", VIEWS),
    default("update_every", Kind::SpanOrNever { high: DAY }, "1m").when("detector", VIEWS),
    default("alarm_budget", Kind::Text(ALARM_BUDGET), "1/week").when("detector", LEARNING),
    default("hold_off", Kind::Whole { low: 0, high: 100_000 }, "100").when("detector", LEARNING),
    optional("resolution", POSITIVE).when("detector", &["auto"]),
    default("commissioning", Kind::Whole { low: 200, high: 100_000 }, "400").when("detector", &["multi"]),
    optional("machine", Kind::Name).when("detector", &["multi"]),
    required("shape", Kind::Whole { low: 16, high: 512 }).when("detector", &["pattern"]),
    required("sample_rate", RATE_HZ).when("detector", &["vibration"]),
    optional("analysis_rate", RATE_HZ).when("detector", &["vibration"]),
    default("block", Kind::Whole { low: 256, high: 16_384 }, "512").when("detector", &["vibration"]),
    default("learn", Kind::Whole { low: 16, high: 1_000_000 }, "256").when("detector", &["vibration"]),
    optional("target", ANY_NUMBER).when("detector", &["cusum"]),
    optional("sigma", POSITIVE).when("detector", &["cusum"]),
    default("learn", Kind::Whole { low: 8, high: 10_000 }, "200").when("detector", &["cusum"]),
    default("slack", Kind::Number { low: 0.0, high: 100.0 }, "0.5").when("detector", &["cusum"]),
    default("limit", Kind::Number { low: 0.1, high: 1000.0 }, "5").when("detector", &["cusum"]),
    default("reset", Kind::Flag, "false").when("detector", &["cusum"]),
    default("causes", Kind::Choices(CAUSES), "stuck,flat,noisy,saturated,silent,clock_skewed,duplicate")
        .when("detector", &["health"]),
    default("patience", Kind::Number { low: 1.0, high: 1000.0 }, "1").when("detector", &["health"]),
];

/// What a budget of alarms looks like.
pub(crate) const ALARM_BUDGET: &str =
    r#"false alarms per time that are accepted of one signal, such as "1/week", "2/month" or "3/10d""#;

/// What can be wrong with a sensor.
const CAUSES: &[&str] = &["stuck", "flat", "noisy", "saturated", "silent", "clock_skewed", "duplicate"];

const RATE_HZ: Kind = Kind::Number { low: 1.0, high: 1e7 };

const DETECTORS: &[&str] = &[
    "auto",
    "multi",
    "pattern",
    "vibration",
    "autoencoder",
    "threshold",
    "rate",
    "cusum",
    "silence",
    "health",
    "loop",
    "classify",
    "detect",
];

const REGION: &[Key] = &[
    default("left", SHARE, "0"),
    default("top", SHARE, "0"),
    default("right", SHARE, "1"),
    default("bottom", SHARE, "1"),
];
