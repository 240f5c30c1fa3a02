//! From score to probability: how often has this signal shown a score at least this large?
//!
//! A score is any non-negative number that grows with strangeness. The tail keeps a histogram of all scores,
//! eight bins per octave over 24 octaves, and reads two answers from it:
//!
//! - beyond the highest 2 %, peaks over threshold: a generalised Pareto law fitted to the exceedances by moments
//!   (Hosking & Wallis 1987), which also covers scores never seen;
//! - the recorded share of scores that were at least as large, below which the answer never falls: a fitted law
//!   that claims "one in a million" of what was seen last week is wrong.
//!
//! Young signals are calmed: with few exceedances the shape gets `1/k` added, which for exponential exceedances
//! of unknown scale is the exact predictive tail. Scores over windows come in runs, of which fewer are worth one: their
//! cube root, measured on the boards and on noise, where it halves the false alarms of young signals. History fades: all weights are halved after a number of scores
//! that is chosen with the tail.
//!
//! Everything is a function of the scores before: a score's own weight is added after it was judged.

mod fit;
mod level;

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use fit::{NO_FIT, ParetoFit, fitted};
pub(crate) use level::Mark;
use level::{BINS_PER_OCTAVE, level_of};

/// Bins: one for zero and everything below the window, the others for 24 octaves less one bin.
pub(crate) const BINS: usize = 192;
/// The first score that is not zero is placed so far below the window's top.
const HEADROOM: i32 = 10 * BINS_PER_OCTAVE;
/// Scores that only teach, before the first probability.
pub const WARM_UP: u32 = 150;
/// This many more only teach for each reading that a score shares with its neighbours.
const WARM_UP_PER_SHARED: u32 = 5;
/// Scores after which all weights are halved, unless set otherwise: a memory of some 20,000.
pub const HALF_LIFE: u32 = 14_000;
/// Longest half-life: single-precision weights count exactly to twice this.
pub const MAX_HALF_LIFE: u32 = 1 << 23;
/// Scores between two fits.
const REFIT_EVERY: u32 = 16;
/// What lies this many times further out than an alarm is none of the usual. With less, what chance brings about in heavy
/// tails would be forgotten with it, and false alarms would come more often than they say (at 3, 2.5 times).
const FAR: f64 = 4.0;
/// Where the window of bins may begin: around all octaves of a float.
const LEVELS: std::ops::RangeInclusive<i32> = -512..=2_200 * BINS_PER_OCTAVE;
/// No probability is smaller: no history is that long.
pub(crate) const LEAST_P: f64 = 1e-30;

/// The upper tail of a stream of scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    bins: Box<[f32]>,
    /// Where bin 1 begins, in eighths of an octave; unknown until a score is not zero.
    base: Option<i32>,
    total: f32,
    seen: u32,
    /// Scores until the next fit and the next halving.
    refit_in: u32,
    halve_in: u32,
    half_life: u32,
    /// Exceedances that are worth one.
    dependence: f32,
    fit: ParetoFit,
}

impl Tail {
    /// A tail that has seen nothing. `stagger` delays the first fit, so that several tails of one signal do not
    /// all fit at the same reading.
    #[must_use]
    pub fn new(stagger: u32) -> Self {
        Self {
            bins: vec![0.0; BINS].into(),
            base: None,
            total: 0.0,
            seen: 0,
            refit_in: WARM_UP + stagger % REFIT_EVERY,
            halve_in: HALF_LIFE,
            half_life: HALF_LIFE,
            dependence: 1.0,
            fit: NO_FIT,
        }
    }

