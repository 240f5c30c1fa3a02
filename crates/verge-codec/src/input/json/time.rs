//! The device's own time in JSON.

use jiff::tz::TimeZone;
use verge_domain::rejection::Reason;
use verge_domain::time::UtcMillis;

use crate::input::json_text::text;
use crate::number::rounded;
use crate::settings::{TimeFormat, TimeRule};
use crate::time::{from_local, from_rfc3339};

/// How a device writes its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeNotation {
    format: TimeFormat,
    /// Of text that names none.
    zone: Option<TimeZone>,
}

impl TimeNotation {
    pub(crate) fn new(rule: &TimeRule) -> Self {
        Self { format: rule.format, zone: rule.zone.clone() }
    }

    /// Reads the time in the JSON text of a value; `None` for `null`.
    pub(crate) fn read(&self, raw: &str, received: UtcMillis) -> Option<Result<UtcMillis, Reason>> {
        if raw == "null" {
            return None;
        }
        let time = match (text(raw), self.format) {
            (None, TimeFormat::Rfc3339) => None,
            (None, TimeFormat::Auto) => by_magnitude(raw),
            (None, format) => from_number(raw, format),
            (Some(text), TimeFormat::Rfc3339) => self.of_text(&text, received),
            (Some(text), TimeFormat::Auto) => {
                self.of_text(&text, received).or_else(|| by_magnitude(text.trim()))
            }
            (Some(text), format) => from_number(text.trim(), format),
        };
        Some(time.ok_or(Reason::BadTime))
    }

    fn of_text(&self, text: &str, received: UtcMillis) -> Option<UtcMillis> {
        let text = text.trim();
        from_rfc3339(text).or_else(|| from_local(text, self.zone.as_ref()?, received))
    }
}

/// A number whose size shows its unit: times from 1973 on look like one unit only.
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
    UtcMillis::in_range(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_read_and_others_are_refused() {
        use TimeFormat::{Auto, Rfc3339, UnixMs, UnixNs, UnixS, UnixUs};
        let check = |raw: &str, format: TimeFormat, expected: Option<i64>| {
            let expected = Some(expected.map(UtcMillis).ok_or(Reason::BadTime));
            let clock = TimeNotation { format, zone: None };
            assert_eq!(clock.read(raw, UtcMillis(0)), expected, "{raw} as {format:?}");
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

        check(r#""1700000000""#, UnixS, Some(1_700_000_000_000));
        check(r#"" 1700000000123 ""#, UnixMs, at);
        check(r#""2023-11-14 22:13:20.123+0000""#, Auto, at);
        check(r#""2023-11-14T22:13:20.123Z""#, UnixMs, None);
        check("1700000000", Rfc3339, None);
        check(r#""2018-09-08T09:39:41""#, Rfc3339, None);
        check(r#""noon""#, Auto, None);
        check("true", UnixS, None);
        check("{}", Auto, None);
        check("[1]", UnixMs, None);
        check("9223372036854775807", UnixS, None);
        check("1e300", UnixS, None);
        check("1e999", Auto, None);
        assert_eq!(TimeNotation { format: UnixS, zone: None }.read("null", UtcMillis(0)), None);
    }

    #[test]
    fn local_time_has_the_zone_that_is_named() {
        let clock = |format, zone: &str| TimeNotation { format, zone: TimeZone::get(zone).ok() };
        let check = |zone: &str, raw: &str, received: &str, expected: Option<&str>| {
            let at = |text: &str| from_rfc3339(text).unwrap();
            for format in [TimeFormat::Rfc3339, TimeFormat::Auto] {
                let read = clock(format, zone).read(&format!("\"{raw}\""), at(received));
                assert_eq!(read, Some(expected.map(at).ok_or(Reason::BadTime)), "{raw} in {zone}");
            }
        };
        let near = "2026-07-01T12:00:00Z";
        check("Europe/Vienna", "2026-07-01T14:00:00", near, Some("2026-07-01T12:00:00Z"));
        check("Europe/Vienna", "2026-07-01 14:00", near, Some("2026-07-01T12:00:00Z"));
        check("Europe/Vienna", "2026-01-05T14:00:00.250", near, Some("2026-01-05T13:00:00.250Z"));
        check("America/New_York", "2026-07-01T08:00:00", near, Some("2026-07-01T12:00:00Z"));
        check("Asia/Kolkata", "2026-07-01T17:30:00", near, Some("2026-07-01T12:00:00Z"));
        // What names a zone keeps it.
        check("Europe/Vienna", "2026-07-01T14:00:00Z", near, Some("2026-07-01T14:00:00Z"));
        check("Europe/Vienna", "2026-07-01T14:00:00+0000", near, Some("2026-07-01T14:00:00Z"));
        check("Europe/Vienna", "2026-07-01", near, None);
        check("Europe/Vienna", "1.7.2026 14:00", near, None);

        // An hour that is there twice: the nearer to the receipt of the message.
        check("Europe/Vienna", "2026-10-25T02:30:00", "2026-10-25T00:30:01Z", Some("2026-10-25T00:30:00Z"));
        check("Europe/Vienna", "2026-10-25T02:30:00", "2026-10-25T01:30:01Z", Some("2026-10-25T01:30:00Z"));
        check("Europe/Vienna", "2026-10-25T02:30:00", "2026-10-26T00:00:00Z", Some("2026-10-25T01:30:00Z"));
        // An hour that is not there: of a clock that has not been put forward yet.
        check("Europe/Vienna", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z", Some("2026-03-29T01:30:00Z"));
    }
}
