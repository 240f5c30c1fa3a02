//! The path of orders from people to the judging threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use super::Item;
use crate::judging::{EventRegister, Order, OrderError, Outcome, joint};

/// Maximum of orders that wait for the judges.
pub const ORDER_QUEUE: usize = 16;

/// Called once with the result of an order, when that is durable.
type Reply = Box<dyn FnOnce(Result<Outcome, OrderError>) + Send>;

/// An order that waits, and where its result goes.
pub(super) struct Waiting {
    pub(super) order: Order,
    /// The judges of another thread know the selected subject.
    pub(super) known: bool,
    pub(super) reply: Reply,
}

/// The judges take no order now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{ORDER_QUEUE} orders wait for the judges already, or they have stopped")]
pub struct DeskClosed;

/// The entrance to one thread.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) queue: SyncSender<Waiting>,
    pub(super) wake: SyncSender<Item>,
}

impl Desk {
    fn hand_in(&self, waiting: Waiting) -> Result<(), DeskClosed> {
        self.queue.try_send(waiting).map_err(|_| DeskClosed)?;
        // A full queue keeps the thread awake anyway, and a thread that has ended needs no waking.
        drop(self.wake.try_send(Item::Wake));
        Ok(())
    }
}

/// Where orders to the judges are handed in; clones share it.
#[derive(Clone)]
pub struct OrderDesk {
    first: Desk,
    beside: Option<Desk>,
    /// Orders that either thread holds: their number never exceeds what one queue holds, so neither is ever full.
    under_way: Arc<AtomicUsize>,
    register: Arc<EventRegister>,
}

/// One of the orders in progress.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OrderDesk {
    pub(super) fn new(first: Desk) -> Self {
        Self { first, beside: None, under_way: Arc::default(), register: Arc::default() }
    }

    /// The same where the judges number their events by this register.
    #[must_use]
    pub fn with_register(self, register: &Arc<EventRegister>) -> Self {
        Self { register: Arc::clone(register), ..self }
    }

    /// The events that are known by number.
    pub(crate) fn register(&self) -> &EventRegister {
        &self.register
    }

    /// The same for judges on two threads: an order goes to both, one after the other.
    #[must_use]
    pub fn with(self, beside: Self) -> Self {
        Self { beside: Some(beside.first), ..self }
    }

    /// Hands in an order; never blocks. `reply` is called, on another thread, when its result is durable; it
    /// must not block. It is dropped uncalled if the gateway stops before.
    ///
    /// # Errors
    /// [`DeskClosed`]; then nothing is done.
    pub fn submit(
        &self,
        order: Order,
        reply: impl FnOnce(Result<Outcome, OrderError>) + Send + 'static,
    ) -> Result<(), DeskClosed> {
        let Some(beside) = self.beside.clone() else {
            return self.first.hand_in(Waiting { order, known: false, reply: Box::new(reply) });
        };
        let place = Place(Arc::clone(&self.under_way));
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= ORDER_QUEUE {
            return Err(DeskClosed);
        }
        let first = self.first.clone();
        let again = order.clone();
        let then = move |one: Result<Outcome, OrderError>| {
            let (known, order) = (one.is_ok(), again.clone());
            let at_last = move |other: Result<Outcome, OrderError>| {
                // The other judges may first see, within the window, a subject that only these judges know now.
                if one.is_err() && matches!(other, Ok(Outcome::Opened { .. } | Outcome::Shelved { .. })) {
                    let reply = Box::new(move |one| {
                        drop(place);
                        reply(joint(one, other));
                    });
                    stopped(first.hand_in(Waiting { order: again, known: true, reply }));
                } else {
                    drop(place);
                    reply(joint(one, other));
                }
            };
            stopped(beside.hand_in(Waiting { order, known, reply: Box::new(at_last) }));
        };
        self.first.hand_in(Waiting { order, known: false, reply: Box::new(then) })
    }
}

/// Neither queue is ever full: the thread has ended, and the gateway ends with it.
fn stopped(handed_in: Result<(), DeskClosed>) {
    if handed_in.is_err() {
        tracing::debug!("an order was not carried out: the judges have stopped");
    }
}
