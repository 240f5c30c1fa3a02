//! The range that a signal kept to for a week and more, a day ago: what leaves it for long is strange, however slowly it
//! goes and however much the signal moves within.
//!
//! Running means follow a drift, and the range of yesterday evening holds the drift of yesterday. So extremes enter the
//! range a while after they were observed, in blocks of the signal's own time, and leave it after four budgets' time.

use serde::{Deserialize, Serialize};

/// Blocks in the time after which extremes enter the range: a day for "1/week".
pub(super) const LAG: usize = 8;
/// Blocks before the range is known: a whole budget's time and the lag, a week and a day.
const KNOWN: u32 = 8 * LAG as u32;
/// Times the lag that are remembered.
const REMEMBERED: usize = 28;

/// Lowest and highest value.
type Extremes = (f64, f64);

const NOTHING: Extremes = (f64::INFINITY, f64::NEG_INFINITY);

fn joined(one: Extremes, other: Extremes) -> Extremes {
    (one.0.min(other.0), one.1.max(other.1))
}

/// What a signal has kept to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KnownRange {
    block: i64,
    blocks: u32,
    now: Extremes,
    /// Blocks that are too young to count, the oldest first.
    young: Vec<Extremes>,
    /// Spans of [`LAG`] blocks each, and the one that is being filled.
    spans: Vec<Extremes>,
    filling: Extremes,
    filled: u8,
    range: Extremes,
}

impl Default for KnownRange {
    fn default() -> Self {
        Self {
            block: i64::MIN,
            blocks: 0,
            now: NOTHING,
            young: Vec::new(),
            spans: Vec::new(),
            filling: NOTHING,
            filled: 0,
            range: NOTHING,
        }
    }
}

impl KnownRange {
    /// How far outside a value lies, in widths of the range, which is taken to be `floor` wide at least; zero inside, and
    /// while the range is not known.
    pub(super) fn outside(&mut self, block: i64, value: f64, floor: f64) -> f64 {
        if block != self.block {
            self.end_block(block);
        }
        let (low, high) = self.range;
        let width = (high - low).max(floor);
        if self.blocks < KNOWN || !(width > 0.0 && width.is_finite()) {
            return 0.0;
        }
        ((value - high).max(low - value) / width).max(0.0)
    }

    /// The range, widened at both ends.
    pub(super) fn widened(&self, widths: f64, floor: f64) -> Extremes {
        let (low, high) = self.range;
        let beyond = widths * (high - low).max(floor);
        (low - beyond, high + beyond)
    }

    /// Learns a value.
    pub(super) fn note(&mut self, value: f64) {
        self.now = joined(self.now, (value, value));
    }

    fn end_block(&mut self, block: i64) {
        self.block = block;
        if self.now == NOTHING {
            return;
        }
        self.blocks = self.blocks.saturating_add(1);
        self.young.push(std::mem::replace(&mut self.now, NOTHING));
        if self.young.len() <= LAG {
            return;
        }
        let entering = self.young.remove(0);
        self.filling = joined(self.filling, entering);
        self.filled += 1;
        if usize::from(self.filled) >= LAG {
            if self.spans.len() >= REMEMBERED {
                self.spans.remove(0);
            }
            self.spans.push(std::mem::replace(&mut self.filling, NOTHING));
            self.filled = 0;
        }
        self.range = self.spans.iter().copied().fold(self.filling, joined);
    }

    pub(super) fn is_sound(&self) -> bool {
        let parts = self.young.iter().chain(&self.spans).chain([&self.now, &self.filling, &self.range]);
        self.young.len() <= LAG
            && self.spans.len() <= REMEMBERED
            && usize::from(self.filled) < LAG
            && parts.into_iter().all(|(low, high)| !low.is_nan() && !high.is_nan())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.young.capacity() + self.spans.capacity()) * size_of::<Extremes>()
    }
}
