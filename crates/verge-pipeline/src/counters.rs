//! What is counted while the gateway runs. Counters only grow; readers take differences.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use verge_domain::id::{DeviceId, JudgeId, Lane, Seq, SignalId, SourceId};
use verge_domain::reading::{Reading, SharedBy, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::StoreUsage;
use verge_domain::time::UtcMillis;

use crate::clock_offsets::ClockOffsets;
use crate::judging::JudgeRate;

/// One counter. Relaxed: counters order nothing.
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

/// Times of one kind in the last five to ten minutes, in histograms of fixed size (two significant digits, 1 µs to 60 s).
/// Where nothing came for longer, what came last.
#[derive(Debug)]
pub struct Latency(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    now: Histogram<u64>,
    before: Histogram<u64>,
    since: Instant,
}

/// A histogram that ran since the start would be blind for a fault of today within weeks.
const LATENCY_WINDOW: Duration = Duration::from_secs(300);

impl Recent {
    fn turn(&mut self, at: Instant) {
        if at.saturating_duration_since(self.since) >= LATENCY_WINDOW && !self.now.is_empty() {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.reset();
            self.since = at;
        }
    }
}

/// What a [`Latency`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// Half were at most this.
    pub p50: Duration,
    /// 99 of a hundred were at most this.
    pub p99: Duration,
}

const LONGEST_LATENCY: Duration = Duration::from_secs(60);

impl Default for Latency {
    fn default() -> Self {
        let longest = u64::try_from(LONGEST_LATENCY.as_micros()).expect("a minute fits");
        let empty = Histogram::new_with_max(longest, 2).expect("the bounds are those the type documents");
        Self(Mutex::new(Recent { now: empty.clone(), before: empty, since: Instant::now() }))
    }
}

impl Latency {
    /// Takes note of some.
    pub fn note(&self, latencies: impl Iterator<Item = Duration>) {
        self.note_at(Instant::now(), latencies);
    }

    fn note_at(&self, at: Instant, latencies: impl Iterator<Item = Duration>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.turn(at);
        for latency in latencies {
            // Longer ones count as the longest.
            recent.now.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Median and 99th percentile; `None` before the first.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut both = recent.now.clone();
        both.add(&recent.before).expect("both have the same bounds");
        drop(recent);
        let at = |quantile| Duration::from_micros(both.value_at_quantile(quantile));
        (!both.is_empty()).then(|| Percentiles { p50: at(0.5), p99: at(0.99) })
    }
}

/// The accounts of one source. They balance:
/// `received = judged + superseded + refused + in flight`, in messages.
#[derive(Debug)]
pub struct SourceCounters {
    /// The source's name in the configuration.
    pub name: SourceId,
    /// Messages taken into the intake.
    pub messages_received_total: Counter,
    /// Bytes of their topics and payloads.
    pub bytes_received_total: Counter,
    /// Messages from which at least one reading came, or whose frame was judged.
    pub messages_judged_total: Counter,
    /// Messages from which none came, or whose frame was not judged.
    pub messages_refused_total: Counter,
    /// Messages whose frame or block of samples a newer one has replaced before it was judged.
    pub messages_superseded_total: Counter,
    /// Messages judged that the broker had sent to an earlier run of the program, which stored no verdict of them.
    pub messages_redelivered_total: Counter,
    /// Frames judged.
    pub frames_judged_total: Counter,
    /// Readings judged.
    pub readings_judged_total: Counter,
    /// Readings whose name another one of the same message and time had, with another value.
    pub shared_readings_total: Counter,
    shared_names: Mutex<BTreeMap<(DeviceId, SignalId), SharedBy>>,
    /// Devices whose clock has a constant offset.
    pub clock_offsets: ClockOffsets,
    rejections_total: [Counter; Reason::ALL.len()],
    last_received: AtomicI64,
}

/// Shared names remembered of a source. A peer chooses names, so there is a bound: more are counted as readings alone.
const SHARED_NAMES: usize = 1024;

impl SourceCounters {
    fn new(name: SourceId) -> Self {
        Self {
            name,
            messages_received_total: Counter::default(),
            bytes_received_total: Counter::default(),
            messages_judged_total: Counter::default(),
            messages_refused_total: Counter::default(),
            messages_superseded_total: Counter::default(),
            messages_redelivered_total: Counter::default(),
            frames_judged_total: Counter::default(),
            readings_judged_total: Counter::default(),
            shared_readings_total: Counter::default(),
            shared_names: Mutex::default(),
            clock_offsets: ClockOffsets::default(),
            rejections_total: std::array::from_fn(|_| Counter::default()),
            last_received: AtomicI64::new(i64::MIN),
        }
    }

    /// Counts a refusal and says how many there have been of this reason, this one included.
    pub fn reject(&self, reason: Reason) -> u64 {
        let counter = &self.rejections_total[reason.index()];
        counter.add(1);
        counter.get()
    }

