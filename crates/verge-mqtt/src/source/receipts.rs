//! Receipts of one source, acknowledged strictly in order of arrival, and what is remembered of them beyond a
//! connection.
//!
//! Where the broker resumes the session it sends again what was not acknowledged (MQTT 3.1.1, section 4.4). Such a message
//! is known by its packet identifier, DUP and its content, and is not handed on again: its new acknowledgement waits for
//! what its first delivery caused. Remembered is only what the broker may still send again: messages without
//! acknowledgement, and those whose acknowledgement it has perhaps not received. A message acknowledged before the
//! broker answered a ping is forgotten, since from then on its identifier may stand for another. So is everything once the
//! broker sends new messages, which come behind those that it repeats, and when it has not kept the session.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use verge_domain::reading::Receipt;

use crate::receipts::next_connection;

/// Acknowledgements remembered that the broker has perhaps not received: one for each packet identifier.
const MAX_UNCONFIRMED: usize = 65_536;

/// A message as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) packet_id: u16,
    /// At QoS 2.
    pub(super) exactly_once: bool,
    /// With DUP set.
    pub(super) dup: bool,
    /// Sent because of a subscription.
    pub(super) retained: bool,
    pub(super) fingerprint: u64,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// New to this process. `redelivered` where an earlier one may have had it.
    New { receipt: Receipt, redelivered: bool },
    /// Received before; what it caused is acknowledged with it.
    Again,
}

/// An acknowledgement to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledgement {
    pub(super) packet_id: u16,
    /// PUBREC, not PUBACK.
    pub(super) exactly_once: bool,
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReceiptTotals {
    pub(super) connections: u64,
    pub(super) received: u64,
    pub(super) acknowledged: u64,
    pub(super) outstanding: u64,
    pub(super) redelivered: u64,
    pub(super) unconfirmed: u64,
}

/// A message of the connection that stands, not acknowledged.
#[derive(Debug)]
struct Entry {
    acknowledgement: Acknowledgement,
    settled: bool,
    /// 0 where its content is not known: it was passed over.
    fingerprint: u64,
    /// The index under which it was first handed on.
    first_index: u64,
}

/// A message of an earlier connection of the session.
#[derive(Debug)]
struct Earlier {
    fingerprint: u64,
    settled: bool,
    first_index: u64,
}

/// Where the acknowledgement of a message of an earlier connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has not come again yet.
    Earlier(u16),
    /// It has, under this index.
    Open(u64),
}

#[derive(Debug)]
struct Book {
    connection: u64,
    stands: bool,
    /// Index of the oldest message in `open`.
    first: u64,
    open: VecDeque<Entry>,
    /// Packet identifiers and contents of messages whose acknowledgement is written and not confirmed.
    unconfirmed: VecDeque<(u16, u64)>,
    /// How many stood before them.
    confirmed: u64,
    /// Messages of earlier connections, by packet identifier, for as long as the broker repeats.
    earlier: HashMap<u16, Earlier>,
    repeats: bool,
    /// Those of them that are not settled, by the index under which they were first handed on.
    unsettled: HashMap<u64, Place>,
    /// The connection's task was woken and has not looked yet.
    woken: bool,
    totals: ReceiptTotals,
}

/// Shared between the connection's task and whoever settles. Bounded by the width of a packet identifier.
#[derive(Debug, Clone)]
pub(super) struct Receipts(Arc<(Mutex<Book>, Notify)>);

impl Receipts {
    pub(super) fn new() -> Self {
        let book = Book {
            connection: next_connection(),
            stands: false,
            first: 0,
            open: VecDeque::new(),
            unconfirmed: VecDeque::new(),
            confirmed: 0,
            earlier: HashMap::new(),
            repeats: false,
            unsettled: HashMap::new(),
            woken: false,
            totals: ReceiptTotals::default(),
        };
        Self(Arc::new((Mutex::new(book), Notify::new())))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection; the broker has kept the session, or not.
    pub(super) fn connected(&self, session_present: bool) {
        let mut book = self.book();
        book.stands = true;
        book.totals.connections += 1;
        book.repeats = session_present;
        if !session_present {
            book.forget();
        }
    }

    /// The connection is gone.
    pub(super) fn lost(&self) {
        let mut book = self.book();
        if std::mem::take(&mut book.stands) {
            book.carry_over();
        }
    }

    /// A message that waits to be acknowledged.
    pub(super) fn open(&self, arrival: &Arrival) -> Opened {
        self.book().open(arrival)
    }

    /// A message that nobody waits for, acknowledged in its turn.
    pub(super) fn pass(&self, packet_id: u16, exactly_once: bool) {
        let mut book = self.book();
        book.totals.received += 1;
        book.push(Acknowledgement { packet_id, exactly_once }, true, 0, 0);
    }

    /// Settles; wakes the connection's task if something has become due.
    pub(super) fn settle(&self, receipts: &[Receipt]) {
        let mut book = self.book();
        for receipt in receipts {
            if receipt.connection == book.connection {
                book.settle(receipt.index);
            }
        }
        let is_due = book.stands && book.open.front().is_some_and(|entry| entry.settled);
        if is_due && !std::mem::replace(&mut book.woken, true) {
            drop(book);
            self.0.1.notify_one();
        }
    }

    /// Waits until something is due.
    pub(super) async fn woken(&self) {
        self.0.1.notified().await;
    }

    /// All that is due.
    pub(super) fn due(&self, due: &mut Vec<Acknowledgement>) {
        let mut book = self.book();
        book.woken = false;
        while book.open.front().is_some_and(|entry| entry.settled) {
            let Some(entry) = book.open.pop_front() else { break };
            book.first += 1;
            book.totals.acknowledged += 1;
            due.push(entry.acknowledgement);
            if entry.fingerprint != 0 {
                if book.unconfirmed.len() >= MAX_UNCONFIRMED {
                    book.unconfirmed.pop_front();
                    book.confirmed += 1;
                }
                book.unconfirmed.push_back((entry.acknowledgement.packet_id, entry.fingerprint));
            }
        }
    }

    /// Whether the broker has perhaps not received an acknowledgement.
    pub(super) fn is_unconfirmed(&self) -> bool {
        !self.book().unconfirmed.is_empty()
    }

    /// Acknowledgements written, of messages that are remembered.
    pub(super) fn written(&self) -> u64 {
        let book = self.book();
        book.confirmed + book.unconfirmed.len() as u64
    }

    /// The broker has received this many of them.
    pub(super) fn confirm(&self, written: u64) {
        let mut book = self.book();
        while book.confirmed < written && book.unconfirmed.pop_front().is_some() {
            book.confirmed += 1;
        }
    }

    pub(super) fn totals(&self) -> ReceiptTotals {
        let book = self.book();
        ReceiptTotals {
            outstanding: book.open.len() as u64,
            unconfirmed: book.unconfirmed.len() as u64,
            ..book.totals
        }
    }
}

impl Book {
    /// The session is over, or the broker repeats no more.
    fn forget(&mut self) {
        self.repeats = false;
        self.earlier.clear();
        self.unsettled.retain(|_, place| matches!(place, Place::Open(_)));
    }

