//! Recorded messages: JSON lines as `mosquitto_sub -F %j` or `-F %J` writes them, or lines of time, topic and payload
//! (`-F '%I %t %p'`), which `verge judge` reads and `verge send` plays back.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use verge_domain::excerpt::Excerpt;
use verge_domain::reading::SourceIndex;
use verge_domain::time::UtcMillis;

use super::file_guess::{HEAD, refuse_other_files};
use super::instant::{iso, parse_time, since_epoch};
use super::say;
use super::table::{decode, is_utf_16};

/// One recorded message.
#[derive(Debug, PartialEq)]
pub(super) struct Recorded {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// When it arrived.
    pub(super) time: UtcMillis,
    pub(super) retained: bool,
    /// The source that takes it, where its topic does not say so.
    pub(super) source: Option<SourceIndex>,
}

/// A line as it is written. Other keys (`qos`, `mid`, `payloadlen`) are of no interest here.
#[derive(Deserialize)]
struct RecordedLine<'a> {
    /// Text or a number.
    #[serde(borrow, default, alias = "time", alias = "timestamp", alias = "ts")]
    tst: Option<&'a RawValue>,
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    /// Text as it is, any other JSON value as its text.
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    /// For payloads that are no text.
    #[serde(borrow, default)]
    payload_base64: Option<Cow<'a, str>>,
    /// 0 or 1, or a word.
    #[serde(borrow, default)]
    retain: Option<&'a RawValue>,
}

/// What a line should be.
const EXPECTED: &str = "expected a JSON object with \"tst\", \"topic\" and \"payload\" on each line, as \
                        mosquitto_sub -F %j writes it, or time, topic and payload (-F '%I %t %p')";

/// Reads one line.
pub(super) fn parse(line: &str) -> anyhow::Result<Recorded> {
    let line = line.trim();
    if !line.starts_with('{') {
        return plain(line).with_context(|| not_a_message(line));
    }
    let parsed: RecordedLine<'_> = serde_json::from_str(line).map_err(|_| not_a_message(line))?;
    let missing =
        |key: &str| anyhow!("{}: the object has no \"{key}\"; {EXPECTED}", Excerpt::of(line.as_bytes()));
    let topic = parsed.topic.ok_or_else(|| missing("topic"))?.into_owned();
    let time = text_of(parsed.tst.ok_or_else(|| missing("tst"))?)?;
    let payload = match (parsed.payload, parsed.payload_base64) {
        (Some(value), None) if value.get().starts_with('"') => text_of(value)?.into_owned().into(),
        (Some(value), None) => Bytes::copy_from_slice(value.get().as_bytes()),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text.as_bytes());
            bytes
                .map_err(|_| anyhow!("payload_base64 is no base64: {}", Excerpt::of(text.as_bytes())))?
                .into()
        }
        (Some(_), Some(_)) => bail!("one of payload and payload_base64 is needed, not both"),
        (None, None) => bail!("one of payload and payload_base64 is needed; {EXPECTED}"),
    };
    let retained = parsed.retain.is_some_and(|value| matches!(value.get(), "1" | "true"));
    Ok(Recorded { topic, payload, time: parse_time(&time).context("tst")?, retained, source: None })
}

/// The text of a JSON string, or of any other value as it stands.
fn text_of(value: &RawValue) -> anyhow::Result<Cow<'_, str>> {
    if !value.get().starts_with('"') {
        return Ok(value.get().into());
    }
    let text = serde_json::from_str::<Cow<'_, str>>(value.get());
    text.map_err(|_| anyhow!("{} is no JSON string", Excerpt::of(value.get().as_bytes())))
}

/// Time, topic and payload, with a space between them.
fn plain(line: &str) -> Option<Recorded> {
    let mut parts = line.splitn(3, ' ');
    let (time, topic, payload) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    // Small numbers are readings rather than seconds since 1970.
    let number = || time.parse().ok().filter(|number: &f64| *number >= 1e8).and_then(since_epoch);
    let at = iso(time).filter(|_| time.contains(':')).and_then(Result::ok).or_else(number)?;
    Some(Recorded {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        time: UtcMillis(at.as_millisecond()),
        retained: false,
        source: None,
    })
}

fn not_a_message(line: &str) -> anyhow::Error {
    let excerpt = Excerpt::of(line.as_bytes());
    let topic = line.split(' ').next().unwrap_or_default();
    let why = match line.as_bytes() {
        [b'[', ..] => "is a JSON array; write its elements as lines (jq -c '.[]')",
        [b'{'] => "is JSON over several lines; write each object on a line (jq -c .)",
        [b'{', ..] => "is not JSON",
        _ if topic.contains('/') && line.len() > topic.len() => {
            "has no time, as mosquitto_sub -v and -F '%t %p' write it; record with -F %j"
        }
        _ if line.contains([',', ';', '\t']) => {
            "looks like a line of a table; tables have names that end in .csv"
        }
        _ => "is not a recorded message",
    };
    anyhow!("{excerpt} {why}; {EXPECTED}")
}

/// The messages of a file, with the number of their line.
pub(super) struct Recording {
    path: PathBuf,
    lines: std::iter::Peekable<std::iter::Enumerate<std::io::Split<Box<dyn BufRead>>>>,
}

