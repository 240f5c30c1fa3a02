//! Beats: each thread shows that it still makes progress, whether it has work or not. Whoever restarts a gateway that hangs looks
//! at all of them.
//!
//! What may take long without being a hang says so: work with a deadline ([`Beat::allow`]), and threads that wait for a store
//! that takes nothing or is at such work.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A thread that waits for work beats this often at least.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Arc<Beat>>> = const { RefCell::new(None) };
}

/// Beats for the work that this thread is in the middle of, if it is watched: a step of it is done, which has a deadline of
/// its own.
pub fn beat_here() {
    OF_THIS_THREAD.with_borrow(|beat| beat.iter().for_each(|beat| beat.beat()));
}

/// Numbers of beats: names need not be unique.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What a thread has to do with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StorePart {
    /// Nothing.
    None,
    /// It owns the store.
    Owner,
    /// It hands over what the store takes, and waits while that takes nothing.
    Before,
    /// It reads what is stored, and waits while the store is at something long.
    Behind,
}

/// The beat of one thread, or of a task. It is watched for as long as it lives.
#[derive(Debug)]
pub struct Beat {
    number: u64,
    name: String,
    part: StorePart,
    began: Instant,
    count: AtomicU64,
    /// Milliseconds since it began.
    allowed_until: AtomicU64,
}

impl Default for Beat {
    fn default() -> Self {
        Self::new(String::new(), StorePart::None)
    }
}

impl Beat {
    fn new(name: String, part: StorePart) -> Self {
        let (count, allowed_until) = (AtomicU64::new(0), AtomicU64::new(0));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, name, part, began: Instant::now(), count, allowed_until }
    }

    /// It makes progress.
    pub fn beat(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// What it begins now may take this long.
    pub fn allow(&self, time: Duration) {
        let until = self.began.elapsed().saturating_add(time).as_millis();
        self.allowed_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.beat();
    }

    /// What was allowed is done.
    pub fn done(&self) {
        self.allowed_until.store(0, Ordering::Relaxed);
        self.beat();
    }

    fn is_allowed(&self) -> bool {
        self.began.elapsed().as_millis() < u128::from(self.allowed_until.load(Ordering::Relaxed))
    }
}

/// The beats of all threads of a gateway.
#[derive(Debug, Default)]
pub struct Beats(Mutex<Vec<Weak<Beat>>>);

impl Beats {
    /// A thread, by its name, that beats from now on.
    pub fn join(&self, name: &str) -> Arc<Beat> {
        self.add(Beat::new(name.to_owned(), StorePart::None))
    }

    /// The thread that owns the store: while it has leave ([`Beat::allow`]), those that wait for the store have it too.
    pub fn join_as_store(&self, name: &str) -> Arc<Beat> {
        self.add(Beat::new(name.to_owned(), StorePart::Owner))
    }

    /// A task that reads what is stored.
    pub fn join_behind_store(&self, name: &str) -> Arc<Beat> {
        self.add(Beat::new(name.to_owned(), StorePart::Behind))
    }

    /// This thread, which waits while the store takes nothing: that is no hang. [`beat_here`] beats for it.
    pub fn join_before_store(&self, name: &str) -> Arc<Beat> {
        let beat = self.add(Beat::new(name.to_owned(), StorePart::Before));
        OF_THIS_THREAD.set(Some(Arc::clone(&beat)));
        beat
    }

    fn add(&self, beat: Beat) -> Arc<Beat> {
        let beat = Arc::new(beat);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&beat));
        beat
    }

    /// All that live. `store_takes_nothing`: it is full or in fault.
    #[must_use]
    pub fn look(&self, store_takes_nothing: bool) -> Vec<ThreadBeat> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|beat| beat.strong_count() > 0);
        let beats: Vec<Arc<Beat>> = all.iter().filter_map(Weak::upgrade).collect();
        let store_is_busy = beats.iter().any(|beat| beat.part == StorePart::Owner && beat.is_allowed());
        let waits = |beat: &Beat| match beat.part {
            StorePart::None | StorePart::Owner => false,
            StorePart::Before => store_takes_nothing || store_is_busy,
            StorePart::Behind => store_is_busy,
        };
        let now = |beat: &Arc<Beat>| ThreadBeat {
            number: beat.number,
            name: beat.name.clone(),
            count: beat.count.load(Ordering::Relaxed),
            is_excused: beat.is_allowed() || waits(beat),
        };
        beats.iter().map(now).collect()
    }
}

/// What one thread has shown by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadBeat {
    /// No other has this number.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// How often it has beaten.
    pub count: u64,
    /// It has a reason to make no progress now.
    pub is_excused: bool,
}

/// A thread that makes no progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hang {
    /// Its name.
    pub thread: String,
    /// Since its last beat.
    pub stands: Duration,
}

/// Follows the beats of all threads. Pure: time is an argument.
#[derive(Debug, Default)]
pub struct BeatWatch(BTreeMap<u64, (u64, Instant)>);

