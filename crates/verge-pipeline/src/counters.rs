//! The counters of the running gateway. Counters only grow; readers take differences.

mod asks;
mod latency;
mod reloads;
mod source;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use verge_domain::id::{DeviceId, JudgeId, Lane, OperatorText, Seq, SignalId, SourceId};
use verge_domain::reading::SourceIndex;
use verge_domain::settable::SetLimit;
use verge_domain::stage::StoreUsage;
use verge_domain::time::UtcMillis;

use crate::beats::{Beats, ThreadBeat};
use crate::frames::FrameOverload;
use crate::judging::{CountedLines, JudgeRate};
pub use asks::Asks;
pub use latency::{Latency, Percentiles};
pub use reloads::{Reloads, ReloadsStatus};
pub use source::SourceCounters;

/// One counter. Relaxed: counters impose no order.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters of a gateway.
#[derive(Debug, Default)]
pub struct Counters {
    sources: Vec<Arc<SourceCounters>>,
    /// The counters of bulk judges, where they have a thread of their own.
    bulk: Option<Arc<Counters>>,
    /// Verdicts committed, per lane.
    pub committed_total: [Counter; Lane::ALL.len()],
    /// Transactions that carried verdicts.
    pub commits_total: Counter,
    /// From receipt to durable.
    pub commit_latency: Latency,
    /// Frames: from receipt until a worker begins.
    pub frame_age: Latency,
    /// Frames: how long a worker takes for one.
    pub frame_judging: Latency,
    /// Verdicts that broke an invariant and could not be encoded: a defect of this program.
    pub encode_failures_total: Counter,
    /// Verdicts evicted after delivery.
    pub evicted_total: Counter,
    /// Failures of the store.
    pub store_faults_total: Counter,
    /// Judges, codecs and encoders that panicked: defects of this program.
    pub defects_total: Counter,
    /// Of all threads, those of bulk judges included.
    pub beats: Arc<Beats>,
    /// How often time has passed for these judges: proof that their thread makes progress.
    pub judging_ticks_total: Counter,
    /// How often the store was looked after while nothing waited for it: proof that committing makes progress.
    pub store_looks_total: Counter,
    /// Devices evicted for others, for want of room.
    pub evicted_devices_total: Counter,
    /// States of machines that could not be learnt apart, for want of room.
    pub states_without_room_total: Counter,
    /// Steps of the wall clock.
    pub clock_steps_total: Counter,
    /// The size of the last of them, in milliseconds.
    pub last_clock_step_ms: AtomicI64,
    /// Events not raised because of maintenance.
    pub raises_held_back_total: Counter,
    /// Who is to be asked for what messages lack.
    pub asks: Arc<Asks>,
    /// What became of reloads.
    pub reloads: Reloads,
    maintenance: Mutex<Vec<MaintenanceWindow>>,
    set_limits: watch::Sender<Vec<SetLimit>>,
    alarm_rates: Mutex<Vec<JudgeRate>>,
    counted_lines: Mutex<Vec<CountedLines>>,
    judging: Mutex<JudgingAccount>,
    overload: Mutex<(FrameOverload, Option<UtcMillis>)>,
    store_fault: AtomicBool,
    store_full: AtomicBool,
    store: Mutex<StoreAccount>,
}

/// An open maintenance window. `None` takes all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaintenanceWindow {
    /// The device.
    pub device: DeviceId,
    /// The signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalId>,
    /// The judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeId>,
    /// The source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceId>,
    /// Its end.
    pub until: UtcMillis,
    /// Who shelved the alarms; `None` of maintenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<OperatorText>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<OperatorText>,
}

/// The memory of the judges over readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JudgingAccount {
    /// Instances of judges, one for each subject that a judge watches.
    pub instances: u64,
    /// Devices known.
    pub devices: u64,
    /// Approximate bytes that all of them take.
    pub bytes: u64,
    /// Maximum of those bytes.
    pub cap_bytes: u64,
}

