//! How often which tag alarms, and when most came at once.

use std::collections::BTreeMap;

use verge_domain::finding::Member;
use verge_domain::id::JudgeId;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Detector;

use super::record::{EventRecord, Tag};

pub(super) const WEEK_MS: f64 = 7.0 * 86_400_000.0;
/// What a person can bear is stated for ten minutes (EEMUA 191).
const TEN_MINUTES: i64 = 600_000;

/// The alarms of one tag.
#[derive(Debug)]
pub(super) struct TagAlarms<'a> {
    pub(super) tag: &'a Tag,
    pub(super) detector: Detector,
    pub(super) events: Vec<&'a EventRecord>,
    /// Alarms of its judge, about all tags.
    pub(super) of_judge: usize,
}

impl TagAlarms<'_> {
    pub(super) fn count(&self) -> usize {
        self.events.len()
    }

    /// Its part of what its judge raised.
    #[expect(clippy::cast_precision_loss, reason = "numbers of alarms")]
    pub(super) fn share(&self) -> f64 {
        self.count() as f64 / self.of_judge.max(1) as f64
    }

    pub(super) fn open(&self) -> usize {
        self.events.iter().filter(|event| event.is_open).count()
    }

    /// How far out the farthest of them was.
    pub(super) fn farthest(&self) -> Option<f64> {
        self.events.iter().filter_map(|event| event.farthest).reduce(f64::max)
    }

    /// How long those lasted that are over: the one in the middle.
    pub(super) fn median_ms(&self) -> Option<u64> {
        let mut lasted: Vec<u64> = self.events.iter().filter_map(|event| event.lasted_ms).collect();
        lasted.sort_unstable();
        lasted.get(lasted.len().checked_sub(1)? / 2).copied()
    }

    /// The member that raised most of them, and how many.
    pub(super) fn usual_member(&self) -> Option<(Member, usize)> {
        let mut counts: BTreeMap<Member, usize> = BTreeMap::new();
        for member in self.events.iter().filter_map(|event| event.member) {
            *counts.entry(member).or_default() += 1;
        }
        counts.into_iter().max_by_key(|&(_, count)| count)
    }
}

/// The tags, those that alarm most first.
pub(super) fn by_tag<'a>(events: &[&'a EventRecord]) -> Vec<TagAlarms<'a>> {
    let mut of_judge: BTreeMap<&JudgeId, usize> = BTreeMap::new();
    let mut tags: BTreeMap<&Tag, Vec<&EventRecord>> = BTreeMap::new();
    for event in events {
        *of_judge.entry(&event.tag.judge).or_default() += 1;
        tags.entry(&event.tag).or_default().push(event);
    }
    let tag = |(tag, events): (&'a Tag, Vec<&'a EventRecord>)| {
        let of_judge = of_judge.get(&tag.judge).copied().unwrap_or_default();
        TagAlarms { tag, detector: events[0].detector, events, of_judge }
    };
    let mut all: Vec<TagAlarms<'a>> = tags.into_iter().map(tag).collect();
    all.sort_by_key(|tag| std::cmp::Reverse(tag.count()));
    all
}

/// The most alarms that came within ten minutes, and since when; the first such.
pub(super) fn worst_ten_minutes(events: &[&EventRecord]) -> Option<(usize, UtcMillis)> {
    let mut worst: Option<(usize, UtcMillis)> = None;
    let mut first = 0;
    for (last, event) in events.iter().enumerate() {
        while event.raised.0 - events[first].raised.0 >= TEN_MINUTES {
            first += 1;
        }
        let count = last - first + 1;
        if worst.is_none_or(|(most, _)| count > most) {
            worst = Some((count, events[first].raised));
        }
    }
    worst
}
