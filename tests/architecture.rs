//! The shape of the workspace, as ARCHITECTURE.md draws it: which may depend on which, and which foreign crates
//! have one owner.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PAGE: &str = include_str!("../ARCHITECTURE.md");
/// Words of the page at most: who looks for the room of something reads all of it.
const PAGE_WORDS: usize = 1_000;
/// What the page says of crates that see nearly everything.
const MOST: &str = "most of the above";

/// Every crate of the workspace and the ones of ours that it may depend on. A new edge is discussed first, then
/// written here and in ARCHITECTURE.md.
const ALLOWED_EDGES: &[(&str, &[&str])] = &[
    // Ground floor.
    ("verge-domain", &[]),
    ("verge-tls", &[]),
    ("verge-engine", &[]),
    ("verge-lz4", &["verge-domain"]),
    ("verge-scene", &["verge-domain"]),
    ("verge-sparkplug", &["verge-domain"]),
    // What models mean, for those who look through them.
    ("verge-models", &["verge-domain", "verge-engine"]),
    // Middle: siblings that never see each other.
    ("verge-anomaly", &["verge-domain", "verge-scene"]),
    ("verge-broker", &["verge-domain", "verge-tls"]),
    ("verge-codec", &["verge-domain", "verge-lz4", "verge-sparkplug"]),
    ("verge-modbus", &["verge-domain"]),
    ("verge-mqtt", &["verge-domain", "verge-sparkplug", "verge-tls"]),
    ("verge-opcua", &["verge-domain", "verge-sparkplug"]),
    ("verge-outbox", &["verge-domain"]),
    ("verge-pipeline", &["verge-domain"]),
    ("verge-traffic", &["verge-domain", "verge-tls"]),
    ("verge-vision", &["verge-domain", "verge-engine", "verge-models"]),
    ("verge-web", &["verge-domain", "verge-tls"]),
    ("verge-wire", &["verge-domain", "verge-lz4"]),
    // Top: the gateway as a library sees all below it, the command line sees it.
    (
        "verge-gateway",
        &[
            "verge-anomaly",
            "verge-broker",
            "verge-codec",
            "verge-domain",
            "verge-engine",
            "verge-models",
            "verge-modbus",
            "verge-mqtt",
            "verge-opcua",
            "verge-outbox",
            "verge-pipeline",
            "verge-scene",
            "verge-sparkplug",
            "verge-tls",
            "verge-traffic",
            "verge-vision",
            "verge-web",
            "verge-wire",
        ],
    ),
    ("verge-eval", &["verge-anomaly", "verge-domain", "verge-scene"]),
    (
        "verge-demo",
        &[
            "verge-broker",
            "verge-domain",
            "verge-gateway",
            "verge-mqtt",
            "verge-pipeline",
            "verge-tls",
            "verge-vision",
            "verge-wire",
        ],
    ),
    (
        "verge",
        &[
            "verge-demo",
            "verge-eval",
            "verge-gateway",
            "verge-anomaly",
            "verge-broker",
            "verge-codec",
            "verge-domain",
            "verge-engine",
            "verge-models",
            "verge-modbus",
            "verge-mqtt",
            "verge-outbox",
            "verge-pipeline",
            "verge-scene",
            "verge-sparkplug",
            "verge-tls",
            "verge-traffic",
            "verge-vision",
            "verge-web",
            "verge-wire",
        ],
    ),
];

/// Further edges that only tests have.
const TEST_EDGES: &[(&str, &str)] = &[
    // Each is the other's real counterpart.
    ("verge-broker", "verge-mqtt"),
    ("verge-mqtt", "verge-broker"),
];

/// Foreign crates that few of ours may name, so that each can be replaced in one place.
const OWNERS: &[(&str, &[&str])] = &[
    // What decides how the program ends passes on errors of any type.
    ("anyhow", &["verge", "verge-demo", "verge-gateway"]),
    ("argon2", &["verge-tls"]),
    ("askama", &["verge-web"]),
    ("async-opcua", &["verge-opcua"]),
    ("async-trait", &["verge-opcua"]),
    ("axum", &["verge-web"]),
    ("clap", &["verge"]),
    ("h2", &["verge-web"]),
    ("hyper", &["verge-web"]),
    ("lz4_flex", &["verge-lz4"]),
    ("minicbor", &["verge-codec", "verge-wire"]),
    ("ort", &["verge-engine"]),
    ("pathfinding", &["verge-scene"]),
    ("plotters", &["verge-eval", "verge-web"]),
    ("prometheus-client", &["verge-web"]),
    // Each has messages of its own.
    ("prost", &["verge-engine", "verge-sparkplug"]),
    ("quick-xml", &["verge-traffic"]),
    ("rcgen", &["verge-tls"]),
    ("realfft", &["verge-anomaly"]),
    ("rustfft", &["verge-vision"]),
    // The broker uses its packets, not its client.
    ("rumqttc", &["verge-broker", "verge-mqtt"]),
    ("rumqttd", &["verge-broker"]),
    ("rusqlite", &["verge-outbox"]),
    ("rustls", &["verge-tls"]),
    ("saphyr-parser", &["verge-models"]),
    ("sd-notify", &["verge"]),
    ("tiny-skia", &["verge-demo"]),
    ("tokio-rustls", &["verge-tls"]),
    ("x509-parser", &["verge-tls"]),
];

