//! Keeps one connection: attempt after attempt, with our own backoff. What sends and reads upstream uses an event loop of
//! rumqttc for each; sources read the wire themselves, see `source`.
//!
//! A fresh event loop for each attempt means that nothing of an old connection survives into a new one: no
//! pending publishes, no acknowledgements, no collisions. Once connected, `poll` is cancelled only to give the
//! connection up, and its task never waits for a channel. A stop reaches it as a DISCONNECT request.

mod attempt;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::ConnectionSettings;
use crate::renewal::Renewal;
use attempt::Attempt;

/// After a connection that held this long, the next failure counts as the first.
const LASTED: Duration = Duration::from_secs(30);
/// Time for DISCONNECT to go out and for the broker to close its side.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often the driver checks whether the other side still does what it owes.
const OVERDUE_LOOK: Duration = Duration::from_secs(1);

/// What to do after an event.
pub(crate) enum Flow {
    Continue,
    /// Give this connection up, without DISCONNECT, for this reason; try again with backoff.
    Drop(String),
    /// The same, but try again after this pause: the fault is on our side.
    Pause(String, Duration),
    /// End it by DISCONNECT for this reason, and try again.
    Leave(String),
}

/// How a broker ended an attempt or a connection; other ends are not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It refused the connection, or closed it in place of an answer to CONNECT.
    Refused,
    /// It closed the connection after it had accepted it.
    Closed,
    /// It sent a packet that cannot be read or is larger than allowed. In the same session it sends it again.
    Unreadable,
}

/// What a connection is for.
pub(crate) trait Role: Send + 'static {
    /// What must be done before an attempt. A stop waits for it.
    fn prepare(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Adds to the options what the role needs.
    fn customise(&mut self, options: &mut MqttOptions);

    /// The broker has accepted the connection; requests go through this client.
    fn connected(&mut self, client: &AsyncClient) -> Flow;

    /// Something happened on the connection.
    fn event(&mut self, event: Event) -> Flow;

    /// Packet identifiers to acknowledge now, in order.
    fn acknowledgements(&mut self, _due: &mut Vec<u16>) {}

    /// Why the connection is to be given up although it stands, if it is. Asked about once a second.
    fn overdue(&mut self, _now: Instant) -> Option<String> {
        None
    }

    /// The attempt has failed before a CONNECT packet was sent. Called before [`Role::lost`].
    fn unreached(&mut self) {}

    /// The broker has ended it. Called before [`Role::lost`].
    fn ending(&mut self, _ending: Ending) {}

    /// After [`Role::lost`]: the pause before the next attempt, where that differs from the last one and so need not
    /// wait.
    fn soon(&mut self) -> Option<Duration> {
        None
    }

    /// The attempt failed or the connection broke, for this reason. Says whether to try again.
    fn lost(&mut self, reason: String) -> bool;

    /// It is over: by a stop, or because `lost` said so.
    fn ended(&mut self);
}

/// A kept connection. Dropping it closes the connection without DISCONNECT.
#[derive(Debug)]
pub(crate) struct Driver {
    stop: Arc<watch::Sender<bool>>,
    current: Current,
    task: JoinHandle<()>,
}

/// The client of the present attempt, for the stop to wake it.
type Current = Arc<Mutex<Option<AsyncClient>>>;

impl Driver {
    /// Keeps a connection. `requests` is how many requests the role may have queued at most; then its own
    /// never fail for want of room.
    pub(crate) fn start(settings: ConnectionSettings, requests: usize, role: impl Role) -> Self {
        let (current, known) = (Current::default(), settings.clone());
        let loops = EventLoops { settings, requests, role, current: Arc::clone(&current) };
        Self::keep(known, loops, current)
    }

    /// Keeps a connection whose attempts end by themselves at a stop.
    pub(crate) fn of_attempts(settings: ConnectionSettings, attempts: impl Attempts) -> Self {
        Self::keep(settings, attempts, Current::default())
    }

