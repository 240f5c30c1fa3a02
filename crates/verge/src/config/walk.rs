//! The walk over the raw tree: compares it with the schema, collects every fault, and leaves a tree that fits.
//!
//! Serde stops at the first fault; a person who writes a file wants them all. So what is faulty is cut out
//! here and replaced by its default if it has one, and the checks that follow see the rest.

use config::{Map, Value, ValueKind};

use super::environment::is_variable;
use super::fault::Fault;
use super::kind::{Key, Kind, Need, Section, When, names, one_of};
use super::schema::SECTIONS;
use super::units::{NEVER, Size, Span};

type Table = Map<String, Value>;

/// Longest name of a section or gateway, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What is shown in place of a password.
const SECRET_SHOWN: &str = "a password (not shown)";

/// A word this close to a known one is probably meant to be it (Jaro-Winkler similarity).
const SIMILAR: f64 = 0.8;

/// Compares the tree with the schema. What comes out fits the raw structures.
pub(super) fn walk(root: &Table, faults: &mut Vec<Fault>) -> Table {
    let mut walk = Walk { faults };
    let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    for (name, value) in root {
        if !known.contains(&name.as_str()) {
            let fault = Fault::new(name, "unknown section", suggestion(name, &known));
            walk.faults.push(fault.with_origin_of(value));
        }
    }
    SECTIONS.iter().map(|section| (section.name.to_owned(), walk.section(root, section))).collect()
}

struct Walk<'a> {
    faults: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    fn section(&mut self, root: &Table, section: &Section) -> Value {
        let empty = Table::new();
        let table = match root.get(section.name) {
            None => &empty,
            Some(Value { kind: ValueKind::Table(table), .. }) => table,
            Some(other) => {
                let header = if section.named {
                    format!("[{}.NAME]", section.name)
                } else {
                    format!("[{}]", section.name)
                };
                self.faults.push(Fault::at_value(section.name, other, format!("a section {header}")));
                &empty
            }
        };
        if !section.named {
            return Value::new(None, self.table(section.name, table, section.keys));
        }
        if table.is_empty()
            && !section.optional
            && !matches!(root.get(section.name), Some(other) if !matches!(other.kind, ValueKind::Table(_)))
        {
            self.faults
                .push(Fault::missing(section.name, format!("at least one section [{}.NAME]", section.name)));
        }
        let mut named = Table::new();
        for (name, value) in table {
            let path = join(section.name, name);
            if !is_name(name) {
                self.faults.push(Fault::new(&path, "not a name", Kind::Name.expected()));
            }
            match &value.kind {
                ValueKind::Table(keys) => {
                    let fitting = self.table(&path, keys, section.keys);
                    named.insert(name.clone(), Value::new(None, fitting));
                }
                _ => self.faults.push(Fault::at_value(&path, value, format!("a section [{path}]"))),
            }
        }
        Value::new(None, named)
    }

    fn table(&mut self, path: &str, table: &Table, keys: &[Key]) -> Table {
        for (name, value) in table {
            self.known(path, name, value, table, keys);
        }
        let mut fitting = Table::new();
        let mut present = |key: &Key, value: Value| fitting.insert(key.name.to_owned(), value);
        let in_force = |key: &&Key| applies(key.when, table, keys) != Applies::No;
        for (index, key) in keys.iter().enumerate().filter(|(_, key)| in_force(key)) {
            // Several entries of one name are in force only where the word that decides among them is
            // faulty; the first then stands for all, so that no fault is told twice.
            if keys[..index].iter().filter(in_force).any(|earlier| earlier.name == key.name) {
                continue;
            }
            let path = join(path, key.name);
            let written = table.get(key.name);
            if let Some(value) = written.and_then(|value| self.value(&path, value, key.kind)) {
                present(key, value);
                continue;
            }
            match key.need {
                Need::Required if written.is_none() && applies(key.when, table, keys) == Applies::Yes => {
                    self.faults.push(Fault::missing(&path, key.kind.expected()));
                }
                Need::Required | Need::Optional => {}
                Need::Default(text) => {
                    let value = match key.kind {
                        Kind::Table(inner) => Value::new(None, self.table(&path, &Table::new(), inner)),
                        kind => from_text(kind, text).expect("defaults in the schema fit their kind"),
                    };
                    present(key, value);
                }
            }
        }
        fitting
    }

    /// Whether a key may stand in this table; if not, says why.
    fn known(&mut self, path: &str, name: &str, value: &Value, table: &Table, keys: &[Key]) {
        let declared: Vec<&Key> = keys.iter().filter(|key| key.name == name).collect();
        if declared.is_empty() {
            let candidates: Vec<&str> = keys
                .iter()
                .filter(|key| applies(key.when, table, keys) != Applies::No)
                .map(|key| key.name)
                .collect();
            let fault = Fault::new(join(path, name), "unknown key", suggestion(name, &candidates));
            self.faults.push(fault.with_origin_of(value));
        } else if declared.iter().all(|key| applies(key.when, table, keys) == Applies::No) {
            let conditions: Vec<&str> =
                declared.iter().filter_map(|key| key.when).flat_map(|when| when.values).copied().collect();
            let other = declared.iter().find_map(|key| key.when).map_or("", |when| when.key);
            let expected = format!("only where {other} is {}", one_of(&conditions));
            let path = join(path, name);
            self.faults.push(if declared.iter().any(|key| matches!(key.kind, Kind::Secret)) {
                Fault::new(path, SECRET_SHOWN, expected)
            } else {
                Fault::at_value(path, value, expected)
            });
        }
    }

    /// The value as the raw structures take it, or `None` and a fault.
    fn value(&mut self, path: &str, value: &Value, kind: Kind) -> Option<Value> {
        let from_environment = value.origin().is_some_and(is_variable);
        let fitting = match (&value.kind, kind) {
            (ValueKind::String(_), Kind::Secret) if from_environment => Some(value.clone()),
            (_, Kind::Secret) => {
                self.faults.push(Fault::new(path, SECRET_SHOWN, kind.expected()));
                return None;
            }
            (ValueKind::Table(table), Kind::Table(keys)) => {
                Some(Value::new(None, self.table(path, table, keys)))
            }
            (ValueKind::Array(items), Kind::Tables(keys)) if !items.is_empty() => {
                return Some(Value::new(None, self.tables(path, items, keys)));
            }
            (ValueKind::String(text), _) if from_environment => from_text(kind, text),
            (ValueKind::String(text), _) if kind.is_text() => from_text(kind, text),
            _ => from_toml(kind, value),
        };
        if fitting.is_none() {
            self.faults.push(Fault::at_value(path, value, kind.expected()));
        }
        fitting
    }

    fn tables(&mut self, path: &str, items: &[Value], keys: &[Key]) -> Vec<Value> {
        let mut fitting = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match &item.kind {
                ValueKind::Table(table) => fitting.push(Value::new(None, self.table(&path, table, keys))),
                _ => self.faults.push(Fault::at_value(&path, item, format!("a table with {}", names(keys)))),
            }
        }
        fitting
    }
}

