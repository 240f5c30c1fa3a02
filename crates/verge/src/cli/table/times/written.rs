//! One cell as a time: dates, times of day, zones, names of months.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use super::DateOrder;
use crate::cli::instant::iso;

/// A cell that is a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WrittenTime {
    Instant(Timestamp),
    /// Without an offset.
    Local(DateTime),
    /// With an abbreviation of a zone.
    Abbreviated(DateTime, String),
}

const YEAR_FIRST: &[&str] = &["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"];
const DAY_FIRST: &[&str] = &["%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y"];
const MONTH_FIRST: &[&str] = &["%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y", "%d.%m.%Y", "%d.%m.%y"];
const NAMED: &[&str] = &["%d %b %Y", "%d %b %y", "%b %d %Y", "%b %d, %Y", "%Y %b %d"];
const CLOCKS: &[&str] =
    &["%I:%M:%S%.f %p", "%I:%M %p", "%H:%M:%S:%f", "%H:%M:%S%.f", "%H:%M", "%H.%M.%S", "%I %p"];

/// A text that is a time, where day and month stand in this order.
pub(super) fn written(text: &str, order: Option<DateOrder>) -> Option<WrittenTime> {
    if let Some(known) = iso(text) {
        return Some(known.map_or_else(WrittenTime::Local, WrittenTime::Instant));
    }
    // Most cells of a table are numbers and words, which are recognised quickly.
    if text.len() < 6 || !text.contains(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let text = tidy(text);
    let named = with_english_month(&text);
    if let Some((parsed, rest)) = named.as_deref().and_then(|text| prefix("%b %d %H:%M:%S %Y", text)) {
        return zoned(parsed.to_datetime().ok()?, rest);
    }
    let (date, rest) = match &named {
        Some(text) => date(NAMED, text)?,
        None => date(YEAR_FIRST, &text).or_else(|| {
            date(if order == Some(DateOrder::MonthFirst) { MONTH_FIRST } else { DAY_FIRST }, &text)
        })?,
    };
    let rest = rest.trim_start_matches(['T', 't', ',', '_', ':', '-', ' ']);
    if rest.is_empty() {
        return Some(WrittenTime::Local(date.to_datetime(Time::midnight())));
    }
    // The end of a day, as some write it.
    if let Some(rest) = rest.strip_prefix("24:00:00").or_else(|| rest.strip_prefix("24:00")) {
        return zoned(date.to_datetime(Time::midnight()).checked_add(1.day()).ok()?, rest);
    }
    let (time, rest) = clock(rest)?;
    zoned(date.to_datetime(time), rest)
}

fn prefix<'a>(pattern: &str, text: &'a str) -> Option<(BrokenDownTime, &'a str)> {
    let (parsed, length) = BrokenDownTime::parse_prefix(pattern, text).ok()?;
    Some((parsed, text.get(length..)?))
}

/// The date that a text begins with.
fn date<'a>(patterns: &[&str], text: &'a str) -> Option<(Date, &'a str)> {
    patterns.iter().find_map(|pattern| {
        let (parsed, rest) = prefix(pattern, text)?;
        let date = parsed.to_date().ok()?;
        // A year of two digits is none of four, and a number goes on to its end.
        let is_whole = date.year() >= 1900 && !rest.starts_with(|next: char| next.is_ascii_digit());
        is_whole.then_some((date, rest))
    })
}

/// The time of day that a text begins with.
pub(super) fn clock(text: &str) -> Option<(Time, &str)> {
    CLOCKS.iter().find_map(|pattern| {
        let (parsed, rest) = prefix(pattern, text)?;
        Some((parsed.to_time().ok()?, rest.trim()))
    })
}

/// What stands behind the time of day: nothing, an offset, or an abbreviation.
fn zoned(at: DateTime, rest: &str) -> Option<WrittenTime> {
    let rest = rest.split(['(', '[']).next().unwrap_or_default().trim();
    if rest.is_empty() {
        return Some(WrittenTime::Local(at));
    }
    let upper = rest.to_ascii_uppercase();
    let offset = ["UTC", "GMT", "Z"].iter().find_map(|name| upper.strip_prefix(name)).unwrap_or(&upper);
    let instant = |offset: Offset| offset.to_timestamp(at).ok().map(WrittenTime::Instant);
    if offset.is_empty() {
        return instant(Offset::UTC);
    }
    let parsed =
        ["%:z", "%z", "%:::z"].iter().find_map(|pattern| BrokenDownTime::parse(pattern, offset).ok());
    match parsed.and_then(|parsed| parsed.offset()) {
        Some(offset) => instant(offset),
        None if (2..=5).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Some(WrittenTime::Abbreviated(at, upper))
        }
        None => None,
    }
}

/// One way of writing spaces, halves of the day and fractions.
pub(super) fn tidy(text: &str) -> String {
    let mut text = text.trim().replace(['\u{a0}', '\u{202f}'], " ");
    for (other, usual) in [("a.m.", "AM"), ("p.m.", "PM"), ("a. m.", "AM"), ("p. m.", "PM")] {
        if text.contains('m') && text.contains(other) {
            text = text.replace(other, usual);
        }
    }
    // The comma of a fraction of a second.
    if let Some(at) = text.rfind(',').filter(|at| text[..*at].contains(':')) {
        text.replace_range(at..=at, ".");
    }
    text
}

/// Names of months as exports abbreviate them, in the languages of Western Europe: by their first letters.
const MONTHS: [(&str, &[&str]); 12] = [
    ("Jan", &["jan", "ene", "gen"]),
    ("Feb", &["feb", "fév", "fev"]),
    ("Mar", &["mar", "mär", "mrz", "mrt", "maa"]),
    ("Apr", &["apr", "avr", "abr"]),
    ("May", &["may", "mai", "mag", "mei"]),
    ("Jun", &["jun", "juin", "giu"]),
    ("Jul", &["jul", "juil", "lug"]),
    ("Aug", &["aug", "aoû", "aou", "ago"]),
    ("Sep", &["sep", "set"]),
    ("Oct", &["oct", "okt", "ott", "out"]),
    ("Nov", &["nov"]),
    ("Dec", &["dec", "dez", "déc", "dic"]),
];

/// The text with its month in English and spaces around it, without a weekday; `None` if it has no name of a month.
fn with_english_month(text: &str) -> Option<String> {
    let is_letter = |letter: char| letter.is_alphabetic();
    let mut from = 0;
    loop {
        let start = from + text[from..].find(is_letter)?;
        let end = start + text[start..].find(|letter| !is_letter(letter)).unwrap_or(text.len() - start);
        let word = text[start..end].to_lowercase();
        let month = MONTHS
            .iter()
            .find(|(_, starts)| word.len() > 2 && starts.iter().any(|known| word.starts_with(known)));
        if let Some((month, _)) = month {
            let marks = ['-', '/', '.', ' '];
            let before = text[..start].trim_end_matches(marks);
            // A weekday stands in front.
            let before = before.trim_start_matches(|letter: char| !letter.is_ascii_digit());
            let after = text[end..].trim_start_matches(marks);
            let after = match after.find(marks) {
                // The mark before the year, or before the day.
                Some(at) if after[..at].bytes().all(|digit| digit.is_ascii_digit()) => {
                    format!("{} {}", &after[..at], &after[at + 1..])
                }
                _ => after.to_owned(),
            };
            return Some(format!("{before} {month} {after}").trim_start().to_owned());
        }
        from = end;
    }
}
