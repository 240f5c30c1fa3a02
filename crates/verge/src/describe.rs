//! A verdict in one line, for people, and dates and times as people read them.

use std::time::Duration;

use jiff::Timestamp;
use verge_domain::id::{GatewayId, Lane};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_wire::{SiteZone, verdict_words};

/// The verdict in one line, with its lane, time, gateway and the number of its event: `watch` and `run` print this. Times are those of
/// the site.
#[must_use]
pub(crate) fn line(gateway: &GatewayId, lane: Lane, verdict: &Verdict, zone: &SiteZone) -> String {
    let at = zone.to_millisecond(verdict.times.decided);
    let (severity, judge) = (verdict.severity.as_str(), &verdict.judge);
    let number = verdict.event.and_then(|event| event.number);
    let number = number.map_or_else(String::new, |number| format!("#{number} "));
    format!(
        "{:<9} {at} {gateway} {severity:<8} {number}{judge}: {}",
        lane.as_str(),
        verdict_words(verdict, zone)
    )
}

/// Date and time of day to the millisecond, marked as UTC.
#[cfg(feature = "eval")]
#[must_use]
pub(crate) fn stamp(at: UtcMillis) -> String {
    format!("{}Z", date_and_time(at))
}

/// Date and time of day in UTC, to the millisecond.
pub(crate) fn date_and_time(at: UtcMillis) -> String {
    Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

/// A duration in its two greatest units: "46 days", "1 day 3 h", "12 min 5 s", "1.5 s", "40 ms".
pub(crate) fn span(span: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = span.as_secs();
    if seconds == 0 {
        return format!("{} ms", span.subsec_millis());
    }
    if seconds < 60 && span.subsec_millis() > 0 {
        return format!("{:.1} s", span.as_secs_f64());
    }
    let first = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[first];
    let (whole, rest) = (seconds / unit, seconds % unit);
    let name = if name == "day" && whole > 1 { "days" } else { name };
    match UNITS.get(first + 1).map(|(unit, name)| (rest / unit, *name)) {
        Some((more, smaller)) if more > 0 => format!("{whole} {name} {more} {smaller}"),
        _ => format!("{whole} {name}"),
    }
}

/// Date and time of day in UTC, with a fraction where there is one.
pub(crate) fn short_utc(at: UtcMillis) -> String {
    let text = date_and_time(at);
    text.strip_suffix(".000").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use verge_domain::id::{EventId, EventNumber};
    use verge_domain::verdict::{AlarmHandling, Event, EventState};

    use super::*;

    /// The verdict of a sample message, which the tests of its words read as well.
    pub(crate) fn sample() -> Verdict {
        let message = include_bytes!("../../verge-wire/tests/wire/alarm.json");
        let message = verge_wire::read_message(message, verge_wire::WireLimits::default()).unwrap();
        message.verdicts.into_iter().next().unwrap().1
    }

    #[test]
    fn a_duration_has_two_units_at_most() {
        let check = |seconds: f64, expected: &str| {
            assert_eq!(span(Duration::from_secs_f64(seconds)), expected, "{seconds}");
        };
        check(4_022_784.0, "46 days 13 h");
        check(172_800.0, "2 days");
        check(86_400.0, "1 day");
        check(90_000.0, "1 day 1 h");
        check(3_600.0, "1 h");
        check(725.0, "12 min 5 s");
        check(60.0, "1 min");
        check(1.5, "1.5 s");
        check(1.0, "1 s");
        check(0.04, "40 ms");
        check(0.0, "0 ms");
    }

    #[test]
    fn a_line_says_when_who_and_what() {
        let gateway = GatewayId::new("g").unwrap();
        assert_eq!(
            line(&gateway, Lane::Alarm, &sample(), &SiteZone::utc()),
            "alarm     1970-01-01 00:00:00.000Z g critical j: pump-1 vibration: high, 8.41 mm/s (expected at most 7.1 mm/s)"
        );
        let (id, since, number) = (EventId([7; 16]), UtcMillis(0), Some(EventNumber(142)));
        let event = Some(Event {
            id,
            state: EventState::Raised,
            since,
            lasted_ms: 0,
            number,
            change: None,
            suspended: false,
            learning: false,
            group: None,
            handling: AlarmHandling::default(),
        });
        let numbered = line(&gateway, Lane::Alarm, &Verdict { event, ..sample() }, &SiteZone::utc());
        assert!(numbered.contains(" g critical #142 j: pump-1 vibration: high"), "{numbered}");
    }
}
