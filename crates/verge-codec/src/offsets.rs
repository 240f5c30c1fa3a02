//! Devices whose clock is wrong by whole hours, halves or quarters: an error in the time zone.
//!
//! Such an offset is constant. The age of a backlog that comes late shrinks, so that time distinguishes it: an offset
//! counts only while it stays within a minute of a multiple of a quarter of an hour, 30 minutes at least, over eight
//! messages that come at least every ten minutes. An offset that is there at once and within 5 s (a clock that is right but
//! for its zone) must last for 10 s; any other, for 5 minutes within 20 s. A device that sends more rarely is not judged:
//! one that stamps its values with the begin of their hour would look the same.

use std::collections::HashMap;
use std::time::Duration;

use verge_domain::id::DeviceId;
use verge_domain::reading::ClockOffset;
use verge_domain::time::{Moment, Monotonic, UtcMillis};

/// Offsets of zones are multiples of this, in milliseconds.
const QUARTER_MS: i64 = 15 * 60_000;
/// The least and the greatest offset looked for.
const LEAST_MS: i64 = 2 * QUARTER_MS;
const GREATEST_MS: i64 = 24 * 3_600_000;
/// This near to a multiple.
const NEAR_MS: i64 = 60_000;
/// This near to it, a clock is right except for its zone.
const EXACT_MS: i64 = 5_000;
/// An offset that has moved further than this from one message to the next has not drifted there.
const JUMP_MS: i64 = 5 * 60_000;
/// Messages that show it, or that show that it is over.
const MESSAGES: u8 = 8;
/// They come within this time of each other.
const LIVE: Duration = Duration::from_secs(600);
/// An exact offset must last this long.
const LASTS: Duration = Duration::from_secs(10);
/// Any other must last this long, within these limits.
const LASTS_STEADY: Duration = Duration::from_secs(300);
const STEADY_MS: i64 = 20_000;
/// Devices watched at most: peers choose names.
const WATCHED: usize = 1024;

/// The devices of one source that may have such a clock; in steady state there are none.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    watched: HashMap<DeviceId, Watch>,
    skewed: usize,
}

#[derive(Debug)]
struct Watch {
    /// Of the freshest reading of the newest message, and when that came.
    newest_ms: i64,
    last_message: Monotonic,
    run: Option<OffsetRun>,
    /// The offset that has shown.
    skewed: Option<i64>,
    /// Messages in a row that had another one.
    astray: u8,
}

/// Messages near one multiple.
#[derive(Debug)]
struct OffsetRun {
    multiple_ms: i64,
    exact: bool,
    since: Monotonic,
    least_ms: i64,
    greatest_ms: i64,
    messages: u8,
}

impl OffsetRun {
    fn begin(multiple_ms: i64, offset_ms: i64, exact: bool, since: Monotonic) -> Self {
        Self { multiple_ms, exact, since, least_ms: offset_ms, greatest_ms: offset_ms, messages: 1 }
    }

    fn has_shown(&self, now: Monotonic) -> bool {
        let lasts = if self.exact { LASTS } else { LASTS_STEADY };
        self.messages >= MESSAGES && now.since(self.since) >= lasts
    }
}

/// The nearest multiple of a quarter of an hour.
fn nearest_ms(offset_ms: i64) -> i64 {
    let half = QUARTER_MS / 2;
    offset_ms.saturating_add(half).div_euclid(QUARTER_MS).saturating_mul(QUARTER_MS)
}

/// The multiple that an offset lies at, if it can be that of a zone.
fn multiple_of(offset_ms: i64) -> Option<i64> {
    let multiple_ms = nearest_ms(offset_ms);
    let is_zone = (LEAST_MS..=GREATEST_MS).contains(&multiple_ms.saturating_abs());
    (is_zone && offset_ms.abs_diff(multiple_ms) <= NEAR_MS.unsigned_abs()).then_some(multiple_ms)
}