    fn keep(settings: ConnectionSettings, attempts: impl Attempts, current: Current) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(settings, attempts, stopped, Arc::clone(&current)));
        Self { stop: Arc::new(stop), current, task }
    }

    /// Is closed once the task has ended.
    pub(crate) fn running(&self) -> Arc<watch::Sender<bool>> {
        Arc::clone(&self.stop)
    }

    /// Disconnects and ends, within a few seconds whatever the broker does.
    pub(crate) async fn stop(&mut self) {
        self.stop.send_replace(true);
        wake(&self.current);
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

/// A connection that stands ends in good order: its client sends DISCONNECT.
fn wake(current: &Current) {
    if let Some(client) = &*current.lock().unwrap_or_else(PoisonError::into_inner) {
        disconnect(client);
    }
}

async fn keep(
    settings: ConnectionSettings,
    mut attempts: impl Attempts,
    mut stop: watch::Receiver<bool>,
    current: Current,
) {
    let backoff = settings.backoff;
    let mut failures: u32 = 0;
    while !*stop.borrow() {
        let began = Instant::now();
        let end = one(&settings, &mut attempts, &mut stop, &current).await;
        let AttemptEnd::Lost(reason, pause) = end else { break };
        if !attempts.lost(reason) {
            break;
        }
        let pause = pause.or_else(|| attempts.soon()).unwrap_or_else(|| {
            failures = if began.elapsed() >= LASTED { 1 } else { failures.saturating_add(1) };
            backoff.pause(failures, random())
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => {}
        }
    }
    attempts.ended();
}

/// One attempt, which ends at a stop and for new certificates.
async fn one(
    settings: &ConnectionSettings,
    attempts: &mut impl Attempts,
    stop: &mut watch::Receiver<bool>,
    current: &Current,
) -> AttemptEnd {
    let in_use = settings.renewal.as_ref().map(Renewal::print);
    let (end, mut ended) = watch::channel(false);
    let attempt = attempts.attempt(&mut ended);
    tokio::pin!(attempt);
    tokio::select! {
        biased;
        end = &mut attempt => return end,
        () = stopped(stop) => {}
        () = renewed(settings, in_use) => {
            end.send_replace(true);
            wake(current);
            return match tokio::time::timeout(FAREWELL, attempt).await {
                Ok(lost @ AttemptEnd::Lost(..)) => lost,
                Ok(AttemptEnd::Stopped) | Err(_) => {
                    let reason = "certificates have changed: connecting again with the new ones";
                    AttemptEnd::Lost(reason.to_owned(), Some(Duration::ZERO))
                }
            };
        }
    }
    end.send_replace(true);
    attempt.await
}

/// Waits for new certificates that the broker takes.
async fn renewed(settings: &ConnectionSettings, in_use: Option<u64>) {
    match settings.renewal.as_ref().zip(in_use) {
        Some((renewal, in_use)) => {
            renewal.renewed(in_use, &settings.address, settings.connect_timeout).await;
        }
        None => std::future::pending().await,
    }
}

/// Attempts with an event loop of rumqttc.
struct EventLoops<P> {
    settings: ConnectionSettings,
    requests: usize,
    role: P,
    current: Current,
}

impl<P: Role> Attempts for EventLoops<P> {
    async fn attempt(&mut self, stop: &mut watch::Receiver<bool>) -> AttemptEnd {
        let Self { settings, requests, role, current } = self;
        let mut options = match settings.options() {
            Ok(options) => options,
            Err(reason) => return AttemptEnd::Lost(reason, None),
        };
        role.prepare().await;
        role.customise(&mut options);
        let (client, mut eventloop) = AsyncClient::new(options, *requests + 1);
        eventloop.set_network_options(settings.network_options());
        *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Attempt { settings, eventloop, client, role, stop }.run().await
    }

    fn lost(&mut self, reason: String) -> bool {
        self.role.lost(reason)
    }

    fn soon(&mut self) -> Option<Duration> {
        self.role.soon()
    }

    fn ended(&mut self) {
        self.role.ended();
    }
}

/// Waits for the stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender is a stop, too.
    drop(stop.wait_for(|&stop| stop).await);
}

/// Waits until the role gives the connection up.
async fn overdue(role: &mut impl Role, next_look: &mut Instant) -> String {
    loop {
        tokio::time::sleep_until((*next_look).into()).await;
        *next_look = Instant::now() + OVERDUE_LOOK;
        if let Some(reason) = role.overdue(Instant::now()) {
            return reason;
        }
    }
}

/// How an attempt ended.
pub(crate) enum AttemptEnd {
    /// By the stop.
    Stopped,
    /// For this reason; the next is due after this pause, or after that of the backoff.
    Lost(String, Option<Duration>),
}

/// One attempt after another.
pub(crate) trait Attempts: Send + 'static {
    /// From TCP to the end of the connection.
    fn attempt(&mut self, stop: &mut watch::Receiver<bool>) -> impl Future<Output = AttemptEnd> + Send;

    /// The attempt failed or the connection broke, for this reason. Says whether to try again.
    fn lost(&mut self, reason: String) -> bool;

    /// See [`Role::soon`].
    fn soon(&mut self) -> Option<Duration> {
        None
    }

    /// It is over: by a stop, or because `lost` said so.
    fn ended(&mut self);
}

/// For [`Backoff::pause`](verge_domain::backoff::Backoff::pause).
pub(crate) fn random() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness the pauses are only less spread.
    if getrandom::fill(&mut bytes).is_err() {
        return u16::MAX;
    }
    u16::from_le_bytes(bytes)
}
