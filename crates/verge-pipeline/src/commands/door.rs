//! The entrance for commands of people on this machine and in its network (pages, interfaces), beside those of the uplinks:
//! the same words, the same executor, the same answers.

use std::sync::{Arc, Mutex, PoisonError};

use verge_domain::id::{Lane, OperatorText, Seq};
use verge_domain::live::{CommandDone, CommandOutcome, CommandReply};
use verge_domain::time::Monotonic;

use super::{
    CommandAnswer, CommandDesks, CommandError, CommandRate, CommandedRoute, Executor, RemoteCommand, json,
};
use crate::committer::StoreHandle;
use crate::delivery::{LinkCounters, TooManyReplays};
use crate::judging::OrderError;

/// The entrance. Clones share its rate.
#[derive(Clone)]
pub struct CommandDoor {
    executor: Executor,
    rate: Arc<Mutex<CommandRate>>,
}

impl CommandDoor {
    /// One that leads to these desks.
    #[must_use]
    pub fn new(store: StoreHandle, desks: CommandDesks) -> Self {
        Self { executor: Executor::new(store, desks), rate: Arc::default() }
    }

    /// Carries out a command in JSON for `by`. `done` is called once what it caused is durable, or at once with what is wrong.
    pub async fn carry_out(&self, command: &[u8], by: &OperatorText, now: Monotonic, done: CommandDone) {
        let json::CommandRequest { id, command } = json::parse(command, by);
        let reply = move |answer: Result<CommandAnswer, CommandError>| {
            let outcome = answer.as_ref().map_or_else(CommandError::outcome, |_| CommandOutcome::Done);
            done(CommandReply { outcome, answer: json::answer(id.as_deref(), &answer) });
        };
        let command = match command {
            Ok(RemoteCommand::Replay { .. } | RemoteCommand::Ledger) => Err(CommandError::NotHere),
            Ok(_) if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).admit(now) => {
                Err(CommandError::TooOften)
            }
            command => command,
        };
        // Whichever comes first answers: the executor, or what is carried out.
        let reply = Arc::new(Mutex::new(Some(reply)));
        let take = |reply: &Mutex<Option<_>>| reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        let later = Arc::clone(&reply);
        let later = move |answer| {
            if let Some(reply) = take(&later) {
                reply(answer);
            }
        };
        let answer = match command {
            Ok(command) => self.executor.carry_out(command, &mut NoRoute, later).await,
            Err(error) => Err(error),
        };
        if let Some(answer) = answer.transpose()
            && let Some(reply) = take(&reply)
        {
            reply(answer);
        }
    }
}

impl CommandError {
    fn outcome(&self) -> CommandOutcome {
        match self {
            Self::TooLong { .. }
            | Self::NotJson
            | Self::Unknown
            | Self::Bad { .. }
            | Self::UnknownKey { .. }
            | Self::Backwards { .. }
            | Self::NotHere => CommandOutcome::Invalid,
            Self::NotStored { .. }
            | Self::NotCommitted { .. }
            | Self::UnknownEvent { .. }
            | Self::Order(
                OrderError::UnknownDevice { .. }
                | OrderError::NothingSelected { .. }
                | OrderError::UnknownJudge { .. },
            ) => CommandOutcome::Unknown,
            Self::OtherEpoch { .. }
            | Self::NotCarried { .. }
            | Self::AnswerTooLarge { .. }
            | Self::Snapshot(_)
            | Self::Order(_) => CommandOutcome::Conflict,
            Self::TooManyReplays | Self::Unreadable | Self::Busy | Self::TooOften => CommandOutcome::Busy,
        }
    }
}

/// Commands that are about a route are refused before.
struct NoRoute;

impl CommandedRoute for NoRoute {
    fn carries(&self, _lane: Lane) -> bool {
        false
    }

    fn replay(&mut self, _lane: Lane, _from: Seq, _to: Seq) -> Result<(), TooManyReplays> {
        Err(TooManyReplays)
    }

    fn delivered(&self) -> [Seq; 3] {
        [Seq::ZERO; 3]
    }

    fn links(&self) -> Vec<Arc<LinkCounters>> {
        Vec::new()
    }
}
