//! Which links of a route carry what: failover or spread. Pure.

use std::time::Duration;

use verge_domain::time::Monotonic;

/// How the links of a route share the work. They stand in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteMode {
    /// One link carries everything: the first that is connected. A link that is preferred to it takes over
    /// again after it has been connected for `return_after`.
    Failover {
        /// How long a preferred link must be connected before it is trusted again.
        return_after: Duration,
    },
    /// Messages go over all connected links; alarms over the most preferred that has room.
    Spread,
}

/// Which links are connected, and which of them carries.
#[derive(Debug)]
pub(super) struct Choice {
    mode: RouteMode,
    stands_since: Vec<Option<Monotonic>>,
    /// Only with [`RouteMode::Failover`].
    active: Option<usize>,
}

impl Choice {
    pub(super) fn new(mode: RouteMode, links: usize) -> Self {
        Self { mode, stands_since: vec![None; links], active: None }
    }

    pub(super) fn connected(&mut self, link: usize, now: Monotonic) {
        if let Some(since) = self.stands_since.get_mut(link) {
            *since = Some(now);
        }
    }

    pub(super) fn lost(&mut self, link: usize) {
        if let Some(since) = self.stands_since.get_mut(link) {
            *since = None;
        }
    }

    pub(super) fn is_connected(&self, link: usize) -> bool {
        self.stands_since.get(link).is_some_and(Option::is_some)
    }

    /// The link that carries everything, if one does.
    pub(super) fn active(&self) -> Option<usize> {
        self.active
    }

    /// Links that carry messages now, in order of preference.
    pub(super) fn carriers(&mut self, now: Monotonic) -> Vec<usize> {
        match self.mode {
            RouteMode::Spread => {
                (0..self.stands_since.len()).filter(|&link| self.is_connected(link)).collect()
            }
            RouteMode::Failover { return_after } => {
                self.active = self.best(now, return_after);
                self.active.into_iter().collect()
            }
        }
    }

    fn best(&self, now: Monotonic, return_after: Duration) -> Option<usize> {
        let current = self.active.filter(|&link| self.is_connected(link));
        let stood = |since: &Monotonic| since.after(return_after) <= now;
        let preferred = current.and_then(|current| {
            self.stands_since[..current].iter().position(|since| since.as_ref().is_some_and(stood))
        });
        preferred.or(current).or_else(|| self.stands_since.iter().position(Option::is_some))
    }

    /// When a preferred link will have been connected long enough.
    pub(super) fn wake(&self) -> Option<Monotonic> {
        let RouteMode::Failover { return_after } = self.mode else { return None };
        let preferred = &self.stands_since[..self.active?];
        preferred.iter().flatten().map(|since| since.after(return_after)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Monotonic {
        Monotonic(secs * 1_000_000)
    }

    fn carriers(choice: &mut Choice, now: u64) -> Vec<usize> {
        choice.carriers(at(now))
    }

    #[test]
    fn the_first_that_is_connected_carries_and_a_preferred_one_returns_after_it_stood() {
        let mut choice = Choice::new(RouteMode::Failover { return_after: Duration::from_secs(30) }, 3);
        assert!(carriers(&mut choice, 0).is_empty());
        choice.connected(0, at(1));
        choice.connected(2, at(1));
        assert_eq!((carriers(&mut choice, 1), choice.wake()), (vec![0], None));
        choice.lost(0);
        assert_eq!(carriers(&mut choice, 10), [2], "at once");
        choice.connected(0, at(20));
        assert_eq!((carriers(&mut choice, 49), choice.wake()), (vec![2], Some(at(50))));
        choice.lost(0);
        choice.connected(0, at(45));
        assert_eq!(carriers(&mut choice, 50), [2], "it must have stood without a break");
        assert_eq!((carriers(&mut choice, 75), choice.active()), (vec![0], Some(0)));
    }

    #[test]
    fn a_preferred_link_takes_over_at_once_where_the_other_is_lost() {
        let mut choice = Choice::new(RouteMode::Failover { return_after: Duration::from_secs(30) }, 2);
        choice.connected(1, at(0));
        assert_eq!(carriers(&mut choice, 0), [1]);
        choice.connected(0, at(5));
        choice.lost(1);
        assert_eq!(carriers(&mut choice, 6), [0]);
    }

    #[test]
    fn all_connected_links_share_where_this_is_set() {
        let mut choice = Choice::new(RouteMode::Spread, 3);
        choice.connected(2, at(0));
        choice.connected(0, at(0));
        assert_eq!((carriers(&mut choice, 0), choice.wake()), (vec![0, 2], None));
        choice.lost(0);
        assert_eq!(carriers(&mut choice, 0), [2]);
    }
}
