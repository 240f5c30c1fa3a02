//! The seams between the crates: [`Source`] and [`Intake`], [`Decoder`], [`Judge`], [`Viewer`], [`Encoder`], [`Store`],
//! [`Sink`].
//!
//! Decoder, Judge, Viewer, Encoder and Store are synchronous and take `&mut self`: each has one owner, none needs a
//! mutex. Source and Sink face connections.

use std::error::Error;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::countable::SeenLines;
use crate::finding::{Expected, Finding};
use crate::frame::{
    CameraLook, EncodedFrame, FrameSnapshot, SceneSketch, Shortfall, ShownFrame, SnapshotError,
    SnapshotOrder, View,
};
use crate::id::{Epoch, GatewayId, Identity, JudgeIndex, Lane, SignalId};
use crate::observation::{Camera, Observable};
use crate::reading::{Acknowledged, Decoded, Inbound, Receipt};
use crate::rejection::Reason;
pub use crate::sink::{
    Control, ControlEvent, Form, OfferError, OfferWindow, Sink, SinkEvent, Token, VerdictRow,
};
pub use crate::store::{MarkStore, RowStore, StateStore, Store};
pub use crate::stored::{
    Cause, Checkpoint, Displaced, KEY_SEPARATOR, LEARNT_KEY, NewRow, Overdue, SentBytes, StatesUsage,
    StoreError, StoreUsage, StoredRow, Withdrawn, is_learnt,
};
use crate::time::{Moment, UtcMillis};
use crate::verdict::Verdict;

/// What takes a source's messages: the pipeline.
pub trait Intake: Send {
    /// Takes a message. Must not block: it runs between two reads of the connection.
    ///
    /// # Errors
    /// No more are taken for now. At QoS 0 the source drops the message and counts it; else it offers the message again,
    /// and reads nothing before it is taken.
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull>;

    /// Whether the connection is to be left unread for now, although [`Intake::offer`] would still take a message.
    fn is_held(&mut self) -> bool {
        false
    }
}

impl<F: FnMut(Inbound) -> Result<(), IntakeFull> + Send> Intake for F {
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        self(message)
    }
}

/// The pipeline takes no more messages for now; this is the one that was offered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the intake is full")]
pub struct IntakeFull(pub Inbound);

/// Where messages come from. The source pushes [`Inbound`] into an [`Intake`] by itself; this is the direction back.
pub trait Source: Send + Sync {
    /// Settles receipts: everything in these messages is judged, and what it caused is durable. The source
    /// acknowledges to the broker strictly in order of arrival. Receipts of an earlier connection are void
    /// and passed over.
    fn settle(&self, receipts: &[Receipt]);

    /// Whether senders wait for what is settled before they go on: then messages are not left to gather.
    fn is_awaited(&self) -> bool {
        false
    }

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
    /// One camera: a device of one source of frames.
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

/// From observation to findings, about one subject. Implemented by rules and detectors.
pub trait Judge: Send {
    /// Looks at one observation; pushes what it finds.
    fn observe(&mut self, observed: Observable<'_>, received: Moment, findings: &mut Vec<Finding>);

    /// Lets time pass without an observation: silence and ends of intervals are found here.
    fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>);

    /// Its device says that it is away: what it watches is silent from now on, whatever time has passed.
    fn away(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}

    /// Nothing follows, as at the end of a file: what it has begun to measure comes out as far as it goes.
    fn finish(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}

    /// It judges again from now on, after a time in which it was given nothing because of the state of its machine: that
    /// time was no silence, and what follows does not join on to what was before.
    fn resume(&mut self, _now: Moment) {}

    /// State that must outlive a restart, if there is any. Exact: a judge that restores it continues as if
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

    /// Applies a person's remark on the alarm of the event that began then, or else on its last alarm. Returns whether that
    /// changed anything; rules do not learn.
    fn apply(&mut self, _remark: Remark, _event: Option<UtcMillis>) -> bool {
        false
    }

    /// The parts of its subject that it tells apart, whether anything is open about them or not.
    fn parts(&self) -> &[SignalId] {
        &[]
    }

    /// What pictures of its camera show of it, where it knows of lines, zones or objects.
    fn sketch(&self) -> Option<SceneSketch> {
        None
    }

    /// Where the value of its signal is expected now, in the unit of the signal, where it can say so. Quick: it is asked some
    /// times a minute, for each signal.
    fn expectation(&self) -> Option<Expected> {
        None
    }

    /// How often it alarms and how often it may be expected to without cause; `None` for rules, whose rate nobody
    /// knows.
    fn alarm_rate(&self) -> Option<AlarmRate> {
        None
    }

    /// Whether what crosses its lines is seen often enough; `None` for judges that count nothing, or have counted nothing yet.
    fn seen_lines(&self) -> Option<SeenLines> {
        None
    }
}

/// What all instances of one judge learn together. Each instance holds it; the pipeline saves it beside their states.
pub trait SharedState: Send + Sync {
    /// State that must outlive a restart, if there is any.
    fn save(&self) -> Option<Vec<u8>>;

