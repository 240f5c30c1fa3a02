//! From verdict to bytes, and from stored verdicts and tombstones to a message.

use bytes::Bytes;
use verge_domain::id::{Identity, Lane};
use verge_domain::stage::{EncodeError, Encoder, Envelope, Form, StoredRow};
use verge_domain::verdict::Verdict;
use verge_lz4::Packer;

use crate::cloudevents;
use crate::message::WireMessage;
use crate::portable::{AsJson, CborWriter, Portable as _};
use crate::summarise::summarise;
use crate::tombstone::write_summaries;
use crate::verdict::WireVerdict;
use crate::{PACKED, PLAIN, WireError, WireFormat};

/// Smaller messages are not worth a block.
const PACK_FROM_BYTES: usize = 256;
/// A block must be smaller than this share of the message, in percent.
const PACK_BELOW_PERCENT: usize = 95;

/// Writes verdicts, summaries and messages. Stored verdicts and summaries are CBOR whatever the format of
/// messages is.
pub struct WireEncoder {
    format: WireFormat,
    packer: Packer,
    /// The message in hand.
    buffer: Vec<u8>,
}

impl WireEncoder {
    /// An encoder whose messages are of this format.
    #[must_use]
    pub fn new(format: WireFormat) -> Self {
        Self { format, packer: Packer::default(), buffer: Vec::new() }
    }

    /// Writes one message for upstream into `out`, which it clears first: the envelope, then the stored verdicts and
    /// tombstones, in order of sequence.
    ///
    /// # Errors
    /// A stored verdict cannot be read (only where it must be transcoded).
    pub fn message(
        &mut self,
        envelope: &Envelope,
        rows: &[StoredRow],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        out.clear();
        whole(out, |out| self.write_message(envelope, rows, out))
    }

    fn write_message(
        &mut self,
        envelope: &Envelope,
        rows: &[StoredRow],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let message = WireMessage::of(envelope, rows)?;
        if self.format == WireFormat::CloudEvents {
            return cloudevents::write_batch(envelope, rows, out);
        }
        if self.format == WireFormat::Json {
            return serde_json::to_writer(out, &AsJson(&message)).map_err(WireError::Unreadable);
        }
        out.push(PLAIN);
        message.write(&mut CborWriter::new(out), "message")?;
        let plain = out.get(1..).unwrap_or_default();
        if plain.len() < PACK_FROM_BYTES {
            return Ok(());
        }
        let block = self.packer.pack(plain)?;
        if block.len().saturating_mul(100) < plain.len().saturating_mul(PACK_BELOW_PERCENT) {
            out.clear();
            out.push(PACKED);
            out.extend_from_slice(block);
        }
        Ok(())
    }
}

/// What `write` adds to `out`; nothing if it fails.
fn whole(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
) -> Result<(), EncodeError> {
    let before = out.len();
    write(out).map_err(|error| {
        out.truncate(before);
        EncodeError(Box::new(error))
    })
}

impl Encoder for WireEncoder {
    fn verdict(
        &mut self,
        identity: &Identity,
        verdict: &Verdict,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        whole(out, |out| {
            WireVerdict::of(identity.seq, verdict).checked()?.write(&mut CborWriter::new(out), "verdict")
        })
    }

    fn summary(&mut self, lane: Lane, rows: &[StoredRow], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.clear();
        let summaries = summarise(lane, rows);
        // Nothing that could be read: a tombstone without a summary, not one with an empty list.
        if summaries.is_empty() { Ok(()) } else { whole(out, |out| write_summaries(&summaries, out)) }
    }
}

impl Form for WireEncoder {
    type Item = Bytes;

    fn item(&mut self, envelope: &Envelope, rows: &[StoredRow]) -> Result<Bytes, EncodeError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = self.message(envelope, rows, &mut buffer);
        let item = written.map(|()| Bytes::copy_from_slice(&buffer));
        self.buffer = buffer;
        item
    }

    fn bytes(item: &Bytes) -> usize {
        item.len()
    }
}
