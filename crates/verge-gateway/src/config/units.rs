//! Durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;

/// A duration, as "250ms", "5s", "10m", "24h", "7d".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Reads a duration; a number without a unit is none.
    pub fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text.trim()).ok().map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 86_400;
        let days = self.0.as_secs() / DAY;
        let rest = self.0 - Duration::from_secs(days * DAY);
        let word = if days == 1 { "day" } else { "days" };
        match days {
            0 => humantime::format_duration(rest).fmt(f),
            _ if rest.is_zero() => write!(f, "{days} {word}"),
            _ => write!(f, "{days} {word} {}", humantime::format_duration(rest)),
        }
    }
}

/// A number of bytes, as "64 KiB", "2 GiB", "500 MB".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Reads a size; a number without a unit counts bytes.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<ByteSize>().ok().map(|size| Self(size.as_u64()))
    }

    /// As a count of bytes in memory; saturates.
    #[must_use]
    pub fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize(self.0).display().iec().fmt(f)
    }
}

/// A duration, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanOrNever(pub(crate) Option<Duration>);

impl SpanOrNever {
    /// Reads a duration, or the word for none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == NEVER { Some(Self(None)) } else { Span::parse(text).map(|span| Self(Some(span.0))) }
    }
}

/// How often something may happen, as "1/week", "2/month", "3/10d".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frequency {
    /// So often…
    pub count: f64,
    /// …in this time.
    pub span: Duration,
}

impl Frequency {
    /// Reads a frequency: a number, a slash, and a word for a time or a duration.
    pub fn parse(text: &str) -> Option<Self> {
        const DAY: u64 = 86_400;
        let (count, span) = text.split_once('/')?;
        let count = count.trim().parse().ok().filter(|count: &f64| count.is_finite() && *count > 0.0)?;
        let span = match span.trim() {
            "hour" => Duration::from_secs(3_600),
            "day" => Duration::from_secs(DAY),
            "week" => Duration::from_secs(7 * DAY),
            // Of the mean length, as humantime has it.
            "month" => Duration::from_secs(2_630_016),
            "year" => Duration::from_secs(31_557_600),
            other => Span::parse(other)?.0,
        };
        (!span.is_zero()).then_some(Self { count, span })
    }
}

/// The word for no duration at all.
pub(crate) const NEVER: &str = "never";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(
                Span::parse(text),
                millis.map(|millis| Span(Duration::from_millis(millis))),
                "{text:?}"
            );
        };
        check("250ms", Some(250));
        check("5s", Some(5000));
        check(" 10m ", Some(600_000));
        check("1h 30m", Some(5_400_000));
        check("7d", Some(604_800_000));
        check("0s", Some(0));
        check("5", None);
        check("-5s", None);
        check("2 parsecs", None);
        check("99999999999999999999h", None);
        check("", None);
    }

    #[test]
    fn sizes_carry_their_unit() {
        let check =
            |text: &str, bytes: Option<u64>| assert_eq!(Size::parse(text), bytes.map(Size), "{text:?}");
        check("64 KiB", Some(65_536));
        check("2GiB", Some(2_147_483_648));
        check("500 MB", Some(500_000_000));
        check("1.5 KiB", Some(1536));
        check("1024", Some(1024));
        check("-1", None);
        check("some", None);
        check("", None);
    }

    #[test]
    fn frequencies_name_a_time() {
        let check = |text: &str, per_day: Option<f64>| {
            let found = Frequency::parse(text).map(|found| found.count / found.span.as_secs_f64() * 86_400.0);
            assert_eq!(
                found.map(|found| (found * 1e6).round()),
                per_day.map(|day| (day * 1e6).round()),
                "{text:?}"
            );
        };
        check("1/week", Some(1.0 / 7.0));
        check("2/month", Some(2.0 / 30.44));
        check("0.5 / day", Some(0.5));
        check("3/10d", Some(0.3));
        check("1/hour", Some(24.0));
        check("1", None);
        check("0/week", None);
        check("-1/week", None);
        check("1/0s", None);
        check("1/fortnight", None);
        check("often/week", None);
    }

    #[test]
    fn both_are_shown_as_they_are_written() {
        let check = |seconds: u64, text: &str| {
            let span = Span(Duration::from_secs(seconds));
            assert_eq!((span.to_string().as_str(), Span::parse(text)), (text, Some(span)));
        };
        check(5400, "1h 30m");
        check(86_400, "1 day");
        check(8 * 86_400 + 60, "8 days 1m");
        check(365 * 86_400, "365 days");
        assert_eq!(Span(Duration::from_millis(250)).to_string(), "250ms");
        assert_eq!(Size(65_536).to_string(), "64.0 KiB");
        assert_eq!(Size(2 << 30).to_string(), "2.0 GiB");
    }
}
