//! What the broker sends to a client: whole packets in their order, and between them what the front itself has to say.

use std::collections::VecDeque;
use std::io;

use super::five::{self, Five};
use super::packets::{Delivering, Header, MAX_CONTROL_BYTES, ToClient, merged, packet, two_bytes};

/// Kinds of packets.
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;
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
    /// The client must acknowledge something before it is sent more.
    Wait,
}

/// Where the broker's packets begin and end.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of the present packet.
    left: usize,
    /// Packets of the front.
    own: VecDeque<Vec<u8>>,
    /// Subscriptions of which some filters were not passed on.
    partly: VecDeque<(u16, Vec<Option<u8>>)>,
    /// The client speaks MQTT 5.
    five: Option<Five>,
    /// Where messages go to the gateway's own sources: then the guard acknowledges all messages.
    delivering: Option<Delivering>,
    /// The present packet is not sent.
    is_left_out: bool,
}

impl Answers {
    /// For a client of MQTT 5, or of 3.1.1.
    pub(super) fn of(five: Option<Five>) -> Self {
        Self { five, ..Self::default() }
    }

    /// For a client whose messages go to sources of the gateway, too.
    pub(super) fn delivering(self, delivering: Option<Delivering>) -> Self {
        Self { delivering, ..self }
    }

