//! The packets of a client of MQTT 5, as the broker is given them in 3.1.1.

use std::sync::atomic::Ordering;

use super::super::five::{self, Acknowledgement, Farewell, Five, Head};
use super::{Guard, Header, Next, Refused, ToClient};
use crate::policy::Refusal;

const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: [u8; 2] = [0xd0, 0];
const DISCONNECT: [u8; 2] = [0xe0, 0];

impl Guard {
    /// As [`Guard::next`], one packet at a time.
    pub(super) fn next_of_five(&mut self, five: &Five, input: &[u8]) -> Result<Next, Refused> {
        if self.left > 0 {
            let now = self.left.min(input.len());
            self.left -= now;
            self.note_payload(&input[..now]);
            return Ok(match (now, self.is_left_out) {
                (0, _) => Next::More,
                (_, true) => Next::left_out(now),
                (_, false) => Next::Pass(now),
            });
        }
        let Some(header) = Header::read(input)? else { return Ok(Next::More) };
        let next = match header.kind {
            3 => self.publish_of_five(header, input)?,
            4 => Acknowledgement::read(header, input)?.map(|Acknowledgement { id }| {
                five.window.acknowledge(id);
                let instead = five.window.take_due();
                Next::Replace { taken: header.packet(), instead, answer: ToClient::None }
            }),
            8 | 10 => self.filters(header, input)?.map(|judged| {
                self.count_filters(header.kind, &judged);
                self.note_subscribed(header.kind, &judged);
                judged.replacing_of_five(header.kind, header.packet())
            }),
            // Answered here, as the broker's answer would wait behind messages that the client does not take yet.
            12 => match (header.flags, header.length) {
                (0, 0) => {
                    let answer = ToClient::Packet(PINGRESP.to_vec());
                    Some(Next::Replace { taken: PINGREQ.len(), instead: PINGREQ.to_vec(), answer })
                }
                _ => return Err(Refusal::Malformed.into()),
            },
            14 => match Farewell::read(header, input)? {
                None => None,
                Some(farewell) => {
                    if let Some(expiry) = farewell.session_expiry {
                        // A session that was to end with its connection cannot be kept (section 3.14.2.2.2).
                        if expiry > 0 && five.expiry.load(Ordering::Relaxed) == 0 {
                            return Err(Refusal::PacketOrder.into());
                        }
                        five.expiry.store(expiry, Ordering::Relaxed);
                    }
                    if farewell.with_will {
                        Some(Next::LeaveWith(Vec::new()))
                    } else {
                        self.leaves.set();
                        Some(Next::LeaveWith(DISCONNECT.to_vec()))
                    }
                }
            },
            // Acknowledgements of QoS 2, which was said to be unknown.
            5..=7 => return Err(Refusal::QosNotSupported.into()),
            _ => return Err(Refusal::PacketOrder.into()),
        };
        self.packets += u64::from(next.is_some());
        Ok(next.unwrap_or(Next::More))
    }

    fn publish_of_five(&mut self, header: Header, input: &[u8]) -> Result<Option<Next>, Refused> {
        if header.length > self.policy.most_bytes_of_all() {
            return Err(Refusal::TooLarge.into());
        }
        let Some(head) = Head::read(header, input, self.policy.limits.topic_bytes)? else { return Ok(None) };
        let judged = self.judge(&input[head.topic.clone()], header.flags & 1 != 0, header.length);
        self.left = header.packet() - head.bytes;
        let retainable =
            judged.is_ok().then(|| self.retainable(header, &input[head.topic.clone()], self.left));
        let asked = header;
        let (header, mut before) = retainable.flatten().unwrap_or((header, Vec::new()));
        let (instead, answer) = match (judged, head.id) {
            (Ok(()), id)
                if self.taken()
                    && before.is_empty()
                    && !self.is_for_broker(asked, &input[head.topic.clone()]) =>
            {
                self.begin_collecting(header, &input[head.topic.clone()], id);
                (Vec::new(), ToClient::None)
            }
            (Ok(()), id) if self.taken() => {
                (self.collect(header, &input[head.topic.clone()], id), ToClient::None)
            }
            (Ok(()), id) => {
                self.await_broker(id);
                if self.keeps(header) {
                    self.collect(header, &input[head.topic.clone()], None);
                }
                (head.without_properties(header, input), ToClient::None)
            }
            (Err(refused), None) => return Err(refused),
            (Err(refused), Some(id)) => {
                let Some(code) = five::for_message(refused.why) else { return Err(refused) };
                self.devices.refuse(Some(&self.device), refused.why);
                (Vec::new(), self.refusal_of(id, code))
            }
        };
        self.is_left_out = instead.is_empty();
        before.extend(instead);
        let instead = before;
        Ok(Some(Next::Replace { taken: head.bytes, instead, answer }))
    }
}
