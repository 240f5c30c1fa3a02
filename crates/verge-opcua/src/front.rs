//! Connections: whoever may connects, up to a number, sends whole frames within a time, and takes what it asked for. Behind
//! it the library serves on this machine alone: it has no bound on connections, and none on the length of a frame.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opcua::crypto::{SecurityPolicy, X509};
use opcua::types::{ByteString, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use verge_domain::address::AddressRange;

use crate::frame::{Answers, Kind, MAX_FRAME, error_frame, frame, opened};
use crate::pki::Pki;

/// A frame that has begun is complete after this time, and an answer taken.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Time in which a client takes why its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A connection without security learns which security there is, and ends.
const DISCOVERY: Duration = Duration::from_secs(10);
/// Pause after the operating system refuses a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const READ_AT_ONCE: usize = 16 * 1024;
/// Requests of one client without an answer: the library sets aside the answers of all that it is given.
const MAX_UNANSWERED: usize = 64;
/// What is offered.
pub(crate) const POLICIES: [SecurityPolicy; 3] =
    [SecurityPolicy::Aes256Sha256RsaPss, SecurityPolicy::Basic256Sha256, SecurityPolicy::Aes128Sha256RsaOaep];

/// What a server counts.
#[derive(Debug, Default)]
pub struct OpcuaCounters {
    /// Clients that are connected.
    pub clients: AtomicU64,
    /// Clients accepted.
    pub accepted: AtomicU64,
    /// Clients refused.
    pub refused: AtomicU64,
    /// Connections closed by the server.
    pub closed: AtomicU64,
    /// Requests received.
    pub requests: AtomicU64,
    /// Operations on nodes that were answered with an error.
    pub errors: Arc<AtomicU64>,
    /// Logins refused.
    pub logins_refused: Arc<AtomicU64>,
    last_error: Mutex<Option<String>>,
}

impl OpcuaCounters {
    fn note(&self, counter: &AtomicU64, client: IpAddr, why: &str) {
        counter.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{client}: {why}"));
    }

    /// Why a connection was last refused or closed.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why the server ends a connection.
struct End {
    status: StatusCode,
    reason: String,
}

impl End {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    fn of_protocol(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BadTcpMessageTypeInvalid, reason)
    }
}

/// What a client has sent.
struct FromClient {
    bytes: Vec<u8>,
    is_first: bool,
    /// Requests that the server behind has not answered: those that ask for reports are among them.
    unanswered: usize,
    lives_until: Option<Instant>,
}

/// The front of a server.
pub(crate) struct Front {
    pub(crate) name: String,
    pub(crate) max_clients: usize,
    pub(crate) idle: Duration,
    pub(crate) allow: Vec<AddressRange>,
    pub(crate) insecure_none: bool,
    pub(crate) pki: Pki,
    pub(crate) counters: Arc<OpcuaCounters>,
    /// Where the library serves.
    pub(crate) behind: SocketAddr,
}

impl Front {
    /// Accepts clients. They end with this task.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(self.max_clients));
        let mut clients = tokio::task::JoinSet::new();
        let counters = &self.counters;
        loop {
            let (stream, client) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(server = %self.name, %error, "a client cannot be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                Some(_) = clients.join_next() => continue,
            };
            let client = client.ip();
            if !self.allow.is_empty() && !self.allow.iter().any(|range| range.contains(client)) {
                counters.note(&counters.refused, client, "not within `allow`");
                continue;
            }
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                counters.note(&counters.refused, client, "`max_clients` are connected");
                continue;
            };
            counters.accepted.fetch_add(1, Ordering::Relaxed);
            let front = Arc::clone(&self);
            clients.spawn(async move {
                let counters = &front.counters;
                counters.clients.fetch_add(1, Ordering::Relaxed);
                if let Err(End { reason, .. }) = front.serve(stream).await {
                    counters.note(&counters.closed, client, &reason);
                }
                counters.clients.fetch_sub(1, Ordering::Relaxed);
                drop(permit);
            });
        }
    }

    async fn serve(&self, mut client: TcpStream) -> Result<(), End> {
        let broken = |_| End::new(StatusCode::BadConnectionClosed, "the connection cannot be used");
        client.set_nodelay(true).map_err(broken)?;
        let mut server = TcpStream::connect(self.behind).await.map_err(broken)?;
        server.set_nodelay(true).map_err(broken)?;
        let ended = self.pass(&mut client, &mut server).await;
        if let Err(End { status, reason }) = &ended {
            let frame = error_frame(status.bits(), reason);
            // The connection ends either way, also where the client takes nothing.
            timeout(LAST_WORDS, client.write_all(&frame)).await.ok();
        }
        ended
    }

    /// Passes on what both say. A client that does not take what it asked for is not read either.
    async fn pass(&self, client: &mut TcpStream, server: &mut TcpStream) -> Result<(), End> {
        let mut from_client =
            FromClient { bytes: Vec::new(), is_first: true, unanswered: 0, lives_until: None };
        let (mut answers, mut read) = (Answers::default(), vec![0; READ_AT_ONCE]);
        let mut said = vec![0; READ_AT_ONCE];
        let mut idle_at = Instant::now() + self.idle;
        // A Hello comes within the time of a frame.
        let mut whole_at = Some(Instant::now() + FRAME_TIMEOUT);
        loop {
            let Some(passed) = self.pass_frames(&mut from_client, server).await? else { return Ok(()) };
            let is_held = from_client.unanswered >= MAX_UNANSWERED;
            if passed > 0 || !from_client.is_first && (is_held || from_client.bytes.is_empty()) {
                whole_at = None;
            }
            if !is_held && !from_client.bytes.is_empty() {
                whole_at.get_or_insert_with(|| Instant::now() + FRAME_TIMEOUT);
            }
            let lives_until = from_client.lives_until;
            let by = [whole_at, lives_until].into_iter().flatten().fold(idle_at, Instant::min);
            tokio::select! {
                count = client.read(&mut read), if !is_held => {
                    let Ok(count @ 1..) = count else { return Ok(()) };
                    from_client.bytes.extend_from_slice(read.get(..count).unwrap_or_default());
                    idle_at = Instant::now() + self.idle;
                }
                count = server.read(&mut said) => {
                    let Ok(count @ 1..) = count else { return Ok(()) };
                    let said = said.get(..count).unwrap_or_default();
                    from_client.unanswered = from_client.unanswered.saturating_sub(answers.count(said));
                    match timeout(FRAME_TIMEOUT, client.write_all(said)).await {
                        Err(_) => {
                            let why = "an answer was not taken in time";
                            return Err(End::new(StatusCode::BadTimeout, why));
                        }
                        Ok(Err(_)) => return Ok(()),
                        Ok(Ok(())) => {}
                    }
                }
                () = tokio::time::sleep_until(by) => {
                    let why = match Some(by) {
                        by if by == whole_at => "a frame was not complete in time",
                        by if by == lives_until => "it asked which security there is, and used none",
                        _ => "idle",
                    };
                    return Err(End::new(StatusCode::BadTimeout, why));
                }
            }
        }
    }

    /// Passes on the whole frames of a client, as far as it may have requests without an answer. `None`: the server behind
    /// takes none any more.
    async fn pass_frames(&self, from: &mut FromClient, server: &mut TcpStream) -> Result<Option<usize>, End> {
        let mut passed = 0;
        while from.unanswered < MAX_UNANSWERED {
            let bytes = from.bytes.get(passed..).unwrap_or_default();
            let Some((kind, length)) = frame(bytes, from.is_first).map_err(End::of_protocol)? else { break };
            let Some(whole) = bytes.get(..length) else { break };
            self.look_at(kind, whole, &mut from.lives_until)?;
            let Ok(Ok(())) = timeout(FRAME_TIMEOUT, server.write_all(whole)).await else { return Ok(None) };
            from.is_first = false;
            from.unanswered += usize::from(kind == Kind::Message { is_final: true });
            passed += length;
        }
        from.bytes.drain(..passed);
        debug_assert!(
            from.bytes.len() < MAX_FRAME + READ_AT_ONCE,
            "whole frames are passed on, or nothing is read"
        );
        Ok(Some(passed))
    }

    fn look_at(&self, kind: Kind, frame: &[u8], lives_until: &mut Option<Instant>) -> Result<(), End> {
        match kind {
            Kind::Message { is_final: true } => {
                self.counters.requests.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Open => {
                let opened = opened(frame).ok_or_else(|| End::of_protocol("an Open that cannot be read"))?;
                if self.admit(opened)? {
                    *lives_until = None;
                } else {
                    lives_until.get_or_insert_with(|| Instant::now() + DISCOVERY);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the connection may last.
    fn admit(&self, (policy, certificate): (&str, &[u8])) -> Result<bool, End> {
        if policy == SecurityPolicy::None.to_uri() {
            return Ok(self.insecure_none);
        }
        let known = POLICIES.into_iter().find(|known| known.to_uri() == policy);
        let policy = known.ok_or_else(|| {
            let why = "its security policy is not offered";
            End::new(StatusCode::BadSecurityPolicyRejected, why)
        })?;
        let refused = |reason: String| End::new(StatusCode::BadSecurityChecksFailed, reason);
        let certificate = X509::from_byte_string(&ByteString::from(certificate.to_vec()))
            .map_err(|_| refused("its certificate cannot be read".to_owned()))?;
        self.pki.admit(&certificate, policy).map_err(refused)?;
        Ok(true)
    }
}