    /// A tail of scores that are each made of `window` readings, so that neighbours say nearly the same.
    pub(crate) fn over(window: u32, stagger: u32) -> Self {
        let mut tail = Self::new(stagger);
        tail.refit_in += WARM_UP_PER_SHARED * window.saturating_sub(1);
        tail.dependence = f64::from(window).cbrt() as f32;
        tail
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.bins)
    }

    /// Whether this can be what was saved.
    pub(crate) fn check(&self) -> Result<(), RestoreError> {
        let weights = self.bins.iter().chain([&self.total, &self.dependence]);
        let law = [self.fit.share, self.fit.scale, self.fit.shape];
        let sound = self.bins.len() == BINS
            && weights.into_iter().all(|weight| weight.is_finite() && *weight >= 0.0)
            && self.base.is_none_or(|base| LEVELS.contains(&base))
            && [self.refit_in, self.halve_in, self.half_life].iter().all(|&left| left > 0)
            && law.iter().all(|number| number.is_finite())
            && self.fit.scale > 0.0
            && self.fit.threshold >= 0.0;
        if sound { Ok(()) } else { Err(RestoreError::Misfit { part: "a histogram of scores" }) }
    }

    /// Scores seen; saturates.
    #[must_use]
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// Lets history fade more slowly or more quickly: all weights are halved after this many scores.
    pub fn set_half_life(&mut self, scores: u32) {
        self.half_life = scores.clamp(REFIT_EVERY, MAX_HALF_LIFE);
        self.halve_in = self.halve_in.min(self.half_life);
    }

    /// The weight of all that is remembered, in scores.
    #[must_use]
    pub fn weight(&self) -> f64 {
        f64::from(self.total)
    }

    /// The probability of a score at least as large as this one, from what was seen before it; then learns it.
    /// One where the score is among the usual 98 %, or there is too little history.
    pub fn observe(&mut self, score: f64) -> f64 {
        self.observe_with_mark(score).0
    }

    /// The same, and where it was learnt, so that it can be forgotten.
    pub(crate) fn observe_with_mark(&mut self, score: f64) -> (f64, Mark) {
        let (p, place) = self.judge(score);
        (p, self.learn_at(place, score))
    }

    /// The probability alone, and the place where the score is to be learnt: nothing else is asked of the tail between.
    pub(crate) fn judge(&mut self, score: f64) -> (f64, BinPlace) {
        let bin = self.bin(score);
        let p = if score > self.fit.threshold {
            self.probability(score, bin)
        } else if score > 0.0 && self.seen >= WARM_UP && self.bins[0] == self.total {
            // All scores were zero until now: there is no law, but this was never seen.
            1.0 / (self.weight() + 1.0)
        } else {
            1.0
        };
        (p, BinPlace(bin))
    }

    /// Learns a score that was judged last.
    pub(crate) fn learn_at(&mut self, place: BinPlace, score: f64) -> Mark {
        self.learn(place.0);
        Mark::of(score)
    }

    /// Takes one score back, wherever the window stands by now, if its bin still weighs that much.
    pub(crate) fn forget(&mut self, mark: Mark) {
        if mark == Mark::NONE {
            return;
        }
        let bin = self.place_of_level(mark.level()).min(BINS - 1);
        let taken = self.bins[bin].min(1.0);
        self.bins[bin] -= taken;
        self.total -= taken;
    }

    /// Whether a score lies many times further out than the one with probability `p`, by a law that ends nowhere: what
    /// was seen has no place for it, however often one tries.
    pub(crate) fn is_far(&self, score: f64, p: f64) -> bool {
        let ParetoFit { threshold, share, scale, .. } = self.fit;
        let unbounded = self.fit.open_ended();
        threshold.is_finite()
            && p < share
            && scale > 0.0
            && score - threshold > FAR * unbounded.excess(share / p)
    }

    /// The recorded share of scores at least as large; half of those that are as large to within a bin count.
    #[must_use]
    pub fn share_above(&self, score: f64) -> f64 {
        if self.total > 0.0 { self.recorded(self.place(score)) } else { 0.0 }
    }

    fn refit(&mut self) {
        self.refit_in = REFIT_EVERY;
        self.fit = self
            .base
            .and_then(|base| fitted(&self.bins, base, self.total, self.dependence))
            .unwrap_or(NO_FIT);
    }

    /// The score that has probability `p`, as far as the fit reaches: the upper end of what is expected.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<f64> {
        Self::quantile_by(self.fit, p)
    }

    /// The same by a law that ends nowhere, see [`Self::open_ended`].
    pub(crate) fn open_quantile(&self, p: f64) -> Option<f64> {
        Self::quantile_by(self.fit.open_ended(), p)
    }

    fn quantile_by(fit: ParetoFit, p: f64) -> Option<f64> {
        let ParetoFit { threshold, share, .. } = fit;
        if !threshold.is_finite() || p >= share {
            return None;
        }
        let parametric = threshold + fit.excess(share / p);
        parametric.is_finite().then_some(parametric)
    }

    /// The score that 98 % of those remembered stay below; `None` before the first fit, or where that is zero.
    #[must_use]
    pub fn usual(&self) -> Option<f64> {
        Some(self.fit.threshold).filter(|usual| usual.is_finite() && *usual > 0.0)
    }

    fn probability(&self, score: f64, bin: usize) -> f64 {
        (self.fit.survival(score)).max(self.recorded(bin)).clamp(LEAST_P, 1.0)
    }

    /// The probability of a score that was judged last and not learnt yet, by a law that ends nowhere: what is compared
    /// among signals must not depend on where a law of few numbers happens to end.
    pub(crate) fn open_ended(&self, place: BinPlace, score: f64) -> f64 {
        if !self.fit.threshold.is_finite() || score <= self.fit.threshold {
            return 1.0;
        }
        self.fit.open_ended().survival(score).max(self.recorded(place.0)).clamp(LEAST_P, 1.0)
    }

    fn recorded(&self, bin: usize) -> f64 {
        let higher: f32 = self.bins[(bin + 1).min(BINS)..].iter().sum();
        let own = self.bins.get(bin).map_or(0.0, |weight| weight / 2.0);
        f64::from(higher + own) / f64::from(self.total)
    }

    /// Bin of a score, were it within the window; what lies above has bins beyond the last.
    fn place(&self, score: f64) -> usize {
        self.place_of_level(level_of(score))
    }

    fn place_of_level(&self, level: i32) -> usize {
        match self.base {
            Some(base) if level > 0 => (level - base + 1).max(1) as usize,
            _ => 0,
        }
    }

    /// Bin of a score; moves the window up for scores beyond its top.
    fn bin(&mut self, score: f64) -> usize {
        let level = level_of(score);
        if self.base.is_none() && level > 0 {
            self.base = Some(level + HEADROOM - (BINS as i32 - 1) + 1);
        }
        let place = self.place_of_level(level);
        let Some(beyond) = place.checked_sub(BINS - 1).filter(|&beyond| beyond > 0) else { return place };
        self.slide(beyond);
        self.base = self.base.map(|base| base + beyond as i32);
        BINS - 1
    }

    /// Moves all weights down by `by` bins; what falls out stays in the lowest.
    fn slide(&mut self, by: usize) {
        let by = by.min(BINS - 2);
        let folded: f32 = self.bins[1..=1 + by].iter().sum();
        self.bins.copy_within(1 + by.., 1);
        self.bins[1] = folded;
        let kept = BINS - by;
        self.bins[kept..].fill(0.0);
    }

    fn learn(&mut self, bin: usize) {
        self.bins[bin] += 1.0;
        self.total += 1.0;
        self.seen = self.seen.saturating_add(1);
        self.halve_in -= 1;
        if self.halve_in == 0 {
            self.halve_in = self.half_life;
            for weight in &mut *self.bins {
                *weight *= 0.5;
            }
            self.total = self.bins.iter().sum();
        }
        self.refit_in -= 1;
        if self.refit_in == 0 {
            self.refit();
        }
    }
}

/// Where a score that was judged is to be learnt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BinPlace(usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_forgotten_where_the_window_stands_now() {
        let mut tail = Tail::new(0);
        for reading in 0..1_000 {
            tail.observe(1.0 + f64::from(reading % 7));
        }
        let before = tail.weight();
        let (_, strange) = tail.observe_with_mark(50.0);
        // So far above the first score that the window moves.
        let (_, beyond) = tail.observe_with_mark(1e6);
        assert_eq!(tail.bins[tail.place(50.0)], 1.0);
        tail.forget(strange);
        assert_eq!(tail.bins[tail.place(50.0)], 0.0);
        tail.forget(beyond);
        assert_eq!(tail.bins[tail.place(1e6)], 0.0);
        assert_eq!(tail.weight(), before);
        assert_eq!(f64::from(tail.bins.iter().sum::<f32>()), before);
    }
}
