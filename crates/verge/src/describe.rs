//! A verdict in one line, for people: `verge watch` and the demo say it the same way.

use std::fmt::Write as _;

use jiff::Timestamp;
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::frame::{Classification, Detections};
use verge_domain::id::{DeviceId, GatewayId, Label, Lane};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, Counts, EventState, Verdict};
use verge_domain::withdrawn::{Tombstone, Withdrawal};

/// Decimals that are added at most where what was observed lies close to what was expected.
const MOST_DIGITS: usize = 4;

/// The verdict in one line, with its lane, time and gateway: `watch` and `run` print this.
#[must_use]
pub(crate) fn line(gateway: &GatewayId, lane: Lane, verdict: &Verdict) -> String {
    let at = stamp(verdict.times.decided);
    let (severity, judge) = (verdict.severity.as_str(), &verdict.judge);
    format!("{:<9} {at} {gateway} {severity:<8} {judge}: {}", lane.as_str(), describe(verdict))
}

/// The verdict in words, without its identity and times.
#[must_use]
pub(crate) fn describe(verdict: &Verdict) -> String {
    let subject = &verdict.subject;
    let mut line = match &subject.signal {
        Some(signal) => format!("{} {signal}: ", subject.device),
        None => format!("{}: ", subject.device),
    };
    match &verdict.body {
        Body::Anomaly(anomaly) => {
            let unit = match (anomaly.member.own_unit(), &anomaly.unit) {
                (Some("") | None, None) => String::new(),
                (Some(unit), _) => format!(" {unit}"),
                (None, Some(unit)) => format!(" {unit}"),
            };
            let per = if matches!(anomaly.member, Member::Rise | Member::Fall) { "/s" } else { "" };
            let what = match anomaly.member {
                Member::High => "high",
                Member::Low => "low",
                Member::Rise => "rises fast",
                Member::Fall => "falls fast",
                Member::Silent
                | Member::Stuck
                | Member::Flat
                | Member::Noisy
                | Member::Saturated
                | Member::ClockSkewed
                | Member::Duplicate => anomaly.member.as_str(),
                Member::Level => "unusual level",
                Member::Mean => "unusual mean",
                Member::Profile => "far from the usual of the hour, by",
                Member::Median => "unusual median",
                Member::Volatility => "unusually restless",
                Member::Context => "unusual sequence",
                Member::TimeOfDay => "unusual value for the hour",
                Member::Shift => "unusual spread",
                Member::Machine => "signals unusual together",
                Member::Pattern => "unknown shape",
                Member::Vibration => "unusual vibration",
                Member::Reconstruction => "not as the model knows it, error",
            };
            write_event(&mut line, verdict, what);
            line += &against(anomaly.observed, &anomaly.expected, &format!("{unit}{per}"));
            if let Some(p) = anomaly.p_value {
                line += &format!(", p {}", probability(p));
            }
            if !anomaly.contributions.is_empty() {
                let named = anomaly.contributions.iter().map(|one| {
                    format!("{} {} ({:.0} %)", one.signal, number(one.observed), 100.0 * one.share)
                });
                line += &format!(": {}", named.collect::<Vec<_>>().join(", "));
            }
            if !anomaly.feedback.is_empty() {
                let Feedback { maintenance, real } = anomaly.feedback;
                line += &format!(" [heard {maintenance} x maintenance, {real} x real]");
            }
        }
        Body::Health(health) => {
            let unit = match health.cause.own_unit() {
                None | Some("") => String::new(),
                Some(unit) => format!(" {unit}"),
            };
            let cause =
                if health.cause == Member::ClockSkewed { "clock skewed" } else { health.cause.as_str() };
            write_event(&mut line, verdict, cause);
            line += &against(health.observed, &health.expected, &unit);
        }
        Body::Counts(counts) => line += &describe_counts(counts),
        Body::Classification(view) => line += &describe_classes(view),
        Body::Detections(view) => line += &describe_objects(view),
    }
    line
}

/// A tombstone in words.
#[must_use]
pub(crate) fn describe_tombstone(tombstone: &Tombstone) -> String {
    let why = match tombstone.reason {
        Withdrawal::Full => "the store was full",
        Withdrawal::Expired => "their useful life was over",
        Withdrawal::Damaged => "damaged on the medium",
        Withdrawal::EarlierEpoch => "they belong to an earlier epoch of the store",
        Withdrawal::TooLarge => "too large for upstream",
        Withdrawal::Defect => "they could not be encoded, which is a defect of the gateway",
    };
    let mut line = format!("{} to {}: {why}", tombstone.from, tombstone.through);
    for summary in &tombstone.summary {
        let signal = summary.signal.as_ref().map_or(String::new(), |signal| format!(" {signal}"));
        let device = summary.device.as_ref().map_or("several devices", DeviceId::as_str);
        line += &format!("; {} x {}: {device}{signal}", summary.count, summary.judge);
        if let Some((low, high)) = summary.range {
            line += &format!(", {} to {}", number(low), number(high));
        }
    }
    line
}