impl MaintenanceWindow {
    fn is_for_the_same(&self, other: &Self) -> bool {
        let subject = |one: &Self| {
            let (device, signal) = (one.device.clone(), one.signal.clone());
            (device, signal, one.judge.clone(), one.source.clone(), one.by.is_some())
        };
        subject(self) == subject(other)
    }
}

/// What the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreAccount {
    /// Oldest stored number, by lane; one more than `last` where nothing is stored.
    pub oldest: [Seq; 3],
    /// Newest number that was committed, by lane.
    pub last: [Seq; 3],
    /// How full it is, and what was withdrawn, as of the last housekeeping.
    pub usage: StoreUsage,
}

impl Default for StoreAccount {
    /// Nothing was stored yet.
    fn default() -> Self {
        Self { oldest: [Seq(1); 3], last: [Seq::ZERO; 3], usage: StoreUsage::default() }
    }
}

impl Counters {
    /// Counts a step of the wall clock and logs it.
    pub fn note_clock_step(&self, step_ms: i64) {
        self.clock_steps_total.add(1);
        self.last_clock_step_ms.store(step_ms, Ordering::Relaxed);
        let steps = self.clock_steps_total.get();
        if steps <= 10 || is_power_of_ten(steps) {
            tracing::warn!(
                step_s = step_ms as f64 / 1e3,
                steps,
                "the wall clock of this machine has stepped: intervals that were open are reported in part; times before and \
                 after differ by the step"
            );
        }
    }

