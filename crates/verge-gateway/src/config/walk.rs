//! The walk over the raw tree: compares it with what is declared, collects every fault, and leaves a tree that fits.
//!
//! Serde stops at the first fault; a person who writes a file wants them all. So what is faulty is cut out
//! here and replaced by its default if it has one, and the checks that follow see the rest.

use super::declare::Section;
use super::fault::Fault;
use super::key::{Key, KeyNeed, Keys, ValueKind, one_of};
use super::nearest::{nearest, nearest_choice};
use super::origin::Origins;
use super::raw::{self, SECTIONS, TrackSections};
use super::remedy;
use super::tree::{ConfigNode, Table, Value};

mod sections;
mod value;

use value::{fit, from_text};

/// Longest name of a section or gateway, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The name that a section without one is given, for the checks to go on.
pub(crate) const UNNAMED: &str = "NAME";

/// What is shown in place of a password.
const SECRET_SHOWN: &str = "a password (not shown)";

/// Compares the tree with what is declared. What comes out fits the declared structures. Keys in `lost` are not missed: the lines
/// that set them are faults already.
pub(super) fn walk(root: &Table, lost: &[String], origins: &mut Origins, faults: &mut Vec<Fault>) -> Table {
    let mut walk = Walk { faults, lost, origins };
    let root = walk.sections(root);
    SECTIONS.iter().map(|section| (section.name.to_owned(), walk.section(&root, section))).collect()
}

/// A table of which nothing is written.
pub(super) fn unwritten<T: Section>() -> T {
    let (mut faults, mut origins) = (Vec::new(), Origins::default());
    let mut walk = Walk { faults: &mut faults, lost: &[], origins: &mut origins };
    T::take(&walk.table("", &Table::new(), &T::KEYS))
}

/// A file that says only what is counted.
pub(super) fn track(root: &Table, origins: &mut Origins) -> (TrackSections, Vec<Fault>) {
    let mut root = root.clone();
    if let Some(Value::Table(track)) = root.get_mut("track").map(|node| &mut node.value)
        && !track.contains_key("detector")
    {
        track.insert("detector".to_owned(), Value::Text("track".to_owned()).into());
    }
    let mut faults = Vec::new();
    let mut walk = Walk { faults: &mut faults, lost: &[], origins };
    let file = TrackSections::take(&walk.table("", &root, &TrackSections::KEYS));
    (file, faults)
}

struct Walk<'a> {
    faults: &'a mut Vec<Fault>,
    lost: &'a [String],
    origins: &'a mut Origins,
}

