//! Slots for connections: bounded, and given back by being dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bounds of a [`Front`](super::Front).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontLimits {
    /// Connections that have not finished TLS handshake and CONNECT, in all.
    pub unauthenticated: usize,
    /// The same from one address. Sites behind one address (NAT) may need more.
    pub unauthenticated_per_address: usize,
    /// Time for the TLS handshake and CONNECT together.
    pub handshake: Duration,
    /// Connections in all.
    pub connections: usize,
}

impl Default for FrontLimits {
    fn default() -> Self {
        Self {
            unauthenticated: 1024,
            unauthenticated_per_address: 16,
            handshake: Duration::from_secs(5),
            connections: 4096,
        }
    }
}

/// All slots of a front.
#[derive(Debug, Default)]
pub(super) struct Slots {
    connections: AtomicUsize,
    unauthenticated: Mutex<Unauthenticated>,
}

/// Connections before the end of their CONNECT. The map holds only addresses that have one, so it is bounded with them.
#[derive(Debug, Default)]
struct Unauthenticated {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What an admitted connection holds until its CONNECT is there.
pub(super) struct Admission {
    pub(super) waiting: HandshakeSlot,
    pub(super) connection: ConnectionSlot,
}

/// A slot among the unauthenticated; returned when it is dropped.
pub(super) struct HandshakeSlot {
    address: IpAddr,
    slots: Arc<Slots>,
}

/// A slot among all connections; returned when it is dropped.
pub(super) struct ConnectionSlot {
    slots: Arc<Slots>,
}

impl Admission {
    pub(super) fn of(slots: &Arc<Slots>, address: IpAddr, limits: &FrontLimits) -> Option<Self> {
        let mut waiting = slots.unauthenticated();
        let from_here = waiting.by_address.get(&address).copied().unwrap_or(0);
        // Only the accept loop adds connections, so none slips in between the look and the addition.
        let full = waiting.in_all >= limits.unauthenticated
            || from_here >= limits.unauthenticated_per_address
            || slots.connections.load(Ordering::Relaxed) >= limits.connections;
        if full {
            return None;
        }
        waiting.in_all += 1;
        waiting.by_address.insert(address, from_here + 1);
        slots.connections.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            waiting: HandshakeSlot { address, slots: Arc::clone(slots) },
            connection: ConnectionSlot { slots: Arc::clone(slots) },
        })
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let mut waiting = self.slots.unauthenticated();
        waiting.in_all -= 1;
        if let Entry::Occupied(mut from_here) = waiting.by_address.entry(self.address) {
            *from_here.get_mut() -= 1;
            if *from_here.get() == 0 {
                from_here.remove();
            }
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    /// Connections that stand now.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn unauthenticated(&self) -> MutexGuard<'_, Unauthenticated> {
        self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let slots = Arc::new(Slots::default());
        let limits = FrontLimits {
            unauthenticated: 3,
            unauthenticated_per_address: 2,
            connections: 4,
            ..FrontLimits::default()
        };
        let admit = |last: u8| Admission::of(&slots, IpAddr::from([192, 0, 2, last]), &limits);
        let first = admit(1).unwrap();
        let second = admit(1).unwrap();
        assert!(admit(1).is_none(), "two from one address");
        let third = admit(2).unwrap();
        assert!(admit(3).is_none(), "three in all");
        let Admission { waiting, connection } = first;
        drop(waiting);
        let fourth = admit(1).unwrap();
        drop(fourth.waiting);
        drop(second.waiting);
        assert!(admit(3).is_none(), "four connections");
        drop(connection);
        assert!(admit(3).is_some());
        drop((second.connection, third, fourth.connection));
        assert_eq!(slots.connections.load(Ordering::Relaxed), 0);
        assert!(slots.unauthenticated().by_address.is_empty());
    }
}
