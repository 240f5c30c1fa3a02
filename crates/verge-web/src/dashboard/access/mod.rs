//! Who may do what: logins with passwords, sessions of browsers, tokens of programs.
//!
//! Reading order: [`Role`]; `file` (what is stored), `secret` (how), `sessions`, `once`, `attempts`; `Access`, which a running
//! gateway asks; [`PasswordFile`], for other servers.

mod attempts;
mod file;
mod once;
mod passwords;
mod pictures;
mod role;
mod secret;
mod sessions;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use verge_domain::time::{Moment, Monotonic};

pub use file::{AccessError, AccessFile, ApiToken, MAX_TOKENS, MAX_USERS, User, write_private};
pub use passwords::PasswordFile;
pub use pictures::PictureAccess;
pub use role::{LoginError, Role};
pub use secret::NoRandom;

pub(crate) use attempts::Attempts;
use once::Once;
use role::MAX_PASSWORD_BYTES;
use secret::{PasswordHash, equal, fingerprint};
use sessions::Sessions;

/// How often it is looked whether the file of the logins is another.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The name of the login.
    pub(crate) user: String,
    /// What it may do.
    pub(crate) role: Role,
    /// What it showed.
    pub(crate) proof: Proof,
}

/// What a request shows to prove whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The cookie of a browser.
    Cookie(String),
    /// The token of a program.
    Token(String),
    /// A certificate, verified, by its common name.
    Certificate(String),
}

/// Why somebody is not logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LoginRefusal {
    /// No such name, or not its password: nobody learns which.
    Wrong,
    /// Too many wrong ones: again after this time.
    TooMany(Duration),
    /// The system gives no random numbers.
    NoRandom,
}

/// The logins of a running gateway.
#[derive(Debug)]
pub(crate) struct Access {
    state_dir: PathBuf,
    certificates: BTreeMap<String, Role>,
    book: Mutex<Book>,
    sessions: Mutex<Sessions>,
    once: Mutex<Once>,
    attempts: Mutex<Attempts>,
    /// One password is hashed at a time: each takes memory.
    hashing: Arc<Semaphore>,
}

#[derive(Debug)]
struct Book {
    file: Arc<AccessFile>,
    stamp: Option<Stamp>,
    looked: Option<Monotonic>,
    /// The system gave an error for the file, which may pass without another stamp.
    unread: bool,
}

/// The first characters of the SHA-256 of what is no secret.
pub(crate) fn short_fingerprint(bytes: &[u8]) -> String {
    fingerprint(bytes)[..12].to_owned()
}

/// What differs when a file is replaced.
type Stamp = (u64, i64, i64, u64);

