//! Maintenance windows: for a limited time no event is raised about some subjects; then their judges learn anew. A shelved
//! alarm is a window too, of one judge, with an operator; its end teaches nothing.
//!
//! Windows are saved one by one and outlive a restart. The monotonic clock measures time while the gateway
//! runs, the wall clock across a restart. No window exceeds the longest length, whatever the wall clock reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::id::{DeviceId, JudgeId, SignalId, SourceId};
use verge_domain::stage::{Checkpoint, Judge, Remark};
use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_domain::verdict::{ActionKind, AlarmHandling, Subject};

use super::instance::Instance;
use super::operator::LONGEST_SHELVING;
use super::orders::{LONGEST_WINDOW, Names, OrderError, Selector};
use super::outcome::Outcome;
use super::rates::later;
use super::saved::{MAINTENANCE, SEPARATOR, SHELVING};
use super::saved_life::about;
use super::{Decision, JudgeSet, Operator};
use crate::counters::MaintenanceWindow;

/// Maximum number of open maintenance windows.
pub const MAX_WINDOWS: usize = 64;

/// One open window.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) selector: Selector,
    until: Monotonic,
    until_wall: UtcMillis,
    /// Who shelved alarms by it; `None` of maintenance.
    operator: Option<Operator>,
}

#[derive(Serialize, Deserialize)]
struct SavedWindow {
    until: UtcMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
}

impl Window {
    fn checkpoint(&self) -> Checkpoint {
        let (until, operator) = (self.until_wall, self.operator.clone());
        let state = serde_json::to_vec(&SavedWindow { until, operator });
        Checkpoint { key: self.key(), state: Some(state.expect("a number and texts")) }
    }

    fn key(&self) -> String {
        key(if self.shelves() { SHELVING } else { MAINTENANCE }, &self.selector)
    }

    const fn shelves(&self) -> bool {
        self.operator.is_some()
    }

    /// How long it may last, whatever was saved of it.
    const fn longest(&self) -> Duration {
        if self.shelves() { LONGEST_SHELVING } else { LONGEST_WINDOW }
    }

    /// The part of what a judge watches that it is about alone.
    fn part_of(&self, judge: &JudgeId, subject: &Subject) -> Option<SignalId> {
        let part = self.selector.signal.clone().filter(|_| subject.signal.is_none())?;
        self.selector.means(judge, &about(subject, Some(&part))).then_some(part)
    }
}

fn key(kind: &str, selector: &Selector) -> String {
    let judge = selector.judge.as_ref().map_or("", JudgeId::as_str);
    let source = selector.source.as_ref().map_or("", SourceId::as_str);
    let signal = selector.signal.as_ref().map_or("", SignalId::as_str);
    let device = &selector.device;
    format!("{kind}{SEPARATOR}{judge}{SEPARATOR}{source}{SEPARATOR}{device}{SEPARATOR}{signal}")
}

fn parse_key(key: &str) -> Option<Selector> {
    let mut parts = key.split(SEPARATOR);
    let mut next = || parts.next();
    next().filter(|kind| [MAINTENANCE, SHELVING].contains(kind))?;
    let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let judge = some(next()?).map(JudgeId::try_from).transpose().ok()?;
    let source = some(next()?).map(SourceId::try_from).transpose().ok()?;
    let device = DeviceId::new(next()?).ok()?;
    let signal = some(next()?).map(SignalId::try_from).transpose().ok()?;
    next().is_none().then_some(Selector { device, signal, judge, source })
}

