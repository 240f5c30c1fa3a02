//! SUBSCRIBE and UNSUBSCRIBE, filter by filter.

use std::sync::Arc;

use super::super::five;
use super::{
    Guard, Header, MAX_CONTROL_BYTES, Next, Refused, ToClient, packet, shortened, text_at, two_bytes,
};
use crate::policy::{Action, Policy, Refusal};

/// A filter that is refused (MQTT 3.1.1, section 3.9.3).
const FAILURE: u8 = 0x80;
/// MQTT 5: own messages are not wanted; the retained flag is wanted as it was; retained messages are not wanted; and bits
/// that have no meaning (section 3.8.3.1).
const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;
const RETAIN_HANDLING: u8 = 0x30;
const RETAIN_NEVER: u8 = 0x20;
const RESERVED: u8 = 0xc0;

/// What became of the filters of one packet.
#[derive(Debug)]
pub(super) struct JudgedFilters {
    id: u16,
    /// `None` for those that are passed on.
    codes: Vec<Option<u8>>,
    /// Those that are passed on, as the broker is given them.
    kept: Vec<u8>,
    pub(super) refused: Vec<Refusal>,
    /// The text of those that are passed on.
    texts: Vec<String>,
}

impl Guard {
    /// `None` where more is needed.
    pub(super) fn filters(&self, header: Header, input: &[u8]) -> Result<Option<JudgedFilters>, Refused> {
        let subscribes = header.kind == 8;
        if header.flags != 2 || header.length < 2 + if subscribes { 4 } else { 3 } {
            return Err(Refusal::Malformed.into());
        }
        if header.length > MAX_CONTROL_BYTES {
            return Err(Refusal::TooLarge.into());
        }
        let Some(packet) = input.get(header.bytes..header.packet()) else { return Ok(None) };
        let Some(id) = two_bytes(packet, 0).filter(|id| *id != 0) else {
            return Err(Refusal::Malformed.into());
        };
        let mut judged =
            JudgedFilters { id, codes: Vec::new(), kept: Vec::new(), refused: Vec::new(), texts: Vec::new() };
        let mut at = 2;
        if self.five.is_some() {
            let place = if subscribes { five::Place::Subscribe } else { five::Place::Unsubscribe };
            at += five::Properties::read(place, &packet[2..])?.ok_or(Refusal::Malformed)?.bytes;
            if at >= packet.len() {
                return Err(Refusal::Malformed.into());
            }
        }
        while at < packet.len() {
            let filter = text_at(packet, at).ok_or(Refusal::Malformed)?;
            let end = filter.end + usize::from(subscribes);
            let asked = packet.get(at..end).ok_or(Refusal::Malformed)?;
            let text = str::from_utf8(&packet[filter]).map_err(|_| Refusal::BadTopic)?;
            let options =
                if subscribes { self.options(asked.last().copied().unwrap_or_default())? } else { Ok(0) };
            let allowed = options.and_then(|quality| {
                self.policy.may(&self.client, Action::Subscribe, text)?;
                if subscribes {
                    self.devices.note_filter(&self.device, text, self.start)?;
                }
                Ok(quality)
            });
            match allowed {
                Ok(quality) => {
                    judged.kept.extend_from_slice(asked);
                    if let Some(last) = judged.kept.last_mut().filter(|_| subscribes) {
                        *last = quality;
                    }
                    judged.codes.push(None);
                    judged.texts.push(text.to_owned());
                }
                Err(why) => {
                    judged.refused.push(why);
                    judged.codes.push(Some(self.code_of(why)));
                }
            }
            at = end;
        }
        Ok(Some(judged))
    }

    /// The quality of service that is granted at most, by the options of a filter; or why that is refused.
    fn options(&self, options: u8) -> Result<Result<u8, Refusal>, Refusal> {
        let quality = options & 3;
        let is_five = self.five.is_some();
        let allowed_bits = if is_five { !RESERVED } else { 3 };
        if options & !allowed_bits != 0 || quality == 3 || options & RETAIN_HANDLING == RETAIN_HANDLING {
            return Err(Refusal::Malformed);
        }
        if !is_five {
            return Ok(Ok(quality));
        }
        let unknown =
            options & (NO_LOCAL | RETAIN_AS_PUBLISHED) != 0 || options & RETAIN_HANDLING == RETAIN_NEVER;
        Ok(if unknown { Err(Refusal::SubscribeOption) } else { Ok(quality.min(1)) })
    }

