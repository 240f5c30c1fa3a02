//! How a setting is declared: once, with its type, what is accepted, and its default. The structures that the checks read
//! and the keys that the walk, the messages and the environment go by are made of the same line.

#[expect(unused_imports, reason = "the macro names it where it is used")]
use super::key::plain_name;
use super::key::{Key, Keys};
use super::tree::{ConfigNode, Map, Table, Value};
use super::units::{Size, Span, SpanOrNever};

/// A table whose keys are declared.
pub(crate) trait Section: Sized {
    /// Its keys.
    const KEYS: Keys;

    /// Out of a table that the walk has made fit.
    fn take(table: &Table) -> Self;
}

/// Tables of different keys, distinguished by a word.
pub(crate) trait Variants: Word {
    /// The keys of each.
    const KEYS: &'static [(&'static str, &'static [Key])];

    /// Out of a table that the walk has made fit.
    fn take(word: &str, table: &Table) -> Option<Self>;
}

/// One of several words.
pub(crate) trait Word: Sized {
    /// All of them.
    const WORDS: &'static [&'static str];
}

/// A value of a configuration.
pub(crate) trait Setting: Sized {
    /// Out of a value that the walk has made fit.
    fn of(value: &Value) -> Option<Self>;
}

/// What a key holds.
pub(crate) trait Field: Sized {
    /// Out of the value that the walk leaves, if it leaves one.
    fn take(node: Option<&ConfigNode>) -> Self;
}

impl<T: Setting> Field for Option<T> {
    fn take(node: Option<&ConfigNode>) -> Self {
        node.and_then(|node| T::of(&node.value))
    }
}

impl<T: Setting> Field for T {
    fn take(node: Option<&ConfigNode>) -> Self {
        let value = node.and_then(|node| T::of(&node.value));
        value.expect("the walk fills in what has a default, and leaves only what fits")
    }
}

/// How many keys these are together.
pub(super) const fn count(parts: &[&[Key]]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < parts.len() {
        sum += parts[at].len();
        at += 1;
    }
    sum
}

/// These keys in one list of [`count`] keys.
pub(super) const fn join<const N: usize>(parts: &[&[Key]]) -> [Key; N] {
    let mut joined = [super::key::flag(); N];
    let (mut part, mut at, mut end) = (0, 0, 0);
    while end < N {
        if at < parts[part].len() {
            joined[end] = parts[part][at];
            (at, end) = (at + 1, end + 1);
        } else {
            (part, at) = (part + 1, 0);
        }
    }
    joined
}

