//! The shape of a whole CONNECT. rumqttc's readers let pass what the standards forbid: flags without meaning, properties that
//! come twice, bytes behind the end.

use super::super::five::{Place, Properties};
use super::super::packets::{Header, text_at};
use super::PROTOCOL_LEVEL_OF_FIVE;

/// Connect flags (MQTT 3.1.1, sections 3.1.2.3 to 3.1.2.9).
const RESERVED: u8 = 0x01;
const WILL: u8 = 0x04;
const WILL_QUALITY: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER: u8 = 0x80;
/// Bytes behind the protocol's name: its level, the flags, the keep-alive.
const FIXED_BYTES: usize = 4;

/// Whether a packet of MQTT 3.1.1 or 5 has the shape of a CONNECT, from its first byte to its last.
pub(super) fn is_of_a_connect(packet: &[u8]) -> bool {
    end(packet) == Some(packet.len())
}

/// Where it ends, by what it says of itself.
fn end(packet: &[u8]) -> Option<usize> {
    let header = Header::read(packet).ok().flatten()?;
    let fixed = text_at(packet, header.bytes)?.end;
    let (level, flags) = (*packet.get(fixed)?, *packet.get(fixed + 1)?);
    let is_five = level == PROTOCOL_LEVEL_OF_FIVE;
    let has = |flag: u8| flags & flag != 0;
    let is_meaningless = has(RESERVED)
        || flags & WILL_QUALITY == WILL_QUALITY
        || (!has(WILL) && has(WILL_QUALITY | WILL_RETAIN))
        // With MQTT 5 a password may stand alone.
        || (has(PASSWORD) && !has(USER) && !is_five);
    if is_meaningless {
        return None;
    }
    let behind_properties = |place, at: usize| {
        if !is_five {
            return Some(at);
        }
        Some(at + Properties::read(place, packet.get(at..)?).ok().flatten()?.bytes)
    };
    let client_id = behind_properties(Place::Connect, fixed + FIXED_BYTES)?;
    let mut at = text_at(packet, client_id)?.end;
    if has(WILL) {
        let topic = behind_properties(Place::Will, at)?;
        let message = text_at(packet, topic)?.end;
        at = text_at(packet, message)?.end;
    }
    for login in [USER, PASSWORD] {
        if has(login) {
            at = text_at(packet, at)?.end;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::super::super::packets::packet;
    use super::*;

    fn connect(level: u8, flags: u8, rest: &[&[u8]]) -> Vec<u8> {
        packet(0x10, &[b"\0\x04MQTT", &[level, flags, 0, 60], &rest.concat()])
    }

    #[test]
    fn what_the_standards_forbid_is_seen() {
        let (id, topic, message, word) = (&b"\0\x01a"[..], b"\0\x02a/", b"\0\0", b"\0\x01u");
        let full = |level, flags, properties: &[u8], will: &[u8]| {
            connect(level, flags, &[properties, id, will, topic, message, word, word])
        };
        for level in [4, PROTOCOL_LEVEL_OF_FIVE] {
            let none = if level == 4 { &b""[..] } else { &b"\0"[..] };
            let good = full(level, 0xee, none, none);
            assert!(is_of_a_connect(&good));
            for cut in 0..good.len() {
                assert!(!is_of_a_connect(&good[..cut]), "{level} {cut}");
            }
            let longer = packet(0x10, &[&good[2..], b"x"]);
            assert!(!is_of_a_connect(&longer));
            assert!(is_of_a_connect(&connect(level, 0x02, &[none, id])));
            // The reserved flag, will QoS 3, will QoS and retained without a will.
            assert!(!is_of_a_connect(&full(level, 0xef, none, none)));
            assert!(!is_of_a_connect(&full(level, 0xfe, none, none)));
            for flags in [0x0a, 0x22] {
                assert!(!is_of_a_connect(&connect(level, flags, &[none, id])), "{flags:x}");
            }
            assert_eq!(is_of_a_connect(&connect(level, 0x42, &[none, id, word])), level == 5);
        }
        let limits = b"\x11\0\0\0\x09\x21\0\x05\x27\0\0\x40\0\x22\0\x05\x19\x01\x17\x01";
        let method = b"\x15\0\x01x\x16\0\x01y\x26\0\x01k\0\x01v\x26\0\x01k\0\x01v";
        let of_connect = [&[(limits.len() + method.len()) as u8][..], limits, method].concat();
        let of_will =
            b"\x1d\x18\0\0\0\x01\x01\x01\x02\0\0\0\x09\x03\0\x01t\x08\0\x01r\x09\0\x01c\x26\0\0\0\0";
        assert!(is_of_a_connect(&full(5, 0xee, &of_connect, of_will)));
        // Those of the other place, one that is unknown, one that comes twice, one that is cut off.
        for wrong in [&b"\x05\x18\0\0\0\x01"[..], b"\x02\x7e\0", b"\x06\x21\0\x05\x21\0\x05", b"\x02\x21\0"] {
            assert!(!is_of_a_connect(&connect(5, 0x02, &[wrong, id])), "{wrong:?}");
        }
    }
}
