//! Verdicts in words, for people: `verge watch`, `verge run` and the demo write them so. What a body says stands in its
//! file.

use verge_domain::finding::{Expected, Member};
use verge_domain::id::{DeviceId, Unit};
use verge_domain::verdict::{Event, EventChange, EventState, Verdict};
use verge_domain::withdrawn::{Tombstone, Withdrawal};

use crate::body;

/// Decimals that are added at most where what was observed lies close to what was expected.
const MOST_DIGITS: usize = 4;

/// The verdict in words, without its identity and times.
#[must_use]
pub fn verdict_words(verdict: &Verdict) -> String {
    let words = body::words(&verdict.body, verdict.event.as_ref());
    match &verdict.subject.signal {
        Some(signal) => format!("{} {signal}: {words}", verdict.subject.device),
        None => format!("{}: {words}", verdict.subject.device),
    }
}

/// A tombstone in words.
#[must_use]
pub fn tombstone_words(tombstone: &Tombstone) -> String {
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

/// The condition, and for how long it holds.
pub(crate) fn event_words(what: &str, event: Option<&Event>) -> String {
    match event.filter(|event| event.state != EventState::Raised) {
        Some(Event { change: Some(change), lasted_ms, .. }) => {
            let after = span(*lasted_ms);
            match change {
                EventChange::Renewed => format!("{what} again, after {after}"),
                EventChange::Turned => format!("{what} on the other side, after {after}"),
                EventChange::Grown => format!("{what}, several times farther off after {after}"),
                EventChange::Adapted => format!("{what} has become usual after {after}"),
            }
        }
        Some(Event { state: EventState::Cleared, lasted_ms, .. }) => {
            format!("{what} over after {}", span(*lasted_ms))
        }
        Some(event) => format!("{what} for {}", span(event.lasted_ms)),
        None => what.to_owned(),
    }
}

/// The unit of what is observed, with a space in front: the member's own, else the signal's.
pub(crate) fn unit_words(member: Member, of_signal: Option<&Unit>) -> String {
    match member.own_unit().or(of_signal.map(Unit::as_str)) {
        None | Some("") => String::new(),
        Some(unit) => format!(" {unit}"),
    }
}

/// What was observed, and what was expected: with as many digits as distinguish the two.
pub(crate) fn against(observed: f64, expected: &Expected, unit: &str) -> String {
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
pub(crate) fn probability(p: f64) -> String {
    if p >= 0.01 { format!("{p:.2}") } else { format!("{p:.0e}") }
}

/// Four significant digits at most: enough to read, without long decimals.
pub(crate) fn number(value: f64) -> String {
    digits(value, 0)
}

/// The same, with more decimals.
fn digits(value: f64, more: usize) -> String {
    let decimals = |least: usize| least.saturating_add(more);
    let magnitude = value.abs();
    match magnitude {
        m if m >= 1e7 || (m > 0.0 && m < 1e-3) => format!("{value:.*e}", decimals(3)),
        m if m >= 1000.0 => format!("{value:.more$}"),
        m if m >= 100.0 => trimmed(format!("{value:.*}", decimals(1))),
        m if m >= 1.0 => trimmed(format!("{value:.*}", decimals(2))),
        _ => trimmed(format!("{value:.*}", decimals(3))),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How many of what: "1 verdict", "2 verdicts".
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The unit of one: units of measurement have no plural, what is counted has.
fn singular(unit: &str) -> &str {
    if unit == " readings" { " reading" } else { unit }
}

/// A span, in the unit that reads best.
pub(crate) fn span(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        _ => format!("{} min", millis / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{EventId, JudgeId, Lane, SignalId, SourceId};
    use verge_domain::time::{DeviceClock, UtcMillis};
    use verge_domain::verdict::{Anomaly, Body, Counts, Detector, Health, Severity, Subject, Times};

    use super::*;

    /// A verdict with everything in it.
    fn sample() -> Verdict {
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
        let event = state.map(|state| Event {
            id: EventId([0; 16]),
            state,
            since,
            lasted_ms: 7_512,
            number: None,
            change: None,
        });
        assert_eq!(verdict_words(&Verdict { event, body, ..sample() }), expected);
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
        check(
            Body::Counts(Counts {
                observed_ms: 300,
                vehicles: Some(1),
                flow_per_hour: None,
                occupancy: None,
                ..counts
            }),
            None,
            "pump-1 vibration: not counted: saw 300 ms of 1 min, 1 vehicle then",
        );
    }

    #[test]
    fn durations_stay_readable() {
        let check = |millis: u64, text: &str| assert_eq!(span(millis), text);
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
