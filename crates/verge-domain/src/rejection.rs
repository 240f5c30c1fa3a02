//! Why input is refused: a closed list, the same in logs, counters and `/status`.

use std::fmt;
use std::sync::Arc;

use crate::excerpt::Excerpt;
use crate::id::SignalId;
use crate::looks::Looks;

/// The closed list of reasons. The text of each is stable: it is a metric label and a key of `/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No source's filter takes the topic (a broker that sends what was not asked for).
    UnknownTopic,
    /// Kept by the broker from before the subscription, and the source does not accept such messages.
    Retained,
    /// The broker sent again what was already judged.
    Duplicate,
    /// The payload is empty.
    Empty,
    /// Larger than the source accepts.
    TooLarge,
    /// Text was expected and the bytes are not UTF-8.
    NotUtf8,
    /// A number was expected and something else stands there (a string, an object, a word).
    NotANumber,
    /// NaN or an infinity.
    NotFinite,
    /// An integer beyond 2^53, which a double cannot hold exactly.
    NotExact,
    /// Not JSON.
    BadJson,
    /// JSON, but nothing stands where the source's pointer points.
    MissingField,
    /// JSON or CBOR, but not SenML (RFC 8428).
    BadSenml,
    /// Not CBOR.
    BadCbor,
    /// Not InfluxDB line protocol.
    BadLine,
    /// Not a whole number of samples.
    BadSamples,
    /// Not an LZ4 block with its size in front.
    BadLz4,
    /// An LZ4 block that claims to unpack to more than the source accepts.
    Lz4TooLarge,
    /// Text that should be base64 and is not.
    BadBase64,
    /// A time in another format than the source states.
    BadTime,
    /// The device says that its own value is not to be believed.
    BadQuality,
    /// No device where the source says it stands.
    MissingDevice,
    /// A device or signal name that is empty, too long or has control characters.
    BadName,
    /// More readings in one message than the source accepts.
    TooManyReadings,
    /// The bound on devices and signals is reached; this one is new.
    TooManyStreams,
    /// Older than what this signal has already shown.
    OutOfOrder,
    /// Not a whole JPEG: it begins or ends otherwise, or its headers or data are damaged.
    BadJpeg,
    /// A picture of a kind that is not decoded: 12 or 16 bits, lossless, arithmetic coding.
    UnsupportedImage,
    /// Headers that announce more pixels than the source accepts.
    TooManyPixels,
    /// The bound on cameras is reached; this one is new.
    TooManyCameras,
    /// Older than its deadline before a worker was free: judging it would only make others late.
    Late,
    /// The model was still at work when the deadline came, and was stopped.
    Overrun,
    /// The model answered with numbers that are none, or in another shape than its card says.
    BadOutput,
    /// The model could not be run on it.
    ModelFailed,
    /// The worker failed on it: a defect of this program, of which only this frame suffers.
    Panicked,
    /// A codec or a judge failed on it: a defect of this program, of which only this reading and that instance of the
    /// judge suffer.
    Defect,
    /// More new devices and signals come than are taken in a time; this one is taken with a later reading.
    TooManyNewNames,
}

impl Reason {
    /// Every reason, for tables indexed by [`Reason::index`].
    pub const ALL: [Self; 36] = [
        Self::UnknownTopic,
        Self::Retained,
        Self::Duplicate,
        Self::Empty,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotANumber,
        Self::NotFinite,
        Self::NotExact,
        Self::BadJson,
        Self::MissingField,
        Self::BadSenml,
        Self::BadCbor,
        Self::BadLine,
        Self::BadSamples,
        Self::BadLz4,
        Self::Lz4TooLarge,
        Self::BadBase64,
        Self::BadTime,
        Self::BadQuality,
        Self::MissingDevice,
        Self::BadName,
        Self::TooManyReadings,
        Self::TooManyStreams,
        Self::OutOfOrder,
        Self::BadJpeg,
        Self::UnsupportedImage,
        Self::TooManyPixels,
        Self::TooManyCameras,
        Self::Late,
        Self::Overrun,
        Self::BadOutput,
        Self::ModelFailed,
        Self::Panicked,
        Self::Defect,
        Self::TooManyNewNames,
    ];

