//! Keeps one connection: attempt after attempt, each with a fresh event loop, with our own backoff.
//!
//! A fresh event loop for each attempt means that nothing of an old connection survives into a new one: no
//! pending publishes, no acknowledgements, no collisions. Once connected, `poll` is cancelled only to give the
//! connection up, and its task never waits for a channel. A stop reaches it as a DISCONNECT request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, PubAck, Request, StateError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::ConnectionSettings;
use crate::words::{attempt_words, words};

/// A connection that held for this long was good: the next failure counts as the first.
const LASTED: Duration = Duration::from_secs(30);
/// Time for DISCONNECT to go out and for the broker to close its side.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often it is looked at whether the other side still does what it owes.
const OVERDUE_LOOK: Duration = Duration::from_secs(1);
/// A connection that is held is looked at this often.
const HOLD_LOOK: Duration = Duration::from_millis(5);

/// What to do after an event.
pub(crate) enum Flow {
    Continue,
    /// Give this connection up, without DISCONNECT, for this reason; try again with backoff.
    Drop(String),
    /// The same, but try again after this pause: the fault is on our side.
    Pause(String, Duration),
}

/// What a connection is for.
pub(crate) trait Purpose: Send + 'static {
    /// Adds to the options what the purpose needs.
    fn customise(&mut self, options: &mut MqttOptions);

    /// The broker has accepted the connection; requests go through this client.
    fn connected(&mut self, client: &AsyncClient) -> Flow;

    /// Something happened on the connection.
    fn event(&mut self, event: Event) -> Flow;

    /// Packet identifiers to acknowledge now, in order.
    fn acknowledgements(&mut self, _due: &mut Vec<u16>) {}

    /// How long the connection may be left alone now, so that messages gather in it: to be woken for each of a
    /// stream of them costs more than to handle it. The whole thread rests, see [`crate::MqttSource`].
    fn gather(&mut self) -> Option<Duration> {
        None
    }

    /// Whether the connection is to be left unread for now. Acknowledgements go out all the same.
    fn is_held(&mut self) -> bool {
        false
    }

    /// The connection is left unread from now on, or no longer.
    fn rest(&mut self, _resting: bool) {}

    /// It was held for so long, without anything to acknowledge, that the broker would soon take us for dead.
    fn held_too_long(&mut self) -> Flow {
        Flow::Continue
    }

    /// Why the connection is to be given up although it stands, if it is. Asked about once a second.
    fn overdue(&mut self, _now: Instant) -> Option<String> {
        None
    }

    /// The attempt failed or the connection broke, for this reason. Says whether to try again.
    fn lost(&mut self, reason: String) -> bool;

    /// It is over: by a stop, or because `lost` said so.
    fn ended(&mut self);
}

/// A kept connection. Dropping it closes the connection without farewell.
#[derive(Debug)]
pub(crate) struct Driver {
    stop: watch::Sender<bool>,
    current: Current,
    task: JoinHandle<()>,
}

/// The client of the attempt under way, for the stop to wake it.
type Current = Arc<Mutex<Option<AsyncClient>>>;

impl Driver {
    /// Keeps a connection. `requests` is how many requests the purpose may have queued at most; then its own
    /// never fail for want of room.
    pub(crate) fn start(settings: ConnectionSettings, requests: usize, purpose: impl Purpose) -> Self {
        let (stop, stopped) = watch::channel(false);
        let current = Current::default();
        let task = tokio::spawn(keep(settings, requests, purpose, stopped, Arc::clone(&current)));
        Self { stop, current, task }
    }

    /// Whether its task has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Says goodbye and ends, within a few seconds whatever the broker does.
    pub(crate) async fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(client) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            disconnect(client);
        }
        match tokio::time::timeout(FAREWELL, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                if error.is_panic() {
                    tracing::error!(%error, "a connection's task had panicked");
                }
            }
            Err(_) => self.task.abort(),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn disconnect(client: &AsyncClient) {
    // One place in the channel is kept for this; it can only be taken by another DISCONNECT.
    if client.try_disconnect().is_err() {
        tracing::debug!("the connection is about to end already");
    }
}

