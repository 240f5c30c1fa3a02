//! Lets clients in: accepts connections, does TLS, reads each client's CONNECT, and passes its bytes on to a broker on
//! loopback.
//!
//! Everything a stranger can hold is bounded: connections whose CONNECT is not there yet, in all and per address, the
//! time for it, and connections in all. Beyond a bound the newest is closed.

mod connect;
mod pass;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::{ConnAck, Connect, ConnectReturnCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use verge_tls::{Acceptor, ServerConfig};

use crate::connection::Credentials;
use connect::Refusal;
use pass::pass;

/// Pause after the system refused to accept (out of file descriptors): without it the loop would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Time for the broker to accept a connection and to answer CONNECT. One that hangs is started again before long.
const BROKER_ANSWER: Duration = Duration::from_secs(10);
/// Time for a client that is not let in to take the answer and to leave.
const LEAVE: Duration = Duration::from_secs(1);
/// First byte and length of CONNACK (MQTT 3.1.1, section 3.2.1).
const CONNACK: [u8; 2] = [0x20, 2];

/// Bounds of a [`Front`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontLimits {
    /// Connections that have not finished TLS handshake and CONNECT, in all.
    pub unauthenticated: usize,
    /// The same from one address. Sites behind one address (NAT) may need more.
    pub unauthenticated_per_address: usize,
    /// Time for the TLS handshake and CONNECT together.
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
    /// This end's certificate and, for mutual TLS, the authorities that clients' must lead to. `None` for plain
    /// text, on loopback only.
    pub tls: Option<Arc<ServerConfig>>,
    /// The broker.
    pub broker: SocketAddr,
    /// What the broker is given for each client in place of the client's own user name and password. `None` passes
    /// on what the client gives.
    pub login: Option<Credentials>,
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

/// What a front has seen.
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
}

/// A front. It ends, with all its connections, when it is dropped.
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
    refused_clients: AtomicU64,
    last_refusal: Mutex<Option<String>>,
    connections: AtomicUsize,
    unauthenticated: Mutex<Unauthenticated>,
}

/// Connections before the end of their CONNECT. The map holds only addresses that have one, so it is bounded with them.
#[derive(Debug, Default)]
struct Unauthenticated {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Front {
    /// Listens.
    ///
    /// # Errors
    /// See [`FrontError`].
    pub async fn start(settings: FrontSettings) -> Result<Self, FrontError> {
        let listen = settings.listen;
        if settings.tls.is_none() && !listen.ip().is_loopback() {
            return Err(FrontError::PlainText { listen });
        }
        let fault = |source| FrontError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
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
        self.shared.totals()
    }

    /// Which client was the last not to be let in, from where, and why.
    #[must_use]
    pub fn last_refusal(&self) -> Option<String> {
        self.shared.last_refusal()
    }

    /// A view of what it sees, for others to keep.
    #[must_use]
    pub fn view(&self) -> FrontView {
        FrontView { shared: Arc::clone(&self.shared) }
    }

    /// Whether it has ended, which only a fault or [`Front::close`] can cause.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.accepting.is_finished()
    }

    /// Ends it with all its connections.
    pub fn close(&self) {
        self.accepting.abort();
    }
}

/// What a front sees.
#[derive(Debug, Clone)]
pub struct FrontView {
    shared: Arc<Shared>,
}

impl FrontView {
    /// What it has seen.
    #[must_use]
    pub fn totals(&self) -> FrontTotals {
        self.shared.totals()
    }

    /// Which client was the last not to be let in, from where, and why.
    #[must_use]
    pub fn last_refusal(&self) -> Option<String> {
        self.shared.last_refusal()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close();
    }
}

async fn accept(listener: TcpListener, settings: FrontSettings, shared: Arc<Shared>) {
    let FrontSettings { tls, broker, login, limits, .. } = settings;
    let acceptor = tls.map(Acceptor::new);
    let inside = Arc::new(Inside { broker, login });
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
        let Some(admission) = Admission::of(&shared, peer.ip(), &limits) else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, "connection closed at once: too many");
            continue;
        };
        let (acceptor, inside) = (acceptor.clone(), Arc::clone(&inside));
        connections.spawn(serve(stream, peer, admission, acceptor, inside, limits.handshake));
    }
}

