//! What versions until 0.2 kept of a signal in place of its [places](crate::auto): the range that it kept to. It keeps its
//! place in saved states, and is read where they wrote it.

use serde::{Deserialize, Serialize};

type Extremes = (f64, f64);

/// Read, and written as it is at first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FormerRange {
    block: i64,
    blocks: u32,
    now: Extremes,
    young: Vec<Extremes>,
    spans: Vec<Extremes>,
    filling: Extremes,
    filled: u8,
    range: Extremes,
}

impl FormerRange {
    #[cfg(test)]
    pub(super) fn of(range: Extremes, blocks: u32, block: i64) -> Self {
        Self { block, blocks, range, ..Self::default() }
    }

    /// The range, with the number of blocks in which it was seen and the last of them.
    pub(super) fn known(&self) -> Option<(Extremes, u32, i64)> {
        (self.blocks > 0).then_some((self.range, self.blocks, self.block))
    }
}
