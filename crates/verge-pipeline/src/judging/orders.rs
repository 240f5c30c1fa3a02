//! Orders from people upstream to the judges: remarks on alarms, and maintenance windows.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{DeviceId, EventNumber, JudgeId, JudgeIndex, OperatorText, SignalId, SourceId};
use verge_domain::settable::LimitKey;
use verge_domain::stage::{Judge, Remark};
use verge_domain::time::Moment;
use verge_domain::verdict::{Detector, Subject};

use super::containment::contained;
use super::instance::Instance;
use super::maintenance::MAX_WINDOWS;
use super::outcome::Outcome;
use super::{Decision, JudgeSet, KnownEvent, Operator};

/// Longest maintenance window: a week.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// Maximum of names that an error lists.
const MAX_NAMES: usize = 8;

/// Which instances of which judges are selected, as their verdicts name them. `None` takes all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The device.
    pub device: DeviceId,
    /// The signal. Judges that watch a device as a whole have none, and are selected only where this is `None`.
    pub signal: Option<SignalId>,
    /// The judge.
    pub judge: Option<JudgeId>,
    /// The source.
    pub source: Option<SourceId>,
}

impl Selector {
    pub(super) fn means(&self, judge: &JudgeId, subject: &Subject) -> bool {
        self.device == subject.device
            && self.signal.as_ref().is_none_or(|signal| subject.signal.as_ref() == Some(signal))
            && self.judge.as_ref().is_none_or(|meant| meant == judge)
            && self.source.as_ref().is_none_or(|source| *source == subject.source)
    }

    /// Whether this selects all that `other` selects, as far as the names show.
    pub(super) fn includes(&self, other: &Self) -> bool {
        fn within<T: PartialEq>(all: Option<&T>, one: Option<&T>) -> bool {
            all.is_none() || all == one
        }
        self.device == other.device
            && within(self.signal.as_ref(), other.signal.as_ref())
            && within(self.judge.as_ref(), other.judge.as_ref())
            && within(self.source.as_ref(), other.source.as_ref())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}", self.device)?;
        if let Some(signal) = &self.signal {
            write!(f, " signal {signal}")?;
        }
        if let Some(judge) = &self.judge {
            write!(f, " judge {judge}")?;
        }
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " source {source}"))
    }
}

/// What a person orders.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// A remark on alarms.
    Label {
        /// Which instances receive it.
        selector: Selector,
        /// The remark.
        remark: Remark,
        /// The alarm; `None`: the last one of each instance.
        event: Option<KnownEvent>,
        /// Where it came in, and the person where that is known.
        by: OperatorText,
    },
    /// To raise nothing for a limited time; at its end the instances receive [`Remark::Maintenance`].
    Maintenance {
        /// Which instances raise nothing.
        selector: Selector,
        /// For how long from now, at most [`LONGEST_WINDOW`]; zero ends an open window.
        length: Duration,
    },
    /// To note that open events are acknowledged.
    Acknowledge {
        /// Whose events.
        selector: Selector,
        /// The event; `None`: all that are open.
        event: Option<KnownEvent>,
        /// Who acknowledges them.
        operator: Operator,
    },
    /// To take alarms off the list for a limited time. Unlike maintenance it teaches the judges nothing.
    Shelve {
        /// Whose alarms: of one judge.
        selector: Selector,
        /// For how long from now, at most [`LONGEST_SHELVING`](super::LONGEST_SHELVING); zero puts them back.
        length: Duration,
        /// Who shelves them.
        operator: Operator,
    },
    /// To move a limit of a judge, within the bounds of its configuration.
    Set {
        /// The judge.
        judge: JudgeId,
        /// The limit.
        key: LimitKey,
        /// Where it is to be; `None`: where the configuration has it.
        value: Option<f64>,
        /// Who moves it.
        operator: Operator,
    },
}

