//! What is counted in an interval of the wall clock.

use serde::{Deserialize, Serialize};
use verge_domain::time::UtcMillis;

use crate::presence::ZoneNow;
use crate::settings::SceneSettings;

/// Why an interval says less than all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Partial {
    /// Counting began, or ended, within it.
    pub start: bool,
    /// For a while no frames came.
    pub gap: bool,
    /// Frames come too seldom for what crosses its lines.
    pub rate: bool,
    /// Time ran back.
    pub clock: bool,
    /// For a while the camera was blind.
    pub health: bool,
    /// For a while less was looked at than was asked for. Not saved: after a restart the interval has a gap.
    #[serde(skip)]
    pub overload: bool,
}

impl Partial {
    /// The reasons as stable texts.
    pub fn reasons(self) -> impl Iterator<Item = &'static str> {
        let Self { start, gap, rate, clock, health, overload } = self;
        let all = [
            (start, "start"),
            (gap, "gap"),
            (rate, "rate"),
            (clock, "clock"),
            (health, "health"),
            (overload, "overload"),
        ];
        all.into_iter().filter_map(|(holds, text)| holds.then_some(text))
    }

    /// Whether there is any.
    #[must_use]
    pub const fn holds(self) -> bool {
        self.start || self.gap || self.rate || self.clock || self.health || self.overload
    }

    /// The reasons of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            start: self.start || other.start,
            gap: self.gap || other.gap,
            rate: self.rate || other.rate,
            clock: self.clock || other.clock,
            health: self.health || other.health,
            overload: self.overload || other.overload,
        }
    }
}

/// Speeds of what crossed, and the time between one and the next.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpeedTally {
    count: u32,
    sum: f64,
    inverse_sum: f64,
}

/// Slower than this nothing crosses; and its inverse has no meaning.
const LEAST_SPEED: f64 = 0.1;

impl SpeedTally {
    fn add(&mut self, speed: f64) {
        if speed >= LEAST_SPEED {
            self.count += 1;
            self.sum += speed;
            self.inverse_sum += 1.0 / speed;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.inverse_sum += other.inverse_sum;
    }

    /// Arithmetic mean in metres per second.
    #[must_use]
    pub fn time_mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }

    /// Harmonic mean in metres per second: for density = flow / speed.
    #[must_use]
    pub fn space_mean(&self) -> Option<f64> {
        (self.count > 0).then(|| f64::from(self.count) / self.inverse_sum)
    }
}

/// Times from one front to the next at most.
const MAX_HEADWAYS: usize = 1024;

/// Counts of one line in one direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DirectionTally {
    /// By class.
    pub counts: Vec<u32>,
    /// Speeds of what crossed.
    pub speeds: SpeedTally,
    /// Seconds from one front to the next.
    pub headways: Vec<f32>,
    /// Sum of seconds from one rear to the next front, and how many.
    pub gaps: (f64, u32),
}

impl DirectionTally {
    /// All classes together.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// The middle one of the headways, and the share of those below 2 s.
    #[must_use]
    pub fn headway(&self) -> Option<(f64, f64)> {
        let mut sorted = self.headways.clone();
        sorted.sort_by(f32::total_cmp);
        let median = *sorted.get(sorted.len() / 2)?;
        let short = sorted.iter().filter(|&&seconds| seconds < 2.0).count();
        #[expect(clippy::cast_precision_loss, reason = "at most 1024")]
        let share = short as f64 / sorted.len() as f64;
        Some((f64::from(median), share))
    }

    /// Mean seconds from one rear to the next front.
    #[must_use]
    pub fn mean_gap(&self) -> Option<f64> {
        (self.gaps.1 > 0).then(|| self.gaps.0 / f64::from(self.gaps.1))
    }
}

/// Counts of one line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LineTally {
    /// From left to right.
    pub forward: DirectionTally,
    /// From right to left.
    pub backward: DirectionTally,
    /// Objects that were lost before it or found beyond it: what may be missing of both counts.
    pub unresolved: u32,
}

impl LineTally {
    /// One of its directions.
    #[must_use]
    pub const fn direction(&self, forward: bool) -> &DirectionTally {
        if forward { &self.forward } else { &self.backward }
    }

    pub(crate) const fn direction_mut(&mut self, forward: bool) -> &mut DirectionTally {
        if forward { &mut self.forward } else { &mut self.backward }
    }

    /// Speeds of both directions together.
    #[must_use]
    pub fn speeds(&self) -> SpeedTally {
        let mut both = self.forward.speeds.clone();
        both.merge(&self.backward.speeds);
        both
    }
}

/// Measures of one zone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ZoneTally {
    /// Objects that entered.
    pub entered: u32,
    /// Seconds in which something was in it.
    pub occupied: f64,
    /// Objects times seconds, and of those that wait.
    pub present: f64,
    /// See `present`.
    pub waiting: f64,
    /// Sum of speeds times seconds, and their seconds.
    pub speed: (f64, f64),
    /// The most that waited at a time.
    pub queue_max: u32,
    /// The longest queue in metres.
    pub queue_metres_max: f64,
    /// How many waited when it ended.
    pub queue_end: u32,
}

