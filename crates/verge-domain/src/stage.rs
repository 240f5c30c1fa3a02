//! The seams between the crates: [`Source`], [`Decoder`], [`Judge`], [`Viewer`], [`Encoder`], [`Store`],
//! [`Sink`].
//!
//! Decoder, Judge, Viewer, Encoder and Store are synchronous and take `&mut self`: each has one owner, none needs a
//! mutex. Source and Sink face connections.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::frame::{EncodedFrame, View};
use crate::id::{Epoch, GatewayId, Identity, Lane, RouteId, Seq};
use crate::life::Life;
use crate::link::LinkReport;
use crate::reading::{Acknowledged, Decoded, Inbound, Receipt, Session};
use crate::rejection::Reason;
pub use crate::stored::{
    Cause, Checkpoint, Displaced, KEY_SEPARATOR, LEARNT_KEY, NewRow, Overdue, SentBytes, StatesUsage,
    StoreError, StoreUsage, StoredRow, Withdrawn, is_learnt,
};
use crate::time::{Moment, Monotonic, UtcMillis};
use crate::verdict::Verdict;

/// Where messages come from. The source pushes [`Inbound`] into the pipeline's intake by itself; this is
/// the way back.
pub trait Source: Send + Sync {
    /// Settles receipts: everything in these messages is judged, and what it caused is durable. The source
    /// acknowledges to the broker strictly in order of arrival. Receipts of an earlier connection are void
    /// and passed over.
    fn settle(&self, receipts: &[Receipt]);

    /// Adds what is acknowledged of each session that a broker keeps, as far as the broker is known to have received it.
    fn acknowledged(&self, out: &mut Vec<Acknowledged>);
}

/// From message to readings, or to a frame. The boundary of trust: what comes out is finite, named and bounded.
pub trait Decoder: Send {
    /// What it finds in messages.
    type Item;

    /// Decodes one message into `out`, which it clears first.
    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Self::Item>);
}

/// What one instance of a judge watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One signal of one device: each gets an instance of its own.
    Signal,
    /// All matching signals of one device together.
    Device,
    /// The arrivals of one camera's frames: a device of one source, without a signal.
    Camera,
}

/// Why saved state was not taken up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version or for another detector.
    #[error("saved state is of another version or detector")]
    Foreign,
    /// Readable, but not what this detector could have written.
    #[error("saved state does not fit this detector: {part} is out of range")]
    Misfit {
        /// Which part of it.
        part: &'static str,
    },
    /// Not readable.
    #[error("saved state is damaged: {0}")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
}

/// How often changed states of judges are made durable, unless they ask for a longer time.
pub const SAVE_EVERY: Duration = Duration::from_secs(10);

/// From observation to findings, about one subject. Implemented by the rules and detectors over readings.
pub trait Judge: Send {
    /// What it looks at.
    type Observation: ?Sized;

    /// Looks at one observation; pushes what it finds.
    fn observe(&mut self, observation: &Self::Observation, received: Moment, findings: &mut Vec<Finding>);

    /// Lets time pass without an observation: silence and ends of intervals are found here.
    fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>);

    /// State that must outlive a restart, if there is any. Exact: a judge that takes it up goes on as if
    /// nothing had happened, except for what it did not see.
    fn save(&self) -> Option<Vec<u8>>;

    /// Takes up saved state.
    ///
    /// # Errors
    /// State of another version or detector, or damaged; the judge is then unchanged.
    fn restore(&mut self, state: &[u8], now: Moment) -> Result<(), RestoreError>;

    /// How often its state is made durable at most, where it has changed. Small states are saved every
    /// [`SAVE_EVERY`]; one that is large and changes with every reading asks for a longer time, over which the
    /// instances are then spread. A restart may take up a state that is this old.
    fn save_every(&self) -> Duration {
        SAVE_EVERY
    }

    /// Bytes it holds beside itself (on the heap), about. Asked now and then, so that all instances together keep to a
    /// bound.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// Hears what a person says about its last alarm. Says whether that changed anything; rules do not learn.
    fn hear(&mut self, _remark: Remark) -> bool {
        false
    }

    /// How often it alarms and how often it may be expected to without cause; `None` for rules, whose rate nobody
    /// knows.
    fn alarm_rate(&self) -> Option<AlarmRate> {
        None
    }
}

/// What a person says about an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remark {
    /// It was changed on purpose: what is usual is to be learnt anew.
    Maintenance,
    /// It was real: what it taught is to be forgotten, so that the same will be as strange the next time.
    Real,
}

