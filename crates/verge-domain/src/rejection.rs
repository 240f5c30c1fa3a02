//! Why input is refused: a closed list, the same in logs, counters and `/status`.

use std::fmt;
use std::sync::Arc;

use crate::excerpt::Excerpt;
use crate::id::SignalId;
use crate::looks::Looks;

crate::words! {
    /// The closed list of reasons. The text of each is stable: it is a metric label and a key of `/status`.
    #[derive(PartialOrd, Ord)]
    pub enum Reason {
        /// No source's filter takes the topic (a broker that sends what was not asked for).
        UnknownTopic = "unknown_topic",
        /// Kept by the broker from before the subscription, and the source does not accept such messages.
        Retained = "retained",
        /// The broker sent again what was already judged.
        Duplicate = "duplicate",
        /// The payload is empty.
        Empty = "empty",
        /// Larger than the source accepts.
        TooLarge = "too_large",
        /// Text was expected and the bytes are not UTF-8.
        NotUtf8 = "not_utf8",
        /// A number was expected and something else stands there (a string, an object, a word).
        NotANumber = "not_a_number",
        /// NaN or an infinity.
        NotFinite = "not_finite",
        /// An integer beyond 2^53, which a double cannot hold exactly.
        NotExact = "not_exact",
        /// Not JSON.
        BadJson = "bad_json",
        /// JSON, but nothing stands where the source's pointer points.
        MissingField = "missing_field",
        /// JSON or CBOR, but not SenML (RFC 8428).
        BadSenml = "bad_senml",
        /// Not CBOR.
        BadCbor = "bad_cbor",
        /// Not InfluxDB line protocol.
        BadLine = "bad_line",
        /// Not a whole number of samples.
        BadSamples = "bad_samples",
        /// Not an LZ4 block with its size in front.
        BadLz4 = "bad_lz4",
        /// An LZ4 block that claims to unpack to more than the source accepts.
        Lz4TooLarge = "lz4_too_large",
        /// Text that should be base64 and is not.
        BadBase64 = "bad_base64",
        /// A time in another format than the source states.
        BadTime = "bad_time",
        /// The device says that its own value is not to be believed.
        BadQuality = "bad_quality",
        /// No device where the source says it stands.
        MissingDevice = "missing_device",
        /// A device or signal name that is empty, too long or has control characters.
        BadName = "bad_name",
        /// More readings in one message than the source accepts.
        TooManyReadings = "too_many_readings",
        /// The bound on devices and signals is reached; this one is new.
        TooManyStreams = "too_many_streams",
        /// Older than what this signal has already shown.
        OutOfOrder = "out_of_order",
        /// Not a whole JPEG: it begins or ends otherwise, or its headers or data are damaged.
        BadJpeg = "bad_jpeg",
        /// A picture of a kind that is not decoded: 12 or 16 bits, lossless, arithmetic coding.
        UnsupportedImage = "unsupported_image",
        /// Headers that announce more pixels than the source accepts.
        TooManyPixels = "too_many_pixels",
        /// The bound on cameras is reached; this one is new.
        TooManyCameras = "too_many_cameras",
        /// Older than its deadline before a worker was free: judging it would only make others late.
        Late = "late",
        /// The model was still at work when the deadline came, and was stopped.
        Overrun = "overrun",
        /// The model answered with numbers that are none, or in another shape than its card says.
        BadOutput = "bad_output",
        /// The model could not be run on it.
        ModelFailed = "model_failed",
        /// The worker failed on it: a defect of this program, of which only this frame suffers.
        Panicked = "panicked",
        /// A codec or a judge failed on it: a defect of this program, of which only this reading and that instance of the
        /// judge suffer.
        Defect = "defect",
        /// Not a payload of Sparkplug B.
        BadSparkplug = "bad_sparkplug",
        /// A metric of Sparkplug B without a name, under an alias that no birth has announced.
        UnknownAlias = "unknown_alias",
        /// Messages of an edge node of Sparkplug B are missing before this one, which is judged all the same.
        SeqGap = "seq_gap",
        /// The death of an edge node that is not the one that was born last: it is passed over.
        StaleDeath = "stale_death",
        /// A value that its device says is historical, and the source does not judge those.
        Historical = "historical",
        /// A form of value that is not read: an array, a template within another, a data set of several rows.
        Unsupported = "unsupported",
        /// More new devices and signals come than are taken in a time; this one is taken with a later reading.
        TooManyNewNames = "too_many_new_names",
    }
}

impl Reason {
    /// Position in [`Reason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
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
