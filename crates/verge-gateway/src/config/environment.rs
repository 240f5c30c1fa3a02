//! Settings from the environment: `VERGE__SECTION__NAME__KEY`, laid over those of the file.
//!
//! The `config` crate's own environment source lower-cases every key, so that `VERGE__SOURCE__PUMPA__TOPIC`
//! would open a second source `pumpa` beside the file's `PumpA`. Here each part of a variable's name is
//! looked up among the names of the file, without regard to case and with `_` for `-` (shells and systemd
//! allow no `-` in a variable's name); only what the file does not know is taken in lower case.

use std::ffi::OsString;

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::fault::Fault;
use super::kind::Kind;
use super::nearest::nearest;
use super::schema::SECTIONS;

/// What the names of Verge's variables start with.
pub const PREFIX: &str = "VERGE__";

const SEPARATOR: &str = "__";

/// What the names of all variables start with that are about Verge.
const OWN: &str = "VERGE_";

/// What the name of a setting looks like.
const FORM: &str = "VERGE__SECTION__KEY or VERGE__SECTION__NAME__KEY";

/// Variables that are no settings: of the program, of its tests and measurements.
const NO_SETTINGS: &[&str] = &[
    "VERGE_LOG",
    "VERGE_DATA",
    "VERGE_BIN",
    "VERGE_FULL",
    "VERGE_PROFILE",
    "VERGE_READINGS",
    "VERGE_SEEDS",
    "VERGE_TEST_INSTALL_INTO",
];

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
            .filter(|(name, _)| name.starts_with(OWN))
            .collect();
        own.sort_unstable();
        let mut overlay = Self::default();
        for (name, value) in own {
            if !is_variable(&name) {
                faults.extend(unknown(file, &name));
                continue;
            }
            match value.into_string() {
                Ok(text) => overlay.add(file, &name, text, faults),
                Err(_) => {
                    let fault = Fault::new(&name, "not UTF-8", "UTF-8 text").remedy("set it to such a text");
                    faults.push(of_variable(fault, name));
                }
            }
        }
        overlay
    }

    fn add(&mut self, file: &Map<String, Value>, name: &str, text: String, faults: &mut Vec<Fault>) {
        let parts: Vec<&str> = name[PREFIX.len()..].split(SEPARATOR).collect();
        if parts.len() < 2 || parts.iter().any(|part| part.is_empty()) {
            let fault = Fault::new(name, "not the name of a setting", FORM).remedy(rename(file, name));
            faults.push(of_variable(fault, name.to_owned()));
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
    let fault = Fault::new(
        variable,
        format!("{part} means both {one:?} and {other:?}"),
        "names in the file that differ in more than case and dashes",
    );
    of_variable(fault.remedy("give one of them another name"), variable.to_owned())
}

fn of_variable(fault: Fault, variable: String) -> Fault {
    Fault { variable: Some(variable), ..fault }
}

/// Why a variable that is about Verge is none of its settings.
fn unknown(file: &Map<String, Value>, name: &str) -> Option<Fault> {
    if NO_SETTINGS.contains(&name) || is_of_kubernetes(name) {
        return None;
    }
    let fault = Fault::new(name, "not the name of a setting", FORM).remedy(rename(file, name));
    Some(of_variable(fault, name.to_owned()))
}

/// Kubernetes sets these in each container beside a service whose name begins with "verge": `VERGE_SERVICE_HOST`,
/// `VERGE_PORT_1883_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    let port = |rest: &str| {
        let rest = rest.trim_start_matches('_');
        rest.is_empty() || rest.starts_with(|letter: char| letter.is_ascii_digit())
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.rsplit_once("_PORT").is_some_and(|(_, rest)| port(rest))
}

/// What to do about a variable that means nothing.
fn rename(file: &Map<String, Value>, name: &str) -> String {
    // Without what all begin with, which would make any two names near.
    let plain = |name: &str| {
        let folded = fold(name);
        let parts = folded.split('_').filter(|part| !part.is_empty());
        parts.skip(1).collect::<Vec<_>>().join("_")
    };
    let settings = settings(file);
    let other = NO_SETTINGS.iter().take(1).copied().chain(settings.iter().map(String::as_str));
    let mut known: Vec<(String, &str)> = other.map(|setting| (plain(setting), setting)).collect();
    // Of two that are equally near, the one that the file holds, which comes first.
    known.dedup_by(|later, first| later.0 == first.0);
    let wanted = plain(name);
    let exact = known.iter().find(|(folded, _)| *folded == wanted);
    let near = || {
        let folded = nearest(&wanted, known.iter().map(|(folded, _)| folded.as_str()))?;
        known.iter().find(|(known, _)| known == folded)
    };
    match exact.or_else(near) {
        Some((_, setting)) => format!("{setting} perhaps"),
        None => "take it out of the environment".to_owned(),
    }
}

/// The variables of all settings of sections that the file holds.
fn settings(file: &Map<String, Value>) -> Vec<String> {
    let mut names = Vec::new();
    for section in SECTIONS {
        let head = format!("{PREFIX}{}", section.name.to_uppercase());
        let tables: Vec<String> = match (section.named, file.get(section.name).and_then(as_table)) {
            (false, _) => vec![head],
            (true, Some(named)) => {
                let name = |name: &String| format!("{head}__{}", name.to_uppercase().replace('-', "_"));
                named.keys().map(name).collect()
            }
            (true, None) => vec![format!("{head}__NAME")],
        };
        for (table, key) in tables.iter().flat_map(|table| section.keys.iter().map(move |key| (table, key))) {
            let setting = format!("{table}__{}", key.name.to_uppercase());
            match key.kind {
                Kind::Tables(_) | Kind::Numbers => {}
                Kind::Table(inner) => {
                    names.extend(inner.iter().map(|key| format!("{setting}__{}", key.name.to_uppercase())));
                }
                _ => names.push(setting),
            }
        }
    }
    names
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
                "VERGE__GATEWAY: not the name of a setting, expected VERGE__SECTION__KEY or VERGE__SECTION__NAME__KEY; \
                 VERGE__GATEWAY__ID perhaps",
            ],
        );
        check(
            "VERGE__JUDGE__X_Y__ABOVE",
            "3",
            "",
            &[
                r#"VERGE__JUDGE__X_Y__ABOVE: X_Y means both "x-y" and "x_y", expected names in the file that differ in more than case and dashes; give one of them another name"#,
            ],
        );
    }
}
