//! Commands to a running gateway: one closed list, carried out in one place, whichever entrance they come by.
//!
//! An entrance reads a `RemoteCommand` in its peer's form (`json` for `…/cmd`), passes it to the `Executor`, and
//! writes the answer in the same form. Each entrance limits the rate of commands (`CommandRate`).

mod door;
pub(crate) mod json;
mod route_desk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_domain::frame::SnapshotOrder;
use verge_domain::id::{Epoch, EventNumber, Lane, OperatorText, Seq};
use verge_domain::model_order::{ModelAnswer, ModelOrder, ModelRefusal, SharedModelDesk};
use verge_domain::stage::Remark;
use verge_domain::time::Monotonic;

use crate::committer::{StoreHandle, StoreLedger};
use crate::delivery::{LinkCounters, MAX_REPLAYS, TooManyReplays};
use crate::frames::{SNAPSHOT_LIMIT, SnapshotDesk, SnapshotRefusal, TakenSnapshot};
use crate::intake::OrderDesk;
use crate::judging::{KNOWN_EVENTS, KnownEvent, Operator, Order, OrderError, Outcome};
pub use door::CommandDoor;
pub use json::models::report as model_report;
pub(crate) use route_desk::{RouteCommand, RouteReply};
pub use route_desk::{RouteCommands, RouteDesk};

/// Commands taken by one entrance in each second; further ones are counted and not answered.
const PER_SECOND: u32 = 10;

/// What may be requested of a running gateway.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RemoteCommand {
    /// To send a range of a route's verdicts again.
    Replay { lane: Lane, from: Seq, to: Seq, epoch: Option<String> },
    /// To report what is stored and what was delivered.
    Ledger,
    /// An order to the judges.
    Order(Order),
    /// What is to be done about one event.
    OfEvent { number: EventNumber, what: EventOrder },
    /// One picture of a camera.
    Snapshot(SnapshotOrder),
    /// What is asked of the models, and where it came in.
    Model { order: ModelOrder, door: OperatorText },
}

/// An order about an event that is known by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventOrder {
    /// A remark, and the operator.
    Label(Remark, OperatorText),
    /// To acknowledge it.
    Acknowledge(Operator),
    /// To shelve the alarms of its judge about its subject, or to put them back.
    Shelve { length: Duration, operator: Operator },
}

impl EventOrder {
    /// The order to the judges.
    fn about(self, event: &KnownEvent) -> Order {
        let selector = event.selector();
        match self {
            Self::Label(remark, by) => Order::Label { selector, remark, event: Some(event.clone()), by },
            Self::Acknowledge(operator) => {
                Order::Acknowledge { selector, event: Some(event.clone()), operator }
            }
            Self::Shelve { length, operator } => Order::Shelve { selector, length, operator },
        }
    }
}

/// The result of a command.
#[derive(Debug, Clone)]
pub(crate) enum CommandAnswer {
    /// These numbers are sent again.
    Replayed { from: Seq, to: Seq },
    /// What is stored and what was delivered.
    Ledger { store: Box<StoreLedger>, delivered: [Seq; 3], links: Vec<Arc<LinkCounters>> },
    /// The judges have carried out an order, and its result is durable.
    Order(Outcome),
    /// The same of an order about one event, as it was known before.
    OfEvent { outcome: Outcome, event: KnownEvent },
    /// A picture.
    Snapshot(Box<TakenSnapshot>),
    /// What became of an order about models.
    Model(ModelAnswer),
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("a command has at most {limit} bytes, this one has {actual}")]
    TooLong { actual: usize, limit: usize },
    #[error("not a JSON object")]
    NotJson,
    #[error(
        "unknown command; there are replay, ledger, label, maintenance, acknowledge, shelve, unshelve, set, snapshot, offer, promote and \
         rollback"
    )]
    Unknown,
    #[error("{key}: missing, or not {expected}")]
    Bad { key: &'static str, expected: &'static str },
    #[error("unknown key beside {known}")]
    UnknownKey { known: &'static str },
    #[error("from {from} is after to {to}")]
    Backwards { from: Seq, to: Seq },
    #[error("the store has another epoch, {ours}")]
    OtherEpoch { ours: Epoch },
    #[error("not stored any more; the oldest number of lane {lane} is {oldest}")]
    NotStored { lane: Lane, oldest: Seq },
    #[error("the last number of lane {lane} that was committed is {last}")]
    NotCommitted { lane: Lane, last: Seq },
    #[error("this route does not carry lane {lane}")]
    NotCarried { lane: Lane },
    #[error("{MAX_REPLAYS} ranges wait to be replayed already; ask again later")]
    TooManyReplays,
    #[error("the store cannot be read now; ask again later")]
    Unreadable,
    #[error("the judges are busy; ask again later")]
    Busy,
    #[error("more than {PER_SECOND} commands in a second came in here; ask again later")]
    TooOften,
    #[error("route: missing, or not the name of the route that this command is about; there are: {known}")]
    NoRoute { known: String },
    #[error("there is no route {route:?}; there are: {known}")]
    UnknownRoute { route: String, known: String },
    #[error(transparent)]
    Snapshot(#[from] SnapshotRefusal),
    #[error(transparent)]
    Model(#[from] ModelRefusal),
    #[error(
        "the answer has {actual} bytes, and this uplink sends at most {limit}: ask for less, or give it a larger max_packet"
    )]
    AnswerTooLarge { actual: usize, limit: usize },
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error("event {number} is not known; {}", known_words(*.known))]
    UnknownEvent { number: EventNumber, known: Option<(EventNumber, EventNumber)> },
}

