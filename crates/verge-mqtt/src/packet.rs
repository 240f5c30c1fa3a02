//! Sizes of MQTT packets.
//!
//! rumqttc compares the outgoing limit with the whole packet and the incoming limit with what follows the
//! fixed header; ours always means the whole packet, as MQTT 5 defines it.

/// Bytes of a packet whose fixed header announces `remaining` bytes (MQTT 3.1.1, section 2.2.3).
const fn whole(remaining: usize) -> usize {
    let length_bytes = match remaining {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    };
    1 + length_bytes + remaining
}

/// The most that may follow the fixed header in a packet of at most `max_packet_bytes`.
pub(crate) fn largest_remaining(max_packet_bytes: usize) -> usize {
    // The header has two to five bytes; the largest remainder that still fits is found from above.
    (2..=5)
        .filter_map(|header| max_packet_bytes.checked_sub(header))
        .find(|&remaining| whole(remaining) <= max_packet_bytes)
        .unwrap_or(0)
}

/// Bytes of a PUBLISH packet; with QoS 1 or 2 it carries a packet identifier.
pub(crate) const fn publish(topic_bytes: usize, payload_bytes: usize, has_identifier: bool) -> usize {
    whole(2 + topic_bytes + if has_identifier { 2 } else { 0 } + payload_bytes)
}

#[cfg(test)]
mod tests {
    use rumqttc::{Publish, QoS};

    use super::*;

    #[test]
    fn remainders_are_the_largest_that_fit() {
        for max in (7..400).chain(16_380..16_400).chain(2_097_140..2_097_170) {
            let remaining = largest_remaining(max);
            assert!(whole(remaining) <= max, "{max}: {remaining} fits");
            assert!(whole(remaining + 1) > max, "{max}: {remaining} is the largest");
        }
        assert_eq!(largest_remaining(0), 0);
    }

    #[test]
    fn sizes_agree_with_what_is_written() {
        for payload in [0, 100, 119, 120, 121, 16_374, 16_375, 16_376, 70_000] {
            let mut packet = Publish::new("a/topic", QoS::AtLeastOnce, vec![0; payload]);
            packet.pkid = 1;
            assert_eq!(publish(7, payload, true), packet.size(), "{payload}");
            packet.qos = QoS::AtMostOnce;
            assert_eq!(publish(7, payload, false), packet.size(), "{payload}");
        }
    }
}