/// What became of a remark, see [`Outcome::Applied`].
#[derive(Debug, Clone, Default)]
pub(super) struct Applied {
    pub(super) matched: usize,
    pub(super) changed: usize,
    signals: usize,
    replaced: usize,
    unlearnt: Option<(Detector, Remark)>,
    /// The numbers of the events whose label changed.
    pub(super) labelled: Vec<EventNumber>,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// The device is not known.
    #[error("no judge watches device {device}; devices that are watched: {known}")]
    UnknownDevice {
        /// The requested device.
        device: DeviceId,
        /// The known devices.
        known: Names,
    },
    /// The device is known, but no judge watches the selected part of it.
    #[error("no judge watches {selector}; of that device there are: {known}")]
    NothingSelected {
        /// The requested selection.
        selector: Selector,
        /// Judge, source and signal of the existing instances.
        known: Names,
    },
    /// The maximum number of windows is open.
    #[error("{MAX_WINDOWS} maintenance windows and shelved alarms are open already")]
    TooManyWindows,
    /// No event is open.
    #[error("no open event of {selector} is known here")]
    NothingOpen {
        /// The requested selection.
        selector: Selector,
    },
    /// Nothing is shelved.
    #[error("nothing is shelved of {selector}; shelved are: {known}")]
    NothingShelved {
        /// The requested selection.
        selector: Selector,
        /// What is shelved.
        known: Names,
    },
    /// No judge has this name.
    #[error("there is no judge {judge}; there are: {known}")]
    UnknownJudge {
        /// The requested judge.
        judge: JudgeId,
        /// The judges.
        known: Names,
    },
    /// The configuration does not open this limit.
    #[error("{key} of judge {judge} may not be set; the key settable of the judge opens: {known}")]
    NotSettable {
        /// The judge.
        judge: JudgeId,
        /// The limit.
        key: LimitKey,
        /// Limits that may be set.
        known: Names,
    },
    /// The configuration does not open it that far.
    #[error("{key} of judge {judge} may be set from {lowest} to {highest}, not to {value}")]
    BeyondBounds {
        /// The judge.
        judge: JudgeId,
        /// The limit.
        key: LimitKey,
        /// The requested value.
        value: f64,
        /// The least that is admitted.
        lowest: f64,
        /// The most.
        highest: f64,
    },
    /// There is no window to end.
    #[error("no maintenance window is open for {selector}; open are: {known}")]
    NoWindow {
        /// The requested selection.
        selector: Selector,
        /// The open windows.
        known: Names,
    },
}

impl OrderError {
    /// Why judges of two threads did not carry it out.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::UnknownDevice { device, known }, Self::UnknownDevice { known: also, .. }) => {
                Self::UnknownDevice { device, known: known.and(also) }
            }
            (Self::NothingSelected { selector, known }, Self::NothingSelected { known: also, .. }) => {
                Self::NothingSelected { selector, known: known.and(also) }
            }
            // The thread that knows the device gives the more precise error.
            (Self::UnknownDevice { .. }, other) => other,
            (one, _) => one,
        }
    }
}

/// Names in a message for people: the first few, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    first: Vec<String>,
    more: usize,
}

impl Names {
    /// Each name once, in order.
    pub(super) fn of(names: impl Iterator<Item = String>) -> Self {
        let names: BTreeSet<String> = names.collect();
        let more = names.len().saturating_sub(MAX_NAMES);
        Self { first: names.into_iter().take(MAX_NAMES).collect(), more }
    }

