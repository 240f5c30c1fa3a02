//! Keys of `[judge.NAME]`: what every judge has, then each detector's own.

use std::time::Duration;

use verge_anomaly::alarm::{BudgetOf, WhileLearning};
use verge_anomaly::{LoopReports, OccupancyScale};
use verge_domain::finding::{FARTHEST, Member};
use verge_domain::id::Lane;
use verge_domain::verdict::Severity;

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{ConfigNode, Map, Table, Value};
use super::super::units::{Span, SpanOrNever};
use super::track::{RawTrack, SPANS_AHEAD};
use super::{DAY, HOUR, SECOND};

/// Which signal says in which state a machine is.
const A_STATE: &str = r#"a signal of a source, such as "plc:XS701""#;

/// What a budget of alarms looks like.
pub(crate) const ALARM_BUDGET: &str = r#"false alarms per time that are accepted of all signals of the judge together, such as "1/week", "2/month" or "3/10d""#;

/// What can be wrong with sensors, and with cameras.
const ALL_CAUSES: &str = "stuck,flat,noisy,saturated,silent,clock_skewed,duplicate,frozen,dark,bright,blurred,covered,\
                          low_contrast,moved,flicker,size";

const A_SIGNAL: &str = "the name of a signal";

declare! {
    /// `[judge.NAME]`
    struct RawJudge by detector: RawDetector [.or("auto")] {
        inputs: Option<Vec<String>> =
            texts(r#"sources, or "source:signal" with "*" for any part of a signal's name"#).required(),
        devices: Option<Vec<String>> = texts(r#"names of devices, with "*" for any part"#),
        lane: Option<Lane> = word::<Lane>(),
    }

    /// How a judge decides.
    enum RawDetector {
        "auto" => Auto(RawAuto),
        "multi" => Multi(RawMulti),
        "pattern" => Pattern(RawPattern),
        "vibration" => Vibration(RawVibration),
        "autoencoder" => Autoencoder(RawAutoencoder),
        "anomaly" => Anomaly(RawAnomaly),
        "threshold" => Threshold(RawThreshold),
        "rate" => Rate(RawRate),
        "cusum" => Cusum(RawCusum),
        "silence" => Silence(RawSilence),
        "health" => Health(RawHealth),
        "loop" => Loop(RawLoop),
        "classify" => Classify(RawClassify),
        "detect" => Detect(RawDetect),
        "track" => Track(RawTrack),
    }

    /// Of detectors whose conditions become events.
    struct RawEvents {
        severity: Severity = word::<Severity>().or("warning"),
        critical_when: Option<RawCriticalWhen> = table::<RawCriticalWhen>(),
        raise_after: Span = span(Duration::ZERO, DAY).or("0s"),
        clear_after: Span = span(Duration::ZERO, DAY).or("0s"),
        update_every: SpanOrNever = span_or_never(DAY).or("10m"),
        r#while: Option<RawWhile> = table::<RawWhile>(),
    }

    /// In which state of a machine it is judged.
    struct RawWhile {
        signal: Option<String> = text(A_STATE).required(),
        device: Option<String> = text("the name of the device that sends it"),
        equals: Option<f64> = number(),
        above: Option<f64> = number(),
        below: Option<f64> = number(),
        settle: Span = span(Duration::ZERO, DAY).or("0s"),
    }

    /// Of detectors that learn: apart for each state of a machine.
    struct RawBy {
        by: Option<String> = text(A_STATE),
        by_device: Option<String> = text("the name of the device that sends it"),
        by_settle: Span = span(Duration::ZERO, DAY).or("0s"),
    }

    /// What must hold for an event to be critical.
    struct RawCriticalWhen {
        distance: Option<f64> = numbers_from(0.0, FARTHEST),
        probability: Option<f64> = numbers_from(0.0, 1.0),
        lasted: Option<Span> = span(Duration::ZERO, DAY),
    }

    words for Severity { "info" => Info, "warning" => Warning, "critical" => Critical }

    /// Of detectors that learn what is usual.
    struct RawAlarms with apart: RawBy {
        alarm_budget: String = text(ALARM_BUDGET).or("1/week"),
        budget_of: BudgetOf = word::<BudgetOf>().or("judge"),
        while_learning: WhileLearning = word::<WhileLearning>().or("info"),
        hold_off: u32 = whole(0, 100_000).or("100"),
    }

    words for BudgetOf { "judge" => Judge, "signal" => Signal }

    words for WhileLearning { "quiet" => Quiet, "info" => Info, "alarm" => Alarm }

    /// Of detectors that ask a model.
    struct RawAsking {
        model: Option<String> = text("the name of a [model.NAME]").required(),
        region: RawRegion = table::<RawRegion>().or(""),
    }

    /// A part of a frame.
    struct RawRegion {
        left: f32 = share().or("0"),
        top: f32 = share().or("0"),
        right: f32 = share().or("1"),
        bottom: f32 = share().or("1"),
    }

    /// A second model that looks at what a judge's own finds.
    struct RawThen {
        model: Option<String> = text("the name of a [model.NAME] that classifies").required(),
        labels: Option<Vec<String>> = texts("classes of this judge, or labels of its model"),
        classes: Option<Map<Vec<String>>> =
            text_lists("labels of the second model, or \"*\" for all others"),
        margin: f32 = share().or("0.1"),
        score: Option<f32> = share(),
        at_most: usize = whole(1, 64).or("4"),
        every: Option<Span> = span(Duration::from_millis(100), DAY),
    }

    /// When a model looks at frames in which nothing moves.
    struct RawGate {
        heartbeat: Span = span(Duration::from_millis(100), HOUR).or("2s"),
        after: Span = span(Duration::ZERO, HOUR).or("1s"),
        least: f64 = numbers_from(0.001, 0.5).or("0.004"),
    }

    /// Of detectors that report what a frame shows.
    struct RawViews with asking: RawAsking {
        severity: Severity = word::<Severity>().or("info"),
        score: Option<f32> = share(),
        labels: Option<Vec<String>> = texts("labels of the model"),
        report: RawReport = word::<RawReport>().or("change"),
        hold: Span = span(Duration::ZERO, HOUR).or("0s"),
        update_every: SpanOrNever = span_or_never(DAY).or("1m"),
        gate: Option<RawGate> = table::<RawGate>(),
    }

    /// Which of its views become verdicts.
    words RawReport { "change" => Change, "every" => Every }

    /// Detector `auto`.
    struct RawAuto with events: RawEvents, alarms: RawAlarms {
        resolution: Option<f64> = positive(),
    }

    /// Detector `multi`.
    struct RawMulti with events: RawEvents, alarms: RawAlarms {
        commissioning: usize = whole(200, 100_000).or("400"),
        machine: Option<String> = name(),
    }

    /// Detector `pattern`.
    struct RawPattern with events: RawEvents, alarms: RawAlarms {
        shape: Option<usize> = whole(16, 512).required(),
    }

    /// Detector `vibration`.
    struct RawVibration with events: RawEvents, alarms: RawAlarms {
        sample_rate: Option<f64> = numbers_from(1.0, 1e7).required(),
        analysis_rate: Option<f64> = numbers_from(1.0, 1e7),
        block: usize = whole(256, 16_384).or("512"),
        learn: u64 = whole(16, 1_000_000).or("256"),
    }

    /// Detector `autoencoder`.
    struct RawAutoencoder with events: RawEvents, alarms: RawAlarms, asking: RawAsking {
        stride: Option<usize> = whole(1, 1 << 20),
    }

    /// Detector `anomaly`.
    struct RawAnomaly with events: RawEvents, alarms: RawAlarms, asking: RawAsking {
        map_above: Option<f64> = number(),
    }

    /// Detector `threshold`.
    struct RawThreshold with events: RawEvents {
        above: Option<f64> = number(),
        clear_below: Option<f64> = number(),
        below: Option<f64> = number(),
        clear_above: Option<f64> = number(),
        settable: Option<Map<[f64; 2]>> =
            pairs("the least and the most that a limit may be set to, such as above = [6.0, 10.0]"),
    }

    /// Detector `rate`.
    struct RawRate with events: RawEvents {
        rise_above: Option<f64> = positive(),
        fall_above: Option<f64> = positive(),
        per: Span = span(Duration::from_millis(1), DAY).or("1s"),
        window: Span = span(Duration::from_millis(1), DAY).or("30s"),
        hysteresis: f64 = numbers_from(0.0, 0.99).or("0.2"),
    }

    /// Detector `cusum`.
    struct RawCusum with events: RawEvents, apart: RawBy {
        target: Option<f64> = number(),
        sigma: Option<f64> = positive(),
        learn: usize = whole(8, 10_000).or("200"),
        slack: f64 = numbers_from(0.0, 100.0).or("0.5"),
        limit: f64 = numbers_from(0.1, 1000.0).or("5"),
        hysteresis: f64 = numbers_from(0.0, 0.99).or("0.5"),
        reset: bool = flag().or("false"),
    }

    /// Detector `silence`.
    struct RawSilence with events: RawEvents {
        after: Option<Span> = span(Duration::from_millis(100), DAY.saturating_mul(30)).required(),
        expect: Option<Vec<String>> = texts("names of devices that must send readings"),
    }

    /// Detector `health`.
    struct RawHealth with events: RawEvents, apart: RawBy {
        causes: Vec<Member> =
            words::<Member>().or(ALL_CAUSES),
        patience: f64 = numbers_from(1.0, 1000.0).or("1"),
        while_learning: WhileLearning = word::<WhileLearning>().or("info"),
    }

    // What can be wrong with a sensor or a camera.
    words for Member {
        "stuck" => Stuck,
        "flat" => Flat,
        "noisy" => Noisy,
        "saturated" => Saturated,
        "silent" => Silent,
        "clock_skewed" => ClockSkewed,
        "duplicate" => Duplicate,
        "frozen" => Frozen,
        "dark" => Dark,
        "bright" => Bright,
        "blurred" => Blurred,
        "covered" => Covered,
        "low_contrast" => LowContrast,
        "moved" => Moved,
        "flicker" => Flicker,
        "size" => Size,
    }

    /// Detector `loop`.
    struct RawLoop {
        severity: Severity = word::<Severity>().or("info"),
        interval: Span = span(SECOND, DAY).or("1m"),
        pulses: Option<String> = text(A_SIGNAL),
        presence: Option<String> = text(A_SIGNAL),
        occupancy: Option<String> = text(A_SIGNAL),
        occupancy_unit: OccupancyScale = word::<OccupancyScale>().or("percent"),
        speed: Option<String> = text(A_SIGNAL),
        effective_length: Option<f64> = numbers_from(0.1, 100.0),
        max_gap: Span = span(Duration::from_millis(100), HOUR).or("30s"),
        reports: Option<LoopReports> = word::<LoopReports>(),
        max_silence: Span = span(Duration::from_millis(100), DAY).or("1h"),
        forecast: Option<Vec<String>> = texts(SPANS_AHEAD),
    }

    words for LoopReports { "change" => Change, "always" => Always }

    words for OccupancyScale { "percent" => Percent, "fraction" => Fraction }

    /// Detector `classify`.
    struct RawClassify with views: RawViews {
        top: usize = whole(1, 100).or("5"),
    }

    /// Detector `detect`.
    struct RawDetect with views: RawViews {
        tiles: usize = whole(1, 2).or("1"),
        follow: usize = whole(0, 8).or("0"),
        then: Option<RawThen> = table::<RawThen>(),
        classes: Option<Map<Vec<String>>> = text_lists("labels of the model, or \"*\" for all others"),
        scores: Option<Map<f64>> = word_values(),
    }
}
