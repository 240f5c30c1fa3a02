//! From the store to one sink: lanes, batches, the window, marks.
//!
//! One task per route. It sends stored bytes and nothing else, offers again on every connection what is not
//! acknowledged, and calls a verdict delivered only on upstream's acknowledgement.

mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use verge_domain::id::{GatewayId, Lane, RouteId, Seq};
use verge_domain::stage::{
    Channel, Encoder, Envelope, OfferError, Sink, SinkEvent, StoreError, StoredRow, Token,
};

use crate::clock::Clock;
use crate::committer::StoreHandle;
use crate::counters::Counter;
pub use window::BatchPolicy;
use window::{Next, Window};

/// Largest part of a lane read at once, in bytes.
const MAX_FETCH_BYTES: usize = 256 * 1024;
/// Marks are handed to the store this often at most.
const MARK_EVERY: Duration = Duration::from_millis(50);
/// Pause after the store could not be read.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often the status is published.
pub const STATUS_EVERY: Duration = Duration::from_secs(30);
/// Time for outstanding acknowledgements when the gateway stops.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// Tokens of status messages: never those of verdicts, which count from zero.
const STATUS_TOKEN: Token = Token(u64::MAX);

/// How one route delivers.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// Name of the route: its marks are kept under it.
    pub route: RouteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// Lanes it carries.
    pub lanes: Vec<Lane>,
    /// Messages in flight at most.
    pub window: usize,
    /// Batching.
    pub batch: BatchPolicy,
    /// What upstream acknowledged up to this long before a connection broke is sent again on the next one: a
    /// broker acknowledges what it has in memory, and loses it when it dies. Zero: never.
    pub rewind: Duration,
}

/// What one route has done, for the status.
#[derive(Debug, Default)]
pub struct RouteCounters {
    /// Messages handed to the sink, repetitions included.
    pub messages_offered_total: Counter,
    /// Bytes of their payloads.
    pub bytes_offered_total: Counter,
    /// Connections made.
    pub connections_total: Counter,
    /// Verdicts that could not be sent (too large, or unreadable): an operator is needed.
    pub undeliverable_total: Counter,
    connected: AtomicBool,
    delivered: AtomicU64,
    backlog: AtomicU64,
}

impl RouteCounters {
    /// Whether a connection stands.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Verdicts acknowledged upstream since the start, each counted once.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Verdicts committed and not delivered on this route.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }
}

/// Delivers until `stop` becomes true, then closes the sink in good order. `status` gives the document for
/// [`Channel::Status`]; its argument says whether the gateway is about to stop.
#[expect(clippy::too_many_arguments, reason = "each is one end that the route is connected to")]
pub async fn deliver<K, E>(
    settings: RouteSettings,
    delivered: [Seq; 3],
    store: StoreHandle,
    sink: K,
    encoder: E,
    counters: Arc<RouteCounters>,
    clock: Clock,
    status: impl Fn(bool) -> Bytes + Send,
    mut stop: watch::Receiver<bool>,
) where
    K: Sink,
    E: Encoder,
{
    let window = Window::new(settings.batch, &settings.lanes, settings.window, settings.rewind, delivered);
    let mut heads = store.heads();
    let mut route = Route {
        window,
        settings,
        store,
        sink,
        encoder,
        counters,
        clock,
        connected: false,
        unsent_marks: [None; 3],
        message: Vec::new(),
    };
    route.committed(&mut heads);
    let mut next_status = tokio::time::interval(STATUS_EVERY);
    let mut next_marks = tokio::time::interval(MARK_EVERY);
    next_marks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let wake = route.fill().await;
        tokio::select! {
            event = route.sink.event() => match event {
                Some(event) => {
                    if route.on_event(event) {
                        next_status.reset_immediately();
                    }
                }
                None => break,
            },
            changed = heads.changed() => match changed {
                Ok(()) => route.committed(&mut heads),
                Err(_) => break,
            },
            () = sleep_until(wake) => {}
            _ = next_marks.tick(), if route.has_unsent_marks() => route.send_marks().await,
            _ = next_status.tick(), if route.connected => route.publish_status(status(false)),
            () = stopped(&mut stop) => break,
        }
    }
    route.close(status(true)).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone can no longer say so: that is a stop, too.
    drop(stop.wait_for(|&stop| stop).await);
}