    /// Takes up saved state, before any instance observes.
    ///
    /// # Errors
    /// State of another version, or damaged; it is then unchanged.
    fn restore(&self, state: &[u8]) -> Result<(), RestoreError>;
}

crate::words! {
    /// What a person says about an alarm.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Remark {
        /// It was no fault: what kind of excursion it was is to be learnt.
        False = "false",
        /// It was changed on purpose: what is usual is to be learnt again.
        Maintenance = "maintenance",
        /// It was real: what it taught is to be forgotten, so that the same will be as strange the next time.
        Real = "real",
    }
}

/// How often one instance of a judge alarms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmRate {
    /// Alarms raised so far.
    pub alarms: u64,
    /// Length of the period in which they were raised, in seconds.
    pub seconds: f64,
    /// False alarms to expect per second, on average over the coming week: a young history promises less than it soon
    /// will.
    pub expected_per_second: f64,
    /// Time until the history supports the budget that was asked for; `None` where it does.
    pub supported_in: Option<Duration>,
    /// The time in which one false alarm is accepted by the rarest budget that can be supported at this rate of observations,
    /// where the budget that was asked for never can.
    pub rarest: Option<Duration>,
    /// False alarms per second that are accepted of all instances together, where they share a budget: while how it is divided
    /// among them is not known yet, each answers for all of it.
    pub shared: Option<f64>,
}

/// A frame to look at.
#[derive(Debug, Clone, Copy)]
pub struct ViewRequest<'a> {
    /// Where it comes from.
    pub camera: &'a Camera,
    /// The frame.
    pub frame: &'a EncodedFrame,
    /// When the gateway received it.
    pub received: Moment,
    /// The judges that look at it.
    pub judges: &'a [JudgeIndex],
    /// When a viewer gives up.
    pub until: Option<std::time::Instant>,
    /// What it is to give up for want of time.
    pub shortfall: Shortfall,
}

/// What a viewer saw in a frame.
#[derive(Debug, Default)]
pub struct Seen {
    /// What the frame says of its camera, where one of the judges wants to know.
    pub look: Option<CameraLook>,
    /// What the model of each judge sees.
    pub views: Vec<(JudgeIndex, View)>,
    /// Judges for which a version on trial looked, in the place of the active one.
    pub by_candidate: Vec<JudgeIndex>,
    /// What gates did.
    pub gates: GateCount,
    /// What second models did.
    pub crops: CropCount,
}

/// What second models did with the objects of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CropCount {
    /// Crops that were classified.
    pub classified: u64,
    /// Crops that were left for a later frame: the frame had more than are looked at, or no time was left.
    pub postponed: u64,
    /// Crops on which the second model failed.
    pub failed: u64,
}

/// How often gates let a model look at frames, and how often they spared it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateCount {
    /// It looked.
    pub passed: u64,
    /// It did not.
    pub skipped: u64,
}

impl Seen {
    /// Nothing is seen.
    pub fn clear(&mut self) {
        self.look = None;
        self.views.clear();
        self.by_candidate.clear();
        self.gates = GateCount::default();
        self.crops = CropCount::default();
    }
}

/// From frame to views: decodes the picture once and lets every judge of the camera's source look at it.
/// One per worker thread, with sessions of its own. What a camera's judges remember from frame to frame travels
/// with the frame, so that any worker can take the camera's next one.
pub trait Viewer: Send {
    /// What the judges of one camera remember.
    type Memory: Default + Send;

    /// Looks at one frame; adds what it says of its camera and what the model of each judge sees. The other judges' views
    /// stand where one of them fails.
    ///
    /// # Errors
    /// The frame cannot be decoded, or a model could not be run on it.
    fn view(
        &mut self,
        request: ViewRequest<'_>,
        memory: &mut Self::Memory,
        seen: &mut Seen,
    ) -> Result<(), Reason>;

    /// The frame that was viewed last, with what these judges saw in it and knew of the scene before, as a picture to be sent.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    fn snapshot(
        &self,
        of: (&Camera, &[JudgeIndex]),
        order: &SnapshotOrder,
        seen: (&Seen, &[(JudgeIndex, SceneSketch)]),
    ) -> Result<FrameSnapshot, SnapshotError>;

    /// The frame that was viewed last, as people who watch its camera may see it, with what these judges saw in it; `None`
    /// where it is shown to nobody.
    fn show(&self, _of: (&Camera, &[JudgeIndex]), _frame: &EncodedFrame, _seen: &Seen) -> Option<ShownFrame> {
        None
    }

    /// Whether there is something to look at once more when there is nothing else to do.
    fn has_trial(&self) -> bool {
        false
    }

    /// Looks once more at the frame that was viewed last, of this camera and for these judges, with versions of models that are on
    /// trial. Nothing comes of it but what is counted of them.
    fn look_again(&mut self, _of: (&Camera, &[JudgeIndex]), _until: std::time::Instant) {}

    /// No frame has come for a while: buffers may be given back until the next does.
    fn rest(&mut self) {}

    /// Comes in the place of another, and takes over what that has and this one lacks. Returns whether it lacks nothing any
    /// more.
    fn take_over(&mut self, former: Self) -> bool
    where
        Self: Sized;
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
    /// their useful life is over. At most some 64 subjects are distinguished. Verdicts that cannot be read are
    /// passed over.
    ///
    /// # Errors
    /// Only if a summary breaks an invariant.
    fn summary(&mut self, lane: Lane, rows: &[StoredRow], out: &mut Vec<u8>) -> Result<(), EncodeError>;
}
