//! How often wrong logins may be tried. Pure.
//!
//! Addresses and names fall into a fixed number of counters: nothing that a peer chooses makes the memory grow, and nobody
//! can push another's counter out. Two that share one are limited together, which only matters while one of them guesses.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use verge_domain::time::Monotonic;

/// Wrong logins in a minute, of one address.
const OF_ADDRESS: u32 = 10;
/// Of one name.
const OF_NAME: u32 = 20;
const COUNTERS: usize = 1_024;
const MINUTE: Duration = Duration::from_secs(60);

/// Wrong logins of the last minute.
#[derive(Debug)]
pub(crate) struct Attempts {
    hasher: RandomState,
    addresses: Vec<Counter>,
    names: Vec<Counter>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    since: Option<Monotonic>,
    wrong: u32,
}

impl Counter {
    fn left(&self, now: Monotonic) -> Option<Duration> {
        self.since
            .map(|since| now.since(since))
            .filter(|passed| *passed < MINUTE)
            .map(|passed| MINUTE - passed)
    }

    fn add(&mut self, now: Monotonic) {
        if self.left(now).is_none() {
            *self = Self { since: Some(now), wrong: 0 };
        }
        self.wrong = self.wrong.saturating_add(1);
    }

    fn wait(&self, most: u32, now: Monotonic) -> Option<Duration> {
        self.left(now).filter(|_| self.wrong >= most)
    }
}

impl Default for Attempts {
    fn default() -> Self {
        let counters = || vec![Counter::default(); COUNTERS];
        Self { hasher: RandomState::new(), addresses: counters(), names: counters() }
    }
}

impl Attempts {
    fn place(&self, key: &impl Hash) -> usize {
        let place = self.hasher.hash_one(key) % COUNTERS as u64;
        usize::try_from(place).expect("less than the number of counters")
    }

    /// How long to wait before the next attempt, if at all.
    pub(crate) fn wait(&self, address: IpAddr, name: &str, now: Monotonic) -> Option<Duration> {
        let by_address = self.addresses[self.place(&network(address))].wait(OF_ADDRESS, now);
        by_address.max(self.names[self.place(&name)].wait(OF_NAME, now))
    }

    /// Counts an attempt, before it is known to be wrong: many at once are many.
    pub(crate) fn begin(&mut self, address: IpAddr, name: &str, now: Monotonic) {
        let (address, name) = (self.place(&network(address)), self.place(&name));
        self.addresses[address].add(now);
        self.names[name].add(now);
    }

    /// It was right, and does not count.
    pub(crate) fn right(&mut self, address: IpAddr, name: &str) {
        let (address, name) = (self.place(&network(address)), self.place(&name));
        for counter in [&mut self.addresses[address], &mut self.names[name]] {
            counter.wrong = counter.wrong.saturating_sub(1);
        }
    }
}

/// Whoever has one address of IPv6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(
            || {
                let mut octets = v6.octets();
                octets[8..].fill(0);
                IpAddr::from(octets)
            },
            IpAddr::V4,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_wrong_logins_of_an_address_are_taken_in_a_minute() {
        let (mut attempts, here) = (Attempts::default(), address("10.0.0.1"));
        for index in 0..10_u32 {
            assert_eq!(attempts.wait(here, &format!("n{index}"), seconds(1)), None);
            attempts.begin(here, &format!("n{index}"), seconds(1));
        }
        assert_eq!(attempts.wait(here, "other", seconds(11)), Some(Duration::from_secs(50)));
        assert_eq!(attempts.wait(here, "other", seconds(61)), None, "a minute later");
        assert_eq!(attempts.wait(address("10.0.0.2"), "other", seconds(11)), None);
    }

    #[test]
    fn twenty_of_a_name_from_anywhere() {
        let mut attempts = Attempts::default();
        for index in 0..20_u8 {
            attempts.begin(IpAddr::from([10, 1, 0, index]), "anna", seconds(1));
        }
        assert!(attempts.wait(address("10.2.0.1"), "anna", seconds(2)).is_some());
        attempts.right(address("10.2.0.1"), "anna");
        assert_eq!(attempts.wait(address("10.2.0.1"), "anna", seconds(2)), None);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let mut attempts = Attempts::default();
        for index in 0..10_u32 {
            attempts.begin(address(&format!("2001:db8::{index:x}")), "x", seconds(1));
        }
        assert!(attempts.wait(address("2001:db8::ffff"), "y", seconds(1)).is_some());
        assert!(attempts.wait(address("2001:db8:0:1::1"), "y", seconds(1)).is_none());
    }
}
