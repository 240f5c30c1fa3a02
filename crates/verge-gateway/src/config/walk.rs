//! The walk over the raw tree: compares it with the schema, collects every fault, and leaves a tree that fits.
//!
//! Serde stops at the first fault; a person who writes a file wants them all. So what is faulty is cut out
//! here and replaced by its default if it has one, and the checks that follow see the rest.

use config::{Map, Value, ValueKind};

use super::environment::is_variable;
use super::fault::Fault;
use super::kind::{Key, Kind, Need, When, names, one_of};
use super::nearest::{nearest, nearest_choice};
use super::origin::Origins;
use super::remedy;
use super::schema::{self, SECTIONS};

mod sections;
mod value;

use value::{from_text, from_toml, text};

type Table = Map<String, Value>;

/// Longest name of a section or gateway, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The name that a section without one is given, for the checks to go on.
pub(crate) const UNNAMED: &str = "NAME";

/// What is shown in place of a password.
const SECRET_SHOWN: &str = "a password (not shown)";

/// Compares the tree with the schema. What comes out fits the raw structures. Keys in `lost` are not missed: the lines
/// that set them are faults already.
pub(super) fn walk(root: &Table, lost: &[String], origins: &mut Origins, faults: &mut Vec<Fault>) -> Table {
    let mut walk = Walk { faults, lost, origins };
    let root = walk.sections(root);
    SECTIONS.iter().map(|section| (section.name.to_owned(), walk.section(&root, section))).collect()
}

struct Walk<'a> {
    faults: &'a mut Vec<Fault>,
    lost: &'a [String],
    origins: &'a mut Origins,
}

