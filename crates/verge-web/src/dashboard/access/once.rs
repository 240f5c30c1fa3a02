//! Links that log in once, for whoever starts a gateway in which nobody has a login. Nothing of them is written anywhere: what is
//! not used, and what was begun with them, ends with the gateway.

use std::collections::VecDeque;
use std::time::Duration;

use verge_domain::time::Monotonic;

use super::role::Role;
use super::secret::{NoRandom, equal, fingerprint, random_secret};

/// Links that wait to be used; beyond that the oldest ends.
const MAX_WAITING: usize = 8;
/// Browsers that came in by a link; beyond that the oldest is logged out.
const MAX_ENTERED: usize = 16;

/// Whose a link is, or a browser that has used it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guest {
    /// Of the ticket, then of the cookie.
    fingerprint: String,
    name: String,
    role: Role,
}

/// Those that wait, and those that came in.
#[derive(Debug, Default)]
pub(super) struct Once {
    waiting: VecDeque<(Guest, Monotonic, Duration)>,
    entered: VecDeque<Guest>,
}

fn make_room<T>(queue: &mut VecDeque<T>, most: usize) {
    while queue.len() >= most {
        queue.pop_front();
    }
}

impl Once {
    /// A ticket for one use within this time.
    pub(super) fn invite(
        &mut self,
        (name, role): (&str, Role),
        life: Duration,
        now: Monotonic,
    ) -> Result<String, NoRandom> {
        let ticket = random_secret()?;
        make_room(&mut self.waiting, MAX_WAITING);
        let guest = Guest { fingerprint: fingerprint(ticket.as_bytes()), name: name.to_owned(), role };
        self.waiting.push_back((guest, now, life));
        Ok(ticket)
    }

    /// Uses a ticket up and returns a cookie.
    pub(super) fn enter(&mut self, ticket: &str, now: Monotonic) -> Result<Option<String>, NoRandom> {
        self.waiting.retain(|(_, made, life)| now.since(*made) < *life);
        let shown = fingerprint(ticket.as_bytes());
        let is_it = |(guest, ..): &(Guest, Monotonic, Duration)| equal(&guest.fingerprint, &shown);
        let Some(place) = self.waiting.iter().position(is_it) else { return Ok(None) };
        let cookie = random_secret()?;
        let Some((guest, ..)) = self.waiting.remove(place) else { return Ok(None) };
        make_room(&mut self.entered, MAX_ENTERED);
        self.entered.push_back(Guest { fingerprint: fingerprint(cookie.as_bytes()), ..guest });
        Ok(Some(cookie))
    }

    /// Whose cookie it is.
    pub(super) fn find(&self, cookie: &str) -> Option<(String, Role)> {
        let shown = fingerprint(cookie.as_bytes());
        let found = self.entered.iter().find(|guest| equal(&guest.fingerprint, &shown))?;
        Some((found.name.clone(), found.role))
    }

    /// Logs a browser out.
    pub(super) fn end(&mut self, cookie: &str) {
        let shown = fingerprint(cookie.as_bytes());
        self.entered.retain(|guest| guest.fingerprint != shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000)
    }

    #[test]
    fn a_ticket_is_good_for_one_browser_and_for_its_time() {
        let mut once = Once::default();
        let first = once.invite(("demo", Role::Admin), MINUTE, at(0)).unwrap();
        let late = once.invite(("late", Role::Viewer), MINUTE, at(0)).unwrap();
        assert_eq!(once.enter("", at(1)), Ok(None));
        let cookie = once.enter(&first, at(59)).unwrap().unwrap();
        assert_eq!(once.enter(&first, at(59)), Ok(None), "used up");
        assert_eq!(once.enter(&late, at(60)), Ok(None), "too late");
        assert_eq!(once.find(&cookie), Some(("demo".to_owned(), Role::Admin)));
        assert_eq!(once.find(&first), None, "a ticket is no cookie");
        once.end(&cookie);
        assert_eq!(once.find(&cookie), None);
    }

    #[test]
    fn the_oldest_give_way() {
        let mut once = Once::default();
        let mut invite = |name: &str| {
            let ticket = once.invite((name, Role::Viewer), MINUTE, at(0)).unwrap();
            (ticket.clone(), once.enter(&ticket, at(0)).unwrap().unwrap())
        };
        let cookies: Vec<String> = (0..=MAX_ENTERED).map(|one| invite(&one.to_string()).1).collect();
        assert_eq!((once.find(&cookies[0]), once.find(&cookies[1]).is_some()), (None, true));
        let tickets: Vec<String> =
            (0..=MAX_WAITING).map(|_| once.invite(("x", Role::Viewer), MINUTE, at(0)).unwrap()).collect();
        assert_eq!(once.enter(&tickets[0], at(0)), Ok(None));
        assert!(once.enter(&tickets[1], at(0)).unwrap().is_some());
    }
}
