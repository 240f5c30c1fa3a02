//! What verdicts say in short: by judge, device and signal how many, when, and within which limits.

use verge_domain::id::Lane;
use verge_domain::stage::StoredRow;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Summary;

use crate::body::observed;
use crate::read::read_verdict;
use crate::tombstone::read_summaries;

/// Subjects distinguished at most, in order of their first verdict. What the verdicts of all others say is added
/// up by judge, without a device: a tombstone stays small, and nothing in it is attributed to the wrong device.
const MAX_SUBJECTS: usize = 64;

/// Sums up stored verdicts. A tombstone among them hands its summaries on; what cannot be read is ignored.
pub(crate) fn summarise(lane: Lane, rows: &[StoredRow]) -> Vec<Summary> {
    let mut groups = Groups::default();
    for row in rows {
        if row.withdrawn.is_none() {
            if let Ok((_, verdict)) = read_verdict(&row.bytes, lane) {
                groups.add(of(&verdict));
            }
        } else if let Ok(summaries) = read_summaries(&row.bytes) {
            summaries.into_iter().for_each(|summary| groups.add(summary));
        }
    }
    groups.subjects.extend(groups.others);
    groups.subjects
}

#[derive(Default)]
struct Groups {
    subjects: Vec<Summary>,
    /// One per judge, without a device.
    others: Vec<Summary>,
}

impl Groups {
    fn add(&mut self, one: Summary) {
        let same = |known: &&mut Summary| {
            known.device == one.device && known.judge == one.judge && known.signal == one.signal
        };
        if let Some(known) = self.subjects.iter_mut().find(same) {
            known.range = join(known.range, one.range);
            count_in(known, &one);
        } else if one.device.is_some() && self.subjects.len() < MAX_SUBJECTS {
            self.subjects.push(one);
        } else if let Some(known) = self.others.iter_mut().find(|known| known.judge == one.judge) {
            count_in(known, &one);
        } else {
            // Signals of several devices may be in several units, so no range would mean anything.
            self.others.push(Summary { device: None, signal: None, range: None, ..one });
        }
    }
}

fn count_in(known: &mut Summary, one: &Summary) {
    known.count = known.count.saturating_add(one.count);
    known.first = known.first.min(one.first);
    known.last = known.last.max(one.last);
}

fn join(known: Option<(f64, f64)>, one: Option<(f64, f64)>) -> Option<(f64, f64)> {
    match (known, one) {
        (Some((low, high)), Some((least, greatest))) => Some((low.min(least), high.max(greatest))),
        (known, one) => known.or(one),
    }
}

fn of(verdict: &Verdict) -> Summary {
    let at = verdict.times.decided;
    Summary {
        judge: verdict.judge.clone(),
        device: Some(verdict.subject.device.clone()),
        signal: verdict.subject.signal.clone(),
        count: 1,
        first: at,
        last: at,
        range: observed(&verdict.body).map(|observed| (observed, observed)),
    }
}
