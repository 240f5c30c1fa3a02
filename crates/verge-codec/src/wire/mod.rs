//! Verdicts and messages for upstream: CBOR with whole numbers as keys, and its JSON twin.
//!
//! `docs/verdict.cddl` and `docs/verdict.md` describe both for people who write receivers. The stored form of
//! a verdict is exactly its CBOR map; a message puts an envelope around stored maps without touching them,
//! so that the same identity never travels with other bytes.

mod code;
mod encode;
mod json;
mod read;

use verge_domain::id::{Epoch, GatewayId, Lane, NameError, Seq};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;

pub use encode::WireEncoder;
pub use json::verdict_json;
pub use read::{read_message, read_verdict};

use crate::lz4::Lz4Error;

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

/// One message, as a receiver reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its store.
    pub epoch: Epoch,
    /// The lane of all verdicts in it.
    pub lane: Lane,
    /// When it was put together.
    pub sent: UtcMillis,
    /// The verdicts with their numbers; at least one.
    pub verdicts: Vec<(Seq, Verdict)>,
}

/// Why bytes are not a message or verdict, or a verdict cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Nothing there.
    #[error("the message is empty")]
    Empty,
    /// Neither of the known forms.
    #[error("a message starts with 0, 1 or \"{{\", this one with byte {found:#04x}")]
    UnknownForm {
        /// The first byte.
        found: u8,
    },
    /// More than the reader accepts.
    #[error("a message of {actual} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes found.
        actual: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// The block cannot be unpacked or made.
    #[error(transparent)]
    Lz4(#[from] Lz4Error),
    /// Not CBOR, or another shape than the schema's.
    #[error("not the CBOR of the schema: {0}")]
    Cbor(#[from] minicbor::decode::Error),
    /// Not JSON, or another shape than the twin's.
    #[error("not the JSON of the schema: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a later version.
    #[error("the message is of schema version {found}, this reader knows {VERSION}")]
    Version {
        /// Version found.
        found: u64,
    },
    /// An array or map whose length is not stated in front.
    #[error("{field} is of indefinite length")]
    Indefinite {
        /// Which one.
        field: &'static str,
    },
    /// A field is not there.
    #[error("{field} is missing")]
    Missing {
        /// Which one.
        field: &'static str,
    },
    /// A field is there twice.
    #[error("{field} stands there twice")]
    Repeated {
        /// Which one.
        field: &'static str,
    },
    /// An array of another length than the schema's.
    #[error("{field} has {found} parts")]
    Length {
        /// Which one.
        field: &'static str,
        /// Parts found.
        found: u64,
    },
    /// A code that means nothing.
    #[error("{field} has no code {found}")]
    UnknownCode {
        /// Which field.
        field: &'static str,
        /// The code found.
        found: u64,
    },
    /// An identity of another length than 16 bytes.
    #[error("{field} is not 16 bytes long")]
    NotAnIdentity {
        /// Which field.
        field: &'static str,
    },
    /// NaN or an infinity.
    #[error("{field} is not finite")]
    NotFinite {
        /// Which field.
        field: &'static str,
    },
    /// A time beyond the years -9999 to 9999, or none at all.
    #[error("{field} is not a time")]
    NotATime {
        /// Which field.
        field: &'static str,
    },
    /// A score beyond 0 to 1.
    #[error("a score lies within 0 and 1")]
    NotAScore,
    /// Not a span of whole milliseconds.
    #[error("{field} is not a span of time")]
    NotASpan {
        /// Which field.
        field: &'static str,
    },
    /// The name cannot be one.
    #[error("{field}: {source}")]
    Name {
        /// Which field.
        field: &'static str,
        /// Why not.
        source: NameError,
    },
    /// `captured` and `clock` come together or not at all.
    #[error("a captured time and the judgement of its clock come together")]
    Clock,
    /// A verdict decides one thing.
    #[error("a verdict has one body, this one has {found}")]
    Bodies {
        /// Bodies found.
        found: usize,
    },
    /// A message without verdicts says nothing.
    #[error("the message holds no verdict")]
    NoVerdict,
    /// Something follows where the end should be.
    #[error("{bytes} bytes follow the end")]
    Trailing {
        /// Bytes left.
        bytes: usize,
    },
}
