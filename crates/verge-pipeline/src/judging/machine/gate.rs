//! Which states an instance of a judge needs.

use std::time::Duration;

/// A state that an instance needs.
#[derive(Debug, Clone, Copy)]
pub(in crate::judging) struct Needs {
    /// Where it is known.
    pub(in crate::judging) record: usize,
    pub(in crate::judging) state: u8,
    /// How long it must have lasted.
    pub(in crate::judging) settle: Duration,
}

/// What shuts one instance.
#[derive(Debug)]
pub(in crate::judging) struct StateGate {
    pub(super) only_while: Option<Needs>,
    pub(super) by: Option<Needs>,
    /// The state in which it learns, as saved keys name it.
    pub(in crate::judging) name: Option<String>,
    /// It does not judge now.
    pub(in crate::judging) paused: bool,
}

/// Whether an instance judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judging) enum GateStanding {
    Open,
    Shut,
    /// This record does not say.
    Unknown(usize),
}

impl StateGate {
    /// `held` says whether a need is met, if that is known.
    pub(super) fn standing(&self, held: impl Fn(&Needs) -> Option<bool>) -> GateStanding {
        let mut standing = GateStanding::Open;
        for needs in self.only_while.iter().chain(&self.by) {
            match held(needs) {
                None => return GateStanding::Unknown(needs.record),
                Some(false) => standing = GateStanding::Shut,
                Some(true) => {}
            }
        }
        standing
    }

    /// The state in which it learns.
    pub(in crate::judging) fn state(&self) -> Option<u8> {
        self.by.map(|needs| needs.state)
    }

    /// The record of that state.
    pub(super) fn record(&self) -> Option<usize> {
        self.by.map(|needs| needs.record)
    }

    /// It takes the state that its machine turned out to be in.
    pub(super) fn adopt(&mut self, state: u8, name: String) {
        if let Some(needs) = &mut self.by {
            needs.state = state;
            self.name = Some(name);
        }
    }
}
