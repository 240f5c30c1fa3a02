//! Names seen before are not made again: in steady state a message allocates none.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;

use verge_domain::id::{DeviceId, NameError, SignalId, Unit};
use verge_domain::rejection::Reason;

use crate::template::{NamePart, NameTemplate};

/// Names remembered of each kind. A peer chooses names, so there is a bound: when it is reached the table
/// starts again from nothing, and names in use come back with their next message.
const REMEMBERED: usize = 8192;

/// Names of one source that are remembered in their order.
const IN_ORDER: usize = 256;

/// The signals of a source's last message, in order: the next message mostly has the same ones, and comparing a name costs
/// less than hashing it.
#[derive(Debug, Default)]
struct LastSignals {
    names: Vec<SignalId>,
    next: usize,
    /// See [`NameTable::started`].
    of_table: u64,
}

impl LastSignals {
    /// A message begins.
    fn begin(&mut self, table: &NameTable<SignalId>) {
        self.next = 0;
        if self.of_table != table.started {
            self.of_table = table.started;
            self.names.clear();
        }
    }

    #[inline]
    fn name(&mut self, text: &str, table: &mut NameTable<SignalId>) -> Result<SignalId, NameError> {
        let at = self.next;
        self.next = at.saturating_add(1);
        if let Some(name) = self.names.get(at).filter(|name| name.as_str() == text) {
            return Ok(name.clone());
        }
        let name = table.name(text, SignalId::new)?;
        if self.of_table != table.started {
            self.begin(table);
        } else if let Some(expected) = self.names.get_mut(at) {
            *expected = name.clone();
        } else if at == self.names.len() && at < IN_ORDER {
            self.names.push(name.clone());
        }
        Ok(name)
    }
}

/// Names of one kind.
#[derive(Debug)]
struct NameTable<N> {
    names: HashSet<N>,
    /// How often it has started again from nothing: names from before are others than those of now.
    started: u64,
}

impl<N> Default for NameTable<N> {
    fn default() -> Self {
        Self { names: HashSet::new(), started: 0 }
    }
}

impl<N: Clone + Eq + Hash + Borrow<str>> NameTable<N> {
    #[inline]
    fn name(&mut self, text: &str, make: fn(&str) -> Result<N, NameError>) -> Result<N, NameError> {
        if let Some(name) = self.names.get(text) {
            return Ok(name.clone());
        }
        let name = make(text)?;
        if self.names.len() >= REMEMBERED {
            self.names.clear();
            self.started = self.started.saturating_add(1);
        }
        self.names.insert(name.clone());
        Ok(name)
    }
}

/// The names of all sources of one owner.
#[derive(Debug)]
pub(crate) struct NameCache {
    devices: NameTable<DeviceId>,
    signals: NameTable<SignalId>,
    /// By the number of their source.
    last_signals: Vec<LastSignals>,
    source: usize,
    units: NameTable<Unit>,
    /// Room in which names are put together.
    composed: String,
}

impl NameCache {
    pub(crate) fn new() -> Self {
        Self {
            devices: NameTable::default(),
            signals: NameTable::default(),
            last_signals: vec![LastSignals::default()],
            source: 0,
            units: NameTable::default(),
            composed: String::new(),
        }
    }

    /// A message of this source begins.
    pub(crate) fn begin(&mut self, source: usize) {
        if source >= self.last_signals.len() {
            self.last_signals.resize_with(source.saturating_add(1), LastSignals::default);
        }
        self.source = source;
        if let Some(last) = self.last_signals.get_mut(source) {
            last.begin(&self.signals);
        }
    }

    /// A device's name out of its parts; `write` as in [`NameTemplate::compose`].
    pub(crate) fn composed_device(
        &mut self,
        template: &NameTemplate,
        write: impl FnMut(usize, &NamePart, &mut String) -> Result<(), Reason>,
    ) -> Result<DeviceId, Reason> {
        self.composed.clear();
        template.compose(&mut self.composed, write).map_err(|reason| match reason {
            Reason::MissingField => Reason::MissingDevice,
            reason => reason,
        })?;
        self.devices.name(&self.composed, DeviceId::new).map_err(|_| Reason::BadName)
    }

    /// A signal's name out of its parts.
    pub(crate) fn composed_signal(
        &mut self,
        template: &NameTemplate,
        write: impl FnMut(usize, &NamePart, &mut String) -> Result<(), Reason>,
    ) -> Result<SignalId, Reason> {
        self.composed.clear();
        template.compose(&mut self.composed, write)?;
        let Self { signals, last_signals, source, composed, .. } = self;
        let last = last_signals.get_mut(*source).ok_or(Reason::BadName)?;
        last.name(composed, signals).map_err(|_| Reason::BadName)
    }

    pub(crate) fn device(&mut self, text: &str) -> Result<DeviceId, NameError> {
        self.devices.name(text, DeviceId::new)
    }

    pub(crate) fn signal(&mut self, text: &str) -> Result<SignalId, NameError> {
        match self.last_signals.get_mut(self.source) {
            Some(last) => last.name(text, &mut self.signals),
            None => self.signals.name(text, SignalId::new),
        }
    }

    pub(crate) fn unit(&mut self, text: &str) -> Result<Unit, NameError> {
        self.units.name(text, Unit::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_once_and_the_table_is_bounded() {
        let mut names = NameCache::new();
        let first = names.device("pump-1").unwrap();
        assert!(std::ptr::eq(first.as_str(), names.device("pump-1").unwrap().as_str()));
        assert_eq!(names.device(""), Err(NameError::Empty));
        for number in 0..3 * REMEMBERED {
            names.device(&format!("device-{number}")).unwrap();
            assert!(names.devices.names.len() <= REMEMBERED);
        }
        assert_eq!(names.device("pump-1").unwrap(), first);
    }

    #[test]
    fn the_signals_of_each_source_are_expected_in_their_order() {
        let mut names = NameCache::new();
        let mut message = |source: usize, signals: &[&str]| {
            names.begin(source);
            for signal in signals {
                let first = names.signal(signal).unwrap();
                assert_eq!(first.as_str(), *signal);
                assert!(std::ptr::eq(
                    first.as_str(),
                    names.signals.name(signal, SignalId::new).unwrap().as_str()
                ));
            }
        };
        for _ in 0..3 {
            message(0, &["a", "b", "c"]);
            message(2, &["c", "a"]);
            message(0, &["b", "c"]);
            message(0, &[]);
        }
        let many: Vec<String> = (0..2 * IN_ORDER).map(|number| format!("s{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        message(0, &many);
        message(0, &many);
        assert!(names.last_signals.iter().all(|last| last.names.len() <= IN_ORDER));
    }
}
