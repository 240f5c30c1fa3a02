//! What a link may send on one day. Pure.
//!
//! Days are UTC days of the wall clock. That clock may step, and each new day gives a new budget: so a day is opened
//! at most once in twelve hours of a clock that does not step. Only bytes of payloads count; topics, headers and TLS
//! come on top (a few per cent of a full batch).

use std::time::Duration;

use verge_domain::id::Lane;
use verge_domain::stage::SentBytes;
use verge_domain::time::{Moment, Monotonic};

const DAY_MS: i64 = 86_400_000;
/// A day lasts at least this long, whatever the wall clock reads.
const SHORTEST_DAY: Duration = Duration::from_secs(12 * 3600);
/// Where a lane waits for the next day, the clock is read at least this often: it may step.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The account of one link.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Option<u64>,
    day: i64,
    bytes: u64,
    /// When a day was last opened after one on which something had been sent.
    opened: Option<Monotonic>,
    started: Monotonic,
    /// Lanes with a message that did not fit into what was left.
    exhausted: [bool; 3],
}

impl Budget {
    /// An unlimited account where `limit` is `None`. `sent` is what the store has kept of it.
    pub(super) fn new(limit: Option<u64>, sent: Option<&SentBytes>, now: Moment) -> Self {
        let mut budget = Self {
            limit,
            day: sent.map_or_else(|| day_of(now), |sent| sent.day),
            bytes: sent.map_or(0, |sent| sent.bytes),
            opened: None,
            started: now.mono,
            exhausted: [false; 3],
        };
        budget.look(now);
        budget
    }

    /// Checks whether a new day has begun. Returns whether one was opened.
    pub(super) fn look(&mut self, now: Moment) -> bool {
        let today = day_of(now);
        // A clock that is behind the present day has yet to be set, or was set back.
        let since = if today < self.day { self.opened.or(Some(self.started)) } else { self.opened };
        let long_enough = since.is_none_or(|since| since.after(SHORTEST_DAY) <= now.mono);
        if today == self.day || !long_enough {
            return false;
        }
        if self.bytes > 0 {
            self.opened = Some(now.mono);
        }
        self.day = today;
        self.bytes = 0;
        self.exhausted = [false; 3];
        true
    }

    /// Whether a lane may send at all today.
    pub(super) fn allows(&self, lane: Lane) -> bool {
        self.share(lane).is_none_or(|share| self.bytes < share && !self.exhausted[lane.index()])
    }

    /// Whether a message of a lane fits into what is left.
    pub(super) fn fits(&self, lane: Lane, bytes: usize) -> bool {
        self.share(lane).is_none_or(|share| self.bytes.saturating_add(bytes as u64) <= share)
    }

    /// Not even one verdict of a lane fits into what is left: the lane waits for the next day.
    pub(super) fn exhaust(&mut self, lane: Lane) {
        self.exhausted[lane.index()] = true;
    }

    /// Records what was sent.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Lanes that wait for the next day.
    pub(super) fn deferred(&self) -> impl Iterator<Item = Lane> + '_ {
        Lane::ALL.into_iter().filter(|&lane| !self.allows(lane))
    }

    /// When to look again, where a lane waits for the next day.
    pub(super) fn wake(&self, now: Moment) -> Option<Duration> {
        self.deferred().next()?;
        let left = DAY_MS - now.wall.0.rem_euclid(DAY_MS);
        Some(LOOK_AGAIN.min(Duration::from_millis(left.unsigned_abs())))
    }

    /// The present day and what was sent on it.
    pub(super) fn sent(&self) -> (i64, u64) {
        (self.day, self.bytes)
    }

    /// Alarms are never deferred; telemetry leaves a fifth to verdicts.
    fn share(&self, lane: Lane) -> Option<u64> {
        match lane {
            Lane::Alarm => None,
            Lane::Verdict => self.limit,
            Lane::Telemetry => self.limit.map(|limit| limit - limit / 5),
        }
    }
}

