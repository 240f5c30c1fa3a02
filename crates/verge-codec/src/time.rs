//! Times from and to the forms peers use. What comes out of here always lies within the years -9999 to 9999,
//! so that differences of two times cannot overflow and every time can be written as a date.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use verge_domain::time::UtcMillis;

use crate::number;

/// Seconds since 1970, with a fraction, to the nearest millisecond.
pub(crate) fn from_seconds(seconds: f64) -> Option<UtcMillis> {
    UtcMillis::in_range(number::rounded(seconds * 1000.0)?)
}

/// RFC 3339, to the millisecond below.
pub(crate) fn from_rfc3339(text: &str) -> Option<UtcMillis> {
    UtcMillis::in_range(text.parse::<Timestamp>().ok()?.as_millisecond())
}

/// A date and time that names no zone, in the zone it is of. An hour that is there twice (a clock is put back) is the one
/// nearer to `near`; one that is not there (it is put forward) is of a clock that has not been put yet.
pub(crate) fn from_local(text: &str, zone: &TimeZone, near: UtcMillis) -> Option<UtcMillis> {
    /// Of `2026-07-01`: a date alone is no time.
    const DATE: usize = 10;
    let civil: DateTime = (text.len() > DATE).then(|| text.parse().ok()).flatten()?;
    let at = |offset: Offset| UtcMillis::in_range(offset.to_timestamp(civil).ok()?.as_millisecond());
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset),
        AmbiguousOffset::Gap { before, .. } => at(before),
        AmbiguousOffset::Fold { before, after } => {
            [at(before)?, at(after)?].into_iter().min_by_key(|at| at.0.abs_diff(near.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(from_rfc3339(text).map(|at| at.0), expected, "{text:?}");
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123));
        check("2023-11-14T23:13:20.123999+01:00", Some(1_700_000_000_123));
        check("2023-11-14T22:13:20", None);
        check("2023-11-14", None);
        check("", None);
        check("yesterday", None);
        let ends = [Timestamp::MIN, Timestamp::MAX].map(|end| UtcMillis(end.as_millisecond()));
        assert_eq!(ends, [UtcMillis::MIN, UtcMillis::MAX], "every time in range is a date");
    }

    #[test]
    fn seconds_out_of_range_are_refused() {
        assert_eq!(from_seconds(1.2345), Some(UtcMillis(1235)));
        assert_eq!(from_seconds(-0.001), Some(UtcMillis(-1)));
        assert_eq!(from_seconds(1e15), None);
        assert_eq!(from_seconds(f64::NAN), None);
    }
}