    /// Something that the client is to receive.
    pub(super) fn add(&mut self, answer: ToClient) {
        match answer {
            ToClient::Packet(packet) => self.own.push_back(packet),
            ToClient::Filters { id, codes } => {
                if self.partly.len() >= MOST_WAITING {
                    self.partly.pop_front();
                }
                self.partly.push_back((id, codes));
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
        if let Some(five) = self.five.clone() {
            return self.next_of_five(&five, input);
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
            if self.is_own(header.kind) {
                if passed > 0 {
                    break;
                }
                let Some(answer) = rest.get(header.bytes..header.packet()) else { break };
                self.take_own(header.kind, answer);
                return Ok(Down::Send(Vec::new(), header.packet()));
            }
            self.left = header.length;
            passed += header.bytes;
        }
        Ok(if passed > 0 { Down::Pass(passed) } else { Down::More })
    }

    /// Whether an answer is to the guard and not to the client.
    fn is_own(&self, kind: u8) -> bool {
        match (&self.delivering, kind) {
            (Some(_), PUBACK) => true,
            (Some(delivering), PINGRESP) => delivering.has_pinged(),
            // The guard has answered.
            (_, UNSUBACK) => true,
            _ => false,
        }
    }

    fn take_own(&self, kind: u8, answer: &[u8]) {
        match (&self.delivering, two_bytes(answer, 0)) {
            (Some(delivering), Some(id)) if kind == PUBACK => delivering.acks.acknowledge(id),
            (Some(delivering), None) if kind == PINGRESP => delivering.take_ping(),
            _ => {}
        }
    }

    /// An answer to a subscription of which not all was passed on.
    fn changed(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let id = two_bytes(answer, 0)?;
        let (_, refused) = self.partly.iter().find(|(partly, _)| *partly == id)?;
        Some(packet(0x90, &[&answer[..2], &merged(refused, answer.get(2..)?)?]))
    }

    /// As [`Answers::next`], one packet at a time, in the form of MQTT 5.
    fn next_of_five(&mut self, five: &Five, input: &[u8]) -> io::Result<Down> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        if self.left > 0 {
            let now = self.left.min(input.len());
            self.left -= now;
            return Ok(match (now, self.is_left_out) {
                (0, _) => Down::More,
                (_, true) => Down::Send(Vec::new(), now),
                (_, false) => Down::Pass(now),
            });
        }
        let Some(header) = Header::read(input).map_err(|_| invalid())? else { return Ok(Down::More) };
        if header.kind == PUBLISH {
            let Some((head, taken, id)) = five::publish_down(header, input) else { return Ok(Down::More) };
            if id.is_some() && five.window.is_full() {
                return Ok(Down::Wait);
            }
            self.left = header.packet().checked_sub(taken).ok_or_else(invalid)?;
            // What the client does not take is left out, as if it had been sent (MQTT 5, section 3.1.2.11.4).
            self.is_left_out = head.len() + self.left > five.most_bytes;
            match id {
                Some(id) if self.is_left_out => five.window.pass_over(id),
                Some(id) => five.window.add(id),
                None => {}
            }
            return Ok(Down::Send(if self.is_left_out { Vec::new() } else { head }, taken));
        }
        if header.length > MAX_CONTROL_BYTES {
            return Err(invalid());
        }
        let Some(answer) = input.get(header.bytes..header.packet()) else { return Ok(Down::More) };
        let instead = match header.kind {
            PUBACK if self.delivering.is_some() => {
                self.take_own(PUBACK, answer);
                Vec::new()
            }
            PUBACK => input[..header.packet()].to_vec(),
            SUBACK => {
                let id = two_bytes(answer, 0).ok_or_else(invalid)?;
                let partly = self.partly.iter().position(|(partly, _)| *partly == id);
                let codes = match partly.and_then(|at| self.partly.remove(at)) {
                    Some((_, refused)) => merged(&refused, &answer[2..]).ok_or_else(invalid)?,
                    None => answer[2..].to_vec(),
                };
                five::suback(0x90, id, &codes)
            }
            // The guard has answered these itself.
            UNSUBACK | PINGRESP => Vec::new(),
            _ => return Err(invalid()),
        };
        Ok(Down::Send(instead, header.packet()))
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
                    Down::More | Down::Wait => break,
                }
            }
        }
        assert_eq!(held, b"");
        sent
    }

    #[test]
    fn a_client_of_mqtt_5_gets_its_own_form_and_no_more_than_it_takes() {
        let greeting = five_greeting(2, 20);
        let publish = |id: u8, payload: usize| packet(0x32, &[b"\x00\x01a\x00", &[id], &vec![9; payload]]);
        let input = [
            b"\x90\x04\x00\x05\x01\x00".to_vec(),
            b"\x40\x02\x00\x09".to_vec(),
            publish(1, 1),
            // Too large for the client.
            publish(2, 40),
            publish(3, 1),
            b"\xb0\x02\x00\x06\xd0\x00".to_vec(),
        ]
        .concat();
        for piece in 1..input.len() {
            let five = Five::new(&greeting);
            let window = std::sync::Arc::clone(&five.window);
            let mut answers = Answers::of(Some(five));
            answers.add(ToClient::Filters { id: 5, codes: vec![None, Some(0x87), None] });
            let expected = [
                &b"\x90\x06\x00\x05\x00\x01\x87\x00"[..],
                b"\x40\x02\x00\x09",
                b"\x32\x07\x00\x01a\x00\x01\x00\x09",
                b"\x32\x07\x00\x01a\x00\x03\x00\x09",
            ]
            .concat();
            assert_eq!(sent(&mut answers, &input, piece), expected, "{piece}");
            assert_eq!(answers.next(&publish(4, 1)).unwrap(), Down::Wait, "two are on their way");
            window.acknowledge(1);
            assert_eq!(window.take_due(), b"\x40\x02\x00\x01\x40\x02\x00\x02");
            assert!(matches!(answers.next(&publish(4, 1)).unwrap(), Down::Send(..)));
        }
    }

    fn five_greeting(receive_maximum: u16, most_bytes: usize) -> five::Greeting {
        let (clean_start, expiry, keep_alive, is_nameless) = (true, 0, 60, false);
        five::Greeting { clean_start, expiry, receive_maximum, most_bytes, keep_alive, is_nameless }
    }

    #[test]
    fn answers_stand_between_packets_and_refused_filters_are_in_their_place() {
        let publish = [&b"\x30\xc8\x01\x00\x01a"[..], &[7; 197]].concat();
        let input =
            [&publish[..], b"\x90\x04\x00\x05\x01\x00", b"\xb0\x02\x00\x09\xd0\x00", b"\x90\x03\x00\x06\x02"]
                .concat();
        for piece in 1..input.len() {
            let mut answers = Answers::default();
            assert_eq!(answers.next(&publish[..3]).unwrap(), Down::Pass(3));
            answers.add(ToClient::Packet(b"\xb0\x02\x00\x09".to_vec()));
            answers.add(ToClient::Filters { id: 5, codes: vec![None, Some(0x80), None] });
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

    #[tokio::test]
    async fn what_the_broker_acknowledges_waits_for_its_turn_behind_the_gateways_own() {
        let clock = || verge_domain::time::Moment::from_wall(verge_domain::time::UtcMillis(1));
        let inputs = crate::SourceInputs::new(true, clock);
        inputs.open();
        let delivering = Delivering::new(inputs.opened().await);
        for greeting in [None, Some(five_greeting(2, 20))] {
            let five = greeting.as_ref().map(Five::new);
            let is_five = five.is_some();
            let mut answers = Answers::of(five).delivering(Some(delivering.clone()));
            delivering.acks.add(1);
            delivering.acks.add(2);
            assert_eq!(sent(&mut answers, b"\x40\x02\x00\x02", 3), b"");
            assert_eq!(delivering.acks.take_due(), b"", "the gateway's own is first");
            delivering.acks.acknowledge(1);
            assert_eq!(delivering.acks.take_due(), b"\x40\x02\x00\x01\x40\x02\x00\x02");
            // The guard's own ping is answered to nobody, the client's is.
            delivering.note_ping();
            let pings = sent(&mut answers, b"\x30\x03\x00\x01a\xd0\x00\xd0\x00", 100);
            let message = if is_five { &b"\x30\x04\x00\x01a\x00"[..] } else { b"\x30\x03\x00\x01a\xd0\x00" };
            assert_eq!(pings, message);
        }
    }
}
