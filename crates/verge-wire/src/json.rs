//! The JSON of one verdict or tombstone by itself, with its whole identity.

use serde_json::{Map, Value};
use verge_domain::id::{Epoch, GatewayId, Identity, Lane};
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Tombstone;

use crate::portable::{AsJson, Portable};
use crate::tombstone::WireTombstone;
use crate::verdict::WireVerdict;

/// The JSON twin of one verdict with its whole identity, as commands print it.
///
/// # Panics
/// Never: every part of a verdict has a JSON form (a non-finite number, which no verdict has, is `null`).
#[must_use]
pub fn verdict_json(identity: &Identity, verdict: &Verdict) -> Value {
    let Identity { gateway, epoch, lane, seq } = identity;
    alone(gateway, *epoch, *lane, &WireVerdict::of(*seq, verdict))
}

/// The JSON twin of one tombstone with its whole identity, as commands print it. It has `from` and `through`
/// where a verdict has `seq`.
///
/// # Panics
/// Never, as [`verdict_json`].
#[must_use]
pub fn tombstone_json(gateway: &GatewayId, epoch: Epoch, lane: Lane, tombstone: &Tombstone) -> Value {
    alone(gateway, epoch, lane, &WireTombstone::of(tombstone))
}

/// The JSON twin of what stands in the store, with its whole identity.
pub(crate) fn alone(gateway: &GatewayId, epoch: Epoch, lane: Lane, twin: &impl Portable) -> Value {
    let mut object = Map::new();
    object.insert("gateway".to_owned(), gateway.as_str().into());
    object.insert("epoch".to_owned(), epoch.to_string().into());
    object.insert("lane".to_owned(), lane.as_str().into());
    let members = serde_json::to_value(AsJson(twin)).expect("every part of a verdict has a JSON form");
    if let Value::Object(members) = members {
        object.extend(members);
    }
    Value::Object(object)
}
