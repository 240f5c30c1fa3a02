//! What is kept of an alarm so that people can still say something about it.

use serde::{Deserialize, Serialize};

use super::MEMBERS;
use crate::tail::Mark;

/// Readings after an alarm that can still be forgotten.
const LONGEST: usize = 1_000;

/// Where the scores since an alarm were learnt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    marks: Vec<[Mark; MEMBERS.len()]>,
}

impl Remembered {
    /// Says no once that is too long ago.
    pub(super) fn learn(&mut self, marks: &[Mark; MEMBERS.len()]) -> bool {
        if self.marks.len() == LONGEST {
            return false;
        }
        self.marks.push(*marks);
        true
    }

    pub(super) fn marks(&self) -> &[[Mark; MEMBERS.len()]] {
        &self.marks
    }
}
