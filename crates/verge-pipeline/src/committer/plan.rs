//! From verdicts that wait to the rows of one commit.

use std::collections::HashMap;

use verge_domain::id::{Epoch, GatewayId, Identity, Lane, Seq};
use verge_domain::stage::{Checkpoint, Encoder, NewRow};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;

use super::CommitRequest;
use crate::counters::Counter;

/// A verdict with its identity, encoded.
pub(super) struct PlannedRow {
    lane: Lane,
    seq: Seq,
    decided: UtcMillis,
    cause: u64,
    /// End of its bytes in the arena.
    end: usize,
}

/// Gives every waiting verdict its identity, counting on from `next`, and encodes it into the arena.
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
            if encode_one(encoder, &identity, verdict, arena, failures) {
                next[lane.index()] = seq.next();
                let decided = verdict.times.decided;
                planned.push(PlannedRow { lane, seq, decided, cause: request.cause, end: arena.len() });
            }
        }
    }
    planned
}

/// Appends one verdict to the arena; says if that worked.
pub(super) fn encode_one<E: Encoder>(
    encoder: &mut E,
    identity: &Identity,
    verdict: &Verdict,
    arena: &mut Vec<u8>,
    failures: &Counter,
) -> bool {
    let start = arena.len();
    let encoded = encoder.verdict(identity, verdict, arena);
    if let Err(error) = &encoded {
        arena.truncate(start);
        failures.add(1);
        tracing::error!(judge = %verdict.judge, %error, "a verdict was lost: it cannot be encoded");
    }
    encoded.is_ok()
}

/// The rows as the store takes them.
pub(super) fn rows<'a>(planned: &[PlannedRow], arena: &'a [u8]) -> Vec<NewRow<'a>> {
    let mut start = 0;
    let row = |row: &PlannedRow| {
        let bytes = &arena[start..row.end];
        start = row.end;
        NewRow { lane: row.lane, seq: row.seq, decided: row.decided, cause: row.cause, bytes }
    };
    planned.iter().map(row).collect()
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