impl Walk<'_> {
    /// A value for messages, unless it is a secret.
    fn shown(&self, name: &str, node: &ConfigNode) -> String {
        if name.contains("password") || name.contains("secret") || name == "store_key" {
            SECRET_SHOWN.to_owned()
        } else {
            node.to_string()
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

    fn table(&mut self, path: &str, table: &Table, keys: &Keys) -> Table {
        let meant = self.meant(path, table, keys);
        let mut fitting = Table::new();
        for key in keys.in_force(meant.word) {
            let path = join(path, key.name);
            let decides = keys.deciding().is_some_and(|deciding| deciding.name == key.name);
            let written = meant.table.get(key.name);
            let found = match (written, meant.word) {
                (_, Some(word)) if decides => Some(Value::Text(word.to_owned())),
                // Its word is a fault already.
                (Some(_), None) if decides => None,
                (Some(node), _) => self.value(&path, node, key),
                (None, _) => None,
            };
            match (found, key.need) {
                (Some(value), _) => {
                    fitting.insert(key.name.to_owned(), value.into());
                }
                // Without the word that decides, only what always applies is missed.
                (None, KeyNeed::Required)
                    if written.is_none() && (meant.word.is_some() || keys.words_of(key.name).is_empty()) =>
                {
                    self.missing(missing_key(&path, key, meant.by_keys));
                }
                (None, KeyNeed::Default(_)) if decides => {}
                (None, KeyNeed::Default(text)) => {
                    let value = match key.kind {
                        ValueKind::Table(inner) => Value::Table(self.table(&path, &Table::new(), inner)),
                        kind => from_text(kind, text).expect("declared defaults fit their kind"),
                    };
                    fitting.insert(key.name.to_owned(), value.into());
                }
                (None, KeyNeed::Required | KeyNeed::Optional) => {}
            }
        }
        fitting
    }

    /// The table as it was meant: the word that decides which keys apply, and keys that are written a little wrong.
    fn meant(&mut self, path: &str, table: &Table, keys: &Keys) -> MeantTable {
        let mut meant = MeantTable { table: table.clone(), word: None, by_keys: false };
        if let Some(key) = keys.deciding() {
            let known = |word: &str| keys.variants.iter().map(|(own, _)| *own).find(|own| *own == word);
            let names: Vec<&str> = keys.in_force(None).iter().map(|key| key.name).collect();
            let misspelt =
                |name: &String| key_meant(name, &names) == Some(key.name) && !names.contains(&name.as_str());
            let written = table.get(key.name);
            let written =
                written.or_else(|| table.iter().find(|(name, _)| misspelt(name)).map(|(_, node)| node));
            meant.word = match (written, key.need) {
                (None, KeyNeed::Default(word)) => Some(word),
                (None, _) => None,
                (Some(node), _) => node.text().and_then(known).or_else(|| {
                    self.faults.push(wrong(&join(path, key.name), node, key));
                    let words: Vec<&str> = keys.variants.iter().map(|(word, _)| *word).collect();
                    let near = node.text().and_then(|word| nearest_choice(word, &words));
                    near.or_else(|| {
                        let word = by_keys(table, keys)?;
                        meant.by_keys = true;
                        Some(word)
                    })
                }),
            };
        }
        for (name, node) in table {
            if let Some(known) = self.known(path, name, node, &meant, keys)
                && !meant.table.contains_key(known)
            {
                self.origins.alias(&join(path, known), &join(path, name));
                meant.table.insert(known.to_owned(), node.clone());
            }
        }
        meant
    }

    /// Whether a key may stand in this table; if not, says why. Gives the key that was meant.
    fn known(
        &mut self,
        path: &str,
        name: &str,
        node: &ConfigNode,
        meant: &MeantTable,
        keys: &Keys,
    ) -> Option<&'static str> {
        let in_force = keys.in_force(meant.word);
        if in_force.iter().any(|key| key.name == name) {
            return None;
        }
        let (Some(deciding), Some(key)) = (keys.deciding(), keys.find(name)) else {
            return self.unknown(path, name, node, &in_force);
        };
        // Of a word that is a guess, nothing is a foreign key.
        if !meant.by_keys {
            let words = keys.words_of(name);
            let expected = format!("only where {} is {}", deciding.name, one_of(&words));
            let path = join(path, name);
            let remedy = match words.as_slice() {
                [only] => format!("take the line out, or write {} = {only:?}", deciding.name),
                _ => format!("take the line out, or write another {}", deciding.name),
            };
            let fault = match key.kind {
                ValueKind::Secret => Fault::new(path, SECRET_SHOWN, expected),
                _ => Fault { of_value: false, ..Fault::at_node(path, node, expected) },
            };
            self.faults.push(fault.remedy(remedy));
        }
        None
    }

    fn unknown(
        &mut self,
        path: &str,
        name: &str,
        node: &ConfigNode,
        in_force: &[&'static Key],
    ) -> Option<&'static str> {
        let candidates: Vec<&str> = in_force.iter().map(|key| key.name).collect();
        let homes = raw::homes_of(name);
        let near = key_meant(name, &candidates);
        let key = near.and_then(|near| in_force.iter().find(|key| key.name == near)).copied();
        let fault =
            Fault::new(join(path, name), "unknown key", perhaps(near, &candidates)).with_origin_of(node);
        let fault = match (key, &fault.variable) {
            (Some(key), Some(variable)) => {
                let stem = variable.rsplit_once("__").map_or("", |(stem, _)| stem);
                let right = format!("{stem}__{}", key.name.to_uppercase());
                fault.remedy(format!("set {right} instead"))
            }
            (Some(key), None) if key.kind.inner().is_some() => {
                let path = join(path, key.name);
                fault.remedy(match key.kind {
                    ValueKind::Tables(_) => format!("write [[{path}]]"),
                    ValueKind::NamedTables(_) => format!("write [{path}.NAME]"),
                    _ => format!("write [{path}]"),
                })
            }
            (Some(key), None) if node.holds_tables() => {
                fault.remedy(format!("write {} instead of {name}", key.name))
            }
            (Some(key), None) => fault.remedy(format!("write {} = {}", key.name, self.shown(name, node))),
            (None, Some(_)) => fault.remedy("take it out of the environment"),
            (None, None) if !homes.is_empty() => {
                fault.remedy(format!("move the line below {}, where {name} belongs", either(&homes)))
            }
            (None, None) => fault.remedy("take the line out"),
        };
        self.faults.push(fault);
        key.map(|key| key.name)
    }

    /// The value as its key takes it, or `None` and a fault.
    fn value(&mut self, path: &str, node: &ConfigNode, key: &Key) -> Option<Value> {
        match (&node.value, key.kind) {
            (Value::Text(text), ValueKind::Secret) if node.variable().is_some() => {
                return Some(Value::Text(text.clone()));
            }
            (_, ValueKind::Secret) => {
                let fault = Fault::new(path, SECRET_SHOWN, key.kind.expected());
                self.faults.push(fault.remedy(remedy::remedy(key, path, node)));
                return None;
            }
            (Value::Table(_) | Value::List(_), ValueKind::Table(keys)) => {
                if let Some(table) = self.as_table(path, node) {
                    return Some(Value::Table(self.table(path, &table, keys)));
                }
            }
            (Value::Table(tables), ValueKind::NamedTables(keys)) => {
                return Some(Value::Table(self.named_tables(path, tables, keys)));
            }
            (Value::List(items), ValueKind::Tables(keys)) if !items.is_empty() => {
                return Some(Value::List(self.tables(path, items, keys)));
            }
            (Value::Table(table), ValueKind::Tables(keys)) => {
                let from_environment = table.values().find(|node| node.variable().is_some());
                self.faults.push(match from_environment {
                    Some(node) => Fault::new(path, "a variable", format!("[[{path}]] in the file alone"))
                        .with_origin_of(node)
                        .remedy("take it out of the environment"),
                    None => wrong(path, node, key),
                });
                return Some(Value::List(vec![Value::Table(self.table(path, table, keys)).into()]));
            }
            _ => {}
        }
        let fitting = fit(key.kind, node);
        if fitting.is_none() {
            self.faults.push(wrong(path, node, key));
        }
        fitting
    }

    /// Tables below names of their own.
    fn named_tables(&mut self, path: &str, tables: &Table, keys: &Keys) -> Table {
        let mut fitting = Table::new();
        for (name, node) in tables {
            let path = join(path, name);
            if !is_name(name) {
                let fault = Fault::new(&path, "not a name", ValueKind::Name.expected());
                self.faults.push(fault.remedy("write another name in the header"));
            }
            if let Some(table) = self.as_table(&path, node) {
                fitting.insert(name.clone(), Value::Table(self.table(&path, &table, keys)).into());
            } else {
                let fault = Fault::at_node(&path, node, format!("a table with {}", keys.names()));
                self.faults.push(fault.remedy(format!("write [{path}] and the keys below it")));
            }
        }
        fitting
    }

    fn tables(&mut self, path: &str, items: &[ConfigNode], keys: &Keys) -> Vec<ConfigNode> {
        let mut fitting = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(table) = item.table() {
                fitting.push(Value::Table(self.table(&path, table, keys)).into());
            } else {
                let first = keys.own.first().map_or("key", |key| key.name);
                let fault = Fault::at_node(&path, item, format!("a table with {}", keys.names()));
                self.faults.push(fault.remedy(format!("write {{ {first} = … }}")));
            }
        }
        fitting
    }
}

