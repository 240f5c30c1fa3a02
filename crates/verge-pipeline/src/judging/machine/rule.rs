//! What judges have to do with the state of a machine: settings.

use std::fmt;
use std::time::Duration;

use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::SourceIndex;

/// A signal that says in which state a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSignal {
    /// The source that it comes from.
    pub source: SourceIndex,
    /// Its name.
    pub signal: SignalId,
    /// The device that sends it; `None`: the device of what is judged.
    pub device: Option<DeviceId>,
}

/// In which states it is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StateTest {
    /// While the signal has exactly this value.
    Equals(f64),
    /// While it is greater.
    Above(f64),
    /// While it is less.
    Below(f64),
}

impl StateTest {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::Equals(wanted) => value == wanted,
            Self::Above(limit) => value > limit,
            Self::Below(limit) => value < limit,
        }
    }
}

impl fmt::Display for StateTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => write!(f, "= {value}"),
            Self::Above(limit) => write!(f, "> {limit}"),
            Self::Below(limit) => write!(f, "< {limit}"),
        }
    }
}

/// A judge judges only while a machine is in one state.
#[derive(Debug, Clone, PartialEq)]
pub struct WhileRule {
    /// The signal that says it.
    pub state: StateSignal,
    /// Which state it is.
    pub test: StateTest,
    /// From the change to that state, this long passes before it judges.
    pub settle: Duration,
}

/// A judge learns apart for each state of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct ByRule {
    /// The signal that says it: each value is a state.
    pub state: StateSignal,
    /// After each change, this long passes before it judges.
    pub settle: Duration,
}

/// How the state of a machine decides about one judge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StateRules {
    /// It judges only then.
    pub only_while: Option<WhileRule>,
    /// It learns apart for each.
    pub by: Option<ByRule>,
}

impl StateRules {
    /// Nothing depends on a state.
    pub const NONE: Self = Self { only_while: None, by: None };

    /// The signals that it depends on.
    pub fn signals(&self) -> impl Iterator<Item = &StateSignal> {
        let only_while = self.only_while.iter().map(|rule| &rule.state);
        only_while.chain(self.by.iter().map(|rule| &rule.state))
    }
}

/// States that are distinguished; what comes beyond them is one more state together.
pub(super) const MOST_STATES: usize = 8;
/// The state of all values beyond the first eight.
pub(super) const OTHER: u8 = MOST_STATES as u8;
/// How it is called.
const OTHER_NAME: &str = "other";

/// How values become states.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reduction {
    /// State 1 where the test holds, else 0.
    Test(StateTest),
    /// The first eight values in the order in which they came, then [`OTHER`].
    Values,
}

impl Reduction {
    /// The state of a value. New values find their place in `values`.
    pub(super) fn state(self, value: f64, values: &mut Vec<f64>) -> u8 {
        // One zero of the two.
        let value = value + 0.0;
        match self {
            Self::Test(test) => u8::from(test.holds(value)),
            Self::Values => {
                let known = values.iter().position(|known| *known == value);
                let index = known.unwrap_or(values.len());
                if known.is_none() && index < MOST_STATES {
                    values.push(value);
                }
                u8::try_from(index).unwrap_or(OTHER).min(OTHER)
            }
        }
    }

    /// States that there can be.
    pub(super) const fn states(self) -> usize {
        match self {
            Self::Test(_) => 2,
            Self::Values => MOST_STATES + 1,
        }
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test(test) => test.fmt(f),
            Self::Values => f.write_str("by"),
        }
    }
}

/// The name of a state among values, as saved keys have it.
pub(super) fn state_name(state: u8, values: &[f64]) -> String {
    values.get(usize::from(state)).map_or_else(|| OTHER_NAME.to_owned(), f64::to_string)
}

/// The state with this name, which finds its place in `values` where it is new.
pub(super) fn state_named(name: &str, values: &mut Vec<f64>) -> Option<u8> {
    if name == OTHER_NAME {
        return Some(OTHER);
    }
    let value = name.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some(Reduction::Values.state(value, values)).filter(|state| *state != OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_eight_values_are_states_and_all_others_one() {
        let mut values = Vec::new();
        let mut states = |list: &[f64]| -> Vec<u8> {
            list.iter().map(|value| Reduction::Values.state(*value, &mut values)).collect()
        };
        assert_eq!(states(&[1.0, 0.0, -0.0, 1.0, 2.5]), [0, 1, 1, 0, 2]);
        assert_eq!(states(&[3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0]), [3, 4, 5, 6, 7, 8, 8, 1]);
        assert_eq!(values.len(), MOST_STATES);
        for state in 0..=OTHER {
            assert_eq!(state_named(&state_name(state, &values), &mut values.clone()), Some(state));
        }
        assert_eq!(state_named("NaN", &mut values), None);
    }

    #[test]
    fn a_test_makes_two_states() {
        let check = |test, value, expected| {
            assert_eq!(Reduction::Test(test).state(value, &mut Vec::new()), expected, "{value} {test}");
        };
        check(StateTest::Equals(1.0), 1.0, 1);
        check(StateTest::Equals(0.0), -0.0, 1);
        check(StateTest::Above(0.5), 0.5, 0);
        check(StateTest::Below(0.5), 0.4, 1);
    }
}
