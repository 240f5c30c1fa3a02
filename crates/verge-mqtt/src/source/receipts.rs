//! Receipts of one source, acknowledged strictly in order of arrival, and what is remembered of them beyond a
//! connection.
//!
//! Where the broker resumes the session it sends again what was not acknowledged (MQTT 3.1.1, section 4.4). Such a message
//! is known by its packet identifier, DUP and its content, and is not handed on again: its new acknowledgement waits for
//! what its first delivery caused. Remembered is only what the broker may still send again: messages without
//! acknowledgement, and those whose acknowledgement it has perhaps not received. A message acknowledged before the
//! broker answered a ping is forgotten, since from then on its identifier may stand for another. So is everything once the
//! broker sends new messages, which come behind those that it repeats, and when it has not kept the session.

mod earlier;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use verge_domain::reading::{Acknowledged, Receipt, Session};

use crate::receipts::next_connection;
pub use earlier::Repetition;
use earlier::{Earlier, EarlierMessages, Known};

/// A message that is not recognised when it comes again.
const UNKNOWN: Known = Known { fingerprint: 0, topic: 0, first_index: 0 };
/// Acknowledgements remembered that the broker has perhaps not received: one for each packet identifier.
const MAX_UNCONFIRMED: usize = 65_536;

/// A message as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReceivedMessage {
    pub(super) packet_id: u16,
    /// At QoS 2.
    pub(super) exactly_once: bool,
    /// With DUP set.
    pub(super) dup: bool,
    /// Sent because of a subscription.
    pub(super) retained: bool,
    pub(super) fingerprint: u64,
    /// Checksum of its topic.
    pub(super) topic: u64,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenedReceipt {
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
struct OpenMessage {
    acknowledgement: Acknowledgement,
    settled: bool,
    known: Known,
}

/// Where the acknowledgement of a message of an earlier connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcknowledgementPlace {
    /// It has not come again yet; under this key.
    Earlier(u64),
    /// It has, under this index.
    Open(u64),
}

#[derive(Debug)]
struct SourceReceipts {
    connection: u64,
    stands: bool,
    /// Index of the oldest message in `open`.
    first: u64,
    open: VecDeque<OpenMessage>,
    /// Messages whose acknowledgement is written and not confirmed, with packet identifiers.
    unconfirmed: VecDeque<(u16, Known)>,
    /// How many stood before them.
    confirmed: u64,
    /// Messages of earlier connections, for as long as the broker repeats.
    earlier: EarlierMessages,
    repeats: bool,
    /// Before this index it repeated what earlier runs of the program received; `None` while it may do so.
    first_new: Option<u64>,
    /// Those of them that are not settled, by the index under which they were first handed on.
    unsettled: HashMap<u64, AcknowledgementPlace>,
    /// The connection's task was woken and has not looked yet.
    woken: bool,
    totals: ReceiptTotals,
}

/// Shared between the connection's task and the callers that settle. Bounded by the width of a packet identifier.
#[derive(Debug, Clone)]
pub(super) struct Receipts(Arc<(Mutex<SourceReceipts>, Notify)>);

impl Receipts {
    pub(super) fn new(repetition: Repetition) -> Self {
        let book = SourceReceipts {
            connection: next_connection(),
            stands: false,
            first: 0,
            open: VecDeque::new(),
            unconfirmed: VecDeque::new(),
            confirmed: 0,
            earlier: EarlierMessages::new(repetition),
            repeats: false,
            first_new: None,
            unsettled: HashMap::new(),
            woken: false,
            totals: ReceiptTotals::default(),
        };
        Self(Arc::new((Mutex::new(book), Notify::new())))
    }

    fn book(&self) -> MutexGuard<'_, SourceReceipts> {
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

    /// The connection is lost.
    pub(super) fn lost(&self) {
        let mut book = self.book();
        if std::mem::take(&mut book.stands) {
            book.carry_over();
        }
    }

    /// A message that waits to be acknowledged.
    pub(super) fn open(&self, arrival: &ReceivedMessage) -> OpenedReceipt {
        self.book().open(arrival)
    }

