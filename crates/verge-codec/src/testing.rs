//! What the tests of the codecs share: one message in, everything that came of it out as plain values.

use bytes::Bytes;
use verge_domain::reading::{Decoded, Inbound, Reading, SourceIndex};
use verge_domain::stage::Decoder;
use verge_domain::time::{Moment, UtcMillis};

use crate::{CodecSettings, Compression, Decoders, DeviceRule, SourceSettings};

/// When every message of the tests is received.
pub(crate) const RECEIVED: UtcMillis = UtcMillis(1_700_000_000_000);

/// A source without compression and with ample limits.
pub(crate) fn source(codec: CodecSettings, device: DeviceRule) -> SourceSettings {
    SourceSettings {
        codec,
        compression: Compression::None,
        device,
        max_payload_bytes: 65_536,
        max_readings: 256,
        accept_retained: false,
    }
}

/// A message of the first source.
pub(crate) fn inbound(topic: &str, payload: &[u8]) -> Inbound {
    Inbound {
        packet_id: 1,
        ..Inbound::of(SourceIndex(0), topic, Bytes::copy_from_slice(payload), Moment::from_wall(RECEIVED))
    }
}

/// What comes of one message.
pub(crate) fn decode(source: &SourceSettings, message: &Inbound) -> Decoded<Reading> {
    let mut decoders = Decoders::new([Some(source.clone())]).expect("the test's settings are good");
    let mut decoded = Decoded::default();
    decoders.decode(message, &mut decoded);
    decoded
}

/// `device signal value unit @captured-received in ms`, as far as there is such a thing.
pub(crate) fn line_of(reading: &Reading) -> String {
    let mut line = format!("{} {} {}", reading.device, reading.signal, reading.value);
    if let Some(unit) = &reading.unit {
        line += &format!(" {unit}");
    }
    if let Some(at) = reading.captured_at {
        line += &format!(" @{}", at.0.saturating_sub(RECEIVED.0));
    }
    line
}

/// Holds the readings and rejections of one message against the expected ones, in order.
#[track_caller]
pub(crate) fn check(source: &SourceSettings, message: &Inbound, readings: &[&str], rejections: &[&str]) {
    let decoded = decode(source, message);
    let found: Vec<String> = decoded.items.iter().map(line_of).collect();
    let refused: Vec<String> = decoded.rejections.iter().map(ToString::to_string).collect();
    let payload = String::from_utf8_lossy(&message.payload);
    assert_eq!((found, refused), (owned(readings), owned(rejections)), "{payload:?}");
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