    fn push(&mut self, acknowledgement: Acknowledgement, settled: bool, fingerprint: u64, first_index: u64) {
        self.open.push_back(Entry { acknowledgement, settled, fingerprint, first_index });
    }

    fn open(&mut self, arrival: &Arrival) -> Opened {
        self.totals.received += 1;
        let &Arrival { packet_id, exactly_once, dup, retained, fingerprint } = arrival;
        let acknowledgement = Acknowledgement { packet_id, exactly_once };
        let index = self.first + self.open.len() as u64;
        if dup && self.is_known(acknowledgement, fingerprint, index) {
            self.totals.redelivered += 1;
            return Opened::Again;
        }
        if self.repeats && !dup && !retained {
            self.forget();
        }
        self.push(acknowledgement, false, fingerprint, index);
        let receipt = Receipt { connection: self.connection, index };
        Opened::New { receipt, redelivered: dup && self.repeats }
    }

    /// Whether a message came before, with this identifier and content; then it gets its place among the open ones.
    fn is_known(&mut self, acknowledgement: Acknowledgement, fingerprint: u64, index: u64) -> bool {
        let packet_id = acknowledgement.packet_id;
        // The identifier stands for what comes now, be it that or another message.
        let earlier = self.earlier.remove(&packet_id);
        if let Some(Earlier { settled, first_index, .. }) =
            earlier.filter(|earlier| earlier.fingerprint == fingerprint)
        {
            if !settled {
                self.unsettled.insert(first_index, Place::Open(index));
            }
            self.push(acknowledgement, settled, fingerprint, first_index);
            return true;
        }
        let is_same =
            |entry: &Entry| entry.acknowledgement.packet_id == packet_id && entry.fingerprint == fingerprint;
        if self.open.iter().rev().any(is_same) {
            // Repeated within a connection, as MQTT 3.1 allowed. Acknowledged behind the first, which is settled by then.
            self.push(acknowledgement, true, 0, 0);
            return true;
        }
        false
    }

    fn settle(&mut self, index: u64) {
        let position = |index: u64| index.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(entry) = position(index).and_then(|at| self.open.get_mut(at)) {
            entry.settled = true;
        } else if !self.unsettled.is_empty() {
            match self.unsettled.remove(&index) {
                Some(Place::Earlier(packet_id)) => {
                    // Its identifier may stand for another message by now.
                    let same = self.earlier.get_mut(&packet_id).filter(|same| same.first_index == index);
                    if let Some(earlier) = same {
                        earlier.settled = true;
                    }
                }
                Some(Place::Open(again)) => self.settle(again),
                None => {}
            }
        }
    }

    /// Remembers what the broker may send again.
    fn carry_over(&mut self) {
        self.woken = false;
        self.confirmed += self.unconfirmed.len() as u64;
        for (packet_id, fingerprint) in self.unconfirmed.drain(..) {
            self.earlier.insert(packet_id, Earlier { fingerprint, settled: true, first_index: 0 });
        }
        self.first += self.open.len() as u64;
        for Entry { acknowledgement, settled, fingerprint, first_index } in self.open.drain(..) {
            if fingerprint == 0 {
                continue;
            }
            let packet_id = acknowledgement.packet_id;
            self.earlier.insert(packet_id, Earlier { fingerprint, settled, first_index });
            if !settled {
                self.unsettled.insert(first_index, Place::Earlier(packet_id));
            }
        }
    }
}

#[cfg(test)]
mod tests;
