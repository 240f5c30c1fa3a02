//! What every key of a configuration says, defaults included: two configurations are compared by these.

use std::collections::BTreeMap;
use std::str::Chars;

use super::key::{Keys, ValueKind};
use super::raw::SECTIONS;
use super::tree::{ConfigNode, Table, Value};
use super::units::{Size, Span};
use super::walk::join;

/// One section, or one named section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionValues {
    /// The kind of section, such as `judge`.
    pub section: &'static str,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How it is called, such as `judge.high`.
    pub path: String,
    /// Values by their key within it, as TOML. Passwords and keys are left out: they come from the environment, which does
    /// not change while a process runs.
    pub values: BTreeMap<String, String>,
    /// Keys of passwords and keys that are set.
    pub secrets: Vec<String>,
}

impl SectionValues {
    /// The names in a table of named tables, such as its lines.
    pub(crate) fn names_in(&self, table: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for key in self.values.keys() {
            let Some(rest) = key.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            let name = first_part(rest);
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.dedup();
        names
    }

    /// The keys of one of them, and what they say as TOML.
    pub(crate) fn keys_of(&self, table: &str, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let within = format!("{}.", join(table, name));
        let key = move |(key, value): (&'_ String, &'_ String)| -> Option<(usize, usize)> {
            let rest = key.strip_prefix(&within)?;
            Some((key.len() - rest.len(), value.len()))
        };
        self.values.iter().filter_map(move |(name, value)| {
            let (from, _) = key((name, value))?;
            Some((&name[from..], value.as_str()))
        })
    }
}

/// The first part of a path, without the quotes and escapes of [`join`].
fn first_part(path: &str) -> String {
    let Some(quoted) = path.strip_prefix('"') else {
        return path.split('.').next().unwrap_or_default().to_owned();
    };
    let (mut letters, mut name) = (quoted.chars(), String::new());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => name.extend(escaped(&mut letters)),
            plain => name.push(plain),
        }
    }
    name
}

/// The letter that stands behind a backslash.
fn escaped(letters: &mut Chars<'_>) -> Option<char> {
    match letters.next()? {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '0' => Some('\0'),
        'u' => {
            let code: String = letters.skip_while(|it| *it == '{').take_while(|it| *it != '}').collect();
            u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)
        }
        itself => Some(itself),
    }
}

/// All sections, in the order in which people write them.
pub type ConfigValues = Vec<SectionValues>;

/// The values of a tree that the walk has made fit.
pub(super) fn values_of(root: &Table) -> ConfigValues {
    let mut all = Vec::new();
    for section in SECTIONS {
        let Some(table) = root.get(section.name).and_then(ConfigNode::table) else { continue };
        let mut add = |name: Option<&String>, path: String, table: &Table| {
            let (mut values, mut secrets) = (BTreeMap::new(), Vec::new());
            collect("", table, section.keys, &mut (&mut values, &mut secrets));
            all.push(SectionValues { section: section.name, name: name.cloned(), path, values, secrets });
        };
        if section.named {
            for (name, node) in table {
                if let Some(table) = node.table() {
                    add(Some(name), join(section.name, name), table);
                }
            }
        } else {
            add(None, section.name.to_owned(), table);
        }
    }
    all
}

/// Values, and the keys of secrets.
type Collected<'a> = (&'a mut BTreeMap<String, String>, &'a mut Vec<String>);

fn collect(path: &str, table: &Table, keys: &Keys, found: &mut Collected<'_>) {
    for (name, node) in table {
        let path = join(path, name);
        match (keys.find(name).map(|key| key.kind), &node.value) {
            (Some(ValueKind::Secret), _) => found.1.push(path),
            (Some(ValueKind::Table(inner)), Value::Table(table)) => collect(&path, table, inner, found),
            (Some(ValueKind::NamedTables(inner)), Value::Table(tables)) => {
                for (name, node) in tables {
                    if let Some(table) = node.table() {
                        collect(&join(&path, name), table, inner, found);
                    }
                }
            }
            (Some(ValueKind::Tables(inner)), Value::List(items)) => {
                for (index, table) in items.iter().filter_map(ConfigNode::table).enumerate() {
                    collect(&format!("{path}[{index}]"), table, inner, found);
                }
            }
            (_, Value::Table(table)) => {
                for (word, node) in table {
                    found.0.insert(join(&path, word), node.to_string());
                }
            }
            (kind, _) => {
                found.0.insert(path, shown(kind, node));
            }
        }
    }
}

/// "60s" and "1m" are the same.
fn shown(kind: Option<ValueKind>, node: &ConfigNode) -> String {
    let text = node.text();
    let span = || Some(format!("\"{}\"", Span::parse(text?)?));
    let size = || Some(format!("\"{}\"", Size::parse(text?)?));
    let canonical = match kind {
        Some(ValueKind::Span { .. } | ValueKind::SpanOrNever { .. }) => span(),
        Some(ValueKind::Size { .. }) => size(),
        _ => None,
    };
    canonical.unwrap_or_else(|| node.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_is_read_as_it_was_written() {
        for name in ["stop", "a b", "a.b", "no\"rth", "back\\slash", "tab\tline\n\0", "\u{202e}x", "\"", "é"]
        {
            let key = format!("{}.from", join(&join("line", name), "x"));
            assert_eq!(first_part(key.strip_prefix("line.").unwrap()), name);
            let values = BTreeMap::from([(key, "1".to_owned())]);
            let section = SectionValues {
                section: "judge",
                name: None,
                path: "judge.x".to_owned(),
                values,
                secrets: Vec::new(),
            };
            assert_eq!(section.names_in("line"), [name]);
            assert_eq!(section.keys_of("line", name).collect::<Vec<_>>(), [("x.from", "1")]);
        }
    }
}
