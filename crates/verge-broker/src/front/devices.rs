//! What is known of the devices before a front: how fast they send, how many topics they use, what was refused of them.
//!
//! All of it is bounded: devices, their topics and filters, and the client identifiers that the broker has seen, which
//! rumqttd remembers for ever.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::allowance::Allowance;
use super::holds::Holds;
use crate::filters::{Connected, KnownFilters};
use crate::policy::{ClientLimits, Refusal, SendRate};

/// Devices that are known; beyond them one that is not connected is forgotten.
const MOST_DEVICES: usize = 4096;
/// Client identifiers since the start, of all devices and of one.
const MOST_CLIENT_IDS: usize = 16_384;
const MOST_CLIENT_IDS_OF_ONE: usize = 256;
/// Topics of all devices since the start.
const MOST_TOPICS: usize = 100_000;
/// Devices that the status names.
const NAMED: usize = 16;

/// All devices of a front.
#[derive(Debug)]
pub(super) struct Devices {
    limits: ClientLimits,
    known: Mutex<HashMap<String, Arc<Device>>>,
    client_ids: Mutex<HashSet<u64>>,
    topics: Mutex<HashSet<u64>>,
    filters: KnownFilters,
    nameless: Mutex<BTreeSet<u32>>,
    refusals: [AtomicU64; Refusal::ALL.len()],
    throttled: AtomicU64,
    hasher: RandomState,
}

/// One device, with all of its connections.
#[derive(Debug)]
pub(super) struct Device {
    name: String,
    sent: Mutex<Sent>,
    pub(super) holds: Holds,
    refused: AtomicU64,
    last_refusal: AtomicUsize,
}

#[derive(Debug)]
struct Sent {
    allowance: Option<Allowance>,
    topics: HashSet<u64>,
    filters: Subscribed,
    client_ids: HashSet<u64>,
}

/// Filters that a device has subscribed to at one process of the broker.
#[derive(Debug, Default)]
struct Subscribed {
    start: u64,
    filters: HashSet<u64>,
}

/// A client identifier that was made up; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Nameless {
    number: u32,
    devices: Arc<Devices>,
}

/// What was refused of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDevice {
    /// Its name.
    pub device: String,
    /// How often.
    pub refused: u64,
    /// The last reason.
    pub reason: Refusal,
}

impl Devices {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            known: Mutex::default(),
            client_ids: Mutex::default(),
            topics: Mutex::default(),
            filters: KnownFilters::default(),
            nameless: Mutex::default(),
            refusals: [const { AtomicU64::new(0) }; Refusal::ALL.len()],
            throttled: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The same before a broker that knows these filters.
    pub(super) fn behind(self, filters: KnownFilters) -> Self {
        Self { filters, ..self }
    }

    /// One more connection to the broker.
    pub(super) fn connect(&self) -> Connected {
        self.filters.connect()
    }

    /// The filters that the broker knows.
    pub(super) const fn filters(&self) -> &KnownFilters {
        &self.filters
    }

    /// Whether the broker may see this client identifier of a device: it is known, or one more has room.
    pub(super) fn takes(&self, device: &Device, client_id: &str) -> bool {
        let id = self.hasher.hash_one(client_id);
        let mut sent = lock(&device.sent);
        if sent.client_ids.contains(&id) {
            return true;
        }
        let has_room =
            sent.client_ids.len() < MOST_CLIENT_IDS_OF_ONE && take(&self.client_ids, id, MOST_CLIENT_IDS);
        has_room && sent.client_ids.insert(id)
    }

