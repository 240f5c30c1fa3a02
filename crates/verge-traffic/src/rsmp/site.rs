//! The state machine of a site: events in, packets out. Pure: what it sees of the gateway comes by a [`SiteView`].
//!
//! Order on a new connection: versions, watchdogs, the aggregated status, all alarms; then what the store holds, which is
//! taken as it is offered. A verdict is delivered once every message that it caused is acknowledged.

mod alarms;
mod answers;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use verge_domain::board::LastWord;
use verge_domain::id::{DeviceId, JudgeId, Seq};
use verge_domain::link::{SiteReport, SiteState};
use verge_domain::stage::{SinkEvent, Token, VerdictRow};
use verge_domain::time::{Moment, Monotonic, UtcMillis};

use super::alarms::{AlarmBook, AlarmPlace, AlarmView};
use super::message::{self, Message};
use super::series::{BinKey, Subscriptions};
use super::settings::SiteSettings;

/// Messages that may wait for their acknowledgement at a time.
const MAX_UNACKNOWLEDGED: usize = 64;
/// Commands that may wait for the judges at a time: they are acknowledged before a supervisor gives up.
const MAX_ORDERS: usize = 128;
/// Commands that are carried out without a pause; then one with each tick.
const ORDERS_AT_ONCE: usize = 5;
/// Messages that may wait to be written: more than a site has alarms.
const MAX_ANSWERS: usize = 2048;
/// Messages that may wait where a further answer holds many values.
const MAX_BEFORE_STATUS: usize = 1024;

/// What a supervisor wants to be done about an alarm.
#[derive(Debug, Clone)]
pub enum AlarmOrder {
    /// To acknowledge the open event of this word.
    Acknowledge(Arc<LastWord>),
    /// To shelve the alarms of a judge about a device, or to put them back.
    Shelve {
        /// The judge.
        judge: JudgeId,
        /// The device.
        device: DeviceId,
        /// To shelve them.
        shelve: bool,
    },
}

/// Whether an operator has taken the alarms of a judge about a device off the list.
pub type IsShelved = Box<dyn Fn(&JudgeId, &DeviceId) -> bool>;

/// What a site sees of its gateway. Every call is quick.
pub trait SiteView: Send + Sync {
    /// The clock.
    fn now(&self) -> Moment;

    /// The newest committed number of each lane.
    fn heads(&self) -> [Seq; 3];

    /// Up to which number each lane is delivered; `None` for one that does not go this way.
    fn delivered(&self) -> [Option<Seq>; 3];