fn write_event(line: &mut String, verdict: &Verdict, what: &str) {
    line.push_str(what);
    if let Some(event) = verdict.event.filter(|event| event.state != EventState::Raised) {
        let verb = if event.state == EventState::Cleared { "over after" } else { "for" };
        // Writing to a String cannot fail.
        write!(line, " {verb} {}", seconds(event.lasted_ms)).expect("a String takes any text");
    }
}

fn describe_counts(counts: &Counts) -> String {
    let mut parts = Vec::new();
    if let Some(vehicles) = counts.vehicles {
        parts.push(counted(vehicles, "vehicle"));
    }
    if let Some(flow) = counts.flow_per_hour {
        parts.push(format!("{flow:.0} veh/h"));
    }
    if let Some(occupancy) = counts.occupancy {
        parts.push(format!("occupied {:.0} %", occupancy * 100.0));
    }
    if let Some(speed) = counts.mean_speed {
        parts.push(format!("mean speed {speed:.0}"));
    }
    if parts.is_empty() {
        parts.push("nothing observed".to_owned());
    }
    let seen =
        if counts.partial { format!(" (saw {} of it)", seconds(counts.observed_ms)) } else { String::new() };
    format!("{} in {}{seen}", parts.join(", "), seconds(counts.length_ms))
}

fn describe_classes(view: &Classification) -> String {
    let told: Vec<String> =
        view.labels.iter().map(|one| format!("{} {:.0} %", one.label, one.score.as_f64() * 100.0)).collect();
    if told.is_empty() { "nothing it knows".to_owned() } else { told.join(", ") }
}

/// How many of each label, in order of the surest.
fn describe_objects(view: &Detections) -> String {
    let mut counts: Vec<(&Label, usize)> = Vec::new();
    for object in &view.objects {
        match counts.iter_mut().find(|(label, _)| **label == object.label) {
            Some((_, count)) => *count += 1,
            None => counts.push((&object.label, 1)),
        }
    }
    let told: Vec<String> = counts.iter().map(|(label, count)| format!("{count} {label}")).collect();
    if told.is_empty() { "nothing there".to_owned() } else { told.join(", ") }
}

/// What was observed, and what was expected: with as many digits as tell the two apart.
fn against(observed: f64, expected: &Expected, unit: &str) -> String {
    let ends = [expected.low, expected.high];
    let apart =
        |more: &usize| ends.iter().flatten().all(|&end| digits(end, *more) != digits(observed, *more));
    let more = (0..=MOST_DIGITS).find(apart).unwrap_or(0);
    let number = |value| digits(value, more);
    let range = match (expected.low, expected.high) {
        (Some(low), Some(high)) => format!(" (expected {} to {}{unit})", number(low), number(high)),
        (Some(low), None) => format!(" (expected at least {}{unit})", number(low)),
        (None, Some(high)) => format!(" (expected at most {}{unit})", number(high)),
        (None, None) => String::new(),
    };
    let own = if observed == 1.0 { singular(unit) } else { unit };
    format!(", {}{own}{range}", number(observed))
}

/// A probability to one digit.
fn probability(p: f64) -> String {
    if p >= 0.01 { format!("{p:.2}") } else { format!("{p:.0e}") }
}

/// Four significant digits at most: enough to read, never a wall of decimals.
fn number(value: f64) -> String {
    digits(value, 0)
}

