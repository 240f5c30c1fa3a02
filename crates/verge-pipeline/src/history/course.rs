//! How one signal went: a ring of steps for an hour, one for a day, and where its judges expected it.

use std::collections::VecDeque;

use verge_domain::finding::Expected;
use verge_domain::history::{BandChange, Course, Sample, SignalNow, Step};
use verge_domain::id::{JudgeId, Unit};
use verge_domain::time::UtcMillis;

/// Judges of one signal whose bands are kept.
const MOST_JUDGES: usize = 8;
/// Changes of one band that are kept; of more, the oldest are dropped.
const MOST_CHANGES: usize = 512;
/// A band that moved by less than this part of its width is the same: no chart shows the difference.
const SAME: f64 = 1.0 / 200.0;
/// Memory is taken for this many steps at once.
const GROWTH: usize = 32;
/// Judges that were not asked for this many steps look at something else now.
const BEHIND: u32 = 30;
/// A clock that went back by more than this many steps begins a new course.
const BACK: u32 = 6;

/// What came since the last tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noted {
    pub(crate) last: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Noted {
    pub(crate) const fn of(value: f64) -> Self {
        Self { last: value, least: value, greatest: value }
    }

    /// One more value.
    #[inline]
    pub(crate) const fn add(&mut self, value: f64) {
        self.last = value;
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
    }
}

/// How one signal went.
#[derive(Debug)]
pub(crate) struct SignalCourse {
    last: Option<f64>,
    unit: Option<Unit>,
    fine: Ring,
    coarse: Ring,
    bands: Vec<Band>,
    /// The step of its newest value.
    noted: u32,
    /// Since when it is kept.
    since: Option<UtcMillis>,
    /// It was dropped for want of room.
    is_dropped: bool,
}

#[derive(Debug)]
struct Ring {
    step: Step,
    rows: VecDeque<Row>,
}

/// One step. Its number counts from the beginning of time; the highest bit says that a judge was held.
#[derive(Debug, Clone, Copy)]
struct Row {
    number_and_held: u32,
    last: f32,
    least: f32,
    greatest: f32,
}

const HELD: u32 = 1 << 31;

#[derive(Debug)]
struct Band {
    judge: JudgeId,
    changes: VecDeque<Change>,
    /// The step in which it was asked last.
    asked: u32,
}

/// An open end, and both ends where nothing is expected, are no number.
#[derive(Debug, Clone, Copy)]
struct Change {
    number: u32,
    low: f32,
    high: f32,
}

impl Default for SignalCourse {
    fn default() -> Self {
        let ring = |step| Ring { step, rows: VecDeque::new() };
        Self {
            last: None,
            unit: None,
            fine: ring(Step::Fine),
            coarse: ring(Step::Coarse),
            bands: Vec::new(),
            noted: 0,
            since: None,
            is_dropped: false,
        }
    }
}

fn number_of(at: UtcMillis, step: Step) -> u32 {
    let length = i64::try_from(step.length().as_millis()).unwrap_or(i64::MAX);
    u32::try_from(at.0.div_euclid(length)).unwrap_or(0) & !HELD
}

fn begin_of(number: u32, step: Step) -> UtcMillis {
    let length = i64::try_from(step.length().as_millis()).unwrap_or(i64::MAX);
    UtcMillis(i64::from(number).saturating_mul(length))
}

