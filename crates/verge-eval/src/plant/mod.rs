//! A plant of forty ordinary tags that is simulated from a seed, nine faults that are known, and how the alarms of a
//! gateway stand to them.
//!
//! Reading order: [`process`] (what goes on in the plant; `plain`: in another), [`tags`] (what its sensors report of it), [`faults`] (what
//! goes wrong with them), [`score`] (alarms against the faults).

pub mod faults;
mod plain;
pub mod process;
pub mod score;
pub mod tags;

use std::ops::RangeInclusive;

use fastrand::Rng;

use faults::PlantFault;
use plain::PlainProcess;
use process::PlantProcess;
use tags::TAGS;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;
/// 2026-11-02T08:00:00Z, a Monday: somebody switches the gateway on in the morning.
const MONDAY_S: i64 = 1_793_606_400;

verge_domain::words! {
    /// How long a plant is watched, and how often its tags are read.
    pub enum PlantRun {
        /// Three weeks at a reading a minute.
        Minutes = "minutes",
        /// One day at a reading a second.
        Seconds = "seconds",
    }
}

impl PlantRun {
    /// Seconds between two readings of a tag.
    #[must_use]
    pub const fn interval_s(self) -> i64 {
        match self {
            Self::Minutes => 60,
            Self::Seconds => 1,
        }
    }

    /// Days that are watched.
    #[must_use]
    pub const fn days(self) -> i64 {
        match self {
            Self::Minutes => 21,
            Self::Seconds => 1,
        }
    }
}

/// Which sensors a plant has, and how it works: no rule may fit one of them alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlantVariety {
    /// Steps about as large as the noise; what stands reports nothing.
    #[default]
    Usual,
    /// Steps four times as large and little noise; what stands reports a small number.
    Coarse,
    /// Steps much smaller than the noise, at rest too.
    Fine,
    /// Values that are cut off at the ends of their ranges.
    Clamped,
    /// The usual sensors; the line stands from Saturday afternoon to Monday morning.
    Weekends,
    /// Another plant altogether, see `plain`.
    Plain,
}

impl PlantVariety {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Usual, Self::Coarse, Self::Fine, Self::Clamped, Self::Weekends, Self::Plain];

    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Coarse => "coarse",
            Self::Fine => "fine",
            Self::Clamped => "clamped",
            Self::Weekends => "weekends",
            Self::Plain => "plain",
        }
    }

    /// How many times the usual noise its sensors have.
    const fn noise(self) -> f64 {
        match self {
            Self::Usual | Self::Fine | Self::Clamped | Self::Weekends | Self::Plain => 1.0,
            Self::Coarse => 0.4,
        }
    }
}

/// A reading of a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlantReading {
    /// Its position in [`TAGS`].
    pub tag: usize,
    /// When it arrives, in UTC milliseconds.
    pub at_ms: i64,
    /// What the sensor reports.
    pub value: f64,
}

/// A plant at work.
#[derive(Debug)]
pub struct Plant {
    run: PlantRun,
    variety: PlantVariety,
    begin_s: i64,
    process: PlantProcess,
    plain: Option<PlainProcess>,
    faults: Vec<PlantFault>,
    rng: Rng,
    step: i64,
    /// What each tag reported last.
    last: [f64; TAGS.len()],
}

/// Part of the readings that never arrive.
const LOST: f64 = 0.0005;
/// Milliseconds from the reading of one tag to that of the next, at least and at most.
const STAGGER_MS: RangeInclusive<i64> = 4..=16;

impl Plant {
    /// A plant that runs from the begin to the end of what is watched. The same seed gives the same readings.
    #[must_use]
    pub fn new(seed: u64, run: PlantRun) -> Self {
        Self::of(seed, run, PlantVariety::Usual)
    }

    /// The same of another variety.
    #[must_use]
    pub fn of(seed: u64, run: PlantRun, variety: PlantVariety) -> Self {
        let mut rng = Rng::with_seed(seed);
        let begin_s = MONDAY_S + DAY_S * rng.i64(0..4);
        let process = PlantProcess::new(rng.u64(..), begin_s, run, variety);
        let faults = faults::nine(&mut rng, begin_s, run);
        let is_plain = variety == PlantVariety::Plain;
        let plain = is_plain.then(|| PlainProcess::new(rng.u64(..), begin_s, run.interval_s()));
        Self { run, variety, begin_s, process, plain, faults, rng, step: 0, last: [0.0; TAGS.len()] }
    }

    /// When its first readings come, in UTC seconds.
    #[must_use]
    pub const fn begin_s(&self) -> i64 {
        self.begin_s
    }

    /// What goes wrong, in the order of time.
    #[must_use]
    pub fn faults(&self) -> &[PlantFault] {
        &self.faults
    }

    /// Lets time pass until the tags are read again, and puts their readings into `out`, in the order of time. Says when
    /// that is, in UTC seconds; `None` once all is over.
    pub fn read(&mut self, out: &mut Vec<PlantReading>) -> Option<i64> {
        out.clear();
        let (interval_s, begin_s) = (self.run.interval_s(), self.begin_s);
        if self.step >= self.run.days() * DAY_S / interval_s {
            return None;
        }
        let now_s = begin_s + self.step * interval_s;
        self.step += 1;
        match &mut self.plain {
            Some(plain) => plain.advance(now_s),
            None => self.process.advance(now_s),
        }
        let mut at_ms = now_s * 1000;
        for (index, tag) in TAGS.iter().enumerate() {
            at_ms += self.rng.i64(STAGGER_MS);
            let mut value = match &mut self.plain {
                Some(plain) => plain.value(index),
                None => (tag.value)(&self.process) + self.variety.noise() * tag.noise * normal(&mut self.rng),
            };
            let mut lost = self.rng.f64() < LOST;
            for fault in self.faults.iter().filter(|fault| fault.tag == index) {
                match fault.distort(now_s, value, self.last[index]) {
                    Some(distorted) => value = distorted,
                    None => lost = true,
                }
            }
            // What is stuck is reported as it was.
            let is_as_before = value.to_bits() == self.last[index].to_bits();
            let value = if is_as_before { value } else { tag.quantise(value, self.variety) };
            if !lost {
                self.last[index] = value;
                out.push(PlantReading { tag: index, at_ms, value });
            }
        }
        Some(now_s)
    }
}

/// A number of the standard normal distribution (Box and Muller 1958).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests;