    /// Counters for these sources, in the order of their indices.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = SourceId>) -> Self {
        Self {
            sources: sources.into_iter().map(SourceCounters::new).map(Arc::new).collect(),
            ..Self::default()
        }
    }

    /// Counters for judges that work beside these, on a thread of their own. They share the accounts of the sources
    /// that `counted` selects; messages of other sources come to both, and are accounted for here alone.
    pub fn beside(&mut self, counted: impl Fn(SourceIndex) -> bool) -> Arc<Self> {
        let mut beside = Self::new([]);
        let share = |(index, source): (u16, &Arc<SourceCounters>)| {
            if counted(SourceIndex(index)) {
                Arc::clone(source)
            } else {
                Arc::new(SourceCounters::new(source.name.clone()))
            }
        };
        beside.asks = Arc::clone(&self.asks);
        beside.beats = Arc::clone(&self.beats);
        beside.sources = (0..).zip(&self.sources).map(share).collect();
        let beside = Arc::new(beside);
        self.bulk = Some(Arc::clone(&beside));
        beside
    }

    /// The accounts of one source.
    #[must_use]
    pub fn source(&self, index: SourceIndex) -> Option<&SourceCounters> {
        self.sources.get(usize::from(index.0)).map(AsRef::as_ref)
    }

    /// The accounts of all sources.
    #[must_use]
    pub fn sources(&self) -> &[Arc<SourceCounters>] {
        &self.sources
    }

    /// Counters that all grow while judging and committing make progress, at least once a second.
    #[must_use]
    pub fn progress(&self) -> Vec<u64> {
        let judging = [Some(self), self.bulk.as_deref()].into_iter().flatten();
        let ticks = judging.map(|counters| counters.judging_ticks_total.get());
        ticks.chain([self.store_looks_total.get()]).collect()
    }

    /// What each thread has shown by now, for whoever restarts a gateway that hangs.
    #[must_use]
    pub fn thread_beats(&self) -> Vec<ThreadBeat> {
        // A restart makes no room, and mends no medium.
        self.beats.look(self.store_full() || self.store_fault())
    }

    /// Records which maintenance windows are open.
    pub fn note_maintenance(&self, windows: Vec<MaintenanceWindow>) {
        *self.maintenance.lock().unwrap_or_else(PoisonError::into_inner) = windows;
    }

    /// The maintenance windows that are open, and the shelved alarms, which are windows with an operator.
    #[must_use]
    pub fn maintenance(&self) -> Vec<MaintenanceWindow> {
        let mut windows = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A window for both is one window, though each closes it by its own clock's millisecond.
        for window in self.bulk.iter().flat_map(|bulk| bulk.maintenance()) {
            match windows.iter_mut().find(|known| known.is_for_the_same(&window)) {
                Some(known) => known.until = known.until.max(window.until),
                None => windows.push(window),
            }
        }
        windows
    }

    /// Records which limits operators have set.
    pub fn note_set_limits(&self, limits: Vec<SetLimit>) {
        self.set_limits.send_if_modified(|known| {
            let is_new = *known != limits;
            *known = limits;
            is_new
        });
    }

    /// The limits that operators have set. Judges of both classes have the same.
    #[must_use]
    pub fn set_limits(&self) -> Vec<SetLimit> {
        self.set_limits.borrow().clone()
    }

    /// The same, for those who wait until another is set.
    #[must_use]
    pub fn follow_limits(&self) -> watch::Receiver<Vec<SetLimit>> {
        self.set_limits.subscribe()
    }

    /// Records how often judges alarm.
    pub fn note_alarm_rates(&self, rates: Vec<JudgeRate>) {
        *self.alarm_rates.lock().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// How often judges alarm, as of some seconds ago.
    #[must_use]
    pub fn alarm_rates(&self) -> Vec<JudgeRate> {
        let mut rates = self.alarm_rates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bulk) = &self.bulk {
            JudgeRate::add(&mut rates, bulk.alarm_rates());
        }
        rates
    }

    /// Records whether judges that count see often enough what crosses their lines.
    pub fn note_counted_lines(&self, lines: Vec<CountedLines>) {
        *self.counted_lines.lock().unwrap_or_else(PoisonError::into_inner) = lines;
    }

    /// The same, as of some seconds ago.
    #[must_use]
    pub fn counted_lines(&self) -> Vec<CountedLines> {
        self.counted_lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A counter of all judges, whatever their class.
    #[must_use]
    pub fn of_all_judges(&self, counter: impl Fn(&Self) -> &Counter + Copy) -> u64 {
        counter(self).get() + self.bulk.as_ref().map_or(0, |bulk| bulk.of_all_judges(counter))
    }

    /// Records the memory that the judges take.
    pub fn note_judging(&self, account: JudgingAccount) {
        *self.judging.lock().unwrap_or_else(PoisonError::into_inner) = account;
    }

    /// The memory that the judges take, as of some seconds ago.
    #[must_use]
    pub fn judging(&self) -> JudgingAccount {
        *self.judging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what cameras give up under overload.
    pub fn note_overload(&self, overload: FrameOverload, now: UtcMillis) {
        let mut known = self.overload.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0.given_up != overload.given_up {
            known.1 = Some(now);
        }
        known.0 = overload;
    }

    /// What cameras give up under overload, and since when.
    #[must_use]
    pub fn overload(&self) -> (FrameOverload, Option<UtcMillis>) {
        *self.overload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records whether the store works and has room.
    pub fn store_state(&self, fault: bool, full: bool) {
        self.store_fault.store(fault, Ordering::Relaxed);
        self.store_full.store(full, Ordering::Relaxed);
    }

    /// Records what the store holds.
    pub fn note_store(&self, account: StoreAccount) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = account;
    }

    /// Records the oldest and newest numbers of the store.
    pub fn note_store_bounds(&self, oldest: [Seq; 3], last: [Seq; 3]) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        (store.oldest, store.last) = (oldest, last);
    }

    /// What the store holds.
    #[must_use]
    pub fn store_account(&self) -> StoreAccount {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store has failed and has not recovered yet.
    #[must_use]
    pub fn store_fault(&self) -> bool {
        self.store_fault.load(Ordering::Relaxed)
    }

    /// Whether the store is full and producers wait.
    #[must_use]
    pub fn store_full(&self) -> bool {
        self.store_full.load(Ordering::Relaxed)
    }
}

pub(crate) fn is_power_of_ten(count: u64) -> bool {
    let mut power = 1_u64;
    while power < count {
        power = power.saturating_mul(10);
    }
    power == count
}