    /// Counts a refusal. The first of a kind is worth a line, then every tenfold: never a line per message. `about` is
    /// the topic or the device, `bytes` the size of the message.
    pub fn refuse(&self, about: &str, bytes: Option<usize>, rejection: &Rejection) {
        let count = self.reject(rejection.reason);
        if is_power_of_ten(count) {
            let came = (!rejection.came.is_empty()).then_some(rejection.came).map(tracing::field::display);
            let looks = rejection.looks().map(tracing::field::display);
            tracing::warn!(
                source = %self.name, about = %about.escape_debug(), %rejection, count, bytes, came, looks, "input refused"
            );
        }
    }

    /// Counts a reading whose name stands for several series, and warns of the name: the first ones once each, then
    /// every tenfold.
    pub fn share(&self, reading: &Reading, by: SharedBy) {
        self.shared_readings_total.add(1);
        let mut names = self.shared_names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (reading.device.clone(), reading.signal.clone());
        if names.len() >= SHARED_NAMES || names.contains_key(&name) {
            return;
        }
        names.insert(name, by);
        let count = names.len();
        drop(names);
        if count <= 10 || is_power_of_ten(u64::try_from(count).unwrap_or(u64::MAX)) {
            tracing::warn!(
                source = %self.name, device = %reading.device.as_str().escape_debug(),
                signal = %reading.signal.as_str().escape_debug(), count,
                "one name stands for several series: {}",
                match by {
                    SharedBy::Time => {
                        "a message has two values of it with one time; name them apart (device, signal) or say where each \
                         has its own time"
                    }
                    SharedBy::Position => {
                        "it is a position in an array whose length has changed; name the values by what stands beside \
                         them, such as signal = \"{pointer:/values/*/id}\""
                    }
                }
            );
        }
    }

    /// Names that stand for several series, as far as they are remembered.
    #[must_use]
    pub fn shared_names(&self) -> Vec<((DeviceId, SignalId), SharedBy)> {
        let names = self.shared_names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|(name, by)| (name.clone(), *by)).collect()
    }

    /// How many these are.
    #[must_use]
    pub fn shared_name_count(&self) -> u64 {
        let names = self.shared_names.lock().unwrap_or_else(PoisonError::into_inner).len();
        u64::try_from(names).unwrap_or(u64::MAX)
    }

    /// Refusals so far, by reason, without the reasons that never occurred.
    pub fn rejections(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.rejections_total[reason.index()].get()))
            .filter(|&(_, count)| count > 0)
    }

    /// Notes when a message came.
    pub fn received_at(&self, at: UtcMillis) {
        self.last_received.store(at.0, Ordering::Relaxed);
    }

    /// When the newest message came, if any did.
    #[must_use]
    pub fn last_received(&self) -> Option<UtcMillis> {
        Some(self.last_received.load(Ordering::Relaxed)).filter(|&at| at != i64::MIN).map(UtcMillis)
    }
}

/// All counters of a gateway.
#[derive(Debug)]
pub struct Counters {
    sources: Vec<Arc<SourceCounters>>,
    /// What bulk judges count, where they have a thread of their own.
    bulk: Option<Arc<Counters>>,
    /// Verdicts committed, per lane.
    pub committed_total: [Counter; Lane::ALL.len()],
    /// Transactions that carried verdicts.
    pub commits_total: Counter,
    /// From receipt to durable.
    pub commit_latency: Latency,
    /// Frames: from receipt until a worker begins.
    pub frame_age: Latency,
    /// Frames: how long a worker is at it.
    pub frame_judging: Latency,
    /// Verdicts that broke an invariant and could not be encoded: a defect of this program.
    pub encode_failures_total: Counter,
    /// Verdicts evicted after delivery.
    pub evicted_total: Counter,
    /// Failures of the store.
    pub store_faults_total: Counter,
    /// Judges, codecs and encoders that panicked: defects of this program.
    pub defects_total: Counter,
    /// Devices that gave way to others, for want of room.
    pub evicted_devices_total: Counter,
    /// Steps of the wall clock.
    pub clock_steps_total: Counter,
    /// By how much the last of them was, in milliseconds.
    pub last_clock_step_ms: AtomicI64,
    /// Events not raised because of maintenance.
    pub raises_held_back_total: Counter,
    maintenance: Mutex<BTreeMap<usize, Vec<MaintenanceWindow>>>,
    alarm_rates: Mutex<Vec<JudgeRate>>,
    judging: Mutex<JudgingAccount>,
    store_fault: AtomicBool,
    store_full: AtomicBool,
    store: Mutex<StoreAccount>,
}

/// An open maintenance window. What is `None` takes all.
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
}

/// What the judges over readings take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JudgingAccount {
    /// Instances of judges, one for each subject that a judge watches.
    pub instances: u64,
    /// Devices known.
    pub devices: u64,
    /// Bytes that all of them take, about.
    pub bytes: u64,
    /// Bytes that they may take.
    pub cap_bytes: u64,
}

