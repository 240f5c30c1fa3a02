//! Shapes that were not seen before: how far the newest window is from its nearest neighbour in the past.
//!
//! The left matrix profile (Yeh et al. 2016, *Matrix profile I*, ICDM; Lu et al. 2022, *DAMP*, KDD) in bounded
//! memory. Once per stride:
//!
//! 1. The newest `window` readings become a **shape**: `z`-normalised, then averaged piecewise to at most
//!    [`MAX_POINTS`] points (Keogh et al. 2001), in steps of 1/1024 of a standard deviation. The standard deviation
//!    is at least a tenth of what it usually is, in the mean of all windows so far: noise about a flat stretch is no shape. For
//!    that mean a window counts at most three times what it is, unless the one before it was as wild: one spike
//!    does not blind the detector.
//! 2. Its **distance** is the least root mean square difference, in standard deviations, from the shapes of the
//!    [`reservoir`]. Those that overlap it are not there yet: a shape waits for `window` readings first.
//! 3. The shape whose wait is over is offered to the reservoir, which keeps those that are most unlike each other.
//!
//! Nothing depends on a reading that is yet to come. Memory: [`PatternSettings::bytes`]; with a window of 128
//! some 20 KiB. Cost per stride: two passes over the reservoir, some 10 to 20 µs for 256 shapes, and rarely several more.

mod judge;
pub mod reservoir;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use self::reservoir::Reservoir;
use crate::fault::{SettingsError, check_count};
use crate::state::{self, StateKind};
pub use judge::PatternJudge;

/// Most points of a shape.
pub const MAX_POINTS: usize = 32;

/// Shapes needed before a distance from the nearest means something.
pub const LEAST_SHAPES: usize = 8;

/// Steps per standard deviation. At most `sqrt(511)` of those can occur, so that 16 bits hold them.
pub(crate) const STEPS: f64 = 1024.0;

/// Least standard deviation of a window, as a part of the usual one.
const LEAST_PART: f64 = 0.1;

/// A window's standard deviation counts at most this many times the usual one.
const MOST_TIMES: f64 = 3.0;

/// The usual standard deviation rests on this many shapes at most.
const MEMORY: f64 = 5_000.0;

/// Beyond this, readings are clipped, so that no square overflows.
const MOST: f64 = 1e150;

/// How shapes are cut and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternSettings {
    window: usize,
    stride: usize,
    shapes: usize,
}

impl PatternSettings {
    /// Checks a window in readings, about as long as what repeats in the signal. A stride of a 16th of it and
    /// 256 shapes, as recommended.
    ///
    /// # Errors
    /// Not from 16 to 512.
    pub fn new(window: usize) -> Result<Self, SettingsError> {
        check_count("window", window as u64, 16, 512)?;
        Ok(Self { window, stride: window / 16, shapes: 256 })
    }

    /// The same with another stride, in readings, and another number of shapes to remember.
    ///
    /// # Errors
    /// `stride` not from a 32nd of the window to a quarter of it: a repetition must fall on windows that are
    /// cut at nearly the same place; `shapes` not from 16 to 1024.
    pub fn with_reservoir(self, stride: usize, shapes: usize) -> Result<Self, SettingsError> {
        let window = self.window;
        check_count("stride", stride as u64, window.div_ceil(32) as u64, (window / 4) as u64)?;
        check_count("shapes", shapes as u64, 16, 1024)?;
        Ok(Self { window, stride, shapes })
    }

    /// Bytes that one signal's state takes, beside a few hundred.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let shape = self.points() * size_of::<i16>();
        self.window * size_of::<f64>()
            + self.waiting() * (shape + size_of::<f64>())
            + self.shapes * (shape + reservoir::BYTES_BESIDE_SHAPE)
    }

    /// Readings from one shape that is judged to the next.
    pub(crate) const fn stride(&self) -> usize {
        self.stride
    }

    fn points(&self) -> usize {
        self.window.min(MAX_POINTS)
    }

    /// Shapes that overlap the newest.
    fn waiting(&self) -> usize {
        self.window.div_ceil(self.stride)
    }
}

/// Watches the shapes of one signal.
#[derive(Debug)]
pub struct PatternDetector {
    settings: PatternSettings,
    state: PatternState,
    /// The newest shape.
    shape: Vec<i16>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PatternState {
    settings: PatternSettings,
    /// The newest readings, in a ring.
    recent: Vec<f64>,
    /// Place of the oldest of them, where the next one goes.
    oldest: usize,
    /// Readings still to come before the next shape.
    until_shape: usize,
    /// Usual standard deviation of a window, and the shapes that it rests on.
    usual: f64,
    weight: f64,
    /// Standard deviations of the windows whose shapes wait, in the same ring.
    spreads: Vec<f64>,
    /// Shapes that wait, in a ring.
    waiting: Vec<i16>,
    /// Shapes cut so far, counted up to what the ring holds.
    cut: usize,
    /// Where in the ring the next one goes.
    next: usize,
    reservoir: Reservoir,
}

impl PatternDetector {
    /// A detector that has seen nothing. All memory is allocated here.
    #[must_use]
    pub fn new(settings: PatternSettings) -> Self {
        let points = settings.points();
        let state = PatternState {
            settings,
            recent: vec![0.0; settings.window],
            oldest: 0,
            until_shape: settings.window,
            usual: 0.0,
            weight: 0.0,
            spreads: vec![0.0; settings.waiting()],
            waiting: vec![0; points * settings.waiting()],
            cut: 0,
            next: 0,
            reservoir: Reservoir::new(points, settings.shapes),
        };
        Self { settings, state, shape: vec![0; points] }
    }