/// The same, with more decimals.
fn digits(value: f64, more: usize) -> String {
    let magnitude = value.abs();
    match magnitude {
        m if m >= 1e7 || (m > 0.0 && m < 1e-3) => format!("{value:.*e}", 3 + more),
        m if m >= 1000.0 => format!("{value:.more$}"),
        m if m >= 100.0 => trimmed(format!("{value:.*}", 1 + more)),
        m if m >= 1.0 => trimmed(format!("{value:.*}", 2 + more)),
        _ => trimmed(format!("{value:.*}", 3 + more)),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Date and time of day to the millisecond, marked as UTC.
#[must_use]
pub(crate) fn stamp(at: UtcMillis) -> String {
    format!("{}Z", date_and_time(at))
}

/// How many of what: "1 verdict", "2 verdicts".
#[must_use]
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The unit of one: units of measurement have no plural, what is counted has.
fn singular(unit: &str) -> &str {
    if unit == " readings" { " reading" } else { unit }
}

/// Date and time of day in UTC, to the millisecond.
pub(crate) fn date_and_time(at: UtcMillis) -> String {
    Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

/// Date and time of day in UTC, with a fraction where there is one.
pub(crate) fn short_utc(at: UtcMillis) -> String {
    let text = date_and_time(at);
    text.strip_suffix(".000").map_or(text.clone(), str::to_owned)
}

/// Date and time of day in UTC.
#[must_use]
pub(crate) fn utc(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn seconds(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        _ => format!("{} min", millis / 60_000),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use verge_domain::id::{DeviceId, EventId, JudgeId, Lane, SignalId, SourceId, Unit};
    use verge_domain::time::{DeviceClock, UtcMillis};
    use verge_domain::verdict::{Anomaly, Detector, Event, Health, Severity, Subject, Times};

    use super::*;

    /// A verdict with everything in it.
    pub(crate) fn sample() -> Verdict {
        let high = Anomaly {
            member: Member::High,
            observed: 8.4131,
            expected: Expected { low: None, high: Some(7.1) },
            p_value: None,
            unit: Unit::new("mm/s").ok(),
            contributions: Vec::new(),
            feedback: verge_domain::finding::Feedback::default(),
        };
        let at = UtcMillis(0);
        Verdict {
            judge: JudgeId::new("j").unwrap(),
            subject: Subject {
                source: SourceId::new("s").unwrap(),
                device: DeviceId::new("pump-1").unwrap(),
                signal: SignalId::new("vibration").ok(),
            },
            times: Times {
                captured: None,
                clock: DeviceClock::Absent,
                received: at,
                decided: at,
                estimated: false,
            },
            detector: Detector::Threshold,
            model: None,
            severity: Severity::Critical,
            lane: Lane::Alarm,
            event: None,
            body: Body::Anomaly(high),
        }
    }

    fn check(body: Body, state: Option<EventState>, expected: &str) {
        let since = UtcMillis(0);
        let event = state.map(|state| Event { id: EventId([0; 16]), state, since, lasted_ms: 7_512 });
        assert_eq!(describe(&Verdict { event, body, ..sample() }), expected);
    }

    #[test]
    fn each_kind_reads_as_a_sentence() {
        let Body::Anomaly(high) = sample().body else { panic!("the sample is an anomaly") };
        check(
            Body::Anomaly(high.clone()),
            Some(EventState::Raised),
            "pump-1 vibration: high, 8.41 mm/s (expected at most 7.1 mm/s)",
        );
        check(
            Body::Anomaly(high),
            Some(EventState::Cleared),
            "pump-1 vibration: high over after 7.5 s, 8.41 mm/s (expected at most 7.1 mm/s)",
        );
        let silent = Health {
            cause: Member::Silent,
            observed: 31.0,
            expected: Expected { low: None, high: Some(30.0) },
        };
        check(
            Body::Health(silent),
            Some(EventState::Updated),
            "pump-1 vibration: silent for 7.5 s, 31 s (expected at most 30 s)",
        );
        let check_health = |cause: Member, low: Option<f64>, high: Option<f64>, expected: &str| {
            let expected_range = Expected { low, high };
            check(Body::Health(Health { cause, observed: 40.0, expected: expected_range }), None, expected);
        };
        let one = Expected { low: None, high: Some(32.0) };
        check(
            Body::Health(Health { cause: Member::Stuck, observed: 1.0, expected: one }),
            None,
            "pump-1 vibration: stuck, 1 reading (expected at most 32 readings)",
        );
        check_health(
            Member::Stuck,
            None,
            Some(32.0),
            "pump-1 vibration: stuck, 40 readings (expected at most 32 readings)",
        );
        check_health(Member::Noisy, None, Some(4.0), "pump-1 vibration: noisy, 40 (expected at most 4)");
        check_health(
            Member::ClockSkewed,
            Some(-60.0),
            Some(5.0),
            "pump-1 vibration: clock skewed, 40 s (expected -60 to 5 s)",
        );
        let counts = Counts {
            from: UtcMillis(0),
            length_ms: 60_000,
            observed_ms: 45_000,
            partial: true,
            readings: 9,
            vehicles: Some(12),
            flow_per_hour: Some(960.0),
            occupancy: Some(0.254),
            mean_speed: None,
        };
        check(
            Body::Counts(counts),
            None,
            "pump-1 vibration: 12 vehicles, 960 veh/h, occupied 25 % in 1 min (saw 45.0 s of it)",
        );
        check(
            Body::Counts(Counts { vehicles: Some(1), partial: false, ..counts }),
            None,
            "pump-1 vibration: 1 vehicle, 960 veh/h, occupied 25 % in 1 min",
        );
    }

    #[test]
    fn durations_stay_readable() {
        let check = |millis: u64, text: &str| assert_eq!(seconds(millis), text);
        check(87, "87 ms");
        check(1_250, "1.2 s");
        check(59_999, "59.9 s");
        check(90_000, "1 min");
    }

    #[test]
    fn what_was_observed_can_be_told_from_what_was_expected() {
        let check = |observed: f64, low: Option<f64>, high: Option<f64>, text: &str| {
            assert_eq!(against(observed, &Expected { low, high }, " m"), text);
        };
        check(4.1234, Some(3.8), Some(4.1229), ", 4.1234 m (expected 3.8 to 4.1229 m)");
        check(12_345.6, None, Some(12_345.5), ", 12345.6 m (expected at most 12345.5 m)");
        check(7.1, Some(7.1), None, ", 7.1 m (expected at least 7.1 m)");
        check(3.0, None, None, ", 3 m");
    }

    #[test]
    fn numbers_stay_readable() {
        let check = |value: f64, text: &str| assert_eq!(number(value), text);
        check(0.0, "0");
        check(0.0123, "0.012");
        check(12_345.678, "12346");
        check(123.456, "123.5");
        check(-7.0, "-7");
        check(1.5e9, "1.500e9");
        check(2e-5, "2.000e-5");
    }
}
