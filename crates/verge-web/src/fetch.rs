//! One file by GET from where it was left off: the other way in for packages of models.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, RANGE};
use hyper::{Response, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use verge_tls::ClientConfig;

use crate::dial::{dial, request_to};
use crate::push::PushTarget;

/// What is fetched, and how.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// The address.
    pub target: PushTarget,
    /// For `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// A connection, an answer, and each next piece take this long at most.
    pub timeout: Duration,
}

/// Why it does not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It cannot be reached, or ended.
    #[error("{address}: {reason}")]
    Lost {
        /// Where.
        address: String,
        /// Why, in words.
        reason: String,
    },
    /// It is not there.
    #[error("{address} answers {status}")]
    Status {
        /// Where.
        address: String,
        /// The status of the answer.
        status: u16,
    },
    /// It is another file than was offered.
    #[error("{address} has a file of {found} bytes, and {offered} were offered")]
    Other {
        /// Where.
        address: String,
        /// As it says.
        found: String,
        /// Bytes of the offer.
        offered: u64,
    },
    /// It does not say which part it sends.
    #[error("{address} sends another part than was asked for")]
    Part {
        /// Where.
        address: String,
    },
    /// https without certificates to believe in.
    #[error(
        "{address}: no certificates are configured that the one of this address could lead to: set ca below [models]"
    )]
    NoRoots {
        /// Where.
        address: String,
    },
}

impl FetchError {
    /// Whether it will be the same later.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Lost { .. } => false,
            Self::Status { status, .. } => (300..500).contains(status) && ![408, 425, 429].contains(status),
            Self::Other { .. } | Self::Part { .. } | Self::NoRoots { .. } => true,
        }
    }
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPiece {
    /// Bytes that were read for it: all that came, also what was there already.
    pub read: u64,
    /// What is new of them; may be nothing.
    pub bytes: Bytes,
}

/// A file that is being fetched.
pub struct Fetch {
    body: Incoming,
    connection: JoinHandle<()>,
    address: String,
    timeout: Duration,
    /// Bytes of it that are not wanted: what was there already and is sent again.
    skip: u64,
    knows_ranges: bool,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Fetch {
    /// Connects, and asks for what comes behind `from` of a file of `total` bytes.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn open(settings: &FetchSettings, from: u64, total: u64) -> Result<Self, FetchError> {
        let address = settings.target.to_string();
        let lost = |reason: String| FetchError::Lost { address: address.clone(), reason };
        if settings.target.is_tls() && settings.tls.is_none() {
            return Err(FetchError::NoRoots { address });
        }
        let silent = || lost(format!("it did not answer within {} s (timeout)", settings.timeout.as_secs()));
        let opened = timeout(settings.timeout, ask(settings, from)).await.map_err(|_| silent())?;
        let (response, connection) = opened.map_err(lost)?;
        let status = response.status();
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let length = hyper::body::Body::size_hint(response.body()).exact();
        let checked = check(&address, (status, range, length), from, total);
        let skip = checked.inspect_err(|_| connection.abort())?;
        let (body, timeout) = (response.into_body(), settings.timeout);
        let knows_ranges = status == StatusCode::PARTIAL_CONTENT;
        Ok(Self { body, connection, address, timeout, skip, knows_ranges })
    }

    /// Whether it can go on later where it was; otherwise all of the file comes again.
    #[must_use]
    pub const fn knows_ranges(&self) -> bool {
        self.knows_ranges
    }

    /// The next piece; `None` at the end. Hardly more is read from the service than was asked for, so a rate is kept by waiting
    /// in between. Cancel-safe.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn next(&mut self) -> Result<Option<FetchedPiece>, FetchError> {
        let lost = |reason: String| FetchError::Lost { address: self.address.clone(), reason };
        loop {
            let frame = timeout(self.timeout, self.body.frame()).await;
            let frame = frame.map_err(|_| lost(format!("nothing came for {} s", self.timeout.as_secs())))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| lost(verge_tls::explain(&error)))?;
            let Ok(mut bytes) = frame.into_data() else { continue };
            let read = bytes.len() as u64;
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= skipped as u64;
            return Ok(Some(FetchedPiece { read, bytes: bytes.split_off(skipped) }));
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Whether an answer is what was asked for. Gives the bytes that are to be skipped, where all of the file comes.
fn check(
    address: &str,
    (status, range, length): (StatusCode, Option<&str>, Option<u64>),
    from: u64,
    total: u64,
) -> Result<u64, FetchError> {
    let address = address.to_owned();
    let other = |found: String| FetchError::Other { address: address.clone(), found, offered: total };
    match status {
        StatusCode::OK => match length {
            Some(length) if length != total => Err(other(length.to_string())),
            _ => Ok(from),
        },
        StatusCode::PARTIAL_CONTENT => {
            // `bytes 100-299/300`
            let parsed = range.and_then(|range| {
                let (part, all) = range.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
                let (begin, _) = part.split_once('-')?;
                Some((begin.trim().parse::<u64>().ok()?, all.trim().to_owned()))
            });
            match parsed {
                Some((_, all)) if all != "*" && all.parse() != Ok(total) => Err(other(all)),
                Some((begin, _)) if begin == from => Ok(0),
                _ => Err(FetchError::Part { address }),
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let all = range.and_then(|range| range.rsplit_once('/')).map_or("?", |(_, all)| all);
            Err(other(all.to_owned()))
        }
        status => Err(FetchError::Status { address, status: status.as_u16() }),
    }
}

type Asked = (Response<Incoming>, JoinHandle<()>);

async fn ask(settings: &FetchSettings, from: u64) -> Result<Asked, String> {
    let (mut send, connection) = dial(&settings.target, settings.tls.clone()).await?;
    let mut request = request_to(&settings.target, Bytes::new());
    if let Ok(range) = format!("bytes={from}-").parse() {
        request.headers_mut().insert(RANGE, range);
    }
    let answered = async {
        send.ready().await?;
        send.send_request(request).await
    };
    match answered.await {
        Ok(response) => Ok((response, connection)),
        Err(error) => {
            connection.abort();
            Err(verge_tls::explain(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_held_against_what_was_offered() {
        let check = |status: u16, range: Option<&str>, length: Option<u64>| {
            check("a", (StatusCode::from_u16(status).unwrap(), range, length), 100, 300)
        };
        assert_eq!(check(206, Some("bytes 100-299/300"), Some(200)), Ok(0));
        assert_eq!(check(206, Some("bytes 100-299/*"), Some(200)), Ok(0));
        // Some servers know no ranges: what is here already is skipped.
        assert_eq!(check(200, None, Some(300)), Ok(100));
        assert_eq!(check(200, None, None), Ok(100));
        for (status, range, length) in [
            (206, Some("bytes 0-299/300"), Some(300)),
            (206, None, Some(200)),
            (206, Some("bytes 100-398/399"), Some(299)),
            (206, Some("items 100-299/300"), Some(200)),
            (200, None, Some(301)),
            (416, Some("bytes */90"), None),
            (404, None, None),
        ] {
            assert!(check(status, range, length).unwrap_err().is_final(), "{status} {range:?}");
        }
        // Where else it may be is not followed.
        assert!(check(301, None, None).unwrap_err().is_final());
        for status in [408, 429, 500, 503] {
            assert!(!check(status, None, None).unwrap_err().is_final(), "{status}");
        }
    }
}
