//! What the broker has in memory of retained messages, kept or not: rumqttd itself knows no bound.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

/// Bytes of topics and payloads, of one device and of all.
const MOST_BYTES_OF_ONE: usize = 8 * 1024 * 1024;
const MOST_BYTES: usize = 24 * 1024 * 1024;

/// By topic. There are at most as many as devices may publish to.
#[derive(Debug, Default)]
pub(super) struct HeldRetained {
    topics: HashMap<u64, RetainedTopic>,
    by_device: HashMap<u64, usize>,
    bytes: usize,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct RetainedTopic {
    bytes: usize,
    device: u64,
}

/// What is to become of a message with the retain flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetainDecision {
    /// The broker may retain it.
    Retain,
    /// It goes to those who subscribe now. `replaces`: the broker has an older one, which is worse than none.
    PassOn { replaces: bool },
}

impl HeldRetained {
    /// Those that were put back, which are of no device.
    pub(super) fn of<'a>(messages: impl Iterator<Item = (&'a String, usize)>) -> Self {
        let mut held = Self::default();
        for (topic, bytes) in messages {
            held.insert(held.hasher.hash_one(topic.as_str()), RetainedTopic { bytes, device: 0 });
        }
        held
    }

    /// A device wants this retained; without a payload, that nothing is.
    pub(super) fn admit(&mut self, device: &str, topic: &str, payload_bytes: usize) -> RetainDecision {
        let (at, device) = (self.hasher.hash_one(topic), self.hasher.hash_one(device));
        let before = self.remove(at);
        if payload_bytes == 0 {
            return RetainDecision::Retain;
        }
        let bytes = topic.len() + payload_bytes;
        let of_device = self.by_device.get(&device).copied().unwrap_or(0);
        if of_device + bytes > MOST_BYTES_OF_ONE || self.bytes + bytes > MOST_BYTES {
            return RetainDecision::PassOn { replaces: before.is_some() };
        }
        self.insert(at, RetainedTopic { bytes, device });
        RetainDecision::Retain
    }

    fn insert(&mut self, at: u64, topic: RetainedTopic) {
        self.bytes += topic.bytes;
        *self.by_device.entry(topic.device).or_default() += topic.bytes;
        self.topics.insert(at, topic);
    }

    fn remove(&mut self, at: u64) -> Option<RetainedTopic> {
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
        let mut held = HeldRetained::of([(&"old".to_owned(), MIB)].into_iter());
        for topic in 0..7 {
            assert_eq!(held.admit("a", &topic.to_string(), MIB), RetainDecision::Retain);
        }
        assert_eq!(held.admit("a", "x", MIB), RetainDecision::PassOn { replaces: false });
        // In place of what was there, and behind what was taken away.
        assert_eq!(held.admit("a", "0", MIB / 2), RetainDecision::Retain);
        assert_eq!(held.admit("a", "0", 2 * MIB), RetainDecision::PassOn { replaces: true });
        assert_eq!(held.admit("a", "1", 0), RetainDecision::Retain);
        assert_eq!(held.admit("a", "x", MIB), RetainDecision::Retain);
        // Another device has room, until all have none.
        for device in ["b", "c"] {
            assert_eq!(held.admit(device, device, 8 * MIB - 1), RetainDecision::Retain, "{device}");
        }
        assert_eq!(held.admit("d", "d", 2 * MIB), RetainDecision::PassOn { replaces: false });
        // A topic is whose who wrote it last.
        assert_eq!(held.admit("d", "old", MIB / 2), RetainDecision::Retain);
        for topic in ["0", "1", "2", "3", "4", "5", "6", "x", "b", "c", "old"] {
            held.admit("a", topic, 0);
        }
        assert_eq!((held.bytes, held.by_device.len(), held.topics.len()), (0, 0, 0));
    }
}
