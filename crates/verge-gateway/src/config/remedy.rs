//! What to write instead of a value that does not fit its key.

use std::time::Duration;

use super::key::{Key, KeyNeed, POINTS, ValueKind};
use super::nearest::nearest_choice;
use super::syntax;
use super::tree::{ConfigNode, Value};
use super::units::{Frequency, NEVER, Size, Span};

/// What to do about a value at a key.
pub(super) fn remedy(key: &Key, path: &str, node: &ConfigNode) -> String {
    let variable = node.variable();
    let write = |toml: &str| match variable {
        Some(variable) => {
            format!("set {variable}={}", toml.trim_matches(['"', '[', ']']).replace("\", \"", ","))
        }
        None => format!("write {} = {toml}", key.name),
    };
    match meant(key.kind, path, node) {
        // Variables have no quotes.
        Some(Advice::Value { toml, why }) if why.is_empty() || variable.is_some() => write(&toml),
        Some(Advice::Value { toml, why }) => format!("{why}: {}", write(&toml)),
        Some(Advice::Order(order)) => order,
        None => otherwise(key, variable.is_some()),
    }
}

/// What to do where nothing can be guessed.
fn otherwise(key: &Key, is_variable: bool) -> String {
    let out = if is_variable { "take it out of the environment" } else { "take the line out" };
    match key.need {
        KeyNeed::Required => example(key.kind).map_or_else(
            || format!("write such a value for {}", key.name),
            |example| format!("write for example {} = {example}", key.name),
        ),
        KeyNeed::Optional => format!("write such a value, or {out}"),
        KeyNeed::Default(text) => {
            format!("write such a value, or {out} for the default, {}", quoted_default(key.kind, text))
        }
    }
}

fn quoted_default(kind: ValueKind, text: &str) -> String {
    if kind.is_text() {
        return format!("{text:?}");
    }
    match kind {
        ValueKind::Texts(_) | ValueKind::AnyTexts(_) | ValueKind::Choices(_) => {
            let items: Vec<String> = text.split(',').map(|item| format!("{item:?}")).collect();
            format!("[{}]", items.join(", "))
        }
        _ => text.to_owned(),
    }
}

