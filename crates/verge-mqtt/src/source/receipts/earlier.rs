//! Messages of earlier connections of a session, which the broker repeats.

use std::collections::{HashMap, VecDeque};

use super::ReceivedMessage;

/// How a broker repeats what is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repetition {
    /// With DUP, under the same packet identifiers, before it sends anything new (MQTT 3.1.1, sections 3.3.1.1 and 4.4).
    Marked,
    /// As the embedded broker does (rumqttd 0.20): without DUP and under new identifiers. Messages of one topic come in their
    /// order, before anything new on it.
    Unmarked,
}

/// A message as it is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Of identifier and content; 0 where its content is not known: it was passed over.
    pub(super) fingerprint: u64,
    /// Of its topic, where a broker repeats by topics.
    pub(super) topic: u64,
    /// The index under which it was first handed on.
    pub(super) first_index: u64,
}

impl Known {
    fn says_the_same(&self, fingerprint: u64) -> bool {
        // The lower half is the content alone.
        (self.fingerprint ^ fingerprint) & u64::from(u32::MAX) == 0
    }
}

/// A message of an earlier connection of the session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earlier {
    pub(super) known: Known,
    pub(super) settled: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) enum EarlierMessages {
    /// By packet identifier.
    Marked(HashMap<u16, Earlier>),
    /// By topic.
    Unmarked(HashMap<u64, TopicMessages>),
}

/// Messages of one topic, in order.
#[derive(Debug, Default)]
pub(super) struct TopicMessages {
    /// Those that are certain to come: they are not acknowledged.
    waiting: VecDeque<Earlier>,
    /// Those before them, whose acknowledgement the broker has perhaps not received. They are not recognised: they may as
    /// well be new, and to judge a message twice loses nothing.
    unsure: VecDeque<Known>,
}

impl EarlierMessages {
    pub(super) fn new(repetition: Repetition) -> Self {
        match repetition {
            Repetition::Marked => Self::Marked(HashMap::new()),
            Repetition::Unmarked => Self::Unmarked(HashMap::new()),
        }
    }

    pub(super) const fn is_unmarked(&self) -> bool {
        matches!(self, Self::Unmarked(_))
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Marked(messages) => messages.is_empty(),
            Self::Unmarked(topics) => topics.is_empty(),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Marked(messages) => messages.clear(),
            Self::Unmarked(topics) => topics.clear(),
        }
    }

    /// Indices under which they were first handed on.
    pub(super) fn indices(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        let index = |earlier: &Earlier| earlier.known.first_index;
        match self {
            Self::Marked(messages) => Box::new(messages.values().map(index)),
            Self::Unmarked(topics) => Box::new(topics.values().flat_map(|topic| &topic.waiting).map(index)),
        }
    }

    /// A connection has ended. `unsure` are acknowledged, `open` are not, in their order, with packet identifiers.
    pub(super) fn carry_over(
        &mut self,
        unsure: impl Iterator<Item = (u16, Known)>,
        open: impl Iterator<Item = (u16, Earlier)>,
    ) {
        let unsure = unsure.map(|(packet_id, known)| (packet_id, true, Earlier { known, settled: true }));
        let all = unsure.chain(open.map(|(packet_id, earlier)| (packet_id, false, earlier)));
        match self {
            Self::Marked(messages) => {
                messages.extend(all.map(|(packet_id, _, earlier)| (packet_id, earlier)));
            }
            Self::Unmarked(topics) => {
                let mut carried: HashMap<u64, TopicMessages> = HashMap::new();
                for (_, unsure, earlier) in all {
                    let topic = carried.entry(earlier.known.topic).or_default();
                    if unsure {
                        topic.unsure.push_back(earlier.known);
                    } else {
                        topic.waiting.push_back(earlier);
                    }
                }
                for (key, mut carried) in carried {
                    // What had not been repeated yet comes behind what had.
                    let topic = topics.entry(key).or_default();
                    carried.waiting.append(&mut topic.waiting);
                    carried.unsure.append(&mut topic.unsure);
                    *topic = carried;
                }
            }
        }
    }

    /// What a message is, if the broker repeats it. It comes no second time, and its identifier stands for what comes now.
    pub(super) fn take(&mut self, arrival: &ReceivedMessage) -> Option<Earlier> {
        let ReceivedMessage { packet_id, fingerprint, topic: key, .. } = *arrival;
        match self {
            Self::Marked(messages) => {
                messages.remove(&packet_id).filter(|earlier| earlier.known.fingerprint == fingerprint)
            }
            Self::Unmarked(topics) => {
                let topic = topics.get_mut(&key)?;
                let (found, is_over) = topic.take(fingerprint);
                if is_over {
                    topics.remove(&key);
                }
                found
            }
        }
    }

    /// The one that was first handed on under this index. `key`: of its packet identifier or topic.
    pub(super) fn get_mut(&mut self, key: u64, first_index: u64) -> Option<&mut Earlier> {
        let is_it = |earlier: &&mut Earlier| earlier.known.first_index == first_index;
        match self {
            Self::Marked(messages) => {
                // Its identifier may stand for another message by now.
                u16::try_from(key).ok().and_then(|packet_id| messages.get_mut(&packet_id)).filter(is_it)
            }
            Self::Unmarked(topics) => topics.get_mut(&key)?.waiting.iter_mut().find(is_it),
        }
    }

    /// What [`EarlierMessages::get_mut`] finds a message by.
    pub(super) fn key(&self, packet_id: u16, known: &Known) -> u64 {
        match self {
            Self::Marked(_) => u64::from(packet_id),
            Self::Unmarked(_) => known.topic,
        }
    }
}

