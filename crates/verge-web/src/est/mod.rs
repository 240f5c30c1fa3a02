//! Enrolment over secure transport (EST, RFC 7030): devices get their first certificate by a token, and the next ones by the one
//! that they have. What is signed, and under which name, [`verge_tls::enrolment`] decides.
//!
//! `GET cacerts`, `POST simpleenroll` (HTTP Basic: name and token), `POST simplereenroll` (by the certificate shown in the
//! handshake), `GET csrattrs` (nothing is asked for). Wrong tokens are limited by address and by name.

mod client;
mod refusal;
mod request;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::response::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use verge_domain::time::Monotonic;
use verge_tls::enrolment::{EnrolRefusal, Enrolled, Enrolment, base64_lines};
use verge_tls::{Acceptor, TlsError, TlsStream, peer_certificate};

use crate::dashboard::ServerTls;
use crate::dashboard::access::Attempts;
use crate::dashboard::server::{Places, serve_once};
pub use client::{EstClient, EstError, EstProof};
use refusal::EstRefusal;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// One request and its answer: a connection that stays would outlive the certificate that it was opened with.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(30);
/// Of a path in the log.
const MAX_LOGGED_PATH: usize = 80;
/// A request for a certificate has one or two thousand bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// After an accept that failed, mostly for want of descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// A certificate that was refused in the handshake is in the log this often at most, as anybody can show one.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Where everything is (RFC 7030, section 3.2.2).
const ROOT: &str = "/.well-known/est/";
const CERTIFICATES: &str = "application/pkcs7-mime; smime-type=certs-only";
const CHALLENGE: &str = "Basic realm=\"enrolment\", charset=\"UTF-8\"";

/// A listener for devices that ask for certificates. It ends when it is dropped.
#[derive(Debug)]
pub struct EstServer {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl EstServer {
    /// Serves on a listener, within a runtime. `tls`: what the listener shows, and the authority to which a certificate that is
    /// renewed must lead.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn start(enrolment: Enrolment, listener: std::net::TcpListener, tls: ServerTls) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk {
            enrolment,
            attempts: Mutex::default(),
            warned: Mutex::default(),
            began: Instant::now(),
        });
        Ok(Self { address, accepting: tokio::spawn(accept(listener, tls, desk)) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EstServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: ServerTls, desk: Arc<Desk>) {
    let places = Places::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "the listener of enrolment cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let address = from.ip().to_canonical();
        let Some(place) = places.take(address) else { continue };
        let (acceptor, desk) = (Acceptor::new(tls()), Arc::clone(&desk));
        tokio::spawn(async move {
            let _place = place;
            match acceptor.accept(stream, HANDSHAKE_WITHIN).await {
                Ok(stream) => serve_device(stream, address, desk).await,
                Err(error @ TlsError::Refused(_)) if desk.may_warn() => {
                    tracing::warn!(%address, %error, "a device's certificate was refused, no certificate was given out");
                }
                Err(error) => tracing::debug!(%address, %error, "a connection for enrolment failed"),
            }
        });
    }
}

async fn serve_device(stream: TlsStream, address: IpAddr, desk: Arc<Desk>) {
    let shown = peer_certificate(&stream).map(Arc::new);
    let answer = move |request| {
        let (desk, shown) = (Arc::clone(&desk), shown.clone());
        async move { desk.answer(request, address, shown).await }
    };
    if tokio::time::timeout(EXCHANGE_WITHIN, serve_once(stream, address, answer)).await.is_err() {
        tracing::debug!(%address, "a connection for enrolment was not finished within {} s", EXCHANGE_WITHIN.as_secs());
    }
}

/// Answers requests.
#[derive(Debug)]
struct Desk {
    enrolment: Enrolment,
    attempts: Mutex<Attempts>,
    /// When the log last named a certificate that was refused in the handshake.
    warned: Mutex<Option<Instant>>,
    began: Instant,
}

