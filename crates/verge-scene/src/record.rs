//! The intervals that are open: the one of now, and those that late findings may still belong to.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use verge_domain::time::UtcMillis;

use crate::countable::SightingTally;
use crate::interval::{Partial, SceneInterval};
use crate::settings::SceneSettings;

/// Seconds for which an interval stays open after its end: what is found late is counted where it happened.
const GRACE: f64 = 5.0;
/// What stands on a line for longer counts later than it crossed.
const LONGEST_GRACE: f64 = 120.0;
/// Open intervals at most.
const MOST: usize = 8;
/// An interval of which less than this share is missing is whole.
const WHOLE: f64 = 0.01;
/// An object that went further than this many larger sides of its box between two frames was hardly seen at the line.
const LONG_STEP: f64 = 1.5;
/// The same where the frames lie so far apart that after a missed one there is nothing to follow.
const SLOW_STEP: f64 = 0.4;
/// See [`SLOW_STEP`].
const SLOW: f64 = 0.75;
/// Less than one in this number of what crossed a line may have gone too far between two frames.
const FEW_WEAK: u32 = 4;

/// An object crossed a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    /// When, in seconds since 1970.
    pub at: f64,
    /// Position of the line.
    pub line: usize,
    /// From its left to its right.
    pub forward: bool,
    /// Position of the class.
    pub class: usize,
    /// Number of the track.
    pub track: u64,
    /// Speed in metres per second, where there is a ground.
    pub speed: Option<f64>,
}

/// Which intervals are open, oldest first, and what decides whether frames came often enough.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct CrossingRecord {
    open: VecDeque<SceneInterval>,
    /// Of each line: what crossed lately, and how much of it was seen too seldom.
    seen: Vec<(u32, u32)>,
    /// Of each line: how often it was seen before and behind. Saved apart, see [`CrossingRecord::sightings`].
    #[serde(skip)]
    sightings: Vec<SightingTally>,
}

/// The length of an interval in seconds.
#[expect(clippy::cast_precision_loss, reason = "at most a day in milliseconds")]
pub(crate) fn length(settings: &SceneSettings) -> f64 {
    settings.interval.length_ms() as f64 / 1e3
}

#[expect(clippy::cast_possible_truncation, reason = "times of this age, and a cast saturates")]
fn millis(at: f64) -> UtcMillis {
    UtcMillis((at * 1e3).floor() as i64)
}

/// In seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
pub(crate) fn seconds(at: UtcMillis) -> f64 {
    at.0 as f64 / 1e3
}

impl CrossingRecord {
    /// The newest interval that is open.
    pub(crate) fn newest(&self) -> Option<&SceneInterval> {
        self.open.back()
    }

    /// The interval that a time belongs to. What was found too late for its own counts at the start of the oldest open one,
    /// to which the time is moved: intervals are sums of what happened in them.
    pub(crate) fn at(&mut self, settings: &SceneSettings, at: &mut f64) -> &mut SceneInterval {
        let from = settings.interval.start_of(millis(*at));
        if self.open.is_empty() {
            self.open.push_back(SceneInterval::new(settings, from));
        }
        let position = self.open.iter().rposition(|interval| interval.from <= from).unwrap_or(0);
        let interval = &mut self.open[position];
        if interval.from > from {
            *at = seconds(interval.from);
        } else if interval.from < from {
            *at = (seconds(interval.from) + length(settings) - 1e-3).min(*at);
        }
        interval
    }

    /// Opens the interval of a frame, and gives those that time has passed through their share of it. `share` is given the
    /// interval and its seconds where the time was observed.
    pub(crate) fn pass(
        &mut self,
        settings: &SceneSettings,
        (last, now): (f64, f64),
        observed: bool,
        mut share: impl FnMut(&mut SceneInterval, f64),
    ) {
        let end = settings.interval.start_of(millis(now));
        if !observed {
            // What lies between is not reported: nothing was observed of it.
            if let Some(newest) = self.open.back_mut() {
                newest.partial.gap = true;
            }
            self.open_at(settings, end);
            if let Some(newest) = self.open.back_mut() {
                newest.partial.gap |= last > seconds(newest.from) || now - seconds(newest.from) > 1e-3;
            }
            return;
        }
        let length = length(settings);
        let mut from = settings.interval.start_of(millis(last));
        while from <= end {
            self.open_at(settings, from);
            let begin = seconds(from);
            let part = now.min(begin + length) - last.max(begin);
            if let Some(interval) = self.open.iter_mut().find(|interval| interval.from == from)
                && part > 0.0
            {
                interval.observed += part;
                share(interval, part);
            }
            from = UtcMillis(from.0.saturating_add_unsigned(settings.interval.length_ms()));
        }
    }

