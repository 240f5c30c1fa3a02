//! How the messages of a source of frames are to be read.

use super::{Compression, DeviceRule, TimeRule};

/// One source of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameSourceSettings {
    /// What its pictures are wrapped in.
    pub codec: FrameCodec,
    /// What that is wrapped in.
    pub compression: Compression,
    /// Where the camera's name stands.
    pub device: DeviceRule,
    /// Largest payload accepted, in bytes: as received, and as unpacked where it is compressed. From 1.
    pub max_payload_bytes: usize,
    /// Most pixels accepted, width times height as the picture's headers state them. From 1.
    pub max_pixels: u64,
    /// Whether messages that the broker kept from before the subscription are read.
    pub accept_retained: bool,
}

/// What pictures are wrapped in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameCodec {
    /// Nothing: the payload is a JPEG.
    Jpeg,
    /// Base64, or a data URI with base64.
    Base64,
    /// The same within JSON.
    Json(JsonImageSettings),
}

/// Codec `json_image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonImageSettings {
    /// JSON pointer (RFC 6901) to the picture, without `*`.
    pub image: String,
    /// Where the device's own time stands.
    pub time: Option<TimeRule>,
}
