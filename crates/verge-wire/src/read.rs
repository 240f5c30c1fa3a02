//! From bytes to messages, verdicts and tombstones, for receivers. Everything here may come from anyone: a length
//! that is stated is held against the bytes that are there, and memory grows only with what was read.
//!
//! Keys and names that a reader does not know are ignored, so that later versions may add some.

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::StoredRow;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Tombstone;
use verge_lz4::Unpacker;

use crate::message::WireMessage;
use crate::portable::{CborReader, Parsed};
use crate::tombstone::WireTombstone;
use crate::verdict::WireVerdict;
use crate::{Message, PACKED, PLAIN, WireError, WireLimits};

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
        Some((&PLAIN, cbor)) => Message::of(CborReader::read_all(cbor, "message")?),
        Some((&PACKED, block)) => {
            let mut unpacker = Unpacker::default();
            Message::of(CborReader::read_all(unpacker.unpack(block, limit)?, "message")?)
        }
        Some((b'{', _)) => {
            let Parsed(message) = serde_json::from_slice::<Parsed<WireMessage<'static>>>(bytes)?;
            Message::of(message)
        }
        Some((&found, _)) => Err(WireError::UnknownForm { found }),
    }
}

/// Reads the stored form of one verdict; its lane stands beside it in the store.
///
/// # Errors
/// Not a verdict of this schema.
pub fn read_verdict(bytes: &[u8], lane: Lane) -> Result<(Seq, Verdict), WireError> {
    CborReader::read_all::<WireVerdict<'static>>(bytes, "verdict")?.into_verdict(lane)
}

/// Reads a stored row that is a tombstone; `None` for one that is a verdict.
///
/// # Errors
/// Its numbers are none, or its summary is not of this schema.
pub fn read_tombstone(row: &StoredRow) -> Result<Option<Tombstone>, WireError> {
    WireTombstone::of_row(row).map(WireTombstone::into_tombstone).transpose()
}
