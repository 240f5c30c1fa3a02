//! What devices publish for the gateway's own sources goes to the gateway at the guard, not through the broker: when the
//! gateway takes no more, the devices concerned are left unread, and nothing is dropped on the way.
//!
//! With [`SourceInputs::new`]'s `durable` a message of `QoS` 1 is acknowledged once all that it caused is committed; without, once
//! the gateway has it in memory. The broker gets each message, too, for whoever else subscribes to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;
use verge_domain::filter;
use verge_domain::reading::{Acknowledged, Inbound, Receipt, Session, SourceIndex};
use verge_domain::stage::{Intake, IntakeFull, Source};
use verge_domain::time::Moment;

use crate::front::Window;
use crate::retained::Retained;

mod room;
mod waiting;

pub(crate) use room::HELD_STEP;
use room::Room;
use waiting::WaitingMessage;

/// How often the log says at most that an input takes no more.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The gateway's own sources, as the guard sees them.
#[derive(Clone)]
pub struct SourceInputs(Arc<Shared>);

struct Shared {
    durable: bool,
    clock: Box<dyn Fn() -> Moment + Send + Sync>,
    inputs: Mutex<Vec<Arc<Input>>>,
    opened: watch::Sender<bool>,
    room: Room,
    retained: OnceLock<Retained>,
}

/// One input of the gateway, as its source: receipts come back by this.
#[derive(Clone)]
pub struct InputSource(Arc<Input>);

/// How an input stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputState {
    /// Messages handed to the gateway.
    pub received: u64,
    /// Messages whose acknowledgement waits for what they caused.
    pub outstanding: u64,
    /// Messages of sources of which the newest counts that the gateway did not take.
    pub dropped: u64,
    /// How often devices were left unread because the gateway took no more.
    pub overloads: u64,
    /// They are now.
    pub overloaded: bool,
}

struct Input {
    /// As receipts name it.
    number: u64,
    /// `None` where the newest counts.
    session: Option<Session>,
    filters: Vec<(SourceIndex, String)>,
    intake: Mutex<Box<dyn Intake>>,
    /// Whose turn it is to ask again: those that wait go in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    /// Messages that wait.
    waiting: AtomicUsize,
    /// When the log said so last.
    logged: Mutex<Option<Instant>>,
    claims: Mutex<Claims>,
    received: AtomicU64,
    dropped: AtomicU64,
    overloads: AtomicU64,
    is_stopped: AtomicBool,
}

#[derive(Default)]
struct Claims {
    next: u64,
    open: BTreeMap<u64, Arc<Claim>>,
}

/// A device's claim on an acknowledgement, which it gets when nothing holds this any more.
struct Claim {
    id: u16,
    acks: Arc<Window>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.acks.acknowledge(self.id);
    }
}

/// A message of a device for sources of the gateway.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) takers: Takers,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    /// To be acknowledged under this packet identifier.
    pub(crate) id: Option<u16>,
    /// With the retain flag.
    pub(crate) is_retained: bool,
}

/// Which inputs take a topic, by their place, and as which source.
pub(crate) type Takers = Arc<[(usize, SourceIndex)]>;

/// The inputs as a connection sees them.
#[derive(Clone)]
pub(crate) struct Opened {
    shared: Arc<Shared>,
    inputs: Arc<[Arc<Input>]>,
}

impl SourceInputs {
    /// None yet. `clock` says when a message was received.
    pub fn new(durable: bool, clock: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            durable,
            clock: Box::new(clock),
            inputs: Mutex::default(),
            opened: watch::Sender::new(false),
            room: Room::default(),
            retained: OnceLock::new(),
        }))
    }

    /// Adds one. `session`: what is to be acknowledged; `None` where the newest message counts and others may be dropped. Of
    /// several filters that match the first takes a message.
    pub fn add(
        &self,
        session: Option<Session>,
        filters: Vec<(SourceIndex, String)>,
        intake: impl Intake + 'static,
    ) -> InputSource {
        let mut inputs = lock(&self.0.inputs);
        let input = Arc::new(Input {
            number: inputs.len() as u64 + 1,
            session,
            filters,
            intake: Mutex::new(Box::new(intake)),
            turn: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            logged: Mutex::default(),
            claims: Mutex::default(),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            overloads: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        });
        inputs.push(Arc::clone(&input));
        InputSource(input)
    }

    /// All are there: devices are read from now on.
    pub fn open(&self) {
        self.0.opened.send_replace(true);
    }

    /// Retained messages of devices go there, too, from the first device on.
    #[must_use]
    pub fn keeping(self, retained: Option<Retained>) -> Self {
        if let Some(retained) = retained {
            self.0.retained.get_or_init(|| retained);
        }
        self
    }

    /// Waits until the broker has those that are kept.
    pub(crate) async fn retained_back(&self) {
        if let Some(retained) = self.0.retained.get() {
            retained.back().await;
        }
    }

    /// Waits for that.
    pub(crate) async fn opened(&self) -> Opened {
        // It ends with its sender, which this holds.
        drop(self.0.opened.subscribe().wait_for(|opened| *opened).await);
        Opened { shared: Arc::clone(&self.0), inputs: lock(&self.0.inputs).clone().into() }
    }
}

