//! The results of orders, also of those that judges of two threads have carried out.

use verge_domain::settable::LimitKey;
use verge_domain::stage::Remark;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Detector;

use super::orders::OrderError;

/// The result of an order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// A remark was received.
    Applied {
        /// Number of instances that received it.
        matched: usize,
        /// Number of instances that it changed; rules do not learn.
        changed: usize,
        /// Number of signals, or of devices as a whole, that these instances watch.
        signals: usize,
        /// Number of alarms that had another label before: the last one counts.
        replaced: usize,
        /// The remark that one of the instances had no use for, and its detector.
        unlearnt: Option<(Detector, Remark)>,
    },
    /// A maintenance window is open.
    Opened {
        /// Number of instances that raise nothing.
        instances: usize,
        /// When it ends.
        until: UtcMillis,
    },
    /// Events were acknowledged.
    Acknowledged {
        /// Number of events.
        events: usize,
        /// Number of events that were acknowledged before.
        already: usize,
    },
    /// Alarms are shelved.
    Shelved {
        /// Number of instances that raise nothing.
        points: usize,
        /// When that ends.
        until: UtcMillis,
    },
    /// Alarms are back on the list before their time.
    Unshelved {
        /// Number of points, as they were shelved.
        points: usize,
    },
    /// A limit was moved.
    Set {
        /// Which.
        key: LimitKey,
        /// Where to; `None`: to where the configuration has it.
        value: Option<f64>,
        /// What the configuration says.
        configured: f64,
        /// Open events that are reported with it.
        events: usize,
    },
    /// Maintenance windows were closed before their time.
    Closed {
        /// Number of windows.
        windows: usize,
        /// Number of instances that received the remark that it was maintenance.
        matched: usize,
        /// Number of instances that it changed.
        changed: usize,
    },
}

impl Outcome {
    /// The result of an order that judges of two threads have carried out.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Applied { matched, changed, signals, replaced, unlearnt },
                Self::Applied {
                    matched: also,
                    changed: used_too,
                    signals: more,
                    replaced: others,
                    unlearnt: besides,
                },
            ) => Self::Applied {
                matched: matched + also,
                changed: changed + used_too,
                signals: signals + more,
                replaced: replaced + others,
                unlearnt: unlearnt.or(besides),
            },
            (Self::Opened { instances, until }, Self::Opened { instances: also, until: other }) => {
                Self::Opened { instances: instances + also, until: until.max(other) }
            }
            (
                Self::Closed { windows, matched, changed },
                Self::Closed { windows: same, matched: also, changed: used_too },
            ) => Self::Closed {
                windows: windows.max(same),
                matched: matched + also,
                changed: changed + used_too,
            },
            (
                Self::Acknowledged { events, already },
                Self::Acknowledged { events: more, already: besides },
            ) => Self::Acknowledged { events: events + more, already: already + besides },
            (Self::Shelved { points, until }, Self::Shelved { points: more, until: other }) => {
                Self::Shelved { points: points + more, until: until.max(other) }
            }
            (Self::Set { key, value, configured, events }, Self::Set { events: more, .. }) => {
                Self::Set { key, value, configured, events: events + more }
            }
            (Self::Unshelved { points }, Self::Unshelved { points: same }) => {
                Self::Unshelved { points: points.max(same) }
            }
            (one, _) => one,
        }
    }
}

/// The result of an order that went to judges of two threads: it is carried out where one of them knows the
/// selected subject.
pub(crate) fn joint(
    one: Result<Outcome, OrderError>,
    other: Result<Outcome, OrderError>,
) -> Result<Outcome, OrderError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(one.and(other)),
        (Err(OrderError::TooManyWindows), _) | (_, Err(OrderError::TooManyWindows)) => {
            Err(OrderError::TooManyWindows)
        }
        (Ok(outcome), Err(_)) | (Err(_), Ok(outcome)) => Ok(outcome),
        (Err(one), Err(other)) => Err(one.and(other)),
    }
}
