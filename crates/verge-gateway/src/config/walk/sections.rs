//! Sections as they were meant: under another name, in other brackets, with or without a name.

use super::super::fault::Fault;
use super::super::key::{Key, ValueKind};
use super::super::nearest::nearest_choice;
use super::super::raw::{self, SECTIONS, SectionKeys};
use super::super::tree::{ConfigNode, Table, Value};
use super::{MAX_NAME_BYTES, UNNAMED, Walk, either, is_name, join, perhaps};

impl Walk<'_> {
    /// The root with all sections under the names that were meant.
    pub(super) fn sections(&mut self, root: &Table) -> Table {
        let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        let (mut meant, strange): (Table, Table) =
            root.clone().into_iter().partition(|(name, _)| known.contains(&name.as_str()));
        for (name, value) in strange {
            let is_section = value.table().is_some() || value.tables().is_some();
            let found = if is_section {
                self.strange_section(&name, &value, &known)
            } else {
                self.outside(&name, &value)
            };
            let Some((section, key)) = found else { continue };
            let slot = meant.entry(section).or_insert_with(|| Value::Table(Table::new()).into());
            let Value::Table(into) = &mut slot.value else { continue };
            match (key, value.value) {
                (Some(key), inner) => {
                    into.entry(key).or_insert(ConfigNode { value: inner, origin: value.origin });
                }
                (None, Value::Table(from)) => {
                    for (key, value) in from {
                        into.entry(key).or_insert(value);
                    }
                }
                (None, other) => slot.value = other,
            }
        }
        meant
    }

    /// A section that there is not, and the one that was meant.
    fn strange_section(
        &mut self,
        name: &str,
        value: &ConfigNode,
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
    fn outside(&mut self, name: &str, value: &ConfigNode) -> Option<(String, Option<String>)> {
        let homes = raw::homes_of(name);
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

    pub(super) fn section(&mut self, root: &Table, section: &SectionKeys) -> ConfigNode {
        let empty = Table::new();
        let made;
        let table = match root.get(section.name).map(|node| (node, node.table(), node.tables())) {
            None => &empty,
            Some((_, Some(table), _)) if section.named => {
                made = self.without_names(table, section);
                &made
            }
            Some((_, Some(table), _)) => {
                made = self.with_a_name(table, section);
                &made
            }
            Some((_, None, Some(items))) => {
                made = self.in_double_brackets(&items, section);
                &made
            }
            Some((node, None, None)) => {
                let fault = Fault::at_node(section.name, node, format!("a section {}", section.header()));
                self.faults.push(fault.remedy(format!("write {} and the keys below it", section.header())));
                &empty
            }
        };
        if !section.named {
            return Value::Table(self.table(section.name, table, section.keys)).into();
        }
        if table.is_empty() && !section.optional && !root.contains_key(section.name) {
            let fault = Fault::missing(section.name, format!("at least one section [{}.NAME]", section.name));
            self.missing(
                fault.remedy(format!("add one, as configs/gateway.toml shows {}", section.header())),
            );
        }
        let mut named = Table::new();
        for (name, value) in table {
            let path = join(section.name, name);
            if !is_name(name) {
                let fault = Fault::new(&path, "not a name", ValueKind::Name.expected());
                self.faults.push(fault.remedy(name_remedy(section, name)));
            }
            if let Some(keys) = self.as_table(&path, value) {
                let fitting = self.table(&path, &keys, section.keys);
                named.insert(name.clone(), Value::Table(fitting).into());
            } else {
                let fault = Fault::at_node(&path, value, format!("a section [{path}]"));
                self.faults.push(fault.remedy(format!("write [{path}] and the keys below it")));
            }
        }
        Value::Table(named).into()
    }

    /// The table that a value is, also where it was written in double brackets.
    pub(super) fn as_table(&mut self, path: &str, node: &ConfigNode) -> Option<Table> {
        let first = node.tables().and_then(|tables| tables.first().map(|first| (*first).clone()));
        if first.is_some() {
            let fault = Fault::new(path, format!("[[{path}]]"), format!("[{path}]"));
            self.faults.push(fault.remedy("write it in single brackets, and once"));
            self.origins.alias(path, &format!("{path}[0]"));
        }
        node.table().cloned().or(first)
    }

    /// `[[judge]]`: each is given the name that it has among its keys, or its number.
    fn in_double_brackets(&mut self, items: &[&Table], section: &SectionKeys) -> Table {
        let mut named = Table::new();
        for (index, item) in items.iter().enumerate() {
            let mut table = (*item).clone();
            let written = format!("{}[{index}]", section.name);
            let fault = Fault::new(&written, format!("[[{}]]", section.name), section.header());
            if !section.named {
                if index == 0 {
                    self.faults.push(
                        fault.remedy(format!("write {} in single brackets, and once", section.header())),
                    );
                    self.origins.alias(section.name, &written);
                    named = table;
                }
                continue;
            }
            let name = match table.get("name").or_else(|| table.get("id")).and_then(ConfigNode::text) {
                Some(name) if is_name(name) => name.to_owned(),
                _ => format!("{}-{}", section.name, index + 1),
            };
            table.remove("name");
            table.remove("id");
            self.faults.push(fault.remedy(format!("write [{}]", join(section.name, &name))));
            self.origins.alias(&join(section.name, &name), &written);
            named.insert(name, Value::Table(table).into());
        }
        named
    }

    /// `[judge]` with the keys of a judge: it is given a name.
    fn without_names(&mut self, table: &Table, section: &SectionKeys) -> Table {
        let (mut named, own): (Table, Table) = table.clone().into_iter().partition(|(name, value)| {
            value.table().is_some() && section.keys.find(name).is_none_or(|key| has_keys(value, key))
        });
        if !own.keys().any(|name| section.keys.find(name).is_some()) {
            return table.clone();
        }
        let fault = Fault::new(section.name, format!("[{}] without a name", section.name), section.header());
        self.faults.push(fault.remedy(format!("write [{}.NAME] with a name of your own", section.name)));
        let path = join(section.name, UNNAMED);
        self.origins.alias(&path, section.name);
        named.insert(UNNAMED.to_owned(), Value::Table(own).into());
        named
    }

    /// `[gateway.main]`: what stands there is meant of `[gateway]`.
    fn with_a_name(&mut self, table: &Table, section: &SectionKeys) -> Table {
        let mut meant = Table::new();
        for (name, value) in table {
            match value.table().filter(|_| section.keys.find(name).is_none()) {
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
fn by_content(value: &ConfigNode) -> Option<&'static SectionKeys> {
    let table = value.table()?;
    let count = |section: &SectionKeys| table.keys().filter(|name| section.keys.find(name).is_some()).count();
    let best = SECTIONS.iter().map(count).max().filter(|best| *best > 1)?;
    let mut all = SECTIONS.iter().filter(|section| count(section) == best);
    all.next().filter(|section| section.named && all.next().is_none())
}

fn name_remedy(section: &SectionKeys, name: &str) -> String {
    let plain =
        |letter: char| if letter.is_alphanumeric() || matches!(letter, '_' | '.') { letter } else { '-' };
    let made: String = name.trim().chars().map(plain).take(MAX_NAME_BYTES / 4).collect();
    let made = if made.chars().any(char::is_alphanumeric) { made } else { "NAME".to_owned() };
    format!("write [{}]", join(section.name, &made))
}

/// Whether a table holds the keys of a section rather than those of a key of this name, as in `[judge.region]`.
fn has_keys(value: &ConfigNode, key: &Key) -> bool {
    match (value.table(), key.kind.inner()) {
        (Some(table), Some(keys)) => !table.keys().all(|name| keys.find(name).is_some()),
        _ => true,
    }
}
