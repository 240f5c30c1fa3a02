//! The health of sensors and devices.

use crate::finding::{Expected, Member};

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
}
