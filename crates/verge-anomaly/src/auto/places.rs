//! Where a signal stays: what stays where it never did is strange, however slowly it got there and however far the
//! signal moves otherwise.
//!
//! Running means follow a drift, and a range holds all that lies between a machine that runs and one that stands. So
//! places are kept one by one, in cells of the signal's own scale. They count a while after they were met, since
//! yesterday evening holds the drift of yesterday, and for four budgets' time.

use serde::{Deserialize, Serialize};

use super::jumps::Jump;
use super::residual::{RecentValues, median5};
use super::steps::Steps;
use crate::pool::LAG;
use crate::tail::LEAST_P;

/// Blocks before places are known: a whole budget's time and the lag, a week and a day.
const KNOWN: u32 = 8 * LAG as u32;
/// Times the lag that are remembered.
const REMEMBERED: usize = 28;
/// Means of which the middle one says where the signal is…
const MEANS: u8 = 5;
/// …of this number of readings each.
const EACH: u8 = 20;
/// Middles in a row that must be away from all places: some two hours at a reading a minute.
const STAYS: u8 = 6;
/// A signal that is away by the length of all its places is as surprising as this many nats. Measured on eight
/// simulated plants: a third of the length is left about as often as sixteen nats are reached otherwise.
const NATS_PER_LENGTH: f64 = 48.0;
/// Least length of all places, in mean absolute deviations.
const LENGTH_IN_DEVIATIONS: f64 = 2.0;
/// First and least width of a cell, in the same.
const CELL_IN_DEVIATIONS: f64 = 1.0 / 16.0;

/// The probability of a way as long as this part of all places.
pub(super) fn by_length(Jump { from, to, least: length }: Jump) -> f64 {
    (-NATS_PER_LENGTH * (to - from).abs() / length).exp().max(LEAST_P)
}

/// A bit for each cell in which the signal stayed.
type Cells = u64;
const CELLS: u32 = Cells::BITS;
/// Cells become half as wide where all that is known lies within this number of them: then it fills three quarters at most.
const FEW: u32 = 3 * CELLS / 8;

/// Places of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KnownPlaces {
    means: RecentValues<f64>,
    away: RecentValues<f64>,
    until_next: u8,
    /// Where the signal is.
    middle: f64,
    /// Width of a cell, zero before there is one; lower end of the first.
    cell: f64,
    low: f64,
    block: i64,
    blocks: u32,
    /// Blocks since something about the signal was announced.
    since_announced: u32,
    now: Cells,
    /// Blocks that are too young to count, in a ring, and the place of the oldest.
    young: [Cells; LAG],
    oldest: u8,
    /// Spans of [`LAG`] blocks each, in a ring, and the one that is being filled.
    spans: [Cells; REMEMBERED],
    filling: u8,
    filled: u8,
    known: Cells,
}

impl KnownPlaces {
    pub(super) fn new() -> Self {
        Self {
            means: RecentValues::new(MEANS),
            away: RecentValues::new(STAYS),
            until_next: EACH,
            middle: 0.0,
            cell: 0.0,
            low: 0.0,
            block: i64::MIN,
            blocks: 0,
            since_announced: u32::MAX,
            now: 0,
            young: [0; LAG],
            oldest: 0,
            spans: [0; REMEMBERED],
            filling: 0,
            filled: 0,
            known: 0,
        }
    }

    /// What an earlier version knew: everything between two values, for this number of blocks, the last of them this one.
    pub(super) fn of_range((low, high): (f64, f64), blocks: u32, block: i64) -> Self {
        let width = high - low;
        if !(width > 0.0 && width.is_finite()) {
            return Self::new();
        }
        // In the middle half of all cells.
        let known = (Cells::MAX >> (CELLS / 2)) << (CELLS / 4);
        let cell = width / f64::from(CELLS / 2);
        let low = low - cell * f64::from(CELLS / 4);
        let mut places = Self { cell, low, block, blocks, known, filling: 1, ..Self::new() };
        places.spans[0] = known;
        places
    }

    /// Notes one more reading by the mean of the last twenty; says whether the signal is now somewhere else.
    pub(super) fn note(&mut self, block: impl FnOnce() -> i64, mean: f64, deviation: f64) -> bool {
        self.until_next -= 1;
        if self.until_next > 0 {
            return false;
        }
        self.until_next = EACH;
        let block = block();
        if block != self.block {
            self.end_block(block, deviation);
        }
        self.means.push(mean);
        if !self.means.is_full() {
            return false;
        }
        self.middle = median5(&self.means);
        if self.cell == 0.0 {
            self.cell = self.least_cell(deviation);
            self.low = self.middle - self.cell * f64::from(CELLS / 2);
        }
        // Where an event led to is known by then.
        let is_announced = self.since_announced <= LAG as u32 + 1;
        self.away.push(if is_announced { 0.0 } else { self.distance(self.middle) });
        true
    }

