//! The accepting end of one connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::TlsError;
use crate::summary::names_of;

/// Accepts TLS on TCP connections that have already been accepted.
#[derive(Clone)]
pub struct Acceptor {
    inner: TlsAcceptor,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// An acceptor with this configuration.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { inner: TlsAcceptor::from(config) }
    }

    /// Does the handshake; call it in a task of the connection's own, never in the accept loop.
    ///
    /// # Errors
    /// It failed, or the client did not finish it within `timeout`.
    pub async fn accept(&self, stream: TcpStream, timeout: Duration) -> Result<ServerStream, TlsError> {
        match tokio::time::timeout(timeout, self.inner.accept(stream)).await {
            Ok(Ok(inner)) => Ok(ServerStream { inner }),
            Ok(Err(error)) => Err(TlsError::Handshake(error)),
            Err(_) => Err(TlsError::HandshakeTimeout(timeout)),
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub struct ServerStream {
    inner: TlsStream<TcpStream>,
}

impl ServerStream {
    /// The names in the client's certificate: subject alternative names, or the common name where there are
    /// none. Empty where no certificate was asked for.
    #[must_use]
    pub fn peer_names(&self) -> Vec<String> {
        let (_, connection) = self.inner.get_ref();
        connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|certificate| names_of(certificate))
            .unwrap_or_default()
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
