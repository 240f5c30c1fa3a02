//! Lets clients in: accepts connections, does TLS, reads each client's CONNECT, and passes on to a broker on loopback what
//! the client may send.
//!
//! Everything a stranger can hold is bounded: connections whose CONNECT is not there yet, in all and per address, the
//! time for it, and connections in all. Beyond a bound the newest is closed.

mod accepted;
mod allowance;
mod answers;
mod backend;
mod buffer;
mod connect;
mod devices;
mod downward;
mod five;
#[cfg(test)]
mod fuzz;
mod holds;
mod identity;
mod incomplete;
mod owners;
mod packets;
mod pass;
mod slots;
mod standing;
mod to_broker;
mod window;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use verge_tls::{Acceptor, Credentials, Revocations, ServerConfig};

use crate::filters::KnownFilters;
use crate::inputs::SourceInputs;
use crate::passwords::BrokerPasswords;
use crate::policy::{Policy, Refusal};
use accepted::Accepted;
use backend::Backend;
pub use devices::RefusedDevice;
use devices::{Device, Devices};
use five::Sessions;
pub use slots::FrontLimits;
use slots::{Admission, Slots};
use standing::Rules;
pub(crate) use window::Window;

/// Pause after the system refused to accept (out of file descriptors): without it the loop would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often a client that is not let in is in the log.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Where to listen, with which certificate, and which broker connections are passed to.
#[derive(Debug, Clone)]
pub struct FrontSettings {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// This end's certificate and, for mutual TLS, the authorities that clients' must lead to. `None` for plain
    /// text, on loopback only.
    pub tls: Option<Arc<ServerConfig>>,
    /// The broker.
    pub broker: SocketAddr,
    /// What the broker is given for each client in place of the client's own user name and password. `None` passes
    /// on what the client gives.
    pub login: Option<Credentials>,
    /// What clients may do, and how much.
    pub policy: Policy,
    /// Bounds.
    pub limits: FrontLimits,
}

/// Why a front does not listen.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// Anyone on the network could connect.
    #[error(
        "{listen} can be reached from outside: without certificates only this machine may connect (127.0.0.1)"
    )]
    PlainText {
        /// Where to listen.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// Where to listen.
        listen: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// What a front has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrontTotals {
    /// Connections that stand now.
    pub connections: u64,
    /// Clients that the broker has accepted.
    pub accepted: u64,
    /// Connections closed at once because a bound was reached.
    pub refused: u64,
    /// TLS handshakes that failed or took too long.
    pub failed_handshakes: u64,
    /// Clients not let in: what they sent was no good CONNECT, or not in time, or the broker did not accept it.
    pub refused_clients: u64,
    /// Clients that were let in and cut off for what they did.
    pub cut_off: u64,
    /// How often a client was left unread for a while because it sent faster than it may.
    pub throttled: u64,
}

/// A front. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    view: FrontView,
    accepting: JoinHandle<()>,
    running: watch::Sender<()>,
}

#[derive(Debug)]
struct FrontShared {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed_handshakes: AtomicU64,
    refused_clients: AtomicU64,
    cut_off: AtomicU64,
    devices: Arc<Devices>,
    sessions: Arc<Sessions>,
    owners: Arc<owners::Owners>,
    inputs: Option<SourceInputs>,
    /// For all connections.
    rules: watch::Sender<Rules>,
    last_refusal: Mutex<Option<String>>,
    warned: Mutex<Option<Instant>>,
    slots: Arc<Slots>,
    /// For connections from now on; `None` for plain text.
    acceptor: Mutex<Option<Acceptor>>,
}

impl Front {
    /// Listens.
    ///
    /// # Errors
    /// See [`FrontError`].
    pub async fn start(settings: FrontSettings) -> Result<Self, FrontError> {
        Self::start_with(settings, (None, None), KnownFilters::default()).await
    }

    /// The same where some of what clients publish goes to inputs of the gateway, and where clients without a certificate may
    /// log in by a password. `filters`: those that the broker knows.
    ///
    /// # Errors
    /// See [`FrontError`].
    pub async fn start_with(
        settings: FrontSettings,
        (inputs, passwords): (Option<SourceInputs>, Option<Arc<BrokerPasswords>>),
        filters: KnownFilters,
    ) -> Result<Self, FrontError> {
        let listen = settings.listen;
        if settings.tls.is_none() && !listen.ip().is_loopback() {
            return Err(FrontError::PlainText { listen });
        }
        let fault = |source| FrontError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let acceptor = settings.tls.clone().map(Acceptor::new);
        let shared =
            Arc::new(FrontShared::new(acceptor, settings.policy.clone(), (inputs, passwords), filters));
        let (running, held) = watch::channel(());
        let accept = accept(listener, settings, Arc::clone(&shared));
        let accepting = tokio::spawn(async move {
            accept.await;
            drop(held);
        });
        Ok(Self { address, view: FrontView { shared }, accepting, running })
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts and shows; a clone outlives it.
    #[must_use]
    pub const fn view(&self) -> &FrontView {
        &self.view
    }

    /// Waits until it has ended, which only a fault or [`Front::close`] can cause.
    pub async fn ended(&self) {
        self.running.closed().await;
    }

    /// Ends it with all its connections.
    pub fn close(&self) {
        self.accepting.abort();
    }
}

/// The counters of a front, and its certificates.
#[derive(Debug, Clone)]
pub struct FrontView {
    shared: Arc<FrontShared>,
}

impl FrontView {
    /// Connections that come from now on are shown these certificates, and must lead to these authorities; those that
    /// stand go on. Plain text stays plain text.
    pub fn renew(&self, tls: Arc<ServerConfig>) {
        let mut acceptor = self.shared.acceptor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(acceptor) = acceptor.as_mut() {
            *acceptor = Acceptor::new(tls);
        }
    }

