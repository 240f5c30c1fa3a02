//! The logarithm of a score in eighths of an octave, from its bits, so that it is the same on every machine.

use serde::{Deserialize, Serialize};

/// Bins per octave.
pub(super) const BINS_PER_OCTAVE: i32 = 8;
/// Lower edges of the bins within an octave: powers of the eighth root of two.
const EIGHTHS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];
/// Mantissa of a float.
const MANTISSA: u64 = (1 << 52) - 1;

/// What a score was learnt as: its logarithm, which outlives a move of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Mark(u16);

impl Mark {
    /// Nothing was learnt.
    pub(crate) const NONE: Self = Self(u16::MAX);

    pub(super) fn of(score: f64) -> Self {
        // A float has 2,047 octaves.
        Self(level_of(score) as u16)
    }

    pub(super) fn level(self) -> i32 {
        i32::from(self.0)
    }
}

/// The logarithm, rounded down; zero for zero and what is nearly that.
pub(super) fn level_of(score: f64) -> i32 {
    if score < f64::MIN_POSITIVE {
        return 0;
    }
    let bits = score.to_bits();
    let octave = (bits >> 52) as i32;
    let mantissa = f64::from_bits((bits & MANTISSA) | 1.0_f64.to_bits());
    BINS_PER_OCTAVE * octave + EIGHTHS[1..].iter().map(|&eighth| i32::from(mantissa >= eighth)).sum::<i32>()
}

/// Lower edge of a bin.
pub(super) fn edge(base: i32, bin: usize) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let level = (base + bin as i32 - 1).clamp(0, 0x7fe * BINS_PER_OCTAVE);
    let octave = (level / BINS_PER_OCTAVE) as u64;
    EIGHTHS[(level % BINS_PER_OCTAVE) as usize] * f64::from_bits(octave << 52)
}