    fn and(self, other: Self) -> Self {
        let more = self.more + other.more;
        let all = Self::of(self.first.into_iter().chain(other.first));
        Self { more: all.more + more, ..all }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.first.join(", "))?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Carries out an order. What must become durable with it is added to `out`. Where the subject is `known` to judges
    /// of another thread, a window opens here as well.
    ///
    /// # Errors
    /// See [`OrderError`]; then nothing has changed.
    pub fn carry_out(
        &mut self,
        order: &Order,
        known: bool,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Outcome, OrderError> {
        match order {
            Order::Label { selector, remark, event, by } => {
                self.meant(selector)?;
                let applied =
                    self.apply((*remark, event.as_ref()), Some(selector), now, out, |judge, one| {
                        one.subjects().any(|subject| selector.means(judge, &subject))
                    });
                let Applied { matched, changed, signals, replaced, unlearnt, labelled } = applied;
                self.report_labels(&labelled, (*remark, by), now, out);
                // The label itself must outlive a restart, whatever was learnt from it.
                out.checkpoints.push(self.naming.register.saved_labels());
                let number = event.as_ref().map(|event| event.number.0);
                tracing::info!(%selector, number, ?remark, %by, matched, changed, "an alarm is labelled");
                Ok(Outcome::Applied { matched, changed, signals, replaced, unlearnt })
            }
            Order::Maintenance { selector, length } if length.is_zero() => {
                self.close_windows(selector, None, now, out)
            }
            Order::Acknowledge { selector, event, operator } => {
                self.acknowledge(selector, event.as_ref(), operator, now, out)
            }
            Order::Shelve { selector, length, operator } if length.is_zero() => {
                self.close_windows(selector, Some(operator), now, out)
            }
            Order::Shelve { selector, length, operator } => {
                self.shelve((selector, known), *length, operator, now, out)
            }
            Order::Set { judge, key, value, operator } => {
                self.set_limit((judge, *key, *value), operator, now, out)
            }
            Order::Maintenance { selector, length } => {
                let instances = match self.meant(selector) {
                    Err(_) if known => 0,
                    meant => meant?,
                };
                let until = self.open_window(selector, *length, None, now, out)?;
                Ok(Outcome::Opened { instances, until })
            }
        }
    }

    /// Passes a remark to instances, and saves what it changed. `meant`: which of their events a person means.
    pub(super) fn apply(
        &mut self,
        (remark, event): (Remark, Option<&KnownEvent>),
        meant: Option<&Selector>,
        now: Moment,
        out: &mut Decision,
        selected: impl Fn(&JudgeId, &Instance<J>) -> bool,
    ) -> Applied {
        let mut applied = Applied::default();
        let mut subjects: HashSet<&Subject> = HashSet::new();
        let register = Arc::clone(&self.naming.register);
        for (_, instance) in &mut self.instances {
            let spec = &self.specs[instance.judge_index];
            if !selected(&spec.name, instance) {
                continue;
            }
            applied.matched += 1;
            let doing = "taking a remark";
            let learnt = contained(instance, spec, &self.counters, doing, now, out, |instance, out| {
                let learnt = instance.judge.apply(remark, event.map(|event| event.since));
                if learnt {
                    out.checkpoints.extend(instance.changed_state(&spec.name));
                }
                learnt
            });
            applied.changed += usize::from(learnt == Some(true));
            if learnt == Some(false) {
                applied.unlearnt.get_or_insert((spec.detector, remark));
            }
            let is_last = |known: &KnownEvent| {
                known.is_of(&spec.name, &instance.subject)
                    && meant.is_none_or(|meant| meant.means(&known.judge, &known.subject))
            };
            let before = match event {
                Some(event) => register.label(remark, |known| known.number == event.number),
                None => register.label(remark, is_last),
            };
            applied.replaced += usize::from(before.as_ref().is_some_and(|before| before.label.is_some()));
            applied.labelled.extend(before.map(|before| before.number));
            subjects.insert(&instance.subject);
        }
        applied.signals = subjects.len();
        applied
    }

    /// How many instances are selected, at least one.
    pub(super) fn meant(&self, selector: &Selector) -> Result<usize, OrderError> {
        let all = || self.instances.iter().map(|(_, instance)| instance);
        let judge = |index: JudgeIndex| &self.specs[index].name;
        let means = |one: &Instance<J>| {
            one.subjects().any(|subject| selector.means(judge(one.judge_index), &subject))
        };
        let count = all().filter(|one| means(one)).count();
        if count > 0 {
            return Ok(count);
        }
        let mut of_device = all().filter(|one| one.subject.device == selector.device).peekable();
        if of_device.peek().is_none() {
            let known = Names::of(all().map(|one| one.subject.device.to_string()));
            return Err(OrderError::UnknownDevice { device: selector.device.clone(), known });
        }
        let known = Names::of(of_device.map(|one| {
            let signal = one.subject.signal.as_ref().map_or("all signals", SignalId::as_str);
            format!("{} ({}, {signal})", judge(one.judge_index), one.subject.source)
        }));
        Err(OrderError::NothingSelected { selector: selector.clone(), known })
    }
}
