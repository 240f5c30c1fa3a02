//! Browsers that are logged in. They survive a restart: a file in the state folder holds what proves their cookies.
//!
//! The running gateway alone writes it. A session holds a mark of the password that it was begun with, so it ends with the
//! login or with that password, without anyone looking for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use verge_domain::time::UtcMillis;

use super::file::{AccessFile, write_private};
use super::role::Role;
use super::secret::{NoRandom, fingerprint, random_secret};

/// Name of the file in the state folder.
const FILE: &str = "sessions.json";
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Browsers of one login at most; the one that was seen longest ago is logged out.
const OF_USER: usize = 16;
/// In all.
const IN_ALL: usize = 1_024;
/// A session ends when it was not used for this long.
const LIFE_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// How often its last use is noted on disk.
const NOTED_MS: i64 = 24 * 3_600 * 1_000;

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    user: String,
    /// Of the password that it was begun with.
    mark: String,
    /// When it was last noted as used (UTC ms).
    seen: i64,
}

/// All of them, by the fingerprint of their cookies.
#[derive(Debug)]
pub(crate) struct Sessions {
    path: PathBuf,
    all: BTreeMap<String, Session>,
}

/// The password of a login changes it, too.
fn mark_of(users: &AccessFile, name: &str) -> Option<String> {
    let password = users.users.get(name)?.password.as_ref()?;
    Some(fingerprint(password.as_bytes())[..16].to_owned())
}

impl Sessions {
    /// Those of the last run. A file that is damaged costs its sessions, not the start.
    pub(crate) fn load(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let read = std::fs::metadata(&path)
            .ok()
            .filter(|found| found.len() <= MAX_FILE_BYTES)
            .and_then(|_| std::fs::read(&path).ok());
        let all = read.as_deref().map_or(Ok(BTreeMap::new()), serde_json::from_slice);
        let all = all.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the sessions of the dashboard cannot be read: people log in again");
            BTreeMap::new()
        });
        Self { path, all }
    }

    /// Begins one and returns its cookie.
    pub(crate) fn begin(
        &mut self,
        users: &AccessFile,
        user: &str,
        now: UtcMillis,
    ) -> Result<Option<String>, NoRandom> {
        let Some(mark) = mark_of(users, user) else { return Ok(None) };
        let cookie = random_secret()?;
        self.all.retain(|_, session| {
            now.0.saturating_sub(session.seen) < LIFE_MS
                && mark_of(users, &session.user).as_ref() == Some(&session.mark)
        });
        self.make_room(|session| session.user == user, OF_USER);
        self.make_room(|_| true, IN_ALL);
        let session = Session { user: user.to_owned(), mark, seen: now.0 };
        self.all.insert(fingerprint(cookie.as_bytes()), session);
        self.save();
        Ok(Some(cookie))
    }

    fn make_room(&mut self, of: impl Fn(&Session) -> bool, most: usize) {
        while self.all.values().filter(|session| of(session)).count() >= most {
            let oldest =
                self.all.iter().filter(|(_, session)| of(session)).min_by_key(|(_, session)| session.seen);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            self.all.remove(&oldest);
        }
    }

    /// Whose it is, and what he may do.
    pub(crate) fn find(
        &mut self,
        users: &AccessFile,
        cookie: &str,
        now: UtcMillis,
    ) -> Option<(String, Role)> {
        let key = fingerprint(cookie.as_bytes());
        let session = self.all.get_mut(&key)?;
        let idle = now.0.saturating_sub(session.seen);
        if idle >= LIFE_MS || mark_of(users, &session.user).as_ref() != Some(&session.mark) {
            return None;
        }
        let found = (session.user.clone(), users.users.get(&session.user)?.role);
        if idle >= NOTED_MS {
            session.seen = now.0;
            self.save();
        }
        Some(found)
    }

    /// Ends one.
    pub(crate) fn end(&mut self, cookie: &str) {
        if self.all.remove(&fingerprint(cookie.as_bytes())).is_some() {
            self.save();
        }
    }

    fn save(&self) {
        let text = serde_json::to_vec(&self.all).expect("texts and numbers are JSON");
        if let Err(error) = write_private(&self.path, &text) {
            tracing::warn!(path = %self.path.display(), %error, "sessions of the dashboard are not saved: they end with the gateway");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> AccessFile {
        let mut users = AccessFile::default();
        users.add("anna", Role::Operator, Some("a long password")).unwrap();
        users.add("bot", Role::Viewer, None).unwrap();
        users
    }

    #[test]
    fn a_session_survives_a_restart_and_ends_with_its_password_its_login_and_its_time() {
        let (folder, mut users) = (tempfile::tempdir().unwrap(), users());
        let mut sessions = Sessions::load(folder.path());
        let cookie = sessions.begin(&users, "anna", UtcMillis(0)).unwrap().unwrap();
        assert_eq!(sessions.begin(&users, "bot", UtcMillis(0)), Ok(None), "no password, no session");
        let mut sessions = Sessions::load(folder.path());
        let anna = Some(("anna".to_owned(), Role::Operator));
        assert_eq!(sessions.find(&users, &cookie, UtcMillis(1)), anna);
        assert_eq!(sessions.find(&users, "other", UtcMillis(1)), None);
        assert_eq!(sessions.find(&users, &cookie, UtcMillis(LIFE_MS)), None);
        assert_eq!(sessions.find(&users, &cookie, UtcMillis(LIFE_MS - 1)), anna, "used in time");
        assert_eq!(sessions.find(&users, &cookie, UtcMillis(LIFE_MS + 1)), anna, "it slides");
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!text.contains(&cookie), "only its fingerprint is stored");

        users.set_password("anna", "another password").unwrap();
        assert_eq!(sessions.find(&users, &cookie, UtcMillis(LIFE_MS + 2)), None);
        let cookie = sessions.begin(&users, "anna", UtcMillis(9)).unwrap().unwrap();
        sessions.end(&cookie);
        assert_eq!(sessions.find(&users, &cookie, UtcMillis(9)), None);
        let cookie = sessions.begin(&users, "anna", UtcMillis(9)).unwrap().unwrap();
        users.remove("anna", None).unwrap();
        assert_eq!(sessions.find(&users, &cookie, UtcMillis(9)), None);
    }

    #[test]
    fn their_number_is_bounded_and_a_damaged_file_costs_them_alone() {
        let (folder, users) = (tempfile::tempdir().unwrap(), users());
        let mut sessions = Sessions::load(folder.path());
        let first = sessions.begin(&users, "anna", UtcMillis(0)).unwrap().unwrap();
        for at in 1..=16 {
            sessions.begin(&users, "anna", UtcMillis(at)).unwrap();
        }
        assert_eq!((sessions.all.len(), sessions.find(&users, &first, UtcMillis(17))), (OF_USER, None));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Sessions::load(folder.path()).all.is_empty());
    }
}