    fn least_cell(&self, deviation: f64) -> f64 {
        let of_constant = (1e-9 * self.middle.abs()).max(1e-12);
        if deviation > 0.0 { CELL_IN_DEVIATIONS * deviation } else { of_constant }
    }

    /// Number of the cell of a value, which may be none of those that there are.
    fn place(&self, value: f64) -> f64 {
        ((value - self.low) / self.cell).floor()
    }

    /// The nearest known cells below and above a value, itself where it is one.
    fn nearest(&self, value: f64) -> (Option<u32>, Option<u32>) {
        // Cells below, the own one not among them.
        let below = self.place(value).clamp(0.0, f64::from(CELLS)) as u32;
        let mask = if below >= CELLS { Cells::MAX } else { (1 << below) - 1 };
        let (lower, upper) = (self.known & mask, self.known & !mask);
        let lower = (lower != 0).then(|| CELLS - 1 - lower.leading_zeros());
        (lower, (upper != 0).then(|| upper.trailing_zeros()))
    }

    fn edge(&self, cell: u32) -> f64 {
        self.low + f64::from(cell) * self.cell
    }

    /// How far a value lies from all places; zero in one of them, and where there are none.
    fn distance(&self, value: f64) -> f64 {
        let (lower, upper) = self.nearest(value);
        let to_lower = lower.map(|cell| value - self.edge(cell + 1));
        let to_upper = upper.map(|cell| self.edge(cell) - value);
        let nearest = to_lower.into_iter().chain(to_upper).fold(f64::INFINITY, f64::min);
        if nearest.is_finite() { nearest.max(0.0) } else { 0.0 }
    }

    /// Length of all places together.
    fn length(&self, deviation: f64) -> f64 {
        (f64::from(self.known.count_ones()) * self.cell).max(LENGTH_IN_DEVIATIONS * deviation)
    }

    /// Nats of surprise at where the signal stays; none while places are not known.
    pub(super) fn surprise(&self, deviation: f64) -> f64 {
        let away = self.away.all().iter().copied().fold(f64::INFINITY, f64::min);
        let length = self.length(deviation);
        if self.blocks < KNOWN || !self.away.is_full() || !(length > 0.0 && length.is_finite()) {
            return 0.0;
        }
        NATS_PER_LENGTH * away / length
    }

    /// Whether they were watched for long enough to count.
    pub(super) const fn are_known(&self) -> bool {
        self.blocks >= KNOWN
    }

    /// Where the signal was, at the nearest, and the length of all places, where it now stays away from all of them by that
    /// length at least. Between a place and one where it is at rest beside that, machines stop and start: none is left.
    pub(super) fn left(&self, deviation: f64) -> Option<(f64, f64)> {
        let away = self.away.all().iter().copied().fold(f64::INFINITY, f64::min);
        let length = self.length(deviation);
        if self.blocks < KNOWN
            || !self.away.is_full()
            || !(length > 0.0 && length.is_finite())
            || away < length
        {
            return None;
        }
        let (lower, upper) = self.nearest(self.middle);
        let ends = [lower.map(|cell| self.edge(cell + 1)), upper.map(|cell| self.edge(cell))];
        let ends = ends.into_iter().flatten();
        if ends.clone().any(|end| Steps::between(end, self.middle).is_none()) {
            return None;
        }
        let distance = |end: &f64| (self.middle - end).abs();
        let nearest = ends.min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
        Some((nearest, length))
    }

    /// Whether the signal came to rest within the newest means, or left it, by more than this.
    pub(super) fn turns(&self, least: f64) -> bool {
        let ends =
            |pick: fn(f64, f64) -> f64| self.means.all().iter().copied().reduce(pick).unwrap_or_default();
        let (low, high) = (ends(f64::min), ends(f64::max));
        high - low > least && Steps::between(low, high).is_none()
    }

    /// An event has begun: where it leads to needs no event of its own.
    pub(super) fn announce(&mut self) {
        self.since_announced = 0;
    }

    /// Where the signal is.
    pub(super) fn middle(&self) -> f64 {
        self.middle
    }

    /// The place nearest to where the signal is, widened at both ends by what is that surprising.
    pub(super) fn expected(&self, nats: f64, deviation: f64) -> Option<(f64, f64)> {
        let (lower, upper) = self.nearest(self.middle);
        let is_lower_nearer = match (lower, upper) {
            (Some(lower), Some(upper)) => self.middle - self.edge(lower + 1) < self.edge(upper) - self.middle,
            (lower, _) => lower.is_some(),
        };
        let nearest = if is_lower_nearer { lower } else { upper }?;
        let is_known = |cell: &u32| self.known >> cell & 1 == 1;
        let first = (0..=nearest).rev().take_while(is_known).last()?;
        let last = (nearest..CELLS).take_while(is_known).last()?;
        let beyond = nats / NATS_PER_LENGTH * self.length(deviation);
        Some((self.edge(first) - beyond, self.edge(last + 1) + beyond))
    }

