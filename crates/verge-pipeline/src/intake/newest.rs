//! Messages of which only the newest of a topic counts: they wait in one place per topic, not in a queue.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verge_domain::reading::Inbound;
use verge_domain::stage::{Intake, IntakeFull};

use super::{Item, received};
use crate::counters::Counters;

/// Maximum of topics with a waiting message, and of bytes of all those messages: beyond it, the longest waiting one is
/// superseded.
const MAX_TOPICS: usize = 1_024;
const MAX_BYTES: usize = 64 << 20;

/// The messages that wait.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<NewestSlots>);

#[derive(Debug, Default)]
struct NewestSlots {
    waiting: HashMap<String, Inbound>,
    /// Topics in the order in which they are judged: a newer message keeps the turn of the one it supersedes.
    turns: VecDeque<String>,
    bytes: usize,
}

impl Newest {
    fn slots(&self) -> MutexGuard<'_, NewestSlots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The message whose turn it is.
    pub(super) fn pop(&self) -> Option<Inbound> {
        self.slots().pop()
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.slots().turns.is_empty()
    }
}

impl NewestSlots {
    fn pop(&mut self) -> Option<Inbound> {
        let message = self.waiting.remove(&self.turns.pop_front()?)?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    /// Puts a message in its place; passes superseded ones to `superseded`. Returns whether it has a turn of its own.
    fn put(&mut self, message: Inbound, mut superseded: impl FnMut(Inbound)) -> bool {
        self.bytes += message.payload.len();
        let place = self.waiting.get_mut(&message.topic);
        let is_new = place.is_none();
        if let Some(place) = place {
            let older = std::mem::replace(place, message);
            self.bytes -= older.payload.len();
            superseded(older);
        } else {
            self.turns.push_back(message.topic.clone());
            self.waiting.insert(message.topic.clone(), message);
        }
        while self.turns.len() > MAX_TOPICS || (self.bytes > MAX_BYTES && self.turns.len() > 1) {
            self.pop().into_iter().for_each(&mut superseded);
        }
        is_new
    }
}

/// The entrance for messages of which only the newest of a topic counts; clones share it.
#[derive(Clone)]
pub struct NewestIntake {
    pub(super) newest: Arc<Newest>,
    pub(super) wake: SyncSender<Item>,
    pub(super) counters: Arc<Counters>,
}

impl Intake for NewestIntake {
    /// Takes every message. An older waiting one of its topic is superseded, and counted.
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        received(
            &self.counters,
            message.source,
            message.topic.len() + message.payload.len(),
            message.received.wall,
        );
        let is_new = self.newest.slots().put(message, |older| {
            if let Some(source) = self.counters.source(older.source) {
                source.messages_superseded_total.add(1);
            }
        });
        if is_new {
            // If the queue is full, its thread is awake, and looks here before it sleeps.
            drop(self.wake.try_send(Item::Wake));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::reading::SourceIndex;
    use verge_domain::time::{Moment, UtcMillis};

    use super::*;

    fn message(topic: &str, bytes: usize) -> Inbound {
        Inbound::of(SourceIndex(0), topic, vec![0; bytes], Moment::from_wall(UtcMillis(0)))
    }

    #[test]
    fn the_newest_of_a_topic_takes_the_turn_of_the_one_before() {
        let mut slots = NewestSlots::default();
        let mut superseded = Vec::new();
        for (topic, bytes) in [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5)] {
            slots.put(message(topic, bytes), |older| superseded.push(older.payload.len()));
        }
        assert_eq!(superseded, [1, 3]);
        assert_eq!(slots.bytes, 11);
        let judged: Vec<usize> =
            std::iter::from_fn(|| slots.pop()).map(|message| message.payload.len()).collect();
        assert_eq!(judged, [5, 2, 4]);
        assert_eq!((slots.bytes, slots.waiting.len()), (0, 0));
    }

    #[test]
    fn topics_that_a_peer_invents_and_large_messages_take_no_more_room() {
        let mut slots = NewestSlots::default();
        let mut superseded = 0;
        for invented in 0..2 * MAX_TOPICS {
            slots.put(message(&invented.to_string(), 1), |_| superseded += 1);
        }
        assert_eq!(
            (slots.turns.len(), slots.waiting.len(), superseded),
            (MAX_TOPICS, MAX_TOPICS, MAX_TOPICS)
        );
        slots.put(message("large", MAX_BYTES), |_| {});
        assert!(slots.bytes <= MAX_BYTES, "{}", slots.bytes);
        assert!(slots.waiting.contains_key("large"));
    }
}