fn day_of(now: Moment) -> i64 {
    now.wall.0.div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use verge_domain::id::LinkId;
    use verge_domain::time::UtcMillis;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    /// Some day at noon.
    const NOON: i64 = 20_000 * DAY_MS + 12 * HOUR_MS;

    /// The wall clock reads `wall`, and the gateway has run for `hours`.
    fn at(wall: i64, hours: f64) -> Moment {
        let mono = Duration::from_secs_f64(hours * 3600.0).as_micros();
        Moment { wall: UtcMillis(wall), mono: Monotonic(u64::try_from(mono).unwrap()) }
    }

    fn sent(day: i64, bytes: u64) -> SentBytes {
        SentBytes { link: LinkId::new("l").unwrap(), day, bytes }
    }

    #[test]
    fn telemetry_stops_at_four_fifths_verdicts_at_all_and_alarms_never() {
        let mut budget = Budget::new(Some(1000), None, at(NOON, 0.0));
        let may = |budget: &Budget| Lane::ALL.map(|lane| budget.allows(lane));
        budget.spend(799);
        assert_eq!(may(&budget), [true, true, true]);
        assert!(budget.fits(Lane::Telemetry, 1) && !budget.fits(Lane::Telemetry, 2));
        budget.exhaust(Lane::Telemetry);
        assert_eq!(may(&budget), [true, true, false]);
        assert!(budget.fits(Lane::Verdict, 201) && !budget.fits(Lane::Verdict, 202));
        budget.exhaust(Lane::Verdict);
        assert_eq!(budget.deferred().collect::<Vec<_>>(), [Lane::Verdict, Lane::Telemetry]);
        assert!(budget.fits(Lane::Alarm, 5000));
        budget.spend(5000);
        assert_eq!(may(&budget), [true, false, false]);
        assert_eq!(budget.wake(at(NOON, 0.0)), Some(LOOK_AGAIN));
        assert_eq!(budget.wake(at(NOON + 12 * HOUR_MS - 500, 0.0)), Some(Duration::from_millis(500)));
        let endless = Budget::new(None, Some(&sent(20_000, u64::MAX)), at(NOON, 0.0));
        assert_eq!((may(&endless), endless.wake(at(NOON, 0.0))), ([true; 3], None));
    }

    #[test]
    fn a_new_day_gives_a_new_budget() {
        let mut budget = Budget::new(Some(10), None, at(NOON, 0.0));
        budget.spend(10);
        assert!(!budget.look(at(NOON + 12 * HOUR_MS - 1, 12.0)));
        assert!(budget.look(at(NOON + 12 * HOUR_MS, 12.0)));
        assert_eq!((budget.sent(), budget.allows(Lane::Verdict)), ((20_001, 0), true));
        budget.spend(10);
        assert!(!budget.look(at(NOON + 36 * HOUR_MS - 1, 36.0)));
        assert!(budget.look(at(NOON + 36 * HOUR_MS, 36.0)), "and the next");
    }

    #[test]
    fn it_goes_on_where_it_was_before_a_restart() {
        let mut budget = Budget::new(Some(10), Some(&sent(20_000, 9)), at(NOON, 0.0));
        assert_eq!(budget.sent(), (20_000, 9));
        assert!(budget.look(at(NOON + 12 * HOUR_MS, 0.1)), "midnight soon after a restart");
        let stale = Budget::new(Some(10), Some(&sent(19_999, 9)), at(NOON, 0.0));
        assert_eq!(stale.sent(), (20_000, 0));
    }

    #[test]
    fn a_clock_that_was_not_set_opens_no_day() {
        // Starts in 1970 with what was sent today, then the clock is set.
        let mut budget = Budget::new(Some(10), Some(&sent(20_000, 10)), at(0, 0.0));
        assert!(!budget.allows(Lane::Verdict));
        assert!(!budget.look(at(NOON, 0.1)));
        assert!(!budget.allows(Lane::Verdict));
        // It stays in 1970: days must nevertheless advance.
        let mut lost = Budget::new(Some(10), Some(&sent(20_000, 10)), at(0, 0.0));
        assert!(!lost.look(at(11 * HOUR_MS, 11.9)));
        assert!(lost.look(at(12 * HOUR_MS, 12.0)));
    }

    #[test]
    fn steps_open_a_day_at_most_once_in_twelve_hours() {
        let check = |what: &str, steps: &[i64]| {
            let mut budget = Budget::new(Some(10), None, at(NOON, 0.0));
            budget.spend(10);
            let mut opened = 0;
            for (index, offset) in (0..12 * 360).zip(steps.iter().cycle()) {
                let now = at(NOON + index * 10_000 + offset, index as f64 / 360.0);
                opened += u32::from(budget.look(now));
                budget.spend(1);
            }
            assert!(opened <= 1, "{what}: {opened}");
        };
        let years = 3650 * DAY_MS;
        check("to 1970 and back", &[0, -NOON]);
        check("ten years on and back", &[0, years]);
        check("an hour back each ten seconds", &[0, -HOUR_MS]);
        check("a day each ten seconds", &[0, DAY_MS, 2 * DAY_MS, 3 * DAY_MS, 4 * DAY_MS]);
        // Over midnight and an hour back: the same day is not opened twice.
        let mut budget = Budget::new(Some(10), None, at(NOON, 0.0));
        budget.spend(10);
        assert!(budget.look(at(NOON + 12 * HOUR_MS, 12.0)));
        budget.spend(10);
        assert!(!budget.look(at(NOON + 11 * HOUR_MS, 12.1)));
        assert!(!budget.look(at(NOON + 13 * HOUR_MS, 14.1)));
        assert_eq!(budget.sent(), (20_001, 10));
    }

    #[test]
    fn a_day_without_a_byte_costs_nothing() {
        let mut budget = Budget::new(Some(10), None, at(0, 0.0));
        assert!(budget.look(at(NOON + 11 * HOUR_MS, 0.1)), "the clock is set for the first time");
        budget.spend(10);
        assert!(budget.look(at(NOON + 12 * HOUR_MS, 1.1)), "midnight an hour later");
    }
}