/// Declares tables, tables distinguished by a word, and words, one after the other.
///
/// - `struct NAME with GROUP: TYPE by KEY: VARIANTS [need] { field: type = key }`: a table. Groups are keys that several tables
///   have; the word at KEY decides which keys apply besides.
/// - `enum NAME { "word" => Variant(TABLE) }`: tables distinguished by a word.
/// - `words NAME { "word" => Variant }`: an enumeration and its words; `words for NAME` where it is declared elsewhere.
macro_rules! declare {
    () => {};
    ($(#[$meta:meta])* struct $name:ident
        $(with $($group:ident: $part:ident),+)?
        $(by $tag:ident: $variants:ident [$($need:tt)*])?
        { $($(#[$about:meta])* $field:ident: $type:ty = $key:expr),* $(,)? }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $(pub(crate) $tag: Option<$variants>,)?
            $($(pub(crate) $group: $part,)+)?
            $($(#[$about])* pub(crate) $field: $type,)*
        }

        impl Section for $name {
            const KEYS: Keys = {
                const PARTS: &[&[Key]] = &[
                    $(&[word::<$variants>() $($need)*.named(stringify!($tag))],)?
                    $($(<$part as Section>::KEYS.own,)+)?
                    &[$($key.named(stringify!($field))),*],
                ];
                const OWN: [Key; count(PARTS)] = join(PARTS);
                const VARIANTS: &[&[(&str, &[Key])]] = &[$(<$variants as Variants>::KEYS)?];
                Keys { own: &OWN, variants: if let [variants] = VARIANTS { variants } else { &[] } }
            };

            fn take(table: &Table) -> Self {
                // Some have no keys.
                let _ = table;
                Self {
                    $($tag: <$variants as Variants>::take(
                        table.get(stringify!($tag)).and_then(ConfigNode::text).unwrap_or_default(),
                        table,
                    ),)?
                    $($($group: <$part as Section>::take(table),)+)?
                    $($field: Field::take(table.get(plain_name(stringify!($field)))),)*
                }
            }
        }

        impl Setting for $name {
            fn of(value: &Value) -> Option<Self> {
                if let Value::Table(table) = value { Some(Section::take(table)) } else { None }
            }
        }

        declare! { $($rest)* }
    };
    ($(#[$meta:meta])* enum $name:ident { $($word:literal => $variant:ident($part:ty)),* $(,)? } $($rest:tt)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        #[allow(clippy::large_enum_variant, reason = "a configuration has few of them, and is read once")]
        pub(crate) enum $name { $($variant($part)),* }

        impl Word for $name {
            const WORDS: &'static [&'static str] = &[$($word),*];
        }

        impl Variants for $name {
            const KEYS: &'static [(&'static str, &'static [Key])] = &[$(($word, <$part as Section>::KEYS.own)),*];

            fn take(word: &str, table: &Table) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant(Section::take(table))),)*
                    _ => None,
                }
            }
        }

        declare! { $($rest)* }
    };
    (words for $name:ident { $($word:literal => $variant:ident),* $(,)? } $($rest:tt)*) => {
        impl Word for $name {
            const WORDS: &'static [&'static str] = &[$($word),*];
        }

        impl Setting for $name {
            fn of(value: &Value) -> Option<Self> {
                match value {
                    $(Value::Text(text) if text == $word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        declare! { $($rest)* }
    };
    ($(#[$meta:meta])* words $name:ident { $($word:literal => $variant:ident),* $(,)? } $($rest:tt)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($variant),* }

        declare! { words for $name { $($word => $variant),* } $($rest)* }
    };
}

pub(super) use declare;

/// A value of one kind alone.
macro_rules! plain {
    ($($type:ty, $pattern:pat => $made:expr;)*) => {
        $(impl Setting for $type {
            fn of(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $made,
                    _ => None,
                }
            }
        })*
    };
}

plain! {
    String, Value::Text(text) => Some(text.clone());
    bool, Value::Flag(flag) => Some(*flag);
    usize, Value::Whole(number) => usize::try_from(*number).ok();
    u32, Value::Whole(number) => u32::try_from(*number).ok();
    u64, Value::Whole(number) => u64::try_from(*number).ok();
    Span, Value::Text(text) => Self::parse(text);
    SpanOrNever, Value::Text(text) => Self::parse(text);
    Size, Value::Text(text) => Self::parse(text);
    Map<[f64; 2]>, Value::Table(table) => {
        table.iter().map(|(name, node)| Some((name.clone(), <[f64; 2]>::of(&node.value)?))).collect()
    };
    Map<f64>, Value::Table(table) => {
        table.iter().map(|(word, node)| Some((word.clone(), f64::of(&node.value)?))).collect()
    };
    Map<Vec<String>>, Value::Table(table) => {
        table.iter().map(|(name, node)| Some((name.clone(), Vec::of(&node.value)?))).collect()
    };
}

impl<T: Section> Setting for Map<T> {
    fn of(value: &Value) -> Option<Self> {
        let Value::Table(table) = value else { return None };
        table.iter().map(|(name, node)| Some((name.clone(), T::take(node.table()?)))).collect()
    }
}

impl Setting for [f64; 2] {
    fn of(value: &Value) -> Option<Self> {
        let Value::List(items) = value else { return None };
        let [first, second] = items.as_slice() else { return None };
        Some([f64::of(&first.value)?, f64::of(&second.value)?])
    }
}

impl Setting for f64 {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(*number),
            Value::Whole(number) => Some(*number as f64),
            _ => None,
        }
    }
}

impl Setting for f32 {
    fn of(value: &Value) -> Option<Self> {
        f64::of(value).map(|number| number as f32)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::List(items) => items.iter().map(|item| T::of(&item.value)).collect(),
            _ => None,
        }
    }
}
