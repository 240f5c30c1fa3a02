//! How far a statistic of blocks went, and whether it went further and stays there.

use verge_domain::finding::Standing;

use super::sample::Circumstances;
use serde::{Deserialize, Serialize};

/// Blocks that must agree: what lasts is the least of this many in a row.
const RING: usize = 4;

/// Evaluations before there is a limit.
const READY: u32 = 32;

/// The past is forgotten by epochs of this many evaluations that last a week at least: one whole and the present one are
/// remembered.
const EPOCH: u16 = 512;

/// Far below every logarithm of a finite number.
pub(super) const NOTHING: f64 = -4096.0;

/// The history of a statistic that is bad where it is great, in octaves. All its numbers are logarithms of
/// finite numbers, or [`NOTHING`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HealthRecord {
    ring: [f64; RING],
    next: u8,
    filled: u8,
    /// Greatest of this epoch and of the one before.
    now: f64,
    before: f64,
    /// The newest one, not yet learnt: a change that spreads over two blocks must not teach its beginning.
    pending: f64,
    /// How far the episode before went. A second one like it is learnt.
    excused: f64,
    /// How far this episode went.
    peak: f64,
    known: u32,
    in_epoch: u16,
    streak: u16,
    standing: Standing,
    /// How far it stands above the greatest known.
    excess: f64,
    /// The week in which this epoch began. Saved beside the rest: earlier versions did not know it.
    #[serde(skip)]
    pub(super) week: u16,
}

impl Default for HealthRecord {
    fn default() -> Self {
        Self {
            ring: [0.0; RING],
            next: 0,
            filled: 0,
            now: NOTHING,
            before: NOTHING,
            pending: NOTHING,
            excused: NOTHING,
            peak: NOTHING,
            known: 0,
            in_epoch: 0,
            streak: 0,
            standing: Standing::Normal,
            excess: 0.0,
            week: 0,
        }
    }
}

impl HealthRecord {
    /// Where it stands and how many octaves above the greatest known, once it knows enough.
    pub(super) fn reported(&self) -> Option<(Standing, f64)> {
        (self.known > READY).then_some((self.standing, self.excess.clamp(-1000.0, 1000.0)))
    }

    /// The newest statistic that lasts, and the greatest that was usual.
    pub(super) fn lasting(&self) -> (f64, f64) {
        let lasting = self.ring.iter().copied().fold(f64::MAX, f64::min);
        (lasting, lasting - self.excess)
    }

    /// A block of which nothing can be said.
    pub(super) fn pass_over(&mut self) {
        self.filled = 0;
        self.streak = 0;
    }

    /// Takes in the statistic of a block. More than `octaves` above the greatest known (at least `floor`) is
    /// abnormal, once it was so for as long as the patience says. `elsewhere` says that the signal is at a level that it
    /// was not at before: what is usual there is learnt.
    pub(super) fn enter(
        &mut self,
        statistic: f64,
        (octaves, floor): (f64, f64),
        elsewhere: bool,
        around: Circumstances,
    ) {
        self.ring[usize::from(self.next) % RING] = statistic;
        self.next = (self.next % RING as u8 + 1) % RING as u8;
        self.filled = self.filled.saturating_add(1).min(RING as u8);
        if usize::from(self.filled) < RING {
            return;
        }
        let (lasting, _) = self.lasting();
        self.known = self.known.saturating_add(1);
        self.excess = lasting - self.now.max(self.before).max(floor);
        if self.known <= READY || elsewhere {
            self.learn(lasting, around.week);
            (self.streak, self.peak, self.pending) = (0, NOTHING, NOTHING);
            if self.standing == Standing::Abnormal {
                self.standing = Standing::Margin;
            }
            return;
        }
        if self.excess > octaves {
            self.streak = self.streak.saturating_add(1);
            self.pending = NOTHING;
            self.peak = self.peak.max(lasting);
            if self.standing != Standing::Abnormal {
                self.standing =
                    if self.streak >= around.blocks { Standing::Abnormal } else { Standing::Margin };
            }
            return;
        }
        self.streak = 0;
        let within = self.excess <= octaves / 2.0;
        if self.peak > NOTHING {
            if !within {
                self.standing = Standing::Margin;
                return;
            }
            // What was raised for the record alone is learnt at once.
            let learnt = if around.young { self.peak } else { self.peak.min(self.excused) };
            self.excused = self.peak;
            self.peak = NOTHING;
            self.learn(learnt, around.week);
        }
        self.standing = if within { Standing::Normal } else { Standing::Margin };
        self.learn(self.pending, around.week);
        self.pending = lasting;
    }

    fn learn(&mut self, statistic: f64, week: u16) {
        self.now = self.now.max(statistic);
        self.in_epoch = self.in_epoch.saturating_add(1);
        if self.in_epoch >= EPOCH && week != self.week {
            self.week = week;
            self.before = self.now;
            self.now = NOTHING;
            self.in_epoch = 0;
        }
    }
}
