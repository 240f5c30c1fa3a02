//! Packets of MQTT 5 behind CONNECT: their heads, without what they carry.

use std::ops::Range;

use super::super::packets::{Header, MAX_CONTROL_BYTES, packet, text_at, two_bytes, with_length};
use crate::policy::Refusal;

/// Longest list of properties. The buffer of a connection has room for it with the longest topic.
const MAX_PROPERTY_BYTES: usize = 4 * 1024;

/// Behind the head of a packet (section 2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::front) struct Properties {
    /// All of them, with their length in front.
    pub(in crate::front) bytes: usize,
    pub(in crate::front) session_expiry: Option<u32>,
}

/// Properties by what they may stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::front) enum Place {
    Connect,
    Will,
    Publish,
    Acknowledgement,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

impl Properties {
    /// Reads those at the beginning of the input; `None` where more is needed.
    ///
    /// # Errors
    /// They are not as the standard says, or not supported.
    pub(in crate::front) fn read(place: Place, input: &[u8]) -> Result<Option<Self>, Refusal> {
        let Some((length, length_bytes)) = number(input)? else { return Ok(None) };
        // CONNECT is there as a whole.
        if length > MAX_PROPERTY_BYTES && !matches!(place, Place::Connect | Place::Will) {
            return Err(Refusal::TooLarge);
        }
        let Some(mut rest) = input.get(length_bytes..length_bytes + length) else { return Ok(None) };
        let mut found = Self { bytes: length_bytes + length, session_expiry: None };
        // Each at most once, but user properties.
        let mut seen = 0_u64;
        while let Some((&property, behind)) = rest.split_first() {
            let bytes = match (property, place) {
                // Payload format, message expiry, content type, response topic, correlation data.
                (0x01, Place::Publish | Place::Will)
                // Whether problems and the response topic are to be said.
                | (0x17 | 0x19, Place::Connect) => 1,
                (0x02, Place::Publish | Place::Will)
                // Will delay; session expiry, largest packet.
                | (0x18, Place::Will)
                | (0x11 | 0x27, Place::Connect) => 4,
                // Receive maximum, topic aliases.
                (0x21 | 0x22, Place::Connect) => 2,
                (0x03 | 0x08 | 0x09, Place::Publish | Place::Will)
                // Authentication: method and data.
                | (0x15 | 0x16, Place::Connect)
                // A reason in words.
                | (0x1f, Place::Acknowledgement | Place::Disconnect) => text(behind, 0)?,
                (0x11, Place::Disconnect) => {
                    let seconds = behind.first_chunk().ok_or(Refusal::Malformed)?;
                    found.session_expiry = Some(u32::from_be_bytes(*seconds));
                    4
                }
                (0x26, _) => text(behind, text(behind, 0)?)?,
                // None was announced.
                (0x23, Place::Publish) => return Err(Refusal::TopicAlias),
                (0x0b, Place::Subscribe) => return Err(Refusal::SubscriptionIdentifier),
                _ => return Err(Refusal::Malformed),
            };
            let once = 1 << property;
            if property != 0x26 && seen & once != 0 {
                return Err(Refusal::Malformed);
            }
            seen |= once;
            rest = behind.get(bytes..).ok_or(Refusal::Malformed)?;
        }
        Ok(Some(found))
    }
}

/// Where a text or binary data at this place ends.
fn text(input: &[u8], at: usize) -> Result<usize, Refusal> {
    text_at(input, at).map(|text| text.end).ok_or(Refusal::Malformed)
}

/// A variable byte integer (section 1.5.5) and its own bytes.
fn number(input: &[u8]) -> Result<Option<(usize, usize)>, Refusal> {
    let mut number = 0;
    for (place, &byte) in input.iter().take(4).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return if place == 0 || byte != 0 {
                Ok(Some((number, place + 1)))
            } else {
                Err(Refusal::Malformed)
            };
        }
    }
    if input.len() >= 4 { Err(Refusal::Malformed) } else { Ok(None) }
}

/// The head of a PUBLISH of a client: all before its payload.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::front) struct Head {
    /// Where the topic stands in the packet.
    pub(in crate::front) topic: Range<usize>,
    /// The packet identifier of `QoS` 1.
    pub(in crate::front) id: Option<u16>,
    /// All of the head.
    pub(in crate::front) bytes: usize,
    properties: usize,
}

