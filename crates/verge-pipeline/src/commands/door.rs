//! The entrance for commands of people on this machine and in its network (pages, interfaces), beside those of the uplinks:
//! the same words, the same executor, the same answers.

use std::sync::{Arc, Mutex, PoisonError};

use verge_domain::id::{Lane, OperatorText, Seq};
use verge_domain::live::{CommandDone, CommandOutcome, CommandReply};
use verge_domain::model_order::ModelRefusal;
use verge_domain::time::Monotonic;

use super::{
    CommandAnswer, CommandDesks, CommandError, CommandRate, CommandedRoute, Executor, RemoteCommand,
    RouteDesk, RouteReply, json,
};
use crate::committer::StoreHandle;
use crate::delivery::{LinkCounters, TooManyReplays};
use crate::judging::OrderError;

/// The entrance. Clones share its rate.
#[derive(Clone)]
pub struct CommandDoor {
    executor: Executor,
    rate: Arc<Mutex<CommandRate>>,
    routes: Arc<[RouteDesk]>,
}

/// Of a name that is not known, this much is repeated.
const MAX_SHOWN_CHARS: usize = 64;

impl CommandDoor {
    /// One that leads to these desks.
    #[must_use]
    pub fn new(store: StoreHandle, desks: CommandDesks) -> Self {
        Self { executor: Executor::new(store, desks), rate: Arc::default(), routes: Arc::default() }
    }

    /// The same where commands about these routes are taken, too.
    #[must_use]
    pub fn with_routes(self, routes: Vec<RouteDesk>) -> Self {
        Self { routes: routes.into(), ..self }
    }

    /// Carries out a command in JSON for `by`; `replay` and `ledger` name their `route`. `done` is called once what it caused is
    /// durable, or at once with what is wrong.
    pub async fn carry_out(&self, command: &[u8], by: &OperatorText, now: Monotonic, done: CommandDone) {
        let (route, command) = json::route_of(command);
        let json::CommandRequest { id, command } = json::parse(&command, by);
        let reply = move |answer: Result<CommandAnswer, CommandError>| {
            let outcome = answer.as_ref().map_or_else(CommandError::outcome, |_| CommandOutcome::Done);
            done(CommandReply { outcome, answer: json::answer(id.as_deref(), &answer) });
        };
        let command = match command {
            Ok(_) if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).admit(now) => {
                Err(CommandError::TooOften)
            }
            command => command,
        };
        let command = match command {
            Ok(command @ (RemoteCommand::Replay { .. } | RemoteCommand::Ledger)) => {
                return self.to_route(route.as_deref(), command, Box::new(reply));
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

    fn to_route(&self, route: Option<&str>, command: RemoteCommand, reply: RouteReply) {
        let known = || {
            let names: Vec<&str> = self.routes.iter().map(|desk| desk.route().as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let Some(route) = route else { return reply(Err(CommandError::NoRoute { known: known() })) };
        let Some(desk) = self.routes.iter().find(|desk| desk.route().as_str() == route) else {
            let route = route.chars().take(MAX_SHOWN_CHARS).collect();
            return reply(Err(CommandError::UnknownRoute { route, known: known() }));
        };
        if let Err(reply) = desk.submit(command, reply) {
            reply(Err(CommandError::Busy));
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
            | Self::NoRoute { .. } => CommandOutcome::Invalid,
            Self::NotStored { .. }
            | Self::NotCommitted { .. }
            | Self::UnknownEvent { .. }
            | Self::UnknownRoute { .. }
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
            Self::Model(ModelRefusal::Unknown { .. }) => CommandOutcome::Unknown,
            Self::Model(refusal) if refusal.is_temporary() => CommandOutcome::Busy,
            Self::Model(_) => CommandOutcome::Conflict,
            Self::TooOften => CommandOutcome::TooOften,
            Self::TooManyReplays | Self::Unreadable | Self::Busy => CommandOutcome::Busy,
        }
    }
}

/// Commands that are about a route go there.
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