    /// A message that is not handed on, acknowledged in its turn.
    pub(super) fn pass(&self, packet_id: u16, exactly_once: bool) {
        let mut book = self.book();
        book.totals.received += 1;
        book.push(Acknowledgement { packet_id, exactly_once }, true, UNKNOWN);
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
            if entry.known != UNKNOWN {
                if book.unconfirmed.len() >= MAX_UNCONFIRMED {
                    book.unconfirmed.pop_front();
                    book.confirmed += 1;
                }
                book.unconfirmed.push_back((entry.acknowledgement.packet_id, entry.known));
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

    /// What the broker will not send again.
    pub(super) fn acknowledged(&self, session: Session) -> Acknowledged {
        let book = self.book();
        let below = book.oldest_unconfirmed();
        let earlier_runs = book.first_new.is_some_and(|first_new| below >= first_new);
        Acknowledged { session, connection: book.connection, below, earlier_runs }
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

impl SourceReceipts {
    /// The session is over, or the broker repeats no more.
    fn forget(&mut self) {
        self.repeats = false;
        self.first_new.get_or_insert(self.first + self.open.len() as u64);
        self.earlier.clear();
        self.unsettled.retain(|_, place| matches!(place, AcknowledgementPlace::Open(_)));
    }

    /// Index of the oldest message that the broker may send again.
    fn oldest_unconfirmed(&self) -> u64 {
        let open = self.open.iter().map(|entry| entry.known).filter(|known| *known != UNKNOWN);
        let known = open.chain(self.unconfirmed.iter().map(|(_, known)| *known));
        let next = self.first + self.open.len() as u64;
        known.map(|known| known.first_index).chain(self.earlier.indices()).min().unwrap_or(next)
    }

    fn push(&mut self, acknowledgement: Acknowledgement, settled: bool, known: Known) {
        self.open.push_back(OpenMessage { acknowledgement, settled, known });
    }

    fn open(&mut self, arrival: &ReceivedMessage) -> OpenedReceipt {
        self.totals.received += 1;
        let &ReceivedMessage { packet_id, exactly_once, dup, retained, fingerprint, topic } = arrival;
        let acknowledgement = Acknowledgement { packet_id, exactly_once };
        let index = self.first + self.open.len() as u64;
        let may_repeat = dup || self.repeats && self.earlier.is_unmarked() && !retained;
        if may_repeat && self.is_known(arrival, acknowledgement, index) {
            self.totals.redelivered += 1;
            return OpenedReceipt::Again;
        }
        let repeats_no_more =
            if self.earlier.is_unmarked() { self.earlier.is_empty() } else { !dup && !retained };
        if self.repeats && repeats_no_more {
            self.forget();
        }
        self.push(acknowledgement, false, Known { fingerprint, topic, first_index: index });
        let receipt = Receipt { connection: self.connection, index };
        OpenedReceipt::New { receipt, redelivered: dup && self.repeats }
    }

    /// Whether a message came before, with this identifier and content; then it gets its place among the open ones.
    fn is_known(&mut self, arrival: &ReceivedMessage, acknowledgement: Acknowledgement, index: u64) -> bool {
        let &ReceivedMessage { packet_id, dup, fingerprint, topic, .. } = arrival;
        if let Some(Earlier { known: Known { first_index, .. }, settled }) = self.earlier.take(arrival) {
            if !settled {
                self.unsettled.insert(first_index, AcknowledgementPlace::Open(index));
            }
            self.push(acknowledgement, settled, Known { fingerprint, topic, first_index });
            return true;
        }
        let is_same = |entry: &OpenMessage| {
            entry.acknowledgement.packet_id == packet_id && entry.known.fingerprint == fingerprint
        };
        if dup && self.open.iter().rev().any(is_same) {
            // Repeated within a connection, as MQTT 3.1 allowed. Acknowledged behind the first, which is settled by then.
            self.push(acknowledgement, true, UNKNOWN);
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
                Some(AcknowledgementPlace::Earlier(key)) => {
                    if let Some(earlier) = self.earlier.get_mut(key, index) {
                        earlier.settled = true;
                    }
                }
                Some(AcknowledgementPlace::Open(again)) => self.settle(again),
                None => {}
            }
        }
    }

    /// Remembers what the broker may send again.
    fn carry_over(&mut self) {
        self.woken = false;
        self.confirmed += self.unconfirmed.len() as u64;
        self.first += self.open.len() as u64;
        let open = self.open.iter().filter(|entry| entry.known != UNKNOWN);
        for OpenMessage { acknowledgement, known, .. } in open.clone().filter(|entry| !entry.settled) {
            let key = self.earlier.key(acknowledgement.packet_id, known);
            self.unsettled.insert(known.first_index, AcknowledgementPlace::Earlier(key));
        }
        let open = open.map(|&OpenMessage { acknowledgement, settled, known }| {
            (acknowledgement.packet_id, Earlier { known, settled })
        });
        self.earlier.carry_over(self.unconfirmed.drain(..), open);
        self.open.clear();
    }
}

#[cfg(test)]
mod tests;
