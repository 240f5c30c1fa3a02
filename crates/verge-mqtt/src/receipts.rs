//! Receipts of a subscriber, one connection after another, acknowledged strictly in order of arrival.
//!
//! Acknowledgements are coalesced: settling wakes the poll loop with one acknowledgement at most, and the
//! loop writes all others that are due with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::{AsyncClient, Publish, QoS};
use verge_domain::reading::Receipt;

/// The number of the next connection: none is used twice in a process, so that a receipt is void for every other.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// A number that no other connection of this process has.
pub(crate) fn next_connection() -> u64 {
    CONNECTIONS.fetch_add(1, Ordering::Relaxed)
}

#[derive(Debug, Default)]
struct OpenReceipts {
    /// Which connection, counted from 1.
    connection: u64,
    /// `None` between connections: then every receipt is void.
    client: Option<AsyncClient>,
    /// Index of the oldest open receipt.
    first: u64,
    open: VecDeque<OpenReceipt>,
    /// An acknowledgement that the client has not sent yet: those behind it must wait for it.
    waking: Option<u16>,
}

#[derive(Debug)]
struct OpenReceipt {
    packet_id: u16,
    settled: bool,
}

/// Shared between the poll loop and the callers that settle. Bounded by what the broker keeps in flight (at most
/// 65,535, by the width of a packet identifier).
#[derive(Debug, Clone, Default)]
pub(crate) struct SubscriberReceipts(Arc<Mutex<OpenReceipts>>);

impl SubscriberReceipts {
    fn book(&self) -> MutexGuard<'_, OpenReceipts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, whose acknowledgements go through this client.
    pub(crate) fn connected(&self, client: AsyncClient) {
        let mut book = self.book();
        book.void();
        book.connection = next_connection();
        book.client = Some(client);
    }

    /// The connection is lost: all its receipts are void.
    pub(crate) fn lost(&self) {
        self.book().void();
    }

    /// A message that waits to be acknowledged.
    pub(crate) fn open(&self, packet_id: u16) -> Receipt {
        let mut book = self.book();
        let receipt = Receipt { connection: book.connection, index: book.first + book.open.len() as u64 };
        book.open.push_back(OpenReceipt { packet_id, settled: false });
        receipt
    }

    /// Settles; wakes the poll loop if something has become due and no acknowledgement waits in the client.
    pub(crate) fn settle(&self, receipts: &[Receipt]) {
        let mut book = self.book();
        for receipt in receipts {
            if receipt.connection != book.connection {
                continue;
            }
            let position = receipt.index.checked_sub(book.first).and_then(|at| usize::try_from(at).ok());
            if let Some(entry) = position.and_then(|at| book.open.get_mut(at)) {
                entry.settled = true;
            }
        }
        book.wake();
    }

    /// The poll loop has sent this acknowledgement.
    pub(crate) fn sent(&self, packet_id: u16) {
        let mut book = self.book();
        if book.waking == Some(packet_id) {
            book.waking = None;
        }
    }

    /// All that is due, for the poll loop to write before it polls again.
    pub(crate) fn due(&self, due: &mut Vec<u16>) {
        let mut book = self.book();
        if book.waking.is_none() {
            while let Some(packet_id) = book.pop_settled() {
                due.push(packet_id);
            }
        }
    }
}

impl OpenReceipts {
    fn void(&mut self) {
        self.client = None;
        self.first = 0;
        self.open.clear();
        self.waking = None;
    }

    fn pop_settled(&mut self) -> Option<u16> {
        if !self.open.front()?.settled {
            return None;
        }
        let front = self.open.pop_front()?;
        self.first += 1;
        Some(front.packet_id)
    }

    fn wake(&mut self) {
        if self.waking.is_some() {
            return;
        }
        let Some(client) = self.client.clone() else { return };
        if let Some(packet_id) = self.pop_settled() {
            let mut message = Publish::new("", QoS::AtLeastOnce, Vec::new());
            message.pkid = packet_id;
            // It fails only where the event loop has ended, and with it the connection.
            if client.try_ack(&message).is_ok() {
                self.waking = Some(packet_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::{EventLoop, MqttOptions};

    use super::*;

    fn connect(receipts: &SubscriberReceipts) -> EventLoop {
        let (client, eventloop) = AsyncClient::new(MqttOptions::new("t", "localhost", 1), 4);
        receipts.connected(client);
        eventloop
    }

    fn due(receipts: &SubscriberReceipts) -> Vec<u16> {
        let mut due = Vec::new();
        receipts.due(&mut due);
        due
    }

    #[test]
    fn acknowledgements_keep_the_order_of_arrival() {
        let receipts = SubscriberReceipts::default();
        let _eventloop = connect(&receipts);
        let open: Vec<_> = (1..=5).map(|packet_id| receipts.open(packet_id)).collect();
        receipts.settle(&[open[2], open[1]]);
        assert!(due(&receipts).is_empty(), "the first is still open");
        receipts.settle(&[open[0]]);
        assert!(due(&receipts).is_empty(), "1 goes through the client first");
        receipts.sent(1);
        assert_eq!(due(&receipts), [2, 3]);
        receipts.settle(&[open[4]]);
        assert!(due(&receipts).is_empty(), "4 is still open");
    }

    #[test]
    fn receipts_of_an_earlier_connection_are_void() {
        let receipts = SubscriberReceipts::default();
        let _first = connect(&receipts);
        let old = receipts.open(7);
        receipts.lost();
        receipts.settle(&[old]);
        let _second = connect(&receipts);
        let new = receipts.open(7);
        receipts.settle(&[old]);
        assert!(due(&receipts).is_empty());
        assert_ne!(old.connection, new.connection);
    }
}
