//! Where the metrics of a fleet are scraped: one path, for anyone who reaches the address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fleet::Fleet;
use super::text::{TextForm, written};
use crate::dashboard::front::{bare_host, host_of};
use crate::dashboard::server::{Places, serve};

/// For this long the same text is given again: whoever asks more often costs nothing.
const FRESH: Duration = Duration::from_secs(1);
/// After an accept that failed, mostly for want of descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// The exporter at work, on the runtime that it was started on. It ends when it is dropped.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Serves `/metrics` on a listener, within a runtime.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn start(listener: std::net::TcpListener, fleet: Arc<Mutex<Fleet>>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, Arc::new(FleetText::of(fleet))));
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The metrics as they were written last, of either form.
struct FleetText {
    fleet: Arc<Mutex<Fleet>>,
    /// Held while a text is made: of a large fleet that takes a while, and one at a time is enough.
    last: tokio::sync::Mutex<Vec<(TextForm, Instant, Bytes)>>,
}

impl FleetText {
    fn of(fleet: Arc<Mutex<Fleet>>) -> Self {
        Self { fleet, last: tokio::sync::Mutex::default() }
    }

    async fn answer(&self, form: TextForm) -> Response {
        let Some(text) = self.text(form).await else { return plain(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut answer = Response::new(Body::from(text));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
        answer
    }

    /// The metrics of now, or of a moment ago; `None` where they cannot be written.
    async fn text(&self, form: TextForm) -> Option<Bytes> {
        let mut last = self.last.lock().await;
        last.retain(|(_, made, _)| made.elapsed() < FRESH);
        if let Some((_, _, text)) = last.iter().find(|(known, _, _)| *known == form) {
            return Some(text.clone());
        }
        let fleet = Arc::clone(&self.fleet);
        // Receiving goes on meanwhile.
        let made = tokio::task::spawn_blocking(move || {
            let now = Instant::now();
            let families = fleet.lock().unwrap_or_else(PoisonError::into_inner).families(now);
            written(families, form).map(|text| (now, Bytes::from(text)))
        });
        let (now, text) = made.await.ok()?.ok()?;
        last.push((form, now, text.clone()));
        Some(text)
    }
}

async fn accept(listener: TcpListener, text: Arc<FleetText>) {
    let places = Places::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let address = from.ip().to_canonical();
        let Some(place) = places.take(address) else { continue };
        let Ok(local) = stream.local_addr() else { continue };
        let text = Arc::clone(&text);
        tokio::spawn(async move {
            let _place = place;
            let answer = move |request: Request<_>| {
                let (wanted, text) = (wanted(&request, local.ip().to_canonical()), Arc::clone(&text));
                async move {
                    match wanted {
                        Ok(form) => text.answer(form).await,
                        Err(status) => plain(status),
                    }
                }
            };
            serve(stream, address, answer).await;
        });
    }
}

/// The form of the metrics that a request is answered with, or why with none.
fn wanted<B>(request: &Request<B>, local: IpAddr) -> Result<TextForm, StatusCode> {
    let host = bare_host(&host_of(request.uri(), request.headers()));
    // Pages of other sites can have any name that leads to this machine.
    let is_ours = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if local.is_loopback() && !is_ours {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    if request.uri().path() != "/metrics" {
        return Err(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    Ok(TextForm::wanted(request.headers()))
}

fn plain(status: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_is_served_to_who_asks_by_a_name_of_this_machine() {
        let check = |method: Method, host: &str, path: &str, local: &str, expected: u16| {
            let request = Request::builder().method(method).uri(path).header("host", host).body(()).unwrap();
            let status = wanted(&request, local.parse().unwrap()).err().unwrap_or(StatusCode::OK);
            assert_eq!(status.as_u16(), expected, "{host} {path}");
        };
        check(Method::GET, "127.0.0.1:9464", "/metrics", "127.0.0.1", 200);
        check(Method::HEAD, "localhost", "/metrics", "127.0.0.1", 200);
        check(Method::GET, "evil.example", "/metrics", "127.0.0.1", 421);
        check(Method::GET, "centre.example:9464", "/metrics", "10.0.0.1", 200);
        check(Method::GET, "localhost", "/", "127.0.0.1", 404);
        check(Method::POST, "localhost", "/metrics", "127.0.0.1", 405);
    }

    #[tokio::test]
    async fn a_text_is_kept_for_a_moment_and_for_each_form() {
        let text = FleetText::of(Arc::default());
        let first = text.text(TextForm::Prometheus).await.unwrap();
        let open = text.text(TextForm::OpenMetrics).await.unwrap();
        assert!(open.ends_with(b"# EOF\n") && first != open);
        text.fleet.lock().unwrap().set_connected(true);
        // Made long ago, so that it is made anew.
        let Some(long_ago) = Instant::now().checked_sub(2 * FRESH) else { return };
        text.last.lock().await.iter_mut().for_each(|(_, made, _)| *made = long_ago);
        let then = text.text(TextForm::Prometheus).await.unwrap();
        assert_ne!(then, first);
        assert_eq!(text.last.lock().await.len(), 1);
    }
}
