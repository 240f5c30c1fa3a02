//! The durable store, in the parts that its users need: [`RowStore`] (verdicts), [`MarkStore`] (what was delivered, sent
//! and acknowledged), [`StateStore`] (what is saved for judges), and [`Store`], the whole, which commits all of them
//! together.
//!
//! A store has one owner on one thread; every call blocks. What goes in and comes out stands in [`stored`](crate::stored).

use std::time::Duration;

use crate::id::{Epoch, Lane, RouteId, Seq};
use crate::life::Life;
use crate::reading::Session;
use crate::stored::{
    Cause, Checkpoint, Displaced, NewRow, Overdue, SentBytes, StoreError, StoreUsage, StoredRow, Withdrawn,
};
use crate::time::{Monotonic, UtcMillis};

/// Committed verdicts and the tombstones in their place.
pub trait RowStore: Send {
    /// The number the next verdict of a lane gets.
    fn next_seq(&self, lane: Lane) -> Seq;

    /// The oldest number of a lane that is stored; the next one where nothing is.
    fn oldest(&self, lane: Lane) -> Seq;

    /// Reads committed verdicts of a lane after `after`, in order, up to `max_rows` and `max_bytes` (always
    /// at least one if there is one), onto the end of `out`. Where `after` lies within a tombstone's range, that
    /// tombstone comes first. A verdict that cannot be read is withdrawn here, so a tombstone comes in its place.
    ///
    /// # Errors
    /// A fault.
    fn fetch(
        &mut self,
        lane: Lane,
        after: Seq,
        max_rows: usize,
        max_bytes: usize,
        out: &mut Vec<StoredRow>,
    ) -> Result<(), StoreError>;

    /// The newest verdict of a lane that was committed at least `life` before `now`, as far as some route has
    /// not delivered it and it is no tombstone yet. Ages as in [`Store::sweep`], to within a fiftieth of `life`.
    ///
    /// # Errors
    /// A fault.
    fn overdue(&mut self, lane: Lane, life: Duration, now: Monotonic) -> Result<Option<Overdue>, StoreError>;

    /// Puts a tombstone in the place of verdicts `from` to `through`, both included, in one durable transaction.
    /// Existing tombstones within the range are absorbed; one that reaches beyond it is an error.
    ///
    /// # Errors
    /// The range is not stored, or a fault.
    fn withdraw(
        &mut self,
        lane: Lane,
        from: Seq,
        tombstone: Withdrawn,
        at: UtcMillis,
        summary: &[u8],
    ) -> Result<(), StoreError>;
}

/// What is noted beside the verdicts: how far routes and sessions are, and what was sent. Notes are written when something
/// else is.
pub trait MarkStore: Send {
    /// Registers a route and says what it has delivered: per lane, everything up to this number. A route
    /// holds back eviction of what it has not delivered. Routes of earlier configurations that are not in
    /// `routes` no longer do. Without any route everything counts as delivered: the replay window alone keeps it.
    ///
    /// # Errors
    /// A fault.
    fn open_routes(&mut self, routes: &[RouteId]) -> Result<Vec<[Seq; 3]>, StoreError>;

    /// Notes that a route has delivered everything of a lane up to `upto`. Lazy: it becomes durable with
    /// the next commit or [`Store::sweep`], and a mark lost in a crash only causes duplicates.
    ///
    /// # Errors
    /// A fault.
    fn mark(&mut self, route: &RouteId, lane: Lane, upto: Seq) -> Result<(), StoreError>;

    /// Notes what was sent over a link on a day, in all. As lazy as [`MarkStore::mark`].
    ///
    /// # Errors
    /// A fault.
    fn note_sent(&mut self, sent: SentBytes) -> Result<(), StoreError>;

    /// What was noted last of each link; read at start.
    ///
    /// # Errors
    /// A fault.
    fn sent(&mut self) -> Result<Vec<SentBytes>, StoreError>;

    /// Notes up to which numbers, by lane, the broker has received the acknowledgements of the messages of a session that
    /// caused verdicts. Lazier than [`MarkStore::mark`]: it waits for another reason to write.
    fn note_acknowledged(&mut self, session: Session, upto: [Seq; 3]);

    /// What caused the verdicts behind that, oldest first: messages that the broker may send again. Read once at start.
    ///
    /// # Errors
    /// A fault.
    fn unacknowledged(&mut self) -> Result<Vec<Cause>, StoreError>;
}

/// What is saved for judges: open events, windows and what they have learnt. It is written by [`Store::commit`].
pub trait StateStore: Send {
    /// All checkpoints; learnt states in the order in which they were saved.
    ///
    /// # Errors
    /// A fault.
    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, StoreError>;
}

/// The whole store: one transaction for rows and states, and its own life.
pub trait Store: RowStore + MarkStore + StateStore {
    /// Epoch of this store.
    fn epoch(&self) -> Epoch;

    /// What it knows of its life.
    fn life(&self) -> Life;

    /// Another life of this store gives numbers of its epoch: from the next opening on it has a new one. Durable.
    ///
    /// # Errors
    /// A fault.
    fn give_up_epoch(&mut self) -> Result<(), StoreError>;

    /// Looks whether its files are where they were. Asked for every second.
    ///
    /// # Errors
    /// They are not. What the store held was brought to where the next opening finds it, as far as that could be; nothing
    /// may be committed any more.
    fn in_place(&mut self) -> Result<(), Displaced>;

    /// Makes verdicts and checkpoints durable in one transaction. Learnt states (see [`is_learnt`](crate::stored::is_learnt)) have a share of the
    /// store: over it, those saved least recently are evicted; where there is no room for them, the rest is committed
    /// without them. Both are counted, and neither is an error.
    ///
    /// # Errors
    /// [`StoreError::Full`] or a fault; nothing of the call is then visible.
    fn commit(&mut self, rows: &[NewRow<'_>], checkpoints: &[Checkpoint]) -> Result<(), StoreError>;

    /// Housekeeping: makes marks durable and evicts what every route has delivered and the replay window
    /// no longer holds. Returns the number of verdicts evicted. Ages are reckoned by `now`, a clock that never
    /// steps: time during which the gateway does not run makes nothing older.
    ///
    /// # Errors
    /// A fault.
    fn sweep(&mut self, now: Monotonic) -> Result<u64, StoreError>;

    /// After a fault: believes nothing of the open handle, opens the store again and compares it with what was
    /// committed. Everything committed is there afterwards, or this is an error.
    ///
    /// # Errors
    /// It still fails; or it lacks what was committed, or is damaged ([`StoreError::Damaged`]).
    fn recover(&mut self) -> Result<(), StoreError>;

    /// How full it is.
    ///
    /// # Errors
    /// A fault.
    fn usage(&mut self) -> Result<StoreUsage, StoreError>;
}
