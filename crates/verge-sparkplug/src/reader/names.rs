//! What a birth taught of the metrics of one node or device.

use std::collections::HashMap;

/// A metric that was born.
#[derive(Debug)]
pub(super) struct KnownMetric {
    name: Box<str>,
    pub(super) datatype: u32,
    unit: Option<Box<str>>,
}

impl KnownMetric {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }
}

/// The metrics of one birth.
#[derive(Debug, Default)]
pub(super) struct KnownNames {
    metrics: Vec<KnownMetric>,
    by_name: HashMap<Box<str>, usize>,
    by_alias: HashMap<u64, usize>,
}

impl KnownNames {
    pub(super) const fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Learns a metric: its alias, type and unit. False: there is no room for it.
    pub(super) fn learn(
        &mut self,
        name: &str,
        (alias, datatype, unit): (Option<u64>, u32, Option<&str>),
        room: &mut usize,
    ) -> bool {
        let index = match self.by_name.get(name) {
            Some(&known) => known,
            None => {
                let Some(left) = room.checked_sub(1) else { return false };
                *room = left;
                self.by_name.insert(name.into(), self.metrics.len());
                self.metrics.push(KnownMetric { name: name.into(), datatype, unit: None });
                self.metrics.len() - 1
            }
        };
        if let Some(metric) = self.metrics.get_mut(index) {
            metric.datatype = datatype;
            metric.unit = unit.filter(|unit| unit.len() <= super::MAX_NAME).map(Into::into);
        }
        // No more aliases than metrics: one name under many would not be bounded by room.
        if let Some(alias) = alias
            && (self.by_alias.len() < self.metrics.len() || self.by_alias.contains_key(&alias))
        {
            self.by_alias.insert(alias, index);
        }
        true
    }

    pub(super) fn named(&self, name: &str) -> Option<&KnownMetric> {
        self.metrics.get(*self.by_name.get(name)?)
    }

    pub(super) fn under(&self, alias: u64) -> Option<&KnownMetric> {
        self.metrics.get(*self.by_alias.get(&alias)?)
    }
}