/// What a missing key may look like, as TOML.
pub(super) fn example(kind: ValueKind) -> Option<String> {
    let first_quoted = |text: &str| {
        let rest = text.split_once('"')?.1;
        rest.split_once('"').map(|(inner, _)| format!("{inner:?}"))
    };
    match kind {
        ValueKind::Name => Some(r#""pump-room-1""#.to_owned()),
        ValueKind::Text(what) => first_quoted(what),
        ValueKind::Choice(words) => words.first().map(|word| format!("{word:?}")),
        ValueKind::Flag => Some("true".to_owned()),
        ValueKind::Number { low, .. } => Some(if low > 0.0 { low.max(1.0) } else { 0.0 }.to_string()),
        ValueKind::Whole { low, .. } => Some(low.to_string()),
        ValueKind::Span { .. } | ValueKind::SpanOrNever { .. } => Some(r#""5m""#.to_owned()),
        ValueKind::Size { low, .. } => Some(format!("{:?}", whole_size(low))),
        ValueKind::Texts(_) | ValueKind::AnyTexts(_) => Some(r#"["pump"]"#.to_owned()),
        ValueKind::Choices(words) => words.first().map(|word| format!("[{word:?}]")),
        ValueKind::Point => Some("[0.1, 0.6]".to_owned()),
        ValueKind::Points(_) => Some(POINTS.to_owned()),
        ValueKind::Ends => Some("[[0.1, 0.6], [0.3, 0.6]]".to_owned()),
        ValueKind::Numbers
        | ValueKind::NamedTables(_)
        | ValueKind::Lists(_)
        | ValueKind::Pairs(_)
        | ValueKind::Table(_)
        | ValueKind::Tables(_)
        | ValueKind::Secret => None,
    }
}

enum Advice {
    /// This value, as TOML.
    Value { toml: String, why: &'static str },
    /// Something else, in words.
    Order(String),
}

const UNQUOTE: &str = "take off the quotes";
const QUOTE: &str = "put it in quotes";

fn value(toml: impl Into<String>, why: &'static str) -> Option<Advice> {
    Some(Advice::Value { toml: toml.into(), why })
}

fn order(text: impl Into<String>) -> Option<Advice> {
    Some(Advice::Order(text.into()))
}

fn meant(kind: ValueKind, path: &str, given: &ConfigNode) -> Option<Advice> {
    match (kind, &given.value) {
        (ValueKind::Secret, _) => order("put it into a file of its own that only this user may read"),
        (ValueKind::Number { .. } | ValueKind::Whole { .. }, Value::Text(text)) => number(kind, text),
        (ValueKind::Whole { low, high }, Value::Number(number)) if number.fract() == 0.0 => {
            ((low as f64..=high as f64).contains(number))
                .then(|| Advice::Value { toml: number.to_string(), why: "" })
        }
        (ValueKind::Number { low: 0.0, high: 1.0 }, Value::Whole(percent @ 2..=100)) => {
            value((*percent as f64 / 100.0).to_string(), "a share is from 0 to 1, not in percent")
        }
        (ValueKind::Flag, Value::Text(text)) => {
            let why = if matches!(text.as_str(), "true" | "false") { UNQUOTE } else { "" };
            syntax::flag(text).and_then(|flag| value(flag, why))
        }
        (ValueKind::Flag, Value::Whole(number @ (0 | 1))) => value((*number == 1).to_string(), ""),
        (ValueKind::Choice(words), Value::Text(text)) => {
            nearest_choice(text, words).and_then(|word| value(format!("{word:?}"), ""))
        }
        (ValueKind::Span { .. }, Value::Whole(number)) => {
            value(format!("\"{number}s\""), "a duration has a unit")
        }
        (ValueKind::Span { .. }, Value::Number(number)) => {
            value(format!("\"{number}s\""), "a duration has a unit")
        }
        (ValueKind::SpanOrNever { .. }, Value::Whole(0) | Value::Flag(false)) => {
            value(format!("{NEVER:?}"), "")
        }
        (ValueKind::SpanOrNever { .. }, Value::Whole(number)) => {
            value(format!("\"{number}s\""), "a duration has a unit")
        }
        (ValueKind::SpanOrNever { .. }, Value::Text(text))
            if matches!(text.as_str(), "none" | "off" | "no") =>
        {
            value(format!("{NEVER:?}"), "")
        }
        (ValueKind::Span { low, high }, Value::Text(text)) => span(text, low, high),
        (ValueKind::SpanOrNever { high }, Value::Text(text)) => span(text, Duration::ZERO, high),
        (ValueKind::Size { .. }, Value::Whole(number)) if *number >= 0 => {
            value(format!("{:?}", whole_size(number.unsigned_abs())), "a size has a unit")
        }
        (ValueKind::Size { low, high }, Value::Text(text)) => size(text, low, high),
        (ValueKind::Name, Value::Text(text)) if text.contains('$') => order(
            "write the name itself, or take the line out and set it in the environment: a file has no variables",
        ),
        (ValueKind::Name, Value::Text(text)) => name(text),
        (ValueKind::Text(_), Value::Text(text)) if text.chars().any(char::is_control) => {
            let inner = format!("{text:?}");
            value(
                format!("'{}'", inner.trim_matches('"')),
                "put it in single quotes, where a backslash is itself",
            )
        }
        (_, Value::List(items)) if kind.is_text() => match items.as_slice() {
            [ConfigNode { value: Value::Text(text), .. }] => {
                value(format!("{text:?}"), "take off the brackets")
            }
            _ => order("write one value, without brackets"),
        },
        (ValueKind::Text(_), Value::Whole(_) | Value::Number(_) | Value::Flag(_))
            if example(kind).is_some_and(|example| example.contains(':')) =>
        {
            None
        }
        (ValueKind::Name | ValueKind::Text(_), Value::Whole(_) | Value::Number(_) | Value::Flag(_)) => {
            value(format!("\"{}\"", given), QUOTE)
        }
        (ValueKind::Texts(_) | ValueKind::AnyTexts(_), Value::Text(text)) if !text.is_empty() => {
            let items: Vec<String> = text.split(',').map(|item| format!("{:?}", item.trim())).collect();
            value(format!("[{}]", items.join(", ")), "a list stands in brackets")
        }
        (ValueKind::Choices(words), Value::Text(text)) => choices(words, text.split(',')),
        (ValueKind::Choices(words), Value::List(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(ConfigNode::text).collect();
            choices(words, texts?.into_iter())
        }
        (ValueKind::Tables(_), Value::Table(_)) => order(format!("write [[{path}]] in double brackets")),
        (ValueKind::Table(_), Value::List(_)) => order(format!("write [{path}] in single brackets")),
        // The one key that needs no thought is where something stands.
        (ValueKind::Table(keys), Value::Text(text))
            if text.starts_with('/') && keys.own.iter().any(|key| key.name == "pointer") =>
        {
            value(format!("{{ pointer = {text:?}, format = \"auto\" }}"), "")
        }
        (ValueKind::Numbers, Value::Table(table)) => {
            let (name, text) = table.iter().find_map(|(name, node)| Some((name, node.text()?)))?;
            order(match text.trim().replace(',', ".").parse::<f64>() {
                Ok(number) => format!("take off the quotes: write {name} = {number}"),
                Err(_) => format!("write a number for {name}"),
            })
        }
        (ValueKind::Lists(_), Value::Table(table)) => {
            let (name, text) = table.iter().find_map(|(name, node)| Some((name, node.text()?)))?;
            order(format!("write a list: {name} = [{text:?}]"))
        }
        (ValueKind::Table(_) | ValueKind::Numbers | ValueKind::Lists(_) | ValueKind::Pairs(_), _) => {
            order(format!("write {{ key = value }} behind it, or [{path}]"))
        }
        (ValueKind::NamedTables(_), _) => order(format!("write [{path}.NAME] with a name of your own")),
        (ValueKind::Tables(keys), _) => {
            let first = keys.own.first().map_or("key", |key| key.name);
            order(format!("write [[{path}]] and below it {first} = …"))
        }
        _ => None,
    }
}

fn number(kind: ValueKind, text: &str) -> Option<Advice> {
    let text = text.trim();
    let plain = text.parse::<f64>().is_ok_and(f64::is_finite);
    if plain {
        return fitting(kind, text).then(|| Advice::Value { toml: text.to_owned(), why: UNQUOTE });
    }
    let found = syntax::number(text, Some(kind))?;
    let written = found.value.filter(|number| fitting(kind, number))?;
    let why = if text.contains(',') {
        "decimals take a point, and a number no quotes"
    } else {
        "a number stands without quotes and unit"
    };
    value(written, why)
}

fn fitting(kind: ValueKind, text: &str) -> bool {
    match kind {
        ValueKind::Number { low, high } => {
            text.parse::<f64>().is_ok_and(|number| (low..=high).contains(&number))
        }
        ValueKind::Whole { low, high } => {
            text.parse::<u64>().is_ok_and(|number| (low..=high).contains(&number))
        }
        _ => true,
    }
}

fn name(text: &str) -> Option<Advice> {
    let plain =
        |letter: char| if letter.is_alphanumeric() || matches!(letter, '_' | '.') { letter } else { '-' };
    let made: String = text.trim().chars().map(plain).take(64).collect();
    (made != text && made.chars().any(char::is_alphanumeric))
        .then(|| Advice::Value { toml: format!("{made:?}"), why: "" })
}

fn choices<'a>(words: &[&str], texts: impl Iterator<Item = &'a str>) -> Option<Advice> {
    let mut meant: Vec<String> = Vec::new();
    for text in texts {
        let word = format!("{:?}", nearest_choice(text, words)?);
        if !meant.contains(&word) {
            meant.push(word);
        }
    }
    if meant.is_empty() { None } else { value(format!("[{}]", meant.join(", ")), "") }
}

/// A duration as other programs write it.
fn span(text: &str, low: Duration, high: Duration) -> Option<Advice> {
    let found =
        Span::parse(&text.to_lowercase()).map(|span| span.0).or_else(|| clock(text)).or_else(|| iso(text));
    let found = found.or_else(|| foreign(text)).filter(|found| (low..=high).contains(found))?;
    value(format!("\"{}\"", Span(found)), "")
}

/// `1:30:00` or `05:00`.
fn clock(text: &str) -> Option<Duration> {
    let parts: Vec<u64> = text.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    match parts.as_slice() {
        [minutes, seconds] => Some(Duration::from_secs(minutes.checked_mul(60)?.checked_add(*seconds)?)),
        [hours, minutes, seconds] => {
            let minutes = hours.checked_mul(60)?.checked_add(*minutes)?;
            Some(Duration::from_secs(minutes.checked_mul(60)?.checked_add(*seconds)?))
        }
        _ => None,
    }
}

/// `PT5M` (ISO 8601).
fn iso(text: &str) -> Option<Duration> {
    let rest = text.trim().to_lowercase();
    let rest = rest.strip_prefix('p')?.replace('t', "");
    Span::parse(&rest).map(|span| span.0)
}

/// A number and a word that begins as a unit of time does.
fn foreign(text: &str) -> Option<Duration> {
    let text = text.trim().to_lowercase().replace(',', ".");
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = match text[end..].trim() {
        "" => 1.0,
        unit if unit.starts_with("ms") || unit.starts_with("mil") => 0.001,
        unit if unit.starts_with("st") || unit.starts_with('h') => 3_600.0,
        unit if unit.starts_with('s') => 1.0,
        unit if unit.starts_with("mi") || unit == "m" || unit == "m." => 60.0,
        unit if unit.starts_with("da") || unit == "d" || unit.starts_with("ta") => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

/// A size as other programs write it.
fn size(text: &str, low: u64, high: u64) -> Option<Advice> {
    let text = text.trim().to_lowercase().replace(',', ".");
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let unit = match unit.chars().next() {
        None => {
            let fits = |unit: &&str| {
                Size::parse(&format!("{number} {unit}")).is_some_and(|size| (low..=high).contains(&size.0))
            };
            ["B", "KiB", "MiB", "GiB"].into_iter().find(fits)?
        }
        Some('b' | 'o') => "B",
        Some('k') => "KB",
        Some('m') => "MB",
        Some('g') => "GB",
        Some('t') => "TB",
        Some(_) => return None,
    };
    let made = format!("{number} {unit}");
    let fits = Size::parse(&made).is_some_and(|size| (low..=high).contains(&size.0));
    fits.then(|| Advice::Value { toml: format!("{made:?}"), why: "" })
}

fn whole_size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

/// A frequency as people say it: "1 per week", "weekly", "2 a month".
pub(crate) fn frequency(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let word = match text.as_str() {
        "hourly" => "1/hour",
        "daily" => "1/day",
        "weekly" => "1/week",
        "monthly" => "1/month",
        "yearly" => "1/year",
        _ => "",
    };
    if !word.is_empty() {
        return Some(word.to_owned());
    }
    let text = text.replace("once", "1").replace("twice", "2").replace(',', ".");
    let made = text.replace(" per ", "/").replace(" a ", "/").replace(" an ", "/").replace(" / ", "/");
    let made = if made.parse::<f64>().is_ok() {
        format!("{made}/week")
    } else {
        made.trim_end_matches('s').to_owned()
    };
    Frequency::parse(&made).map(|_| made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_other_programs_are_understood() {
        let check = |text: &str, expected: Option<&str>| {
            let found = match span(text, Duration::ZERO, Duration::from_secs(1 << 20)) {
                Some(Advice::Value { toml, .. }) => Some(toml),
                _ => None,
            };
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("30", Some(r#""30s""#));
        check("5 Minuten", Some(r#""5m""#));
        check("00:05:00", Some(r#""5m""#));
        check("PT1H30M", Some(r#""1h 30m""#));
        check("1,5h", Some(r#""1h 30m""#));
        check("5S", Some(r#""5s""#));
        check("2 parsecs", None);
        let check = |text: &str, expected: Option<&str>| {
            let found = match size(text, 0, 1 << 40) {
                Some(Advice::Value { toml, .. }) => Some(toml),
                _ => None,
            };
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("2 gigabytes", Some(r#""2 GB""#));
        check("64kbyte", Some(r#""64 KB""#));
        check("2 parsecs", None);
        assert_eq!(frequency("once per week").as_deref(), Some("1/week"));
        assert_eq!(frequency("2 per month").as_deref(), Some("2/month"));
        assert_eq!(frequency("1").as_deref(), Some("1/week"));
        assert_eq!(frequency("often"), None);
    }
}
