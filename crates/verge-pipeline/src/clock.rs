//! Where time and random identities come from.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use verge_domain::id::EventId;
use verge_domain::time::{Moment, Monotonic, UtcMillis};

/// The two clocks of this process. Copies agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// What the wall clock read at the start, where it is made up.
    wall: Option<UtcMillis>,
}

impl Clock {
    /// A clock whose monotonic part counts from now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), wall: None }
    }

    /// The same with a wall clock that reads `wall` now, whatever the system says: for tests, where a day must end.
    #[must_use]
    pub fn start_at(wall: UtcMillis) -> Self {
        Self { start: Instant::now(), wall: Some(wall) }
    }

    /// Both clocks, read now.
    #[must_use]
    pub fn now(self) -> Moment {
        let mono = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(wall) = self.wall {
            let elapsed = i64::try_from(mono / 1000).unwrap_or(i64::MAX);
            return Moment { wall: UtcMillis(wall.0.saturating_add(elapsed)), mono: Monotonic(mono) };
        }
        // A clock before 1970 (no battery) reads as a negative time, and is then flagged, not refused.
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        Moment { wall: UtcMillis(wall), mono: Monotonic(mono) }
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