impl From<TooManyReplays> for CommandError {
    fn from(_: TooManyReplays) -> Self {
        Self::TooManyReplays
    }
}

/// The route that a command concerns.
pub(crate) trait CommandedRoute {
    fn carries(&self, lane: Lane) -> bool;

    /// Sends a range of stored numbers again.
    fn replay(&mut self, lane: Lane, from: Seq, to: Seq) -> Result<(), TooManyReplays>;

    /// Up to which number, by lane, it has delivered.
    fn delivered(&self) -> [Seq; 3];

    fn links(&self) -> Vec<Arc<LinkCounters>>;
}

/// Carries out commands.
#[derive(Clone)]
pub(crate) struct Executor {
    store: StoreHandle,
    desks: CommandDesks,
}

/// Where commands go.
#[derive(Clone)]
pub struct CommandDesks {
    /// To the judges.
    pub orders: OrderDesk,
    /// To what looks at frames; `None` where no pictures may be requested.
    pub snapshots: Option<SnapshotDesk>,
    /// To the models; `None` where upstream may not change them.
    pub models: Option<SharedModelDesk>,
}

impl Executor {
    pub(crate) fn new(store: StoreHandle, desks: CommandDesks) -> Self {
        Self { store, desks }
    }

    /// Carries out one command. `None`: the answer comes by `later` once it is durable, on another thread. The caller
    /// does not wait, because the requesting route may be what makes room in a full store.
    pub(crate) async fn carry_out(
        &self,
        command: RemoteCommand,
        route: &mut impl CommandedRoute,
        later: impl FnOnce(Result<CommandAnswer, CommandError>) + Send + 'static,
    ) -> Result<Option<CommandAnswer>, CommandError> {
        match command {
            RemoteCommand::Replay { lane, from, to, epoch } => {
                if !route.carries(lane) {
                    return Err(CommandError::NotCarried { lane });
                }
                let (from, to) = clip(lane, (from, to), epoch.as_deref(), &self.ledger().await?)?;
                route.replay(lane, from, to)?;
                Ok(Some(CommandAnswer::Replayed { from, to }))
            }
            RemoteCommand::Ledger => Ok(Some(CommandAnswer::Ledger {
                store: Box::new(self.ledger().await?),
                delivered: route.delivered(),
                links: route.links(),
            })),
            RemoteCommand::Snapshot(order) => {
                let desk = self.desks.snapshots.clone().ok_or(SnapshotRefusal::Off)?;
                let reply = |taken: Result<TakenSnapshot, SnapshotRefusal>| {
                    let answer = taken.map(|taken| CommandAnswer::Snapshot(Box::new(taken)));
                    later(answer.map_err(CommandError::Snapshot));
                };
                let number = desk.submit(order, Instant::now(), reply)?;
                tokio::spawn(async move {
                    tokio::time::sleep(SNAPSHOT_LIMIT).await;
                    desk.expire(number);
                });
                Ok(None)
            }
            RemoteCommand::Model { order, door } => {
                let desk = self.desks.models.as_ref().ok_or(ModelRefusal::Off)?;
                let reply = |done: Result<ModelAnswer, ModelRefusal>| {
                    later(done.map(CommandAnswer::Model).map_err(CommandError::Model));
                };
                desk.submit(order, &door, Box::new(reply));
                Ok(None)
            }
            RemoteCommand::Order(order) => {
                let reply = |outcome: Result<Outcome, OrderError>| {
                    later(outcome.map(CommandAnswer::Order).map_err(CommandError::Order));
                };
                self.desks.orders.submit(order, reply).map_err(|_| CommandError::Busy)?;
                Ok(None)
            }
            RemoteCommand::OfEvent { number, what } => {
                let unknown = |known| CommandError::UnknownEvent { number, known };
                let event = self.desks.orders.register().find(number).map_err(unknown)?;
                let order = what.about(&event);
                let reply = |outcome: Result<Outcome, OrderError>| {
                    let done = |outcome| CommandAnswer::OfEvent { outcome, event };
                    later(outcome.map(done).map_err(CommandError::Order));
                };
                self.desks.orders.submit(order, reply).map_err(|_| CommandError::Busy)?;
                Ok(None)
            }
        }
    }

