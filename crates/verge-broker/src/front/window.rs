//! Messages that are not acknowledged: no more of them than one side takes at a time, and acknowledged in the order in which
//! they came.
//!
//! One such window holds what the broker sends to a client of MQTT 5, since rumqttd must have acknowledgements in its own
//! order; another what a client sends to the gateway's own sources.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Shared by both directions of one connection. rumqttd has at most 100 on their way, and a client is left unread while it
/// [`Window::is_long`], which bounds it.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    /// In the order in which they came.
    order: Mutex<VecDeque<Entry>>,
    freed: Notify,
    due: Notify,
}

#[derive(Debug)]
struct Entry {
    id: u16,
    is_done: bool,
    /// Why it is refused, to a client of MQTT 5.
    reason: Option<u8>,
}

impl Window {
    pub(crate) fn new(most: u16) -> Self {
        Self { most: most.into(), order: Mutex::default(), freed: Notify::new(), due: Notify::new() }
    }

    /// No more are taken at present.
    pub(in crate::front) fn is_full(&self) -> bool {
        self.lock().iter().filter(|entry| !entry.is_done).count() >= self.most
    }

    /// As many wait for their turn, done or not.
    pub(in crate::front) fn is_long(&self) -> bool {
        self.lock().len() >= self.most
    }

    /// One more.
    pub(crate) fn add(&self, id: u16) {
        self.lock().push_back(Entry { id, is_done: false, reason: None });
    }

    /// One is not sent, as if the client had acknowledged it.
    pub(in crate::front) fn pass_over(&self, id: u16) {
        self.lock().push_back(Entry { id, is_done: true, reason: None });
        self.due.notify_one();
    }

    /// One is refused, which its client learns in its turn.
    pub(in crate::front) fn refuse(&self, id: u16, reason: u8) {
        self.lock().push_back(Entry { id, is_done: true, reason: Some(reason) });
        self.due.notify_one();
    }

    /// One is done.
    pub(crate) fn acknowledge(&self, id: u16) {
        if let Some(entry) = self.lock().iter_mut().find(|entry| entry.id == id && !entry.is_done) {
            entry.is_done = true;
        }
        self.freed.notify_one();
        self.due.notify_one();
    }

    /// PUBACK packets of those whose turn it is.
    pub(crate) fn take_due(&self) -> Vec<u8> {
        let mut order = self.lock();
        let mut due = Vec::new();
        while let Some(&Entry { id, is_done: true, reason }) = order.front() {
            let [high, low] = id.to_be_bytes();
            order.pop_front();
            match reason {
                None => due.extend_from_slice(&[0x40, 2, high, low]),
                Some(reason) => due.extend_from_slice(&[0x40, 3, high, low, reason]),
            }
        }
        drop(order);
        self.freed.notify_one();
        due
    }

    /// Waits until one is done, or some have left.
    pub(in crate::front) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until some may be due.
    pub(in crate::front) async fn due(&self) {
        self.due.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_go_to_the_broker_in_its_own_order() {
        let window = Window::new(2);
        window.add(1);
        window.add(2);
        assert!(window.is_full());
        window.acknowledge(2);
        assert!(!window.is_full());
        assert_eq!(window.take_due(), b"");
        window.pass_over(3);
        window.acknowledge(9);
        window.acknowledge(1);
        assert_eq!(window.take_due(), b"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03");
        assert_eq!(window.take_due(), b"");
    }

    #[test]
    fn what_is_done_before_its_turn_waits_and_counts() {
        let window = Window::new(2);
        window.add(1);
        window.refuse(2, 0x87);
        assert!(window.is_long() && !window.is_full());
        assert_eq!(window.take_due(), b"");
        window.acknowledge(1);
        assert!(window.is_long());
        assert_eq!(window.take_due(), b"\x40\x02\x00\x01\x40\x03\x00\x02\x87");
        assert!(!window.is_long());
    }
}
