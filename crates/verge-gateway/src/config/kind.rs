//! What a key of the configuration may be: kinds of values, whether it must be written, when it applies.

use std::time::Duration;

use super::units::{Size, Span};

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Letters, digits, `-`, `_`, `.`: fit for topics, client ids, variables and patterns.
    Name,
    /// Any text but the empty one; what it means is checked later. Says what is expected.
    Text(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A finite number.
    Number { low: f64, high: f64 },
    /// A whole number.
    Whole { low: u64, high: u64 },
    /// A duration with its unit.
    Span { low: Duration, high: Duration },
    /// A duration with its unit, or the word `never`.
    SpanOrNever { high: Duration },
    /// A number of bytes with its unit.
    Size { low: u64, high: u64 },
    /// A list of texts, not empty. Says what each is.
    Texts(&'static str),
    /// A list of some of these words, not empty.
    Choices(&'static [&'static str]),
    /// A table from free words to numbers.
    Numbers,
    /// A table with keys of its own.
    Table(&'static [Key]),
    /// A list of such tables, not empty.
    Tables(&'static [Key]),
    /// Never in a file; by environment variable only.
    Secret,
}

/// Whether a key must be written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// It must.
    Required,
    /// It may be left out, and then there is none.
    Optional,
    /// It may be left out, and then it is this, written as an environment variable would be.
    Default(&'static str),
}

/// The key's table must hold one of these words at another key for it to apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    pub(crate) key: &'static str,
    pub(crate) values: &'static [&'static str],
}

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    pub(crate) when: Option<When>,
}

/// One section of the file.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    /// Whether it repeats under names: `[source.NAME]`.
    pub(crate) named: bool,
    /// Whether a file without one of them is still a configuration; of named sections only.
    pub(crate) optional: bool,
    pub(crate) keys: &'static [Key],
}

pub(super) const fn required(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, need: Need::Required, when: None }
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, need: Need::Optional, when: None }
}

pub(super) const fn default(name: &'static str, kind: Kind, text: &'static str) -> Key {
    Key { name, kind, need: Need::Default(text), when: None }
}

impl Key {
    pub(super) const fn when(self, key: &'static str, values: &'static [&'static str]) -> Self {
        Self { when: Some(When { key, values }), ..self }
    }
}

impl Kind {
    /// What is expected, in words.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Name => r#"a name of letters, digits, "-", "_" and ".", at most 64 bytes long"#.to_owned(),
            Self::Text(what) => what.to_owned(),
            Self::Choice(words) => one_of(words),
            Self::Flag => "true or false".to_owned(),
            Self::Number { low, high } if low == f64::MIN && high == f64::MAX => "a finite number".to_owned(),
            Self::Number { low, high } if low == f64::MIN_POSITIVE && high == f64::MAX => {
                "a finite number above 0".to_owned()
            }
            Self::Number { low, high } => format!("a number from {low} to {high}"),
            Self::Whole { low, high } => format!("a whole number from {low} to {high}"),
            Self::Span { low, high } => {
                format!(r#"a duration from {} to {}, such as "250ms", "5s" or "10m""#, Span(low), Span(high))
            }
            Self::SpanOrNever { high } => {
                format!(r#""never" or a duration up to {}, such as "5s" or "10m""#, Span(high))
            }
            Self::Size { low, high } => {
                format!(r#"a size from {} to {}, such as "64 KiB" or "2 GiB""#, Size(low), Size(high))
            }
            Self::Texts(what) => format!("a list of {what}"),
            Self::Choices(words) => format!("a list of {}", one_of(words)),
            Self::Numbers => "a table of words and the numbers they stand for".to_owned(),
            Self::Table(keys) => format!("a table with {}", names(keys)),
            Self::Tables(keys) => format!("a list of tables with {}", names(keys)),
            Self::Secret => {
                "no secret in this file: put it into a file of its own and name that with password_file or \
                             store_key_file, or set it in the environment, such as VERGE__…__PASSWORD"
                    .to_owned()
            }
        }
    }
}

/// "a", "b" or "c".
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The names of keys, each once.
pub(crate) fn names(keys: &[Key]) -> String {
    let mut names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_listed_as_people_write_them() {
        assert_eq!(one_of(&["a"]), r#""a""#);
        assert_eq!(one_of(&["a", "b", "c"]), r#""a", "b" or "c""#);
    }
}
