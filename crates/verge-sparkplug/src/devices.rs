//! The devices of an edge node: what their births hold, and what has changed since.

mod messages;

use std::collections::HashMap;

use verge_domain::board::PointKind;
use verge_domain::finding::Member;
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId, Unit};
use verge_domain::time::Monotonic;
use verge_domain::verdict::{Body, EventState, Verdict};

use crate::names::element;
use crate::payload::DataType;
use crate::values::{NamedValue, TagValue, prefix, time_of, values_of};
use crate::{MAX_DEVICES, MAX_METRICS};

/// Which point of a device.
pub(crate) type PointKey = (JudgeId, Option<SignalId>, PointKind);

/// How a verdict comes to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Showing {
    /// It is the newest about its point. Events raised so far, where that is known.
    Newest(Option<u32>),
    /// It comes late: what is known of its point is newer, except where nothing was.
    Late,
}

/// What came of a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) device: usize,
    /// Metrics with another value or quality.
    pub(crate) changed: Vec<usize>,
    /// It has metrics that are in no birth yet.
    pub(crate) is_new: bool,
}

#[derive(Debug)]
struct ShownMetric {
    name: String,
    alias: u64,
    datatype: DataType,
    value: Option<TagValue>,
    unit: Option<Unit>,
    time: u64,
    stale: bool,
    /// The quality has changed since it was last sent.
    quality_due: bool,
    /// All that is known of it comes from history.
    late: bool,
    /// That history is not sent to its end: births say that there is no value.
    hidden: bool,
}

#[derive(Debug, Default)]
struct BornPoint {
    metrics: Vec<usize>,
    signal: Option<SignalId>,
    about_health: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct UnwellSignal {
    judge: JudgeId,
    signal: Option<SignalId>,
    member: Member,
}

/// A device and its metrics.
#[derive(Debug)]
pub(crate) struct ShownDevice {
    /// Its name in topics.
    pub(crate) element: String,
    metrics: Vec<ShownMetric>,
    by_name: HashMap<String, usize>,
    points: HashMap<PointKey, BornPoint>,
    unwell: Vec<UnwellSignal>,
    birth_bytes: usize,
    /// When it was last born on this connection.
    pub(crate) born: Option<Monotonic>,
    /// Its birth is out of date.
    pub(crate) is_due: bool,
    /// Its death is said: nothing is sent of it before its next birth.
    pub(crate) is_dead: bool,
    /// Numbers that count as sent with its next birth, one of each point.
    owed: Vec<(Lane, u64, PointKey)>,
}

/// All devices.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) list: Vec<ShownDevice>,
    by_id: HashMap<DeviceId, usize>,
    next_alias: u64,
    max_birth_bytes: usize,
    /// Verdicts about devices or metrics for which there is no room, or whose name another has.
    pub(crate) left_out: u64,
}

impl Devices {
    pub(crate) fn new(first_alias: u64, max_birth_bytes: usize) -> Self {
        Self {
            list: Vec::new(),
            by_id: HashMap::new(),
            next_alias: first_alias,
            max_birth_bytes,
            left_out: 0,
        }
    }

    /// Takes up a verdict; `None` where there is no room for it.
    pub(crate) fn fold(&mut self, verdict: &Verdict, shown: Showing) -> Option<Folded> {
        let Some(device) = self.device(&verdict.subject.device) else {
            self.left_out += 1;
            return None;
        };
        let events = match shown {
            Showing::Newest(events) => events.map(Some),
            Showing::Late => Some(None),
        };
        let mut values = values_of(verdict, events);
        if let Body::Detections(_) = &verdict.body {
            self.list[device].count_nothing(verdict, &mut values);
        }
        let (point, is_new, lacks) = self.point(device, verdict, &values, shown);
        self.left_out += u64::from(lacks);
        let this = &mut self.list[device];
        let mut changed = this.put(&point, &values, time_of(verdict), shown);
        if shown != Showing::Late && (is_new || is_about_health(verdict)) {
            changed.extend(this.requalify(verdict));
            changed.sort_unstable();
            changed.dedup();
        }
        Some(Folded { device, changed, is_new })
    }

