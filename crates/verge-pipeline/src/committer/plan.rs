//! From verdicts that wait to the rows of one commit.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use verge_domain::id::{Epoch, EventNumber, GatewayId, Identity, Lane, Seq};
use verge_domain::reading::Receipt;
use verge_domain::stage::{Checkpoint, Encoder, NewRow};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{EventState, Verdict};
use verge_domain::withdrawn::Withdrawal;

use super::CommitRequest;
use crate::counters::Counter;

/// A verdict with its identity, encoded; or the tombstone of one that cannot be.
pub(super) struct PlannedRow {
    pub(super) lane: Lane,
    pub(super) seq: Seq,
    decided: UtcMillis,
    pub(super) cause: u64,
    /// Of the message that caused it.
    pub(super) receipt: Option<Receipt>,
    /// End of its bytes in the arena.
    end: usize,
    withdrawn: Option<Withdrawal>,
}

impl PlannedRow {
    /// Of the verdict, unless a tombstone stands in its place.
    pub(super) fn identity(&self, gateway: &GatewayId, epoch: Epoch) -> Option<Identity> {
        let identity = || Identity { gateway: gateway.clone(), epoch, lane: self.lane, seq: self.seq };
        self.is_verdict().then(identity)
    }

    /// Whether no tombstone stands in its place.
    pub(super) const fn is_verdict(&self) -> bool {
        self.withdrawn.is_none()
    }
}

/// Gives every waiting verdict its identity, counting on from `next`, and encodes it into the arena. One that cannot be
/// encoded keeps its number with a tombstone, so that no receiver waits for it.
pub(super) fn encode<E: Encoder>(
    encoder: &mut E,
    gateway: &GatewayId,
    epoch: Epoch,
    mut next: [Seq; 3],
    requests: &[CommitRequest],
    arena: &mut Vec<u8>,
    failures: &Counter,
) -> Vec<PlannedRow> {
    arena.clear();
    let mut planned = Vec::new();
    for request in requests {
        for verdict in &request.verdicts {
            let lane = verdict.lane;
            let seq = next[lane.index()];
            let identity = Identity { gateway: gateway.clone(), epoch, lane, seq };
            let encoded = encode_one(encoder, &identity, verdict, arena, failures);
            next[lane.index()] = seq.next();
            planned.push(PlannedRow {
                lane,
                seq,
                decided: verdict.times.decided,
                cause: request.cause,
                receipt: request.receipt,
                end: arena.len(),
                withdrawn: (!encoded).then_some(Withdrawal::Defect),
            });
        }
    }
    planned
}

/// Appends one verdict to the arena; returns whether that worked.
pub(super) fn encode_one<E: Encoder>(
    encoder: &mut E,
    identity: &Identity,
    verdict: &Verdict,
    arena: &mut Vec<u8>,
    failures: &Counter,
) -> bool {
    let start = arena.len();
    let encoded = catch_unwind(AssertUnwindSafe(|| encoder.verdict(identity, verdict, arena)));
    let error = match &encoded {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the encoder panicked".to_owned(),
    };
    arena.truncate(start);
    failures.add(1);
    let Verdict { judge, subject, .. } = verdict;
    tracing::error!(
        %judge, source = %subject.source, device = %subject.device, lane = %identity.lane, seq = %identity.seq, %error,
        "a verdict cannot be encoded, which is a defect of this program; a tombstone takes its number"
    );
    false
}

/// The rows as the store takes them.
pub(super) fn rows<'a>(planned: &[PlannedRow], arena: &'a [u8]) -> Vec<NewRow<'a>> {
    let mut start = 0;
    let row = |row: &PlannedRow| {
        let bytes = &arena[start..row.end];
        start = row.end;
        let PlannedRow { lane, seq, decided, cause, withdrawn, .. } = *row;
        NewRow { lane, seq, decided, cause, bytes, withdrawn }
    };
    planned.iter().map(row).collect()
}

/// The highest number of an event that begins with this commit.
pub(super) fn highest_number(requests: &[CommitRequest]) -> Option<EventNumber> {
    let events = requests.iter().flat_map(|request| &request.verdicts).filter_map(|verdict| verdict.event);
    events.filter(|event| event.state == EventState::Raised).filter_map(|event| event.number).max()
}

/// Several checkpoints of one key in a commit: only the last counts.
pub(super) fn last_of_each(requests: &[CommitRequest]) -> Vec<Checkpoint> {
    let mut last: Vec<Checkpoint> = Vec::new();
    let mut index_of = HashMap::new();
    for checkpoint in requests.iter().flat_map(|request| &request.checkpoints) {
        let index = *index_of.entry(checkpoint.key.as_str()).or_insert(last.len());
        if index == last.len() {
            last.push(checkpoint.clone());
        } else {
            last[index].state.clone_from(&checkpoint.state);
        }
    }
    last
}
