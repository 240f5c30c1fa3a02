//! What comes in: messages as the broker handed them over, and the readings a codec finds in them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, SignalId, Unit};
use crate::observation::Captured;
use crate::rejection::Rejection;
use crate::time::{DeviceClock, Moment, UtcMillis};

/// Index of a source in the order of the checked settings. Messages carry this instead of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceIndex(pub u16);

/// Claim on the acknowledgement of one message. It outlives a connection where the broker resumes the session; it is
/// void once the broker has forgotten the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// Which kept connection, counted from 1 in this process.
    pub connection: u64,
    /// Which message of it, in order of arrival.
    pub index: u64,
}

/// What of a session the broker will not send again: it has received the acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The session.
    pub session: Session,
    /// Its connection, as receipts name it.
    pub connection: u64,
    /// All messages of this connection below this index.
    pub below: u64,
    /// And all that earlier runs of the program received.
    pub earlier_runs: bool,
}

/// A session that the broker keeps while the gateway is away. Each gives packet identifiers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Session {
    /// Readings that are judged at once.
    Readings,
    /// Blocks of samples, and what bulk judges watch.
    Blocks,
    /// Frames of which every one is judged.
    Frames,
}

impl Session {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Readings, Self::Blocks, Self::Frames];
    /// A cause holds it above a packet identifier's 16 bits.
    const SHIFT: u32 = 48;

    /// Its place in [`Session::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Readings => 0,
            Self::Blocks => 1,
            Self::Frames => 2,
        }
    }

    /// What the store keeps of a message of this session, by its fingerprint.
    #[must_use]
    pub const fn cause(self, fingerprint: u64) -> u64 {
        let tag = match self {
            Self::Readings => 0,
            Self::Blocks => 1,
            Self::Frames => 2,
        };
        fingerprint | tag << Self::SHIFT
    }

    /// The session of a cause; `None` for one that this version does not know.
    #[must_use]
    pub fn of_cause(cause: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|session| session.cause(0) == cause >> Self::SHIFT << Self::SHIFT)
    }
}

/// A message between its source and its codec. The payload is the received buffer, not a copy.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The source whose topic filter took it.
    pub source: SourceIndex,
    /// Topic it was published on.
    pub topic: String,
    /// Payload, untouched.
    pub payload: Bytes,
    /// When the gateway received it.
    pub received: Moment,
    /// The broker kept it from before the subscription.
    pub retained: bool,
    /// The broker may have sent this message to an earlier run of this program: it sets DUP, it has resumed a session,
    /// and nothing else than redeliveries has come since. What came to this run already is not handed on again.
    pub redelivered: bool,
    /// MQTT packet identifier; 0 where there is none (QoS 0).
    pub packet_id: u16,
    /// To be settled once judged and durable; `None` where no acknowledgement is due (QoS 0).
    pub receipt: Option<Receipt>,
}

impl Inbound {
    /// One that no acknowledgement is due for and the broker had not kept: as published at QoS 0, or read from a file.
    pub fn of(
        source: SourceIndex,
        topic: impl Into<String>,
        payload: impl Into<Bytes>,
        received: Moment,
    ) -> Self {
        Self {
            source,
            topic: topic.into(),
            payload: payload.into(),
            received,
            retained: false,
            redelivered: false,
            packet_id: 0,
            receipt: None,
        }
    }

    /// Recognises a message that a broker sends again, see [`fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.packet_id, &self.topic, &self.payload)
    }
}

/// Recognises a message that a broker sends again: its packet identifier, which a session keeps for a redelivery, in the
/// upper half, and a checksum of what it says (CRC-32C, RFC 3720, appendix B.4). Never zero, and the same in every version
/// of this program, because the store keeps it.
#[must_use]
pub fn fingerprint(packet_id: u16, topic: &str, payload: &[u8]) -> u64 {
    let content = crc32c::crc32c_append(crc32c::crc32c(topic.as_bytes()), payload);
    (u64::from(packet_id) << 32 | u64::from(content)).max(1)
}

/// How far a device vouches for its own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// No doubt was expressed.
    Good,
    /// The device or its gateway flagged the value as doubtful.
    Uncertain,
}

/// One value of one signal. Always finite: NaN and infinities never get past a codec.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which device.
    pub device: DeviceId,
    /// Which of its signals.
    pub signal: SignalId,
    /// The value, finite, after the source's scale and offset.
    pub value: f64,
    /// Unit of `value`, if known.
    pub unit: Option<Unit>,
    /// The device's own time, as it claims it.
    pub captured_at: Option<UtcMillis>,
    /// What may be believed of `captured_at`.
    pub clock: DeviceClock,
    /// Doubt expressed by the device.
    pub quality: Quality,
}

impl Reading {
    /// A value that its device says nothing more of: neither unit nor time nor doubt.
    #[must_use]
    pub const fn of(device: DeviceId, signal: SignalId, value: f64) -> Self {
        Self {
            device,
            signal,
            value,
            unit: None,
            captured_at: None,
            clock: DeviceClock::Absent,
            quality: Quality::Good,
        }
    }

    /// When it was captured, as its device claims it.
    #[must_use]
    pub const fn captured(&self) -> Captured {
        Captured { at: self.captured_at, clock: self.clock }
    }

    /// The time to reckon with: the device's where it is trusted, else that of receipt.
    #[must_use]
    pub const fn time(&self, received: UtcMillis) -> UtcMillis {
        self.captured().time(received)
    }
}

/// What shows that one name stands for several series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedBy {
    /// Another value of the message has the same name and the same time.
    Time,
    /// The name is a position in an array whose length has changed: another value may stand there.
    Position,
}

/// A device's clock that has shown a constant offset of whole hours, halves or quarters, or does not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockOffset {
    /// Which device.
    pub device: DeviceId,
    /// By how much it is ahead, in milliseconds (negative: behind); `None` where the offset has ended.
    pub offset_ms: Option<i64>,
}

/// What a codec made of one message: what is good comes out, what is not is counted, side by side. Reused
/// from message to message.
#[derive(Debug)]
pub struct Decoded<T> {
    /// Good readings, or the frame, in the order of the message.
    pub items: Vec<T>,
    /// What could not be used, and why.
    pub rejections: Vec<Rejection>,
    /// Positions of items whose name stands for several series, and what shows it. They are still judged.
    pub shared: Vec<(usize, SharedBy)>,
    /// Devices of the message of whose clocks more is known than before it.
    pub clock_offsets: Vec<ClockOffset>,
    /// Devices that are away, as the message says: they are silent from now on.
    pub away: Vec<DeviceId>,
    /// Who is to be asked for what the message lacks: the topic of the command.
    pub asks: Option<String>,
}

impl<T> Default for Decoded<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            rejections: Vec::new(),
            shared: Vec::new(),
            clock_offsets: Vec::new(),
            away: Vec::new(),
            asks: None,
        }
    }
}

impl<T> Decoded<T> {
    /// Empties the lists and keeps their memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.rejections.clear();
        self.shared.clear();
        self.clock_offsets.clear();
        self.away.clear();
        self.asks = None;
    }
}