    fn device(&mut self, id: &DeviceId) -> Option<usize> {
        if let Some(&known) = self.by_id.get(id) {
            return Some(known);
        }
        let element = element(id.as_str());
        let taken = self.list.iter().any(|device| device.element == element);
        if taken || self.list.len() >= MAX_DEVICES {
            return None;
        }
        self.by_id.insert(id.clone(), self.list.len());
        self.list.push(ShownDevice {
            element,
            metrics: Vec::new(),
            by_name: HashMap::new(),
            points: HashMap::new(),
            unwell: Vec::new(),
            birth_bytes: 0,
            born: None,
            is_due: true,
            is_dead: false,
            owed: Vec::new(),
        });
        Some(self.list.len() - 1)
    }

    /// The metrics of the point, in the order of the values; whether some are new, and whether there is no room for some.
    fn point(
        &mut self,
        device: usize,
        verdict: &Verdict,
        values: &[NamedValue],
        shown: Showing,
    ) -> (Vec<Option<usize>>, bool, bool) {
        let kind = PointKind::of(&verdict.body);
        let (judge, signal) = (&verdict.judge, &verdict.subject.signal);
        let this = &mut self.list[device];
        let prefix = prefix(judge, signal.as_ref(), kind);
        let (mut is_new, mut lacks) = (false, false);
        let key = (judge.clone(), signal.clone(), kind);
        let own = this.points.get(&key);
        let mut places = Vec::with_capacity(values.len());
        for value in values {
            let name = format!("{prefix}/{}", value.name);
            if let Some(&known) = this.by_name.get(&name) {
                // A signal whose name becomes that of another must not be shown in its place.
                let is_own = own.is_some_and(|point| point.metrics.contains(&known));
                lacks |= !is_own;
                places.push(is_own.then_some(known));
                continue;
            }
            let texts = if value.datatype == DataType::Text { 128 } else { 0 };
            let bytes = 64 + name.len() + texts + value.unit.as_ref().map_or(0, |unit| unit.as_str().len());
            if this.metrics.len() >= MAX_METRICS || this.birth_bytes + bytes > self.max_birth_bytes {
                lacks = true;
                places.push(None);
                continue;
            }
            is_new = true;
            this.birth_bytes += bytes;
            this.is_due = true;
            let at = this.metrics.len();
            this.by_name.insert(name.clone(), at);
            places.push(Some(at));
            this.metrics.push(ShownMetric {
                name,
                alias: self.next_alias,
                datatype: value.datatype,
                value: None,
                unit: value.unit.clone(),
                time: time_of(verdict),
                stale: false,
                quality_due: false,
                late: shown == Showing::Late,
                hidden: shown == Showing::Late,
            });
            self.next_alias += 1;
        }
        let point = this.points.entry(key).or_default();
        point.about_health = is_about_health(verdict);
        point.signal.clone_from(signal);
        for &place in places.iter().flatten() {
            if !point.metrics.contains(&place) {
                point.metrics.push(place);
            }
        }
        (places, is_new, lacks)
    }

    /// The newest history of points of which nothing newer is known is their present state from now on.
    pub(crate) fn settle(&mut self) -> Option<(usize, Vec<usize>)> {
        for (index, device) in self.list.iter_mut().enumerate() {
            let hidden = device.metrics.iter_mut().enumerate().filter(|(_, metric)| metric.hidden);
            let settled: Vec<usize> = hidden
                .map(|(at, metric)| {
                    metric.hidden = false;
                    at
                })
                .collect();
            if !settled.is_empty() {
                return Some((index, settled));
            }
        }
        None
    }

