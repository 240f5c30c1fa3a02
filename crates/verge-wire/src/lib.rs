//! Verdicts and messages for upstream: CBOR with whole numbers as keys, and its JSON twin.
//!
//! `docs/verdict.cddl` and `docs/verdict.md` describe both for people who write receivers. The stored form of
//! a verdict is exactly its CBOR map; a message puts an envelope around stored maps without touching them,
//! so that the same identity never travels with other bytes. Where verdicts were withdrawn, a tombstone stands in
//! the message under their numbers.
//!
//! What is read may come from anyone: no bytes make this crate panic, and no length that they state makes it allocate.
//! This crate must never know where bytes come from or go to: no socket, no file, no clock.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions)]

mod body;
mod cloudevents;
mod codes;
mod encoder;
mod error;
mod expected;
mod json;
mod message;
mod number;
mod portable;
mod read;
mod record;
mod scalar;
#[cfg(test)]
mod schema;
mod site;
mod stored;
mod summarise;
mod time;
mod tombstone;
mod verdict;
mod words;

pub use codes::member_number;
pub use encoder::WireEncoder;
pub use error::WireError;
pub use json::{tombstone_json, verdict_json};
pub use message::Message;
pub use read::{read_message, read_tombstone, read_verdict};
pub use site::{SiteZone, UnknownZone};
pub use time::to_rfc3339;
pub use words::{counted, tombstone_words, verdict_words};

/// Version of the message schema.
pub const VERSION: u8 = 1;
/// First byte of a message: CBOR follows.
const PLAIN: u8 = 0;
/// First byte of a message: a block with its size in front follows, which unpacks to CBOR.
const PACKED: u8 = 1;

/// The form of messages upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFormat {
    /// Small: CBOR, in an LZ4 block where that makes it smaller.
    Cbor,
    /// For people and Node-RED: JSON text.
    Json,
    /// For web services: a batch of CloudEvents 1.0 in JSON, one a verdict. It has no envelope, and nothing of ours reads it.
    CloudEvents,
}

/// What a reader of messages accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// Largest message, in bytes: as received, and as unpacked.
    pub max_message_bytes: usize,
}

impl Default for WireLimits {
    /// 1 MiB: some ten times the largest batch that a gateway makes with its default settings.
    fn default() -> Self {
        Self { max_message_bytes: 1 << 20 }
    }
}
