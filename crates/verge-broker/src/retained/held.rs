//! What the broker has in memory of retained messages, kept or not: rumqttd itself knows no bound.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

/// Bytes of topics and payloads, of one device and of all.
const MOST_BYTES_OF_ONE: usize = 8 * 1024 * 1024;
const MOST_BYTES: usize = 24 * 1024 * 1024;

/// By topic. There are at most as many as devices may publish to.
#[derive(Debug, Default)]
pub(super) struct Held {
    topics: HashMap<u64, Topic>,
    by_device: HashMap<u64, usize>,
    bytes: usize,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Topic {
    bytes: usize,
    device: u64,
}

/// What is to become of a message with the retain flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retention {
    /// The broker may retain it.
    Retain,
    /// It goes to those who subscribe now. `replaces`: the broker has an older one, which is worse than none.
    PassOn { replaces: bool },
}

impl Held {
    /// Those that were put back, which are of no device.
    pub(super) fn of<'a>(messages: impl Iterator<Item = (&'a String, usize)>) -> Self {
        let mut held = Self::default();
        for (topic, bytes) in messages {
            held.insert(held.hasher.hash_one(topic.as_str()), Topic { bytes, device: 0 });
        }
        held
    }

    /// A device wants this retained; without a payload, that nothing is.
    pub(super) fn admit(&mut self, device: &str, topic: &str, payload_bytes: usize) -> Retention {
        let (at, device) = (self.hasher.hash_one(topic), self.hasher.hash_one(device));
        let before = self.remove(at);
        if payload_bytes == 0 {
            return Retention::Retain;
        }
        let bytes = topic.len() + payload_bytes;
        let of_device = self.by_device.get(&device).copied().unwrap_or(0);
        if of_device + bytes > MOST_BYTES_OF_ONE || self.bytes + bytes > MOST_BYTES {
            return Retention::PassOn { replaces: before.is_some() };
        }
        self.insert(at, Topic { bytes, device });
        Retention::Retain
    }

    fn insert(&mut self, at: u64, topic: Topic) {
        self.bytes += topic.bytes;
        *self.by_device.entry(topic.device).or_default() += topic.bytes;
        self.topics.insert(at, topic);
    }

    fn remove(&mut self, at: u64) -> Option<Topic> {
        let topic = self.topics.remove(&at)?;
        self.bytes -= topic.bytes;
        if let Entry::Occupied(mut of_device) = self.by_device.entry(topic.device) {
            *of_device.get_mut() -= topic.bytes;
            if *of_device.get() == 0 {
                of_device.remove();
            }
        }
        Some(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn what_the_broker_holds_of_one_device_and_of_all_is_bounded() {
        let mut held = Held::of([(&"old".to_owned(), MIB)].into_iter());
        for topic in 0..7 {
            assert_eq!(held.admit("a", &topic.to_string(), MIB), Retention::Retain);
        }
        assert_eq!(held.admit("a", "x", MIB), Retention::PassOn { replaces: false });
        // In place of what was there, and behind what was taken away.
        assert_eq!(held.admit("a", "0", MIB / 2), Retention::Retain);
        assert_eq!(held.admit("a", "0", 2 * MIB), Retention::PassOn { replaces: true });
        assert_eq!(held.admit("a", "1", 0), Retention::Retain);
        assert_eq!(held.admit("a", "x", MIB), Retention::Retain);
        // Another device has room, until all have none.
        for device in ["b", "c"] {
            assert_eq!(held.admit(device, device, 8 * MIB - 1), Retention::Retain, "{device}");
        }
        assert_eq!(held.admit("d", "d", 2 * MIB), Retention::PassOn { replaces: false });
        // A topic is whose who wrote it last.
        assert_eq!(held.admit("d", "old", MIB / 2), Retention::Retain);
        for topic in ["0", "1", "2", "3", "4", "5", "6", "x", "b", "c", "old"] {
            held.admit("a", topic, 0);
        }
        assert_eq!((held.bytes, held.by_device.len(), held.topics.len()), (0, 0, 0));
    }
}
