//! Subscriptions to what is counted: sums over even intervals, each sent once.
//!
//! Sums go on whether the line stands or not. What is complete stays here until it is acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use verge_domain::interval::IntervalGrid;
use verge_domain::stage::Token;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;

use super::codes::StatusCode;
use super::message::StatusValue;
use super::settings::SiteSettings;
use crate::measures::{Measures, measured};

/// Intervals of a detector that are remembered for subscriptions to come.
const REMEMBERED: usize = 64;
/// Intervals in a row of which nothing is known that are sent as such.
const MOST_MISSING: i64 = 1000;
/// Series at most.
const MAX_SERIES: usize = 256;

/// Whose values: those of a component by its position, or of all of them.
pub(super) type Target = Option<usize>;

/// Of which series an interval is, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BinKey {
    target: Target,
    every_ms: u64,
    from: i64,
}

impl BinKey {
    pub(super) const fn target(&self) -> Target {
        self.target
    }
}

#[derive(Debug, Default)]
struct Part {
    sum: Option<Measures>,
    count: u64,
}

#[derive(Debug, Default)]
struct Bin {
    /// Of each component of the target.
    parts: BTreeMap<usize, Part>,
    closed: bool,
    in_flight: bool,
    /// What waits for its acknowledgement.
    waiting: Vec<Token>,
}

