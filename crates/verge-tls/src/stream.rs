//! Both ends of one connection.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig, server};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use crate::TlsError;
use crate::certificate::{identities_of, summarise};
use crate::verifier::REFUSED;

/// A connection after its handshake, of either end.
pub type TlsStream = tokio_rustls::TlsStream<TcpStream>;

/// What the peer's certificate, which the handshake has verified, calls its owner: the DNS names and the common name. Empty
/// without a certificate.
#[must_use]
pub fn peer_identities(stream: &TlsStream) -> Vec<String> {
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().and_then(|chain| chain.first()).map_or_else(Vec::new, identities_of)
}

/// Does the handshake on a connection to `host`, whose certificate must carry that name or address.
///
/// # Errors
/// The handshake failed, or `host` is neither a name nor an address; [`explain`](crate::explain) says why.
pub async fn connect(config: Arc<ClientConfig>, host: &str, stream: TcpStream) -> io::Result<TlsStream> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(TlsConnector::from(config).connect(name, stream).await?.into())
}

/// The certificate that the other end has shown and that was verified, DER; `None`: it has shown none.
#[must_use]
pub fn peer_certificate(stream: &TlsStream) -> Option<Vec<u8>> {
    let (_, session) = stream.get_ref();
    Some(session.peer_certificates()?.first()?.to_vec())
}

/// The common name of the certificate that the other end has shown and that was verified; `None`: it has shown none.
#[must_use]
pub fn peer_name(stream: &TlsStream) -> Option<String> {
    let (_, session) = stream.get_ref();
    summarise(session.peer_certificates()?.first()?)?.common_name
}

/// Whether the two ends have agreed on HTTP/2.
#[must_use]
pub fn speaks_http2(stream: &TlsStream) -> bool {
    let (_, session) = stream.get_ref();
    session.alpn_protocol() == Some(crate::config::HTTP_2)
}

/// Accepts TLS on TCP connections that have already been accepted.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// An acceptor with this configuration.
    #[must_use]
    pub const fn new(config: Arc<ServerConfig>) -> Self {
        Self { config }
    }

    /// Does the handshake; call it in a task of the connection's own, never in the accept loop.
    ///
    /// # Errors
    /// It failed, or the client did not finish it within `timeout`.
    pub async fn accept(&self, stream: TcpStream, timeout: Duration) -> Result<TlsStream, TlsError> {
        self.accept_noting(stream, timeout, || {}).await
    }

    /// The same, and calls `has_begun` when the client's first message is there: all that comes before it is cheap to send.
    ///
    /// # Errors
    /// As [`Acceptor::accept`].
    pub async fn accept_noting(
        &self,
        stream: TcpStream,
        timeout: Duration,
        has_begun: impl FnOnce(),
    ) -> Result<TlsStream, TlsError> {
        let handshake = async {
            let begun = LazyConfigAcceptor::new(server::Acceptor::default(), stream).await?;
            has_begun();
            begun.into_stream(Arc::clone(&self.config)).await
        };
        let accepting = async {
            let accepted = handshake.await;
            (accepted, REFUSED.with(|refused| refused.borrow_mut().take()))
        };
        let accepting = REFUSED.scope(RefCell::new(None), accepting);
        match tokio::time::timeout(timeout, accepting).await {
            Ok((Ok(inner), _)) => Ok(TlsStream::Server(inner)),
            Ok((Err(_), Some(refused))) => Err(TlsError::Refused(refused)),
            Ok((Err(error), None)) => Err(TlsError::Handshake(error)),
            Err(_) => Err(TlsError::HandshakeTimeout(timeout)),
        }
    }
}
