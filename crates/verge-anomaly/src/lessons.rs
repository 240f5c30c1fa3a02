//! What an event taught, until it is clear whether that is to be forgotten.
//!
//! A tail learns every score, also those of a fault: without more, the same fault would be usual the next time. So what
//! was strange far beyond all chance is forgotten at the end of its event. Not for ever, though: what comes again and
//! again, and is not reported as real, is usual.

use serde::{Deserialize, Serialize};

use crate::tail::HALF_LIFE;

/// Observations after an alarm in which people can say something about it; what lasts longer is usual from now on.
const LONGEST: u16 = 1_000;
/// Observations in which nothing alike was seen before an event counts as no part of what is usual.
const MATURE: f64 = 3_000.0;
/// Events that are forgotten in the time in which a tail forgets the half of what it knows.
const FORGOTTEN_AT_MOST: u8 = 10;

/// The lessons of the last event; a mark says where the scores of one observation were learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lessons<M> {
    last: Option<Box<TaughtEvent<M>>>,
    /// Recent events that were forgotten.
    forgotten: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TaughtEvent<M> {
    marks: Vec<M>,
    /// Observations since the alarm.
    age: u16,
    /// Something in it was strange far beyond all chance.
    far: bool,
    /// People said that it is real.
    real: bool,
}

/// What is known of one observation when its scores have been learnt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LessonStep {
    /// Observations so far.
    pub(crate) seen: u64,
    /// Observations that are remembered.
    pub(crate) remembered: f64,
    /// Whether an event was open before, and is now.
    pub(crate) was_open: bool,
    pub(crate) is_open: bool,
    /// Whether this observation was strange far beyond all chance.
    pub(crate) far: bool,
}

impl<M> Lessons<M> {
    pub(crate) fn new() -> Self {
        Self { last: None, forgotten: 0 }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.last
            .as_ref()
            .map_or(0, |last| size_of::<TaughtEvent<M>>() + last.marks.capacity() * size_of::<M>())
    }

    /// Notes one observation; gives what is to be forgotten now.
    pub(crate) fn note(&mut self, step: LessonStep, mark: M) -> Vec<M> {
        let LessonStep { seen, remembered, was_open, is_open, far } = step;
        if seen.is_multiple_of(u64::from(HALF_LIFE)) {
            self.forgotten /= 2;
        }
        if is_open && !was_open {
            self.last = Some(Box::new(TaughtEvent { marks: Vec::new(), age: 0, far: false, real: false }));
        }
        let Some(last) = &mut self.last else { return Vec::new() };
        last.age += 1;
        if last.age > LONGEST {
            self.last = None;
            return Vec::new();
        }
        if is_open || was_open {
            last.marks.push(mark);
            last.far |= far;
        }
        let real = last.real;
        if is_open || !was_open || !self.is_exceptional(remembered) {
            return Vec::new();
        }
        self.forgotten += u8::from(!real);
        self.last.as_mut().map(|last| std::mem::take(&mut last.marks)).unwrap_or_default()
    }

    /// Whether the open event will be forgotten, if it does not last too long.
    pub(crate) fn will_be_forgotten(&self, step: LessonStep) -> bool {
        step.is_open && self.is_exceptional(step.remembered)
    }

    fn is_exceptional(&self, remembered: f64) -> bool {
        let is_new = remembered >= MATURE && self.forgotten < FORGOTTEN_AT_MOST;
        self.last.as_ref().is_some_and(|last| last.real || (last.far && is_new))
    }

    /// The last event was real: gives what is to be forgotten of it, `None` if it is too long ago. What it still teaches
    /// is forgotten at its end.
    pub(crate) fn was_real(&mut self) -> Option<Vec<M>> {
        let last = self.last.as_mut()?;
        last.real = true;
        self.forgotten = 0;
        Some(std::mem::take(&mut last.marks))
    }

    /// The last event was no fault: what it taught stays.
    pub(crate) fn was_false(&mut self) {
        self.last = None;
    }

    /// What happens is on purpose: gives what is to be forgotten of the last event. What comes is learnt.
    pub(crate) fn was_maintenance(&mut self) -> Vec<M> {
        self.last.take().map(|last| last.marks).unwrap_or_default()
    }
}
