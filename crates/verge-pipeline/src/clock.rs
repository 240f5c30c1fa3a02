//! Where time and random identities come from.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use verge_domain::id::EventId;
use verge_domain::time::{Moment, Monotonic, UtcMillis};

/// 2026-01-01T00:00:00Z. A wall clock that reads an earlier time was never set: no program of this kind is older.
const EARLIEST: UtcMillis = UtcMillis(1_767_225_600_000);
/// A known time beyond this is not trusted: it may come from a clock that was wrong.
const LATEST: UtcMillis = UtcMillis(EARLIEST.0 + 30 * 366 * 86_400_000);

/// A wall clock that moves by this more or less than the monotonic one between two checks has stepped.
const STEP_MS: u64 = 2_000;

/// The two clocks of this process. Copies agree with each other.
///
/// A wall clock that was never set (a board without a battery starts in 1970) is not trusted: time continues from the
/// newest known time, so that nothing is booked into 1970, until the clock is set.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// The wall clock at the start, where the system's is not set.
    known: UtcMillis,
    /// What the wall clock read at the start, where it is made up.
    wall: Option<UtcMillis>,
}

impl Clock {
    /// A clock whose monotonic part counts from now.
    #[must_use]
    pub fn start() -> Self {
        Self::start_after(None)
    }

    /// The same, where `known` is a time that has passed.
    #[must_use]
    pub fn start_after(known: Option<UtcMillis>) -> Self {
        let known = known.filter(|known| *known <= LATEST).map_or(EARLIEST, |known| known.max(EARLIEST));
        Self { start: Instant::now(), known, wall: None }
    }

    /// The same with a wall clock that reads `wall` now, whatever the system's reads: for tests, where a day must end.
    #[must_use]
    pub fn start_at(wall: UtcMillis) -> Self {
        Self { wall: Some(wall), ..Self::start() }
    }

    /// Both clocks, read now.
    #[must_use]
    pub fn now(self) -> Moment {
        let mono = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = match self.wall {
            None => believed(system_wall(), self.known, mono),
            Some(wall) => later(wall, mono),
        };
        Moment { wall, mono: Monotonic(mono) }
    }

    /// Whether the system's wall clock can have been set.
    #[must_use]
    pub fn is_set(self) -> bool {
        self.wall.is_some() || system_wall() >= EARLIEST
    }
}

/// The time of the system, unless its clock was never set.
fn believed(system: UtcMillis, known: UtcMillis, elapsed_us: u64) -> UtcMillis {
    if system >= EARLIEST { system } else { later(known, elapsed_us) }
}

fn later(wall: UtcMillis, elapsed_us: u64) -> UtcMillis {
    UtcMillis(wall.0.saturating_add_unsigned(elapsed_us / 1000))
}

fn system_wall() -> UtcMillis {
    UtcMillis(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    })
}

/// Checks for steps of the wall clock. Slews are none.
#[derive(Debug, Default)]
pub struct StepWatch {
    before: Option<Moment>,
}

impl StepWatch {
    /// The milliseconds of its step since the last check, if it has stepped.
    pub fn look(&mut self, now: Moment) -> Option<i64> {
        let before = self.before.replace(now)?;
        let passed_ms = u64::try_from(now.mono.since(before.mono).as_millis()).unwrap_or(u64::MAX);
        let step_ms = now.wall.0.saturating_sub(before.wall.0).saturating_sub_unsigned(passed_ms);
        (step_ms.unsigned_abs() >= STEP_MS).then_some(step_ms)
    }
}

/// A random event identity from the operating system.
///
/// # Panics
/// If the operating system has no random numbers, without which nothing in a gateway can be trusted.
#[must_use]
pub fn random_event_id() -> EventId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
    EventId(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_goes_on_from_what_is_known() {
        let known = UtcMillis(EARLIEST.0 + 1_000);
        for system in [i64::MIN, 0, EARLIEST.0 - 1] {
            assert_eq!(believed(UtcMillis(system), known, 2_000_000), UtcMillis(known.0 + 2_000));
        }
        assert_eq!(believed(EARLIEST, known, 2_000_000), EARLIEST);
        for known in [None, Some(UtcMillis(0)), Some(UtcMillis(i64::MAX))] {
            assert_eq!(Clock::start_after(known).known, EARLIEST, "{known:?}");
        }
        assert_eq!(Clock::start_after(Some(known)).known, known);
        assert!(Clock::start().is_set() && Clock::start().now().wall >= EARLIEST);
    }

    #[test]
    fn steps_are_found_and_slews_are_not() {
        let mut watch = StepWatch::default();
        let mut look = |mono_ms: u64, wall_ms: i64| {
            watch.look(Moment { wall: UtcMillis(wall_ms), mono: Monotonic(mono_ms * 1000) })
        };
        assert_eq!(look(500, 0), None);
        assert_eq!(look(1_000, 750), None);
        assert_eq!(look(61_000, 61_000), None);
        assert_eq!(look(61_500, 3_661_500), Some(3_600_000));
        assert_eq!(look(62_000, 62_000), Some(-3_600_000));
        assert_eq!(look(62_500, 62_500), None);
    }
}
