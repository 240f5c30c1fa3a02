use super::super::key::{KeyNeed, ValueKind};
use super::*;

const COMMENTED: &str = include_str!("../../../../../configs/gateway.toml");

/// A line `key = value` or `#key = value` of the example.
struct Shown<'a> {
    /// The section it stands in, as its header names it.
    header: &'a str,
    key: &'a str,
    value: &'a str,
}

impl Shown<'_> {
    /// The section without its name.
    fn section(&self) -> String {
        let (first, _) = self.header.split_once('.').unwrap_or((self.header, ""));
        let is_named = SECTIONS.iter().any(|section| section.name == first && section.named);
        let parts = self.header.split('.').enumerate();
        // Of "source.cameras.mask.gate" every second part is a name, of "dashboard.certificate.plc" the last is.
        let is_part = |index: usize| {
            if is_named { index.is_multiple_of(2) } else { index == 0 || !index.is_multiple_of(2) }
        };
        parts.filter(|(index, _)| is_part(*index)).map(|(_, part)| part).collect::<Vec<_>>().join(".")
    }
}

fn example() -> Vec<Shown<'static>> {
    let mut header = "";
    let mut shown = Vec::new();
    for line in COMMENTED.lines() {
        // A section that not every build has is commented out whole.
        let line = line.strip_prefix('#').unwrap_or(line);
        if line.starts_with('[') {
            header = line.trim_matches(['[', ']']);
        }
        if let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            shown.push(Shown { header, key, value });
        }
    }
    shown
}

fn check(section: &str, keys: &Keys, example: &[Shown<'_>]) {
    for key in keys.own.iter().chain(keys.variants.iter().flat_map(|(_, keys)| *keys)) {
        if let Some(inner) = key.kind.inner() {
            if !matches!(key.name, "time" | "quality" | "critical_when" | "while" | "gate") {
                check(&format!("{section}.{}", key.name), inner, example);
            }
            continue;
        }
        let of_key = example.iter().filter(|shown| shown.key == key.name && shown.section() == section);
        let shown: Vec<&str> = of_key.map(|shown| shown.value).collect();
        match key.need {
            _ if matches!(key.kind, ValueKind::Secret) => assert!(shown.is_empty(), "a secret in an example"),
            KeyNeed::Required | KeyNeed::Optional => {
                assert!(!shown.is_empty(), "configs/gateway.toml does not show {section}.{}", key.name);
            }
            KeyNeed::Default(text) => {
                let plain = |value: &str| {
                    let value = value.trim_matches(['[', ']']).replace(['"', ' '], "");
                    value.strip_suffix(".0").map_or(value.clone(), str::to_owned)
                };
                let text = text.replace(' ', "");
                assert!(
                    shown.iter().any(|value| plain(value) == text),
                    "configs/gateway.toml does not show the default {text:?} of {section}.{}: {shown:?}",
                    key.name
                );
            }
        }
    }
}

#[test]
fn the_commented_example_shows_every_key_and_its_default() {
    let example = example();
    for section in SECTIONS {
        check(section.name, section.keys, &example);
    }
}

#[test]
fn the_commented_example_shows_no_key_that_there_is_not() {
    for Shown { header, key, .. } in example() {
        assert!(kind_of(header, key).is_some(), "configs/gateway.toml shows {key} in [{header}]");
    }
}