impl Walk<'_> {
    /// A value for messages, unless it is a secret.
    fn shown(&self, name: &str, value: &Value) -> String {
        if name.contains("password") || name.contains("secret") || name == "store_key" {
            SECRET_SHOWN.to_owned()
        } else {
            super::fault::show(value)
        }
    }

    fn is_lost(&self, path: &str) -> bool {
        let within = |lost: &String| {
            path.strip_prefix(lost.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.lost.iter().any(|lost| lost.is_empty() || within(lost))
    }

    fn missing(&mut self, fault: Fault) {
        if !self.is_lost(&fault.key) {
            self.faults.push(fault);
        }
    }

    fn table(&mut self, path: &str, table: &Table, keys: &[Key]) -> Table {
        let Meant { table, told, by_keys } = self.meant(path, table, keys);
        let mut fitting = Table::new();
        let mut present = |key: &Key, value: Value| fitting.insert(key.name.to_owned(), value);
        let in_force = |key: &&Key| applies(key.when, &table, keys) != Applies::No;
        for (index, key) in keys.iter().enumerate().filter(|(_, key)| in_force(key)) {
            // Several entries of one name are in force only where the word that decides among them is
            // faulty; the first then stands for all, so that no fault is told twice.
            if keys[..index].iter().filter(in_force).any(|earlier| earlier.name == key.name) {
                continue;
            }
            let path = join(path, key.name);
            let is_told = told.contains(&key.name);
            let written = table.get(key.name);
            if let Some(value) = written.filter(|_| !is_told).and_then(|value| self.value(&path, value, key))
            {
                present(key, value);
                continue;
            }
            match key.need {
                // A word that was understood although it was written wrong.
                _ if is_told && written.is_some_and(|value| from_toml_or_text(key.kind, value).is_some()) => {
                    present(key, table[key.name].clone());
                }
                Need::Required if written.is_none() && applies(key.when, &table, keys) == Applies::Yes => {
                    self.missing(missing_key(&path, key, by_keys));
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

    /// The table as it was meant: keys that are written a little wrong, and words that decide which keys apply.
    fn meant(&mut self, path: &str, table: &Table, keys: &[Key]) -> Meant {
        let mut meant = Meant { table: table.clone(), told: Vec::new(), by_keys: false };
        for key in keys
            .iter()
            .filter(|key| keys.iter().any(|other| other.when.is_some_and(|when| when.key == key.name)))
        {
            let Kind::Choice(words) = key.kind else { continue };
            let Some(value) = table.get(key.name) else { continue };
            if text(value).is_some_and(|word| words.contains(&word)) {
                continue;
            }
            self.faults.push(wrong(&join(path, key.name), value, key));
            meant.told.push(key.name);
            let near = text(value).and_then(|word| nearest_choice(word, words));
            let word = near.or_else(|| {
                let word = by_keys(words, key.name, table, keys)?;
                meant.by_keys = true;
                Some(word)
            });
            if let Some(word) = word {
                meant.table.insert(key.name.to_owned(), Value::new(None, word));
            }
        }
        for (name, value) in table {
            if let Some(known) = self.known(path, name, value, &meant, keys)
                && !meant.table.contains_key(known)
            {
                self.origins.alias(&join(path, known), &join(path, name));
                meant.table.insert(known.to_owned(), value.clone());
            }
        }
        meant
    }

    /// Whether a key may stand in this table; if not, says why. Gives the key that was meant.
    fn known<'k>(
        &mut self,
        path: &str,
        name: &str,
        value: &Value,
        meant: &Meant,
        keys: &'k [Key],
    ) -> Option<&'k str> {
        let declared: Vec<&Key> = keys.iter().filter(|key| key.name == name).collect();
        let in_force = |key: &Key| applies(key.when, &meant.table, keys);
        if declared.is_empty() {
            return self.unknown(path, name, value, meant, keys);
        }
        if !meant.by_keys && declared.iter().all(|key| in_force(key) == Applies::No) {
            let conditions: Vec<&str> =
                declared.iter().filter_map(|key| key.when).flat_map(|when| when.values).copied().collect();
            let other = declared.iter().find_map(|key| key.when).map_or("", |when| when.key);
            let expected = format!("only where {other} is {}", one_of(&conditions));
            let path = join(path, name);
            let remedy = match conditions.as_slice() {
                [only] => format!("take the line out, or write {other} = {only:?}"),
                _ => format!("take the line out, or write another {other}"),
            };
            self.faults.push(if declared.iter().any(|key| matches!(key.kind, Kind::Secret)) {
                Fault::new(path, SECRET_SHOWN, expected).remedy(remedy)
            } else {
                Fault::at_value(path, value, expected).remedy(remedy)
            });
        }
        None
    }

    fn unknown<'k>(
        &mut self,
        path: &str,
        name: &str,
        value: &Value,
        meant: &Meant,
        keys: &'k [Key],
    ) -> Option<&'k str> {
        let candidates: Vec<&str> = keys
            .iter()
            .filter(|key| applies(key.when, &meant.table, keys) != Applies::No)
            .map(|key| key.name)
            .collect();
        let homes = schema::homes_of(name);
        // A key of another section is that key; any other is a slip of the pen.
        let near = if homes.is_empty() { nearest(name, candidates.iter().copied()) } else { None };
        let near = near.or_else(|| schema::other_name(name).filter(|other| candidates.contains(other)));
        let key = near.and_then(|near| keys.iter().find(|key| key.name == near));
        let fault =
            Fault::new(join(path, name), "unknown key", perhaps(near, &candidates)).with_origin_of(value);
        let fault = match (key, &fault.variable) {
            (Some(key), Some(variable)) => {
                let stem = variable.rsplit_once("__").map_or("", |(stem, _)| stem);
                let right = format!("{stem}__{}", key.name.to_uppercase());
                fault.remedy(format!("set {right} instead"))
            }
            (Some(key), None) if matches!(key.kind, Kind::Table(_) | Kind::Tables(_)) => {
                let path = join(path, key.name);
                let is_list = matches!(key.kind, Kind::Tables(_));
                fault.remedy(if is_list { format!("write [[{path}]]") } else { format!("write [{path}]") })
            }
            (Some(key), None) => fault.remedy(format!("write {} = {}", key.name, self.shown(name, value))),
            (None, Some(_)) => fault.remedy("take it out of the environment"),
            (None, None) if !homes.is_empty() => {
                fault.remedy(format!("move the line below {}, where {name} belongs", either(&homes)))
            }
            (None, None) => fault.remedy("take the line out"),
        };
        self.faults.push(fault);
        near.and_then(|near| keys.iter().find(|key| key.name == near)).map(|key| key.name)
    }

    /// The value as the raw structures take it, or `None` and a fault.
    fn value(&mut self, path: &str, value: &Value, key: &Key) -> Option<Value> {
        let kind = key.kind;
        let from_environment = value.origin().is_some_and(is_variable);
        match (&value.kind, kind) {
            (ValueKind::String(_), Kind::Secret) if from_environment => return Some(value.clone()),
            (_, Kind::Secret) => {
                let fault = Fault::new(path, SECRET_SHOWN, kind.expected());
                self.faults.push(fault.remedy(remedy::remedy(key, path, value)));
                return None;
            }
            (ValueKind::Table(table), Kind::Table(keys)) => {
                return Some(Value::new(None, self.table(path, table, keys)));
            }
            (ValueKind::Array(items), Kind::Table(keys))
                if !items.is_empty() && items.iter().all(is_table) =>
            {
                let table = self.as_table(path, &Value::new(None, items.clone()))?;
                return Some(Value::new(None, self.table(path, &table, keys)));
            }
            (ValueKind::Array(items), Kind::Tables(keys)) if !items.is_empty() => {
                return Some(Value::new(None, self.tables(path, items, keys)));
            }
            (ValueKind::Table(table), Kind::Tables(keys)) => {
                self.faults.push(wrong(path, value, key));
                return Some(Value::new(None, vec![Value::new(None, self.table(path, table, keys))]));
            }
            _ => {}
        }
        let fitting = match &value.kind {
            ValueKind::String(text) if from_environment || kind.is_text() => from_text(kind, text),
            _ => from_toml(kind, value),
        };
        if fitting.is_none() {
            self.faults.push(wrong(path, value, key));
        }
        fitting
    }

    fn tables(&mut self, path: &str, items: &[Value], keys: &[Key]) -> Vec<Value> {
        let mut fitting = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match &item.kind {
                ValueKind::Table(table) => fitting.push(Value::new(None, self.table(&path, table, keys))),
                _ => {
                    let first = keys.first().map_or("key", |key| key.name);
                    let fault = Fault::at_value(&path, item, format!("a table with {}", names(keys)));
                    self.faults.push(fault.remedy(format!("write {{ {first} = … }}")));
                }
            }
        }
        fitting
    }
}