/// How often one instance of a judge alarms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmRate {
    /// Alarms raised so far.
    pub alarms: u64,
    /// Over so many seconds.
    pub seconds: f64,
    /// False alarms to expect per second, on average over the coming week: a young history promises less than it soon
    /// will.
    pub expected_per_second: f64,
    /// Time until the history supports the budget that was asked for; `None` where it does.
    pub supported_in: Option<Duration>,
}

/// From frame to views: decodes the picture once and lets every judge of the camera's source look at it.
/// One per worker thread, with sessions of its own. What a camera's judges remember from frame to frame travels
/// with the frame, so that any worker can take the camera's next one.
pub trait Viewer: Send {
    /// What the judges of one camera remember.
    type Memory: Default + Send;

    /// Looks at one frame; pushes what each judge sees, under the judge's position in the settings, and gives up
    /// where `until` passes. The other judges' views stand where one of them fails.
    ///
    /// # Errors
    /// The frame cannot be decoded, or a model could not be run on it.
    fn view(
        &mut self,
        judges: &[usize],
        frame: &EncodedFrame,
        until: Option<std::time::Instant>,
        memory: &mut Self::Memory,
        views: &mut Vec<(usize, View)>,
    ) -> Result<(), Reason>;

    /// No frame has come for a while: buffers may be given back until the next does.
    fn rest(&mut self) {}
}

/// What stands around the verdicts of one message upstream: everything that may change after commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The gateway.
    pub gateway: GatewayId,
    /// Epoch of the store the verdicts come from.
    pub epoch: Epoch,
    /// Their lane.
    pub lane: Lane,
    /// When this message was put together.
    pub sent: UtcMillis,
    /// How long ago the oldest verdict in it was made; zero where the clock says it was made later.
    pub age: Duration,
    /// The store has failed: the verdicts in it are not durable and have no number (theirs is zero). They come
    /// again with one, under the same event, once the store works or their input was judged again.
    pub volatile: bool,
}

