//! The bytes of one connection: packets out of what is read, and a buffer of what is to be written.
//!
//! A PUBLISH above the limit is taken apart as far as its topic and packet identifier and then skipped as it streams
//! by: it needs no memory, whatever its length. rumqttc's own reader would end the connection instead, and the broker
//! would deliver the packet again for ever.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use rumqttc::mqttbytes::{Error as PacketError, qos};
use rumqttc::{Packet, Publish, QoS, StateError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// First capacity of the read buffer. Payloads are slices of it.
const READ_BYTES: usize = 16 * 1024;
/// A new one is made when less than this is left.
const MIN_READ_BYTES: usize = 1024;
/// The same while a packet is skipped.
const SKIP_READ_BYTES: usize = 64 * 1024;
/// Largest packet other than PUBLISH, all of which are small.
const MAX_CONTROL_BYTES: usize = 64 * 1024;
/// Largest packet that is written: SUBSCRIBE with eight filters, or CONNECT.
const MAX_WRITTEN_BYTES: usize = 1024 * 1024;
/// The type of PUBLISH in the upper half of a packet's first byte (MQTT 3.1.1, section 2.2.1).
const PUBLISH: u8 = 3;

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Message(Publish),
    Passed(Passed),
    Packet(Packet),
}

/// Why a message is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is larger than the limit.
    Oversized,
    /// Its topic is not UTF-8.
    Unreadable,
}

/// A message that is not handed on. By now all of it has been read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) why: Why,
    /// As far as it can be read.
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) packet_id: u16,
    /// Of the whole packet.
    pub(super) bytes: usize,
}

/// A packet's first bytes.
struct FixedHeader {
    first: u8,
    /// How many they are.
    bytes: usize,
    remaining: usize,
}

impl FixedHeader {
    /// `None` where more bytes are needed.
    fn read(buffer: &[u8]) -> Result<Option<Self>, PacketError> {
        let Some((&first, lengths)) = buffer.split_first() else { return Ok(None) };
        let mut remaining = 0;
        for (position, &byte) in lengths.iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                return Ok(Some(Self { first, bytes: position + 2, remaining }));
            }
        }
        if lengths.len() < 4 { Ok(None) } else { Err(PacketError::MalformedRemainingLength) }
    }

    const fn whole(&self) -> usize {
        self.bytes + self.remaining
    }
}

/// What stands before a PUBLISH packet's payload.
struct PublishHead {
    qos: QoS,
    /// Where the topic ends, counted from the fixed header's end.
    topic_end: usize,
    packet_id: u16,
    /// Where the payload begins, counted in the same manner.
    bytes: usize,
}

impl PublishHead {
    /// Reads what follows the fixed header; `None` where more bytes are needed.
    fn read(header: &FixedHeader, body: &[u8]) -> Result<Option<Self>, PacketError> {
        let qos = qos(header.first >> 1 & 0b11)?;
        let Some(&[high, low]) = body.first_chunk() else {
            return if header.remaining < 2 { Err(PacketError::MalformedPacket) } else { Ok(None) };
        };
        let topic_end = 2 + usize::from(u16::from_be_bytes([high, low]));
        let bytes = topic_end + if qos == QoS::AtMostOnce { 0 } else { 2 };
        if bytes > header.remaining {
            return Err(PacketError::BoundaryCrossed(bytes));
        }
        if body.len() < bytes {
            return Ok(None);
        }
        let packet_id = match body.get(topic_end..bytes) {
            Some(&[high, low]) => u16::from_be_bytes([high, low]),
            _ => 0,
        };
        if packet_id == 0 && qos != QoS::AtMostOnce {
            return Err(PacketError::PacketIdZero);
        }
        Ok(Some(Self { qos, topic_end, packet_id, bytes }))
    }

    fn topic<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(2..self.topic_end).unwrap_or_default()
    }
}

/// A packet that is being skipped.
struct Skipping {
    left: usize,
    passed: Passed,
}

/// Takes packets out of a stream of bytes.
pub(super) struct PacketReader {
    max_packet_bytes: usize,
    buffer: BytesMut,
    /// Bytes that the packet at the front of the buffer still lacks.
    missing: usize,
    skipping: Option<Skipping>,
}

impl PacketReader {
    fn new(max_packet_bytes: usize) -> Self {
        let buffer = BytesMut::with_capacity(READ_BYTES);
        Self { max_packet_bytes, buffer, missing: 0, skipping: None }
    }

    /// The next packet, if all of it has been read.
    fn next(&mut self) -> Result<Option<Incoming>, StateError> {
        self.missing = 0;
        if self.skipping.is_none() {
            let Some(header) = FixedHeader::read(&self.buffer)? else { return Ok(None) };
            if header.first >> 4 != PUBLISH {
                return self.control();
            }
            if header.whole() <= self.max_packet_bytes {
                return Ok(self.message(&header)?);
            }
            let body = self.buffer.get(header.bytes..).unwrap_or_default();
            let Some(head) = PublishHead::read(&header, body)? else { return Ok(None) };
            let passed = Passed {
                why: Why::Oversized,
                topic: String::from_utf8_lossy(head.topic(body)).into_owned(),
                qos: head.qos,
                packet_id: head.packet_id,
                bytes: header.whole(),
            };
            self.buffer.advance(header.bytes + head.bytes);
            self.skipping = Some(Skipping { left: header.remaining - head.bytes, passed });
        }
        let Some(skipping) = &mut self.skipping else { return Ok(None) };
        let skipped = skipping.left.min(self.buffer.len());
        self.buffer.advance(skipped);
        skipping.left -= skipped;
        let is_over = skipping.left == 0;
        Ok(self.skipping.take_if(|_| is_over).map(|skipping| Incoming::Passed(skipping.passed)))
    }