async fn keep(
    settings: ConnectionSettings,
    requests: usize,
    mut purpose: impl Purpose,
    mut stop: watch::Receiver<bool>,
    current: Current,
) {
    let mut failures: u32 = 0;
    while !*stop.borrow() {
        let began = Instant::now();
        let end = match settings.options() {
            Err(reason) => End::Lost(reason, None),
            Ok(mut options) => {
                purpose.customise(&mut options);
                let (client, mut eventloop) = AsyncClient::new(options, requests + 1);
                eventloop.set_network_options(settings.network_options());
                *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
                Attempt { settings: &settings, eventloop, client, purpose: &mut purpose, stop: &mut stop }
                    .run()
                    .await
            }
        };
        let End::Lost(reason, pause) = end else { break };
        if !purpose.lost(reason) {
            break;
        }
        let pause = pause.unwrap_or_else(|| {
            failures = if began.elapsed() >= LASTED { 1 } else { failures.saturating_add(1) };
            settings.backoff.pause(failures, random())
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => {}
        }
    }
    purpose.ended();
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone is a stop, too.
    drop(stop.wait_for(|&stop| stop).await);
}

/// Waits until the purpose gives the connection up.
async fn overdue(purpose: &mut impl Purpose, next_look: &mut Instant) -> String {
    loop {
        tokio::time::sleep_until((*next_look).into()).await;
        *next_look = Instant::now() + OVERDUE_LOOK;
        if let Some(reason) = purpose.overdue(Instant::now()) {
            return reason;
        }
    }
}

enum End {
    Stopped,
    Lost(String, Option<Duration>),
}

/// One attempt: from TCP to the end of the connection.
struct Attempt<'a, P> {
    settings: &'a ConnectionSettings,
    eventloop: EventLoop,
    client: AsyncClient,
    purpose: &'a mut P,
    stop: &'a mut watch::Receiver<bool>,
}

