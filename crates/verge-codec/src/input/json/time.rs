//! The device's own time in JSON.

use verge_domain::rejection::Reason;
use verge_domain::time::UtcMillis;

use crate::input::json_text::text;
use crate::number::rounded;
use crate::settings::TimeFormat;
use crate::time::{from_rfc3339, in_range};

/// Reads the time in the JSON text of a value; `None` for `null`.
pub(crate) fn read(raw: &str, format: TimeFormat) -> Option<Result<UtcMillis, Reason>> {
    if raw == "null" {
        return None;
    }
    let time = match (text(raw), format) {
        (None, TimeFormat::Rfc3339) => None,
        (None, TimeFormat::Auto) => by_magnitude(raw),
        (None, format) => from_number(raw, format),
        (Some(text), TimeFormat::Rfc3339) => from_rfc3339(&text),
        (Some(text), TimeFormat::Auto) => from_rfc3339(&text).or_else(|| by_magnitude(&text)),
        (Some(_), _) => None,
    };
    Some(time.ok_or(Reason::BadTime))
}

/// A number whose unit its size betrays: times from 1973 on look like one unit only.
fn by_magnitude(text: &str) -> Option<UtcMillis> {
    let magnitude = text.parse::<f64>().ok()?.abs();
    let format = match magnitude {
        _ if magnitude < 1e11 => TimeFormat::UnixS,
        _ if magnitude < 1e14 => TimeFormat::UnixMs,
        _ if magnitude < 1e17 => TimeFormat::UnixUs,
        _ => TimeFormat::UnixNs,
    };
    from_number(text, format)
}

/// A number since 1970: whole ones to the millisecond below, others to the nearest.
fn from_number(text: &str, format: TimeFormat) -> Option<UtcMillis> {
    let (up, down) = match format {
        TimeFormat::UnixS => (1000, 1),
        TimeFormat::UnixMs => (1, 1),
        TimeFormat::UnixUs => (1, 1000),
        TimeFormat::UnixNs => (1, 1_000_000),
        TimeFormat::Rfc3339 | TimeFormat::Auto => return None,
    };
    let millis = match text.parse::<i64>() {
        Ok(whole) => whole.checked_mul(up)?.div_euclid(down),
        Err(_) => {
            let (up, down) = (f64::from(i32::try_from(up).ok()?), f64::from(i32::try_from(down).ok()?));
            rounded(text.parse::<f64>().ok()? * up / down)?
        }
    };
    in_range(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_read_and_others_are_refused() {
        use TimeFormat::{Auto, Rfc3339, UnixMs, UnixNs, UnixS, UnixUs};
        let check = |raw: &str, format: TimeFormat, expected: Option<i64>| {
            let expected = Some(expected.map(UtcMillis).ok_or(Reason::BadTime));
            assert_eq!(read(raw, format), expected, "{raw} as {format:?}");
        };
        let at = Some(1_700_000_000_123);
        check("1700000000", UnixS, Some(1_700_000_000_000));
        check("1700000000.1234", UnixS, at);
        check("1700000000123", UnixMs, at);
        check("1700000000123999", UnixUs, at);
        check("1700000000123999999", UnixNs, at);
        check("-1", UnixUs, Some(-1));
        check("1.7e9", UnixS, Some(1_700_000_000_000));
        check(r#""2023-11-14T22:13:20.123Z""#, Rfc3339, at);
        check(r#""2023-11-14\u005422:13:20.123Z""#, Rfc3339, at);

        check("1700000000.1234", Auto, at);
        check("1700000000123", Auto, at);
        check("1700000000123999", Auto, at);
        check("1700000000123999999", Auto, at);
        check(r#""1700000000123""#, Auto, at);
        check(r#""2023-11-14T22:13:20.123Z""#, Auto, at);

        check(r#""1700000000""#, UnixS, None);
        check("1700000000", Rfc3339, None);
        check(r#""2018-09-08T09:39:41""#, Rfc3339, None);
        check(r#""noon""#, Auto, None);
        check("true", UnixS, None);
        check("{}", Auto, None);
        check("[1]", UnixMs, None);
        check("9223372036854775807", UnixS, None);
        check("1e300", UnixS, None);
        check("1e999", Auto, None);
        assert_eq!(read("null", UnixS), None);
    }
}
