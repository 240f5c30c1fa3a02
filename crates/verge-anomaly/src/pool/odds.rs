//! How probable a reading is, and from which probability it alarms.

/// What is among the usual has this probability.
pub(super) const USUAL: f64 = 1.0;

/// The level of one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Level {
    /// The combined probability from which it alarms…
    pub(crate) p: f64,
    /// …and the one by what is seen beside the members of a detector.
    pub(crate) beside: f64,
    /// The history does not support the budget yet.
    pub(crate) learning: bool,
}

impl Level {
    /// By the signal's own history alone.
    pub(super) const fn of_own(p: f64, learning: bool) -> Self {
        Self { p, beside: p, learning }
    }

    /// What is among the usual needs none.
    pub(crate) const OF_THE_USUAL: Self = Self { p: 0.0, beside: 0.0, learning: false };

    /// The same for a part of the budget.
    pub(crate) fn times(self, part: f64) -> Self {
        Self { p: part * self.p, beside: part * self.beside, ..self }
    }

    /// Whether what is seen beside the members is stranger than what they see.
    pub(crate) fn is_beside(self, odds: Odds) -> bool {
        odds.beside * self.p < odds.members * self.beside
    }

    /// The stranger probability of the two, and its level.
    pub(crate) fn strangest(self, odds: Odds) -> (f64, f64) {
        if self.is_beside(odds) { (odds.beside, self.beside) } else { (odds.members, self.p) }
    }
}

/// How probable one reading is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Odds {
    /// The combined probability by the members of a detector.
    pub(crate) members: f64,
    /// By what it sees beside them, where it does; one otherwise.
    pub(crate) beside: f64,
}

impl Odds {
    /// By members alone.
    pub(crate) const fn of(members: f64) -> Self {
        Self { members, beside: USUAL }
    }
}

/// How one reading stands to what was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SeenReading {
    /// A value, which may be of either sign.
    Value(f64),
    /// A value after a jump as the signal beyond doubt never did, and how probable that is.
    Jump(f64, f64),
    /// A score.
    Score(f64),
}

impl SeenReading {
    /// A value, and how probable the jump to it is where there is one.
    pub(crate) fn of(value: f64, by_jump: Option<f64>) -> Self {
        by_jump.map_or(Self::Value(value), |p| Self::Jump(value, p))
    }
}
