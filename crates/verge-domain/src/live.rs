//! A gateway at work, as pages and interfaces for people see it: what is true now, and an entrance for commands.
//!
//! Implemented where a gateway is wired. Every call is quick, and none makes the data path wait; what takes long answers later.

use bytes::Bytes;

use crate::board::{Board, LastWord};
use crate::configured::Configured;
use crate::id::{Epoch, GatewayId, OperatorText};
use crate::time::{Moment, UtcMillis};
use crate::verdict::Verdict;

/// Called once with the answer to a command, on any thread. It must not block.
pub type CommandDone = Box<dyn FnOnce(CommandReply) + Send>;

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
