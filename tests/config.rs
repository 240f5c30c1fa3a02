//! Every configuration that comes with Verge is good; every bad one says what is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};

use verge_gateway::settings::{ConfigurationError, Settings};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files_in(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no file");
    files
}

/// Faults of one file, one a line.
fn faults_of(path: &Path) -> Vec<String> {
    match Settings::load(path, []) {
        Ok(_) => Vec::new(),
        Err(ConfigurationError::Faults { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
        Err(ConfigurationError::Load(error)) => vec![error.to_fault().to_string()],
    }
}

#[test]
fn every_configuration_that_comes_along_is_good() {
    for path in files_in("configs") {
        assert_eq!(faults_of(&path), [] as [String; 0], "{}", path.display());
    }
}

#[test]
fn every_bad_configuration_says_what_is_wrong() {
    for path in files_in("tests/fixtures/bad_config") {
        let text = fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        assert!(!expected.is_empty(), "{} does not say what it expects", path.display());
        let mut faults = faults_of(&path);
        for fault in &faults {
            assert!(fault.starts_with(&path.display().to_string()), "it names no file: {fault}");
            assert!(fault.contains("; "), "it does not say what to do: {fault}");
        }
        for fragment in &expected {
            let found = faults.iter().position(|fault| fault.contains(fragment));
            let index =
                found.unwrap_or_else(|| panic!("{}: {fragment:?} not in {faults:#?}", path.display()));
            faults.remove(index);
        }
        assert_eq!(faults, [] as [String; 0], "{} has faults that it does not expect", path.display());
    }
}

#[test]
fn no_secret_is_repeated() {
    for path in files_in("tests/fixtures/bad_config") {
        let faults = faults_of(&path).join("\n");
        assert!(!faults.contains("canary"), "{}: {faults}", path.display());
    }
}

#[test]
fn the_commented_example_shows_defaults() {
    let shown = root().join("configs/gateway.toml");
    let text = fs::read_to_string(&shown).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("gateway.toml");
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    fs::write(&bare, kept.join("\n")).unwrap();
    assert_eq!(faults_of(&bare), [] as [String; 0]);
}