#[expect(clippy::cast_possible_truncation, reason = "what is drawn and listed is rounded")]
fn rounded(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

impl SignalCourse {
    /// The step of a time: its judges are asked once in each what they expect.
    pub(crate) fn step_of(at: UtcMillis) -> u32 {
        number_of(at, Step::Fine)
    }

    /// Notes what came.
    pub(crate) fn note(&mut self, at: UtcMillis, noted: Noted, unit: Option<&Unit>) {
        if unit.is_some() && self.unit.as_ref() != unit {
            self.unit = unit.cloned();
        }
        self.last = Some(noted.last);
        self.noted = Self::step_of(at);
        if self.is_dropped {
            return;
        }
        if self.since.is_none_or(|since| since > at) {
            self.since = Some(at);
        }
        self.coarse.note(at, noted);
        self.fine.note(at, noted);
    }

    /// Whether a judge of it raises nothing now.
    pub(crate) fn hold(&mut self, held: bool) {
        if held {
            self.fine.hold();
            self.coarse.hold();
        }
    }

    /// A judge looks at it, and expects it here from now on.
    pub(crate) fn expect(&mut self, at: UtcMillis, judge: &JudgeId, expected: Option<Expected>) {
        let (step, is_dropped, noted) = (Self::step_of(at), self.is_dropped, self.noted);
        if let Some(band) = self.bands.iter_mut().find(|band| band.judge == *judge) {
            band.asked = step;
            if is_dropped {
                band.changes.clear();
            }
            return band.change(step, expected);
        }
        if self.bands.len() >= MOST_JUDGES {
            self.bands.retain(|band| band.is_current(noted));
        }
        if self.bands.len() < MOST_JUDGES {
            let mut band = Band { judge: judge.clone(), changes: VecDeque::new(), asked: step };
            band.change(step, expected);
            self.bands.push(band);
        }
    }

    /// The judges that look at it still.
    fn bands(&self) -> impl Iterator<Item = &Band> {
        self.bands.iter().filter(|band| band.is_current(self.noted))
    }

    /// Drops the course. Returns how many bytes it took.
    pub(crate) fn drop_all(&mut self) -> usize {
        let bytes = self.bytes();
        (self.fine.rows, self.coarse.rows) = (VecDeque::new(), VecDeque::new());
        // Where it is expected now stays.
        for Band { changes, .. } in &mut self.bands {
            *changes = changes.back().copied().into_iter().collect();
        }
        (self.since, self.is_dropped) = (None, true);
        bytes
    }

    /// It is kept from now on, if it was not.
    pub(super) fn keep(&mut self) {
        self.is_dropped = false;
    }

    /// Whether a judge looks at it; `None` where its course is not kept anyway.
    pub(super) fn is_judged(&self) -> Option<bool> {
        (!self.is_dropped).then(|| self.bands().next().is_some())
    }

    /// The memory it takes, beside what every signal takes.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_dropped {
            return 0;
        }
        let rows = (self.fine.rows.capacity() + self.coarse.rows.capacity()) * size_of::<Row>();
        let changes: usize = self.bands.iter().map(|band| band.changes.capacity()).sum();
        rows + changes * size_of::<Change>()
    }

    pub(super) fn now(&self, at: UtcMillis) -> Option<SignalNow> {
        let judges = self.bands().map(|band| {
            let newest = band.changes.back().and_then(|change| change.expected());
            (band.judge.clone(), newest)
        });
        let (unit, since) = (self.unit.clone(), self.since);
        Some(SignalNow { unit, value: self.last?, at, judges: judges.collect(), since })
    }

    pub(super) fn since(&self, step: Step, from: UtcMillis) -> Course {
        let ring = if step == Step::Fine { &self.fine } else { &self.coarse };
        let first = number_of(from, step);
        let samples = ring.rows.iter().filter(|row| row.number() >= first).map(|row| row.sample(step));
        let first = number_of(from, Step::Fine);
        let bands = self.bands().map(|band| {
            // The one before is where it was expected when the course begins.
            let before = band.changes.partition_point(|change| change.number <= first).saturating_sub(1);
            let changes = band.changes.iter().skip(before).map(|change| BandChange {
                from: begin_of(change.number, Step::Fine).max(from),
                expected: change.expected(),
            });
            (band.judge.clone(), changes.collect())
        });
        Course { step, since: self.since, samples: samples.collect(), bands: bands.collect() }
    }
}

