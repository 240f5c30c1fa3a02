//! Instants as recordings and tables write them.

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use verge_domain::excerpt::Excerpt;
use verge_domain::time::UtcMillis;

/// Numbers from here on are milliseconds since 1970, below seconds: 1973 as the one, 5138 as the other.
const MILLISECONDS_FROM: f64 = 1e11;
const MICROSECONDS_FROM: f64 = 1e14;
const NANOSECONDS_FROM: f64 = 1e17;

/// RFC 3339, also with an offset without colon; a date and time without offset, which is taken as UTC; or a number since
/// 1970.
pub(super) fn parse_time(text: &str) -> anyhow::Result<UtcMillis> {
    let in_utc = |local: DateTime| local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let instant = iso(text)
        .and_then(|known| known.map_or_else(in_utc, Some))
        .or_else(|| text.trim().parse().ok().and_then(since_epoch));
    instant
        .map(|instant| UtcMillis(instant.as_millisecond()))
        .with_context(|| anyhow!("{} is not a time", Excerpt::of(text.as_bytes())))
}

/// RFC 3339, also with an offset without colon; or, as an error, a date and time without an offset.
pub(super) fn iso(text: &str) -> Option<Result<Timestamp, DateTime>> {
    // Some releases of mosquitto_sub write both a Z and an offset, of which the offset is meant.
    let text = text.trim().replacen("Z+", "+", 1).replacen("Z-", "-", 1);
    let local = || text.parse::<DateTime>().ok().map(Err);
    text.parse::<Timestamp>().ok().map(Ok).or_else(local)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, by their size.
pub(super) fn since_epoch(number: f64) -> Option<Timestamp> {
    let size = number.abs();
    from_millis(match () {
        () if size >= NANOSECONDS_FROM => number / 1e6,
        () if size >= MICROSECONDS_FROM => number / 1e3,
        () if size >= MILLISECONDS_FROM => number,
        () => number * 1e3,
    })
}

pub(super) fn from_millis(millis: f64) -> Option<Timestamp> {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is refused as a time beyond all")]
    let whole = millis.round() as i64;
    Timestamp::from_millisecond(whole).ok().filter(|_| millis.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_many_forms() {
        let check = |text: &str, expected: i64| {
            assert_eq!(parse_time(text).unwrap(), UtcMillis(expected), "{text}");
        };
        check("2020-03-09T10:14:33Z", 1_583_748_873_000);
        check("2020-03-09T11:14:33+01:00", 1_583_748_873_000);
        check("2020-03-09T11:14:33+0100", 1_583_748_873_000);
        check("2020-03-09T10:14:33.000000Z+0000", 1_583_748_873_000);
        check("2020-03-09 10:14:33", 1_583_748_873_000);
        check("2020-03-09 10:14:33.250000", 1_583_748_873_250);
        check("1583748873", 1_583_748_873_000);
        check("1583748873.25", 1_583_748_873_250);
        check("1583748873250", 1_583_748_873_250);
        check("1583748873250000", 1_583_748_873_250);
        for text in ["", "noon", "inf", "1e300", "NaN"] {
            let error = parse_time(text).unwrap_err().to_string();
            assert!(error.ends_with("is not a time"), "{error}");
        }
    }
}