    /// A packet other than PUBLISH.
    fn control(&mut self) -> Result<Option<Incoming>, StateError> {
        match Packet::read(&mut self.buffer, MAX_CONTROL_BYTES) {
            Ok(packet) => Ok(Some(Incoming::Packet(packet))),
            Err(PacketError::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A message within the limit, whose payload is a slice of what was read.
    fn message(&mut self, header: &FixedHeader) -> Result<Option<Incoming>, PacketError> {
        let whole = header.whole();
        if self.buffer.len() < whole {
            self.missing = whole - self.buffer.len();
            return Ok(None);
        }
        let mut packet: Bytes = self.buffer.split_to(whole).freeze();
        packet.advance(header.bytes);
        let Some(head) = PublishHead::read(header, &packet)? else {
            return Err(PacketError::MalformedPacket);
        };
        let topic = head.topic(&packet).to_vec();
        let topic = match String::from_utf8(topic) {
            Ok(topic) => topic,
            Err(error) => {
                let topic = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let PublishHead { qos, packet_id, .. } = head;
                let passed = Passed { why: Why::Unreadable, topic, qos, packet_id, bytes: whole };
                return Ok(Some(Incoming::Passed(passed)));
            }
        };
        packet.advance(head.bytes);
        Ok(Some(Incoming::Message(Publish {
            dup: header.first & 0b1000 != 0,
            qos: head.qos,
            retain: header.first & 1 != 0,
            topic,
            pkid: head.packet_id,
            payload: packet,
        })))
    }

    fn make_room(&mut self) {
        let room = match (&self.skipping, self.missing) {
            (Some(_), _) => SKIP_READ_BYTES,
            (None, missing) => missing.max(MIN_READ_BYTES),
        };
        self.buffer.reserve(room);
    }
}

/// One connection's bytes in both directions.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    reader: PacketReader,
    out: BytesMut,
    /// Something was written since the last flush.
    unflushed: bool,
    /// Since when the connection takes nothing of what is to be written.
    stuck_since: Option<Instant>,
    /// The last read took all that there was room for: there is probably more.
    has_more: bool,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>, max_packet_bytes: usize) -> Self {
        let reader = PacketReader::new(max_packet_bytes);
        Self { stream, reader, out: BytesMut::new(), unflushed: false, stuck_since: None, has_more: false }
    }

    /// The next packet, if all of it has been read.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, StateError> {
        self.reader.next()
    }

    /// Whether there is probably more to read at once.
    pub(super) const fn has_more(&self) -> bool {
        self.has_more
    }

    /// Puts a packet behind what is to be written.
    pub(super) fn put(&mut self, packet: &Packet) -> Result<(), StateError> {
        packet.write(&mut self.out, MAX_WRITTEN_BYTES)?;
        Ok(())
    }

    /// Whether something waits to be written.
    pub(super) fn is_unwritten(&self) -> bool {
        !self.out.is_empty() || self.unflushed
    }

    /// Since when the connection takes nothing of what is to be written, if it does not. Bytes that wait for the next
    /// chance to be written do not count.
    pub(super) const fn stuck_since(&self) -> Option<Instant> {
        self.stuck_since
    }

    /// Writes what can be written, and reads where `reading`; returns when bytes have come. Loses nothing where it is
    /// cancelled.
    pub(super) async fn exchange(&mut self, reading: bool) -> io::Result<()> {
        if reading {
            self.reader.make_room();
        }
        poll_fn(|cx| {
            self.poll_write(cx)?;
            if !reading {
                return Poll::Pending;
            }
            let buffer = &mut self.reader.buffer;
            let read = ready!(pin!(self.stream.read_buf(buffer)).poll(cx))?;
            self.has_more = buffer.len() == buffer.capacity();
            Poll::Ready(if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) })
        })
        .await
    }

    /// Writes what can be written without waiting.
    pub(super) async fn write_now(&mut self) -> io::Result<()> {
        poll_fn(|cx| Poll::Ready(self.poll_write(cx))).await
    }

    /// Writes everything.
    pub(super) async fn write_all(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.poll_write(cx)?;
            if self.is_unwritten() { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await
    }

    /// Reads until the other side closes, and forgets it.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        loop {
            self.reader.buffer.clear();
            self.reader.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.reader.buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.out.advance(written);
                    self.unflushed = true;
                    self.stuck_since = None;
                }
                Poll::Pending => {
                    self.stuck_since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
            }
        }
        if self.unflushed {
            if Pin::new(&mut self.stream).poll_flush(cx)?.is_pending() {
                self.stuck_since.get_or_insert_with(Instant::now);
                return Ok(());
            }
            self.unflushed = false;
        }
        self.stuck_since = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
