//! Sections as they were meant: under another name, in other brackets, with or without a name.

use config::{Value, ValueKind};

use super::super::fault::Fault;
use super::super::kind::{Key, Kind, Section};
use super::super::nearest::nearest_choice;
use super::super::schema::{self, SECTIONS};
use super::value::text;
use super::{MAX_NAME_BYTES, Table, UNNAMED, Walk, as_table, either, is_name, is_table, join, perhaps};

impl Walk<'_> {
    /// The root with all sections under the names that were meant.
    pub(super) fn sections(&mut self, root: &Table) -> Table {
        let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        let (mut meant, strange): (Table, Table) =
            root.clone().into_iter().partition(|(name, _)| known.contains(&name.as_str()));
        for (name, value) in strange {
            let is_section = matches!(&value.kind, ValueKind::Table(_))
                || matches!(&value.kind, ValueKind::Array(items) if items.iter().all(is_table));
            let found = if is_section {
                self.strange_section(&name, &value, &known)
            } else {
                self.outside(&name, &value)
            };
            let Some((section, key)) = found else { continue };
            let slot = meant.entry(section).or_insert_with(|| Value::new(None, Table::new()));
            match (&mut slot.kind, key) {
                (ValueKind::Table(into), Some(key)) => {
                    into.entry(key).or_insert(value);
                }
                (ValueKind::Table(into), None) => match value.kind {
                    ValueKind::Table(from) => {
                        for (key, value) in from {
                            into.entry(key).or_insert(value);
                        }
                    }
                    kind => slot.kind = kind,
                },
                (_, Some(_) | None) => {}
            }
        }
        meant
    }

    /// A section that there is not, and the one that was meant.
    fn strange_section(
        &mut self,
        name: &str,
        value: &Value,
        known: &[&str],
    ) -> Option<(String, Option<String>)> {
        let near = nearest_choice(name, known);
        if let (None, Some(section)) = (near, by_content(value)) {
            let path = join(section.name, name);
            let fault = Fault::new(name, "unknown section", format!("{path} perhaps"));
            self.faults.push(fault.remedy(format!("write [{path}]")));
            self.origins.alias(&path, name);
            return Some((section.name.to_owned(), Some(name.to_owned())));
        }
        let named = SECTIONS.iter().any(|section| section.named && near == Some(section.name));
        let fault = Fault::new(name, "unknown section", perhaps(near, known));
        self.faults.push(match near {
            Some(near) if named => fault.remedy(format!("write [{near}.NAME]")),
            Some(near) => fault.remedy(format!("write [{near}]")),
            None => fault.remedy("take it out"),
        });
        self.origins.alias(near?, name);
        Some((near?.to_owned(), None))
    }

    /// A key above the first section, and the section and key that were meant.
    fn outside(&mut self, name: &str, value: &Value) -> Option<(String, Option<String>)> {
        let homes = schema::homes_of(name);
        let fault =
            Fault::new(name, self.shown(name, value), "a section above it: no key stands outside of one");
        self.faults.push(fault.remedy(if homes.is_empty() {
            format!("take the line out: no section has a key {name}")
        } else {
            format!("move the line below {}", either(&homes))
        }));
        // Where there can be but one such key.
        let home =
            SECTIONS.iter().find(|section| !section.named && homes == [format!("[{}]", section.name)])?;
        self.origins.alias(&join(home.name, name), name);
        Some((home.name.to_owned(), Some(name.to_owned())))
    }

    pub(super) fn section(&mut self, root: &Table, section: &Section) -> Value {
        let empty = Table::new();
        let made;
        let table = match root.get(section.name).map(|value| &value.kind) {
            None => &empty,
            Some(ValueKind::Table(table)) if section.named => {
                made = self.without_names(table, section);
                &made
            }
            Some(ValueKind::Table(table)) => {
                made = self.with_a_name(table, section);
                &made
            }
            Some(ValueKind::Array(items)) if !items.is_empty() && items.iter().all(is_table) => {
                made = self.in_double_brackets(items, section);
                &made
            }
            Some(_) => {
                let fault = Fault::at_value(
                    section.name,
                    &root[section.name],
                    format!("a section {}", header(section)),
                );
                self.faults.push(fault.remedy(format!("write {} and the keys below it", header(section))));
                &empty
            }
        };
        if !section.named {
            return Value::new(None, self.table(section.name, table, section.keys));
        }
        if table.is_empty() && !section.optional && !root.contains_key(section.name) {
            let fault = Fault::missing(section.name, format!("at least one section [{}.NAME]", section.name));
            self.missing(fault.remedy(format!("add one, as configs/gateway.toml shows {}", header(section))));
        }
        let mut named = Table::new();
        for (name, value) in table {
            let path = join(section.name, name);
            if !is_name(name) {
                let fault = Fault::new(&path, "not a name", Kind::Name.expected());
                self.faults.push(fault.remedy(name_remedy(section, name)));
            }
            if let Some(keys) = self.as_table(&path, value) {
                let fitting = self.table(&path, &keys, section.keys);
                named.insert(name.clone(), Value::new(None, fitting));
            } else {
                let fault = Fault::at_value(&path, value, format!("a section [{path}]"));
                self.faults.push(fault.remedy(format!("write [{path}] and the keys below it")));
            }
        }
        Value::new(None, named)
    }

    /// The table that a value is, also where it was written in double brackets.
    pub(super) fn as_table(&mut self, path: &str, value: &Value) -> Option<Table> {
        match &value.kind {
            ValueKind::Table(table) => Some(table.clone()),
            ValueKind::Array(items) if !items.is_empty() && items.iter().all(is_table) => {
                let fault = Fault::new(path, format!("[[{path}]]"), format!("[{path}]"));
                self.faults.push(fault.remedy("write it in single brackets, and once"));
                self.origins.alias(path, &format!("{path}[0]"));
                items.first().and_then(|item| as_table(item).cloned())
            }
            _ => None,
        }
    }

    /// `[[judge]]`: each is given the name that it has among its keys, or its number.
    fn in_double_brackets(&mut self, items: &[Value], section: &Section) -> Table {
        let mut named = Table::new();
        for (index, item) in items.iter().enumerate() {
            let Some(mut table) = as_table(item).cloned() else { continue };
            let written = format!("{}[{index}]", section.name);
            let fault = Fault::new(&written, format!("[[{}]]", section.name), header(section));
            if !section.named {
                if index == 0 {
                    self.faults.push(
                        fault.remedy(format!("write {} in single brackets, and once", header(section))),
                    );
                    self.origins.alias(section.name, &written);
                    named = table;
                }
                continue;
            }
            let name = match table.get("name").or_else(|| table.get("id")).and_then(text) {
                Some(name) if is_name(name) => name.to_owned(),
                _ => format!("{}-{}", section.name, index + 1),
            };
            table.shift_remove("name");
            table.shift_remove("id");
            self.faults.push(fault.remedy(format!("write [{}]", join(section.name, &name))));
            self.origins.alias(&join(section.name, &name), &written);
            named.insert(name, Value::new(None, table));
        }
        named
    }

    /// `[judge]` with the keys of a judge: it is given a name.
    fn without_names(&mut self, table: &Table, section: &Section) -> Table {
        let (mut named, own): (Table, Table) = table.clone().into_iter().partition(|(name, value)| {
            is_table(value) && !section.keys.iter().any(|key| key.name == name && !has_keys(value, key))
        });
        let is_known = |name: &String| section.keys.iter().any(|key| key.name == name);
        let known = own.keys().filter(|name| is_known(name)).count();
        if known == 0 {
            return table.clone();
        }
        let fault = Fault::new(section.name, format!("[{}] without a name", section.name), header(section));
        self.faults.push(fault.remedy(format!("write [{}.NAME] with a name of your own", section.name)));
        let path = join(section.name, UNNAMED);
        self.origins.alias(&path, section.name);
        named.insert(UNNAMED.to_owned(), Value::new(None, own));
        named
    }

    /// `[gateway.main]`: what stands there is meant of `[gateway]`.
    fn with_a_name(&mut self, table: &Table, section: &Section) -> Table {
        let mut meant = Table::new();
        for (name, value) in table {
            let is_known = section.keys.iter().any(|key| key.name == name);
            match as_table(value).filter(|_| !is_known) {
                Some(inner) => {
                    let path = join(section.name, name);
                    let fault =
                        Fault::new(&path, "unknown key", format!("[{}], which has no name", section.name));
                    self.faults.push(fault.remedy(format!("write [{}]", section.name)));
                    for (key, value) in inner {
                        self.origins.alias(&join(section.name, key), &join(&path, key));
                        meant.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
                None => {
                    meant.insert(name.clone(), value.clone());
                }
            }
        }
        meant
    }
}

/// The named section whose keys a table holds, at least two of them and more than of any other.
fn by_content(value: &Value) -> Option<&'static Section> {
    let table = as_table(value)?;
    let held =
        |section: &Section| section.keys.iter().map(|key| key.name).filter(|name| table.contains_key(*name));
    let count = |section: &Section| {
        let mut names: Vec<&str> = held(section).collect();
        names.dedup();
        names.len()
    };
    let best = SECTIONS.iter().map(count).max().filter(|best| *best > 1)?;
    let mut all = SECTIONS.iter().filter(|section| count(section) == best);
    all.next().filter(|section| section.named && all.next().is_none())
}

fn name_remedy(section: &Section, name: &str) -> String {
    let plain =
        |letter: char| if letter.is_alphanumeric() || matches!(letter, '_' | '.') { letter } else { '-' };
    let made: String = name.trim().chars().map(plain).take(MAX_NAME_BYTES / 4).collect();
    let made = if made.chars().any(char::is_alphanumeric) { made } else { "NAME".to_owned() };
    format!("write [{}]", join(section.name, &made))
}

fn header(section: &Section) -> String {
    if section.named { format!("[{}.NAME]", section.name) } else { format!("[{}]", section.name) }
}

/// Whether a table holds the keys of a section rather than those of a key of this name, as in `[judge.region]`.
fn has_keys(value: &Value, key: &Key) -> bool {
    match (as_table(value), key.kind) {
        (Some(table), Kind::Table(inner) | Kind::Tables(inner)) => {
            !table.keys().all(|name| inner.iter().any(|key| key.name == name))
        }
        _ => true,
    }
}