    /// The last words that are selected.
    fn words(&self, selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>>;

    /// Says whether an operator has taken the alarms of a judge about a device off the list, as it is at this moment.
    fn shelved(&self) -> IsShelved;

    /// Carries out orders; `done` is called once, with a refusal in words.
    fn carry_out(&self, orders: Vec<AlarmOrder>, done: Box<dyn FnOnce(Result<(), String>) + Send>);
}

/// What a message that was sent was about.
#[derive(Debug, Clone)]
enum About {
    Version,
    Watchdog,
    Control,
    Row(Token),
    Bin(BinKey),
}

#[derive(Debug)]
struct Sent {
    at: Monotonic,
    about: About,
}

/// How far the exchange at the beginning has come.
#[derive(Debug, Default)]
struct Exchange {
    version_taken: bool,
    version_came: bool,
    watchdog_taken: bool,
    watchdog_came: bool,
}

/// What an offered item still waits for.
#[derive(Debug, Default)]
struct Waits {
    left: usize,
    refused: Option<String>,
}

/// What a supervisor asked for that the judges carry out.
#[derive(Debug)]
struct Ordered {
    /// The message.
    id: String,
}

/// A site.
#[derive(Debug)]
pub(super) struct Site {
    settings: SiteSettings,
    random: fastrand::Rng,
    began: UtcMillis,
    state: SiteState,
    exchange: Exchange,
    /// Messages that are written as they are.
    acks: VecDeque<Value>,
    /// Messages that wait for room.
    queue: VecDeque<(Message, About)>,
    unacknowledged: HashMap<String, Sent>,
    /// As of the verdicts that were taken up; `None` before the first connection.
    book: Option<AlarmBook>,
    /// As the supervisor was informed at the beginning of the connection.
    reported: BTreeMap<AlarmPlace, AlarmView>,
    /// Until when each alarm was active, as the supervisor was informed since out of rows.
    ended: BTreeMap<AlarmPlace, UtcMillis>,
    suspended: HashSet<AlarmPlace>,
    /// What the last aggregated status said.
    states: [bool; 8],
    subscriptions: Subscriptions,
    rows: VecDeque<(VerdictRow, Token)>,
    waits: HashMap<Token, Waits>,
    heads: [Seq; 3],
    offered: [Seq; 3],
    up_at: Moment,
    /// When the exchange at the beginning came to its present step.
    step_at: Monotonic,
    last_watchdog: Monotonic,
    orders: Vec<(u64, Ordered)>,
    next_order: u64,
    wanted: VecDeque<(u64, Vec<AlarmOrder>)>,
    /// Commands that may be carried out now.
    order_credit: usize,
    events: VecDeque<SinkEvent>,
    hang_up: Option<String>,
    counted: SiteReport,
}

impl Site {
    /// A site that is not connected.
    pub(super) fn new(settings: SiteSettings, seed: u64, now: Moment) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            began: now.wall,
            state: SiteState::Down,
            exchange: Exchange::default(),
            acks: VecDeque::new(),
            queue: VecDeque::new(),
            unacknowledged: HashMap::new(),
            book: None,
            reported: BTreeMap::new(),
            ended: BTreeMap::new(),
            suspended: HashSet::new(),
            states: [false; 8],
            subscriptions: Subscriptions::new(&settings),
            rows: VecDeque::new(),
            waits: HashMap::new(),
            heads: [Seq::ZERO; 3],
            offered: [Seq::ZERO; 3],
            up_at: now,
            step_at: now.mono,
            last_watchdog: now.mono,
            orders: Vec::new(),
            next_order: 0,
            wanted: VecDeque::new(),
            order_credit: ORDERS_AT_ONCE,
            events: VecDeque::new(),
            hang_up: None,
            counted: SiteReport { components: settings.components.len() as u64 + 1, ..SiteReport::default() },
            settings,
        }
    }

    /// The line stands: the versions are exchanged first.
    pub(super) fn connected(&mut self, view: &dyn SiteView) {
        self.state = SiteState::Version;
        self.step_at = view.now().mono;
        let version = message::version(self.id(), &self.settings);
        self.queue.push_back((version, About::Version));
    }

    /// The line is lost: what was offered is void.
    pub(super) fn lost(&mut self) {
        self.state = SiteState::Down;
        self.exchange = Exchange::default();
        self.acks.clear();
        self.queue.clear();
        self.unacknowledged.clear();
        self.rows.clear();
        // What was not delivered is void, and comes again.
        self.offered = [Seq::ZERO; 3];
        self.waits.clear();
        self.events.clear();
        self.orders.clear();
        self.wanted.clear();
        self.hang_up = None;
        if self.settings.buffer_status {
            self.subscriptions.lost();
        } else {
            self.subscriptions.clear();
        }
    }

    /// Takes rows of a lane for delivery.
    pub(super) fn offer(&mut self, rows: Vec<VerdictRow>, token: Token) {
        self.waits.insert(token, Waits { left: rows.len(), refused: None });
        if rows.is_empty() {
            self.done_with(token);
        }
        for row in rows {
            let offered = &mut self.offered[row.lane.index()];
            *offered = row.seq.max(*offered);
            self.rows.push_back((row, token));
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, view: &dyn SiteView) {
        let now = view.now();
        self.order_credit = ORDERS_AT_ONCE.min(self.order_credit + 1);
        let late = |sent: &&Sent| now.mono.since(sent.at) >= self.settings.ack_timeout;
        if self.unacknowledged.values().any(|sent| late(&sent)) {
            let seconds = self.settings.ack_timeout.as_secs_f32();
            self.hang_up_for(format!("the supervisor has not acknowledged a message within {seconds} s"));
        }
        if self.state != SiteState::Up {
            return self.wait_for_supervisor(now);
        }
        if now.mono.since(self.last_watchdog) >= self.settings.watchdog {
            self.say_watchdog(now);
        }
        self.note_suspended(view);
        // Behind what the store holds nothing is late: it is on its way, perhaps behind much of another lane.
        let is_through = |(lane, delivered): (usize, Option<Seq>)| {
            delivered.is_none_or(|delivered| delivered.max(self.offered[lane]) >= self.heads[lane])
        };
        let has_waited = now.mono.since(self.up_at.mono) >= self.settings.settle;
        if self.rows.is_empty() && has_waited && view.delivered().into_iter().enumerate().all(is_through) {
            self.subscriptions.close_overdue(self.settings.settle, now.wall);
        }
    }

    /// The next packet to be written, without its end.
    pub(super) fn next_packet(&mut self, view: &dyn SiteView) -> Option<Vec<u8>> {
        if let Some(ack) = self.acks.pop_front() {
            return Some(ack.to_string().into_bytes());
        }
        if self.unacknowledged.len() >= MAX_UNACKNOWLEDGED || self.hang_up.is_some() {
            return None;
        }
        let (message, about) = match self.queue.pop_front() {
            Some(queued) => queued,
            None => self.next_of_rows(view)?,
        };
        let Message { id, content } = message;
        self.counted.sent += 1;
        self.unacknowledged.insert(id, Sent { at: view.now().mono, about });
        Some(content.to_string().into_bytes())
    }

    /// Whether the supervisor is listened to: one that takes no answers gets no further ones.
    pub(super) fn listens(&self) -> bool {
        self.acks.len() < MAX_ANSWERS && self.queue.len() < MAX_ANSWERS
    }

    /// Whether everything that was offered is acknowledged.
    pub(super) fn is_idle(&self) -> bool {
        self.waits.is_empty()
    }

    /// What has happened, for the route.
    pub(super) fn take_event(&mut self) -> Option<SinkEvent> {
        self.events.pop_front()
    }

    /// What the judges are to carry out; `Site::ordered` takes the outcome under the same number.
    pub(super) fn take_order(&mut self) -> Option<(u64, Vec<AlarmOrder>)> {
        self.order_credit.checked_sub(1).and_then(|left| {
            let order = self.wanted.pop_front()?;
            self.order_credit = left;
            Some(order)
        })
    }

    /// Why the connection is to be ended, once all packets are written.
    pub(super) fn hang_up(&self) -> Option<&str> {
        self.hang_up.as_deref()
    }

    /// Whether versions and watchdogs were exchanged on this connection.
    pub(super) const fn has_exchanged_versions(&self) -> bool {
        self.exchange.version_taken && self.exchange.version_came
    }

    /// For the status.
    pub(super) fn report(&self) -> SiteReport {
        let book = self.book.as_ref();
        let active = book.map_or(0, |book| book.views().filter(|alarm| alarm.active).count());
        SiteReport {
            state: self.state,
            active_alarms: active as u64,
            suspended_alarms: self.suspended.len() as u64,
            subscriptions: self.subscriptions.len() as u64,
            unacknowledged: self.unacknowledged.len() as u64,
            left_out: book.map_or(0, |book| book.left_out),
            ..self.counted
        }
    }

    fn id(&mut self) -> String {
        message::message_id(&mut self.random)
    }

    fn hang_up_for(&mut self, reason: String) {
        self.hang_up.get_or_insert(reason);
    }

    /// A supervisor that acknowledges and says nothing is none.
    fn wait_for_supervisor(&mut self, now: Moment) {
        let (what, wait) = match self.state {
            SiteState::Version => ("version", self.settings.ack_timeout),
            // One that sends it at its own pace is waited for.
            SiteState::Watchdog => ("watchdog", self.settings.ack_timeout + self.settings.watchdog),
            SiteState::Down | SiteState::Up => return,
        };
        if now.mono.since(self.step_at) >= wait {
            self.hang_up_for(format!("the supervisor has sent no {what} within {} s", wait.as_secs_f32()));
        }
    }

    fn say_watchdog(&mut self, now: Moment) {
        self.last_watchdog = now.mono;
        let watchdog = message::watchdog(self.id(), now.wall);
        self.queue.push_back((watchdog, About::Watchdog));
    }

    /// Goes on once both sides have said what is next.
    fn advance(&mut self, view: &dyn SiteView) {
        let Exchange { version_taken, version_came, watchdog_taken, watchdog_came } = self.exchange;
        if self.state == SiteState::Version && version_taken && version_came {
            self.state = SiteState::Watchdog;
            self.step_at = view.now().mono;
            self.say_watchdog(view.now());
        }
        if self.state == SiteState::Watchdog && watchdog_taken && watchdog_came {
            self.up(view);
        }
    }

    /// One of the things is done that an item waited for.
    fn done_with(&mut self, token: Token) {
        let Some(waits) = self.waits.get_mut(&token) else { return };
        waits.left = waits.left.saturating_sub(1);
        if waits.left > 0 {
            return;
        }
        let refused = self.waits.remove(&token).and_then(|waits| waits.refused);
        self.events.push_back(match refused {
            Some(reason) => SinkEvent::Refused { token, reason },
            None => SinkEvent::Delivered(token),
        });
    }
}

#[cfg(test)]
mod tests;