impl MaintenanceWindow {
    fn is_for_the_same(&self, other: &Self) -> bool {
        let subject =
            |one: &Self| (one.device.clone(), one.signal.clone(), one.judge.clone(), one.source.clone());
        subject(self) == subject(other)
    }
}

/// What there is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreAccount {
    /// Oldest number that is stored, by lane; one more than `last` where nothing is.
    pub oldest: [Seq; 3],
    /// Newest number that was committed, by lane.
    pub last: [Seq; 3],
    /// How full it is, and what was withdrawn, as of the last housekeeping.
    pub usage: StoreUsage,
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
            bulk: None,
            committed_total: std::array::from_fn(|_| Counter::default()),
            commits_total: Counter::default(),
            commit_latency: Latency::default(),
            frame_age: Latency::default(),
            frame_judging: Latency::default(),
            encode_failures_total: Counter::default(),
            evicted_total: Counter::default(),
            store_faults_total: Counter::default(),
            defects_total: Counter::default(),
            evicted_devices_total: Counter::default(),
            clock_steps_total: Counter::default(),
            last_clock_step_ms: AtomicI64::new(0),
            raises_held_back_total: Counter::default(),
            maintenance: Mutex::default(),
            alarm_rates: Mutex::default(),
            judging: Mutex::default(),
            store_fault: AtomicBool::new(false),
            store_full: AtomicBool::new(false),
            store: Mutex::new(StoreAccount {
                oldest: [Seq(1); 3],
                last: [Seq::ZERO; 3],
                usage: StoreUsage::default(),
            }),
        }
    }

    /// Counters for judges that work beside these, on a thread of their own. They share the accounts of the sources
    /// that `counted` says; messages of other sources come to both, and are accounted for here alone.
    pub fn beside(&mut self, counted: impl Fn(SourceIndex) -> bool) -> Arc<Self> {
        let mut beside = Self::new([]);
        let share = |(index, source): (u16, &Arc<SourceCounters>)| {
            if counted(SourceIndex(index)) {
                Arc::clone(source)
            } else {
                Arc::new(SourceCounters::new(source.name.clone()))
            }
        };
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

    /// Notes which maintenance windows are open in one shard of the judges.
    pub fn note_maintenance(&self, shard: usize, windows: Vec<MaintenanceWindow>) {
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, windows);
    }

    /// The maintenance windows that are open.
    #[must_use]
    pub fn maintenance(&self) -> Vec<MaintenanceWindow> {
        let maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut windows: Vec<MaintenanceWindow> = maintenance.values().flatten().cloned().collect();
        drop(maintenance);
        // A window for both is one window, though each closes it by its own clock's millisecond.
        for window in self.bulk.iter().flat_map(|bulk| bulk.maintenance()) {
            match windows.iter_mut().find(|known| known.is_for_the_same(&window)) {
                Some(known) => known.until = known.until.max(window.until),
                None => windows.push(window),
            }
        }
        windows
    }

    /// Notes how often judges alarm.
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

    /// A counter of all judges, whatever their class.
    #[must_use]
    pub fn of_all_judges(&self, counter: impl Fn(&Self) -> &Counter + Copy) -> u64 {
        counter(self).get() + self.bulk.as_ref().map_or(0, |bulk| bulk.of_all_judges(counter))
    }

    /// Notes what the judges take.
    pub fn note_judging(&self, account: JudgingAccount) {
        *self.judging.lock().unwrap_or_else(PoisonError::into_inner) = account;
    }

    /// What the judges take, as of some seconds ago.
    #[must_use]
    pub fn judging(&self) -> JudgingAccount {
        *self.judging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the store works and has room.
    pub fn store_state(&self, fault: bool, full: bool) {
        self.store_fault.store(fault, Ordering::Relaxed);
        self.store_full.store(full, Ordering::Relaxed);
    }

    /// Notes what there is in the store.
    pub fn note_store(&self, account: StoreAccount) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = account;
    }

    /// Notes between which numbers the store is.
    pub fn note_store_bounds(&self, oldest: [Seq; 3], last: [Seq; 3]) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        (store.oldest, store.last) = (oldest, last);
    }

    /// What there is in the store.
    #[must_use]
    pub fn store_account(&self) -> StoreAccount {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store has failed and does not work again yet.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_today_are_not_hidden_by_those_of_last_month() {
        let latency = Latency::default();
        let start = Instant::now();
        let p99 = || latency.percentiles().unwrap().p99.as_millis();
        latency.note_at(start, std::iter::repeat_n(Duration::from_millis(1), 1_000_000));
        assert_eq!(p99(), 1);
        for minutes in [6, 12] {
            latency.note_at(start + Duration::from_secs(60 * minutes), [Duration::from_secs(1)].into_iter());
        }
        assert!(p99() >= 990, "{} ms", p99());
        latency.note_at(start + Duration::from_secs(3600), std::iter::empty());
        assert!(p99() >= 990, "where nothing came, what came last");
    }
}
