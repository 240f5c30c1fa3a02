//! From the store upstream: lanes, batches, windows, marks, over one or several links.
//!
//! One task per route. It sends stored bytes and nothing else, offers again what a lost connection left
//! unacknowledged, and calls a verdict delivered only on upstream's acknowledgement. The links of a route share its
//! marks: an acknowledgement over any of them counts.
//!
//! Reading order: [`deliver`]; `route`, the task's state and what happens to it; `offer`, from rows to items; `control`,
//! commands and the status; `provisional`, alarms without a number. Pure: `window` (what may be offered next), `choice`
//! (over which link), `budget` (how much in a day), `ranges` (sets of numbers).

mod budget;
mod choice;
mod control;
mod link;
mod offer;
mod provisional;
mod ranges;
mod route;
mod window;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::MissedTickBehavior;
use verge_domain::id::{GatewayId, Lane, RouteId, Seq};
use verge_domain::settable::SetLimit;
use verge_domain::stage::{Control, Form, Sink, StoredRow};

use crate::beats::{BEAT_EVERY, Beat};
use crate::clock::Clock;
use crate::commands::{CommandDesks, RouteCommands};
use crate::committer::StoreHandle;
pub use choice::RouteMode;
use link::poll_links;
pub use link::{Link, LinkCounters, RouteCounters};
use route::DeliveryRoute;
pub use window::BatchPolicy;
pub(crate) use window::{MAX_REPLAYS, TooManyReplays};

/// Maximum of answers to orders that wait for the route: more than the orders that can wait for the judges.
const ANSWER_QUEUE: usize = 64;
/// Marks are handed to the store this often at most.
const MARK_EVERY: Duration = Duration::from_millis(50);
/// How often the status is published, in addition to each connection, each change of the store's state, and each limit that an
/// operator moves.
pub const STATUS_EVERY: Duration = Duration::from_secs(30);

/// How one route delivers.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// Name of the route: its marks are kept under it.
    pub route: RouteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// Lanes it carries.
    pub lanes: Vec<Lane>,
    /// Batching.
    pub batch: BatchPolicy,
    /// What upstream acknowledged over a link up to this long before its connection was lost is sent again: a
    /// broker acknowledges what it has in memory, and loses it when it dies. Zero: never.
    pub rewind: Duration,
    /// How its links share the work.
    pub mode: RouteMode,
    /// Beats while it makes progress.
    pub beat: Arc<Beat>,
    /// The limits that operators have set: whoever moves one reads it back from the status.
    pub limits: watch::Receiver<Vec<SetLimit>>,
}

/// Delivers until `stop` becomes true, then closes the sinks in good order. `links` stand in order of preference.
/// `desks` take commands; `asked` are those about the route that come by no link.
/// `status` returns the status document; its argument is true when the gateway is about to stop.
#[expect(clippy::too_many_arguments, reason = "each is one end that the route is connected to")]
pub async fn deliver<K, F>(
    settings: RouteSettings,
    delivered: [Seq; 3],
    store: StoreHandle,
    (desks, mut asked): (CommandDesks, RouteCommands),
    links: Vec<Link<K, F>>,
    counters: Arc<RouteCounters>,
    clock: Clock,
    status: impl Fn(bool) -> Bytes + Send,
    mut stop: watch::Receiver<bool>,
) where
    K: Sink + Control,
    F: Form<Item = K::Item>,
{
    let (mut state, mut provisional) = (store.state(), store.provisional());
    let (mut heads, mut limits) = (store.heads(), settings.limits.clone());
    let (answers, mut answered) = mpsc::channel(ANSWER_QUEUE);
    let mut route =
        DeliveryRoute::open(settings, delivered, store, desks, answers, links, counters, clock).await;
    let mut next_status = tokio::time::interval(STATUS_EVERY);
    next_status.reset();
    let mut next_marks = tokio::time::interval(MARK_EVERY);
    next_marks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_beat = tokio::time::interval(BEAT_EVERY);
    next_beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !route.is_overtaken {
        let wake = route.fill().await;
        tokio::select! {
            (link, event) = poll_fn(|context| poll_links(&mut route.links, route.turn, context)) => {
                let Some(event) = event else { break };
                if route.on_event(link, event).await {
                    route.note_reports();
                    route.publish_status(&status(false), true);
                    next_status.reset();
                }
            }
            changed = heads.changed() => if changed.is_err() { break },
            changed = state.changed() => {
                if changed.is_err() {
                    break;
                }
                route.store_changed(*state.borrow_and_update());
                route.publish_status(&status(false), true);
                next_status.reset();
            }
            () = limit_set(&mut limits), if route.is_connected() => route.publish_status(&status(false), false),
            alarm = next_provisional(&mut provisional) => route.note_provisional(alarm),
            Some((link, answer)) = answered.recv() => route.answer(link, answer),
            Some(command) = asked.next() => route.asked(command).await,
            () = sleep(wake) => {}
            _ = next_beat.tick() => route.settings.beat.beat(),
            _ = next_marks.tick(), if route.has_unsent_marks() => route.send_marks().await,
            _ = next_status.tick(), if route.is_connected() => {
                route.note_reports();
                route.publish_status(&status(false), false);
            }
            () = stopped(&mut stop) => break,
        }
    }
    // What was committed before the stop is sent too, as far as the windows take it.
    route.fill().await;
    route.close(status(true)).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that was dropped can no longer report a stop: that is a stop, too.
    drop(stop.wait_for(|&stop| stop).await);
}

async fn limit_set(limits: &mut watch::Receiver<Vec<SetLimit>>) {
    if limits.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn next_provisional(provisional: &mut broadcast::Receiver<StoredRow>) -> StoredRow {
    loop {
        match provisional.recv().await {
            Ok(alarm) => return alarm,
            // They come again with a number.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