impl TopicMessages {
    /// The message, if it is certain that it comes again; and whether nothing of this topic is repeated any more.
    fn take(&mut self, fingerprint: u64) -> (Option<Earlier>, bool) {
        if self.waiting.front().is_some_and(|first| first.known.says_the_same(fingerprint)) {
            self.unsure.clear();
            let found = self.waiting.pop_front();
            return (found, self.waiting.is_empty());
        }
        let unsure = self.unsure.iter().position(|known| known.says_the_same(fingerprint));
        self.unsure.drain(..unsure.map_or(0, |at| at + 1));
        (None, unsure.is_none() || self.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(content: u32, first_index: u64) -> Known {
        Known { fingerprint: u64::from(content), topic: 7, first_index }
    }

    /// What is recognised of contents that come after a connection has ended, each by its first index.
    #[track_caller]
    fn check(unsure: &[u32], open: &[u32], again: &[u32], expected: &[Option<u64>]) {
        let mut earlier = EarlierMessages::new(Repetition::Unmarked);
        let unsure: Vec<_> = (0..).zip(unsure).map(|(index, &content)| (1, known(content, index))).collect();
        let open: Vec<_> = (100..)
            .zip(open)
            .map(|(index, &content)| (1, Earlier { known: known(content, index), settled: false }))
            .collect();
        earlier.carry_over(unsure.into_iter(), open.into_iter());
        let found: Vec<_> = again
            .iter()
            .map(|&content| {
                let arrival = ReceivedMessage {
                    packet_id: 1,
                    exactly_once: false,
                    dup: false,
                    retained: false,
                    fingerprint: 9 << 32 | u64::from(content),
                    topic: 7,
                };
                earlier.take(&arrival).map(|earlier| earlier.known.first_index)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn without_dup_a_topic_is_repeated_in_order_from_what_is_not_acknowledged() {
        check(&[1, 2, 3], &[4, 5], &[4, 5, 6], &[Some(100), Some(101), None]);
        // The acknowledgements of 2 and 3 were lost, perhaps.
        check(&[1, 2, 3], &[4, 5], &[2, 3, 4, 5, 1], &[None, None, Some(100), Some(101), None]);
        // Nothing is repeated, or not all: what comes is new.
        check(&[1, 2], &[], &[3, 1], &[None, None]);
        check(&[1], &[2, 3], &[2, 4, 3], &[Some(100), None, None]);
        check(&[1], &[2, 3], &[4, 2, 3], &[None, None, None]);
    }

    #[test]
    fn no_more_messages_are_recognised_than_are_certain_to_come() {
        check(&[1, 1, 1], &[1], &[1, 1, 1], &[Some(100), None, None]);
        check(&[1, 2, 1], &[2], &[2, 1], &[Some(100), None]);
        check(&[1, 1], &[], &[1, 1], &[None, None]);
    }
}