#[derive(Debug)]
struct Series {
    target: Target,
    every: IntervalGrid,
    wants: Vec<(&'static StatusCode, String)>,
    bins: BTreeMap<i64, Bin>,
    /// Intervals that begin before were sent, or are none of the subscription's.
    next: i64,
}

/// What is remembered of one component.
#[derive(Debug, Default)]
struct Counted {
    recent: VecDeque<(i64, Measures)>,
    /// Where its newest interval ended.
    upto: Option<i64>,
}

/// What is counted, and who has subscribed to it.
#[derive(Debug)]
pub(super) struct Subscriptions {
    counted: Vec<Counted>,
    series: Vec<Series>,
}

impl Subscriptions {
    pub(super) fn new(site: &SiteSettings) -> Self {
        Self { counted: site.components.iter().map(|_| Counted::default()).collect(), series: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// The intervals that a subscription would have.
    ///
    /// # Errors
    /// There are none such, in words.
    pub(super) fn intervals(
        &self,
        site: &SiteSettings,
        target: Target,
        every: Duration,
    ) -> Result<IntervalGrid, String> {
        let every = grid_of(site, target, every)?;
        let is_there = self.series.iter().any(|one| one.target == target && one.every == every);
        if !is_there && self.series.len() >= MAX_SERIES {
            return Err(format!("{MAX_SERIES} series are subscribed to already"));
        }
        Ok(every)
    }

    /// Subscribes to a value from the present interval on. Returns what has waited for intervals that go with another
    /// subscription to it.
    pub(super) fn subscribe(
        &mut self,
        site: &SiteSettings,
        target: Target,
        (status, name): (&'static StatusCode, &str),
        every: IntervalGrid,
        now: UtcMillis,
    ) -> Vec<Token> {
        let freed = self.unsubscribe(target, status, name, Some(every));
        if let Some(series) = self.series.iter_mut().find(|one| one.target == target && one.every == every) {
            if !series.wants.iter().any(|(known, of)| *known == status && of == name) {
                series.wants.push((status, name.to_owned()));
            }
            return freed;
        }
        let mut series =
            Series { target, every, wants: vec![(status, name.to_owned())], bins: BTreeMap::new(), next: 0 };
        let from = every.start_of(now).0;
        let length = i64::try_from(every.length_ms()).unwrap_or(i64::MAX);
        series.next = if self.knows_from(site, target, from, now) { from } else { from + length };
        for component in components_of(site, target) {
            for (at, measures) in &self.counted[component].recent {
                series.fold(component, *at, measures);
            }
        }
        self.series.push(series);
        freed
    }

    /// Whether the present interval is known since it began.
    fn knows_from(&self, site: &SiteSettings, target: Target, from: i64, now: UtcMillis) -> bool {
        components_of(site, target).all(|component| {
            let Some(counts) = &site.components[component].counts else { return true };
            let passed = counts.interval.start_of(now).0;
            let counted = &self.counted[component];
            passed <= from || counted.recent.front().is_some_and(|(first, _)| *first <= from)
        })
    }

    /// Ends a subscription to a value, save in the series of these intervals. Returns what has waited for intervals that
    /// nobody wants any more.
    pub(super) fn unsubscribe(
        &mut self,
        target: Target,
        status: &StatusCode,
        name: &str,
        but: Option<IntervalGrid>,
    ) -> Vec<Token> {
        for series in self.series.iter_mut().filter(|one| one.target == target && Some(one.every) != but) {
            series.wants.retain(|(known, of)| *known != status || of != name);
        }
        let mut freed = Vec::new();
        self.series.retain_mut(|series| {
            if series.wants.is_empty() {
                series.bins.values_mut().for_each(|bin| freed.append(&mut bin.waiting));
            }
            !series.wants.is_empty()
        });
        freed
    }

    /// Ends all of them.
    pub(super) fn clear(&mut self) {
        self.series.clear();
    }

    /// The line is lost: what was not acknowledged is sent again.
    pub(super) fn lost(&mut self) {
        for bin in self.series.iter_mut().flat_map(|series| series.bins.values_mut()) {
            bin.in_flight = false;
            bin.waiting.clear();
        }
    }

    /// Takes up a verdict that counts. Returns how many acknowledgements the token waits for.
    pub(super) fn fold(&mut self, site: &SiteSettings, verdict: &Verdict, token: Token) -> usize {
        let mut waits = 0;
        for (component, of) in site.components.iter().enumerate() {
            let Some(counts) = &of.counts else { continue };
            if of.device != verdict.subject.device || counts.judge != verdict.judge {
                continue;
            }
            let Some((from, measures)) = measured(counts, verdict) else { continue };
            let length = i64::try_from(counts.interval.length_ms()).unwrap_or(i64::MAX);
            let counted = &mut self.counted[component];
            // It may be offered again.
            let is_new = counted.upto.is_none_or(|upto| from.0 >= upto);
            if is_new {
                counted.upto = Some(from.0.saturating_add(length));
                counted.recent.push_back((from.0, measures.clone()));
                if counted.recent.len() > REMEMBERED {
                    counted.recent.pop_front();
                }
            }
            for series in self.series.iter_mut().filter(|one| one.target.is_none_or(|of| of == component)) {
                if is_new {
                    series.fold(component, from.0, &measures);
                }
                waits += series.close_passed(site, &self.counted, (from.0, token));
            }
        }
        waits
    }

    /// Closes what is over by the clock: detectors that say nothing are not waited for. Only while nothing is behind.
    pub(super) fn close_overdue(&mut self, settle: Duration, now: UtcMillis) {
        let settle = i64::try_from(settle.as_millis()).unwrap_or(i64::MAX);
        for series in &mut self.series {
            series.close_until(now.0.saturating_sub(settle));
        }
    }

    /// The next interval that is complete and not sent. `up_at`: when the connection came to stand.
    pub(super) fn take_ready(
        &mut self,
        site: &SiteSettings,
        up_at: UtcMillis,
    ) -> Option<(BinKey, Vec<StatusValue>)> {
        let ready = |series: &&mut Series| series.bins.values().any(|bin| bin.closed && !bin.in_flight);
        let series = self.series.iter_mut().find(ready)?;
        let (from, bin) = series.bins.iter_mut().find(|(_, bin)| bin.closed && !bin.in_flight)?;
        bin.in_flight = true;
        let key = BinKey { target: series.target, every_ms: series.every.length_ms(), from: *from };
        let end = from.saturating_add(i64::try_from(key.every_ms).unwrap_or(i64::MAX));
        let quality = if end <= up_at.0 { "old" } else { "recent" };
        let values = series.wants.iter().map(|(status, name)| {
            let value = value_of(site, series.target, (status, name), (*from, key.every_ms, bin));
            let quality = if value.is_some() { quality } else { "unknown" };
            StatusValue { code: status.code.to_owned(), name: name.clone(), value, quality }
        });
        Some((key, values.collect()))
    }

    /// It is acknowledged, or refused. Returns what has waited for that.
    pub(super) fn settled(&mut self, key: BinKey) -> Vec<Token> {
        let of = |one: &&mut Series| one.target == key.target && one.every.length_ms() == key.every_ms;
        let bin = self.series.iter_mut().find(of).and_then(|series| series.bins.remove(&key.from));
        bin.map_or_else(Vec::new, |bin| bin.waiting)
    }

    /// The newest interval of a component: when it began, and what was measured.
    pub(super) fn newest(&self, component: usize) -> Option<(UtcMillis, &Measures)> {
        self.counted.get(component)?.recent.back().map(|(from, measures)| (UtcMillis(*from), measures))
    }
}

impl Series {
    fn fold(&mut self, component: usize, from: i64, measures: &Measures) {
        let start = self.every.start_of(UtcMillis(from)).0;
        if start < self.next {
            return;
        }
        let bin = self.bins.entry(start).or_default();
        if bin.closed {
            return;
        }
        let part = bin.parts.entry(component).or_default();
        part.count += 1;
        match &mut part.sum {
            Some(sum) => sum.add(measures),
            None => part.sum = Some(measures.clone()),
        }
    }

    fn length(&self) -> i64 {
        i64::try_from(self.every.length_ms()).unwrap_or(i64::MAX)
    }

    /// Closes the intervals that all detectors are past, and those that one is far past. Returns whether the token waits for
    /// the interval that its verdict is part of.
    fn close_passed(
        &mut self,
        site: &SiteSettings,
        counted: &[Counted],
        (from, token): (i64, Token),
    ) -> usize {
        let mut all = i64::MAX;
        let mut most = i64::MIN;
        for component in components_of(site, self.target) {
            let upto = counted[component].upto.unwrap_or(i64::MIN);
            (all, most) = (all.min(upto), most.max(upto));
        }
        let margin = i64::try_from(site.settle.as_millis()).unwrap_or(i64::MAX);
        self.close_until(all.max(most.saturating_sub(margin)));
        let start = self.every.start_of(UtcMillis(from)).0;
        let closed = self.bins.get_mut(&start).filter(|bin| bin.closed);
        closed.map_or(0, |bin| {
            bin.waiting.push(token);
            1
        })
    }

    /// Closes what ended by then, what nothing was counted in included.
    fn close_until(&mut self, at: i64) {
        let length = self.length();
        let last = self.every.start_of(UtcMillis(at)).0 - length;
        self.bins.range_mut(..=last).for_each(|(_, bin)| bin.closed = true);
        // Where nothing was counted for long, the oldest of it is not made up for.
        self.next = self.next.max(last.saturating_sub(MOST_MISSING.saturating_mul(length)));
        while self.next <= last {
            self.bins.entry(self.next).or_default().closed = true;
            self.next += length;
        }
    }
}

fn components_of(site: &SiteSettings, target: Target) -> impl Iterator<Item = usize> + '_ {
    let counts = |index: &usize| site.components[*index].counts.is_some();
    (0..site.components.len()).filter(move |index| target.is_none_or(|of| of == *index)).filter(counts)
}

fn grid_of(site: &SiteSettings, target: Target, every: Duration) -> Result<IntervalGrid, String> {
    let own = components_of(site, target).filter_map(|index| site.components[index].counts.as_ref());
    let lengths: Vec<u64> = own.map(|counts| counts.interval.length_ms()).collect();
    let Some(longest) = lengths.iter().max() else {
        return Err("nothing is counted by this component".to_owned());
    };
    let every_ms = match u64::try_from(every.as_millis()).unwrap_or(u64::MAX) {
        0 => *longest,
        every_ms => every_ms,
    };
    if let Some(length) = lengths.iter().find(|length| every_ms % **length != 0) {
        let (every, length) = (every_ms / 1000, Duration::from_millis(*length).as_secs_f64());
        return Err(format!(
            "uRt {every} s is no multiple of the interval of {length} s in which vehicles are counted"
        ));
    }
    IntervalGrid::new(Duration::from_millis(every_ms))
        .map_err(|_| format!("uRt {} s does not divide a day evenly", every_ms / 1000))
}

/// A value as the protocol writes it; `None`: it is not known.
fn value_of(
    site: &SiteSettings,
    target: Target,
    (status, name): (&StatusCode, &str),
    (from, every_ms, bin): (i64, u64, &Bin),
) -> Option<String> {
    if name == status.begin {
        return Some(crate::time::timestamp(UtcMillis(from)));
    }
    let of = |component: usize| {
        let part = bin.parts.get(&component)?;
        let length = site.components[component].counts.as_ref()?.interval.length_ms();
        let sum = part.sum.as_ref().filter(|_| part.count == every_ms / length)?;
        status.measure.value(sum, name)
    };
    match target {
        Some(component) => of(component).map(|value| value.to_string()),
        None => Some(joined(components_of(site, None).map(of))),
    }
}

/// Values of all detectors in one, -1 where nothing is known.
pub(super) fn joined(values: impl Iterator<Item = Option<u64>>) -> String {
    let words = values.map(|value| value.map_or_else(|| "-1".to_owned(), |value| value.to_string()));
    words.collect::<Vec<_>>().join(",")
}
