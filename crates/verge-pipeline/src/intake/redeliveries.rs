//! Messages that a broker delivers again.

use std::collections::VecDeque;

use verge_domain::reading::Inbound;

/// Fingerprints of messages remembered in order to recognise a redelivery: more than any broker keeps in
/// flight towards one session by default.
pub const REMEMBERED_MESSAGES: usize = 4_096;

/// Fingerprints of the messages that came last.
pub(crate) struct Redeliveries(VecDeque<u64>);

impl Redeliveries {
    pub(crate) fn new(known: Vec<u64>) -> Self {
        Self(known.into())
    }

    pub(crate) fn contains(&self, cause: u64) -> bool {
        self.0.contains(&cause)
    }

    /// Remembers a message; 0 is none.
    pub(crate) fn note(&mut self, cause: u64) {
        if cause == 0 {
            return;
        }
        if self.0.len() >= REMEMBERED_MESSAGES {
            self.0.pop_front();
        }
        self.0.push_back(cause);
    }
}

/// Recognises a message that a broker sends again: its packet identifier, which a session keeps for a
/// redelivery, and a checksum of what it says. Never zero, and the same in every version of this program,
/// because the store keeps it.
pub(crate) fn fingerprint(message: &Inbound) -> u64 {
    let content = crc32c::crc32c_append(crc32c::crc32c(message.topic.as_bytes()), &message.payload);
    (u64::from(message.packet_id) << 32 | u64::from(content)).max(1)
}