fn stamp_of(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Access {
    /// The logins in a state folder.
    pub(crate) fn open(state_dir: &Path, certificates: BTreeMap<String, Role>) -> Self {
        let book = Book { file: Arc::default(), stamp: None, looked: None, unread: false };
        Self {
            state_dir: state_dir.to_owned(),
            certificates,
            book: Mutex::new(book),
            sessions: Mutex::new(Sessions::load(state_dir)),
            once: Mutex::default(),
            attempts: Mutex::default(),
            hashing: Arc::new(Semaphore::new(1)),
        }
    }

    /// The logins as they are now. While their file cannot be read, those before it stay.
    fn users(&self, now: Monotonic) -> Arc<AccessFile> {
        let mut book = locked(&self.book);
        if book.looked.is_some_and(|looked| now.since(looked) < LOOK_EVERY) {
            return Arc::clone(&book.file);
        }
        let first = book.looked.replace(now).is_none();
        let stamp = stamp_of(&AccessFile::path(&self.state_dir));
        let changed = first || stamp != book.stamp;
        if changed || book.unread {
            book.stamp = stamp;
            match AccessFile::load(&self.state_dir) {
                Ok(file) => {
                    book.file = Arc::new(file);
                    book.unread = false;
                }
                Err(error) => {
                    book.unread = matches!(error, AccessError::Read { .. });
                    if changed {
                        tracing::error!(%error, "the logins of the dashboard stay as they were");
                    }
                }
            }
        }
        Arc::clone(&book.file)
    }

    /// Whether nobody can log in.
    pub(crate) fn is_empty(&self, now: Monotonic) -> bool {
        self.certificates.is_empty() && self.users(now).users.is_empty()
    }

    /// Whose proof this is.
    pub(crate) fn identify(&self, proof: Proof, now: Moment) -> Option<Who> {
        let users = self.users(now.mono);
        let (user, role) = match &proof {
            Proof::Certificate(name) => (name.clone(), *self.certificates.get(name)?),
            Proof::Cookie(cookie) => {
                let session = locked(&self.sessions).find(&users, cookie, now.wall);
                session.or_else(|| locked(&self.once).find(cookie))?
            }
            Proof::Token(token) => {
                let shown = fingerprint(token.as_bytes());
                let has_it = |user: &User| user.tokens.iter().any(|token| equal(&token.sha256, &shown));
                users
                    .users
                    .iter()
                    .find(|(_, user)| has_it(user))
                    .map(|(name, user)| (name.clone(), user.role))?
            }
        };
        Some(Who { user, role, proof })
    }

    /// Logs in by name and password, and returns the cookie.
    pub(crate) async fn log_in(
        &self,
        address: IpAddr,
        (name, password): (&str, &str),
        now: Moment,
    ) -> Result<String, LoginRefusal> {
        {
            let mut attempts = locked(&self.attempts);
            if let Some(wait) = attempts.wait(address, name, now.mono) {
                return Err(LoginRefusal::TooMany(wait));
            }
            attempts.begin(address, name, now.mono);
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(LoginRefusal::Wrong);
        }
        let users = self.users(now.mono);
        let known = users.users.get(name).and_then(|user| PasswordHash::read(user.password.as_ref()?));
        let (stored, shown) = (known.unwrap_or_else(PasswordHash::of_nobody), password.to_owned());
        let matches = {
            let turn = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| LoginRefusal::Wrong)?;
            let hash = move || {
                // The turn goes with the thread: it goes on hashing when the peer has gone and nobody awaits it.
                let _turn = turn;
                stored.matches(&shown)
            };
            tokio::task::spawn_blocking(hash).await.unwrap_or(false)
        };
        if !matches {
            tracing::warn!(%address, "a login at the dashboard was refused");
            return Err(LoginRefusal::Wrong);
        }
        locked(&self.attempts).right(address, name);
        let begun = locked(&self.sessions).begin(&users, name, now.wall);
        begun.map_err(|NoRandom| LoginRefusal::NoRandom)?.ok_or(LoginRefusal::Wrong)
    }

    /// A ticket that logs in once, under this name and within this time, without a login.
    pub(crate) fn invite(
        &self,
        whose: (&str, Role),
        life: Duration,
        now: Monotonic,
    ) -> Result<String, NoRandom> {
        locked(&self.once).invite(whose, life, now)
    }

    /// Logs in by a ticket, and returns the cookie; `None` where it was used, or its time has passed.
    pub(crate) fn enter(&self, ticket: &str, now: Monotonic) -> Result<Option<String>, NoRandom> {
        locked(&self.once).enter(ticket, now)
    }

    /// Logs a browser out.
    pub(crate) fn log_out(&self, cookie: &str) {
        locked(&self.sessions).end(cookie);
        locked(&self.once).end(cookie);
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::time::UtcMillis;

    use super::*;

    fn at(millis: i64) -> Moment {
        Moment::from_wall(UtcMillis(millis))
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_login_made_beside_a_running_gateway_works_and_ends_when_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path(), BTreeMap::new());
        assert!(access.is_empty(at(0).mono));
        assert_eq!(access.log_in(HERE, ("anna", "a long password"), at(0)).await, Err(LoginRefusal::Wrong));
        let mut file = AccessFile::default();
        file.add("anna", Role::Operator, Some("a long password")).unwrap();
        let token = file.make_token("anna", "x").unwrap();
        file.save(folder.path()).unwrap();
        let cookie = access.log_in(HERE, ("anna", "a long password"), at(1_000)).await.unwrap();
        let who = access.identify(Proof::Cookie(cookie.clone()), at(1_000)).unwrap();
        assert_eq!((who.user.as_str(), who.role), ("anna", Role::Operator));
        assert!(access.identify(Proof::Token(token.clone()), at(1_000)).is_some());
        assert!(access.identify(Proof::Token("x".repeat(43)), at(1_000)).is_none());
        for wrong in ["", "a long passworc", "a long password "] {
            assert_eq!(access.log_in(HERE, ("anna", wrong), at(1_000)).await, Err(LoginRefusal::Wrong));
        }
        // A damaged file locks nobody out who is in.
        std::fs::write(AccessFile::path(folder.path()), "[").unwrap();
        assert!(access.identify(Proof::Cookie(cookie.clone()), at(3_000)).is_some());
        file.remove("anna", None).unwrap();
        file.save(folder.path()).unwrap();
        assert!(access.identify(Proof::Cookie(cookie), at(5_000)).is_none());
        assert!(access.identify(Proof::Token(token), at(5_000)).is_none());
    }

    #[tokio::test]
    async fn guessing_is_slowed_down() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path(), BTreeMap::new());
        for index in 0..10 {
            let name = format!("n{index}");
            assert_eq!(
                access.log_in(HERE, (&name, &"x".repeat(2_000)), at(0)).await,
                Err(LoginRefusal::Wrong)
            );
        }
        let refused = access.log_in(HERE, ("n", "x"), at(10_000)).await;
        assert_eq!(refused, Err(LoginRefusal::TooMany(Duration::from_secs(50))));
    }
}