/// Holds back what windows say.
pub(super) fn hold<J: Judge>(instance: &mut Instance<J>, judge: &JudgeId, windows: &[Window]) {
    let subject = &instance.subject;
    let all = windows.iter().any(|window| window.selector.means(judge, subject));
    let parts = windows.iter().filter_map(|window| window.part_of(judge, subject)).collect();
    instance.life.hold(all, parts);
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Opens a window, or gives an open one of the same kind and for the same subjects a new end.
    pub(super) fn open_window(
        &mut self,
        selector: &Selector,
        length: Duration,
        operator: Option<&Operator>,
        now: Moment,
        out: &mut Decision,
    ) -> Result<UtcMillis, OrderError> {
        let length = length.min(LONGEST_WINDOW);
        let is_same =
            |window: &Window| window.shelves() == operator.is_some() && window.selector == *selector;
        let known = self.windows.iter().position(is_same);
        if known.is_none() && self.windows.len() >= MAX_WINDOWS {
            return Err(OrderError::TooManyWindows);
        }
        let until_wall = later(now.wall, length);
        let (selector, operator) = (selector.clone(), operator.cloned());
        let shelved_by = operator.as_ref().map(|operator| operator.by.clone());
        let until = now.mono.after(length);
        let window = Window { selector: selector.clone(), until, until_wall, operator };
        out.checkpoints.push(window.checkpoint());
        match known {
            Some(index) => self.windows[index] = window,
            None => self.windows.push(window),
        }
        let minutes = length.as_secs() / 60;
        match shelved_by {
            Some(by) => tracing::info!(%selector, %by, minutes, "alarms are shelved: nothing is raised"),
            None => tracing::info!(%selector, minutes, "maintenance begins: nothing is raised"),
        }
        self.windows_changed();
        Ok(until_wall)
    }

    /// Ends every window that lies within the selected subjects: those of maintenance, or where an operator puts alarms back,
    /// those by which they were shelved.
    pub(super) fn close_windows(
        &mut self,
        selector: &Selector,
        operator: Option<&Operator>,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Outcome, OrderError> {
        let mut windows = 0;
        let is_of_kind = |window: &Window| window.shelves() == operator.is_some();
        for window in self.windows.iter_mut().filter(|window| is_of_kind(window)) {
            if selector.includes(&window.selector) {
                window.until = now.mono;
                window.operator = operator.cloned();
                windows += 1;
            }
        }
        if windows == 0 {
            let known = self.windows.iter().filter(|window| is_of_kind(window));
            let known = Names::of(known.map(|window| window.selector.to_string()));
            let selector = selector.clone();
            return Err(match operator {
                Some(_) => OrderError::NothingShelved { selector, known },
                None => OrderError::NoWindow { selector, known },
            });
        }
        let (matched, changed) = self.end_windows(now, out);
        Ok(match operator {
            Some(_) => Outcome::Unshelved { points: windows },
            None => Outcome::Closed { windows, matched, changed },
        })
    }

    /// Ends the windows whose time is over: their judges receive the remark that it was maintenance. Returns how many
    /// received it, and how many it changed.
    pub(super) fn end_windows(&mut self, now: Moment, out: &mut Decision) -> (usize, usize) {
        if self.windows.iter().all(|window| window.until > now.mono) {
            return (0, 0);
        }
        let (ended, open): (Vec<Window>, Vec<Window>) =
            std::mem::take(&mut self.windows).into_iter().partition(|window| window.until <= now.mono);
        for window in &ended {
            out.checkpoints.push(Checkpoint { key: window.key(), state: None });
        }
        self.windows = open;
        self.put_back(&ended, now, out);
        let of_maintenance = |window: &&Window| !window.shelves();
        let ended: Vec<&Window> = ended.iter().filter(of_maintenance).collect();
        if ended.is_empty() {
            self.windows_changed();
            return (0, 0);
        }
        let open: Vec<Selector> =
            self.windows.iter().filter(of_maintenance).map(|window| window.selector.clone()).collect();
        // An instance that another window still covers receives the remark when that window ends.
        let applied = self.apply((Remark::Maintenance, None), None, now, out, |judge, one| {
            ended.iter().any(|window| window.selector.means(judge, &one.subject))
                && !open.iter().any(|selector| selector.means(judge, &one.subject))
        });
        tracing::info!(
            windows = ended.len(),
            matched = applied.matched,
            changed = applied.changed,
            "maintenance has ended"
        );
        self.windows_changed();
        (applied.matched, applied.changed)
    }

    /// Puts alarms back on the list whose time is over: what is still open waits to be acknowledged anew.
    fn put_back(&mut self, ended: &[Window], now: Moment, out: &mut Decision) {
        for window in ended {
            let Some(shelved_by) = &window.operator else { continue };
            let by_time = Operator::time();
            let operator = if window.until_wall <= now.wall { &by_time } else { shelved_by };
            let held: Vec<Selector> = self
                .windows
                .iter()
                .filter(|other| other.shelves())
                .map(|other| other.selector.clone())
                .collect();
            tracing::info!(selector = %window.selector, by = %operator.by, "alarms are no longer shelved");
            self.handle(
                |judge, subject| {
                    window.selector.means(judge, subject)
                        && !held.iter().any(|selector| selector.means(judge, subject))
                },
                |open| open.event.handling.shelved.is_some(),
                |handling| (handling != AlarmHandling::default()).then(AlarmHandling::default),
                &operator.did(ActionKind::Unshelved),
                (now, out),
            );
        }
    }

    /// Restores a window that was open when the gateway stopped. Returns whether it could be read.
    pub(super) fn restore_window(&mut self, key: &str, state: &[u8], now: Moment) -> bool {
        let (Some(selector), Ok(saved)) = (parse_key(key), serde_json::from_slice::<SavedWindow>(state))
        else {
            tracing::error!("a saved maintenance window is damaged: it is over");
            return false;
        };
        if self.windows.len() >= MAX_WINDOWS {
            return false;
        }
        let SavedWindow { until, operator } = saved;
        let mut window = Window { selector, until: now.mono, until_wall: until, operator };
        let left = until.since(now.wall).min(window.longest());
        (window.until, window.until_wall) = (now.mono.after(left), later(now.wall, left));
        self.windows.push(window);
        true
    }

    /// Suppresses raises where a window is open, and updates the status.
    pub(super) fn windows_changed(&mut self) {
        for (_, instance) in &mut self.instances {
            hold(instance, &self.specs[instance.judge_index].name, &self.windows);
        }
        let account = |window: &Window| MaintenanceWindow {
            device: window.selector.device.clone(),
            signal: window.selector.signal.clone(),
            judge: window.selector.judge.clone(),
            source: window.selector.source.clone(),
            until: window.until_wall,
            by: window.operator.as_ref().map(|operator| operator.by.clone()),
            note: window.operator.as_ref().and_then(|operator| operator.note.clone()),
        };
        self.counters.note_maintenance(self.windows.iter().map(account).collect());
    }
}
