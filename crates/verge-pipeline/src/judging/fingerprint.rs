//! The settings under which a judge learns. What was learnt under others does not mean the same, and is not taken up.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use verge_domain::id::SignalId;

use super::keys::{parse_key, pooled_judge};

/// In the place of a signal: all signals of the source.
const ALL: &str = "*";

type Facts = BTreeMap<String, String>;

/// The settings that give meaning to what the instances of one judge learn, as text. A setting that only one of two
/// fingerprints names is no change: versions may come to name more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of the judge as a whole.
    judge: Facts,
    /// Of what sources make of values, by source and signal.
    sources: BTreeMap<String, BTreeMap<String, Facts>>,
}

/// A setting that was another one when something was learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// The setting: of the judge, or of a source.
    pub setting: String,
    /// As it was then.
    pub before: String,
    /// As it is now.
    pub after: String,
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, before, after } = self;
        write!(f, "{setting} was {before}, is {after}")
    }
}

impl Fingerprint {
    /// Names a setting of the judge.
    pub fn note(&mut self, setting: &str, value: impl fmt::Display) {
        self.judge.insert(setting.to_owned(), value.to_string());
    }

    /// Names a setting of a source for one of its signals, or for all.
    pub fn note_source(
        &mut self,
        source: &str,
        signal: Option<&str>,
        setting: &str,
        value: impl fmt::Display,
    ) {
        let signals = self.sources.entry(source.to_owned()).or_default();
        let facts = signals.entry(signal.unwrap_or(ALL).to_owned()).or_default();
        facts.insert(setting.to_owned(), value.to_string());
    }

    /// A setting of the judge.
    #[must_use]
    pub fn of_judge(&self, setting: &str) -> Option<&str> {
        self.judge.get(setting).map(String::as_str)
    }

    /// Nothing is named: the judge does not learn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.judge.is_empty()
    }

    /// The setting that concerns all instances of the judge and was another one under `self` than now.
    #[must_use]
    pub fn change_of_judge(&self, now: &Self) -> Option<SettingChange> {
        change(&self.judge, &now.judge, "")
    }

    /// The setting that was another one under `self`, under which the state with this key was saved, than now.
    #[must_use]
    pub fn change_of(&self, now: &Self, key: &str) -> Option<SettingChange> {
        let of_judge = self.change_of_judge(now);
        if of_judge.is_some() || pooled_judge(key).is_some() {
            return of_judge;
        }
        let (_, _, subject, _) = parse_key(key)?;
        let signal = subject.signal.as_ref().map(SignalId::as_str);
        // What watches a device as a whole may look at it through several sources.
        let concerned = |source: &String| signal.is_none() || source == subject.source.as_str();
        self.sources.iter().filter(|(source, _)| concerned(source)).find_map(|(source, before)| {
            let concerned = |name: &String| signal.is_none_or(|signal| name == ALL || name == signal);
            let now = now.sources.get(source)?;
            let mut signals = before.iter().filter(|(name, _)| concerned(name));
            signals.find_map(|(name, facts)| change(facts, now.get(name)?, &format!("source.{source}.")))
        })
    }

    /// As it is saved.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts alone")
    }

    /// Reads what was saved; `None` where it cannot be read.
    #[must_use]
    pub fn read(saved: &[u8]) -> Option<Self> {
        serde_json::from_slice(saved).ok()
    }
}

fn change(before: &Facts, now: &Facts, prefix: &str) -> Option<SettingChange> {
    before.iter().find_map(|(setting, before)| {
        let after = now.get(setting).filter(|after| *after != before)?;
        let setting = format!("{prefix}{setting}");
        Some(SettingChange { setting, before: before.clone(), after: after.clone() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(scale: &str, unit: Option<&str>, by: &str) -> Fingerprint {
        let mut made = Fingerprint::default();
        made.note("detector", "auto");
        made.note("by", by);
        made.note_source("plc", Some("temp"), "scale", scale);
        made.note_source("plc", None, "offset", 0);
        made.note_source("other", None, "scale", 1);
        if let Some(unit) = unit {
            made.note_source("plc", Some("temp"), "unit", unit);
        }
        made
    }

    fn key(parts: &[&str]) -> String {
        parts.join("\u{1f}")
    }

    #[test]
    fn a_change_concerns_what_was_learnt_of_it_and_nothing_else() {
        let before = fingerprint("1", None, "none");
        let check = |now: &Fingerprint, signal: &str, expected: Option<&str>| {
            let key = key(&["state", "auto", "plc", "pump", signal]);
            assert_eq!(before.change_of(now, &key).map(|change| change.to_string()).as_deref(), expected);
        };
        let scaled = fingerprint("0.1", None, "none");
        check(&scaled, "temp", Some("source.plc.scale was 1, is 0.1"));
        check(&scaled, "flow", None);
        check(&scaled, "", Some("source.plc.scale was 1, is 0.1"));
        check(&fingerprint("1", None, "none"), "temp", None);
        check(&fingerprint("1", Some("bar"), "none"), "temp", None);
        check(&fingerprint("1", None, "plc:run"), "flow", Some("by was none, is plc:run"));
        let mut of_all = fingerprint("1", None, "none");
        of_all.note_source("plc", None, "offset", -273.15);
        check(&of_all, "flow", Some("source.plc.offset was 0, is -273.15"));
        let pool = key(&["pool", "auto"]);
        assert_eq!(before.change_of(&scaled, &pool), None, "it holds probabilities");
        assert!(before.change_of(&fingerprint("1", None, "plc:run"), &pool).is_some());
    }

    #[test]
    fn what_is_saved_is_read_and_a_source_that_is_new_is_no_change() {
        let saved = fingerprint("1", Some("bar"), "none");
        assert_eq!(Fingerprint::read(&saved.to_bytes()), Some(saved.clone()));
        assert_eq!(Fingerprint::read(b"{"), None);
        let mut more = saved.clone();
        more.note_source("third", None, "scale", 7);
        let of_third = key(&["state", "auto", "third", "pump", "temp"]);
        assert_eq!(saved.change_of(&more, &of_third), None);
        assert!(
            fingerprint("1", Some("mbar"), "none")
                .change_of(&saved, &key(&["state", "auto", "plc", "p", "temp"]))
                .is_some()
        );
    }
}