impl ZoneTally {
    /// What it held between two frames that lie `seconds` apart.
    pub(crate) fn add(&mut self, before: &ZoneNow, after: &ZoneNow, seconds: f64) {
        let part = |a: f64, b: f64| f64::midpoint(a, b) * seconds;
        self.occupied += part(f64::from(u8::from(before.occupied)), f64::from(u8::from(after.occupied)));
        self.present += part(before.present, after.present);
        self.waiting += part(before.waiting, after.waiting);
        self.speed.0 += part(before.speeds.0, after.speeds.0);
        self.speed.1 += part(before.speeds.1, after.speeds.1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of tracks")]
        let waiting = after.waiting as u32;
        self.queue_max = self.queue_max.max(waiting);
        self.queue_metres_max = self.queue_metres_max.max(after.metres);
        self.queue_end = waiting;
    }
}

/// All that is counted in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneInterval {
    /// Its start, a multiple of its length since 1970.
    pub from: UtcMillis,
    /// Seconds of it that were observed.
    pub observed: f64,
    /// Frames that were judged.
    pub frames: u32,
    /// Frames that came and were not judged.
    pub skipped: u32,
    /// Why it says less than all.
    pub partial: Partial,
    /// Counts of the lines, in their order.
    pub lines: Vec<LineTally>,
    /// Measures of the zones, in their order.
    pub zones: Vec<ZoneTally>,
    /// Trips by origin, then by destination.
    pub trips: Vec<u32>,
}

impl SceneInterval {
    pub(crate) fn new(settings: &SceneSettings, from: UtcMillis) -> Self {
        let classes = settings.classes.len();
        let direction = || DirectionTally { counts: vec![0; classes], ..DirectionTally::default() };
        let line = || LineTally { forward: direction(), backward: direction(), unresolved: 0 };
        Self {
            from,
            observed: 0.0,
            frames: 0,
            skipped: 0,
            partial: Partial::default(),
            lines: settings.lines.iter().map(|_| line()).collect(),
            zones: settings.zones.iter().map(|_| ZoneTally::default()).collect(),
            trips: vec![0; settings.arms.len() * settings.arms.len()],
        }
    }

    /// Whether a saved one belongs to these settings.
    pub(crate) fn fits(&self, settings: &SceneSettings) -> bool {
        let classes = settings.classes.len();
        let fits = |line: &LineTally| {
            [&line.forward, &line.backward].iter().all(|way| {
                let sums = [way.speeds.sum, way.speeds.inverse_sum, way.gaps.0];
                way.counts.len() == classes
                    && way.headways.len() <= MAX_HEADWAYS
                    && sums.iter().all(|sum| sum.is_finite())
            })
        };
        self.lines.len() == settings.lines.len()
            && self.zones.len() == settings.zones.len()
            && self.trips.len() == settings.arms.len() * settings.arms.len()
            && self.observed.is_finite()
            && self.lines.iter().all(fits)
    }

    pub(crate) fn count(&mut self, line: usize, forward: bool, class: usize, speed: Option<f64>) {
        let tally = self.lines[line].direction_mut(forward);
        tally.counts[class] += 1;
        if let Some(speed) = speed {
            tally.speeds.add(speed);
        }
    }

    pub(crate) fn add_headway(&mut self, line: usize, forward: bool, seconds: f64, gap: Option<f64>) {
        let tally = self.lines[line].direction_mut(forward);
        if tally.headways.len() < MAX_HEADWAYS {
            #[expect(clippy::cast_possible_truncation, reason = "seconds within some minutes")]
            tally.headways.push(seconds as f32);
        }
        if let Some(gap) = gap {
            tally.gaps = (tally.gaps.0 + gap.max(0.0), tally.gaps.1 + 1);
        }
    }

    /// These seconds of it were not observed, as is known now. Means stay what they are.
    pub(crate) fn doubt(&mut self, seconds: f64) {
        self.partial.health = true;
        let left = (self.observed - seconds).max(0.0);
        let share = if self.observed > 0.0 { left / self.observed } else { 0.0 };
        self.observed = left;
        for zone in &mut self.zones {
            for sum in [
                &mut zone.occupied,
                &mut zone.present,
                &mut zone.waiting,
                &mut zone.speed.0,
                &mut zone.speed.1,
            ] {
                *sum *= share;
            }
        }
    }

    /// Mean of something that was summed over the observed time; `None` where nothing was observed.
    #[must_use]
    pub fn mean(&self, sum: f64) -> Option<f64> {
        (self.observed > 0.0).then(|| sum / self.observed)
    }

    /// Adds another interval of the same scene.
    pub fn merge(&mut self, other: &Self) {
        self.observed += other.observed;
        self.frames += other.frames;
        self.skipped += other.skipped;
        self.partial = self.partial.or(other.partial);
        for (own, other) in self.lines.iter_mut().zip(&other.lines) {
            own.unresolved += other.unresolved;
            for forward in [true, false] {
                let (own, other) = (own.direction_mut(forward), other.direction(forward));
                own.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
                own.speeds.merge(&other.speeds);
                let room = MAX_HEADWAYS - own.headways.len();
                own.headways.extend(other.headways.iter().take(room));
                own.gaps = (own.gaps.0 + other.gaps.0, own.gaps.1 + other.gaps.1);
            }
        }
        for (own, other) in self.zones.iter_mut().zip(&other.zones) {
            own.entered += other.entered;
            own.occupied += other.occupied;
            own.present += other.present;
            own.waiting += other.waiting;
            own.speed = (own.speed.0 + other.speed.0, own.speed.1 + other.speed.1);
            own.queue_max = own.queue_max.max(other.queue_max);
            own.queue_metres_max = own.queue_metres_max.max(other.queue_metres_max);
            own.queue_end = other.queue_end;
        }
        self.trips.iter_mut().zip(&other.trips).for_each(|(own, other)| *own += other);
    }
}
