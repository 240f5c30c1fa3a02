//! How many events each point has raised in the life of the store: whoever polls sees by the difference what came and went
//! between two polls, also where a restart lay between them.
//!
//! The committer saves a count in the commit of the event that it counts.

use std::collections::HashMap;

use verge_domain::board::{LastWord, PointKind, RaisedBefore};
use verge_domain::finding::Member;
use verge_domain::id::JudgeId;
use verge_domain::stage::Checkpoint;
use verge_domain::verdict::{EventState, Subject, Verdict};

use super::keys::{key_in_state, parse_key};
use crate::board::MAX_POINTS;

/// First part of the key of a count.
pub(super) const RAISED: &str = "raised";

/// The counts that were saved; more than there is room for are left out.
#[must_use]
pub fn raised_before(checkpoints: &[Checkpoint]) -> Vec<RaisedBefore> {
    checkpoints.iter().filter_map(count_in).take(MAX_POINTS).collect()
}

fn count_in(checkpoint: &Checkpoint) -> Option<RaisedBefore> {
    let (kind, judge, subject, strand) = parse_key(&checkpoint.key)?;
    let strand = strand.filter(|_| kind == RAISED).and_then(Member::named)?;
    let count = u32::from_le_bytes(checkpoint.state.as_deref()?.try_into().ok()?);
    Some(RaisedBefore { judge, subject, strand, count })
}

/// Counts by judge, subject and strand.
#[derive(Debug, Default)]
pub(crate) struct RaisedCounts(HashMap<(JudgeId, Subject, Member), u32>);

/// Counts that become durable with a commit.
pub(crate) type RaisedNow = HashMap<(JudgeId, Subject, Member), u32>;

impl RaisedCounts {
    pub(crate) fn of(before: &[RaisedBefore]) -> Self {
        let count = |one: &RaisedBefore| ((one.judge.clone(), one.subject.clone(), one.strand), one.count);
        Self(before.iter().map(count).collect())
    }

    /// How often the point of a word had raised.
    pub(crate) fn of_point(&self, word: &LastWord) -> u32 {
        let (judge, subject, kind) = word.point();
        let PointKind::Events(strand) = kind else { return 0 };
        if self.0.is_empty() {
            return 0;
        }
        self.0.get(&(judge.clone(), subject.clone(), strand)).copied().unwrap_or(0)
    }

    /// What these verdicts count up. A point beyond those that there is room for is not saved.
    pub(crate) fn after<'a>(&self, verdicts: impl Iterator<Item = &'a Verdict>) -> RaisedNow {
        let mut now = RaisedNow::new();
        for verdict in verdicts {
            let PointKind::Events(strand) = PointKind::of(&verdict.body) else { continue };
            if verdict.event.is_none_or(|event| event.state != EventState::Raised) {
                continue;
            }
            let point = (verdict.judge.clone(), verdict.subject.clone(), strand);
            let before = self.0.get(&point).copied();
            if before.is_some() || now.contains_key(&point) || self.0.len() + now.len() < MAX_POINTS {
                let count = now.entry(point).or_insert(before.unwrap_or(0));
                *count = count.wrapping_add(1);
            }
        }
        now
    }

    /// They are durable.
    pub(crate) fn take_up(&mut self, now: RaisedNow) {
        self.0.extend(now);
    }
}

/// How counts are saved.
pub(crate) fn saved_counts(now: &RaisedNow) -> impl Iterator<Item = Checkpoint> + '_ {
    now.iter().map(|((judge, subject, strand), count)| Checkpoint {
        key: key_in_state(RAISED, judge, subject, Some(strand.as_str())),
        state: Some(count.to_le_bytes().to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use verge_domain::finding::Expected;
    use verge_domain::sample::verdict_of;
    use verge_domain::time::UtcMillis;
    use verge_domain::verdict::{Body, Health};

    use super::*;

    fn verdict(device: &str, cause: Member, state: EventState) -> Verdict {
        let body = Body::Health(Health::of(cause, 1.0, Expected::default()));
        verdict_of("j", (device, None), UtcMillis(0), Some(state), body)
    }

    #[test]
    fn counts_go_on_after_a_restart_from_what_was_committed() {
        let raised = [
            verdict("a", Member::Stuck, EventState::Raised),
            verdict("a", Member::Stuck, EventState::Cleared),
            verdict("a", Member::Stuck, EventState::Raised),
            verdict("a", Member::Noisy, EventState::Raised),
        ];
        let mut counts = RaisedCounts::default();
        let now = counts.after(raised.iter());
        assert_eq!(counts.after(raised.iter()), now, "what was not committed is not counted");
        counts.take_up(now);
        let saved: Vec<_> = saved_counts(&counts.after(raised.iter())).collect();
        let mut before = raised_before(&saved);
        before.sort_by_key(|one| one.count);
        let known: Vec<_> =
            before.iter().map(|one| (one.subject.device.as_str(), one.strand, one.count)).collect();
        assert_eq!(known, [("a", Member::Noisy, 2), ("a", Member::Stuck, 4)]);
        let restored = RaisedCounts::of(&before);
        let of = |verdict| restored.of_point(&LastWord::new(verdict, None));
        assert_eq!(of(verdict("a", Member::Stuck, EventState::Updated)), 4);
        assert_eq!(of(verdict("b", Member::Stuck, EventState::Updated)), 0);
        let damaged = Checkpoint { state: Some(vec![1]), ..saved[0].clone() };
        assert!(raised_before(&[damaged]).is_empty());
    }
}