    /// Position in [`Reason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        // The order of the variants is the order of ALL; a test holds it.
        self as usize
    }

    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownTopic => "unknown_topic",
            Self::Retained => "retained",
            Self::Duplicate => "duplicate",
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::NotANumber => "not_a_number",
            Self::NotFinite => "not_finite",
            Self::NotExact => "not_exact",
            Self::BadJson => "bad_json",
            Self::MissingField => "missing_field",
            Self::BadSenml => "bad_senml",
            Self::BadCbor => "bad_cbor",
            Self::BadLine => "bad_line",
            Self::BadSamples => "bad_samples",
            Self::BadLz4 => "bad_lz4",
            Self::Lz4TooLarge => "lz4_too_large",
            Self::BadBase64 => "bad_base64",
            Self::BadTime => "bad_time",
            Self::BadQuality => "bad_quality",
            Self::MissingDevice => "missing_device",
            Self::BadName => "bad_name",
            Self::TooManyReadings => "too_many_readings",
            Self::TooManyStreams => "too_many_streams",
            Self::OutOfOrder => "out_of_order",
            Self::BadJpeg => "bad_jpeg",
            Self::UnsupportedImage => "unsupported_image",
            Self::TooManyPixels => "too_many_pixels",
            Self::TooManyCameras => "too_many_cameras",
            Self::Late => "late",
            Self::Overrun => "overrun",
            Self::BadOutput => "bad_output",
            Self::ModelFailed => "model_failed",
            Self::Panicked => "panicked",
            Self::Defect => "defect",
            Self::TooManyNewNames => "too_many_new_names",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One refusal: the reason, where one is known the part of the message it concerns, and what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// Which mapping of the source's configuration it concerns (a pointer, a field name), never payload.
    pub part: Option<Arc<str>>,
    /// The value that is refused, or the head of the message; of nothing where neither is at fault.
    pub came: Excerpt,
    /// The signal whose value is refused, where one part stands for several.
    pub signal: Option<SignalId>,
}

impl Rejection {
    /// The whole message is refused.
    #[must_use]
    pub const fn whole(reason: Reason) -> Self {
        Self { reason, part: None, came: Excerpt::NONE, signal: None }
    }

    /// What stands in this part is refused, or nothing stands there.
    #[must_use]
    pub fn at(reason: Reason, part: &Arc<str>) -> Self {
        Self { reason, part: Some(Arc::clone(part)), came: Excerpt::NONE, signal: None }
    }

    /// A picture is refused when it is decoded or judged; its first bytes are shown where they are at fault.
    #[must_use]
    pub fn of_picture(reason: Reason, bytes: &[u8]) -> Self {
        let is_at_fault =
            matches!(reason, Reason::BadJpeg | Reason::UnsupportedImage | Reason::TooManyPixels);
        Self { came: if is_at_fault { Excerpt::of(bytes) } else { Excerpt::NONE }, ..Self::whole(reason) }
    }

    /// Shows these bytes, unless something narrower is shown already.
    #[must_use]
    pub fn showing(self, bytes: &[u8]) -> Self {
        if self.came.is_empty() { Self { came: Excerpt::of(bytes), ..self } } else { self }
    }

    /// What it looks like that came, where that helps: that bad JSON begins as JSON does is obvious.
    #[must_use]
    pub fn looks(&self) -> Option<Looks> {
        use Looks as L;
        use Reason as R;
        match (self.reason, self.came.looks()) {
            (R::BadJson, _) => return self.came.looks_as_bad_json(),
            (R::BadJpeg, Some(L::Jpeg)) => return Some(L::CutJpeg),
            (R::BadJpeg | R::BadBase64, Some(L::Json)) if self.part.is_none() => return Some(L::JsonImage),
            (R::NotANumber, Some(L::Number)) => return Some(L::DecimalPoint),
            _ => {}
        }
        self.came.looks().filter(|looks| match (self.reason, looks) {
            (R::BadSenml, L::Senml | L::Cbor) | (R::BadCbor, L::Cbor) => false,
            (R::BadLine, L::LineProtocol)
            | (R::BadJpeg | R::TooManyPixels | R::UnsupportedImage, L::Jpeg) => false,
            (R::MissingField | R::MissingDevice, L::Json | L::LineProtocol) => false,
            (R::NotANumber, L::Json) => self.part.is_none(),
            (R::NotExact | R::BadTime | R::BadName, L::Number | L::Word | L::NumberWithUnit) => false,
            (R::BadTime, L::Csv | L::Thousands | L::DecimalComma) => false,
            (R::Retained | R::Duplicate | R::TooLarge | R::Lz4TooLarge | R::TooManyReadings, _) => false,
            _ => true,
        })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if let Some(part) = &self.part {
            write!(f, " at {part}")?;
        }
        match &self.signal {
            Some(signal) => write!(f, " ({})", signal.as_str().escape_debug()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_a_closed_list_with_distinct_texts() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        let mut texts: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Reason::ALL.len());
    }
}