    /// Clients may do what this says from now on, and those whose certificate is revoked nothing; its rates stay as they were
    /// at the start. A connection that stands ends where it has a subscription or a last will that is not allowed any more.
    pub fn renew_rules(
        &self,
        policy: Policy,
        revocations: Arc<Revocations>,
        passwords: Option<Arc<BrokerPasswords>>,
    ) {
        self.shared.rules.send_replace(Rules { policy: Arc::new(policy), revocations, passwords });
    }

    /// What it has counted.
    #[must_use]
    pub fn totals(&self) -> FrontTotals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let FrontShared {
            accepted,
            refused,
            failed_handshakes,
            refused_clients,
            cut_off,
            slots,
            devices,
            ..
        } = &*self.shared;
        FrontTotals {
            connections: slots.connections() as u64,
            accepted: count(accepted),
            refused: count(refused),
            failed_handshakes: count(failed_handshakes),
            refused_clients: count(refused_clients),
            cut_off: count(cut_off),
            throttled: devices.throttled(),
        }
    }

    /// What was refused, by reason: clients, packets and filters.
    #[must_use]
    pub fn refusals(&self) -> Vec<(Refusal, u64)> {
        self.shared.devices.refusals()
    }

    /// The devices of which most was refused.
    #[must_use]
    pub fn refused_devices(&self) -> Vec<RefusedDevice> {
        self.shared.devices.refused_devices()
    }

    /// The last client that was not let in, its address, and why.
    #[must_use]
    pub fn last_refusal(&self) -> Option<String> {
        self.shared.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close();
    }
}

async fn accept(listener: TcpListener, settings: FrontSettings, shared: Arc<FrontShared>) {
    let FrontSettings { broker, login, limits, .. } = settings;
    let backend = Arc::new(Backend { broker, login });
    // The connections live in this set and end with it.
    let mut connections = JoinSet::new();
    let mut warned: Option<Instant> = None;
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // It goes on failing for as long as its cause lasts.
                    if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        tracing::warn!(%error, "cannot accept connections of devices; trying again ten times a second");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task has panicked");
                }
                continue;
            }
        };
        let Some(admission) = Admission::of(&shared.slots, peer.ip(), &limits) else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, "connection closed at once: too many");
            continue;
        };
        let acceptor = shared.acceptor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let backend = Arc::clone(&backend);
        let accepted = Accepted { stream, peer, admission, shared: Arc::clone(&shared) };
        connections.spawn(accepted.serve(acceptor, backend, limits.handshake));
    }
}

impl FrontShared {
    fn new(
        acceptor: Option<Acceptor>,
        policy: Policy,
        (inputs, passwords): (Option<SourceInputs>, Option<Arc<BrokerPasswords>>),
        filters: KnownFilters,
    ) -> Self {
        let rules = Rules { policy: Arc::new(policy), revocations: Arc::default(), passwords };
        Self {
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            refused_clients: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
            devices: Arc::new(Devices::new(rules.policy.limits).behind(filters)),
            sessions: Arc::default(),
            owners: Arc::default(),
            inputs,
            rules: watch::Sender::new(rules),
            last_refusal: Mutex::default(),
            warned: Mutex::default(),
            slots: Arc::default(),
            acceptor: Mutex::new(acceptor),
        }
    }

    fn rules(&self) -> watch::Receiver<Rules> {
        self.rules.subscribe()
    }

    /// A client is not let in.
    fn refuse(&self, peer: SocketAddr, device: Option<&Device>, why: Refusal, words: &str) {
        self.refused_clients.fetch_add(1, Ordering::Relaxed);
        self.devices.refuse(device, why);
        self.note_refusal(peer, words);
    }

    /// A client that was let in is closed for what it did.
    fn cut_off(&self, peer: SocketAddr, device: &Device, why: Refusal, words: &str) {
        self.cut_off.fetch_add(1, Ordering::Relaxed);
        self.devices.refuse(Some(device), why);
        self.note_refusal(peer, words);
    }

    /// Into the status; into the log once a minute at most, as anybody can cause it.
    fn note_refusal(&self, peer: SocketAddr, why: &str) {
        *self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(format!("{}: {why}", peer.ip()));
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!(peer = %peer.ip(), why, "a client was refused; further ones within a minute are counted in the status only");
        }
    }
}
