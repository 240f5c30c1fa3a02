//! One fault of a configuration: which key, what stands there, what was expected.

use std::fmt;

use config::{Value, ValueKind};
use serde::Serialize;

use super::environment::is_variable;

/// Longer values are cut in messages: a fault points at a key, it does not repeat a file.
const MAX_SHOWN_CHARS: usize = 60;

/// One thing that is wrong with a configuration. Shown as `key: value, expected …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Path of the key, as in `uplink.centre.url`.
    pub key: String,
    /// What stands there: the value as TOML, shortened, or a word such as `missing`.
    pub value: String,
    /// What was expected instead, in words that follow "expected".
    pub expected: String,
    /// Name of the environment variable that the value came from, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

impl Fault {
    /// A fault whose value is described rather than quoted.
    pub fn new(key: impl Into<String>, value: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { key: key.into(), value: shorten(value.into()), expected: expected.into(), variable: None }
    }

    /// A fault at a key that holds this text.
    pub fn at_text(key: impl Into<String>, text: &str, expected: impl Into<String>) -> Self {
        Self::new(key, format!("{text:?}"), expected)
    }

    /// A fault at a key that should be there.
    pub fn missing(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(key, "missing", expected)
    }

    /// A fault at a key with the value that stands in the tree.
    pub(crate) fn at_value(key: impl Into<String>, value: &Value, expected: impl Into<String>) -> Self {
        Self::new(key, show(value), expected).with_origin_of(value)
    }

    /// Whether its key lies in this section.
    pub(crate) fn is_within(&self, section: &str) -> bool {
        self.key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Notes which environment variable the value came from, if it did.
    pub(crate) fn with_origin_of(mut self, value: &Value) -> Self {
        self.variable = value.origin().filter(|origin| is_variable(origin)).map(str::to_owned);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, expected {}", self.key, self.value, self.expected)?;
        match &self.variable {
            Some(variable) => write!(f, " (set by {variable})"),
            None => Ok(()),
        }
    }
}

/// A remark about a configuration that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Path of the key.
    pub key: String,
    /// What to think about.
    pub remark: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.remark)
    }
}

fn shorten(text: String) -> String {
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return text;
    }
    let mut cut: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    cut.push('…');
    cut
}

fn show(value: &Value) -> String {
    match &value.kind {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Boolean(flag) => flag.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::I128(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::U128(number) => number.to_string(),
        ValueKind::Float(number) => format!("{number:?}"),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(items) => {
            let shown: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_key_value_expected() {
        let check = |fault: Fault, text: &str| assert_eq!(fault.to_string(), text);
        check(Fault::missing("gateway.id", "a name"), "gateway.id: missing, expected a name");
        check(Fault::at_text("a.b", "x", "y"), r#"a.b: "x", expected y"#);
        let variable = "VERGE__A__B".to_owned();
        let value = Value::new(Some(&variable), "x");
        check(Fault::at_value("a.b", &value, "y"), r#"a.b: "x", expected y (set by VERGE__A__B)"#);
        let list = Value::new(None, vec![Value::new(None, 1), Value::new(None, 2.0)]);
        check(Fault::at_value("a.b", &list, "y"), "a.b: [1, 2.0], expected y");
    }

    #[test]
    fn long_values_are_cut() {
        let fault = Fault::at_text("a", &"é".repeat(100), "y");
        assert_eq!(fault.value.chars().count(), MAX_SHOWN_CHARS + 1);
    }
}
