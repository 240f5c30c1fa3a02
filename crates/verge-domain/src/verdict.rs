//! What goes out.

use serde::{Deserialize, Serialize};

pub use crate::action::{ActionKind, AlarmHandling, OperatorAction};
pub use crate::body::{
    Anomaly, Body, ClassCount, Counts, DirectionCounts, ForecastMeasure, Health, LineCounts, PartialReason,
    RegionBox, Regions, TimeBasis, Traffic, TrafficForecast, TripCount, ZoneMeasures,
};
use crate::group::AlarmGroup;
use crate::id::{DeviceId, EventId, EventNumber, JudgeId, Lane, ModelName, SignalId, SourceId};
use crate::tag::SignalTag;
use crate::time::{DeviceClock, UtcMillis};

crate::words! {
    /// How much a verdict matters to the person who receives it.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Severity {
        /// For the record.
        Info = "info",
        /// Look at it in working hours.
        Warning = "warning",
        /// Look at it now.
        Critical = "critical",
    }
}

/// What a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The source the observations came through.
    pub source: SourceId,
    /// The device.
    pub device: DeviceId,
    /// The signal; `None` where the verdict concerns the device as a whole.
    pub signal: Option<SignalId>,
}

/// The three times of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// As the device claims it.
    pub captured: Option<UtcMillis>,
    /// What may be believed of `captured`.
    pub clock: DeviceClock,
    /// When the observation that decided reached the gateway.
    pub received: UtcMillis,
    /// When the verdict was made. `decided - received` is the age of its input at decision, where the
    /// device gave no trusted time; else `decided - captured`.
    pub decided: UtcMillis,
    /// The gateway's clock was not set when it was made: `received` and `decided` are reckoned from the newest time that was
    /// known. Said when it is committed.
    pub estimated: bool,
}

crate::words! {
    /// Where an event is in its life.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum EventState {
        /// It began.
        Raised = "raised",
        /// It continues.
        Updated = "updated",
        /// It ended.
        Cleared = "cleared",
    }
}

/// The event a verdict belongs to, so that a SCADA system can reset by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The same over the event's whole life.
    pub id: EventId,
    /// Where it is in its life.
    pub state: EventState,
    /// Since when the condition holds (time of the first abnormal observation).
    pub since: UtcMillis,
    /// For how long, in milliseconds, up to the observation that decided.
    pub lasted_ms: u64,
    /// Its number for people; `None` of events of gateways that gave none.
    pub number: Option<EventNumber>,
    /// It was raised while its judge was still learning what is usual: it is for the record, to its end.
    pub learning: bool,
    /// What is new in it, beside time having passed.
    pub change: Option<EventChange>,
    /// Nothing is judged now, because of the state of the machine: its life goes on when the machine is back in the
    /// state in which it was raised.
    pub suspended: bool,
    /// The event that stands for this one: an alarm was reported for both.
    pub group: Option<EventId>,
    /// What operators have done about it.
    pub handling: AlarmHandling,
}

crate::words! {
    /// What is new in an open event.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum EventChange {
        /// Something is strange again after a time in which nothing was: perhaps another fault.
        Renewed = "renewed",
        /// What lay above its range lies below it now, or the other way round.
        Turned = "turned",
        /// It lies [`GROWS_BY`](crate::policy::GROWS_BY) times as far from its range as when it was last raised or escalated.
        Grown = "grown",
        /// It ends because it has become usual, not because it went back.
        Adapted = "adapted",
    }
}

impl EventChange {
    /// Whether somebody should look again.
    #[must_use]
    pub const fn is_escalation(self) -> bool {
        match self {
            Self::Renewed | Self::Turned | Self::Grown => true,
            Self::Adapted => false,
        }
    }
}

/// One verdict, before it has an identity: that is given when it is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Who decided.
    pub judge: JudgeId,
    /// What about.
    pub subject: Subject,
    /// What its source's list of tags says of the signal.
    pub tag: Option<SignalTag>,
    /// Captured, received, decided.
    pub times: Times,
    /// How it was decided: the detector's name (`threshold`, `rate`, `classify`, …).
    pub detector: Detector,
    /// The model that decided, where one did.
    pub model: Option<Model>,
    /// How much it matters.
    pub severity: Severity,
    /// Which lane it travels in.
    pub lane: Lane,
    /// The event it belongs to; counts and views of frames belong to none.
    pub event: Option<Event>,
    /// The other alarms that its event stands for.
    pub group: Option<AlarmGroup>,
    /// What an operator did, where that caused it.
    pub action: Option<Box<OperatorAction>>,
    /// What was decided.
    pub body: Body,
}

/// A model, as its card names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    /// Its name.
    pub name: ModelName,
    /// Its version.
    pub version: ModelName,
}

crate::words! {
    /// The detectors there are.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Detector {
        /// Fixed limits with hysteresis.
        Threshold = "threshold",
        /// Limits on the rate of change.
        Rate = "rate",
        /// Absence of readings.
        Silence = "silence",
        /// Inductive loop or other vehicle detector, to flow and occupancy.
        Loop = "loop",
        /// A model that classifies what a frame shows.
        Classify = "classify",
        /// A model that finds objects in a frame.
        Detect = "detect",
        /// Faults of sensors: stuck, flat, noisy, saturated, silent, skewed, doubled.
        Health = "health",
        /// Any numeric signal, without training and without a threshold.
        Auto = "auto",
        /// Several signals of one machine.
        Multi = "multi",
        /// Shapes that were not seen before.
        Pattern = "pattern",
        /// Vibration of rotating machines.
        Vibration = "vibration",
        /// Small shifts that last.
        Cusum = "cusum",
        /// What a model cannot reconstruct.
        Autoencoder = "autoencoder",
        /// A model that says how unlike usual frames a frame is.
        Anomaly = "anomaly",
        /// Objects followed over frames, and counted at lines and in zones.
        Track = "track",
    }
}
