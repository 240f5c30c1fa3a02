//! The board of a running gateway, see [`verge_domain::board`]: written by the committer after each commit, read by anyone.
//!
//! The committer never waits for a reader. Words go to the points at once where no reader holds them; else to the inbox, which
//! is locked for moments only, and whoever locks the points next takes them from there. In a steady state nothing is
//! allocated: the memory of the word that is replaced takes the next one.

mod recent;

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use verge_domain::alarms::{AlarmFigures, AlarmLoad, PointCourse, StandingAlarms};
use verge_domain::board::{Board, BoardCopy, CommittedWords, LastWord, OpenEvents, RaisedBefore};
use verge_domain::id::{Lane, Seq};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Severity, Verdict};

use crate::judging::RaisedCounts;
use recent::RecentWords;

/// Points at most. Past that, those that wait for nothing go, oldest first; a verdict that finds no room is counted.
pub const MAX_POINTS: usize = 65_536;
/// Words in the inbox at most; past that the committer waits for the reader after all. A reader holds the points for
/// milliseconds.
const INBOX: usize = 4_096;
/// Alarms before the start count for this long.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Wakers at most. Nothing tells of a follower that has gone: at this number all are woken, and those still there wait anew.
const WAKERS: usize = 1_024;

/// The board. Its writer is the committer alone.
#[derive(Debug)]
pub struct LastWords {
    /// Locked for moments only; after `points` where both are.
    inbox: Mutex<Inbox>,
    points: Mutex<Points>,
    raised_before: Vec<RaisedBefore>,
}

#[derive(Debug, Default)]
struct Inbox {
    words: Vec<LastWord>,
    /// Of followers that wait for the next commit.
    wakers: Vec<Waker>,
}

impl LastWords {
    /// A board that begins with the events that were open when the gateway stopped, see
    /// [`open_events`](crate::judging::open_events), and counts on from what was raised,
    /// see [`raised_before`](crate::judging::raised_before).
    #[must_use]
    pub fn restored(open: impl IntoIterator<Item = Verdict>, raised: Vec<RaisedBefore>) -> Self {
        Self::with_room(MAX_POINTS, open, raised)
    }

    fn with_room(max: usize, open: impl IntoIterator<Item = Verdict>, raised: Vec<RaisedBefore>) -> Self {
        let mut points = Points::with_room(max);
        points.raised = RaisedCounts::of(&raised);
        open.into_iter().for_each(|verdict| points.put(LastWord::new(verdict, None)));
        Self { inbox: Mutex::default(), points: Mutex::new(points), raised_before: raised }
    }

    /// Counts the alarms that were raised in the last day before the start, out of what the store holds of it: a restart amid a
    /// flood must not look like its end.
    pub fn recall(&self, stored: &[Verdict], now: UtcMillis) {
        let is_of_day = |at: UtcMillis| at <= now && now.since(at) < DAY;
        let mut of_day: Vec<&Verdict> =
            stored.iter().filter(|verdict| is_of_day(verdict.times.decided)).collect();
        of_day.sort_by_key(|verdict| verdict.times.decided);
        let load = &mut self.points().load;
        of_day.into_iter().for_each(|verdict| load.note(verdict));
    }

    /// Takes what was committed, in its order. For the committer.
    pub fn post(&self, words: impl Iterator<Item = LastWord>) {
        let points = match self.points.try_lock() {
            Ok(points) => Some(points),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut points) = points {
            self.empty_inbox(&mut points);
            words.for_each(|word| points.put(word));
        } else {
            self.inbox().words.extend(words);
        }
        let mut inbox = self.inbox();
        let (wakers, full) = (std::mem::take(&mut inbox.wakers), inbox.words.len() > INBOX);
        drop(inbox);
        wakers.into_iter().for_each(Waker::wake);
        if full {
            drop(self.points());
        }
    }

    /// Takes away the words that are not about what judges watch. Open events stay: their end is a word of its own.
    pub fn retain(&self, watched: impl Fn(&Verdict) -> bool) {
        let mut points = self.points();
        points.words.retain(|word| word.0.open_event().is_some() || watched(&word.0.verdict));
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The points, with all that was committed.
    fn points(&self) -> MutexGuard<'_, Points> {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        self.empty_inbox(&mut points);
        points
    }

    fn empty_inbox(&self, points: &mut Points) {
        let words = std::mem::take(&mut self.inbox().words);
        words.into_iter().for_each(|word| points.put(word));
    }
}

impl Default for LastWords {
    fn default() -> Self {
        Self::restored([], Vec::new())
    }
}

impl Board for LastWords {
    fn words(&self, selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        self.points().selected(selected)
    }

    fn copy(&self, selected: &dyn Fn(&LastWord) -> bool) -> BoardCopy {
        let mut points = self.points();
        BoardCopy { place: points.recent.follow(), words: points.selected(selected) }
    }

    fn raised_before(&self) -> &[RaisedBefore] {
        &self.raised_before
    }

    fn standing(&self) -> StandingAlarms {
        self.points().standing
    }

    fn alarms(&self, now: UtcMillis) -> AlarmFigures {
        let points = self.points();
        AlarmFigures::of(points.words.iter().map(|word| &*word.0), &points.load, now)
    }