    async fn ledger(&self) -> Result<StoreLedger, CommandError> {
        self.store.ledger().await.and_then(Result::ok).ok_or(CommandError::Unreadable)
    }
}

fn known_words(known: Option<(EventNumber, EventNumber)>) -> String {
    match known {
        None => "no event was raised yet; say which by device, signal and judge".to_owned(),
        Some((first, last)) => format!(
            "the newest {KNOWN_EVENTS} at most are, here {first} to {last}; say which older one by device, signal and judge"
        ),
    }
}

/// The part of a range that is stored and can be sent again.
fn clip(
    lane: Lane,
    (from, to): (Seq, Seq),
    epoch: Option<&str>,
    store: &StoreLedger,
) -> Result<(Seq, Seq), CommandError> {
    if epoch.is_some_and(|epoch| epoch != store.epoch.to_string()) {
        return Err(CommandError::OtherEpoch { ours: store.epoch });
    }
    let (oldest, last) = (store.oldest[lane.index()], store.last[lane.index()]);
    if from > last {
        return Err(CommandError::NotCommitted { lane, last });
    }
    let (from, to) = (from.max(oldest), to.min(last));
    if from > to {
        return Err(CommandError::NotStored { lane, oldest });
    }
    Ok((from, to))
}

/// The rate of commands at one entrance.
#[derive(Debug, Default)]
pub struct CommandRate {
    second: Option<Monotonic>,
    count: u32,
}

impl CommandRate {
    /// Whether one more is taken.
    pub fn admit(&mut self, now: Monotonic) -> bool {
        if self.second.is_none_or(|began| now.since(began) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count <= PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::stage::StoreUsage;

    use super::*;

    pub(crate) fn store() -> StoreLedger {
        StoreLedger {
            epoch: Epoch([7; 16]),
            oldest: [Seq(1), Seq(10), Seq(5)],
            last: [Seq(3), Seq(20), Seq(4)],
            usage: StoreUsage { withdrawn: [0, 4, 0, 0, 1, 0, 0], ..StoreUsage::default() },
        }
    }

    #[test]
    fn a_range_is_clipped_to_what_is_stored() {
        let check = |lane, range: (u64, u64), epoch: Option<&str>, expected: Result<(u64, u64), &str>| {
            let clipped = clip(lane, (Seq(range.0), Seq(range.1)), epoch, &store());
            let clipped = clipped.map(|(from, to)| (from.0, to.0)).map_err(|error| error.to_string());
            assert_eq!(clipped, expected.map_err(ToOwned::to_owned));
        };
        check(Lane::Verdict, (12, 15), Some(&"07".repeat(16)), Ok((12, 15)));
        check(Lane::Verdict, (1, u64::MAX), None, Ok((10, 20)));
        let gone = "not stored any more; the oldest number of lane verdict is 10";
        check(Lane::Verdict, (1, 9), None, Err(gone));
        let ahead = "the last number of lane verdict that was committed is 20";
        check(Lane::Verdict, (21, 21), None, Err(ahead));
        let none = "not stored any more; the oldest number of lane telemetry is 5";
        check(Lane::Telemetry, (1, 9), None, Err(none));
        let other = format!("the store has another epoch, {}", "07".repeat(16));
        check(Lane::Verdict, (12, 15), Some("08"), Err(&other));
    }

    #[test]
    fn ten_commands_are_taken_in_a_second() {
        let mut rate = CommandRate::default();
        let taken = |rate: &mut CommandRate, now| (0..20).filter(|_| rate.admit(Monotonic(now))).count();
        assert_eq!(taken(&mut rate, 5), 10);
        assert_eq!(taken(&mut rate, 900_000), 0);
        assert_eq!(taken(&mut rate, 1_000_005), 10);
    }
}