impl BeatWatch {
    /// Looks at all of them. Returns the one that stands for longest, where no beat has passed through it within `limit`.
    pub fn look(&mut self, threads: &[ThreadBeat], now: Instant, limit: Duration) -> Option<Hang> {
        self.0.retain(|number, _| threads.iter().any(|thread| thread.number == *number));
        for thread in threads {
            let known = self.0.entry(thread.number).or_insert((thread.count, now));
            if known.0 != thread.count || thread.is_excused {
                *known = (thread.count, now);
            }
        }
        let (number, (_, since)) = self.0.iter().min_by_key(|(_, (_, since))| *since)?;
        let stands = now.saturating_duration_since(*since);
        let name = &threads.iter().find(|thread| thread.number == *number)?.name;
        (stands >= limit).then(|| Hang { thread: name.clone(), stands })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(15);

    fn thread(name: &str, count: u64) -> ThreadBeat {
        let number = name.bytes().map(u64::from).sum();
        ThreadBeat { number, name: name.to_owned(), count, is_excused: false }
    }

    #[test]
    fn a_thread_that_stands_is_seen_beside_one_of_its_name_that_moves() {
        let (mut watch, start) = (BeatWatch::default(), Instant::now());
        let beats = Beats::default();
        let (stands, moves) = (beats.join("verge-mqtt"), beats.join("verge-mqtt"));
        let mut hang = None;
        for second in 0..=15 {
            moves.beat();
            hang = watch.look(&beats.look(false), start + Duration::from_secs(second), LIMIT);
        }
        assert_eq!(hang, Some(Hang { thread: "verge-mqtt".to_owned(), stands: LIMIT }));
        stands.beat();
        assert_eq!(watch.look(&beats.look(false), start + LIMIT, LIMIT), None);
    }

    #[test]
    fn while_the_store_is_at_something_long_those_that_wait_for_it_have_a_reason() {
        let beats = Beats::default();
        let store = beats.join_as_store("store");
        let _delivery = beats.join_behind_store("delivery");
        let _worker = beats.join_before_store("worker");
        let _other = beats.join("other");
        let excused = |takes_nothing| -> Vec<bool> {
            beats.look(takes_nothing).iter().map(|thread| thread.is_excused).collect()
        };
        assert_eq!(excused(false), [false; 4]);
        assert_eq!(excused(true), [false, false, true, false], "a full store is read");
        store.allow(Duration::from_secs(600));
        assert_eq!(excused(false), [true, true, true, false]);
        store.done();
        assert_eq!(excused(false), [false; 4]);
    }

    #[test]
    fn the_thread_that_stands_is_named_and_one_that_moves_is_not() {
        let (mut watch, start) = (BeatWatch::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        assert_eq!(watch.look(&[], at(0), LIMIT), None);
        for second in 0..15 {
            let seen = [thread("judging", second), thread("store", 7)];
            assert_eq!(watch.look(&seen, at(second), LIMIT), None, "{second} s");
        }
        let seen = [thread("judging", 15), thread("store", 7)];
        let hang = Hang { thread: "store".to_owned(), stands: LIMIT };
        assert_eq!(watch.look(&seen, at(15), LIMIT), Some(hang));
        let seen = [thread("judging", 16), thread("store", 8)];
        assert_eq!(watch.look(&seen, at(16), LIMIT), None, "it goes on");
        assert_eq!(
            watch.look(&[thread("judging", 17)], at(31), LIMIT),
            None,
            "it has ended, which others notice"
        );
    }

    #[test]
    fn a_thread_with_a_reason_to_wait_does_not_hang() {
        let (mut watch, start) = (BeatWatch::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        for second in 0..60 {
            let seen = ThreadBeat { is_excused: true, ..thread("judging", 1) };
            assert_eq!(watch.look(&[seen], at(second), LIMIT), None);
        }
        let look = |watch: &mut BeatWatch, second| watch.look(&[thread("judging", 1)], at(second), LIMIT);
        assert_eq!(look(&mut watch, 73), None, "the time begins when the reason ends");
        assert!(look(&mut watch, 74).is_some());
    }

    #[test]
    fn what_is_allowed_and_a_store_that_takes_nothing_are_reasons() {
        let beats = Beats::default();
        let (store, worker) = (beats.join("store"), beats.join_before_store("worker"));
        let excused = |takes_nothing| -> Vec<bool> {
            beats.look(takes_nothing).iter().map(|thread| thread.is_excused).collect()
        };
        assert_eq!(excused(false), [false, false]);
        assert_eq!(excused(true), [false, true], "the store's own thread never waits for it");
        worker.allow(Duration::from_secs(60));
        assert_eq!(excused(false), [false, true]);
        worker.done();
        assert_eq!(excused(false), [false, false]);
        beat_here();
        store.beat();
        let counts: Vec<u64> = beats.look(false).iter().map(|thread| thread.count).collect();
        assert_eq!(counts, [1, 3]);
        drop(store);
        assert_eq!(beats.look(false).len(), 1, "one that has ended is not watched");
    }
}
