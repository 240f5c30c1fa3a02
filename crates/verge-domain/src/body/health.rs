//! The health of sensors and devices.

use crate::finding::{Expected, Member};
use crate::id::Unit;

/// The health of a sensor or device.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// What is wrong with it.
    pub cause: Member,
    /// What was observed, in the unit of the cause: see [`Member::own_unit`].
    pub observed: f64,
    /// What was expected, in the same unit.
    pub expected: Expected,
    /// How far out that is: 1 is the most that is usual of this sensor.
    pub distance: Option<f64>,
    /// The same in the unit of the signal, where it has one: the value that stands still or at which it is cut off; the mean
    /// step from reading to reading.
    pub value: Option<f64>,
    /// Where `value` lies while all is well.
    pub usual: Expected,
    /// Unit of `value`, if known.
    pub value_unit: Option<Unit>,
}

impl Health {
    /// What is wrong, by what was observed beside what was expected.
    #[must_use]
    pub const fn of(cause: Member, observed: f64, expected: Expected) -> Self {
        let usual = Expected { low: None, high: None };
        Self { cause, observed, expected, distance: None, value: None, usual, value_unit: None }
    }
}