/// One connection, from its first byte to its last.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    acceptor: Option<Acceptor>,
    inside: Arc<Inside>,
    handshake: Duration,
) {
    let deadline = Instant::now() + handshake;
    let shared = Arc::clone(&admission.connection.shared);
    let handshaken = match (stream.set_nodelay(true), acceptor) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(()), None) => return inside.receive(stream, peer, admission, deadline).await,
        (Ok(()), Some(acceptor)) => {
            acceptor.accept(stream, handshake).await.map_err(|error| error.to_string())
        }
    };
    match handshaken {
        Ok(stream) => inside.receive(stream, peer, admission, deadline).await,
        Err(error) => {
            shared.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, error, "no handshake");
        }
    }
}

/// What is behind the front.
#[derive(Debug)]
struct Inside {
    broker: SocketAddr,
    login: Option<Credentials>,
}

impl Inside {
    /// Takes a client in, or sends it away.
    async fn receive<S>(&self, mut outside: S, peer: SocketAddr, admission: Admission, deadline: Instant)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Admission { waiting, connection } = admission;
        let shared = &connection.shared;
        let read = tokio::time::timeout_at(deadline, connect::read(&mut outside)).await;
        drop(waiting);
        let admitted = read.unwrap_or(Err(Refusal::Late)).and_then(|(connect, rest)| {
            connect::admit(connect, self.login.as_ref()).map(|connect| (connect, rest))
        });
        let (connect, rest) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                shared.refuse(peer, &refusal.to_string());
                return send_away(outside, refusal.code()).await;
            }
        };
        // Whatever the client does meanwhile, the broker's answer is taken: one that rumqttd cannot give makes it
        // stop its listener at the next client of that name.
        let answered = tokio::time::timeout(BROKER_ANSWER, self.introduce(&connect)).await;
        let (answer, inside) = match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(introduced) => introduced,
            Err(error) => {
                shared.refuse(peer, &format!("the broker did not accept {:?}: {error}", connect.client_id));
                return send_away(outside, Some(self.unaccepted(&error))).await;
            }
        };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let silence = Duration::from_secs(connect.keep_alive.into()) * 3 / 2;
        if let Err(error) = pass_on(outside, inside, &answer, &rest, silence).await {
            tracing::debug!(%peer, client_id = connect.client_id, %error, "connection ended");
        }
    }

    /// Gives CONNECT to the broker and takes its answer.
    async fn introduce(&self, connect: &Connect) -> io::Result<([u8; 4], TcpStream)> {
        let mut inside = TcpStream::connect(self.broker).await?;
        inside.set_nodelay(true)?;
        let mut packet = BytesMut::new();
        connect.write(&mut packet).map_err(io::Error::other)?;
        inside.write_all(&packet).await?;
        let mut answer = [0; 4];
        inside.read_exact(&mut answer).await?;
        if answer[..2] == CONNACK { Ok((answer, inside)) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// rumqttd closes the connection instead of saying that user or password are wrong.
    fn unaccepted(&self, error: &io::Error) -> ConnectReturnCode {
        if self.login.is_none() && error.kind() == io::ErrorKind::UnexpectedEof {
            ConnectReturnCode::NotAuthorized
        } else {
            ConnectReturnCode::ServiceUnavailable
        }
    }
}

async fn pass_on<S>(
    mut outside: S,
    mut inside: TcpStream,
    answer: &[u8],
    rest: &[u8],
    silence: Duration,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    outside.write_all(answer).await?;
    outside.flush().await?;
    inside.write_all(rest).await?;
    pass(outside, inside, silence).await
}

/// Closes a connection so that the answer arrives: what the client still sends is read, since unread bytes would reset
/// the connection.
async fn send_away<S>(mut outside: S, code: Option<ConnectReturnCode>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let leave = async {
        if let Some(code) = code {
            let mut answer = BytesMut::new();
            ConnAck::new(code, false).write(&mut answer).map_err(io::Error::other)?;
            outside.write_all(&answer).await?;
        }
        outside.shutdown().await?;
        tokio::io::copy(&mut outside, &mut tokio::io::sink()).await
    };
    // A client that does not leave is left.
    drop(tokio::time::timeout(LEAVE, leave).await);
}

/// What an admitted connection holds until its CONNECT is there.
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
    fn totals(&self) -> FrontTotals {
        FrontTotals {
            connections: self.connections.load(Ordering::Relaxed) as u64,
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed_handshakes: self.failed_handshakes.load(Ordering::Relaxed),
            refused_clients: self.refused_clients.load(Ordering::Relaxed),
        }
    }

    fn last_refusal(&self) -> Option<String> {
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refuse(&self, peer: SocketAddr, why: &str) {
        self.refused_clients.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, why, "client not let in");
        *self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(format!("{}: {why}", peer.ip()));
    }

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
