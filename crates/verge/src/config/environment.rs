//! Settings from the environment: `VERGE__SECTION__NAME__KEY`, laid over those of the file.
//!
//! The `config` crate's own environment source lower-cases every key, so that `VERGE__SOURCE__PUMPA__TOPIC`
//! would open a second source `pumpa` beside the file's `PumpA`. Here each part of a variable's name is
//! looked up among the names of the file, without regard to case and with `_` for `-` (shells and systemd
//! allow no `-` in a variable's name); only what the file does not know is taken in lower case.

use std::ffi::OsString;

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::fault::Fault;

/// What the names of Verge's variables start with.
pub const PREFIX: &str = "VERGE__";

const SEPARATOR: &str = "__";

pub(super) fn is_variable(origin: &str) -> bool {
    origin.starts_with(PREFIX)
}

/// Values from the environment as a tree that is merged over the file's.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlay {
    tree: Map<String, Value>,
}

impl Overlay {
    /// Takes Verge's variables out of `variables`; `file` is the tree that the names are looked up in.
    pub(super) fn new(
        file: &Map<String, Value>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut own: Vec<(String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| name.into_string().ok().map(|name| (name, value)))
            .filter(|(name, _)| is_variable(name))
            .collect();
        own.sort_unstable();
        let mut overlay = Self::default();
        for (name, value) in own {
            match value.into_string() {
                Ok(text) => overlay.add(file, &name, text, faults),
                Err(_) => faults.push(Fault::new(name, "not UTF-8", "UTF-8 text")),
            }
        }
        overlay
    }

    fn add(&mut self, file: &Map<String, Value>, name: &str, text: String, faults: &mut Vec<Fault>) {
        let parts: Vec<&str> = name[PREFIX.len()..].split(SEPARATOR).collect();
        if parts.len() < 2 || parts.iter().any(|part| part.is_empty()) {
            faults.push(Fault::new(
                name,
                "not the name of a setting",
                "VERGE__SECTION__KEY or VERGE__SECTION__NAME__KEY",
            ));
            return;
        }
        let mut known = Some(file);
        let mut place = &mut self.tree;
        for part in &parts[..parts.len() - 1] {
            let key = match resolve(known, part) {
                Ok(key) => key,
                Err(both) => return faults.push(ambiguous(name, part, both)),
            };
            known = known.and_then(|table| table.get(&key)).and_then(as_table);
            let slot = place.entry(key).or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
            if as_table(slot).is_none() {
                *slot = Value::new(None, Map::<String, Value>::new());
            }
            let ValueKind::Table(next) = &mut slot.kind else { return };
            place = next;
        }
        let last = parts[parts.len() - 1];
        match resolve(known, last) {
            Ok(key) => {
                place.insert(key, Value::new(Some(&name.to_owned()), text));
            }
            Err(both) => faults.push(ambiguous(name, last, both)),
        }
    }
}

impl Source for Overlay {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.tree.clone())
    }
}

fn as_table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// The file's key that a part of a variable's name means, or the part in lower case where it means none.
///
/// # Errors
/// Two keys of the file that differ only in case or in `-` and `_`.
fn resolve(known: Option<&Map<String, Value>>, part: &str) -> Result<String, [String; 2]> {
    let folded = fold(part);
    let mut fitting = known.into_iter().flat_map(Map::keys).filter(|key| fold(key) == folded);
    match (fitting.next(), fitting.next()) {
        (Some(one), Some(other)) => Err([one.clone(), other.clone()]),
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Ok(part.to_lowercase()),
    }
}

fn ambiguous(variable: &str, part: &str, [one, other]: [String; 2]) -> Fault {
    Fault::new(
        variable,
        format!("{part} means both {one:?} and {other:?}"),
        "names in the file that differ in more than case and dashes",
    )
}

#[cfg(test)]
mod tests {
    use config::{Config, File, FileFormat};

    use super::*;

    const FILE: &str = r#"
        [gateway]
        id = "a"
        [source.PumpA]
        topic = "a/b"
        [uplink.centre-1]
        batch = { max_verdicts = 20 }
        [judge.x-y]
        above = 1
        [judge.x_y]
        above = 2
    "#;

    fn check(name: &str, value: &str, path: &str, expected_faults: &[&str]) {
        let file = Config::builder().add_source(File::from_str(FILE, FileFormat::Toml)).build().unwrap();
        let ValueKind::Table(table) = &file.cache.kind else { panic!("no table") };
        let mut faults = Vec::new();
        let variables = [(OsString::from(name), OsString::from(value)), ("VERGE_DATA".into(), "x".into())];
        let overlay = Overlay::new(table, variables, &mut faults);
        let merged = Config::builder()
            .add_source(File::from_str(FILE, FileFormat::Toml))
            .add_source(overlay)
            .build()
            .unwrap();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected_faults, "{name}");
        if faults.is_empty() {
            let found: Value =
                merged.get(path).unwrap_or_else(|error| panic!("{name} is not at {path}: {error}"));
            assert_eq!(found.kind, ValueKind::String(value.to_owned()), "{name}");
        }
    }

    #[test]
    fn variables_find_their_key() {
        check("VERGE__GATEWAY__ID", "b", "gateway.id", &[]);
        check("VERGE__SOURCE__PUMPA__TOPIC", "c/d", "source.PumpA.topic", &[]);
        check("VERGE__SOURCE__PumpA__CODEC", "json", "source.PumpA.codec", &[]);
        check("VERGE__UPLINK__CENTRE_1__URL", "x", "uplink.centre-1.url", &[]);
        check("VERGE__UPLINK__CENTRE-1__BATCH__MAX_VERDICTS", "5", "uplink.centre-1.batch.max_verdicts", &[]);
        check("VERGE__SOURCE__New__TOPIC", "x", "source.new.topic", &[]);
    }

    #[test]
    fn variables_that_mean_nothing_are_faults() {
        check(
            "VERGE__GATEWAY",
            "b",
            "",
            &[
                "VERGE__GATEWAY: not the name of a setting, expected VERGE__SECTION__KEY or VERGE__SECTION__NAME__KEY",
            ],
        );
        check(
            "VERGE__JUDGE__X_Y__ABOVE",
            "3",
            "",
            &[
                r#"VERGE__JUDGE__X_Y__ABOVE: X_Y means both "x-y" and "x_y", expected names in the file that differ in more than case and dashes"#,
            ],
        );
    }
}
