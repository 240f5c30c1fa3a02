//! What signals showed of late, for the dashboard: a room that the judging threads write into on their tick and pages read.
//!
//! No judging thread waits here: where a reader looks at a signal at this moment, it is noted with the next tick. All courses
//! together keep to a bound; of more, those are dropped that nobody has looked at for the longest time, first of all those
//! that no judge looks at. A course that was dropped begins again when somebody looks at it.

mod course;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use verge_domain::history::{Course, SignalHistory, SignalNow, Step};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Subject;

pub(crate) use course::{Noted, SignalCourse};

/// What a signal takes beside its course: names, its place in the table, its note in the judges' tables.
const SIGNAL_BYTES: usize = 640;
/// Part of the room that names may take.
const NAMES_PART: usize = 2;
/// Part of the room that is freed at once, so that it is seldom looked for.
const FREED_PART: usize = 32;

/// The signals that were received since the start.
#[derive(Debug)]
pub struct SignalRoom {
    /// Locked for moments only; the judging threads pass by where it is locked.
    table: Mutex<BTreeMap<Subject, Arc<SignalCell>>>,
    /// Of all courses.
    bytes: AtomicUsize,
    /// Signals in the table.
    known: AtomicUsize,
    cap: usize,
    left_out: AtomicU64,
    /// Names that met a full table.
    over: AtomicU64,
    /// Counts looks: the greater the later.
    looks: AtomicU64,
}

/// One signal.
#[derive(Debug, Default)]
pub(crate) struct SignalCell {
    course: Mutex<SignalCourse>,
    /// When a value was last noted, UTC milliseconds.
    at: AtomicI64,
    /// The look at it that was the last.
    looked: AtomicU64,
}

impl SignalCell {
    /// `None` where a reader looks at it now.
    pub(crate) fn try_course(&self) -> Option<MutexGuard<'_, SignalCourse>> {
        match self.course.try_lock() {
            Ok(course) => Some(course),
            Err(TryLockError::Poisoned(course)) => Some(course.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn course(&self) -> MutexGuard<'_, SignalCourse> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value was noted.
    pub(crate) fn noted(&self, at: UtcMillis) {
        self.at.store(at.0, Ordering::Relaxed);
    }
}

impl SignalRoom {
    /// Room for courses and names of this many bytes together.
    #[must_use]
    pub const fn new(cap: usize) -> Self {
        Self {
            table: Mutex::new(BTreeMap::new()),
            bytes: AtomicUsize::new(0),
            known: AtomicUsize::new(0),
            cap,
            left_out: AtomicU64::new(0),
            over: AtomicU64::new(0),
            looks: AtomicU64::new(0),
        }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<Subject, Arc<SignalCell>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_table(&self) -> Option<MutexGuard<'_, BTreeMap<Subject, Arc<SignalCell>>>> {
        match self.table.try_lock() {
            Ok(table) => Some(table),
            Err(TryLockError::Poisoned(table)) => Some(table.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The place of a signal, which is made where there is room for its name. `None`: not now, or not at all.
    pub(crate) fn open(&self, signal: &Subject) -> Option<Arc<SignalCell>> {
        let mut table = self.try_table()?;
        if let Some(known) = table.get(signal) {
            return Some(Arc::clone(known));
        }
        if (table.len() + 1) * SIGNAL_BYTES > self.cap / NAMES_PART {
            let before = table.len();
            // One sweep for as many names that find no room as there are names: else each of them costs a sweep in each tick.
            if self.over.fetch_add(1, Ordering::Relaxed).is_multiple_of(before as u64 + 1) {
                // Those that no judge knows any more.
                table.retain(|_, cell| Arc::strong_count(cell) > 1 || self.forget(cell));
            }
            if table.len() == before {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        let cell = Arc::<SignalCell>::default();
        table.insert(signal.clone(), Arc::clone(&cell));
        self.known.store(table.len(), Ordering::Relaxed);
        Some(cell)
    }

    fn forget(&self, cell: &SignalCell) -> bool {
        self.grown(cell.course().drop_all(), 0);
        false
    }

    /// A course takes `now` bytes where it took `before`.
    pub(crate) fn grown(&self, before: usize, now: usize) {
        if now >= before {
            self.bytes.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Drops courses until there is room again, if there is none.
    pub(crate) fn fit(&self) {
        let names = self.known.load(Ordering::Relaxed) * SIGNAL_BYTES;
        let room = self.cap - names.min(self.cap / NAMES_PART);
        if self.bytes.load(Ordering::Relaxed) <= room {
            return;
        }
        let Some(table) = self.try_table() else { return };
        let mut known: Vec<_> = table
            .values()
            .filter_map(|cell| {
                let is_judged = cell.try_course()?.is_judged()?;
                Some(((is_judged, cell.looked.load(Ordering::Relaxed)), cell))
            })
            .collect();
        known.sort_by_key(|(worth, _)| *worth);
        for (_, cell) in known {
            if self.bytes.load(Ordering::Relaxed) <= room - room / FREED_PART {
                break;
            }
            if let Some(mut course) = cell.try_course() {
                self.grown(course.drop_all(), 0);
            }
        }
    }

    fn find(&self, signal: &Subject) -> Option<Arc<SignalCell>> {
        self.table().get(signal).map(Arc::clone)
    }
}

impl Default for SignalRoom {
    /// No room.
    fn default() -> Self {
        Self::new(0)
    }
}

impl SignalHistory for SignalRoom {
    fn list(&self, selected: &mut dyn FnMut(&Subject, UtcMillis) -> bool) -> Vec<Subject> {
        let all = self.table();
        let at = |cell: &SignalCell| UtcMillis(cell.at.load(Ordering::Relaxed));
        all.iter()
            .filter(|(signal, cell)| selected(signal, at(cell)))
            .map(|(signal, _)| signal.clone())
            .collect()
    }

    fn newest(&self, signal: &Subject) -> Option<SignalNow> {
        let cell = self.find(signal)?;
        let course = cell.course();
        course.now(UtcMillis(cell.at.load(Ordering::Relaxed)))
    }

    fn course(&self, signal: &Subject, step: Step, from: UtcMillis) -> Option<Course> {
        let cell = self.find(signal)?;
        cell.looked.store(self.looks.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let mut course = cell.course();
        let before = course.bytes();
        course.keep();
        self.grown(before, course.bytes());
        Some(course.since(step, from))
    }

    fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}