impl Watch {
    /// Takes the offset of a message, and says whether the device's has changed.
    fn enter(&mut self, offset_ms: i64, now: Monotonic) -> bool {
        let jumped = offset_ms.abs_diff(self.newest_ms) > JUMP_MS.unsigned_abs();
        let live = now.since(self.last_message) <= LIVE;
        self.newest_ms = offset_ms;
        self.last_message = now;
        self.go_on(offset_ms, jumped, live, now);
        if let Some(run) = &self.run
            && run.has_shown(now)
        {
            self.astray = 0;
            let changed = self.skewed != Some(run.multiple_ms);
            self.skewed = Some(run.multiple_ms);
            return changed;
        }
        if self.skewed == Some(nearest_ms(offset_ms)) {
            self.astray = 0;
        } else if self.skewed.is_some() {
            self.astray = self.astray.saturating_add(1);
            if self.astray >= MESSAGES {
                self.skewed = None;
                return true;
            }
        }
        false
    }

    fn go_on(&mut self, offset_ms: i64, jumped: bool, live: bool, now: Monotonic) {
        let Some(multiple_ms) = multiple_of(offset_ms) else {
            self.run = None;
            return;
        };
        if let Some(run) = &mut self.run
            && run.multiple_ms == multiple_ms
            && live
        {
            run.least_ms = run.least_ms.min(offset_ms);
            run.greatest_ms = run.greatest_ms.max(offset_ms);
            if run.exact || run.greatest_ms.abs_diff(run.least_ms) <= STEADY_MS.unsigned_abs() {
                run.messages = run.messages.saturating_add(1);
                return;
            }
        }
        let exact = jumped && offset_ms.abs_diff(multiple_ms) <= EXACT_MS.unsigned_abs();
        self.run = Some(OffsetRun::begin(multiple_ms, offset_ms, exact, now));
    }
}

impl Offsets {
    /// Takes a reading's time. Of the readings of one message the freshest counts.
    pub(crate) fn observe(
        &mut self,
        device: &DeviceId,
        captured: Option<UtcMillis>,
        received: Moment,
        changes: &mut Vec<ClockOffset>,
    ) {
        let Some(captured) = captured else { return };
        let offset_ms = captured.0.saturating_sub(received.wall.0);
        let right = offset_ms.saturating_abs() < QUARTER_MS;
        if right && self.watched.is_empty() {
            return;
        }
        if right {
            if self.watched.remove(device).is_some_and(|watch| watch.skewed.is_some()) {
                self.skewed = self.skewed.saturating_sub(1);
                changes.push(ClockOffset { device: device.clone(), offset_ms: None });
            }
            return;
        }
        let Some(watch) = self.watched.get_mut(device) else {
            self.watch(device, offset_ms, received.mono);
            return;
        };
        if watch.last_message == received.mono && offset_ms <= watch.newest_ms {
            return;
        }
        let was = watch.skewed.is_some();
        if watch.enter(offset_ms, received.mono) {
            changes.push(ClockOffset { device: device.clone(), offset_ms: watch.skewed });
            match (was, watch.skewed.is_some()) {
                (false, true) => self.skewed = self.skewed.saturating_add(1),
                (true, false) => self.skewed = self.skewed.saturating_sub(1),
                (true, true) | (false, false) => {}
            }
        }
    }

    fn watch(&mut self, device: &DeviceId, offset_ms: i64, now: Monotonic) {
        if self.watched.len() >= WATCHED {
            self.watched.retain(|_, watch| watch.skewed.is_some());
        }
        if self.watched.len() < WATCHED {
            let run = multiple_of(offset_ms).map(|multiple_ms| {
                let exact = offset_ms.abs_diff(multiple_ms) <= EXACT_MS.unsigned_abs();
                OffsetRun::begin(multiple_ms, offset_ms, exact, now)
            });
            let watch = Watch { newest_ms: offset_ms, last_message: now, run, skewed: None, astray: 0 };
            self.watched.insert(device.clone(), watch);
        }
    }

    /// Whether any device has such a clock.
    pub(crate) fn any(&self) -> bool {
        self.skewed > 0
    }

