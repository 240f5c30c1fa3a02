//! Why settings cannot be followed.

use verge_domain::id::NameError;

use crate::template::NameTemplateError;

/// Why settings cannot be followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CodecSettingsError {
    /// The device's name cannot stand there in messages of this codec.
    #[error("codec {codec} has no device names in a {place}")]
    DeviceRule {
        /// The codec.
        codec: &'static str,
        /// Where the name was to stand.
        place: &'static str,
    },
    /// The signal's name cannot stand there in messages of this codec.
    #[error("codec {codec} has no signal names in a {place}")]
    SignalRule {
        /// The codec.
        codec: &'static str,
        /// Where the name was to stand.
        place: &'static str,
    },
    /// A name that cannot be put together.
    #[error("{text:?} names nothing: expected {source}")]
    Template {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: NameTemplateError,
    },
    /// What stands beside a value must be found from the value.
    #[error(
        "{pointer:?} has a \"*\" that the reading at {reading:?} does not have at the same place: beside a value stands what has the same steps up to its last \"*\""
    )]
    ForeignWildcard {
        /// The pointer.
        pointer: String,
        /// The reading's pointer.
        reading: String,
    },
    /// Nothing would ever be read.
    #[error("codec json needs at least one reading")]
    NoReadings,
    /// Not RFC 6901.
    #[error(
        "{pointer:?} is not a JSON pointer (RFC 6901): it starts with \"/\" or is empty, and \"~\" is followed by 0 or 1"
    )]
    Pointer {
        /// The text.
        pointer: String,
    },
    /// More steps than any device needs.
    #[error("{pointer:?} has {actual} steps, the limit is {limit}")]
    PointerTooDeep {
        /// The pointer.
        pointer: String,
        /// Steps found.
        actual: usize,
        /// Steps accepted.
        limit: usize,
    },
    /// There is one device and one time per message.
    #[error("{pointer:?} must point to one place, without \"*\"")]
    WildcardPointer {
        /// The pointer.
        pointer: String,
    },
    /// The pointer to the whole message has no last step to name the signal after.
    #[error("the reading at {pointer:?} needs a signal name")]
    NoSignal {
        /// The pointer.
        pointer: String,
    },
    /// More `*` in the name than in the pointer.
    #[error("signal {signal:?} has more \"*\" than its pointer {pointer:?}")]
    SignalWildcards {
        /// The signal's name.
        signal: String,
        /// The pointer.
        pointer: String,
    },
    /// The name cannot be one.
    #[error("signal {signal:?}: {source}")]
    SignalName {
        /// The signal's name.
        signal: String,
        /// Why not.
        source: NameError,
    },
    /// A scale of 0 hides the value; infinities and NaN spread.
    #[error("a scale is finite and not 0, this one is {scale}")]
    Scale {
        /// The scale.
        scale: f64,
    },
    /// Infinities and NaN spread.
    #[error("an offset is finite, this one is {offset}")]
    Offset {
        /// The offset.
        offset: f64,
    },
    /// Infinities and NaN spread.
    #[error("the word {word:?} must stand for a finite number, not {value}")]
    WordValue {
        /// The word.
        word: String,
        /// Its number.
        value: f64,
    },
    /// Payloads are trimmed, so such a word would never be found.
    #[error("the word {word:?} is empty or starts or ends with white space")]
    WordSpace {
        /// The word.
        word: String,
    },
    /// Case does not matter.
    #[error("the word {word:?} stands there twice, in different case")]
    WordTwice {
        /// The word.
        word: String,
    },
    /// Everything would be refused.
    #[error("{limit} must be at least 1")]
    ZeroLimit {
        /// Which limit.
        limit: &'static str,
    },
}
