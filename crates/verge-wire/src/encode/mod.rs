//! From verdict to bytes, and from stored verdicts and tombstones to a message.

mod number;
mod summary;
mod verdict;

use std::convert::Infallible;

use bytes::Bytes;
use minicbor::Encoder as Cbor;
use minicbor::encode::Error as CborError;
use verge_domain::id::{Identity, Lane};
use verge_domain::stage::{EncodeError, Encoder, Envelope, Form, StoredRow, Withdrawn};
use verge_domain::verdict::Verdict;

use self::number::write_float;
use super::{PACKED, PLAIN, VERSION, WireError, WireFormat, code, json, message};
use verge_lz4::Packer;

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
        message::check_rows(envelope, rows)
            .and_then(|()| match self.format {
                WireFormat::Cbor => self.cbor_message(envelope, rows, out),
                WireFormat::Json => json::write_message(envelope, rows, out),
            })
            .map_err(|error| EncodeError(Box::new(error)))
    }

    fn cbor_message(
        &mut self,
        envelope: &Envelope,
        rows: &[StoredRow],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        out.push(PLAIN);
        write_message(&mut writer(out), envelope, rows).unwrap_or_else(never);
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

impl Encoder for WireEncoder {
    fn verdict(
        &mut self,
        identity: &Identity,
        verdict: &Verdict,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        verdict::check(verdict).map_err(|error| EncodeError(Box::new(error)))?;
        verdict::write_verdict(&mut writer(out), identity, verdict).unwrap_or_else(never);
        Ok(())
    }

    fn summary(&mut self, lane: Lane, rows: &[StoredRow], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.clear();
        let summaries = summary::summarise(lane, rows);
        // Nothing that could be read: a tombstone without a summary, not one with an empty list.
        if !summaries.is_empty() {
            summary::write_summaries(&mut writer(out), &summaries).unwrap_or_else(never);
        }
        Ok(())
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

/// Writing to memory does not fail.
fn never(error: CborError<Infallible>) {
    unreachable!("CBOR is written to memory, and that cannot fail: {error}")
}

type Written = Result<(), CborError<Infallible>>;
type Writer<'a> = Cbor<Memory<'a>>;

/// What is written to. minicbor's own way to write to a `Vec` is a call for every byte or two, which only optimisation
/// across crates would take away.
struct Memory<'a>(&'a mut Vec<u8>);

impl minicbor::encode::Write for Memory<'_> {
    type Error = Infallible;

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn writer(out: &mut Vec<u8>) -> Writer<'_> {
    Cbor::new(Memory(out))
}

fn write_message(cbor: &mut Writer<'_>, envelope: &Envelope, rows: &[StoredRow]) -> Written {
    use code::message as key;
    let tombstones = rows.iter().filter(|row| row.withdrawn.is_some()).count();
    let verdicts = rows.len().saturating_sub(tombstones);
    // A message of nothing has an empty list: a receiver that looks for one finds it.
    let listed = verdicts > 0 || tombstones == 0;
    cbor.map(entries(6, [listed, envelope.volatile, tombstones > 0]))?;
    cbor.u64(key::VERSION)?.u8(VERSION)?;
    cbor.u64(key::GATEWAY)?.str(envelope.gateway.as_str())?;
    cbor.u64(key::EPOCH)?.bytes(&envelope.epoch.0)?;
    cbor.u64(key::LANE)?.u64(to_u64(envelope.lane.index()))?;
    cbor.u64(key::SENT)?.i64(envelope.sent.0)?;
    if listed {
        cbor.u64(key::VERDICTS)?.array(to_u64(verdicts))?;
        for row in rows.iter().filter(|row| row.withdrawn.is_none()) {
            cbor.writer_mut().0.extend_from_slice(&row.bytes);
        }
    }
    cbor.u64(key::AGE)?.u64(message::age_ms(envelope))?;
    if envelope.volatile {
        cbor.u64(key::VOLATILE)?.bool(true)?;
    }
    if tombstones > 0 {
        cbor.u64(key::TOMBSTONES)?.array(to_u64(tombstones))?;
        for row in rows {
            if let Some(withdrawn) = row.withdrawn {
                write_tombstone(cbor, row, withdrawn)?;
            }
        }
    }
    Ok(())
}

/// The stored summary goes in untouched, like a stored verdict.
fn write_tombstone(cbor: &mut Writer<'_>, row: &StoredRow, withdrawn: Withdrawn) -> Written {
    use code::tombstone as key;
    let summary = !row.bytes.is_empty();
    cbor.map(entries(4, [summary]))?;
    cbor.u64(key::FROM)?.u64(row.seq.0)?;
    cbor.u64(key::THROUGH)?.u64(withdrawn.through.0)?;
    cbor.u64(key::REASON)?.u8(withdrawn.reason.code())?;
    cbor.u64(key::AT)?.i64(row.decided.0)?;
    if summary {
        cbor.u64(key::SUMMARY)?;
        cbor.writer_mut().0.extend_from_slice(&row.bytes);
    }
    Ok(())
}

/// Entries of a map with so many that are always there, and these that may be.
fn entries<const N: usize>(always: u64, optional: [bool; N]) -> u64 {
    optional.into_iter().fold(always, |entries, there| entries.saturating_add(u64::from(there)))
}

fn length<T>(list: &[T]) -> u64 {
    to_u64(list.len())
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn write_optional(cbor: &mut Writer<'_>, key: u64, value: Option<f64>) -> Written {
    match value {
        Some(value) => write_float(cbor.u64(key)?, value),
        None => Ok(()),
    }
}
