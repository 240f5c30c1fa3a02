//! What devices publish for the gateway's own sources goes to the gateway at the guard, not through the broker: when the
//! gateway takes no more, the devices concerned are left unread, and nothing is dropped on the way.
//!
//! With [`Inputs::new`]'s `durable` a message of `QoS` 1 is acknowledged once all that it caused is committed; without, once
//! the gateway has it in memory. The broker gets each message, too, for whoever else subscribes to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use verge_domain::filter;
use verge_domain::reading::{Acknowledged, Inbound, Receipt, Session, SourceIndex};
use verge_domain::stage::{Intake, IntakeFull, Source};
use verge_domain::time::Moment;

use crate::front::Window;

/// How often the gateway is asked whether it takes a message again.
const ASK_AGAIN: Duration = Duration::from_millis(2);
/// Bytes of messages that are not complete, of all devices together, and the step in which they are counted.
const MOST_HELD_BYTES: usize = 64 * 1024 * 1024;
const HELD_STEP: usize = 1024;

/// The gateway's own sources, as the guard sees them.
#[derive(Clone)]
pub struct Inputs(Arc<Shared>);

struct Shared {
    durable: bool,
    clock: Box<dyn Fn() -> Moment + Send + Sync>,
    inputs: Mutex<Vec<Arc<Input>>>,
    opened: watch::Sender<bool>,
    held: Semaphore,
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
    /// Whose turn it is to ask again.
    turn: tokio::sync::Mutex<()>,
    claims: Mutex<Claims>,
    received: AtomicU64,
    dropped: AtomicU64,
    overloads: AtomicU64,
    is_overloaded: AtomicBool,
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
}

/// Which inputs take a topic, by their place, and as which source.
pub(crate) type Takers = Arc<[(usize, SourceIndex)]>;

/// The inputs as a connection sees them.
#[derive(Clone)]
pub(crate) struct Opened {
    shared: Arc<Shared>,
    inputs: Arc<[Arc<Input>]>,
}

impl Inputs {
    /// None yet. `clock` says when a message was received.
    pub fn new(durable: bool, clock: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            durable,
            clock: Box::new(clock),
            inputs: Mutex::default(),
            opened: watch::Sender::new(false),
            held: Semaphore::new(MOST_HELD_BYTES / HELD_STEP),
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
            claims: Mutex::default(),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            overloads: AtomicU64::new(0),
            is_overloaded: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        });
        inputs.push(Arc::clone(&input));
        InputSource(input)
    }

    /// All are there: devices are read from now on.
    pub fn open(&self) {
        self.0.opened.send_replace(true);
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

    /// Waits for room for a message of this size.
    pub(crate) async fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let steps = bytes.div_ceil(HELD_STEP).min(MOST_HELD_BYTES / HELD_STEP);
        // It is never closed.
        self.shared.held.acquire_many(steps as u32).await.ok()
    }

    /// Hands a message on, as soon as the gateway takes it.
    pub(crate) async fn hand_on(&self, message: Published, acks: &Arc<Window>) {
        let Published { takers, topic, payload, id } = message;
        let claim = id.map(|id| {
            acks.add(id);
            Arc::new(Claim { id, acks: Arc::clone(acks) })
        });
        let packet_id = id.unwrap_or(0);
        let received = (self.shared.clock)();
        for &(place, source) in takers.iter() {
            let Some(input) = self.inputs.get(place) else { continue };
            let receipt = match (&claim, input.session) {
                (Some(claim), Some(_)) if self.shared.durable => Some(input.claim(claim)),
                _ => None,
            };
            let inbound = Inbound::of(source, topic.clone(), payload.clone(), received);
            input.take(Inbound { packet_id, receipt, ..inbound }).await;
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
        if self.is_stopped.load(Ordering::Relaxed) || (self.session.is_some() && intake.is_held()) {
            return Err(IntakeFull(message));
        }
        intake.offer(message)
    }

    async fn take(&self, message: Inbound) {
        self.received.fetch_add(1, Ordering::Relaxed);
        let Err(IntakeFull(mut message)) = self.offer(message) else { return };
        if self.session.is_none() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if !self.is_overloaded.swap(true, Ordering::Relaxed) {
            self.overloads.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "overloaded: the judges' queue is full; devices that send are left unread until it is not"
            );
        }
        // One asks, the others wait for their turn.
        let _turn = self.turn.lock().await;
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            match self.offer(message) {
                Ok(()) => break,
                Err(IntakeFull(back)) => message = back,
            }
        }
        self.is_overloaded.store(false, Ordering::Relaxed);
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
            overloaded: self.0.is_overloaded.load(Ordering::Relaxed),
        }
    }

    /// Takes no more: what devices send is left unread.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl Source for InputSource {
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

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("durable", &self.0.durable).finish_non_exhaustive()
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
mod tests {
    use std::sync::mpsc;

