//! Accepts TLS connections and passes their bytes on to a broker on loopback.
//!
//! Everything a stranger can hold is bounded: connections in their handshake, in all and per address, the
//! time for it, and connections in all. Beyond a bound the newest is closed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use verge_tls::{Acceptor, ServerConfig};

/// Pause after the system refused to accept (out of file descriptors): without it the loop would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Bounds of a [`Front`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontLimits {
    /// Connections that have not finished their handshake, in all.
    pub unauthenticated: usize,
    /// The same from one address. Sites behind one address (NAT) may need more.
    pub unauthenticated_per_address: usize,
    /// Time for the handshake.
    pub handshake: Duration,
    /// Connections in all.
    pub connections: usize,
}

impl Default for FrontLimits {
    fn default() -> Self {
        Self {
            unauthenticated: 1024,
            unauthenticated_per_address: 16,
            handshake: Duration::from_secs(5),
            connections: 4096,
        }
    }
}

/// Where to listen, as whom, and where to pass connections on to.
#[derive(Debug, Clone)]
pub struct FrontSettings {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// This end's certificate and, for mutual TLS, the authorities that clients' must lead to.
    pub tls: Arc<ServerConfig>,
    /// The broker.
    pub broker: SocketAddr,
    /// Bounds.
    pub limits: FrontLimits,
}

/// What a front has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrontTotals {
    /// Connections whose handshake succeeded.
    pub accepted: u64,
    /// Connections closed at once because a bound was reached.
    pub refused: u64,
    /// Handshakes that failed or took too long.
    pub failed_handshakes: u64,
}

/// A TLS front. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed_handshakes: AtomicU64,
    connections: AtomicUsize,
    unauthenticated: Mutex<Unauthenticated>,
}

/// Connections in their handshake. The map holds only addresses that have one, so it is bounded with them.
#[derive(Debug, Default)]
struct Unauthenticated {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Front {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(settings: FrontSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, settings, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen.
    #[must_use]
    pub fn totals(&self) -> FrontTotals {
        FrontTotals {
            accepted: self.shared.accepted.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            failed_handshakes: self.shared.failed_handshakes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, settings: FrontSettings, shared: Arc<Shared>) {
    let acceptor = Acceptor::new(settings.tls);
    // The connections live in this set and end with it.
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task had panicked");
                }
                continue;
            }
        };
        let Some(admission) = Admission::of(&shared, peer.ip(), &settings.limits) else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, "connection closed at once: too many");
            continue;
        };
        connections.spawn(serve(
            stream,
            peer,
            admission,
            acceptor.clone(),
            settings.broker,
            settings.limits.handshake,
        ));
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    acceptor: Acceptor,
    broker: SocketAddr,
    handshake: Duration,
) {
    let Admission { waiting, connection } = admission;
    let shared = &connection.shared;
    let accepted = match stream.set_nodelay(true) {
        Ok(()) => acceptor.accept(stream, handshake).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    drop(waiting);
    let mut outside = match accepted {
        Ok(outside) => outside,
        Err(error) => {
            shared.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            return tracing::debug!(%peer, error, "no handshake");
        }
    };
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    let mut inside = match connect(broker).await {
        Ok(inside) => inside,
        Err(error) => {
            return tracing::error!(%broker, %error, "the broker behind the front cannot be reached");
        }
    };
    if let Err(error) = tokio::io::copy_bidirectional(&mut outside, &mut inside).await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn connect(broker: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(broker).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What an admitted connection holds until its handshake is over.
struct Admission {
    waiting: Waiting,
    connection: Connection,
}

/// A place among the unauthenticated; given back when it is dropped.
struct Waiting {
    address: IpAddr,
    shared: Arc<Shared>,
}

/// A place among all connections; given back when it is dropped.
struct Connection {
    shared: Arc<Shared>,
}

impl Admission {
    fn of(shared: &Arc<Shared>, address: IpAddr, limits: &FrontLimits) -> Option<Self> {
        let mut waiting = shared.unauthenticated();
        let from_here = waiting.by_address.get(&address).copied().unwrap_or(0);
        // Only the accept loop adds connections, so none slips in between the look and the addition.
        let full = waiting.in_all >= limits.unauthenticated
            || from_here >= limits.unauthenticated_per_address
            || shared.connections.load(Ordering::Relaxed) >= limits.connections;
        if full {
            return None;
        }
        waiting.in_all += 1;
        waiting.by_address.insert(address, from_here + 1);
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            waiting: Waiting { address, shared: Arc::clone(shared) },
            connection: Connection { shared: Arc::clone(shared) },
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.shared.unauthenticated();
        waiting.in_all -= 1;
        if let Entry::Occupied(mut from_here) = waiting.by_address.entry(self.address) {
            *from_here.get_mut() -= 1;
            if *from_here.get() == 0 {
                from_here.remove();
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn unauthenticated(&self) -> MutexGuard<'_, Unauthenticated> {
        self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let shared = Arc::new(Shared::default());
        let limits = FrontLimits {
            unauthenticated: 3,
            unauthenticated_per_address: 2,
            connections: 4,
            ..FrontLimits::default()
        };
        let admit = |last: u8| Admission::of(&shared, IpAddr::from([192, 0, 2, last]), &limits);
        let first = admit(1).unwrap();
        let second = admit(1).unwrap();
        assert!(admit(1).is_none(), "two from one address");
        let third = admit(2).unwrap();
        assert!(admit(3).is_none(), "three in all");
        let Admission { waiting, connection } = first;
        drop(waiting);
        let fourth = admit(1).unwrap();
        drop(fourth.waiting);
        drop(second.waiting);
        assert!(admit(3).is_none(), "four connections");
        drop(connection);
        assert!(admit(3).is_some());
        drop((second.connection, third, fourth.connection));
        assert_eq!(shared.connections.load(Ordering::Relaxed), 0);
        assert!(shared.unauthenticated().by_address.is_empty());
    }
}
