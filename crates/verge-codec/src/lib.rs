//! Bytes to domain and back: the boundary of trust.
//!
//! Whatever a device, a broker or another gateway sends passes through here before anything else sees it.
//! What comes out is finite, named and bounded; what cannot be used is a [`Rejection`] from a closed list.
//! No input makes this crate panic, and no length that a peer states makes it allocate.
//!
//! This crate must never know where bytes come from or go to: no socket, no file, no clock.
//!
//! Reading order: [`settings`] (how a source's messages are to be read), `envelope` (what every message
//! passes), [`template`] (names out of several places), [`decoders`] (one per source), `input` (one file or folder per codec of readings), [`frames`] (pictures,
//! unwrapped and their headers read), `shared` (names that stand for several series), `figures`, `number` and `time` (numbers in text, exactness and range).
//!
//! [`Rejection`]: verge_domain::rejection::Rejection
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions)]

pub mod decoders;
mod envelope;
mod figures;
pub mod frames;
mod input;
mod names;
mod number;
mod offsets;
pub mod settings;
mod shared;
pub mod template;
#[cfg(test)]
mod testing;
mod time;

pub use decoders::Decoders;
pub use figures::is_switch;
pub use frames::FrameDecoders;
pub use input::json::quality::is_usable;
pub use settings::{
    CodecSettings, CodecSettingsError, Compression, Decimal, DeviceRule, FrameCodec, FrameSourceSettings,
    JsonImageSettings, JsonMapping, JsonSettings, LineSettings, NumberSettings, Precision, QualityFormat,
    QualityRule, SampleElement, SamplesSettings, SenmlFormat, SenmlSettings, SignalRule, SourceSettings,
    SparkplugCodecSettings, SparkplugDevice, TimeFormat, TimeRule,
};
pub use template::{NamePart, NameTemplate, NameTemplateError};
