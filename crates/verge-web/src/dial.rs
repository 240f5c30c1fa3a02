//! Connections to web services, and what all requests to them have in common.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use verge_tls::ClientConfig;

use crate::push::PushTarget;

/// Headers of an answer are read up to this size.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What sends requests, and the task that holds the connection.
pub(crate) type Dialled = (SendRequest<Full<Bytes>>, JoinHandle<()>);

/// Connects, and does the handshake of TLS where the address has https.
///
/// # Errors
/// Why it cannot be reached, in words.
pub(crate) async fn dial(target: &PushTarget, tls: Option<Arc<ClientConfig>>) -> Result<Dialled, String> {
    let words = |error: io::Error| verge_tls::explain(&error);
    let tls = match (target.is_tls(), tls) {
        (true, None) => {
            return Err(
                "no certificates are configured that the one of this address could lead to".to_owned()
            );
        }
        (true, tls) => tls,
        (false, _) => None,
    };
    let stream = TcpStream::connect((target.bare_host(), target.port())).await.map_err(words)?;
    // Each request is written at once and waits for its answer.
    stream.set_nodelay(true).map_err(words)?;
    match tls {
        None => over(stream).await,
        Some(config) => {
            over(verge_tls::connect(config, target.bare_host(), stream).await.map_err(words)?).await
        }
    }
}

async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Dialled, String> {
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD_BYTES);
    let (send, connection): (SendRequest<Full<Bytes>>, _) =
        http.handshake(TokioIo::new(stream)).await.map_err(|error| verge_tls::explain(&error))?;
    Ok((send, tokio::spawn(async { drop(connection.await) })))
}

/// GET of the address, unless its caller changes that.
pub(crate) fn request_to(target: &PushTarget, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    // The address was read as one: its parts are.
    *request.uri_mut() = target.path().parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Ok(host) = target.authority().parse() {
        headers.insert(HOST, host);
    }
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("verge/", env!("CARGO_PKG_VERSION"))));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_sent_in_plain_text_where_the_address_has_https() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = PushTarget::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let dialled = dial(&target, None).await;
        assert!(dialled.is_err_and(|why| why.contains("no certificates are configured")));
        listener.set_nonblocking(true).unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock,
            "it is not connected to"
        );
    }
}
