//! Packets out of a stream of bytes: each ends with a form feed.

/// A longer packet is skipped as it streams by: no message of the protocol comes near.
const MAX_PACKET: usize = 64 * 1024;
const END: u8 = 0x0c;

/// Cuts a stream into packets.
#[derive(Debug, Default)]
pub(super) struct PacketReader {
    begun: Vec<u8>,
    /// What streams by is too long.
    skipping: bool,
}

/// A packet, or what stands in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Whole(Vec<u8>),
    TooLong,
}

impl PacketReader {
    /// Takes up bytes. Several ends in a row are one, as the protocol asks for.
    pub(super) fn read(&mut self, bytes: &[u8], packets: &mut Vec<Packet>) {
        for part in bytes.split_inclusive(|byte| *byte == END) {
            let (content, ends) = match part.split_last() {
                Some((&END, content)) => (content, true),
                _ => (part, false),
            };
            if !self.skipping && self.begun.len() + content.len() > MAX_PACKET {
                (self.begun, self.skipping) = (Vec::new(), true);
            }
            if !self.skipping {
                self.begun.extend_from_slice(content);
            }
            if !ends {
                continue;
            }
            if std::mem::take(&mut self.skipping) {
                packets.push(Packet::TooLong);
            } else if !self.begun.iter().all(u8::is_ascii_whitespace) {
                packets.push(Packet::Whole(std::mem::take(&mut self.begun)));
            }
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(parts: &[&[u8]]) -> Vec<Packet> {
        let (mut reader, mut found) = (PacketReader::default(), Vec::new());
        parts.iter().for_each(|part| reader.read(part, &mut found));
        found
    }

    fn whole(text: &str) -> Packet {
        Packet::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn packets_are_cut_wherever_the_stream_breaks() {
        let expected = [whole("{\"a\":1}"), whole("{}")];
        assert_eq!(packets(&[b"{\"a\":1}\x0c{}\x0c"]), expected);
        assert_eq!(packets(&[b"{\"a", b"\":1", b"}", b"\x0c", b"{}\x0c"]), expected);
        assert_eq!(packets(&[b"\x0c\x0c\n{}\x0c\x0c \x0c{"]), [whole("\n{}")], "and ends in a row are borne");
    }

    #[test]
    fn a_packet_without_an_end_is_skipped_and_bounded() {
        let noise = vec![b'x'; 300_000];
        let mut reader = PacketReader::default();
        let mut found = Vec::new();
        for _ in 0..20 {
            reader.read(&noise, &mut found);
            assert!(reader.begun.capacity() <= 2 * MAX_PACKET);
        }
        reader.read(b"\x0c{}\x0c", &mut found);
        assert_eq!(found, [Packet::TooLong, whole("{}")]);
        let longest = [vec![b' '; MAX_PACKET - 2], b"{}\x0c".to_vec()].concat();
        assert_eq!(packets(&[&longest]).len(), 1);
        let longer = [vec![b' '; MAX_PACKET - 1], b"{}\x0c".to_vec()].concat();
        assert_eq!(packets(&[&longer]), [Packet::TooLong]);
    }
}
