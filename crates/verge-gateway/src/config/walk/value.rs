//! Single values: whether they fit their kind, from TOML and from text.

use super::super::key::ValueKind;
use super::super::tree::{ConfigNode, Value};
use super::super::units::{Size, Span, SpanOrNever};
use super::is_name;

/// A value as its kind takes it: variables write everything as text, TOML what is text.
pub(super) fn fit(kind: ValueKind, node: &ConfigNode) -> Option<Value> {
    match node.text() {
        Some(text) if node.variable().is_some() || kind.is_text() => from_text(kind, text),
        _ => from_toml(kind, &node.value),
    }
}

/// A value from its text: what a TOML string holds, or any value as an environment variable or a default
/// writes it (lists with commas).
pub(super) fn from_text(kind: ValueKind, text: &str) -> Option<Value> {
    let keep = |fits: bool| fits.then(|| Value::Text(text.to_owned()));
    match kind {
        ValueKind::Name => keep(is_name(text)),
        // A path of Windows in double quotes, whose \t became a tab.
        ValueKind::Text(_) => keep(!text.is_empty() && !text.chars().any(char::is_control)),
        ValueKind::Secret => keep(!text.is_empty()),
        ValueKind::Choice(words) => keep(words.contains(&text)),
        ValueKind::Span { low, high } => {
            keep(Span::parse(text).is_some_and(|span| (low..=high).contains(&span.0)))
        }
        ValueKind::SpanOrNever { high } => {
            keep(SpanOrNever::parse(text).is_some_and(|span| span.0.is_none_or(|span| span <= high)))
        }
        ValueKind::Size { low, high } => {
            keep(Size::parse(text).is_some_and(|size| (low..=high).contains(&size.0)))
        }
        ValueKind::Flag => text.parse().ok().map(Value::Flag),
        ValueKind::Number { .. } => {
            text.parse().ok().and_then(|number| from_toml(kind, &Value::Number(number)))
        }
        ValueKind::Whole { .. } => {
            text.parse().ok().and_then(|number| from_toml(kind, &Value::Whole(number)))
        }
        ValueKind::AnyTexts(_) if text.trim().is_empty() => Some(Value::List(Vec::new())),
        ValueKind::Texts(_) | ValueKind::AnyTexts(_) | ValueKind::Choices(_) => {
            let items = text.split(',').map(|item| Value::Text(item.trim().to_owned()).into());
            from_toml(kind, &Value::List(items.collect()))
        }
        ValueKind::Numbers | ValueKind::Lists(_) | ValueKind::Table(_) | ValueKind::Tables(_) => None,
        ValueKind::NamedTables(_) | ValueKind::Point | ValueKind::Points(_) | ValueKind::Pairs(_) => None,
        ValueKind::Ends => keep(is_name(text)),
    }
}

/// A value that is not one string.
fn from_toml(kind: ValueKind, value: &Value) -> Option<Value> {
    let fits = match (kind, value) {
        (ValueKind::Flag, Value::Flag(_)) => true,
        (ValueKind::Number { low, high }, _) => {
            number(value).is_some_and(|number| (low..=high).contains(&number))
        }
        (ValueKind::Whole { low, high }, Value::Whole(number)) => {
            u64::try_from(*number).is_ok_and(|number| (low..=high).contains(&number))
        }
        (ValueKind::AnyTexts(_), Value::List(items)) if items.is_empty() => true,
        (ValueKind::Texts(_) | ValueKind::AnyTexts(_), Value::List(items)) => {
            !items.is_empty() && items.iter().all(|item| item.text().is_some_and(|text| !text.is_empty()))
        }
        (ValueKind::Choices(words), Value::List(items)) => {
            let chosen: Vec<&str> = items.iter().filter_map(ConfigNode::text).collect();
            let once = (1..chosen.len()).all(|index| !chosen[..index].contains(&chosen[index]));
            !items.is_empty()
                && chosen.len() == items.len()
                && once
                && chosen.iter().all(|word| words.contains(word))
        }
        (ValueKind::Numbers, Value::Table(table)) => table.values().all(|node| number(&node.value).is_some()),
        (ValueKind::Lists(what), Value::Table(table)) => {
            !table.is_empty()
                && table.values().all(|node| from_toml(ValueKind::Texts(what), &node.value).is_some())
        }
        (ValueKind::Point, Value::List(items)) => {
            items.len() == 2 && items.iter().all(|node| number(&node.value).is_some())
        }
        (ValueKind::Pairs(_), Value::Table(table)) => {
            table.values().all(|node| from_toml(ValueKind::Point, &node.value).is_some())
        }
        (ValueKind::Ends, Value::Text(text)) => is_name(text),
        (ValueKind::Ends, Value::List(items)) => {
            items.len() == 2 && items.iter().all(|node| from_toml(ValueKind::Point, &node.value).is_some())
        }
        (ValueKind::Points(_), Value::List(items)) => {
            !items.is_empty() && items.iter().all(|node| from_toml(ValueKind::Point, &node.value).is_some())
        }
        _ => false,
    };
    fits.then(|| value.clone())
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number).filter(|number| number.is_finite()),
        Value::Whole(number) => Some(*number as f64),
        _ => None,
    }
}