impl Kind {
    /// Whether TOML writes it as one string.
    fn is_text(self) -> bool {
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
fn from_text(kind: Kind, text: &str) -> Option<Value> {
    let keep = |fits: bool| fits.then(|| Value::new(None, text));
    match kind {
        Kind::Name => keep(is_name(text)),
        Kind::Text(_) | Kind::Secret => keep(!text.is_empty()),
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
fn from_toml(kind: Kind, value: &Value) -> Option<Value> {
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

fn text(value: &Value) -> Option<&str> {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applies {
    Yes,
    No,
    /// The word that decides is missing or wrong, which is a fault of its own.
    Unknown,
}

fn applies(when: Option<When>, table: &Table, keys: &[Key]) -> Applies {
    let Some(when) = when else { return Applies::Yes };
    let deciding = keys.iter().find(|key| key.name == when.key);
    let choice = deciding.and_then(|key| match key.kind {
        Kind::Choice(words) => Some(words),
        _ => None,
    });
    let word = match (table.get(when.key), deciding.map(|key| key.need)) {
        (Some(written), _) => text(written),
        (None, Some(Need::Default(word))) => Some(word),
        (None, _) => None,
    };
    match word {
        Some(word) if when.values.contains(&word) => Applies::Yes,
        Some(word) if choice.is_some_and(|words| words.contains(&word)) => Applies::No,
        _ => Applies::Unknown,
    }
}

fn is_name(text: &str) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.chars().all(fits)
}

fn join(path: &str, key: &str) -> String {
    let bare = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    if !key.is_empty() && key.chars().all(bare) { format!("{path}.{key}") } else { format!("{path}.{key:?}") }
}

fn suggestion(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut each: Vec<&str> = known.to_vec();
    each.dedup();
    match nearest {
        Some((_, candidate)) => format!("{candidate} perhaps; known here: {}", each.join(", ")),
        None => format!("one of {}", each.join(", ")),
    }
}