/// The key that was meant by a name that there is not. A key of another section is that key; any other is a slip of the pen.
fn key_meant<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = if raw::homes_of(name).is_empty() { nearest(name, known.iter().copied()) } else { None };
    near.or_else(|| raw::other_name(name).filter(|other| known.contains(other)))
}

/// A table as it was meant.
struct MeantTable {
    table: Table,
    /// The word that decides which keys apply, where there is such a key and it is known.
    word: Option<&'static str>,
    /// Whether that word is a guess from the keys that are there.
    by_keys: bool,
}

/// The word under which most of the keys apply that are there, if there is one.
fn by_keys(table: &Table, keys: &Keys) -> Option<&'static str> {
    let fits = |own: &[Key]| table.keys().filter(|name| own.iter().any(|key| key.name == *name)).count();
    let best = keys.variants.iter().map(|(_, own)| fits(own)).max().filter(|best| *best > 0)?;
    let mut all = keys.variants.iter().filter(|(_, own)| fits(own) == best);
    match (all.next(), all.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    }
}

fn wrong(path: &str, node: &ConfigNode, key: &Key) -> Fault {
    Fault::at_node(path, node, expected(key.kind, node)).remedy(remedy::remedy(key, path, node))
}

/// What is expected, with a word more about texts in which a backslash became something else.
fn expected(kind: ValueKind, node: &ConfigNode) -> String {
    match node.text().filter(|text| text.chars().any(char::is_control)) {
        Some(_) if matches!(kind, ValueKind::Text(_)) => {
            format!(r#"{} without control characters: in double quotes \t is a tab"#, kind.expected())
        }
        _ => kind.expected(),
    }
}

fn missing_key(path: &str, key: &Key, is_guess: bool) -> Fault {
    let fault = Fault::missing(path, key.kind.expected());
    // A file of one section alone has its keys at the top.
    let section = path.strip_suffix(key.name).and_then(|path| path.strip_suffix('.')).unwrap_or_default();
    match (remedy::example(key.kind), key.kind) {
        _ if section.is_empty() => fault.remedy(format!("add {}", key.name)),
        _ if is_guess => fault.remedy(format!("add it below [{section}], if it is what you mean")),
        (Some(example), _) => fault.remedy(format!("add {} = {example} below [{section}]", key.name)),
        (None, ValueKind::Tables(_)) => fault.remedy(format!("add [[{path}]] with its keys")),
        (None, _) => fault.remedy(format!("add it below [{section}]")),
    }
}

/// "a or b".
fn either(homes: &[String]) -> String {
    match homes.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => homes.concat(),
    }
}

fn is_name(text: &str) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.chars().all(fits)
}

/// The path of a key in a table; of one at the root, its name.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    if path.is_empty() {
        return key.to_owned();
    }
    if !key.is_empty() && key.chars().all(bare) { format!("{path}.{key}") } else { format!("{path}.{key:?}") }
}

/// What was expected instead of a name that is none of these.
fn perhaps(near: Option<&str>, known: &[&str]) -> String {
    match near {
        Some(near) => format!("{near} perhaps"),
        None => format!("one of {}", known.join(", ")),
    }
}