    /// Learns where the signal is.
    pub(super) fn learn(&mut self) {
        if let Some(cell) = self.cell_of_middle() {
            self.now |= 1 << cell;
        }
    }

    /// Where the signal is counts from now on.
    pub(super) fn accept(&mut self) {
        let Some(cell) = self.cell_of_middle() else { return };
        let filling = &mut self.spans[usize::from(self.filling)];
        for cells in [&mut self.now, filling, &mut self.known] {
            *cells |= 1 << cell;
        }
        self.away = RecentValues::new(STAYS);
    }

    /// The cell, made where there was none.
    fn cell_of_middle(&mut self) -> Option<u32> {
        if !(self.cell > 0.0 && self.cell.is_finite() && self.means.is_full()) {
            return None;
        }
        let within = 0.0..f64::from(CELLS);
        // Each turn doubles the width of all cells together, and a number has some two thousand octaves.
        while !within.contains(&self.place(self.middle)) {
            self.grow(self.middle < self.low);
            if !self.cell.is_finite() {
                return None;
            }
        }
        Some(self.place(self.middle) as u32)
    }

    /// Makes the cells twice as wide, downwards or upwards.
    fn grow(&mut self, down: bool) {
        let fold = |cells: &mut Cells| {
            let both = |cell: &u32| *cells >> (2 * cell) & 3 != 0;
            let folded = (0..CELLS / 2).filter(both).fold(0, |folded: Cells, cell| folded | 1 << cell);
            *cells = if down { folded << (CELLS / 2) } else { folded };
        };
        let own = [&mut self.now, &mut self.known];
        self.young.iter_mut().chain(&mut self.spans).chain(own).for_each(fold);
        if down {
            self.low -= self.cell * f64::from(CELLS);
        }
        self.cell *= 2.0;
    }

    /// Makes the cells half as wide where few of them hold all that is known: what was far away once, and is forgotten, must
    /// not leave places coarse for ever.
    fn shrink(&mut self, deviation: f64) {
        let all = self.young.iter().fold(self.known | self.now, |all, cells| all | cells);
        let (first, after) = (all.trailing_zeros(), CELLS - all.leading_zeros());
        if all == 0 || after - first > FEW || 0.5 * self.cell < self.least_cell(deviation) {
            return;
        }
        // Its middle becomes that of all cells, as far as there are cells.
        // What is known stays known, so that one cell becomes two until it is forgotten.
        let begin = first.midpoint(after).saturating_sub(CELLS / 4).min(CELLS / 2);
        let unfold = |cells: &mut Cells| {
            let both = |cell: u32| (*cells >> (begin + cell) & 1) * (3 << (2 * cell));
            *cells = (0..CELLS / 2).fold(0, |unfolded: Cells, cell| unfolded | both(cell));
        };
        let own = [&mut self.now, &mut self.known];
        self.young.iter_mut().chain(&mut self.spans).chain(own).for_each(unfold);
        self.low = self.edge(begin);
        self.cell *= 0.5;
    }

    fn end_block(&mut self, block: i64, deviation: f64) {
        self.block = block;
        self.since_announced = self.since_announced.saturating_add(1);
        if self.now == 0 {
            return;
        }
        self.blocks = self.blocks.saturating_add(1);
        let oldest = &mut self.young[usize::from(self.oldest)];
        let entering = std::mem::replace(oldest, std::mem::take(&mut self.now));
        self.oldest = (self.oldest + 1) % LAG as u8;
        self.spans[usize::from(self.filling)] |= entering;
        self.filled += 1;
        if usize::from(self.filled) >= LAG {
            self.filled = 0;
            self.filling = (self.filling + 1) % REMEMBERED as u8;
            self.spans[usize::from(self.filling)] = 0;
        }
        self.known = self.spans.iter().fold(0, |known, span| known | span);
        self.shrink(deviation);
    }

    pub(super) fn fits(&self) -> bool {
        self.means.fits(MEANS)
            && self.away.fits(STAYS)
            && self.until_next > 0
            && usize::from(self.oldest) < LAG
            && usize::from(self.filling) < REMEMBERED
            && usize::from(self.filled) < LAG
            && [self.middle, self.cell, self.low].iter().all(|number| number.is_finite())
            && self.cell >= 0.0
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.means.heap_bytes() + self.away.heap_bytes()
    }
}
