//! Recorded messages: JSON lines as `mosquitto_sub -F %j` or `-F %J` writes them, which `verge judge` reads
//! and `verge send` plays back.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::value::RawValue;
use verge_domain::time::UtcMillis;

/// One recorded message.
#[derive(Debug, PartialEq)]
pub(super) struct Recorded {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// When it arrived.
    pub(super) time: UtcMillis,
    pub(super) retained: bool,
}

/// A line as it is written. Other keys (`qos`, `mid`, `payloadlen`) are of no interest here.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(alias = "time")]
    tst: String,
    topic: String,
    /// Text as it is, any other JSON value as its text.
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    /// For payloads that are no text.
    #[serde(default)]
    payload_base64: Option<String>,
    #[serde(default)]
    retain: u8,
}

/// Reads one line.
pub(super) fn parse(line: &str) -> anyhow::Result<Recorded> {
    let line: Line<'_> = serde_json::from_str(line)
        .map_err(|error| anyhow!("no message as mosquitto_sub -F %j records it: {error}"))?;
    let payload = match (line.payload, line.payload_base64) {
        (Some(value), None) if value.get().starts_with('"') => {
            serde_json::from_str::<String>(value.get())?.into()
        }
        (Some(value), None) => Bytes::copy_from_slice(value.get().as_bytes()),
        (None, Some(text)) => STANDARD.decode(text).context("payload_base64")?.into(),
        _ => return Err(anyhow!("one of payload and payload_base64 is needed")),
    };
    Ok(Recorded { topic: line.topic, payload, time: parse_time(&line.tst)?, retained: line.retain != 0 })
}

/// RFC 3339, also with an offset without colon; a date and time without offset, which is taken as UTC; or
/// seconds since 1970.
pub(super) fn parse_time(text: &str) -> anyhow::Result<UtcMillis> {
    // Some releases of mosquitto_sub write both a Z and an offset, of which the offset is meant.
    let text = text.trim().replacen("Z+", "+", 1).replacen("Z-", "-", 1);
    let instant = text.parse::<Timestamp>().ok().or_else(|| {
        text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    if let Some(instant) = instant {
        return Ok(UtcMillis(instant.as_millisecond()));
    }
    let seconds: f64 = text.parse().map_err(|_| anyhow!("{text:?} is not a time"))?;
    let instant = Timestamp::from_millisecond((seconds * 1000.0).round() as i64);
    instant.map(|instant| UtcMillis(instant.as_millisecond())).map_err(|_| anyhow!("{text:?} is not a time"))
}

/// The messages of a file, with the number of their line.
pub(super) struct Recording {
    path: PathBuf,
    lines: std::iter::Enumerate<std::io::Lines<BufReader<File>>>,
}

impl Recording {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_owned(), lines: BufReader::new(file).lines().enumerate() })
    }
}

impl Iterator for Recording {
    type Item = anyhow::Result<Recorded>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (index, line) = self.lines.next()?;
            let place = || format!("{}, line {}", self.path.display(), index + 1);
            match line {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => return Some(parse(&line).with_context(place)),
                Err(error) => return Some(Err(error).with_context(place)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mosquitto_sub_are_understood() {
        let check = |line: &str, payload: &str, millis: i64| {
            let recorded = parse(line).unwrap_or_else(|error| panic!("{line}: {error:#}"));
            assert_eq!(
                (recorded.topic.as_str(), &recorded.payload[..]),
                ("a/b", payload.as_bytes()),
                "{line}"
            );
            assert_eq!(recorded.time.0, millis, "{line}");
        };
        let plain = r#"{"tst":"2026-01-02T03:04:05.678901+0100","topic":"a/b","qos":0,"retain":0,"payloadlen":3,"payload":"7.5"}"#;
        check(plain, "7.5", 1_767_319_445_678);
        check(
            r#"{"tst":"2026-01-02T02:04:05Z","topic":"a/b","payload":{"v": 1}}"#,
            r#"{"v": 1}"#,
            1_767_319_445_000,
        );
        check(
            r#"{"tst":"2026-01-02T02:04:05.000000Z+0000","topic":"a/b","payload":"7.5"}"#,
            "7.5",
            1_767_319_445_000,
        );
        check(r#"{"time":"1767319445.5","topic":"a/b","payload":true}"#, "true", 1_767_319_445_500);
        check(
            r#"{"time":"2026-01-02 02:04:05","topic":"a/b","payload_base64":"Ny41"}"#,
            "7.5",
            1_767_319_445_000,
        );
    }

    #[test]
    fn other_lines_are_refused() {
        let check = |line: &str, words: &str| {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.contains(words), "{line}: {error}");
        };
        check("7.5", "invalid type");
        check(r#"{"tst":"yesterday","topic":"a","payload":"1"}"#, "\"yesterday\" is not a time");
        check(r#"{"tst":"1","topic":"a"}"#, "one of payload and payload_base64");
        check(r#"{"tst":"1","topic":"a","payload_base64":"%"}"#, "payload_base64");
        check(r#"{"tst":"1e300","topic":"a","payload":"1"}"#, "is not a time");
    }
}
