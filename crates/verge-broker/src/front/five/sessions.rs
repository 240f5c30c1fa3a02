//! How long sessions of clients of MQTT 5 are kept: the broker itself keeps each until it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Sessions whose end is known. Beyond them a new one is not kept. One that has expired stays known, since the broker still has
/// it: there is room for every client identifier that the front takes (16,384), and for clients without one (one each of 4,096
/// connections).
const MOST_SESSIONS: usize = 24 * 1024;

/// Ends of sessions, by client identifier.
#[derive(Debug, Default)]
pub(in crate::front) struct Sessions {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    by_client: HashMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    /// The connection that had it last.
    connection: u64,
    /// `None` while that stands.
    until: Option<Instant>,
}

/// The session of a connection that stands.
#[derive(Debug)]
pub(in crate::front) struct Keeping {
    client_id: String,
    connection: u64,
    sessions: Arc<Sessions>,
    /// What the broker has of an earlier session has expired.
    pub(in crate::front) has_expired: bool,
}

impl Sessions {
    /// A client connects. `None` where no more are taken.
    pub(in crate::front) fn begin(self: &Arc<Self>, client_id: &str, now: Instant) -> Option<Keeping> {
        let mut kept = self.lock();
        if kept.by_client.len() >= MOST_SESSIONS && !kept.by_client.contains_key(client_id) {
            // The broker keeps those, but nobody may have them again: whoever comes for one starts a new one.
            return None;
        }
        kept.last += 1;
        let session = Session { connection: kept.last, until: None };
        let connection = kept.last;
        let before = kept.by_client.insert(client_id.to_owned(), session);
        let has_expired = before.and_then(|before| before.until).is_some_and(|until| until <= now);
        Some(Keeping { client_id: client_id.to_owned(), connection, sessions: Arc::clone(self), has_expired })
    }

    /// A client of an older version connects, whose session has no end.
    pub(in crate::front) fn forget(&self, client_id: &str) {
        self.lock().by_client.remove(client_id);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeping {
    /// The connection has ended: its session is kept for this number of seconds. `true` where the broker is to forget it now.
    pub(in crate::front) fn end(self, expiry: u32, now: Instant) -> bool {
        let mut kept = self.sessions.lock();
        let Some(session) = kept.by_client.get_mut(&self.client_id) else { return false };
        // A later connection has taken it over.
        if session.connection != self.connection {
            return false;
        }
        match expiry {
            0 => {
                kept.by_client.remove(&self.client_id);
                true
            }
            u32::MAX => {
                kept.by_client.remove(&self.client_id);
                false
            }
            seconds => {
                session.until = Some(now + Duration::from_secs(seconds.into()));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_there_until_it_expires_and_belongs_to_the_last_connection() {
        let (sessions, now) = (Arc::new(Sessions::default()), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let begin = |seconds| sessions.begin("a", after(seconds)).unwrap();
        let first = begin(0);
        assert!(!first.has_expired && !first.end(10, now));
        let second = begin(9);
        assert!(!second.has_expired);
        let third = begin(9);
        assert!(!second.end(0, after(9)), "the third has it now");
        assert!(!third.end(10, after(20)));
        let late = begin(30);
        assert!(late.has_expired);
        assert!(late.end(0, after(30)), "it ends with its connection");
        assert!(!begin(31).has_expired);
        let for_ever = begin(32);
        assert!(!for_ever.end(u32::MAX, after(32)));
        assert!(!begin(1_000_000).has_expired);
        for number in 0..MOST_SESSIONS {
            drop(sessions.begin(&number.to_string(), now));
        }
        assert!(sessions.begin("one more", now).is_none());
    }
}
