//! Maintenance windows: for a limited time no event is raised about some subjects; then their judges learn anew.
//!
//! Windows are saved one by one and outlive a restart. The monotonic clock measures time while the gateway
//! runs, the wall clock across a restart. No window exceeds the longest length, whatever the wall clock reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::id::{DeviceId, JudgeId, SignalId, SourceId};
use verge_domain::stage::{Checkpoint, Judge, Remark};
use verge_domain::time::{Moment, Monotonic, UtcMillis};

use super::orders::{LONGEST_WINDOW, Names, OrderError, Outcome, Selector};
use super::rates::later;
use super::saved::{MAINTENANCE, SEPARATOR};
use super::{Decision, JudgeSet};
use crate::counters::MaintenanceWindow;

/// Maximum number of open maintenance windows.
pub const MAX_WINDOWS: usize = 64;

/// One open window.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) selector: Selector,
    until: Monotonic,
    until_wall: UtcMillis,
}

#[derive(Serialize, Deserialize)]
struct SavedWindow {
    until: UtcMillis,
}

impl Window {
    fn checkpoint(&self) -> Checkpoint {
        let state = serde_json::to_vec(&SavedWindow { until: self.until_wall });
        Checkpoint { key: key(&self.selector), state: Some(state.expect("a number")) }
    }
}

fn key(selector: &Selector) -> String {
    let judge = selector.judge.as_ref().map_or("", JudgeId::as_str);
    let source = selector.source.as_ref().map_or("", SourceId::as_str);
    let signal = selector.signal.as_ref().map_or("", SignalId::as_str);
    let device = &selector.device;
    format!("{MAINTENANCE}{SEPARATOR}{judge}{SEPARATOR}{source}{SEPARATOR}{device}{SEPARATOR}{signal}")
}

fn parse_key(key: &str) -> Option<Selector> {
    let mut parts = key.split(SEPARATOR);
    let mut next = || parts.next();
    next().filter(|kind| *kind == MAINTENANCE)?;
    let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let judge = some(next()?).map(JudgeId::try_from).transpose().ok()?;
    let source = some(next()?).map(SourceId::try_from).transpose().ok()?;
    let device = DeviceId::new(next()?).ok()?;
    let signal = some(next()?).map(SignalId::try_from).transpose().ok()?;
    next().is_none().then_some(Selector { device, signal, judge, source })
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Opens a window, or gives an open one for the same subjects a new end.
    pub(super) fn open_window(
        &mut self,
        selector: &Selector,
        length: Duration,
        now: Moment,
        out: &mut Decision,
    ) -> Result<UtcMillis, OrderError> {
        let length = length.min(LONGEST_WINDOW);
        let known = self.windows.iter().position(|window| window.selector == *selector);
        if known.is_none() && self.windows.len() >= MAX_WINDOWS {
            return Err(OrderError::TooManyWindows);
        }
        let until_wall = later(now.wall, length);
        let window = Window { selector: selector.clone(), until: now.mono.after(length), until_wall };
        out.checkpoints.push(window.checkpoint());
        match known {
            Some(index) => self.windows[index] = window,
            None => self.windows.push(window),
        }
        tracing::info!(%selector, minutes = length.as_secs() / 60, "maintenance begins: nothing is raised");
        self.windows_changed();
        Ok(until_wall)
    }

    /// Ends every window that lies within the selected subjects.
    pub(super) fn close_windows(
        &mut self,
        selector: &Selector,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Outcome, OrderError> {
        let mut windows = 0;
        for window in self.windows.iter_mut().filter(|window| selector.includes(&window.selector)) {
            window.until = now.mono;
            windows += 1;
        }
        if windows == 0 {
            let known = Names::of(self.windows.iter().map(|window| window.selector.to_string()));
            return Err(OrderError::NoWindow { selector: selector.clone(), known });
        }
        let (matched, changed) = self.end_windows(now, out);
        Ok(Outcome::Closed { windows, matched, changed })
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
            out.checkpoints.push(Checkpoint { key: key(&window.selector), state: None });
        }
        // An instance that another window still covers receives the remark when that window ends.
        let applied = self.apply(Remark::Maintenance, None, now, out, |judge, subject| {
            ended.iter().any(|window| window.selector.means(judge, subject))
                && !open.iter().any(|window| window.selector.means(judge, subject))
        });
        tracing::info!(
            windows = ended.len(),
            matched = applied.matched,
            changed = applied.changed,
            "maintenance has ended"
        );
        self.windows = open;
        self.windows_changed();
        (applied.matched, applied.changed)
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
        let left = saved.until.since(now.wall).min(LONGEST_WINDOW);
        self.windows.push(Window {
            selector,
            until: now.mono.after(left),
            until_wall: later(now.wall, left),
        });
        true
    }

    /// Suppresses raises where a window is open, and updates the status.
    pub(super) fn windows_changed(&mut self) {
        for (_, instance) in &mut self.instances {
            let judge = &self.specs[instance.judge_index].name;
            let held = self.windows.iter().any(|window| window.selector.means(judge, &instance.subject));
            instance.life.hold(held);
        }
        let account = |window: &Window| MaintenanceWindow {
            device: window.selector.device.clone(),
            signal: window.selector.signal.clone(),
            judge: window.selector.judge.clone(),
            source: window.selector.source.clone(),
            until: window.until_wall,
        };
        self.counters.note_maintenance(self.windows.iter().map(account).collect());
    }
}
