//! What a configuration holds: a tree of values that know where they come from.

use std::fmt;

use toml::de::{DeTable, DeValue};

use super::origin::{At, LineIndex, ValueOrigin};

/// A table that keeps the order of the file.
pub(crate) type Map<T> = toml::map::Map<String, T>;

/// The keys of one table.
pub(super) type Table = Map<ConfigNode>;

/// A value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfigNode {
    pub(super) value: Value,
    pub(super) origin: ValueOrigin,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
    List(Vec<ConfigNode>),
    Table(Table),
}

impl From<Value> for ConfigNode {
    fn from(value: Value) -> Self {
        Self { value, origin: ValueOrigin::Default }
    }
}

impl ConfigNode {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The tables of a list that holds nothing else, and at least one.
    pub(super) fn tables(&self) -> Option<Vec<&Table>> {
        match &self.value {
            Value::List(items) if !items.is_empty() => items.iter().map(Self::table).collect(),
            _ => None,
        }
    }

    /// It is a table or a list of tables, which no message can show.
    pub(super) fn holds_tables(&self) -> bool {
        match &self.value {
            Value::Table(_) => true,
            Value::List(items) => items.iter().any(|item| item.table().is_some()),
            _ => false,
        }
    }

    /// The environment variable that it comes from.
    pub(super) fn variable(&self) -> Option<&str> {
        match &self.origin {
            ValueOrigin::Variable(name) => Some(name),
            _ => None,
        }
    }
}

/// As TOML, for messages.
impl fmt::Display for ConfigNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Whole(number) => write!(f, "{number}"),
            Value::Number(number) if number.is_nan() => f.write_str("nan"),
            Value::Number(number) => write!(f, "{number:?}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Table(_) => f.write_str("a table"),
            Value::List(_) if self.holds_tables() => f.write_str("a list of tables"),
            Value::List(items) => {
                let shown: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", shown.join(", "))
            }
        }
    }
}

/// The tree of a TOML text.
pub(super) fn read(text: &str, table: DeTable<'_>) -> Table {
    TreeReader { text, lines: LineIndex::new(text), last: 0 }.table(table, false)
}

struct TreeReader<'a> {
    text: &'a str,
    lines: LineIndex<'a>,
    /// Line of the key or element before.
    last: usize,
}

impl TreeReader<'_> {
    /// `inline` where several keys can stand on one line.
    fn table(&mut self, table: DeTable<'_>, inline: bool) -> Table {
        let mut read = Table::new();
        for (key, value) in table {
            let at = self.at(key.span().start, inline);
            read.insert(key.into_inner().into_owned(), self.node(value, Some(at)));
        }
        read
    }

    fn at(&mut self, offset: usize, inline: bool) -> At {
        let (line, column) = self.lines.locate(offset);
        let follows = inline && line == self.last;
        self.last = line;
        At { line, column, follows }
    }

    fn node(&mut self, value: toml::Spanned<DeValue<'_>>, key: Option<At>) -> ConfigNode {
        let start = value.span().start;
        let is_table = matches!(value.get_ref(), DeValue::Table(_));
        let has_header = is_table && !self.text[start..].starts_with('{');
        let own = match key {
            Some(key) if has_header => key,
            Some(key) => At { column: self.lines.locate(start).1, ..key },
            None => self.at(start, !has_header),
        };
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(whole) => Value::Whole(whole),
                // Beyond any whole number that a key takes, and perhaps a number all the same.
                Err(_) => Value::Number(number.as_str().parse().unwrap_or(f64::INFINITY)),
            },
            DeValue::Float(number) => Value::Number(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Flag(flag),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Table(table) => Value::Table(self.table(table, !has_header)),
            DeValue::Array(items) => {
                Value::List(items.into_iter().map(|item| self.node(item, None)).collect())
            }
        };
        ConfigNode { value, origin: ValueOrigin::File { key: key.unwrap_or(own), value: own } }
    }
}
