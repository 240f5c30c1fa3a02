//! What a device says: births, data, history.

use verge_domain::board::PointKind;
use verge_domain::id::{Lane, Unit};
use verge_domain::verdict::Verdict;

use super::{ShownDevice, ShownMetric};
use crate::payload::{DataType, Metric, PropertySet, PropertyValue};
use crate::values::{NamedValue, TagValue, prefix, time_of, values_of};

/// Quality of a value that is too old to be acted on, as Sparkplug has it.
const STALE: u32 = 500;
/// Quality of a value that may be trusted.
const GOOD: u32 = 192;

impl ShownDevice {
    /// Its next birth will say this. What it was to say of the same point before it does not say: that is sent as history.
    pub(crate) fn owe(&mut self, verdict: &Verdict, seq: u64) {
        let key = (verdict.judge.clone(), verdict.subject.signal.clone(), PointKind::of(&verdict.body));
        self.owed.retain(|(_, _, point)| *point != key);
        self.owed.push((verdict.lane, seq, key));
    }

    /// Whether its next birth will say this.
    pub(crate) fn owes(&self, lane: Lane, seq: u64) -> bool {
        self.is_due && self.owed.iter().any(|(of, number, _)| (*of, *number) == (lane, seq))
    }

    /// Its birth goes out: what it says.
    pub(crate) fn take_owed(&mut self) -> impl Iterator<Item = (Lane, u64)> + use<> {
        std::mem::take(&mut self.owed).into_iter().map(|(lane, seq, _)| (lane, seq))
    }

    /// All its metrics, as a birth holds them.
    pub(crate) fn birth(&mut self) -> Vec<Metric> {
        let metric = |metric: &mut ShownMetric| {
            metric.quality_due = false;
            let value = metric.value.as_ref().filter(|_| !metric.hidden).map(TagValue::wire);
            Metric {
                name: Some(metric.name.clone()),
                alias: Some(metric.alias),
                timestamp: Some(metric.time),
                datatype: Some(metric.datatype.code()),
                is_null: value.is_none().then_some(true),
                properties: properties(metric.unit.as_ref(), metric.stale.then_some(STALE)),
                value,
                ..Metric::default()
            }
        };
        self.metrics.iter_mut().map(metric).collect()
    }

    /// Metrics that have changed, as data holds them.
    pub(crate) fn data(&mut self, changed: &[usize], with_datatype: bool) -> Vec<Metric> {
        let mut metrics = Vec::with_capacity(changed.len());
        for &at in changed {
            let Some(metric) = self.metrics.get_mut(at) else { continue };
            let due = std::mem::take(&mut metric.quality_due);
            let quality = if metric.stale { Some(STALE) } else { due.then_some(GOOD) };
            let value = metric.value.as_ref().map(TagValue::wire);
            metrics.push(Metric {
                alias: Some(metric.alias),
                timestamp: Some(metric.time),
                datatype: with_datatype.then_some(metric.datatype.code()),
                is_null: value.is_none().then_some(true),
                properties: properties(None, quality),
                value,
                ..Metric::default()
            });
        }
        metrics
    }

    /// A verdict that comes late, as data for the historian.
    pub(crate) fn history(&self, verdict: &Verdict, with_datatype: bool) -> Vec<Metric> {
        let kind = PointKind::of(&verdict.body);
        let prefix = prefix(&verdict.judge, verdict.subject.signal.as_ref(), kind);
        let time = time_of(verdict);
        let metric = |named: NamedValue| {
            let at = self.by_name.get(&format!("{prefix}/{}", named.name))?;
            let alias = self.metrics.get(*at)?.alias;
            let value = named.value.as_ref().map(TagValue::wire);
            Some(Metric {
                alias: Some(alias),
                timestamp: Some(time),
                datatype: with_datatype.then_some(named.datatype.code()),
                is_historical: Some(true),
                is_null: value.is_none().then_some(true),
                value,
                ..Metric::default()
            })
        };
        values_of(verdict, None).into_iter().filter_map(metric).collect()
    }
}

fn properties(unit: Option<&Unit>, quality: Option<u32>) -> Option<PropertySet> {
    let mut set = PropertySet::default();
    if let Some(unit) = unit {
        set.keys.push("engUnit".to_owned());
        let text = Some(unit.as_str().to_owned());
        set.values.push(PropertyValue { datatype: Some(DataType::Text.code()), text, int: None });
    }
    if let Some(quality) = quality {
        set.keys.push("Quality".to_owned());
        let datatype = Some(DataType::Int32.code());
        set.values.push(PropertyValue { datatype, int: Some(quality), text: None });
    }
    (!set.keys.is_empty()).then_some(set)
}
