//! Every setting of a configuration with the place that its value comes from.

use verge_domain::configured::{ConfiguredSection, Setting, SettingOrigin};

use super::origin::ValueOrigin;
use super::values::ConfigValues;
use super::{Origins, SectionValues};

/// What stands in the place of a password or key.
const SECRET: &str = "set";

/// Every setting, section by section.
#[must_use]
pub fn effective_settings(values: &ConfigValues, origins: &Origins) -> Vec<ConfiguredSection> {
    values.iter().map(|section| effective(section, origins)).collect()
}

fn effective(section: &SectionValues, origins: &Origins) -> ConfiguredSection {
    let shown = section.values.iter().map(|(key, value)| (key, without_secrets(value), false));
    let secret = section.secrets.iter().map(|key| (key, SECRET.to_owned(), true));
    let mut settings: Vec<Setting> = shown
        .chain(secret)
        .map(|(key, value, secret)| {
            let (origin, line, variable) = match origins.of(&join_path(&section.path, key)) {
                ValueOrigin::Default => (SettingOrigin::Default, None, None),
                ValueOrigin::File { value, .. } => (SettingOrigin::File, Some(value.line), None),
                ValueOrigin::Drawn(_) => (SettingOrigin::Drawn, None, None),
                ValueOrigin::Variable(name) => (SettingOrigin::Environment, None, Some(name.clone())),
            };
            Setting { key: key.clone(), value, secret, origin, line, variable }
        })
        .collect();
    settings.sort_by(|one, other| one.key.cmp(&other.key));
    ConfiguredSection { path: section.path.clone(), settings }
}

/// Addresses may hold who logs in, and a token in their query: of both only that they are set is shown.
fn without_secrets(value: &str) -> String {
    let (mut shown, mut rest) = (String::new(), value);
    while let Some(begin) = rest.find("://") {
        let (before, address) = rest.split_at(begin + "://".len());
        let is_end =
            |&(at, letter): &(usize, char)| letter == ' ' || letter == '"' && !address[..at].ends_with('\\');
        let end = address.char_indices().find(is_end).map_or(address.len(), |(at, _)| at);
        let (address, after) = address.split_at(end);
        let (place, query) = match address.find(['?', '#']) {
            Some(at) => (&address[..at], "?set"),
            None => (address, ""),
        };
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((_, host)) => ("set@", host),
            None => ("", authority),
        };
        shown.extend([before, user, host, path, query]);
        rest = after;
    }
    shown + rest
}

/// A key within a section is a path already.
fn join_path(section: &str, key: &str) -> String {
    format!("{section}.{key}")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const FILE: &str = r#"
[gateway]
id = "g"
store_cap = "1 GiB"

[local]
mode = "external"
url = "mqtts://localhost"
username = "u"

[source.pump]
topic = "a/+/b"
codec = "number"
device = "topic:1"
signal = "p"

[judge."a.b"]
detector = "threshold"
inputs = ["pump"]
above = 7.5
"#;

    #[test]
    fn an_address_shows_neither_its_query_nor_who_logs_in() {
        let check = |value: &str, expected: &str| assert_eq!(without_secrets(value), expected, "{value}");
        check(r#""https://hooks.example/v1/in?token=canary""#, r#""https://hooks.example/v1/in?set""#);
        check(
            r#""https://anna:canary@hooks.example:8443/in#canary""#,
            r#""https://set@hooks.example:8443/in?set""#,
        );
        check(r#""https://canary@h.example?a=\"canary""#, r#""https://set@h.example?set""#);
        check(r#"["mqtt://a:b/c@one", "mqtt://two?x=y"]"#, r#"["mqtt://a:b/c@one", "mqtt://two?set"]"#);
        check(r#""mqtts://localhost:8883""#, r#""mqtts://localhost:8883""#);
        check(r#""a/+/b?c""#, r#""a/+/b?c""#);
    }

    #[test]
    fn each_setting_says_where_its_value_comes_from_and_no_secret_is_shown() {
        let variables = [("VERGE__GATEWAY__SITE", "hall"), ("VERGE__LOCAL__PASSWORD", "hidden-swan")];
        let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let loaded = parse(FILE, Path::new("/etc/g.toml"), variables);
        let sections = effective_settings(&loaded.values, &loaded.origins);
        let find = |path: &str, key: &str| {
            let section = sections.iter().find(|section| section.path == path).unwrap();
            let found = section.settings.iter().find(|setting| setting.key == key);
            found.unwrap_or_else(|| panic!("{path} {key}: {section:?}")).clone()
        };
        let file = find("gateway", "store_cap");
        assert_eq!(
            (file.value.as_str(), file.origin, file.line),
            ("\"1.0 GiB\"", SettingOrigin::File, Some(4))
        );
        let default = find("gateway", "replay_age");
        assert_eq!((default.origin, default.line), (SettingOrigin::Default, None));
        let variable = find("gateway", "site");
        assert_eq!(variable.origin, SettingOrigin::Environment);
        assert_eq!(variable.variable.as_deref(), Some("VERGE__GATEWAY__SITE"));
        let secret = find("local", "password");
        assert_eq!((secret.value.as_str(), secret.secret), ("set", true));
        assert_eq!(secret.variable.as_deref(), Some("VERGE__LOCAL__PASSWORD"));
        assert!(!format!("{sections:?}").contains("swan"));
        assert_eq!(find("judge.\"a.b\"", "above").line, Some(20));
        assert_eq!(find("judge.\"a.b\"", "inputs").origin, SettingOrigin::File);
    }
}