    /// The point that a metric of a device belongs to, by its name or alias; with the device and the name.
    pub(crate) fn point_of(
        &self,
        element: &str,
        name: Option<&str>,
        alias: Option<u64>,
    ) -> Option<(&DeviceId, &str, &PointKey)> {
        let index = self.list.iter().position(|device| device.element == element)?;
        let (id, _) = self.by_id.iter().find(|(_, known)| **known == index)?;
        let device = self.list.get(index)?;
        let at = match (name, alias) {
            (Some(name), _) => *device.by_name.get(name)?,
            (None, Some(alias)) => device.metrics.iter().position(|metric| metric.alias == alias)?,
            (None, None) => return None,
        };
        let (key, _) = device.points.iter().find(|(_, point)| point.metrics.contains(&at))?;
        Some((id, &device.metrics.get(at)?.name, key))
    }

    pub(crate) fn metrics(&self) -> usize {
        self.list.iter().map(|device| device.metrics.len()).sum()
    }
}

impl ShownDevice {
    /// Takes up values; returns the metrics that differ from before.
    fn put(
        &mut self,
        places: &[Option<usize>],
        values: &[NamedValue],
        time: u64,
        shown: Showing,
    ) -> Vec<usize> {
        let mut changed = Vec::new();
        for (place, value) in places.iter().zip(values) {
            let Some((at, metric)) = place.and_then(|at| Some((at, self.metrics.get_mut(at)?))) else {
                continue;
            };
            if shown == Showing::Late && !metric.late {
                continue;
            }
            let differs = metric.value != value.value || metric.late && shown != Showing::Late;
            metric.late &= shown == Showing::Late;
            metric.hidden = metric.late && (metric.hidden || differs);
            if differs || metric.late {
                metric.time = time;
            }
            if differs {
                metric.value.clone_from(&value.value);
            }
            if differs {
                changed.push(at);
            }
        }
        changed
    }

    /// Classes that were seen before and are not seen now are counted as none.
    fn count_nothing(&self, verdict: &Verdict, values: &mut Vec<NamedValue>) {
        let key = (verdict.judge.clone(), verdict.subject.signal.clone(), PointKind::View);
        let Some(point) = self.points.get(&key) else { return };
        for metric in point.metrics.iter().filter_map(|&at| self.metrics.get(at)) {
            let Some((_, label)) = metric.name.split_once("/count/") else { continue };
            let name = format!("count/{label}");
            if !values.iter().any(|value| value.name == name) {
                let value = Some(TagValue::UInt32(0));
                values.push(NamedValue { name: name.into(), datatype: DataType::UInt32, value, unit: None });
            }
        }
    }

    /// Whether nothing comes from it: it is silent as a whole, or each of its signals is of which anything is known.
    pub(crate) fn is_silent(&self) -> bool {
        let is_silent = |signal: &Option<SignalId>| {
            self.unwell.iter().any(|one| one.member == Member::Silent && one.signal == *signal)
        };
        is_silent(&None)
            || self.unwell.iter().any(|one| one.member == Member::Silent)
                && self.points.values().all(|point| point.signal.is_none() || is_silent(&point.signal))
    }

    /// Notes whether a sensor is unwell; returns the metrics whose quality is another one now.
    fn requalify(&mut self, verdict: &Verdict) -> Vec<usize> {
        if let PointKind::Events(member) = PointKind::of(&verdict.body)
            && member.is_health()
        {
            let signal = verdict.subject.signal.clone();
            let one = UnwellSignal { judge: verdict.judge.clone(), signal, member };
            self.unwell.retain(|known| *known != one);
            if verdict.event.is_some_and(|event| event.state != EventState::Cleared) {
                self.unwell.push(one);
            }
        }
        let mut changed = Vec::new();
        for point in self.points.values() {
            let covers = |unwell: &UnwellSignal| unwell.signal.is_none() || unwell.signal == point.signal;
            let stale = !point.about_health && self.unwell.iter().any(covers);
            for &at in &point.metrics {
                if let Some(metric) = self.metrics.get_mut(at).filter(|metric| metric.stale != stale) {
                    metric.stale = stale;
                    metric.quality_due = true;
                    metric.time = metric.time.max(time_of(verdict));
                    changed.push(at);
                }
            }
        }
        changed
    }
}

fn is_about_health(verdict: &Verdict) -> bool {
    matches!(PointKind::of(&verdict.body), PointKind::Events(member) if member.is_health())
}
