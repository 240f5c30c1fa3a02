//! What is kept of an alarm so that people can still say something about it.

use serde::{Deserialize, Serialize};

use super::MEMBERS;

/// Readings after an alarm that can still be forgotten.
const LONGEST: usize = 1_000;

/// Where the scores since an alarm were learnt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    bins: Vec<[u8; MEMBERS.len()]>,
}

impl Remembered {
    /// Says no once that is too long ago.
    pub(super) fn learn(&mut self, bins: &[u8; MEMBERS.len()]) -> bool {
        if self.bins.len() == LONGEST {
            return false;
        }
        self.bins.push(*bins);
        true
    }

    pub(super) fn bins(&self) -> &[[u8; MEMBERS.len()]] {
        &self.bins
    }
}
