//! What a key of the configuration may be: kinds of values, whether it must be written, when it applies.

use std::time::Duration;

use super::declare::{Section, Word};
use super::units::{Size, Span};

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueKind {
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
    /// A list of texts, which may be empty. Says what each is.
    AnyTexts(&'static str),
    /// A list of some of these words, not empty.
    Choices(&'static [&'static str]),
    /// A table from free words to numbers.
    Numbers,
    /// A table from free names to lists of texts. Says what each text is.
    Lists(&'static str),
    /// A table from free names to pairs of numbers. Says what each pair is.
    Pairs(&'static str),
    /// Two points, or the name of something that has two ends.
    Ends,
    /// A table with keys of its own.
    Table(&'static Keys),
    /// A list of such tables, not empty.
    Tables(&'static Keys),
    /// A table from names to tables with these keys: `[judge.NAME.line.NAME]`.
    NamedTables(&'static Keys),
    /// Two numbers, `[x, y]`.
    Point,
    /// A list of pairs of numbers, not empty. Says what they are.
    Points(&'static str),
    /// Never in a file; by environment variable only.
    Secret,
}

/// Whether a key must be written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyNeed {
    /// It must.
    Required,
    /// It may be left out, and then there is none.
    Optional,
    /// It may be left out, and then it is this, written as an environment variable would be.
    Default(&'static str),
}

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: ValueKind,
    pub(crate) need: KeyNeed,
}

/// The keys of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// Those that always apply. The first of them decides about the variants, where there are any.
    pub(crate) own: &'static [Key],
    /// Words of the deciding key, and the keys that apply with each.
    pub(crate) variants: &'static [(&'static str, &'static [Key])],
}

impl Keys {
    /// The key whose word decides which others apply.
    pub(crate) fn deciding(&self) -> Option<&'static Key> {
        self.own.first().filter(|_| !self.variants.is_empty())
    }

    /// The keys that apply with this word; without one, each name once.
    pub(crate) fn in_force(&self, word: Option<&str>) -> Vec<&'static Key> {
        let mut keys: Vec<&Key> = Vec::new();
        let chosen = self.variants.iter().filter(|(own, _)| word.is_none_or(|word| *own == word));
        for key in self.own.iter().chain(chosen.flat_map(|(_, keys)| *keys)) {
            if !keys.iter().any(|known| known.name == key.name) {
                keys.push(key);
            }
        }
        keys
    }

    /// A key by its name; the first of those that several words have.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        self.in_force(None).into_iter().find(|key| key.name == name)
    }

    /// The words with which a key applies; none if it always does.
    pub(crate) fn words_of(&self, name: &str) -> Vec<&'static str> {
        let has = |keys: &[Key]| keys.iter().any(|key| key.name == name);
        self.variants.iter().filter(|(_, keys)| has(keys)).map(|(word, _)| *word).collect()
    }

    /// The names of keys that always apply.
    pub(crate) fn names(&self) -> String {
        self.own.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
    }
}

const fn of(kind: ValueKind) -> Key {
    Key { name: "", kind, need: KeyNeed::Optional }
}

/// How keys of each kind are declared; they are optional until they say otherwise.
macro_rules! builders {
    ($($(#[$meta:meta])* $name:ident $([$type:ident: $of:ident])? ($($given:ident: $is:ty),*) => $kind:expr;)*) => {
        $($(#[$meta])* pub(super) const fn $name$(<$type: $of>)?($($given: $is),*) -> Key {
            of($kind)
        })*
    };
}

builders! {
    name() => ValueKind::Name;
    text(what: &'static str) => ValueKind::Text(what);
    word[T: Word]() => ValueKind::Choice(T::WORDS);
    flag() => ValueKind::Flag;
    /// Any finite number.
    number() => ValueKind::Number { low: f64::MIN, high: f64::MAX };
    positive() => ValueKind::Number { low: f64::MIN_POSITIVE, high: f64::MAX };
    /// A share, from 0 to 1.
    share() => ValueKind::Number { low: 0.0, high: 1.0 };
    numbers_from(low: f64, high: f64) => ValueKind::Number { low, high };
    whole(low: u64, high: u64) => ValueKind::Whole { low, high };
    span(low: Duration, high: Duration) => ValueKind::Span { low, high };
    span_or_never(high: Duration) => ValueKind::SpanOrNever { high };
    size(low: u64, high: u64) => ValueKind::Size { low, high };
    texts(what: &'static str) => ValueKind::Texts(what);
    any_texts(what: &'static str) => ValueKind::AnyTexts(what);
    words[T: Word]() => ValueKind::Choices(T::WORDS);
    word_values() => ValueKind::Numbers;
    text_lists(what: &'static str) => ValueKind::Lists(what);
    table[T: Section]() => ValueKind::Table(&T::KEYS);
    tables[T: Section]() => ValueKind::Tables(&T::KEYS);
    named_tables[T: Section]() => ValueKind::NamedTables(&T::KEYS);
    points(what: &'static str) => ValueKind::Points(what);
    point() => ValueKind::Point;
    pairs(what: &'static str) => ValueKind::Pairs(what);
    ends() => ValueKind::Ends;
    secret() => ValueKind::Secret;
}

impl Key {
    /// It must be written.
    pub(super) const fn required(self) -> Self {
        Self { need: KeyNeed::Required, ..self }
    }

    /// It is this where it is left out, written as an environment variable would be.
    pub(super) const fn or(self, text: &'static str) -> Self {
        Self { need: KeyNeed::Default(text), ..self }
    }

    pub(super) const fn named(self, name: &'static str) -> Self {
        Self { name: plain_name(name), ..self }
    }
}

/// The name of a field as files have it: some are words of the language.
pub(super) const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

impl ValueKind {
    /// Whether TOML writes it as one string.
    pub(super) fn is_text(self) -> bool {
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

    /// The keys of a table, or of each table of a list.
    pub(super) const fn inner(self) -> Option<&'static Keys> {
        match self {
            Self::Table(keys) | Self::Tables(keys) | Self::NamedTables(keys) => Some(keys),
            _ => None,
        }
    }

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
            Self::AnyTexts(what) => format!("a list of {what}, or [] for none"),
            Self::Choices(words) => format!("a list of {}", one_of(words)),
            Self::Numbers => "a table of words and the numbers they stand for".to_owned(),
            Self::Lists(what) => format!("a table of names, each with a list of {what}"),
            Self::Table(keys) => format!("a table with {}", keys.names()),
            Self::Tables(keys) => format!("a list of tables with {}", keys.names()),
            Self::NamedTables(keys) => format!("a table of names, each a table with {}", keys.names()),
            Self::Point => "a point [x, y] of two numbers".to_owned(),
            Self::Pairs(what) => format!("a table of names, each with {what}"),
            Self::Ends => "two points [[x, y], [x, y]], or the name of a line of this judge".to_owned(),
            Self::Points(what) => format!("a list of {what}, such as {POINTS}"),
            Self::Secret => {
                "no secret in this file: put it into a file of its own and name that with password_file or \
                             store_key_file, or set it in the environment, such as VERGE__…__PASSWORD"
                    .to_owned()
            }
        }
    }
}

/// How points are written.
pub(super) const POINTS: &str = "[[0.1, 0.6], [0.3, 0.6], [0.3, 0.9]]";

/// "a", "b" or "c".
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
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