    /// Whether this one has.
    pub(crate) fn has(&self, device: &DeviceId) -> bool {
        self.watched.get(device).is_some_and(|watch| watch.skewed.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;

    /// What is reported of one device, from pairs of receipt (s since the start) and offset (s).
    fn run(messages: impl IntoIterator<Item = (i64, i64)>) -> Vec<(i64, Option<i64>)> {
        let device = DeviceId::new("d").unwrap();
        let (mut offsets, mut reported) = (Offsets::default(), Vec::new());
        for (at, offset) in messages {
            let after =
                |start: i64, seconds: i64| UtcMillis(start.saturating_add(seconds.saturating_mul(1000)));
            let received = Moment::from_wall(after(START, at));
            let mut changes = Vec::new();
            offsets.observe(&device, Some(after(received.wall.0, offset)), received, &mut changes);
            reported.extend(changes.into_iter().map(|change| (at, change.offset_ms.map(|ms| ms / 60_000))));
            assert_eq!(offsets.any(), offsets.has(&device));
        }
        reported
    }

    #[test]
    fn a_constant_offset_of_a_zone_is_reported_once() {
        for minutes in [-1440, -300, -285, -30, 30, 60, 345, 570, 840] {
            // Latency of some seconds.
            let live = (0..200).map(|at| (at, minutes * 60 - at % 4));
            assert_eq!(run(live), [(10, Some(minutes))], "{minutes}");
            // A clock that is half a minute wrong besides.
            let sloppy = (0..100).map(|at| (at * 10, minutes * 60 - 40 + at % 4));
            assert_eq!(run(sloppy), [(300, Some(minutes))], "{minutes}");
        }
        for minutes in [0, 15, -15, 20, -50, 303, -1470, 3000] {
            assert_eq!(run((0..2000).map(|at| (at, minutes * 60))), [], "{minutes}");
        }
    }

    #[test]
    fn a_backlog_is_not_taken_for_it() {
        // An age that begins anywhere and shrinks to nothing, by `shrinks` seconds with each second.
        for shrinks in [1, 2, 5, 9, 60, 600] {
            for begins in (1_000..30_000).step_by(333) {
                let backlog = (0..begins / shrinks).map(|at| (at, at * shrinks - begins));
                let reported = run(backlog);
                assert!(
                    reported.is_empty() || begins % 900 <= 5 || begins % 900 >= 895,
                    "{begins} {reported:?}"
                );
            }
        }
        // All at once.
        assert_eq!(run((0..7200).map(|at| (0, at - 7200))), []);
        // Values of the hour before, stamped with its begin.
        assert_eq!(run((0..100).map(|hour| (hour * 3600, -3600))), []);
        // Values of every quarter of an hour, late.
        assert_eq!(run((0..80).map(|at| (at, (at - 80) * 900))), []);
    }

    #[test]
    fn a_clock_that_is_set_right_or_otherwise_is_followed() {
        let set = |after: i64| (0..100).map(move |at| (at, if at < 50 { -18_000 } else { after }));
        assert_eq!(run(set(0)), [(10, Some(-300)), (50, None)]);
        assert_eq!(run(set(3600)), [(10, Some(-300)), (57, None), (60, Some(60))]);
        assert_eq!(run(set(-400)), [(10, Some(-300)), (50, None)]);
        // A few late messages change nothing.
        let late = (0..400).map(|at| (at, if (50..55).contains(&at) { -18_900 } else { -18_000 }));
        assert_eq!(run(late), [(10, Some(-300))]);
    }

    #[test]
    fn devices_are_watched_up_to_a_bound() {
        let mut offsets = Offsets::default();
        let received = |at: i64| Moment::from_wall(UtcMillis(START + at * 1000));
        let mut changes = Vec::new();
        let good = DeviceId::new("zone").unwrap();
        for at in 0..20 {
            offsets.observe(&good, Some(UtcMillis(START + (at - 3600) * 1000)), received(at), &mut changes);
        }
        for number in 0..3000 {
            let device = DeviceId::new(&format!("d{number}")).unwrap();
            offsets.observe(&device, Some(UtcMillis(0)), received(20), &mut changes);
            assert!(offsets.watched.len() <= WATCHED);
        }
        assert!(offsets.has(&good));
        assert_eq!(changes, [ClockOffset { device: good, offset_ms: Some(-3_600_000) }]);
    }
}
