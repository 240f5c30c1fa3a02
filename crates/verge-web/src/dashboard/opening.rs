//! Who answers while the gateway opens: its store is checked, models are loaded, what was learnt is taken up. That may take long,
//! and whoever restarts a gateway that hangs must not restart one that opens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::ServerTls;
use super::cut::Cut;
use super::front::{Peer, finish, host_of, is_ours};
use super::problem::Problem;
use super::server::{Answers, accept};
use super::shown::Shown;

/// A browser asks again after this many seconds.
const AGAIN_S: &str = "5";

/// In the place of a dashboard, on the runtime that it was started on. It ends when it is dropped.
pub struct Opening(JoinHandle<()>);

impl Opening {
    /// Serves at this address once this time has passed: most gateways have opened before. Where it cannot listen it serves nothing;
    /// the dashboard will say so.
    #[must_use]
    pub fn start(address: SocketAddr, hosts: Vec<String>, tls: Option<ServerTls>, after: Duration) -> Self {
        let answers = Unopened { hosts: hosts.into() };
        Self(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    tracing::info!(%address, "the gateway is opening its store; until then only /healthz and /readyz answer");
                    accept(listener, tls, answers).await;
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "cannot listen; no health answers while the gateway opens")
                }
            }
        }))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone)]
struct Unopened {
    hosts: Arc<[String]>,
}

impl Answers for Unopened {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response {
        let (path, is_head) = (request.uri().path().to_owned(), request.method() == Method::HEAD);
        let host = host_of(request.uri(), request.headers());
        let mut answer = if !is_ours(&self.hosts, &host, &peer) {
            Problem::ForeignHost(Shown::of(&host).text).into_response()
        } else {
            match path.as_str() {
                "/healthz" => StatusCode::NO_CONTENT.into_response(),
                // Empty on purpose, as it always is.
                "/readyz" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                _ => Problem::Unavailable("it still opens its store; this page asks again").into_response(),
            }
        };
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            let refresh = HeaderName::from_static("refresh");
            answer.headers_mut().insert(refresh, HeaderValue::from_static(AGAIN_S));
        }
        finish(answer, &path, is_head)
    }

    fn count(&self, _cut: Cut) {}
}
