//! The address that verdicts are pushed to.

use std::fmt;

use hyper::Uri;
use hyper::http::uri::Scheme;

/// Scheme, host, port and path of a web service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTarget {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// Why a text is no address of a web service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushTargetError {
    /// It cannot be read as an address.
    #[error("{0}")]
    Unreadable(String),
    /// Neither `http` nor `https`.
    #[error("the scheme {0:?} is not https")]
    Scheme(String),
    /// No host.
    #[error("it names no host")]
    Host,
    /// A user and a password do not belong into an address.
    #[error("it holds a user or a password")]
    User,
}

impl PushTarget {
    /// Reads an address such as `https://hooks.example/verge?site=7`.
    ///
    /// # Errors
    /// See [`PushTargetError`].
    pub fn parse(text: &str) -> Result<Self, PushTargetError> {
        let uri: Uri = text.parse().map_err(|error| PushTargetError::Unreadable(format!("{error}")))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(other) => return Err(PushTargetError::Scheme(other.to_string())),
            None => return Err(PushTargetError::Scheme(String::new())),
        };
        let authority = uri.authority().ok_or(PushTargetError::Host)?;
        if authority.as_str().contains('@') {
            return Err(PushTargetError::User);
        }
        if authority.host().is_empty() {
            return Err(PushTargetError::Host);
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { tls, host: authority.host().to_owned(), port, path: path.to_owned() })
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as the system resolves it: without brackets.
    pub(crate) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The `Host` header: the port only where it is not the usual one.
    pub(crate) fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for PushTarget {
    /// Without the query, which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or("/");
        write!(f, "{}://{}{path}", if self.tls { "https" } else { "http" }, self.authority())
    }
}
