//! Times as RFC 3339.

use jiff::Timestamp;
use verge_domain::time::UtcMillis;

/// RFC 3339, to the millisecond below.
pub(crate) fn from_rfc3339(text: &str) -> Option<UtcMillis> {
    UtcMillis::in_range(text.parse::<Timestamp>().ok()?.as_millisecond())
}

/// RFC 3339 in UTC with three decimals. Times out of range come out as the nearest in range.
#[must_use]
pub fn to_rfc3339(at: UtcMillis) -> String {
    let nearest = if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(at.0).unwrap_or(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(from_rfc3339(text).map(|at| at.0), expected, "{text:?}");
        };
        check("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123));
        check("2023-11-14T23:13:20.123999+01:00", Some(1_700_000_000_123));
        check("2023-11-14T22:13:20", None);

        assert_eq!(to_rfc3339(UtcMillis(1_700_000_000_000)), "2023-11-14T22:13:20.000Z");
        assert_eq!(to_rfc3339(UtcMillis(-1)), "1969-12-31T23:59:59.999Z");
        assert!(to_rfc3339(UtcMillis(i64::MAX)).starts_with("9999-12-30"));
        assert!(to_rfc3339(UtcMillis(i64::MIN)).starts_with("-009999"));
    }
}