/// Why bytes of a verdict could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode: {0}")]
pub struct EncodeError(#[source] pub Box<dyn Error + Send + Sync>);

/// From verdict to bytes.
pub trait Encoder: Send {
    /// Appends the stored form of one verdict to `out`. These bytes are what is committed and what is sent,
    /// now or after an upgrade.
    ///
    /// # Errors
    /// Only if the verdict breaks an invariant (a non-finite number).
    fn verdict(
        &mut self,
        identity: &Identity,
        verdict: &Verdict,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError>;

    /// Writes what stored verdicts say in short into `out`, which it clears first: what takes their place where
    /// their useful life is over. At most some 64 subjects are told apart. Verdicts that cannot be read are
    /// passed over.
    ///
    /// # Errors
    /// Only if a summary breaks an invariant.
    fn summary(&mut self, lane: Lane, rows: &[StoredRow], out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Writes one message for upstream into `out`, which it clears first: the envelope, then the stored
    /// verdicts and tombstones, in order of sequence.
    ///
    /// # Errors
    /// A stored verdict cannot be read (only where it must be transcoded).
    fn message(
        &mut self,
        envelope: &Envelope,
        rows: &[StoredRow],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError>;
}

/// The durable store. One owner on one thread; every call blocks.
pub trait Store: Send {
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

    /// The number the next verdict of a lane gets.
    fn next_seq(&self, lane: Lane) -> Seq;

    /// The oldest number of a lane that is stored; the next one where nothing is.
    fn oldest(&self, lane: Lane) -> Seq;

    /// Makes verdicts and checkpoints durable in one transaction. Learnt states (see [`is_learnt`]) have a share of the
    /// store: over it, those saved least recently are evicted; where there is no room for them, the rest is committed
    /// without them. Both are counted, and neither is an error.
    ///
    /// # Errors
    /// [`StoreError::Full`] or a fault; nothing of the call is then visible.
    fn commit(&mut self, rows: &[NewRow<'_>], checkpoints: &[Checkpoint]) -> Result<(), StoreError>;

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

    /// Notes what was sent over a link on a day, in all. As lazy as [`Store::mark`].
    ///
    /// # Errors
    /// A fault.
    fn note_sent(&mut self, sent: SentBytes) -> Result<(), StoreError>;

    /// What [`Store::note_sent`] was told last of each link; read at start.
    ///
    /// # Errors
    /// A fault.
    fn sent(&mut self) -> Result<Vec<SentBytes>, StoreError>;

    /// Housekeeping: makes marks durable and evicts what every route has delivered and the replay window
    /// no longer holds. Returns the number of verdicts evicted. Ages are reckoned by `now`, a clock that never
    /// steps: time during which the gateway does not run makes nothing older.
    ///
    /// # Errors
    /// A fault.
    fn sweep(&mut self, now: Monotonic) -> Result<u64, StoreError>;

    /// The newest verdict of a lane that was committed at least `life` before `now`, as far as some route has
    /// not delivered it and it is no tombstone yet. Ages as in [`Store::sweep`], told to within a fiftieth of `life`.
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

    /// After a fault: believes nothing of the open handle, opens the store again and compares it with what was
    /// committed. Everything committed is there afterwards, or this is an error.
    ///
    /// # Errors
    /// It still fails; or it lacks what was committed, or is damaged ([`StoreError::Damaged`]).
    fn recover(&mut self) -> Result<(), StoreError>;

    /// All checkpoints; learnt states in the order in which they were saved.
    ///
    /// # Errors
    /// A fault.
    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, StoreError>;

    /// Notes up to which numbers, by lane, the broker has received the acknowledgements of the messages of a session that
    /// caused verdicts. Lazier than [`Store::mark`]: it waits for another reason to write.
    fn note_acknowledged(&mut self, session: Session, upto: [Seq; 3]);

    /// What caused the verdicts behind that, oldest first: messages that the broker may send again. Read once at start.
    ///
    /// # Errors
    /// A fault.
    fn unacknowledged(&mut self) -> Result<Vec<Cause>, StoreError>;

    /// How full it is.
    ///
    /// # Errors
    /// A fault.
    fn usage(&mut self) -> Result<StoreUsage, StoreError>;
}

/// Which topic a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// `…/alarm`: the alarm lane, each verdict alone.
    Alarm,
    /// `…/verdict`: batches of the lane verdict.
    Verdict,
    /// `…/verdict` as well, where topics do not tell lanes apart: batches of the lane telemetry.
    Telemetry,
    /// `…/status`: retained, with last will.
    Status,
    /// `…/cmd/reply`: answers to commands.
    Reply,
}

/// Names one offered message, so that its acknowledgement can be told; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What happened at a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkEvent {
    /// What upstream holds as this gateway's status, retained; told before [`SinkEvent::Connected`].
    Found(Bytes),
    /// A connection stands. Everything offered before and not delivered is void: offer it again.
    Connected,
    /// The connection is gone; the sink tries again by itself, with backoff. `reason` is for people.
    Disconnected {
        /// Why, in words.
        reason: String,
    },
    /// Upstream acknowledged this message, and where the sink proves arrival it has arrived.
    Delivered(Token),
    /// Upstream sent this command on `…/cmd`.
    Command(Bytes),
    /// What [`Sink::report`] says has changed.
    Changed,
}

/// Why a message was not taken. It is not lost: the caller still has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// No connection; wait for [`SinkEvent::Connected`].
    #[error("not connected")]
    NotConnected,
    /// As many messages are outstanding as the sink takes.
    #[error("the window is full")]
    WindowFull,
    /// The message can never be sent on this sink.
    #[error("a message of {actual} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes offered.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// A way upstream.
pub trait Sink: Send {
    /// Hands over one message for at-least-once delivery; never blocks.
    ///
    /// # Errors
    /// See [`OfferError`].
    fn offer(&mut self, channel: Channel, payload: Bytes, token: Token) -> Result<(), OfferError>;

    /// The next event, if there is one; `None` once the sink has ended. Else the task of `context`, and only the
    /// one that asked last, is woken when there may be one.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>>;

    /// The next event. Cancel-safe: dropping the future loses none. `None` once the sink has ended.
    fn event(&mut self) -> impl Future<Output = Option<SinkEvent>> + Send {
        poll_fn(|context| self.poll_event(context))
    }

    /// Whether messages of this channel are sent at all.
    fn takes(&self, _channel: Channel) -> bool {
        true
    }

    /// What it says of itself, for the status.
    fn report(&self) -> LinkReport {
        LinkReport::default()
    }

    /// Ends the connection in good order: publishes `last` on [`Channel::Status`], waits for outstanding
    /// acknowledgements up to `grace`, disconnects. Events may still be read afterwards.
    fn close(&mut self, last: Bytes, grace: Duration) -> impl Future<Output = ()> + Send;
}