impl Head {
    /// Reads it; `None` where more is needed.
    ///
    /// # Errors
    /// It is not as the standard says, or asks for what is not supported.
    pub(in crate::front) fn read(
        header: Header,
        input: &[u8],
        most_topic_bytes: usize,
    ) -> Result<Option<Self>, Refusal> {
        let (quality, again) = ((header.flags >> 1) & 3, header.flags & 8 != 0);
        match quality {
            0 if again => return Err(Refusal::Malformed),
            0 | 1 => {}
            2 => return Err(Refusal::QosNotSupported),
            _ => return Err(Refusal::Malformed),
        }
        let Some(topic_bytes) = two_bytes(input, header.bytes) else {
            return if header.length < 3 { Err(Refusal::Malformed) } else { Ok(None) };
        };
        if usize::from(topic_bytes) > most_topic_bytes {
            return Err(Refusal::BadTopic);
        }
        let topic = header.bytes + 2..header.bytes + 2 + usize::from(topic_bytes);
        let id_end = topic.end + if quality > 0 { 2 } else { 0 };
        // A byte of properties there is at least.
        if id_end >= header.packet() {
            return Err(Refusal::Malformed);
        }
        let Some(rest) = input.get(id_end..) else { return Ok(None) };
        let id = if quality > 0 { two_bytes(input, topic.end) } else { None };
        if id == Some(0) {
            return Err(Refusal::Malformed);
        }
        let within = header.packet() - id_end;
        let Some(properties) = Properties::read(Place::Publish, &rest[..rest.len().min(within)])? else {
            return if rest.len() >= within { Err(Refusal::Malformed) } else { Ok(None) };
        };
        Ok(Some(Self { topic, id, bytes: id_end + properties.bytes, properties: properties.bytes }))
    }

    /// The head that the broker is given.
    pub(in crate::front) fn without_properties(&self, header: Header, input: &[u8]) -> Vec<u8> {
        let head = &input[header.bytes..self.bytes - self.properties];
        let mut without = with_length(0x30 | header.flags, header.length - self.properties);
        without.extend_from_slice(head);
        without
    }
}

/// What a client says of a message that it has received.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::front) struct Acknowledgement {
    pub(in crate::front) id: u16,
}

impl Acknowledgement {
    /// Reads PUBACK; `None` where more is needed.
    ///
    /// # Errors
    /// It is not as the standard says.
    pub(in crate::front) fn read(header: Header, input: &[u8]) -> Result<Option<Self>, Refusal> {
        if header.flags != 0 || !(2..=MAX_CONTROL_BYTES).contains(&header.length) {
            return Err(Refusal::Malformed);
        }
        let Some(packet) = input.get(header.bytes..header.packet()) else { return Ok(None) };
        let id = two_bytes(packet, 0).filter(|id| *id != 0).ok_or(Refusal::Malformed)?;
        whole_properties(Place::Acknowledgement, packet.get(3..).unwrap_or_default())?;
        Ok(Some(Self { id }))
    }
}

/// Properties up to the end of a packet, which may be left out.
fn whole_properties(place: Place, rest: &[u8]) -> Result<Properties, Refusal> {
    if rest.is_empty() {
        return Ok(Properties::default());
    }
    Properties::read(place, rest)?.filter(|found| found.bytes == rest.len()).ok_or(Refusal::Malformed)
}

/// How a client leaves.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::front) struct Farewell {
    /// Its last will is to be published.
    pub(in crate::front) with_will: bool,
    pub(in crate::front) session_expiry: Option<u32>,
}

impl Farewell {
    /// Reads DISCONNECT; `None` where more is needed.
    ///
    /// # Errors
    /// It is not as the standard says.
    pub(in crate::front) fn read(header: Header, input: &[u8]) -> Result<Option<Self>, Refusal> {
        if header.flags != 0 || header.length > MAX_CONTROL_BYTES {
            return Err(Refusal::Malformed);
        }
        let Some(packet) = input.get(header.bytes..header.packet()) else { return Ok(None) };
        let properties = whole_properties(Place::Disconnect, packet.get(1..).unwrap_or_default())?;
        let with_will = packet.first().is_some_and(|reason| *reason != 0);
        Ok(Some(Self { with_will, session_expiry: properties.session_expiry }))
    }
}

/// The head of a PUBLISH of the broker, as a client of MQTT 5 is to receive it: before the payload comes an empty list of
/// properties. `None` where the head is not complete.
pub(in crate::front) fn publish_down(header: Header, input: &[u8]) -> Option<(Vec<u8>, usize, Option<u16>)> {
    let topic = text_at(input, header.bytes)?;
    let quality = (header.flags >> 1) & 3;
    let (end, id) =
        if quality > 0 { (topic.end + 2, Some(two_bytes(input, topic.end)?)) } else { (topic.end, None) };
    let mut head = with_length(0x30 | header.flags, header.length + 1);
    head.extend_from_slice(&input[header.bytes..end]);
    head.push(0);
    Some((head, end, id))
}