impl<P: Purpose> Attempt<'_, P> {
    async fn run(mut self) -> End {
        // Until CONNACK nothing is in hand that cancelling `poll` could lose.
        let accepted = tokio::select! {
            biased;
            () = stopped(self.stop) => return End::Stopped,
            accepted = self.eventloop.poll() => accepted,
        };
        if let Err(error) = accepted {
            return End::Lost(attempt_words(&error), None);
        }
        if let Some(end) = end_of(self.purpose.connected(&self.client)) {
            return end;
        }
        let mut leaving = false;
        let mut due = Vec::new();
        let mut next_look = Instant::now() + OVERDUE_LOOK;
        loop {
            if !leaving && *self.stop.borrow() {
                leaving = true;
                disconnect(&self.client);
            }
            // `poll` must not be cancelled, but for a connection that is thrown away.
            let polled = tokio::select! {
                biased;
                polled = self.eventloop.poll() => polled,
                reason = overdue(self.purpose, &mut next_look) => {
                    return if leaving { End::Stopped } else { End::Lost(reason, None) };
                }
            };
            let mut next = match polled {
                Ok(event) => Some(event),
                Err(error) => return self.broken(leaving, words(&error)),
            };
            // `poll` reads several packets at a time and keeps their events; take them all at once.
            while let Some(event) = next {
                if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                    return self.leave().await;
                }
                if let Some(end) = end_of(self.purpose.event(event)) {
                    return end;
                }
                next = self.eventloop.state.events.pop_front();
            }
            // A busy connection never lets the look beside `poll` come to its turn.
            if Instant::now() >= next_look {
                next_look = Instant::now() + OVERDUE_LOOK;
                if let Some(reason) = self.purpose.overdue(Instant::now()) {
                    return self.broken(leaving, reason);
                }
            }
            if let Err(reason) = self.acknowledge(&mut due).await {
                return self.unwritten(leaving, reason);
            }
            if let Some(end) = self.hold(leaving, &mut due).await {
                return end;
            }
            if let Some(pause) = self.purpose.gather() {
                // An asynchronous sleep would be no rest: each segment that arrives would wake the thread to be
                // told so.
                std::thread::park_timeout(pause);
            }
        }
    }

    /// Leaves the connection unread for as long as the purpose wants, but never until the broker takes us for dead:
    /// half the time after which a ping would be due.
    async fn hold(&mut self, leaving: bool, due: &mut Vec<u16>) -> Option<End> {
        if !self.purpose.is_held() {
            return None;
        }
        self.purpose.rest(true);
        let mut since = Instant::now();
        while self.purpose.is_held() && !*self.stop.borrow() {
            if since.elapsed() > self.settings.announced_keep_alive() / 2
                && let Some(end) = end_of(self.purpose.held_too_long())
            {
                return Some(end);
            }
            tokio::time::sleep(HOLD_LOOK).await;
            match self.acknowledge(due).await {
                Ok(0) => {}
                Ok(_) => since = Instant::now(),
                Err(reason) => return Some(self.unwritten(leaving, reason)),
            }
        }
        self.purpose.rest(false);
        // Its answer to a ping may lie unread: that is not the broker's fault.
        self.eventloop.state.await_pingresp = false;
        None
    }

    /// Writes the acknowledgements that are due; says how many. An error without a reason: nothing is taken any more.
    async fn acknowledge(&mut self, due: &mut Vec<u16>) -> Result<usize, Option<String>> {
        self.purpose.acknowledgements(due);
        let count = due.len();
        if count == 0 {
            return Ok(0);
        }
        let writing = acknowledge(&mut self.eventloop, due);
        match tokio::time::timeout(self.settings.whole_connect_timeout(), writing).await {
            Ok(Ok(())) => Ok(count),
            Ok(Err(error)) => Err(Some(words(&error.into()))),
            Err(_) => Err(None),
        }
    }

    /// An acknowledgement could not be written.
    fn unwritten(&mut self, leaving: bool, reason: Option<String>) -> End {
        match reason {
            Some(reason) => self.broken(leaving, reason),
            None => End::Lost("the connection takes nothing any more".to_owned(), None),
        }
    }

    /// The connection broke. What arrived before still counts, except new messages: they come again.
    fn broken(&mut self, leaving: bool, reason: String) -> End {
        self.settle_rest();
        if leaving { End::Stopped } else { End::Lost(reason, None) }
    }

    /// DISCONNECT is out. Reads on until the broker closes: to close first, with unread bytes in the socket,
    /// would reset the connection and might take DISCONNECT with it, and the last will would be published.
    async fn leave(mut self) -> End {
        self.settle_rest();
        while let Ok(event) = self.eventloop.poll().await {
            self.settle(event);
        }
        self.settle_rest();
        End::Stopped
    }

    fn settle_rest(&mut self) {
        while let Some(event) = self.eventloop.state.events.pop_front() {
            self.settle(event);
        }
    }

    fn settle(&mut self, event: Event) {
        if !matches!(event, Event::Incoming(Packet::Publish(_))) {
            // The connection is at its end: what to do with it next is no question any more.
            self.purpose.event(event);
        }
    }
}

fn end_of(flow: Flow) -> Option<End> {
    match flow {
        Flow::Continue => None,
        Flow::Drop(reason) => Some(End::Lost(reason, None)),
        Flow::Pause(reason, pause) => Some(End::Lost(reason, Some(pause))),
    }
}

/// Writes acknowledgements and flushes once: going through the client would cost a flush for each.
async fn acknowledge(eventloop: &mut EventLoop, due: &mut Vec<u16>) -> Result<(), StateError> {
    let network = eventloop.network.as_mut().expect("a connection stands until `poll` fails");
    for packet_id in due.drain(..) {
        let request = Request::PubAck(PubAck::new(packet_id));
        if let Some(packet) = eventloop.state.handle_outgoing_packet(request)? {
            network.write(packet).await?;
        }
    }
    network.flush().await
}

pub(crate) fn random() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness the pauses are only less spread.
    if getrandom::fill(&mut bytes).is_err() {
        return u16::MAX;
    }
    u16::from_le_bytes(bytes)
}