    fn code_of(&self, why: Refusal) -> u8 {
        if self.five.is_some() { five::for_filter(why) } else { FAILURE }
    }

    /// Other rules hold from now on.
    ///
    /// # Errors
    /// A filter that was subscribed to is not allowed any more.
    pub(in crate::front) fn take_up(
        &mut self,
        policy: Arc<Policy>,
        client_id: &str,
        is_proved: bool,
    ) -> Result<(), Refused> {
        self.client = policy.client(self.client.name(), client_id, is_proved);
        self.policy = policy;
        self.last = (Vec::new(), false, 0);
        self.subscribed.iter().try_for_each(|filter| self.may(Action::Subscribe, filter))
    }

    /// Whether the client may do that.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::front) fn may(&self, action: Action, topic: &str) -> Result<(), Refused> {
        let refused = |why| Refused { why, topic: shortened(topic) };
        self.policy.may(&self.client, action, topic).map_err(refused)
    }

    /// Remembers what is subscribed to: as many as a device may have.
    pub(super) fn note_subscribed(&mut self, kind: u8, judged: &JudgedFilters) {
        for text in &judged.texts {
            self.subscribed.retain(|known| known != text);
        }
        if kind == 8 {
            self.subscribed.extend(judged.texts.iter().cloned());
        }
    }

    /// Counts the filters of a subscription that are refused.
    pub(super) fn count_filters(&self, kind: u8, judged: &JudgedFilters) {
        if kind == 8 {
            judged.refused.iter().for_each(|why| self.devices.refuse(Some(&self.device), *why));
        }
    }
}

impl JudgedFilters {
    pub(super) fn replacing(self, kind: u8, taken: usize) -> Next {
        let id = self.id.to_be_bytes();
        if self.kept.is_empty() {
            let answer = if kind == 8 {
                let codes: Vec<u8> = self.codes.into_iter().flatten().collect();
                packet(0x90, &[&id, &codes])
            } else {
                packet(0xb0, &[&id])
            };
            return Next::Replace { taken, instead: Vec::new(), answer: ToClient::Packet(answer) };
        }
        let instead = packet(kind << 4 | 2, &[&id, &self.kept]);
        let answer = match kind {
            8 => ToClient::Filters { id: self.id, codes: self.codes },
            // rumqttd has one answer for each filter, and none for those that it does not know.
            _ => ToClient::Packet(packet(0xb0, &[&id])),
        };
        Next::Replace { taken, instead, answer }
    }

    /// The same of MQTT 5. rumqttd's UNSUBACK says nothing of filters that it does not know: the client is answered here.
    pub(super) fn replacing_of_five(self, kind: u8, taken: usize) -> Next {
        let id = self.id.to_be_bytes();
        let instead =
            if self.kept.is_empty() { Vec::new() } else { packet(kind << 4 | 2, &[&id, &self.kept]) };
        let all_refused = instead.is_empty();
        let answer = if kind == 10 || all_refused {
            let codes: Vec<u8> = self.codes.into_iter().map(|code| code.unwrap_or(0)).collect();
            ToClient::Packet(five::suback(if kind == 10 { 0xb0 } else { 0x90 }, self.id, &codes))
        } else if self.refused.is_empty() {
            ToClient::None
        } else {
            ToClient::Filters { id: self.id, codes: self.codes }
        };
        Next::Replace { taken, instead, answer }
    }
}

/// The broker's codes for a subscription of which some filters were not passed on, with those of the refused ones in their
/// places. `None` where the broker's answer is not of what was passed on.
pub(in crate::front) fn merged(refused: &[Option<u8>], codes: &[u8]) -> Option<Vec<u8>> {
    if codes.len() != refused.iter().filter(|code| code.is_none()).count() {
        return None;
    }
    let mut codes = codes.iter().copied();
    refused.iter().map(|refused| refused.or_else(|| codes.next())).collect()
}
