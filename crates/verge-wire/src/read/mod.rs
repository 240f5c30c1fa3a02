//! From bytes to messages, verdicts and tombstones, for receivers. Everything here may come from anyone: a length
//! that is stated is held against the bytes that are there, and memory grows only with what was read.
//!
//! Keys that a reader does not know are passed over, so that later versions may add some.

mod items;
mod tombstone;
mod verdict;

use std::time::Duration;

use minicbor::Decoder;
use verge_domain::id::{Epoch, GatewayId, Lane, Seq};
use verge_domain::stage::StoredRow;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::{Summary, Tombstone};

use self::items::{Field, end, entries, identity, list, name, time};
use super::message::check_range;
use super::{Message, PACKED, PLAIN, VERSION, WireError, WireLimits, code, json};
use verge_lz4::Unpacker;

/// Reads one message in either form.
///
/// # Errors
/// Not a message of this schema, or a larger one than `limits` accepts.
pub fn read_message(bytes: &[u8], limits: WireLimits) -> Result<Message, WireError> {
    let limit = limits.max_message_bytes;
    if bytes.len() > limit {
        return Err(WireError::TooLarge { actual: bytes.len(), limit });
    }
    match bytes.split_first() {
        None => Err(WireError::Empty),
        Some((&PLAIN, cbor)) => read_cbor(cbor),
        Some((&PACKED, block)) => read_cbor(Unpacker::default().unpack(block, limit)?),
        Some((b'{', _)) => json::read_message(bytes),
        Some((&found, _)) => Err(WireError::UnknownForm { found }),
    }
}

/// Reads the stored form of one verdict; its lane stands beside it in the store.
///
/// # Errors
/// Not a verdict of this schema.
pub fn read_verdict(bytes: &[u8], lane: Lane) -> Result<(Seq, Verdict), WireError> {
    let mut cbor = Decoder::new(bytes);
    let verdict = verdict::verdict(&mut cbor, lane)?;
    end(&cbor)?;
    Ok(verdict)
}

/// Reads a stored row that is a tombstone; `None` for one that is a verdict.
///
/// # Errors
/// Its numbers are none, or its summary is not of this schema.
pub fn read_tombstone(row: &StoredRow) -> Result<Option<Tombstone>, WireError> {
    let Some(withdrawn) = row.withdrawn else { return Ok(None) };
    let (from, through, reason) = (row.seq, withdrawn.through, withdrawn.reason);
    check_range(from, through)?;
    Ok(Some(Tombstone { from, through, reason, at: row.decided, summary: read_summaries(&row.bytes)? }))
}

/// Reads the stored form of summaries; of no bytes, none.
pub(super) fn read_summaries(bytes: &[u8]) -> Result<Vec<Summary>, WireError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut cbor = Decoder::new(bytes);
    let summaries = tombstone::summaries(&mut cbor)?;
    end(&cbor)?;
    Ok(summaries)
}

fn read_cbor(bytes: &[u8]) -> Result<Message, WireError> {
    use code::message as key;
    let mut cbor = Decoder::new(bytes);
    let (mut version, mut gateway, mut epoch) =
        (Field::new("version"), Field::new("gateway"), Field::new("epoch"));
    let (mut lane, mut sent, mut age) = (Field::new("lane"), Field::new("sent"), Field::new("age"));
    let (mut verdicts, mut volatile, mut tombstones) =
        (Field::new("verdicts"), Field::new("volatile"), Field::new("tombstones"));
    entries(&mut cbor, "message", |key, cbor| {
        match key {
            key::VERSION => version.set(cbor.u64()?),
            key::GATEWAY => gateway.set(name(cbor, "gateway", GatewayId::new)?),
            key::EPOCH => epoch.set(Epoch(identity(cbor, "epoch")?)),
            key::LANE => lane.set(read_lane(cbor.u64()?)?),
            key::SENT => sent.set(time(cbor.i64()?, "sent")?),
            // The lane stands in front, as keys are in order; each verdict takes it from there.
            key::VERDICTS => {
                let lane = lane.known()?;
                verdicts.set(list(cbor, "verdicts", |cbor| verdict::verdict(cbor, lane))?)
            }
            key::AGE => age.set(Duration::from_millis(cbor.u64()?)),
            key::VOLATILE => volatile.set(cbor.bool()?),
            key::TOMBSTONES => tombstones.set(list(cbor, "tombstones", tombstone::tombstone)?),
            _ => Ok(cbor.skip()?),
        }
    })?;
    end(&cbor)?;
    match version.take()? {
        found if found == u64::from(VERSION) => {}
        found => return Err(WireError::Version { found }),
    }
    let (verdicts, tombstones) = (verdicts.optional(), tombstones.optional().unwrap_or_default());
    if verdicts.is_none() && tombstones.is_empty() {
        return Err(WireError::Nothing);
    }
    Message {
        gateway: gateway.take()?,
        epoch: epoch.take()?,
        lane: lane.take()?,
        sent: sent.take()?,
        // Gateways of before there was one leave it out.
        age: age.optional().unwrap_or_default(),
        volatile: volatile.optional().unwrap_or_default(),
        verdicts: verdicts.unwrap_or_default(),
        tombstones,
    }
    .checked()
}

fn read_lane(found: u64) -> Result<Lane, WireError> {
    let index = usize::try_from(found).ok();
    index.and_then(Lane::from_index).ok_or(WireError::UnknownCode { field: "lane", found })
}