async fn sleep_until(wake: Option<Duration>) {
    match wake {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

struct Route<K, E> {
    settings: RouteSettings,
    window: Window,
    store: StoreHandle,
    sink: K,
    encoder: E,
    counters: Arc<RouteCounters>,
    clock: Clock,
    connected: bool,
    unsent_marks: [Option<Seq>; 3],
    message: Vec<u8>,
}

impl<K: Sink, E: Encoder> Route<K, E> {
    fn committed(&mut self, heads: &mut watch::Receiver<[Seq; 3]>) {
        let heads = *heads.borrow_and_update();
        self.window.committed(heads, self.clock.now().mono);
        for (lane, head) in self.window.not_carried() {
            self.unsent_marks[lane.index()] = Some(head);
        }
        self.note_backlog();
    }

    fn note_backlog(&self) {
        self.counters.delivered.store(self.window.delivered_total(), Ordering::Relaxed);
        self.counters.backlog.store(self.window.backlog(), Ordering::Relaxed);
    }

    /// Offers what may be offered now; says after what time to look again.
    async fn fill(&mut self) -> Option<Duration> {
        while self.connected {
            let now = self.clock.now().mono;
            match self.window.next(now) {
                Next::Wait => return None,
                Next::WaitUntil(at) => return Some(at.since(now)),
                Next::Offer { lane, after, max_rows } => {
                    match self.store.fetch(lane, after, max_rows, MAX_FETCH_BYTES).await {
                        Some(Ok(rows)) => {
                            if !self.offer_rows(lane, after, &rows) {
                                return None;
                            }
                        }
                        Some(Err(error)) => {
                            self.unreadable(lane, after, &error);
                            return Some(STORE_RETRY);
                        }
                        None => return None,
                    }
                }
            }
        }
        None
    }

    /// Offers rows as one message, or each alone in the alarm lane. Says whether to go on.
    fn offer_rows(&mut self, lane: Lane, after: Seq, rows: &[StoredRow]) -> bool {
        let now = self.clock.now().mono;
        // A route that is new to an old store finds the oldest verdicts evicted: it begins behind them.
        let stored_from = rows.first().map_or(self.window.head(lane).next(), |row| row.seq);
        if stored_from > after.next() {
            if stored_from > self.window.mark(lane).next() {
                tracing::warn!(
                route = %self.settings.route, %lane, from = %after.next(), before = %stored_from,
                "verdicts that the store no longer holds are not delivered on this route"
                );
            }
            let mark = self.window.skip(lane, Seq(stored_from.0 - 1), now);
            self.note_mark(lane, mark);
        }
        if lane == Lane::Alarm {
            rows.iter().all(|row| self.offer(lane, std::slice::from_ref(row)))
        } else {
            self.offer(lane, rows)
        }
    }

    fn offer(&mut self, lane: Lane, rows: &[StoredRow]) -> bool {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return true };
        let now = self.clock.now();
        let envelope = Envelope {
            gateway: self.settings.gateway.clone(),
            epoch: self.store.epoch(),
            lane,
            sent: now.wall,
        };
        if let Err(error) = self.encoder.message(&envelope, rows, &mut self.message) {
            tracing::error!(route = %self.settings.route, %lane, first = %first.seq, %error, "cannot be sent");
            return self.give_up(lane, rows);
        }
        let channel = if lane == Lane::Alarm { Channel::Alarm } else { Channel::Verdict };
        let token = self.window.offered(lane, first.seq, last.seq, now.mono);
        let size = self.message.len();
        match self.sink.offer(channel, Bytes::copy_from_slice(&self.message), token) {
            Ok(()) => {
                self.counters.messages_offered_total.add(1);
                self.counters.bytes_offered_total.add(size as u64);
                true
            }
            Err(OfferError::TooLarge { actual, limit }) => {
                self.window.withdraw(token, now.mono);
                if rows.len() > 1 {
                    let (front, back) = rows.split_at(rows.len() / 2);
                    return self.offer(lane, front) && self.offer(lane, back);
                }
                tracing::error!(route = %self.settings.route, %lane, seq = %first.seq, actual, limit, "too large to send");
                self.give_up(lane, rows)
            }
            Err(OfferError::NotConnected | OfferError::WindowFull) => {
                self.window.withdraw(token, now.mono);
                false
            }
        }
    }

    /// Goes past rows that can never be sent, so that what is behind them can be. They stay in the store
    /// for as long as the replay window holds them.
    fn give_up(&mut self, lane: Lane, rows: &[StoredRow]) -> bool {
        self.counters.undeliverable_total.add(rows.len() as u64);
        if let Some(last) = rows.last() {
            let mark = self.window.skip(lane, last.seq, self.clock.now().mono);
            self.note_mark(lane, mark);
        }
        true
    }

    fn unreadable(&self, lane: Lane, after: Seq, error: &StoreError) {
        tracing::error!(route = %self.settings.route, %lane, %after, %error, "cannot read verdicts to send");
    }

    /// Takes note of what happened at the sink. Says whether a connection has just been made.
    fn on_event(&mut self, event: SinkEvent) -> bool {
        match event {
            SinkEvent::Connected => {
                tracing::info!(route = %self.settings.route, backlog = self.window.backlog(), "connected upstream");
                self.set_connected(true);
                self.counters.connections_total.add(1);
                self.window.restart(self.clock.now().mono);
                return true;
            }
            SinkEvent::Disconnected { reason } => {
                if self.connected {
                    tracing::warn!(route = %self.settings.route, %reason, "connection upstream lost; verdicts are kept");
                    self.window.lost(self.clock.now().mono);
                } else {
                    tracing::info!(route = %self.settings.route, %reason, "upstream cannot be reached yet; verdicts are kept");
                }
                self.set_connected(false);
            }
            SinkEvent::Delivered(token) => {
                if let Some((lane, mark)) = self.window.delivered(token, self.clock.now().mono) {
                    self.note_mark(lane, Some(mark));
                }
            }
        }
        false
    }

    fn set_connected(&mut self, connected: bool) {
        self.connected = connected;
        self.counters.connected.store(connected, Ordering::Relaxed);
    }

    fn note_mark(&mut self, lane: Lane, mark: Option<Seq>) {
        self.note_backlog();
        if let Some(mark) = mark {
            self.unsent_marks[lane.index()] = Some(mark);
        }
    }

    fn has_unsent_marks(&self) -> bool {
        self.unsent_marks.iter().any(Option::is_some)
    }

    async fn send_marks(&mut self) {
        for lane in Lane::ALL {
            if let Some(mark) = self.unsent_marks[lane.index()].take() {
                self.store.mark(&self.settings.route, lane, mark).await;
            }
        }
    }

    fn publish_status(&mut self, document: Bytes) {
        // A status that cannot be taken now is superseded by the next one.
        if let Err(error) = self.sink.offer(Channel::Status, document, STATUS_TOKEN) {
            tracing::debug!(route = %self.settings.route, %error, "status not published");
        }
    }

    async fn close(mut self, last_status: Bytes) {
        self.sink.close(last_status, CLOSE_GRACE).await;
        while let Some(event) = self.sink.event().await {
            self.on_event(event);
        }
        self.send_marks().await;
        if self.window.in_flight() > 0 {
            tracing::info!(
                route = %self.settings.route, messages = self.window.in_flight(),
                "stopped before upstream acknowledged; they are offered again at the next start"
            );
        }
    }
}