impl Recording {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = BufReader::new(File::open(path).with_context(cannot)?);
        let mut head = Vec::new();
        file.by_ref().take(HEAD).read_to_end(&mut head).with_context(cannot)?;
        refuse_other_files(path, &head)?;
        let reader: Box<dyn BufRead> = if is_utf_16(&head) {
            file.read_to_end(&mut head).with_context(cannot)?;
            Box::new(Cursor::new(decode(&head, None).0.into_owned().into_bytes()))
        } else {
            let start = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
            Box::new(Cursor::new(head.split_off(start)).chain(file))
        };
        Ok(Self { path: path.to_owned(), lines: reader.split(b'\n').enumerate().peekable() })
    }
}

impl Iterator for Recording {
    type Item = anyhow::Result<(usize, Recorded)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (index, line) = self.lines.next()?;
            let place = || format!("{}, line {}", self.path.display(), index + 1);
            let line = match line {
                Ok(line) => line,
                Err(error) => return Some(Err(error).with_context(place)),
            };
            let Ok(text) = std::str::from_utf8(&line) else {
                let error = anyhow!("not UTF-8: {}; {EXPECTED}", Excerpt::of(&line));
                return Some(Err(error).with_context(place));
            };
            if text.trim().is_empty() {
                continue;
            }
            // The recorder was stopped within this line.
            if index > 0 && self.lines.peek().is_none() && is_cut(text) {
                say(&format!("{}: the last line ends within a message, which is left out", place()));
                continue;
            }
            return Some(parse(text).with_context(place).map(|recorded| (index + 1, recorded)));
        }
    }
}

/// Whether a line is the beginning of a JSON object.
fn is_cut(line: &str) -> bool {
    let parsed = || serde_json::from_str::<serde::de::IgnoredAny>(line);
    line.starts_with('{') && parsed().is_err_and(|error| error.is_eof())
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
            r#"{"timestamp":1767319445500,"topic":"a/b","payload":7.5,"retain":false}"#,
            "7.5",
            1_767_319_445_500,
        );
        check("2026-01-02T02:04:05+0000 a/b 7.5", "7.5", 1_767_319_445_000);
        check("1767319445.5 a/b {\"v\": 1}", "{\"v\": 1}", 1_767_319_445_500);
        check("1767319445 a/b", "", 1_767_319_445_000);
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
        check("7.5", "`7.5` is not a recorded message; expected a JSON object");
        check("plant/pump-1/vibration 7.5", "has no time, as mosquitto_sub -v");
        check("2026-01-02T03:04:05Z,7.5", "looks like a line of a table");
        check(r#"[{"tst":"1","topic":"a","payload":"1"}]"#, "jq -c '.[]'");
        check("{", "over several lines");
        check(r#"{"tst":"1","topic":"a","payload":7,5}"#, "is not JSON");
        check(r#"{"topic":"a","payload":"1"}"#, "the object has no \"tst\"");
        check(r#"{"tst":"1","payload":"1"}"#, "the object has no \"topic\"");
        check(r#"{"tst":"yesterday","topic":"a","payload":"1"}"#, "tst: `yesterday` is not a time");
        check(r#"{"tst":"1","topic":"a"}"#, "one of payload and payload_base64");
        check(r#"{"tst":"1","topic":"a","payload_base64":"%"}"#, "payload_base64");
        check(r#"{"tst":"1e300","topic":"a","payload":"1"}"#, "is not a time");
    }

    fn read(bytes: &[u8]) -> anyhow::Result<Vec<(usize, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.jsonl");
        std::fs::write(&path, bytes).unwrap();
        let messages = Recording::open(&path)?;
        messages.map(|message| message.map(|(line, recorded)| (line, recorded.topic))).collect()
    }

    #[test]
    fn files_of_every_encoding_are_read_and_a_cut_end_is_left_out() {
        let lines = "{\"tst\":\"1\",\"topic\":\"a/é\",\"payload\":\"1\"}\r\n\r\n{\"tst\":\"2\",\"topic\":\"b\",\"payload\":\"1\"}";
        let expected = [(1, "a/é".to_owned()), (3, "b".to_owned())];
        // As PowerShell redirects output.
        let wide: Vec<u8> = format!("\u{feff}{lines}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [lines.as_bytes(), format!("\u{feff}{lines}").as_bytes(), &wide] {
            assert_eq!(read(bytes).unwrap(), expected);
        }
        assert_eq!(read(format!("{lines}\n{{\"tst\":\"3\",\"top").as_bytes()).unwrap(), expected);
        let error = format!("{:#}", read(format!("{lines}\n{{\"tst\":\"3\"}}\n").as_bytes()).unwrap_err());
        assert!(error.contains("day.jsonl, line 4: `{\"tst\":\"3\"}`: the object has no"), "{error}");
    }

    #[test]
    fn other_files_are_named() {
        let check = |bytes: &[u8], words: &str| {
            let error = format!("{:#}", read(bytes).unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        check(b"\x1f\x8b\x08\0\0\0\0\0", "looks like gzip: uncompress it first");
        check(b"\x89PNG\r\n\x1a\n\0\0", "looks like a PNG");
        check(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
        check(b"{\"tst\":\"1\",\"topic\":\"\xff\"}\n", "line 1: not UTF-8");
        check(b"time,value\n1,2\n", "line 1: `time,value` looks like a line of a table");
    }
}
