//! What the broker sends to a client: whole packets in their order, and between them what the front itself has to say.

use std::collections::VecDeque;
use std::io;

use super::packets::{Header, MAX_CONTROL_BYTES, ToClient, merged, two_bytes};

/// SUBACK.
const SUBACK: u8 = 9;
/// Answers of the front that wait, and subscriptions whose answer is changed, at most: a client that does not take them is
/// left unread.
pub(super) const MOST_WAITING: usize = 32;

/// What to do with the first bytes of what came from the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Down {
    /// Send them.
    Pass(usize),
    /// Send others in place of this many, which may be none.
    Send(Vec<u8>, usize),
    /// More is needed.
    More,
}

/// Where the broker's packets begin and end.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of the present packet.
    left: usize,
    /// Packets of the front.
    own: VecDeque<Vec<u8>>,
    /// Subscriptions of which some filters were not passed on.
    partly: VecDeque<(u16, Vec<bool>)>,
}

impl Answers {
    /// Something that the client is to receive.
    pub(super) fn add(&mut self, answer: ToClient) {
        match answer {
            ToClient::Packet(packet) => self.own.push_back(packet),
            ToClient::Filters { id, passed } => {
                if self.partly.len() >= MOST_WAITING {
                    self.partly.pop_front();
                }
                self.partly.push_back((id, passed));
            }
            ToClient::None => {}
        }
    }

    /// Looks at what came and is not sent yet.
    ///
    /// # Errors
    /// The broker sent what is no packet.
    pub(super) fn next(&mut self, input: &[u8]) -> io::Result<Down> {
        if self.left == 0
            && let Some(own) = self.own.pop_front()
        {
            return Ok(Down::Send(own, 0));
        }
        let mut passed = 0;
        loop {
            let rest = &input[passed..];
            if self.left > 0 {
                let now = self.left.min(rest.len());
                self.left -= now;
                passed += now;
                if self.left > 0 || !self.own.is_empty() {
                    break;
                }
                continue;
            }
            let Some(header) = Header::read(rest).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?
            else {
                break;
            };
            if header.kind == SUBACK && !self.partly.is_empty() && header.length <= MAX_CONTROL_BYTES {
                let whole = header.bytes + header.length;
                let Some(packet) = rest.get(header.bytes..whole) else { break };
                if let Some(changed) = self.changed(packet) {
                    if passed == 0 {
                        self.partly.retain(|(id, _)| Some(*id) != two_bytes(packet, 0));
                        return Ok(Down::Send(changed, whole));
                    }
                    break;
                }
            }
            self.left = header.length;
            passed += header.bytes;
        }
        Ok(if passed > 0 { Down::Pass(passed) } else { Down::More })
    }

    /// An answer to a subscription of which not all was passed on.
    fn changed(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let id = two_bytes(packet, 0)?;
        let (_, passed) = self.partly.iter().find(|(partly, _)| *partly == id)?;
        merged(id, passed, packet.get(2..)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a client receives, however what came is cut into pieces.
    fn sent(answers: &mut Answers, input: &[u8], piece: usize) -> Vec<u8> {
        let (mut held, mut sent) = (Vec::new(), Vec::new());
        for piece in input.chunks(piece) {
            held.extend_from_slice(piece);
            loop {
                match answers.next(&held).unwrap() {
                    Down::Pass(bytes) => sent.extend(held.drain(..bytes)),
                    Down::Send(packet, taken) => {
                        held.drain(..taken);
                        sent.extend_from_slice(&packet);
                    }
                    Down::More => break,
                }
            }
        }
        assert_eq!(held, b"");
        sent
    }

    #[test]
    fn answers_stand_between_packets_and_refused_filters_are_in_their_place() {
        let publish = [&b"\x30\xc8\x01\x00\x01a"[..], &[7; 197]].concat();
        let input =
            [&publish[..], b"\x90\x04\x00\x05\x01\x00", b"\xd0\x00", b"\x90\x03\x00\x06\x02"].concat();
        for piece in 1..input.len() {
            let mut answers = Answers::default();
            assert_eq!(answers.next(&publish[..3]).unwrap(), Down::Pass(3));
            answers.add(ToClient::Packet(b"\xb0\x02\x00\x09".to_vec()));
            answers.add(ToClient::Filters { id: 5, passed: vec![true, false, true] });
            let expected = [
                &publish[3..],
                b"\xb0\x02\x00\x09",
                b"\x90\x05\x00\x05\x01\x80\x00",
                b"\xd0\x00",
                b"\x90\x03\x00\x06\x02",
            ]
            .concat();
            assert_eq!(sent(&mut answers, &input[3..], piece), expected, "{piece}");
        }
        // Without a packet of the broker, too.
        let mut answers = Answers::default();
        answers.add(ToClient::Packet(b"\xb0\x02\x00\x09".to_vec()));
        assert_eq!(answers.next(b"").unwrap(), Down::Send(b"\xb0\x02\x00\x09".to_vec(), 0));
        assert_eq!(answers.next(b"").unwrap(), Down::More);
        assert!(answers.next(b"\x30\xff\xff\xff\xff\x01").is_err());
    }
}