impl Ring {
    fn note(&mut self, at: UtcMillis, noted: Noted) {
        let number = number_of(at, self.step);
        match self.rows.back_mut() {
            // A clock that goes back a little goes on in the newest step.
            Some(newest) if number <= newest.number() && newest.number() - number <= BACK => {
                return newest.add(noted);
            }
            Some(newest) if number < newest.number() => self.rows.retain(|row| row.number() < number),
            _ => {}
        }
        let most = self.step.most();
        let is_over = |row: &Row| row.number() as usize + most <= number as usize;
        while self.rows.front().is_some_and(is_over) {
            self.rows.pop_front();
        }
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(GROWTH.min(most.saturating_sub(self.rows.len())).max(1));
        }
        self.rows.push_back(Row::of(number, noted));
    }

    fn hold(&mut self) {
        if let Some(newest) = self.rows.back_mut() {
            newest.number_and_held |= HELD;
        }
    }
}

impl Row {
    fn of(number: u32, noted: Noted) -> Self {
        let (last, least, greatest) = (rounded(noted.last), rounded(noted.least), rounded(noted.greatest));
        Self { number_and_held: number, last, least, greatest }
    }

    fn add(&mut self, noted: Noted) {
        self.last = rounded(noted.last);
        self.least = self.least.min(rounded(noted.least));
        self.greatest = self.greatest.max(rounded(noted.greatest));
    }

    const fn number(&self) -> u32 {
        self.number_and_held & !HELD
    }

    fn sample(&self, step: Step) -> Sample {
        let Self { last, least, greatest, .. } = *self;
        let held = self.number_and_held & HELD != 0;
        Sample { at: begin_of(self.number(), step), last, least, greatest, held }
    }
}

impl Band {
    /// Whether its judge still looks at a signal that was noted then. A judging thread may be behind another.
    const fn is_current(&self, noted: u32) -> bool {
        self.asked.saturating_add(BEHIND) >= noted
    }

    fn change(&mut self, number: u32, expected: Option<Expected>) {
        let end = |end: Option<f64>| end.map_or(f32::NAN, rounded);
        let Expected { low, high } = expected.unwrap_or_default();
        let change = Change { number, low: end(low), high: end(high) };
        // Where the clock went back, as in the ring: what lies in the future now is not so any more.
        while self.changes.back().is_some_and(|newest| newest.number > number.saturating_add(BACK)) {
            self.changes.pop_back();
        }
        match self.changes.back_mut() {
            Some(newest) if newest.is_same(&change) => return,
            Some(newest) if newest.number >= number => {
                *newest = Change { number: newest.number, ..change };
                return;
            }
            _ => {}
        }
        let day = u32::try_from(Step::Coarse.most() * 6).unwrap_or(u32::MAX);
        // The one behind it holds since more than a day ago, too.
        while self.changes.len() >= MOST_CHANGES
            || self.changes.get(1).is_some_and(|second| second.number.saturating_add(day) < number)
        {
            self.changes.pop_front();
        }
        if self.changes.len() == self.changes.capacity() {
            self.changes.reserve_exact(if self.changes.is_empty() { 1 } else { GROWTH });
        }
        self.changes.push_back(change);
    }
}

impl Change {
    fn is_same(&self, other: &Self) -> bool {
        let width = f64::from(self.high) - f64::from(self.low);
        let least = if width.is_finite() { width * SAME } else { 0.0 };
        let same = |one: f32, other: f32| {
            one.is_nan() && other.is_nan() || (f64::from(one) - f64::from(other)).abs() <= least
        };
        same(self.low, other.low) && same(self.high, other.high)
    }

    fn expected(&self) -> Option<Expected> {
        let end = |end: f32| (!end.is_nan()).then_some(f64::from(end));
        let expected = Expected { low: end(self.low), high: end(self.high) };
        (expected.low.is_some() || expected.high.is_some()).then_some(expected)
    }
}