/// SUBACK and UNSUBACK without properties.
pub(in crate::front) fn suback(first: u8, id: u16, codes: &[u8]) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes(), &[0], codes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(input: &[u8]) -> Result<Option<Head>, Refusal> {
        Head::read(Header::read(input).unwrap().unwrap(), input, 1024)
    }

    #[test]
    fn a_message_is_given_on_without_its_properties() {
        // QoS 1, topic "a/x", identifier 7, message expiry and a user property, payload "9".
        let properties = b"\x02\x00\x00\x00\x3c\x26\x00\x01a\x00\x01b";
        let input = packet(0x32, &[b"\x00\x03a/x\x00\x07", &[properties.len() as u8], properties, b"9"]);
        let header = Header::read(&input).unwrap().unwrap();
        let found = head(&input).unwrap().unwrap();
        assert_eq!(
            (&input[found.topic.clone()], found.id, found.bytes),
            (&b"a/x"[..], Some(7), input.len() - 1)
        );
        assert_eq!(found.without_properties(header, &input), b"\x32\x08\x00\x03a/x\x00\x07");
        for cut in 2..input.len() - 1 {
            assert_eq!(head(&input[..cut]), Ok(None), "{cut}");
        }
        let check = |body: &[u8], first: u8, why: Refusal| {
            assert_eq!(head(&packet(first, &[body])), Err(why), "{body:?}")
        };
        check(b"\x00\x03a/x\x03\x23\x00\x01", 0x30, Refusal::TopicAlias);
        check(b"\x00\x00\x03\x23\x00\x01", 0x30, Refusal::TopicAlias);
        check(b"\x00\x03a/x\x02\x0b\x01", 0x30, Refusal::Malformed);
        check(b"\x00\x03a/x\x04\x01\x01\x01\x01", 0x30, Refusal::Malformed);
        check(b"\x00\x03a/x\x05\x01\x01", 0x30, Refusal::Malformed);
        check(b"\x00\x03a/x\x03\x08\x00\x05", 0x30, Refusal::Malformed);
        check(b"\x00\x03a/x", 0x30, Refusal::Malformed);
        check(b"\x00\x03a/x\xff\xff\xff\xff\x01", 0x30, Refusal::Malformed);
        check(b"\x00\x03a/x\x00\x07\x00", 0x34, Refusal::QosNotSupported);
        check(b"\x00\x03a/x\x00\x00\x00", 0x32, Refusal::Malformed);
        check(b"\x00\x03a/x\x00", 0x38, Refusal::Malformed);
        check(b"\x00\x03a/x\x00", 0x36, Refusal::Malformed);
    }

    #[test]
    fn acknowledgements_and_farewells_are_read_with_and_without_properties() {
        let acknowledged = |input: &[u8]| Acknowledgement::read(Header::read(input).unwrap().unwrap(), input);
        for good in
            [&b"\x40\x02\x00\x07"[..], b"\x40\x03\x00\x07\x10", b"\x40\x09\x00\x07\x80\x05\x1f\x00\x02no"]
        {
            assert_eq!(acknowledged(good), Ok(Some(Acknowledgement { id: 7 })), "{good:?}");
        }
        assert_eq!(acknowledged(b"\x40\x02\x00"), Ok(None));
        for bad in
            [&b"\x40\x01\x00"[..], b"\x40\x02\x00\x00", b"\x42\x02\x00\x07", b"\x40\x05\x00\x07\x00\x05\x1f"]
        {
            assert_eq!(acknowledged(bad), Err(Refusal::Malformed), "{bad:?}");
        }
        let left =
            |input: &[u8]| Farewell::read(Header::read(input).unwrap().unwrap(), input).unwrap().unwrap();
        assert_eq!(left(b"\xe0\x00"), Farewell { with_will: false, session_expiry: None });
        assert_eq!(left(b"\xe0\x01\x04"), Farewell { with_will: true, session_expiry: None });
        let ending = Farewell { with_will: false, session_expiry: Some(9) };
        assert_eq!(left(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x09"), ending);
    }

    #[test]
    fn what_the_broker_sends_gets_an_empty_list_of_properties() {
        let down = |input: &[u8]| publish_down(Header::read(input).unwrap().unwrap(), input);
        assert_eq!(down(b"\x30\x04\x00\x01a9"), Some((b"\x30\x05\x00\x01a\x00".to_vec(), 5, None)));
        assert_eq!(
            down(b"\x33\x06\x00\x01a\x00\x079"),
            Some((b"\x33\x07\x00\x01a\x00\x07\x00".to_vec(), 7, Some(7)))
        );
        assert_eq!(down(b"\x33\x06\x00\x01a\x00"), None);
        // The length of the packet may need one byte more.
        let (head, taken, _) = down(&packet(0x30, &[b"\x00\x01a", &[9; 124]])).unwrap();
        assert_eq!((head, taken), (b"\x30\x80\x01\x00\x01a\x00".to_vec(), 5));
        assert_eq!(suback(0x90, 5, &[1, 0x87]), b"\x90\x05\x00\x05\x00\x01\x87");
    }
}