    /// Opens the interval that starts at `from`, if it is not open.
    fn open_at(&mut self, settings: &SceneSettings, from: UtcMillis) {
        if self.open.back().is_none_or(|newest| newest.from < from) {
            self.open.push_back(SceneInterval::new(settings, from));
        }
    }

    /// A frame is judged.
    pub(crate) fn add_frame(&mut self, settings: &SceneSettings, mut at: f64) {
        self.at(settings, &mut at).frames += 1;
    }

    /// A frame came and is not judged.
    pub(crate) fn add_skipped(&mut self, settings: &SceneSettings, mut at: f64) {
        self.at(settings, &mut at).skipped += 1;
    }

    /// Frames that came before this time were not judged for want of time. `reduced`: less was looked at than was asked for.
    pub(crate) fn note_overload(
        &mut self,
        settings: &SceneSettings,
        mut at: f64,
        (passed_over, reduced): (u32, bool),
    ) {
        let interval = self.at(settings, &mut at);
        interval.skipped = interval.skipped.saturating_add(passed_over);
        interval.partial.overload |= reduced;
    }

    /// Opens the intervals between two times at which the camera was blind: their counts are unknown.
    pub(crate) fn pass_blind(&mut self, settings: &SceneSettings, (last, now): (f64, f64)) {
        let mut from = settings.interval.start_of(millis(last));
        while seconds(from) < now {
            self.open_at(settings, from);
            if let Some(interval) = self.open.iter_mut().find(|interval| interval.from == from) {
                interval.partial.health = true;
            }
            from = UtcMillis(from.0.saturating_add_unsigned(settings.interval.length_ms()));
        }
    }

    /// The camera was blind between two times that were taken for observed.
    pub(crate) fn doubt_since(&mut self, settings: &SceneSettings, (since, last): (f64, f64)) {
        for interval in &mut self.open {
            let begin = seconds(interval.from);
            let part = last.min(begin + length(settings)) - since.max(begin);
            if part > 0.0 {
                interval.doubt(part);
            }
        }
    }

    /// The camera is blind at this time.
    pub(crate) fn mark_blind(&mut self, settings: &SceneSettings, mut at: f64) {
        self.at(settings, &mut at).partial.health = true;
    }

    /// The first frame.
    pub(crate) fn begin(&mut self, settings: &SceneSettings, at: f64) {
        let from = settings.interval.start_of(millis(at));
        self.open_at(settings, from);
        if let Some(first) = self.open.back_mut() {
            first.partial.start |= at - seconds(from) > WHOLE * length(settings);
        }
    }

    /// Counting ends here: what is open misses the rest.
    pub(crate) fn end(&mut self, settings: &SceneSettings) {
        for interval in &mut self.open {
            let missing = length(settings) - interval.observed;
            interval.partial.start |= missing > WHOLE * length(settings) && !interval.partial.gap;
        }
    }

    /// What crossed a line went `step` larger sides of its box between two frames that lie `seconds` apart.
    pub(crate) fn note_rate(&mut self, settings: &SceneSettings, line: usize, (step, seconds): (f64, f64)) {
        let weak = step > if seconds > SLOW { SLOW_STEP } else { LONG_STEP };
        self.seen.resize(settings.lines.len(), (0, 0));
        let (all, weakly) = &mut self.seen[line];
        *all += 1;
        *weakly += u32::from(weak);
        if *all >= 64 {
            // The newer count more.
            (*all, *weakly) = (*all / 2, *weakly / 2);
        }
    }

    /// What crossed a line was seen so often before and behind it.
    pub(crate) fn note_sightings(
        &mut self,
        settings: &SceneSettings,
        line: usize,
        (before, after): (u16, u16),
    ) {
        self.sightings.resize(settings.lines.len(), SightingTally::default());
        self.sightings[line].add(before, after);
    }

