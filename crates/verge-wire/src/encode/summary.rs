//! What verdicts say in short: by judge, device and signal how many, when, and within which limits.

use verge_domain::frame::Detections;
use verge_domain::id::Lane;
use verge_domain::stage::StoredRow;
use verge_domain::verdict::{Anomaly, Body, Counts, Health, Verdict};
use verge_domain::withdrawn::Summary;

use super::{Writer, Written, entries, length, to_u64, write_optional};
use crate::code;
use crate::number::exact;
use crate::read::{read_summaries, read_verdict};

/// Subjects told apart at most, in order of their first verdict. What the verdicts of all others say is added
/// up by judge, without a device: a tombstone stays small, and nothing in it is said of the wrong device.
const MAX_SUBJECTS: usize = 64;

/// Sums up stored verdicts. A tombstone among them hands its summaries on; what cannot be read is passed over.
pub(super) fn summarise(lane: Lane, rows: &[StoredRow]) -> Vec<Summary> {
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

fn observed(body: &Body) -> Option<f64> {
    match body {
        Body::Anomaly(Anomaly { observed, .. }) | Body::Health(Health { observed, .. }) => Some(*observed),
        Body::Counts(Counts { vehicles, .. }) => vehicles.and_then(exact),
        Body::Detections(Detections { objects, .. }) => exact(to_u64(objects.len())),
        Body::Classification(_) => None,
    }
}

/// The stored form of summaries.
pub(super) fn write_summaries(cbor: &mut Writer<'_>, summaries: &[Summary]) -> Written {
    use code::summary as key;
    cbor.array(length(summaries))?;
    for Summary { judge, device, signal, count, first, last, range } in summaries {
        cbor.map(entries(4, [device.is_some(), signal.is_some(), range.is_some(), range.is_some()]))?;
        cbor.u64(key::JUDGE)?.str(judge.as_str())?;
        if let Some(device) = device {
            cbor.u64(key::DEVICE)?.str(device.as_str())?;
        }
        if let Some(signal) = signal {
            cbor.u64(key::SIGNAL)?.str(signal.as_str())?;
        }
        cbor.u64(key::COUNT)?.u64(*count)?;
        cbor.u64(key::FIRST)?.i64(first.0)?;
        cbor.u64(key::LAST)?.i64(last.0)?;
        write_optional(cbor, key::LOW, range.map(|(low, _)| low))?;
        write_optional(cbor, key::HIGH, range.map(|(_, high)| high))?;
    }
    Ok(())
}