impl Desk {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        address: IpAddr,
        shown: Option<Arc<Vec<u8>>>,
    ) -> Response {
        let path: String = request.uri().path().chars().take(MAX_LOGGED_PATH).collect();
        match self.respond(request, address, shown).await {
            Ok(response) => response,
            Err(refusal) => {
                let reason = refusal.as_str();
                // What anybody can cause any number of times, and costs nobody a certificate, does not fill the log.
                if refusal.is_common() {
                    tracing::debug!(%address, path, reason, %refusal, "no certificate was given out");
                } else {
                    tracing::warn!(%address, path, reason, %refusal, "no certificate was given out");
                }
                refused(&refusal)
            }
        }
    }

    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        address: IpAddr,
        shown: Option<Arc<Vec<u8>>>,
    ) -> Result<Response, EstRefusal> {
        let operation = request.uri().path().strip_prefix(ROOT).ok_or(EstRefusal::Unknown)?.to_owned();
        let wanted = match operation.as_str() {
            "cacerts" | "csrattrs" => Method::GET,
            "simpleenroll" | "simplereenroll" => Method::POST,
            _ => return Err(EstRefusal::Unknown),
        };
        if request.method() != wanted {
            return Err(EstRefusal::Method(wanted));
        }
        match operation.as_str() {
            "csrattrs" => Ok(empty(StatusCode::NO_CONTENT)),
            "cacerts" => {
                let found =
                    self.apart(|desk| Ok(desk.enrolment.authorities().map_err(EnrolRefusal::from)?)).await?;
                Ok(certificates(&found))
            }
            "simpleenroll" => {
                let (name, token) = request::login(request.headers()).ok_or(EstRefusal::Login)?;
                self.begin(address, &name)?;
                let asked = body(request).await?;
                let now = seconds();
                let of = name.clone();
                let enrolling = move |desk: &Self| {
                    let enrolled = desk.enrolment.enrol(&of, &token, &asked, now);
                    // The token may stand in a line that is damaged.
                    if matches!(enrolled, Err(EnrolRefusal::Token)) {
                        desk.warn_of_damage();
                    }
                    Ok(enrolled?)
                };
                let enrolled = self.apart(enrolling).await;
                if !matches!(enrolled, Err(EstRefusal::Enrol(EnrolRefusal::Token))) {
                    self.attempts().right(address, &name);
                }
                Ok(given_out(&enrolled?, "by a token", address))
            }
            _ => {
                let shown = shown.ok_or(EstRefusal::NoCertificate)?;
                let asked = body(request).await?;
                let enrolled =
                    self.apart(move |desk| Ok(desk.enrolment.renew(&shown, &asked, seconds())?)).await?;
                Ok(given_out(&enrolled, "by the one before", address))
            }
        }
    }

    /// Counts an attempt, where another may be made.
    fn begin(&self, address: IpAddr, name: &str) -> Result<(), EstRefusal> {
        let now = Monotonic(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut attempts = self.attempts();
        if let Some(wait) = attempts.wait(address, name, now) {
            return Err(EstRefusal::TooMany(wait));
        }
        attempts.begin(address, name, now);
        Ok(())
    }

    fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let may = warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY);
        if may {
            *warned = Some(Instant::now());
        }
        may
    }

    fn warn_of_damage(&self) {
        let tokens = self.enrolment.tokens();
        // Another fault is the answer's.
        if let Ok(Some(line)) = tokens.damaged_line() {
            tracing::warn!(file = %tokens.path().display(), line, "a line is no token and is passed over: remove it");
        }
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and writes files, and signs, where nobody waits for it.
    async fn apart<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, EstRefusal> + Send + 'static,
    ) -> Result<T, EstRefusal> {
        let desk = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&desk)).await.map_err(|_| EstRefusal::Internal)?
    }
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The request for a certificate, in DER.
async fn body(request: Request<Incoming>) -> Result<Vec<u8>, EstRefusal> {
    let collecting = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let collected = tokio::time::timeout(BODY_WITHIN, collecting).await.map_err(|_| EstRefusal::Late)?;
    let collected = collected.map_err(|error| {
        if error.is::<LengthLimitError>() { EstRefusal::TooLarge } else { EstRefusal::Broken }
    })?;
    request::decoded(&collected.to_bytes()).ok_or(EstRefusal::Body)
}

fn given_out(enrolled: &Enrolled, how: &str, address: IpAddr) -> Response {
    tracing::info!(device = enrolled.name, serial = enrolled.serial, %address, "a certificate was given out {how}");
    certificates(&enrolled.pkcs7)
}

fn certificates(pkcs7: &[u8]) -> Response {
    let mut response = Response::new(Body::from(base64_lines(pkcs7)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CERTIFICATES));
    response.headers_mut().insert("content-transfer-encoding", HeaderValue::from_static("base64"));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn refused(refusal: &EstRefusal) -> Response {
    let mut response = Response::new(Body::from(format!("{refusal}\n")));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match refusal {
        EstRefusal::Login | EstRefusal::Enrol(EnrolRefusal::Token) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        EstRefusal::TooMany(wait) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        EstRefusal::Method(wanted) => {
            let wanted = if *wanted == Method::GET { "GET" } else { "POST" };
            headers.insert(ALLOW, HeaderValue::from_static(wanted));
        }
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests;
