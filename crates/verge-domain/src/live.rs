//! A gateway at work, as pages and interfaces for people see it: what is true now, and an entrance for commands.
//!
//! Implemented where a gateway is wired. Every call is quick, and none makes the data path wait; what takes long answers later.

mod cameras;
mod drawings;

use std::sync::Arc;

use bytes::Bytes;

use crate::board::{Board, LastWord};
use crate::configured::Configured;
use crate::history::SignalHistory;
use crate::id::{Epoch, GatewayId, Lane, OperatorText, Seq};
use crate::time::{Moment, UtcMillis};
use crate::verdict::Verdict;
pub use cameras::{
    CameraCourse, CameraName, LiveCamera, LiveCameras, LivePicture, LiveScene, WatchError, WatchedCamera,
    interval_of,
};
pub use drawings::{
    Drawing, DrawingError, DrawingTrial, DrawnBy, DrawnJudge, DrawnLine, DrawnMask, DrawnZone, LiveDrawings,
    TaggedDrawing,
};

/// Called once with the answer to a command, on any thread. It must not block.
pub type CommandDone = Box<dyn FnOnce(CommandReply) + Send>;

/// Called once with what was read from the store.
pub type StoredDone = Box<dyn FnOnce(Result<StoredPart, StoredError>) + Send>;

/// Where reading a lane begins, and in which direction it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Behind this number, in the order of numbers.
    Behind(Seq),
    /// With what was made since then, in the order of numbers.
    Since(UtcMillis),
    /// Before this number, the newest first.
    Before(Seq),
    /// With what was made before then, the newest first.
    Until(UtcMillis),
}

/// A part of a lane, in the order of reading.
#[derive(Debug, Clone, Default)]
pub struct StoredPart {
    /// What stands there.
    pub items: Vec<StoredItem>,
    /// From where reading goes on; `None`: nothing is left in this direction.
    pub rest: Option<ReadFrom>,
}

/// A row of the store.
#[derive(Debug, Clone)]
pub enum StoredItem {
    /// A verdict.
    Verdict(Arc<LastWord>),
    /// A tombstone.
    Tombstone {
        /// The first number that it stands for.
        from: Seq,
        /// The last one.
        through: Seq,
        /// In the JSON of `docs/verdict.md`.
        json: Bytes,
    },
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Others are reading.
    #[error("the store is being read by others")]
    Busy,
    /// It cannot be read; the log says why.
    #[error("the store cannot be read: the log says why")]
    Unreadable,
}

/// A gateway at work.
pub trait LiveGateway: Send + Sync {
    /// Its name.
    fn id(&self) -> &GatewayId;

    /// The life of its store: numbers of verdicts are unique within one.
    fn epoch(&self) -> Epoch;

    /// Its clock.
    fn now(&self) -> Moment;

    /// What each judge said last about each of its subjects.
    fn board(&self) -> &dyn Board;

    /// What it is configured to do, and how that is changed.
    fn configured(&self) -> &dyn Configured;

    /// The status document as of now, see `docs/status.md`.
    fn status(&self) -> Bytes;

    /// Counters that all grow while judging and committing make progress, at least once a second.
    fn progress(&self) -> Vec<u64>;

    /// A verdict in the JSON of `docs/verdict.md`; `None` where it has no number yet.
    fn verdict_json(&self, word: &LastWord) -> Option<Bytes>;

    /// A verdict in a sentence.
    fn verdict_words(&self, verdict: &Verdict) -> String;

    /// A time as people of the site read it.
    fn time_words(&self, at: UtcMillis) -> String;

    /// Its cameras; `None` where it takes no frames.
    fn cameras(&self) -> Option<&dyn LiveCameras>;

    /// The time of day to the minute, as people of the site read it.
    fn hour_words(&self, at: UtcMillis) -> String;

    /// What signals show and showed of late.
    fn signals(&self) -> &dyn SignalHistory;

    /// What is drawn before its cameras; `None` where it takes no frames.
    fn drawings(&self) -> Option<&dyn LiveDrawings>;

    /// A time as people of the site write it (`2026-11-30T14:05`); `None`: it is none.
    fn read_time(&self, text: &str) -> Option<UtcMillis>;

    /// Reads a part of a lane from the store, which commits meanwhile: some 256 rows at most. `done` is called on a thread
    /// that may be kept for a while.
    fn stored(&self, lane: Lane, from: ReadFrom, done: StoredDone);

    /// Carries out a command in JSON, as on `…/cmd`, for a person. `replay` and `ledger` name their `route`. `done` is called once what it caused is durable, or at once
    /// where it is refused; it is dropped uncalled if the gateway stops before.
    fn carry_out(&self, command: &[u8], by: &OperatorText, done: CommandDone);
}

crate::words! {
    /// What became of a command.
    pub enum CommandOutcome {
        /// It was carried out, and what it caused is durable.
        Done = "done",
        /// It is none, or not one for this entrance.
        Invalid = "invalid",
        /// What it is about is not known.
        Unknown = "unknown",
        /// It contradicts what is so now, or what the configuration allows.
        Conflict = "conflict",
        /// Not now: the judges are busy.
        Busy = "busy",
        /// Not now: too many commands came within a second.
        TooOften = "too_often",
    }
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReply {
    /// What became of it.
    pub outcome: CommandOutcome,
    /// The answer in JSON, as on `…/cmd/reply`.
    pub answer: Bytes,
}
