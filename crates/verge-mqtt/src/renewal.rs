//! Credentials that change while the gateway runs: their files are read again at each attempt to connect, and a changed
//! certificate is tried beside the connection that stands before that is given up for it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use verge_tls::{ClientConfig, Credentials};

use crate::connection::BrokerAddress;
use crate::words::io_words;

/// How often files are checked.
pub const LOOK: Duration = Duration::from_secs(2);
/// With TLS 1.3 a broker refuses a certificate only after the handshake is done on our side.
const REFUSAL_WITHIN: Duration = Duration::from_secs(1);

/// What a broker is shown.
#[derive(Debug, Clone)]
pub struct ConnectionAccess {
    /// User and password.
    pub credentials: Option<Credentials>,
    /// Certificates.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Files that may change.
#[derive(Debug, Clone, Default)]
pub struct WatchedFiles(Vec<PathBuf>);

impl WatchedFiles {
    /// These files.
    #[must_use]
    pub const fn new(files: Vec<PathBuf>) -> Self {
        Self(files)
    }

    /// Another number when any of them was written, replaced or removed.
    #[must_use]
    pub fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in &self.0 {
            let about = std::fs::metadata(file).ok();
            about
                .map(|about| (about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
                .hash(&mut hasher);
        }
        hasher.finish()
    }
}

type Read = dyn Fn() -> Result<ConnectionAccess, String> + Send + Sync;

/// Reads credentials again. Its clones share what they know.
#[derive(Clone)]
pub struct Renewal(Arc<RenewalShared>);

struct RenewalShared {
    read: Box<Read>,
    certificates: WatchedFiles,
    state: Mutex<State>,
}

struct State {
    newest: ConnectionAccess,
    /// What the broker took before, while it refuses the newest.
    before: Option<ConnectionAccess>,
    /// It is the turn of `before`.
    turn: bool,
    /// The certificates that were refused.
    refused: Option<u64>,
    fault: Option<String>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("certificates", &self.0.certificates).finish_non_exhaustive()
    }
}

impl Renewal {
    /// From what was read first, how to read it again, and the files with certificates and key.
    pub fn new(
        first: ConnectionAccess,
        certificates: WatchedFiles,
        read: impl Fn() -> Result<ConnectionAccess, String> + Send + Sync + 'static,
    ) -> Self {
        let state = State { newest: first, before: None, turn: false, refused: None, fault: None };
        Self(Arc::new(RenewalShared { read: Box::new(read), certificates, state: Mutex::new(state) }))
    }

    /// Why the files cannot be used, in words: the last good ones are.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.state().fault.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For an attempt to connect: what the files hold now, or the last that could be used. A set of certificates that
    /// the broker refused takes turns with the one before.
    pub(crate) fn access(&self) -> ConnectionAccess {
        self.take((self.0.read)());
        let mut state = self.state();
        state.turn = !state.turn;
        match &state.before {
            Some(before) if state.turn => before.clone(),
            _ => state.newest.clone(),
        }
    }

    /// Takes note of what was read, and of what cannot be.
    fn take(&self, read: Result<ConnectionAccess, String>) -> bool {
        let mut state = self.state();
        match read {
            Ok(access) => {
                if state.refused.is_none() && state.fault.take().is_some() {
                    tracing::info!("the files with credentials can be used again");
                }
                state.newest = access;
                true
            }
            Err(fault) => {
                if state.fault.as_ref() != Some(&fault) {
                    tracing::error!(
                        fault,
                        "files with credentials cannot be used; the ones before stay in use"
                    );
                    state.fault = Some(fault);
                }
                false
            }
        }
    }

    /// What the certificates are now, see [`Renewal::renewed`].
    pub(crate) fn print(&self) -> u64 {
        self.0.certificates.print()
    }

    /// Returns when certificates other than those `in_use` were accepted beside the connection that stands, so that it can
    /// be made again.
    pub(crate) async fn renewed(&self, in_use: u64, address: &BrokerAddress, timeout: Duration) {
        let mut seen = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let print = self.print();
            let known = print == in_use || self.state().refused == Some(print);
            // Files of one set are written one after another: they are read when they have come to rest.
            if known || seen.replace(print) != Some(print) {
                continue;
            }
            let before = self.state().newest.clone();
            if !self.take((self.0.read)()) {
                continue;
            }
            let Some(tls) = self.state().newest.tls.clone() else { continue };
            match prove(&tls, address, timeout).await {
                Ok(()) => {
                    let mut state = self.state();
                    (state.before, state.refused, state.fault) = (None, None, None);
                    return;
                }
                Err(reason) => {
                    let fault =
                        format!("the new certificates were tried with {address} and refused: {reason}");
                    tracing::error!(fault, "the certificates before stay in use");
                    let mut state = self.state();
                    (state.before, state.refused) = (Some(before), Some(print));
                    state.fault = Some(fault);
                }
            }
        }
    }
}

/// A handshake, without an MQTT connection: that would end the one that stands.
async fn prove(tls: &Arc<ClientConfig>, address: &BrokerAddress, timeout: Duration) -> Result<(), String> {
    let handshake = async {
        let tcp = TcpStream::connect((address.host(), address.port())).await?;
        verge_tls::connect(Arc::clone(tls), address.host(), tcp).await
    };
    let Ok(done) = tokio::time::timeout(timeout, handshake).await else {
        return Err("no answer in time".to_owned());
    };
    let mut stream = done.map_err(|error| io_words(&error))?;
    match tokio::time::timeout(REFUSAL_WITHIN, stream.read_u8()).await {
        // It waits for us to speak, as it should.
        Err(_) | Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(io_words(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use verge_tls::Secret;

    fn access(password: u8) -> ConnectionAccess {
        let password = Secret::new(password.to_string());
        ConnectionAccess { credentials: Some(Credentials { username: "u".to_owned(), password }), tls: None }
    }

    fn password(renewal: &Renewal) -> String {
        renewal.access().credentials.unwrap().password.reveal().to_owned()
    }

    #[test]
    fn each_attempt_reads_again_and_a_bad_file_leaves_the_last_good_one() {
        let now = Arc::new(AtomicU8::new(1));
        let file = Arc::clone(&now);
        let read = move || match file.load(Ordering::Relaxed) {
            0 => Err("it is empty".to_owned()),
            number => Ok(access(number)),
        };
        let renewal = Renewal::new(access(1), WatchedFiles::default(), read);
        for (found, expected, fault) in [(1, "1", false), (2, "2", false), (0, "2", true), (3, "3", false)] {
            now.store(found, Ordering::Relaxed);
            assert_eq!((password(&renewal).as_str(), renewal.fault().is_some()), (expected, fault));
        }
    }
}