    fn open_events(&self) -> OpenEvents {
        self.points().open
    }

    fn follow(&self) -> u64 {
        self.points().recent.follow()
    }

    fn place_behind(&self, lane: Lane, seq: Seq) -> Option<u64> {
        self.points().recent.place_behind(lane, seq)
    }

    fn poll_behind(&self, place: &mut u64, context: &mut Context<'_>) -> Poll<CommittedWords> {
        loop {
            let points = self.points();
            if let Some(words) = points.recent.behind(place) {
                return Poll::Ready(words);
            }
            // While the points are held, what is committed comes to the inbox.
            let mut inbox = self.inbox();
            if inbox.words.is_empty() {
                let mut woken = Vec::new();
                if !inbox.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    if inbox.wakers.len() >= WAKERS {
                        woken = std::mem::take(&mut inbox.wakers);
                    }
                    inbox.wakers.push(context.waker().clone());
                }
                drop((inbox, points));
                woken.into_iter().for_each(Waker::wake);
                return Poll::Pending;
            }
        }
    }
}

/// A word under the key of its point.
#[derive(Debug)]
struct Keyed(Arc<LastWord>);

impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.0.point() == other.0.point()
    }
}

impl Eq for Keyed {}

impl Hash for Keyed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.point().hash(state);
    }
}

#[derive(Debug)]
struct Points {
    words: HashSet<Keyed>,
    max: usize,
    open: OpenEvents,
    standing: StandingAlarms,
    load: AlarmLoad,
    recent: RecentWords,
    /// Before the start.
    raised: RaisedCounts,
    /// Memory of a word that was replaced, for the next.
    spare: Option<Arc<LastWord>>,
}

impl Points {
    fn with_room(max: usize) -> Self {
        Self {
            words: HashSet::new(),
            max,
            open: OpenEvents::default(),
            standing: StandingAlarms::default(),
            load: AlarmLoad::default(),
            recent: RecentWords::default(),
            raised: RaisedCounts::default(),
            spare: None,
        }
    }

    fn selected(&self, selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        self.words.iter().filter(|word| selected(&word.0)).map(|word| Arc::clone(&word.0)).collect()
    }

    fn put(&mut self, word: LastWord) {
        let mut word = Keyed(self.stored(word));
        if word.0.verdict.event.is_some() {
            self.follow_course(&mut word);
        }
        if word.0.seq.is_some() {
            self.recent.push(&word.0);
        }
        if self.words.len() >= self.max && !self.words.contains(&word) && !self.make_room() {
            self.open.left_out += 1;
            return;
        }
        self.count(&word.0, |count| count + 1);
        if let Some(Keyed(before)) = self.words.replace(word) {
            self.count(&before, |count| count.saturating_sub(1));
            // A word that a reader holds stays as it is.
            self.spare = (Arc::strong_count(&before) == 1).then_some(before);
        }
    }

    /// Notes how the events of the point have gone on.
    fn follow_course(&mut self, word: &mut Keyed) {
        let known = self.words.get(&*word).map(|before| Arc::clone(&before.0));
        let course = known.as_ref().map(|before| before.course);
        let course = course.unwrap_or_else(|| PointCourse::after_events(self.raised.of_point(&word.0)));
        let Some(own) = Arc::get_mut(&mut word.0) else { return };
        own.course = course;
        own.acknowledged_after(known.as_deref());
        if own.seq.is_some() {
            own.course = course.after(&own.verdict);
            self.load.note(&own.verdict);
        }
    }

    fn stored(&mut self, word: LastWord) -> Arc<LastWord> {
        if let Some(mut spare) = self.spare.take()
            && let Some(place) = Arc::get_mut(&mut spare)
        {
            *place = word;
            return spare;
        }
        Arc::new(word)
    }

    fn count(&mut self, word: &LastWord, change: impl Fn(u64) -> u64) {
        if word.open_event().is_none() {
            return;
        }
        let of_severity = match word.verdict.severity {
            Severity::Info => &mut self.open.info,
            Severity::Warning => &mut self.open.warning,
            Severity::Critical => &mut self.open.critical,
        };
        self.standing.count(word, &change);
        *of_severity = change(*of_severity);
        self.open.open = change(self.open.open);
        if word.seq.is_none() {
            self.open.restored = change(self.open.restored);
        }
    }

    /// Removes the oldest points without an open event, a sixteenth of all at once, so that the search for them pays.
    fn make_room(&mut self) -> bool {
        let decided = |word: &Keyed| word.0.verdict.times.decided;
        let batch = (self.max / 16).max(1);
        let open = usize::try_from(self.open.open).unwrap_or(usize::MAX);
        if self.words.len().saturating_sub(open) < batch {
            return false;
        }
        let mut times: Vec<_> =
            self.words.iter().filter(|word| word.0.open_event().is_none()).map(decided).collect();
        let (_, &mut last, _) = times.select_nth_unstable(batch - 1);
        self.words.retain(|word| word.0.open_event().is_some() || decided(word) > last);
        true
    }
}

#[cfg(test)]
mod tests;
