//! Connections: an accept loop of our own with its limits. `axum::serve` gives hyper no timer, so its time-outs would do nothing.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use verge_domain::live::LiveGateway;
use verge_tls::{Acceptor, peer_name, speaks_http2};

use super::access::{NoRandom, Role};
use super::cut::Cut;
use super::front::Peer;
use super::pages::login::ONCE;
use super::site::Site;
use super::stall::NoStall;
use super::{DashboardSettings, ServerTls, front, http2};

/// Connections at once, in all and of one address.
const MAX_CONNECTIONS: usize = 256;
const OF_ADDRESS: usize = 32;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// From one request to the end of the next one's headers: idle connections end with it.
pub(super) const HEADERS_WITHIN: Duration = Duration::from_secs(10);
pub(super) const WRITE_WITHIN: Duration = Duration::from_secs(30);
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// After an accept that failed, mostly for want of descriptors.
const PAUSE: Duration = Duration::from_millis(200);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A dashboard at work, on the runtime that it was started on. It ends when it is dropped.
pub struct Dashboard {
    address: SocketAddr,
    scheme: &'static str,
    site: Arc<Site>,
    tasks: [JoinHandle<()>; 2],
}

impl Dashboard {
    /// Serves on a listener, within a runtime.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn start(
        settings: DashboardSettings,
        listener: std::net::TcpListener,
        live: Arc<dyn LiveGateway>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let tls = settings.tls.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!(address = %format!("{scheme}://{address}"), "dashboard");
        let (site, front) = front(settings, live);
        let tasks = [tokio::spawn(beat(Arc::clone(&site))), tokio::spawn(accept(listener, tls, front))];
        Ok(Self { address, scheme, site, tasks })
    }

    /// A link that logs a browser in once, as an administrator under this name, where nobody has to have a login. It ends after
    /// this time, or with the gateway.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn invitation(&self, name: &str, life: Duration) -> Result<String, NoRandom> {
        let ticket = self.site.access.invite((name, Role::Admin), life, self.site.live.now().mono)?;
        Ok(format!("{}://{}{ONCE}?ticket={ticket}", self.scheme, self.address))
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Notes each second whether the gateway makes progress.
async fn beat(site: Arc<Site>) {
    loop {
        tokio::time::sleep(SECOND).await;
        site.pulse.second(&site.live.progress(), site.live.now().mono);
    }
}

/// Whoever answers the requests of connections.
pub(super) trait Answers: Clone + Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response> + Send;

    /// Counts a connection that a limit has ended.
    fn count(&self, cut: Cut);
}

pub(super) async fn accept(listener: TcpListener, tls: Option<ServerTls>, front: impl Answers) {
    let places = Places::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "the dashboard cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take(from.ip().to_canonical()) else {
            front.count(Cut::NoPlace);
            continue;
        };
        let (front, tls) = (front.clone(), tls.as_ref().map(|tls| tls()));
        tokio::spawn(async move {
            let _place = place;
            let Ok(local) = stream.local_addr() else { return };
            let (address, local) = (from.ip().to_canonical(), local.ip().to_canonical());
            let peer = Peer { address, local, tls: tls.is_some(), certificate: None };
            match tls {
                None => serve_pages(stream, front, peer, false).await,
                Some(config) => match Acceptor::new(config).accept(stream, HANDSHAKE_WITHIN).await {
                    Ok(stream) => {
                        let peer = Peer { certificate: peer_name(&stream), ..peer };
                        let is_http2 = speaks_http2(&stream);
                        serve_pages(stream, front, peer, is_http2).await;
                    }
                    Err(error) => tracing::debug!(%address, %error, "a connection to the dashboard failed"),
                },
            }
        });
    }
}

async fn serve_pages(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    front: impl Answers,
    peer: Peer,
    is_http2: bool,
) {
    let address = peer.address;
    let answering = front.clone();
    let answer = move |request| {
        let (front, peer) = (answering.clone(), peer.clone());
        async move { front.answer(request, peer).await }
    };
    let cut = if is_http2 {
        http2::serve(stream, address, answer).await
    } else {
        serve(stream, address, answer).await
    };
    if let Some(cut) = cut {
        front.count(cut);
    }
}

/// Serves one connection of HTTP/1.1 within our limits. Returns which of them ended it, if one did.
pub(crate) async fn serve<F: Future<Output = Response>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: IpAddr,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Option<Cut> {
    serve_http1(http1::Builder::new(), stream, address, answer).await
}

/// The same for one request alone.
pub(crate) async fn serve_once<F: Future<Output = Response>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: IpAddr,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Option<Cut> {
    let mut builder = http1::Builder::new();
    builder.keep_alive(false);
    serve_http1(builder, stream, address, answer).await
}

async fn serve_http1<F: Future<Output = Response>>(
    mut builder: http1::Builder,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: IpAddr,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Option<Cut> {
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    let answer = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let stream = TokioIo::new(NoStall::new(stream, WRITE_WITHIN));
    let error = builder.serve_connection(stream, answer).await.err()?;
    tracing::debug!(%address, %error, "a connection ended");
    Cut::of(&error)
}

/// Places for connections.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// Holds one number for each address that is connected, so no more than there are connections.
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_CONNECTIONS)), by_address: Arc::default() }
    }
}

/// One of them, until it is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_default();
        if *count >= OF_ADDRESS {
            return None;
        }
        *count += 1;
        drop(by_address);
        Some(Place { _permit: permit, address, by_address: Arc::clone(&self.by_address) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_address_and_in_all() {
        let places = Places::default();
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut taken: Vec<_> = (0..OF_ADDRESS).map(|_| places.take(address(1)).unwrap()).collect();
        assert!(places.take(address(1)).is_none(), "32 of one address");
        taken.pop();
        assert!(places.take(address(1)).is_some());
        let others = (2..=8).flat_map(|last| std::iter::repeat_n(last, OF_ADDRESS));
        taken.extend(others.filter_map(|last| places.take(address(last))));
        assert!(taken.len() <= MAX_CONNECTIONS);
        taken.extend(std::iter::from_fn(|| places.take(address(9))));
        assert_eq!(taken.len(), MAX_CONNECTIONS);
        assert!(places.take(address(10)).is_none(), "256 in all");
        drop(taken);
        assert!(places.by_address.lock().unwrap().is_empty());
    }
}
