//! Slots for connections: bounded, and given back by being dropped.
//!
//! Where the connections that wait are as many as they may be, one that has stalled gives way to the newest, so that a few idle
//! ones cannot keep out everybody behind their address; else the newest is closed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Of an IPv6 address, what a site has and not one machine alone.
const SITE_BITS: u128 = !(u64::MAX as u128);

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

/// Connections before the end of their CONNECT. The maps hold only what waits, so they are bounded with it.
#[derive(Debug, Default)]
struct Unauthenticated {
    /// By their numbers, which rise.
    waiting: BTreeMap<u64, WaitingConnection>,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
}

#[derive(Debug)]
struct WaitingConnection {
    address: IpAddr,
    /// From when on it has stalled.
    stalls_at: Instant,
    /// Dropped when it must give way.
    _stands: oneshot::Sender<()>,
}

/// How far a connection that waits has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryStage {
    /// Nothing has come, or not all of the first message of TLS: clients send that at once.
    Opened,
    /// The handshake: small devices compute for seconds.
    Handshake,
    /// It is encrypted, or need not be: CONNECT comes at once.
    Connect,
    /// Its password is checked, which takes this end's time and not the client's.
    Login,
}

impl EntryStage {
    /// How long a client may take for it where others have no slot.
    const fn patience(self) -> Duration {
        match self {
            Self::Opened => Duration::from_millis(250),
            Self::Handshake => Duration::from_secs(3),
            Self::Connect => Duration::from_secs(1),
            Self::Login => Duration::from_secs(3600),
        }
    }
}

/// What an admitted connection holds until its CONNECT is there.
pub(super) struct Admission {
    pub(super) waiting: HandshakeSlot,
    pub(super) connection: ConnectionSlot,
}

/// A slot among the unauthenticated; returned when it is dropped.
pub(super) struct HandshakeSlot {
    number: u64,
    slots: Arc<Slots>,
    stands: oneshot::Receiver<()>,
}

/// A slot among all connections; returned when it is dropped.
pub(super) struct ConnectionSlot {
    slots: Arc<Slots>,
}

impl Admission {
    pub(super) fn of(slots: &Arc<Slots>, address: IpAddr, limits: &FrontLimits) -> Option<Self> {
        let address = site_of(address);
        // Only the accept loop adds connections, so none slips in between the look and the addition.
        if slots.connections.load(Ordering::Relaxed) >= limits.connections {
            return None;
        }
        let (mut waiting, now) = (slots.unauthenticated(), Instant::now());
        if waiting.of(address) >= limits.unauthenticated_per_address {
            waiting.give_way(Some(address), now)?;
        }
        if waiting.waiting.len() >= limits.unauthenticated {
            waiting.give_way(None, now)?;
        }
        let (number, stands) = waiting.add(address, now);
        slots.connections.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            waiting: HandshakeSlot { number, slots: Arc::clone(slots), stands },
            connection: ConnectionSlot { slots: Arc::clone(slots) },
        })
    }
}

impl Unauthenticated {
    fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or(0)
    }

    fn add(&mut self, address: IpAddr, now: Instant) -> (u64, oneshot::Receiver<()>) {
        let (stands, standing) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        let stalls_at = now + EntryStage::Opened.patience();
        self.waiting.insert(number, WaitingConnection { address, stalls_at, _stands: stands });
        *self.by_address.entry(address).or_default() += 1;
        (number, standing)
    }

    fn remove(&mut self, number: u64) {
        let Some(WaitingConnection { address, .. }) = self.waiting.remove(&number) else { return };
        if let Entry::Occupied(mut from_here) = self.by_address.entry(address) {
            *from_here.get_mut() -= 1;
            if *from_here.get() == 0 {
                from_here.remove();
            }
        }
    }

    /// Takes away the slot of the one that has stalled for longest, of this address or of all. `None` where none has.
    fn give_way(&mut self, address: Option<IpAddr>, now: Instant) -> Option<()> {
        let stalled = self
            .waiting
            .iter()
            .filter(|(_, one)| one.stalls_at <= now && address.is_none_or(|address| address == one.address));
        let (&number, _) = stalled.min_by_key(|(_, one)| one.stalls_at)?;
        self.remove(number);
        Some(())
    }
}

impl HandshakeSlot {
    /// The client has come so far.
    pub(super) fn reached(&self, stage: EntryStage) {
        self.noting(stage)();
    }

    /// Says so, when it is called.
    pub(super) fn noting(&self, stage: EntryStage) -> impl FnOnce() + use<> {
        let (slots, number) = (Arc::clone(&self.slots), self.number);
        move || {
            if let Some(one) = slots.unauthenticated().waiting.get_mut(&number) {
                one.stalls_at = Instant::now() + stage.patience();
            }
        }
    }

    /// Waits until it must give way to another.
    pub(super) async fn gives_way(&mut self) {
        // Nothing is ever sent: it is taken away, which is an error.
        drop((&mut self.stands).await);
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.slots.unauthenticated().remove(self.number);
    }
}

/// Whose connections are counted together: of IPv6 those of one network, as each machine in it has as many addresses as it likes.
fn site_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & SITE_BITS).into(),
        address @ IpAddr::V4(_) => address,
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

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_given_back() {
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

    #[tokio::test(start_paused = true)]
    async fn one_that_has_stalled_gives_way_to_the_newest() {
        let slots = Arc::new(Slots::default());
        let limits =
            FrontLimits { unauthenticated: 3, unauthenticated_per_address: 2, ..FrontLimits::default() };
        let admit = |last: u8| Admission::of(&slots, IpAddr::from([192, 0, 2, last]), &limits);
        let mut idle = admit(1).unwrap();
        let mut busy = admit(1).unwrap();
        busy.waiting.reached(EntryStage::Handshake);
        assert!(admit(1).is_none(), "nobody has stalled yet");
        tokio::time::advance(EntryStage::Opened.patience()).await;
        let mut third = admit(1).unwrap();
        tokio::time::timeout(Duration::ZERO, idle.waiting.gives_way()).await.unwrap();
        assert!(tokio::time::timeout(Duration::ZERO, busy.waiting.gives_way()).await.is_err());
        // What has no slot any more takes none with it.
        idle.waiting.reached(EntryStage::Connect);
        drop(idle);
        assert_eq!((slots.unauthenticated().waiting.len(), slots.connections()), (2, 2));
        assert!(admit(1).is_none());
        // Another address takes no place from this one while there is room for both.
        let other = admit(2).unwrap();
        tokio::time::advance(EntryStage::Opened.patience()).await;
        let fourth = admit(3).unwrap();
        tokio::time::timeout(Duration::ZERO, third.waiting.gives_way()).await.unwrap();
        drop((busy, third, other, fourth));
        assert!(slots.unauthenticated().by_address.is_empty() && slots.unauthenticated().waiting.is_empty());
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let site = |address: &str| site_of(address.parse().unwrap());
        assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:0:1::1"));
        assert_ne!(site("192.0.2.1"), site("192.0.2.2"));
        assert_eq!(site("::ffff:192.0.2.1"), site("192.0.2.1"));
    }
}
