//! What can be wrong with received bytes or with verdicts to be sent.

use serde_json::error::Category;
use verge_domain::id::{NameError, Seq};

use verge_lz4::Lz4Error;

use crate::VERSION;

/// Why bytes are not a message, verdict or tombstone, or why one cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It is empty.
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
    #[error("not the CBOR of the schema: {}", cbor_words(.0))]
    Cbor(minicbor::decode::Error),
    /// Not JSON, or another shape than the twin's.
    #[error("not the JSON of the schema: {}", json_words(.0))]
    Json(serde_json::Error),
    /// A stored verdict or summary that cannot be read, where it must be to be written as JSON.
    #[error("a stored row cannot be read: {0}")]
    Unreadable(serde_json::Error),
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
    /// A field is missing.
    #[error("{field} is missing")]
    Missing {
        /// Which one.
        field: &'static str,
    },
    /// A field occurs twice.
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
    /// A message without verdicts and tombstones says nothing.
    #[error("the message holds neither a verdict nor a tombstone")]
    Nothing,
    /// A verdict under number zero where numbers count.
    #[error("a verdict without a number stands outside a volatile message")]
    NoNumber,
    /// A volatile message is more than alarms without numbers.
    #[error("a volatile message holds alarms without numbers and nothing else")]
    Volatile,
    /// A tombstone for no numbers.
    #[error("a tombstone cannot stand from {from} to {through}")]
    Range {
        /// First number found.
        from: Seq,
        /// Last number found.
        through: Seq,
    },
    /// Something follows where the end should be.
    #[error("{bytes} bytes follow the end")]
    Trailing {
        /// Bytes left.
        bytes: usize,
    },
}

// The errors of libraries are not sources: their own words are of no help to the reader.
impl From<minicbor::decode::Error> for WireError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Cbor(error)
    }
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// What is wrong with CBOR, and where.
fn cbor_words(error: &minicbor::decode::Error) -> String {
    let what = if error.is_end_of_input() {
        "it ends too early"
    } else if error.is_type_mismatch() {
        "an item is of another type than the schema says"
    } else {
        "it is damaged"
    };
    error.position().map_or_else(|| what.to_owned(), |at| format!("{what} (byte {at})"))
}

/// What is wrong with JSON, and where.
fn json_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let named = |start: &str| text.strip_prefix(start).and_then(|rest| rest.split('`').next());
    let what = match (error.classify(), named("missing field `"), named("unknown variant `")) {
        (Category::Eof, ..) => "it ends too early".to_owned(),
        (Category::Syntax | Category::Io, ..) => "it is not JSON".to_owned(),
        (Category::Data, Some(member), _) => format!("the member `{member}` is missing"),
        (Category::Data, _, Some(value)) => format!("`{value}` is none of the values of its member"),
        (Category::Data, None, None)
            if ["invalid ", "duplicate "].iter().any(|start| text.starts_with(start)) =>
        {
            "a value is of another type than the schema says".to_owned()
        }
        // The messages of this crate.
        (Category::Data, None, None) => text.split(" at line ").next().unwrap_or_default().to_owned(),
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}