impl Opened {
    /// Which inputs take a topic.
    pub(crate) fn takers(&self, topic: &str) -> Takers {
        let places = self.inputs.iter().enumerate();
        places
            .filter_map(|(place, input)| {
                let taking = input.filters.iter().find(|(_, filter)| filter::matches(filter, topic))?;
                Some((place, taking.0))
            })
            .collect()
    }

    /// Retained messages, where they are kept.
    pub(crate) fn retained(&self) -> Option<&Retained> {
        self.shared.retained.get()
    }

    /// Whether somebody waits for room.
    pub(crate) fn is_room_wanted(&self) -> bool {
        self.shared.room.is_wanted()
    }

    /// Waits for room for a message of this size.
    pub(crate) async fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        self.shared.room.take(bytes).await
    }

    /// Hands a message on, as soon as the gateway takes it: at once to each input that has room, then to the others.
    pub(crate) async fn hand_on(&self, message: Published, acks: &Arc<Window>) {
        let Published { takers, mut topic, payload, id, is_retained } = message;
        if let (Some(retained), true) = (self.shared.retained.get(), is_retained) {
            retained.note(&topic, &payload);
        }
        let claim = id.map(|id| {
            acks.add(id);
            Arc::new(Claim { id, acks: Arc::clone(acks) })
        });
        let packet_id = id.unwrap_or(0);
        let received = (self.shared.clock)();
        let mut waiting = Vec::new();
        let mut left = takers.len();
        for &(place, source) in takers.iter() {
            left -= 1;
            let Some(input) = self.inputs.get(place) else { continue };
            // There is one taker, nearly always.
            let topic = if left == 0 { std::mem::take(&mut topic) } else { topic.clone() };
            let receipt = match (&claim, input.session) {
                (Some(claim), Some(_)) if self.shared.durable => Some(input.claim(claim)),
                _ => None,
            };
            let inbound = Inbound::of(source, topic, payload.clone(), received);
            waiting.extend(input.take(Inbound { packet_id, receipt, ..inbound }));
        }
        for message in waiting {
            message.taken().await;
        }
    }
}

impl Input {
    fn claim(&self, claim: &Arc<Claim>) -> Receipt {
        let mut claims = lock(&self.claims);
        let index = claims.next;
        claims.next += 1;
        claims.open.insert(index, Arc::clone(claim));
        Receipt { connection: self.number, index }
    }

    fn offer(&self, message: Inbound) -> Result<(), IntakeFull> {
        let mut intake = lock(&self.intake);
        if self.is_stopped.load(Ordering::Relaxed) || intake.is_held() {
            return Err(IntakeFull(message));
        }
        intake.offer(message)
    }

    /// Takes a message, or gives it back as one that waits. Of an input of which the newest counts none waits.
    fn take(&self, message: Inbound) -> Option<WaitingMessage<'_>> {
        self.received.fetch_add(1, Ordering::Relaxed);
        let refused = if self.waiting.load(Ordering::Relaxed) > 0 {
            // Those that wait are first.
            message
        } else {
            match self.offer(message) {
                Ok(()) => return None,
                Err(IntakeFull(message)) => message,
            }
        };
        if self.session.is_none() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let is_first = self.waiting.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first && !self.is_stopped.load(Ordering::Relaxed) {
            self.overloads.fetch_add(1, Ordering::Relaxed);
            self.log_overload();
        }
        Some(WaitingMessage { input: self, message: Some(refused) })
    }

    fn log_overload(&self) {
        let (mut logged, now) = (lock(&self.logged), Instant::now());
        if logged.is_none_or(|logged| now.duration_since(logged) >= LOG_EVERY) {
            *logged = Some(now);
            tracing::warn!(
                "overloaded: the judges' queue is full; devices that send are left unread until it is not \
                 (the status counts each time as `overloads`, the log has one line a minute at most)"
            );
        }
    }
}

impl InputSource {
    /// How it stands.
    #[must_use]
    pub fn state(&self) -> InputState {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        InputState {
            received: count(&self.0.received),
            outstanding: lock(&self.0.claims).open.len() as u64,
            dropped: count(&self.0.dropped),
            overloads: count(&self.0.overloads),
            overloaded: self.0.waiting.load(Ordering::Relaxed) > 0,
        }
    }

    /// Takes no more: what devices send is left unread.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl Source for InputSource {
    /// A device has few messages on their way, and sends the next when one is acknowledged.
    fn is_awaited(&self) -> bool {
        self.0.session.is_some()
    }

    fn settle(&self, receipts: &[Receipt]) {
        let own = || receipts.iter().filter(|receipt| receipt.connection == self.0.number);
        if own().next().is_none() {
            return;
        }
        let mut claims = lock(&self.0.claims);
        let settled: Vec<_> = own().filter_map(|receipt| claims.open.remove(&receipt.index)).collect();
        drop(claims);
        // Devices get their acknowledgements when these are dropped.
        drop(settled);
    }

    fn acknowledged(&self, out: &mut Vec<Acknowledged>) {
        let Some(session) = self.0.session else { return };
        let claims = lock(&self.0.claims);
        let below = claims.open.keys().next().copied().unwrap_or(claims.next);
        // Identifiers of many devices say nothing: what a device sends again after a restart is judged again.
        out.push(Acknowledged { session, connection: self.0.number, below, earlier_runs: true });
    }
}

impl fmt::Debug for SourceInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceInputs").field("durable", &self.0.durable).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for InputSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputSource").field("state", &self.state()).finish_non_exhaustive()
    }
}

fn lock<T: ?Sized>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
