//! What is given up where frames come faster than they can be looked at.

crate::words! {
    /// What of looking at frames is given up for want of time, each with all before it.
    #[derive(PartialOrd, Ord, Default)]
    pub enum GivenUp {
        /// Nothing.
        #[default]
        Nothing = "nothing",
        /// Frames that newer ones superseded: each camera keeps the frames a second that it must have.
        Rate = "rate",
        /// Looks at small motion, where judges have gates.
        Gates = "gates",
        /// Models that have a smaller one.
        Models = "models",
        /// Even so, cameras get fewer frames a second than they must have.
        Coverage = "coverage",
    }
}

impl GivenUp {
    /// The next that is given up.
    #[must_use]
    pub fn more(self) -> Self {
        Self::ALL.into_iter().find(|other| *other > self).unwrap_or(self)
    }

    /// The last that was given up is taken back.
    #[must_use]
    pub fn less(self) -> Self {
        Self::ALL.into_iter().rev().find(|other| *other < self).unwrap_or(self)
    }
}

/// How far the judging of a camera falls short at one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shortfall {
    /// What is given up now.
    pub given_up: GivenUp,
    /// Frames that came since the one before and were not judged.
    pub passed_over: u32,
}

impl Shortfall {
    /// Whether less is seen than was asked for.
    #[must_use]
    pub fn is_reduced(self) -> bool {
        self.given_up >= GivenUp::Gates
    }

    /// Whether smaller models look, where there are any.
    #[must_use]
    pub fn is_by_smaller(self) -> bool {
        self.given_up >= GivenUp::Models
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_given_up_after_the_other_and_taken_back_in_turn() {
        let up: Vec<GivenUp> =
            std::iter::successors(Some(GivenUp::Nothing), |one| Some(one.more())).take(6).collect();
        assert_eq!(up[..5], GivenUp::ALL);
        assert_eq!(up[5], GivenUp::Coverage);
        assert_eq!((GivenUp::Gates.less(), GivenUp::Nothing.less()), (GivenUp::Rate, GivenUp::Nothing));
    }
}
