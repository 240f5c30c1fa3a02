//! The way of people's orders to the judging thread.

use std::sync::mpsc::{SyncSender, TrySendError};

use super::Item;
use crate::judging::{Order, OrderError, Outcome};

/// Orders that wait for the judging thread at most.
pub const ORDER_QUEUE: usize = 16;

/// Told once what came of an order, when that is durable.
type Reply = Box<dyn FnOnce(Result<Outcome, OrderError>) + Send>;

/// An order that waits, and who is told what came of it.
pub(super) struct Waiting {
    pub(super) order: Order,
    pub(super) reply: Reply,
}

/// The judges take no order now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{ORDER_QUEUE} orders wait for the judges already, or they have stopped")]
pub struct DeskClosed;

/// Where orders to the judges are handed in; clones share it.
#[derive(Clone)]
pub struct OrderDesk {
    pub(super) queue: SyncSender<Waiting>,
    pub(super) wake: SyncSender<Item>,
}

impl OrderDesk {
    /// Hands in an order; never blocks. `reply` is called, on another thread, when what came of it is durable; it
    /// must not block. It is dropped uncalled where the gateway stops before.
    ///
    /// # Errors
    /// [`DeskClosed`]; nothing is done then.
    pub fn submit(
        &self,
        order: Order,
        reply: impl FnOnce(Result<Outcome, OrderError>) + Send + 'static,
    ) -> Result<(), DeskClosed> {
        let waiting = Waiting { order, reply: Box::new(reply) };
        self.queue.try_send(waiting).map_err(|_| DeskClosed)?;
        match self.wake.try_send(Item::Wake) {
            // A full queue keeps the thread awake anyway, and one that has ended needs no waking.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}