/// Name of each crate of the workspace -> names of all its dependencies, and whether only its tests have them.
fn dependencies() -> BTreeMap<String, BTreeSet<(String, bool)>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, since it runs this test");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    list(&metadata["packages"])
        .map(|package| {
            let names = list(&package["dependencies"])
                .map(|dependency| (text(&dependency["name"]), dependency["kind"] == "dev"));
            (text(&package["name"]), names.collect())
        })
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list, by the format of cargo metadata").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text, by the format of cargo metadata").to_owned()
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let found = dependencies();
    let known: BTreeMap<&str, &[&str]> = ALLOWED_EDGES.iter().copied().collect();
    let unknown: Vec<&String> = found.keys().filter(|name| !known.contains_key(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?} have no place in the architecture yet");
    for (name, allowed) in known {
        let Some(names) = found.get(name) else { panic!("{name} is drawn and does not exist") };
        let is_allowed = |dependency: &str, in_tests: bool| {
            allowed.contains(&dependency) || in_tests && TEST_EDGES.contains(&(name, dependency))
        };
        let ours = names.iter().filter(|(dependency, _)| found.contains_key(dependency));
        let forbidden: Vec<_> =
            ours.filter(|(dependency, in_tests)| !is_allowed(dependency, *in_tests)).collect();
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}");
    }
}

#[test]
fn foreign_crates_with_owners_are_named_by_them_alone() {
    let found = dependencies();
    for (foreign, owners) in OWNERS {
        let users: Vec<&str> = found
            .iter()
            .filter(|(_, names)| names.iter().any(|(name, _)| name == foreign))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(users, *owners, "who depends on {foreign}");
    }
}

/// The cells of a table's rows, its head left out.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let (_, rows) = PAGE.split_once(head).unwrap_or_else(|| panic!("{head:?} is the head of a table"));
    let rows = rows.trim_start().lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_page_is_one_page() {
    let words = PAGE.split_whitespace().count();
    assert!(words <= PAGE_WORDS, "{words} words; what takes more belongs into docs/internals.md");
}

#[test]
fn the_page_draws_every_crate_with_its_edges() {
    let rows = table("| crate | sees | holds |");
    let drawn: BTreeMap<&str, BTreeSet<String>> = rows
        .iter()
        .map(|row| (row[0], row[1].split_whitespace().map(|name| format!("verge-{name}")).collect()))
        .collect();
    let names: Vec<&str> = drawn.keys().copied().collect();
    let known: BTreeMap<&str, &[&str]> = ALLOWED_EDGES.iter().copied().collect();
    assert_eq!(names, known.keys().copied().collect::<Vec<_>>());
    for row in rows {
        let allowed: BTreeSet<String> = known[row[0]].iter().map(|name| (*name).to_owned()).collect();
        if row[1] == MOST {
            assert!(allowed.len() > known.len() / 2, "{} sees {} crates", row[0], allowed.len());
        } else {
            assert_eq!(drawn[row[0]], allowed, "{}", row[0]);
        }
    }
}

#[test]
fn every_file_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rows = table("| to add | touch |");
    assert!(rows.len() >= 15, "{} rows", rows.len());
    for row in rows {
        let paths: Vec<&str> =
            row[1].split('`').skip(1).step_by(2).filter(|word| word.contains('/')).collect();
        assert!(!paths.is_empty(), "{}: names no file", row[0]);
        for path in paths {
            let found = root.join(path).exists() || root.join("crates").join(path).exists();
            assert!(found, "{}: {path} does not exist", row[0]);
        }
    }
}

/// Rust files of the crates, without their tests and what other programs need.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "benches", "examples"].contains(&name) {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The name of a type that is declared here for other crates.
fn declared(line: &str) -> Option<&str> {
    let declaration = line.strip_prefix("pub ")?;
    let (kind, rest) = declaration.split_once(' ')?;
    let is_type = ["struct", "enum", "trait", "type", "union"].contains(&kind);
    rest.split(|letter: char| !letter.is_alphanumeric()).next().filter(|name| is_type && !name.is_empty())
}

/// Whoever meets a name in another crate need not ask which one of two it is.
#[test]
fn no_type_of_a_crate_has_the_name_of_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        for name in fs::read_to_string(&file).unwrap().lines().filter_map(declared) {
            places.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    assert!(places.len() > 500, "{} types found", places.len());
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "declared more than once: {places:#?}");
}