    /// Takes a reading, finite; once per stride says how far the newest window is from the nearest one before it,
    /// in standard deviations: finite, from 0 to about 2, more only for windows with lone peaks. `None` until
    /// [`LEAST_SHAPES`] are known.
    pub fn observe(&mut self, value: f64) -> Option<f64> {
        let value = value.clamp(-MOST, MOST);
        let (settings, state) = (self.settings, &mut self.state);
        state.recent[state.oldest] = value;
        state.oldest = (state.oldest + 1) % settings.window;
        state.until_shape -= 1;
        if state.until_shape > 0 {
            return None;
        }
        state.until_shape = settings.stride;
        state.cut_shape(&mut self.shape);
        // The shape that is overwritten next began a window ago or more: it no longer overlaps.
        let place = state.next * self.shape.len()..(state.next + 1) * self.shape.len();
        if state.cut == settings.waiting() {
            state.reservoir.offer(&state.waiting[place.clone()]);
        } else {
            state.cut += 1;
        }
        let known = state.reservoir.len() >= LEAST_SHAPES;
        let distance = known.then(|| state.reservoir.distance(&self.shape));
        state.waiting[place].copy_from_slice(&self.shape);
        state.next = (state.next + 1) % settings.waiting();
        distance
    }

    /// Readings are missing here: no window spans the gap. What was learnt stays.
    pub fn gap(&mut self) {
        // Shapes that wait are past, whatever the next readings are.
        self.state.until_shape = self.settings.window;
    }

    /// The whole state, exactly: two or three bytes per point of a shape, up to some 25 KiB for 256 shapes.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        state::seal(StateKind::Shapes, &self.state)
    }

    /// Takes up a saved state.
    ///
    /// # Errors
    /// Not readable, of another version, of other settings, or impossible. Nothing has changed then.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), RestoreError> {
        let mut state: PatternState = state::open(StateKind::Shapes, saved)?;
        if !state.fits(&self.settings) {
            return Err(RestoreError::Foreign);
        }
        state.reservoir.reserve();
        self.state = state;
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.settings.bytes() + self.shape.capacity() * size_of::<i16>()
    }
}

impl PatternState {
    fn fits(&self, settings: &PatternSettings) -> bool {
        let numbers = [self.usual, self.weight];
        self.settings == *settings
            && self.recent.len() == settings.window
            && self.oldest < settings.window
            && (1..=settings.window).contains(&self.until_shape)
            && self.waiting.len() == settings.points() * settings.waiting()
            && self.spreads.len() == settings.waiting()
            && self.cut <= settings.waiting()
            && self.next < settings.waiting()
            && self.recent.iter().chain(&numbers).chain(&self.spreads).all(|number| number.is_finite())
            && self.reservoir.fits(settings.points(), settings.shapes)
    }

    /// Takes the newest window's standard deviation into the usual one.
    fn learn_spread(&mut self, spread: f64) {
        // The window before this one shares no reading with it.
        let before = if self.weight == 0.0 { spread } else { self.spreads[self.next] };
        self.spreads[self.next] = spread;
        let bounded = spread.min(before.max(MOST_TIMES * self.usual));
        self.weight = (self.weight + 1.0).min(MEMORY);
        self.usual += (bounded - self.usual) / self.weight;
    }

    fn cut_shape(&mut self, shape: &mut [i16]) {
        let (newer, older) = self.recent.split_at(self.oldest);
        let in_order = || older.iter().chain(newer);
        let length = self.recent.len();
        let mean = in_order().sum::<f64>() / length as f64;
        let variance = in_order().map(|value| (value - mean).powi(2)).sum::<f64>() / length as f64;
        let spread = variance.sqrt();
        // Rounding about a large mean is no shape either.
        let least = (LEAST_PART * self.usual).max(1e-12 * mean.abs()).max(f64::MIN_POSITIVE);
        let divisor = spread.max(least);
        let points = shape.len();
        let mut values = in_order();
        for (index, point) in shape.iter_mut().enumerate() {
            let share = (index + 1) * length / points - index * length / points;
            let sum: f64 = values.by_ref().take(share).map(|value| value - mean).sum();
            let level = sum / share as f64 / divisor;
            // At most sqrt(511) deviations, see STEPS.
            *point = (level * STEPS).round().clamp(-32_767.0, 32_767.0) as i16;
        }
        self.learn_spread(spread);
    }
}