    /// The device of this name.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn device(&self, name: &str) -> Result<Arc<Device>, Refusal> {
        let mut known = lock(&self.known);
        if let Some(device) = known.get(name) {
            return Ok(Arc::clone(device));
        }
        if known.len() >= MOST_DEVICES {
            let away = known.iter().find(|(_, device)| Arc::strong_count(device) == 1);
            let away = away.map(|(name, _)| name.clone()).ok_or(Refusal::TooManyClientIds)?;
            known.remove(&away);
        }
        let device = Arc::new(Device::new(name, self.limits.rate));
        known.insert(name.to_owned(), Arc::clone(&device));
        Ok(device)
    }

    /// A client identifier for a client that gives none: they are few, as the broker remembers each.
    pub(super) fn nameless(self: &Arc<Self>) -> Nameless {
        let mut taken = lock(&self.nameless);
        let number = (1..).find(|number| !taken.contains(number)).unwrap_or_default();
        taken.insert(number);
        Nameless { number, devices: Arc::clone(self) }
    }

    /// A device publishes to a topic.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn note_topic(&self, device: &Device, topic: &str) -> Result<(), Refusal> {
        let topic = self.hasher.hash_one(topic);
        let mut sent = lock(&device.sent);
        if sent.topics.contains(&topic) {
            return Ok(());
        }
        if sent.topics.len() >= self.limits.topics || !take(&self.topics, topic, MOST_TOPICS) {
            return Err(Refusal::TooManyTopics);
        }
        sent.topics.insert(topic);
        Ok(())
    }

    /// A device subscribes to a filter, at the process of the broker that is the `start`th.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn note_filter(&self, device: &Device, filter: &str, start: u64) -> Result<(), Refusal> {
        let hash = self.hasher.hash_one(filter);
        let subscribed = &mut lock(&device.sent).filters;
        if subscribed.start < start {
            // A process that was started again knows none.
            *subscribed = Subscribed { start, filters: HashSet::new() };
        }
        // Each process is to know it, whoever else has subscribed to it.
        let is_known = subscribed.filters.contains(&hash);
        let has_room = is_known || subscribed.filters.len() < self.limits.filters;
        if !has_room || !self.filters.note(filter, start) {
            return Err(Refusal::TooManyFilters);
        }
        subscribed.filters.insert(hash);
        Ok(())
    }

    /// A device has sent this; gives how long nothing more is to be read of it.
    pub(super) fn spend(
        &self,
        device: &Device,
        messages: u64,
        bytes: usize,
        now: Instant,
    ) -> Option<Duration> {
        let wait = lock(&device.sent).allowance.as_mut()?.spend(messages, bytes, now)?;
        self.throttled.fetch_add(1, Ordering::Relaxed);
        Some(wait)
    }

    /// Counts a refusal.
    pub(super) fn refuse(&self, device: Option<&Device>, why: Refusal) {
        self.refusals[why.index()].fetch_add(1, Ordering::Relaxed);
        if let Some(device) = device {
            device.refused.fetch_add(1, Ordering::Relaxed);
            device.last_refusal.store(why.index(), Ordering::Relaxed);
        }
    }

    /// Refusals of each reason that has any.
    pub(super) fn refusals(&self) -> Vec<(Refusal, u64)> {
        let counted = Refusal::ALL.into_iter().zip(&self.refusals);
        counted
            .map(|(why, count)| (why, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// How often a device was left unread for a while.
    pub(super) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// The devices of which most was refused, the first of them first.
    pub(super) fn refused_devices(&self) -> Vec<RefusedDevice> {
        let known = lock(&self.known);
        let mut refused: Vec<RefusedDevice> = known
            .values()
            .filter_map(|device| {
                let refused = device.refused.load(Ordering::Relaxed);
                let reason = *Refusal::ALL.get(device.last_refusal.load(Ordering::Relaxed))?;
                (refused > 0).then(|| RefusedDevice { device: device.name.clone(), refused, reason })
            })
            .collect();
        refused.sort_by(|one, other| {
            other.refused.cmp(&one.refused).then_with(|| one.device.cmp(&other.device))
        });
        refused.truncate(NAMED);
        refused
    }
}

impl Device {
    fn new(name: &str, rate: Option<SendRate>) -> Self {
        let allowance = rate.map(|rate| Allowance::of(rate, Instant::now()));
        let (topics, filters, client_ids) = (HashSet::new(), Subscribed::default(), HashSet::new());
        let sent = Sent { allowance, topics, filters, client_ids };
        Self {
            name: name.to_owned(),
            sent: Mutex::new(sent),
            holds: Holds::default(),
            refused: AtomicU64::new(0),
            last_refusal: AtomicUsize::new(usize::MAX),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Nameless {
    pub(super) fn client_id(&self) -> String {
        format!("nameless-{}", self.number)
    }
}

impl Drop for Nameless {
    fn drop(&mut self) {
        lock(&self.devices.nameless).remove(&self.number);
    }
}

/// Whether it is there already, or has room.
fn take(all: &Mutex<HashSet<u64>>, one: u64, most: usize) -> bool {
    let mut all = lock(all);
    all.contains(&one) || (all.len() < most && all.insert(one))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SendRate = SendRate { messages: 100, bytes: 10_000 };

    #[test]
    fn a_device_that_sends_too_fast_is_left_unread_until_it_is_slow_enough() {
        let devices = Devices::new(ClientLimits { rate: Some(RATE), ..ClientLimits::DEFAULT });
        let device = devices.device("pump-1").unwrap();
        let begin = Instant::now();
        assert_eq!(devices.spend(&device, 150, 1_000, begin), None);
        let wait = devices.spend(&device, 150, 1_000, begin).unwrap();
        assert!((0.9..1.1).contains(&wait.as_secs_f64()), "{wait:?}");
        // Its other connection shares that.
        let again = devices.device("pump-1").unwrap();
        assert!(devices.spend(&again, 1, 10, begin).is_some());
        assert_eq!(devices.spend(&device, 1, 10, begin + Duration::from_secs(3)), None);
        let wait = devices.spend(&device, 1, 30_000, begin + Duration::from_secs(3)).unwrap();
        assert!((0.5..1.5).contains(&wait.as_secs_f64()), "{wait:?}");
        assert_eq!(devices.throttled(), 3);
        // A clock does not run backwards.
        assert!(devices.spend(&device, 1, 10, begin).is_some());
        let free = Devices::new(ClientLimits::DEFAULT);
        let device = free.device("a").unwrap();
        assert_eq!(free.spend(&device, u64::MAX, usize::MAX, begin), None);
    }

    #[test]
    fn topics_filters_and_identifiers_are_counted() {
        let devices = Devices::new(ClientLimits { topics: 2, filters: 1, ..ClientLimits::DEFAULT });
        let device = devices.device("a").unwrap();
        for _ in 0..2 {
            assert_eq!(devices.note_topic(&device, "a/1"), Ok(()));
            assert_eq!(devices.note_topic(&device, "a/2"), Ok(()));
            assert_eq!(devices.note_topic(&device, "a/3"), Err(Refusal::TooManyTopics));
            assert_eq!(devices.note_filter(&device, "a/1", 0), Ok(()));
            assert_eq!(devices.note_filter(&device, "a/2", 0), Err(Refusal::TooManyFilters));
        }
        assert_eq!(devices.note_filter(&device, "a/2", 1), Ok(()), "another process knows none");
        assert_eq!(devices.note_filter(&device, "a/1", 1), Err(Refusal::TooManyFilters));
        for number in 0..MOST_DEVICES + 10 {
            assert!(devices.device(&number.to_string()).is_ok(), "one that is away gives way");
        }
        assert_eq!(lock(&devices.known).len(), MOST_DEVICES);
        // One device cannot use up what all have.
        let taken = (0..1_000).filter(|id| devices.takes(&device, &format!("a:{id}"))).count();
        assert_eq!(taken, MOST_CLIENT_IDS_OF_ONE);
        assert!(devices.takes(&device, "a:0"), "those that are known stay so");
        let of_all = (0..MOST_CLIENT_IDS)
            .filter(|id| devices.takes(&devices.device(&id.to_string()).unwrap(), &id.to_string()))
            .count();
        assert_eq!(of_all, MOST_CLIENT_IDS - MOST_CLIENT_IDS_OF_ONE);
    }

    #[test]
    fn refusals_are_counted_by_reason_and_device_and_names_are_given_back() {
        let devices = Arc::new(Devices::new(ClientLimits::DEFAULT));
        let (one, other) = (devices.device("a").unwrap(), devices.device("b").unwrap());
        devices.refuse(Some(&one), Refusal::PublishNotAllowed);
        devices.refuse(Some(&other), Refusal::PublishNotAllowed);
        devices.refuse(Some(&other), Refusal::TooLarge);
        devices.refuse(None, Refusal::NotConnect);
        assert_eq!(
            devices.refusals(),
            [(Refusal::NotConnect, 1), (Refusal::TooLarge, 1), (Refusal::PublishNotAllowed, 2)]
        );
        let named =
            |device: &str, refused, reason| RefusedDevice { device: device.to_owned(), refused, reason };
        assert_eq!(
            devices.refused_devices(),
            [named("b", 2, Refusal::TooLarge), named("a", 1, Refusal::PublishNotAllowed)]
        );
        let first = devices.nameless();
        let second = devices.nameless();
        assert_eq!(
            (first.client_id(), second.client_id()),
            ("nameless-1".to_owned(), "nameless-2".to_owned())
        );
        drop(first);
        assert_eq!(devices.nameless().client_id(), "nameless-1");
    }
}
