//! Settings from the environment: `VERGE__SECTION__NAME__KEY`, laid over those of the file.
//!
//! Each part of a variable's name is looked up among the names of the file, without regard to case and with `_` for `-`
//! (shells and systemd allow no `-` in a variable's name); only what the file does not know is taken in lower case.

use std::ffi::OsString;

use super::fault::Fault;
use super::key::ValueKind;
use super::nearest::nearest;
use super::origin::ValueOrigin;
use super::raw::SECTIONS;
use super::tree::{ConfigNode, Table, Value};

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
    "VERGE_PARENT",
    "VERGE_DATA",
    "VERGE_BIN",
    "VERGE_FULL",
    "VERGE_PROFILE",
    "VERGE_READINGS",
    "VERGE_SEEDS",
    "VERGE_TEST_INSTALL_INTO",
];

/// Lays Verge's variables out of `variables` over the tree of a file.
pub(super) fn lay_over(
    file: &mut Table,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Vec<Fault>,
) {
    let mut own: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| name.into_string().ok().map(|name| (name, value)))
        .filter(|(name, _)| name.starts_with(OWN))
        .collect();
    own.sort_unstable();
    for (name, value) in own {
        if !name.starts_with(PREFIX) {
            faults.extend(unknown(file, &name));
            continue;
        }
        let laid = match value.into_string() {
            Ok(text) => add(file, &name, text),
            Err(_) => {
                let fault = Fault::new(&name, "not UTF-8", "UTF-8 text");
                Err(Box::new(fault.remedy("set it to such a text")))
            }
        };
        faults.extend(laid.err().map(|fault| of_variable(*fault, name)));
    }
}

fn add(file: &mut Table, name: &str, text: String) -> Result<(), Box<Fault>> {
    let parts: Vec<&str> = name[PREFIX.len()..].split(SEPARATOR).collect();
    let (last, tables) = match parts.split_last() {
        Some((last, tables)) if !tables.is_empty() && !parts.contains(&"") => (last, tables),
        _ => {
            let fault = Fault::new(name, "not the name of a setting", FORM);
            return Err(Box::new(fault.remedy(rename(file, name))));
        }
    };
    let key = |table: &Table, part: &str| {
        resolve(table, part).map_err(|both| Box::new(ambiguous(name, part, both)))
    };
    let mut place = file;
    for part in tables {
        let key = key(place, part)?;
        let slot = place.entry(key).or_insert_with(|| Value::Table(Table::new()).into());
        if slot.table().is_none() {
            *slot = Value::Table(Table::new()).into();
        }
        let Value::Table(next) = &mut slot.value else { return Ok(()) };
        place = next;
    }
    let key = key(place, last)?;
    place
        .insert(key, ConfigNode { value: Value::Text(text), origin: ValueOrigin::Variable(name.to_owned()) });
    Ok(())
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// The file's key that a part of a variable's name means, or the part in lower case where it means none.
///
/// # Errors
/// Two keys of the file that differ only in case or in `-` and `_`.
fn resolve(known: &Table, part: &str) -> Result<String, [String; 2]> {
    let folded = fold(part);
    let mut fitting = known.keys().filter(|key| fold(key) == folded);
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
    fault.remedy("give one of them another name")
}

fn of_variable(fault: Fault, variable: String) -> Fault {
    Fault { variable: Some(variable), ..fault }
}

/// Why a variable that is about Verge is none of its settings.
fn unknown(file: &Table, name: &str) -> Option<Fault> {
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
fn rename(file: &Table, name: &str) -> String {
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
fn settings(file: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for section in SECTIONS {
        let head = format!("{PREFIX}{}", section.name.to_uppercase());
        let tables: Vec<String> = match (section.named, file.get(section.name).and_then(ConfigNode::table)) {
            (false, _) => vec![head],
            (true, Some(named)) => {
                let name = |name: &String| format!("{head}__{}", name.to_uppercase().replace('-', "_"));
                named.keys().map(name).collect()
            }
            (true, None) => vec![format!("{head}__NAME")],
        };
        let keys = section.keys.in_force(None);
        for (table, key) in tables.iter().flat_map(|table| keys.iter().map(move |key| (table, key))) {
            let setting = format!("{table}__{}", key.name.to_uppercase());
            match key.kind {
                ValueKind::Tables(_) | ValueKind::NamedTables(_) => {}
                ValueKind::Numbers | ValueKind::Lists(_) | ValueKind::Point | ValueKind::Points(_) => {}
                ValueKind::Pairs(_) | ValueKind::Ends => {}
                ValueKind::Table(inner) => {
                    names.extend(
                        inner.own.iter().map(|key| format!("{setting}__{}", key.name.to_uppercase())),
                    );
                }
                _ => names.push(setting),
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::super::tree;
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
        let mut table = tree::read(FILE, DeTable::parse(FILE).unwrap().into_inner());
        let mut faults = Vec::new();
        let variables = [(OsString::from(name), OsString::from(value)), ("VERGE_DATA".into(), "x".into())];
        lay_over(&mut table, variables, &mut faults);
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected_faults, "{name}");
        if faults.is_empty() {
            let (key, tables) = path
                .split('.')
                .collect::<Vec<_>>()
                .split_last()
                .map(|(key, tables)| (*key, tables.to_vec()))
                .unwrap();
            let inner = tables.iter().fold(&table, |table, part| table[*part].table().unwrap());
            assert_eq!(inner[key].text(), Some(value), "{name} is not at {path}");
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
