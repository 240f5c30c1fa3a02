//! What an engineer's list says of signals.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::finding::Expected;
use crate::id::{SourceId, TagText, Unit};
use crate::verdict::Subject;

/// What a verdict repeats of it, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SignalTag {
    /// What the signal is.
    pub description: Option<TagText>,
    /// The machine that it belongs to.
    pub machine: Option<TagText>,
    /// The part of the plant that it belongs to.
    pub group: Option<TagText>,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TagEntry {
    /// What verdicts repeat of it; `None` where it says nothing of the kind.
    pub tag: Option<SignalTag>,
    /// The unit of its values, where neither device nor source states one.
    pub unit: Option<Unit>,
    /// Where its values lie normally.
    pub normal: Expected,
}

/// The lists of all sources.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TagBook(HashMap<SourceId, HashMap<String, TagEntry>>);

impl TagBook {
    /// Takes the list of a source, by the names in it: `signal`, or `device/signal`.
    pub fn insert(&mut self, source: SourceId, list: HashMap<String, TagEntry>) {
        self.0.insert(source, list);
    }

    /// Whether a source has a list that does not name a signal, whatever its device.
    #[must_use]
    pub fn lacks(&self, source: &SourceId, signal: &str) -> bool {
        let named = |name: &String| name == signal || name.ends_with(&format!("/{signal}"));
        self.0.get(source).is_some_and(|list| !list.keys().any(named))
    }

    /// What is said of a subject: of the signal of this device, else of the signal of any.
    #[must_use]
    pub fn of(&self, subject: &Subject) -> Option<&TagEntry> {
        let (list, signal) = (self.0.get(&subject.source)?, subject.signal.as_ref()?);
        list.get(&format!("{}/{signal}", subject.device)).or_else(|| list.get(signal.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, SignalId};

    #[test]
    fn the_signal_of_a_device_goes_before_that_of_any() {
        let entry = |unit| TagEntry { unit: Unit::new(unit).ok(), ..TagEntry::default() };
        let list = [("temp", entry("K")), ("boiler/temp", entry("°C"))];
        let source = SourceId::new("plc").unwrap();
        let mut book = TagBook::default();
        book.insert(source.clone(), list.into_iter().map(|(name, entry)| (name.to_owned(), entry)).collect());
        let unit = |device: &str, signal: &str| {
            let (device, signal) = (DeviceId::new(device).unwrap(), SignalId::new(signal).ok());
            let subject = Subject { source: source.clone(), device, signal };
            book.of(&subject).and_then(|entry| entry.unit.clone()).map(|unit| unit.to_string())
        };
        assert_eq!(unit("boiler", "temp").as_deref(), Some("°C"));
        assert_eq!(unit("pump", "temp").as_deref(), Some("K"));
        assert_eq!(unit("pump", "flow"), None);
        assert!(!book.lacks(&source, "temp") && book.lacks(&source, "flow"));
        assert!(!book.lacks(&SourceId::new("other").unwrap(), "flow"), "it has no list");
    }
}