    use verge_domain::time::UtcMillis;

    use super::*;

    /// Takes this many, each of which is seen.
    struct Takes(usize, mpsc::Sender<Inbound>);

    impl Intake for Takes {
        fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
            if self.0 == 0 {
                self.0 = 1;
                return Err(IntakeFull(message));
            }
            self.0 -= 1;
            self.1.send(message).unwrap();
            Ok(())
        }
    }

    fn inputs(durable: bool) -> Inputs {
        Inputs::new(durable, || Moment::from_wall(UtcMillis(1)))
    }

    fn message(opened: &Opened, topic: &str, id: Option<u16>) -> Published {
        let (takers, payload) = (opened.takers(topic), Bytes::from_static(b"1"));
        Published { takers, topic: topic.to_owned(), payload, id }
    }

    #[tokio::test]
    async fn a_durable_message_is_acknowledged_when_every_input_has_settled_it() {
        let (sent, got) = mpsc::channel();
        let inputs = inputs(true);
        let one = |index, filter: &str| vec![(SourceIndex(index), filter.to_owned())];
        let rules = inputs.add(Some(Session::Readings), one(0, "plant/#"), Takes(9, sent.clone()));
        let blocks = inputs.add(Some(Session::Blocks), one(1, "plant/+/block"), Takes(9, sent.clone()));
        let newest = inputs.add(None, one(2, "plant/+/block"), Takes(9, sent));
        inputs.open();
        let (opened, acks) = (inputs.opened().await, Arc::new(Window::new(10)));
        assert!(opened.takers("road/1").is_empty());
        opened.hand_on(message(&opened, "plant/a/block", Some(7)), &acks).await;
        opened.hand_on(message(&opened, "plant/a/x", Some(8)), &acks).await;
        opened.hand_on(message(&opened, "plant/a/x", None), &acks).await;
        let got: Vec<Inbound> = got.try_iter().collect();
        let sources: Vec<u16> = got.iter().map(|inbound| inbound.source.0).collect();
        assert_eq!(sources, [0, 1, 2, 0, 0]);
        assert!(got[2].receipt.is_none() && got[4].receipt.is_none());
        let receipt = |at: usize| got[at].receipt.unwrap();
        // In the order of the device's messages, and once nobody waits for them.
        for source in [&rules, &blocks, &newest] {
            source.settle(&[receipt(3), receipt(1)]);
        }
        assert_eq!(acks.take_due(), b"");
        let mut acknowledged = Vec::new();
        rules.acknowledged(&mut acknowledged);
        assert_eq!((acknowledged[0].below, rules.state().outstanding), (0, 1));
        rules.settle(&[receipt(0)]);
        assert_eq!(acks.take_due(), b"\x40\x02\x00\x07\x40\x02\x00\x08");
        rules.settle(&[receipt(0)]);
        assert_eq!((acks.take_due(), rules.state().outstanding), (Vec::new(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_until_it_is_taken_and_the_newest_does_not() {
        let (sent, got) = mpsc::channel();
        let inputs = inputs(false);
        let all = || vec![(SourceIndex(0), "#".to_owned())];
        let waiting = inputs.add(Some(Session::Readings), all(), Takes(0, sent.clone()));
        let newest = inputs.add(None, all(), Takes(0, sent));
        inputs.open();
        let (opened, acks) = (inputs.opened().await, Arc::new(Window::new(10)));
        opened.hand_on(message(&opened, "a", Some(7)), &acks).await;
        assert_eq!(acks.take_due(), b"\x40\x02\x00\x07");
        assert_eq!(got.try_iter().count(), 1);
        assert_eq!((waiting.state().overloads, newest.state().dropped), (1, 1));
        waiting.stop();
        let never = opened.hand_on(message(&opened, "a", Some(8)), &acks);
        assert!(tokio::time::timeout(Duration::from_secs(5), never).await.is_err());
        assert!(got.try_iter().next().is_none() || !waiting.state().overloaded, "it takes no more");
    }
}