/// A table as it was meant.
struct Meant {
    table: Table,
    /// Keys whose values are faults already.
    told: Vec<&'static str>,
    /// Whether the word that decides is a guess from the keys that are there.
    by_keys: bool,
}

/// The word under which most of the keys apply that are there, if there is one.
fn by_keys<'w>(words: &[&'w str], deciding: &str, table: &Table, keys: &[Key]) -> Option<&'w str> {
    let fits = |word: &str| {
        let declared = |name: &String| {
            keys.iter().any(|key| {
                key.name == name
                    && key.when.is_some_and(|when| when.key == deciding && when.values.contains(&word))
            })
        };
        table.keys().filter(|name| declared(name)).count()
    };
    let best = words.iter().map(|word| fits(word)).max().filter(|best| *best > 0)?;
    let mut all = words.iter().filter(|word| fits(word) == best);
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn wrong(path: &str, value: &Value, key: &Key) -> Fault {
    Fault::at_value(path, value, expected(key.kind, value)).remedy(remedy::remedy(key, path, value))
}

/// What is expected, with a word more about texts in which a backslash became something else.
fn expected(kind: Kind, value: &Value) -> String {
    match text(value).filter(|text| text.chars().any(char::is_control)) {
        Some(_) if matches!(kind, Kind::Text(_)) => {
            format!(r#"{} without control characters: in double quotes \t is a tab"#, kind.expected())
        }
        _ => kind.expected(),
    }
}

fn missing_key(path: &str, key: &Key, is_guess: bool) -> Fault {
    let fault = Fault::missing(path, key.kind.expected());
    let section = &path[..path.len() - key.name.len() - 1];
    match (remedy::example(key.kind), key.kind) {
        _ if is_guess => fault.remedy(format!("add it below [{section}], if it is what you mean")),
        (Some(example), _) => fault.remedy(format!("add {} = {example} below [{section}]", key.name)),
        (None, Kind::Tables(_)) => fault.remedy(format!("add [[{path}]] with its keys")),
        (None, _) => fault.remedy(format!("add it below [{section}]")),
    }
}

fn is_table(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Table(_))
}

fn as_table(value: &Value) -> Option<&Table> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// "a or b".
fn either(homes: &[String]) -> String {
    match homes.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => homes.concat(),
    }
}

fn from_toml_or_text(kind: Kind, value: &Value) -> Option<Value> {
    text(value).and_then(|text| from_text(kind, text))
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

/// The path of a key in a table; of one at the root, its name.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    if path.is_empty() {
        return key.to_owned();
    }
    if !key.is_empty() && key.chars().all(bare) { format!("{path}.{key}") } else { format!("{path}.{key:?}") }
}

/// What was expected instead of a name that is none of these.
fn perhaps(near: Option<&str>, known: &[&str]) -> String {
    let mut each: Vec<&str> = known.to_vec();
    each.dedup();
    match near {
        Some(near) => format!("{near} perhaps"),
        None => format!("one of {}", each.join(", ")),
    }
}
