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

/// Names of one kind.
#[derive(Debug)]
struct Table<N>(HashSet<N>);

impl<N: Clone + Eq + Hash + Borrow<str>> Table<N> {
    #[inline]
    fn name(&mut self, text: &str, make: fn(&str) -> Result<N, NameError>) -> Result<N, NameError> {
        if let Some(name) = self.0.get(text) {
            return Ok(name.clone());
        }
        let name = make(text)?;
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(name.clone());
        Ok(name)
    }
}

/// The names of all sources of one owner.
#[derive(Debug)]
pub(crate) struct Names {
    devices: Table<DeviceId>,
    signals: Table<SignalId>,
    units: Table<Unit>,
    /// Room in which names are put together.
    composed: String,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            devices: Table(HashSet::new()),
            signals: Table(HashSet::new()),
            units: Table(HashSet::new()),
            composed: String::new(),
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
        self.signals.name(&self.composed, SignalId::new).map_err(|_| Reason::BadName)
    }

    pub(crate) fn device(&mut self, text: &str) -> Result<DeviceId, NameError> {
        self.devices.name(text, DeviceId::new)
    }

    pub(crate) fn signal(&mut self, text: &str) -> Result<SignalId, NameError> {
        self.signals.name(text, SignalId::new)
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
        let mut names = Names::new();
        let first = names.device("pump-1").unwrap();
        assert!(std::ptr::eq(first.as_str(), names.device("pump-1").unwrap().as_str()));
        assert_eq!(names.device(""), Err(NameError::Empty));
        for number in 0..3 * REMEMBERED {
            names.device(&format!("device-{number}")).unwrap();
            assert!(names.devices.0.len() <= REMEMBERED);
        }
        assert_eq!(names.device("pump-1").unwrap(), first);
    }
}
