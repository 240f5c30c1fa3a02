//! Single values: whether they fit their kind, from TOML and from text.

use config::{Value, ValueKind};

use super::super::kind::Kind;
use super::super::units::{NEVER, Size, Span};
use super::is_name;

impl Kind {
    /// Whether TOML writes it as one string.
    pub(in super::super) fn is_text(self) -> bool {
        matches!(
            self,
            Self::Name
                | Self::Text(_)
                | Self::Choice(_)
                | Self::Span { .. }
                | Self::SpanOrNever { .. }
                | Self::Size { .. }
        )
    }
}

/// A value from its text: what a TOML string holds, or any value as an environment variable or a default
/// writes it (lists with commas).
pub(super) fn from_text(kind: Kind, text: &str) -> Option<Value> {
    let keep = |fits: bool| fits.then(|| Value::new(None, text));
    match kind {
        Kind::Name => keep(is_name(text)),
        // A path of Windows in double quotes, whose \t became a tab.
        Kind::Text(_) => keep(!text.is_empty() && !text.chars().any(char::is_control)),
        Kind::Secret => keep(!text.is_empty()),
        Kind::Choice(words) => keep(words.contains(&text)),
        Kind::Span { low, high } => {
            keep(Span::parse(text).is_some_and(|span| (low..=high).contains(&span.0)))
        }
        Kind::SpanOrNever { high } => {
            keep(text == NEVER || Span::parse(text).is_some_and(|span| span.0 <= high))
        }
        Kind::Size { low, high } => {
            keep(Size::parse(text).is_some_and(|size| (low..=high).contains(&size.0)))
        }
        Kind::Flag => text.parse::<bool>().ok().map(|flag| Value::new(None, flag)),
        Kind::Number { .. } => {
            text.parse::<f64>().ok().and_then(|number| from_toml(kind, &Value::new(None, number)))
        }
        Kind::Whole { .. } => {
            text.parse::<i64>().ok().and_then(|number| from_toml(kind, &Value::new(None, number)))
        }
        Kind::Texts(_) | Kind::Choices(_) => {
            let items: Vec<Value> = text.split(',').map(|item| Value::new(None, item.trim())).collect();
            from_toml(kind, &Value::new(None, items))
        }
        Kind::Numbers | Kind::Table(_) | Kind::Tables(_) => None,
    }
}

/// A value that is not one string.
pub(super) fn from_toml(kind: Kind, value: &Value) -> Option<Value> {
    let fits = match (kind, &value.kind) {
        (Kind::Flag, ValueKind::Boolean(_)) => true,
        (Kind::Number { low, high }, _) => number(value).is_some_and(|number| (low..=high).contains(&number)),
        (Kind::Whole { low, high }, ValueKind::I64(number)) => {
            u64::try_from(*number).is_ok_and(|number| (low..=high).contains(&number))
        }
        (Kind::Texts(_), ValueKind::Array(items)) => {
            !items.is_empty() && items.iter().all(|item| text(item).is_some_and(|text| !text.is_empty()))
        }
        (Kind::Choices(words), ValueKind::Array(items)) => {
            let chosen: Vec<&str> = items.iter().filter_map(text).collect();
            let once = (1..chosen.len()).all(|index| !chosen[..index].contains(&chosen[index]));
            !items.is_empty()
                && chosen.len() == items.len()
                && once
                && chosen.iter().all(|word| words.contains(word))
        }
        (Kind::Numbers, ValueKind::Table(table)) => table.values().all(|value| number(value).is_some()),
        _ => false,
    };
    fits.then(|| value.clone())
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value.kind {
        ValueKind::Float(number) => Some(number).filter(|number| number.is_finite()),
        ValueKind::I64(number) => Some(number as f64),
        _ => None,
    }
}
