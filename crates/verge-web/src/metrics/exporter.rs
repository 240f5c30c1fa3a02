//! Where the metrics of a fleet are scraped: one path, for anyone who reaches the address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fleet::Fleet;
use super::text::{TextForm, written};
use crate::dashboard::front::{bare_host, host_of};
use crate::dashboard::server::{Places, serve};

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
        let task = tokio::spawn(accept(listener, fleet));
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

async fn accept(listener: TcpListener, fleet: Arc<Mutex<Fleet>>) {
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
        let fleet = Arc::clone(&fleet);
        tokio::spawn(async move {
            let _place = place;
            let answer = move |request: Request<_>| {
                let answer = answer(&request, local.ip().to_canonical(), &fleet);
                std::future::ready(answer)
            };
            serve(stream, address, answer).await;
        });
    }
}

fn answer<B>(request: &Request<B>, local: IpAddr, fleet: &Mutex<Fleet>) -> Response {
    let host = bare_host(&host_of(request.uri(), request.headers()));
    // Pages of other sites can have any name that leads to this machine.
    let is_ours = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if local.is_loopback() && !is_ours {
        return plain(StatusCode::MISDIRECTED_REQUEST);
    }
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED);
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let form = TextForm::wanted(request.headers());
    let families = fleet.lock().unwrap_or_else(PoisonError::into_inner).families(Instant::now());
    let Ok(text) = written(families, form) else { return plain(StatusCode::INTERNAL_SERVER_ERROR) };
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    answer
}

fn plain(status: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_is_served_to_who_asks_by_a_name_of_this_machine() {
        let fleet = Mutex::default();
        let check = |method: Method, host: &str, path: &str, local: &str, expected: u16| {
            let request = Request::builder().method(method).uri(path).header("host", host).body(()).unwrap();
            let status = answer(&request, local.parse().unwrap(), &fleet).status();
            assert_eq!(status.as_u16(), expected, "{host} {path}");
        };
        check(Method::GET, "127.0.0.1:9464", "/metrics", "127.0.0.1", 200);
        check(Method::HEAD, "localhost", "/metrics", "127.0.0.1", 200);
        check(Method::GET, "evil.example", "/metrics", "127.0.0.1", 421);
        check(Method::GET, "centre.example:9464", "/metrics", "10.0.0.1", 200);
        check(Method::GET, "localhost", "/", "127.0.0.1", 404);
        check(Method::POST, "localhost", "/metrics", "127.0.0.1", 405);
    }
}
