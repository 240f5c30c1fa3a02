//! A verdict in one line, for people, and dates and times as people read them.

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