    /// Of each line, once something has crossed one of them.
    pub(crate) fn sightings(&self) -> &[SightingTally] {
        &self.sightings
    }

    /// Goes on from saved ones, where they fit.
    pub(crate) fn restore_sightings(&mut self, settings: &SceneSettings, saved: Vec<SightingTally>) {
        if saved.len() == settings.lines.len() && saved.iter().all(SightingTally::is_sound) {
            self.sightings = saved;
        }
    }

    /// Whether what crosses a line is seen too seldom.
    pub(crate) fn is_weak(&self, line: usize) -> bool {
        let goes_far =
            self.seen.get(line).is_some_and(|&(all, weakly)| weakly > 1 && weakly * FEW_WEAK >= all);
        goes_far || self.sightings.get(line).is_some_and(SightingTally::is_too_few)
    }

    /// Time ran back: what is open ends here.
    pub(crate) fn turn_back(&mut self, settings: &SceneSettings, now: f64, out: &mut Vec<SceneInterval>) {
        let from = settings.interval.start_of(millis(now));
        for interval in &mut self.open {
            interval.partial.clock = true;
        }
        if self.open.back().is_some_and(|newest| newest.from > from) {
            self.close_all(settings, out);
        }
        self.open_at(settings, from);
        if let Some(newest) = self.open.back_mut() {
            newest.partial.clock = true;
        }
    }

    /// Closes what ended long enough ago, unless something that happened since `undecided` may still belong to it.
    pub(crate) fn close(
        &mut self,
        settings: &SceneSettings,
        (now, undecided): (f64, Option<f64>),
        out: &mut Vec<SceneInterval>,
    ) {
        let length = length(settings);
        while let Some(oldest) = self.open.front() {
            let end = seconds(oldest.from) + length;
            let may_grow = undecided.is_some_and(|since| since < end) && now < end + LONGEST_GRACE;
            let over = (end + GRACE <= now && !may_grow) || self.open.len() > MOST;
            if !over {
                break;
            }
            self.close_oldest(settings, out);
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self, settings: &SceneSettings, out: &mut Vec<SceneInterval>) {
        while !self.open.is_empty() {
            self.close_oldest(settings, out);
        }
    }

    fn close_oldest(&mut self, settings: &SceneSettings, out: &mut Vec<SceneInterval>) {
        let Some(mut interval) = self.open.pop_front() else { return };
        let length = length(settings);
        interval.observed = interval.observed.min(length);
        if length - interval.observed > WHOLE * length {
            // Frames have ceased to come.
            let Partial { start, clock, health, .. } = interval.partial;
            interval.partial.gap |= !start && !clock && !health;
        }
        interval.partial.rate = (0..settings.lines.len()).any(|line| self.is_weak(line));
        out.push(interval);
    }

    /// The times of frames are in doubt.
    pub(crate) fn doubt_clock(&mut self) {
        if let Some(newest) = self.open.back_mut() {
            newest.partial.clock = true;
        }
    }

    /// The next time is not joined to what was before.
    pub(crate) fn mark_gap(&mut self) {
        for interval in &mut self.open {
            interval.partial.gap = true;
        }
    }

    pub(crate) fn fits(&self, settings: &SceneSettings) -> bool {
        self.open.len() <= MOST + 1 && self.open.iter().all(|interval| interval.fits(settings))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let of_one = |interval: &SceneInterval| {
            let line = interval.lines.first();
            let classes = line.map_or(0, |line| line.forward.counts.len());
            let headways: usize = interval
                .lines
                .iter()
                .map(|line| line.forward.headways.capacity() + line.backward.headways.capacity())
                .sum();
            interval.lines.len() * (size_of::<crate::interval::LineTally>() + 8 * classes)
                + interval.zones.len() * size_of::<crate::interval::ZoneTally>()
                + 4 * (interval.trips.len() + headways)
        };
        let open =
            self.open.iter().map(|interval| size_of::<SceneInterval>() + of_one(interval)).sum::<usize>();
        open + self.sightings.capacity() * size_of::<SightingTally>()
    }
}
