//! The JSON twin: the same messages for people and Node-RED. Names instead of numbers, dates instead of
//! distances, everything else the same.

mod body;
mod tombstone;
mod verdict;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use verge_domain::id::{Epoch, GatewayId, Identity, Lane};
use verge_domain::stage::{Envelope, StoredRow};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Tombstone;

use self::tombstone::TwinTombstone;
use self::verdict::TwinVerdict;
use super::message::age_ms;
use super::read::{read_tombstone, read_verdict};
use super::{Message, VERSION, WireError};
use crate::time::{from_rfc3339, to_rfc3339};

#[derive(Serialize, Deserialize)]
struct TwinMessage {
    v: u64,
    gateway: GatewayId,
    epoch: String,
    lane: Lane,
    sent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdicts: Option<Vec<TwinVerdict>>,
    #[serde(default)]
    age_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    volatile: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tombstones: Vec<TwinTombstone>,
}

/// A verdict or tombstone on its own, with its whole identity.
#[derive(Serialize)]
struct TwinAlone<T> {
    gateway: GatewayId,
    epoch: String,
    lane: Lane,
    #[serde(flatten)]
    twin: T,
}

/// The JSON twin of one verdict with its whole identity, as commands print it.
///
/// # Panics
/// Never: every part of a verdict has a JSON form (a non-finite number, which no verdict has, is `null`).
#[must_use]
pub fn verdict_json(identity: &Identity, verdict: &Verdict) -> Value {
    let Identity { gateway, epoch, lane, seq } = identity;
    alone(gateway, *epoch, *lane, TwinVerdict::of(*seq, verdict))
}

/// The JSON twin of one tombstone with its whole identity, as commands print it. It has `from` and `through`
/// where a verdict has `seq`.
///
/// # Panics
/// Never, as [`verdict_json`].
#[must_use]
pub fn tombstone_json(gateway: &GatewayId, epoch: Epoch, lane: Lane, tombstone: &Tombstone) -> Value {
    alone(gateway, epoch, lane, TwinTombstone::of(tombstone))
}

fn alone(gateway: &GatewayId, epoch: Epoch, lane: Lane, twin: impl Serialize) -> Value {
    let twin = TwinAlone { gateway: gateway.clone(), epoch: epoch.to_string(), lane, twin };
    serde_json::to_value(twin).expect("all keys of the twin are text")
}

/// Transcodes stored verdicts and tombstones and puts the envelope around them.
pub(super) fn write_message(
    envelope: &Envelope,
    rows: &[StoredRow],
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let (mut verdicts, mut tombstones) = (Vec::new(), Vec::new());
    for row in rows {
        match read_tombstone(row)? {
            Some(tombstone) => tombstones.push(TwinTombstone::of(&tombstone)),
            None => {
                let (seq, verdict) = read_verdict(&row.bytes, envelope.lane)?;
                verdicts.push(TwinVerdict::of(seq, &verdict));
            }
        }
    }
    let twin = TwinMessage {
        v: u64::from(VERSION),
        gateway: envelope.gateway.clone(),
        epoch: envelope.epoch.to_string(),
        lane: envelope.lane,
        sent: to_rfc3339(envelope.sent),
        verdicts: (!verdicts.is_empty() || tombstones.is_empty()).then_some(verdicts),
        age_ms: age_ms(envelope),
        volatile: envelope.volatile,
        tombstones,
    };
    Ok(serde_json::to_writer(out, &twin)?)
}

/// Reads a message back.
pub(super) fn read_message(text: &[u8]) -> Result<Message, WireError> {
    let twin: TwinMessage = serde_json::from_slice(text)?;
    if twin.v != u64::from(VERSION) {
        return Err(WireError::Version { found: twin.v });
    }
    let lane = twin.lane;
    if twin.verdicts.is_none() && twin.tombstones.is_empty() {
        return Err(WireError::Nothing);
    }
    let verdicts = twin.verdicts.unwrap_or_default().into_iter().map(|verdict| verdict.into_verdict(lane));
    let tombstones = twin.tombstones.into_iter().map(TwinTombstone::into_tombstone);
    Message {
        gateway: twin.gateway,
        epoch: Epoch(identity(&twin.epoch, "epoch")?),
        lane,
        sent: time(&twin.sent, "sent")?,
        age: Duration::from_millis(twin.age_ms),
        volatile: twin.volatile,
        verdicts: verdicts.collect::<Result<_, _>>()?,
        tombstones: tombstones.collect::<Result<_, _>>()?,
    }
    .checked()
}

fn time(text: &str, field: &'static str) -> Result<UtcMillis, WireError> {
    from_rfc3339(text).ok_or(WireError::NotATime { field })
}

/// 16 bytes in 32 hexadecimal digits.
fn identity(hex: &str, field: &'static str) -> Result<[u8; 16], WireError> {
    let wrong = || WireError::NotAnIdentity { field };
    if hex.len() != 32 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u128::from_str_radix(hex, 16).map(u128::to_be_bytes).map_err(|_| wrong())
}
