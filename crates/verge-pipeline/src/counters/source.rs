//! The counters of one source.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use verge_domain::id::{DeviceId, SignalId, SourceId};
use verge_domain::reading::{Reading, SharedBy};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

use super::{Counter, is_power_of_ten};
use crate::clock_offsets::ClockOffsets;

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
    /// Judged messages that the broker had sent to an earlier run of the program, which stored no verdict of them.
    pub messages_redelivered_total: Counter,
    /// Frames judged.
    pub frames_judged_total: Counter,
    /// Looks of models at frames that a gate let through.
    pub looks_passed_total: Counter,
    /// Looks that a gate spared a model, since nothing moved.
    pub looks_skipped_total: Counter,
    /// Crops of objects that second models have classified.
    pub crops_total: Counter,
    /// Crops that were left for a later frame.
    pub crops_postponed_total: Counter,
    /// Crops on which second models failed.
    pub crops_failed_total: Counter,
    /// Readings judged.
    pub readings_judged_total: Counter,
    /// Readings that share name and time with another one of the same message, with another value.
    pub shared_readings_total: Counter,
    shared_names: Mutex<BTreeMap<(DeviceId, SignalId), SharedBy>>,
    /// Devices whose clock has a constant offset.
    pub clock_offsets: ClockOffsets,
    rejections_total: [Counter; Reason::ALL.len()],
    last_received: AtomicI64,
}

/// Shared names remembered of a source. A peer chooses names, so there is a bound: beyond it only readings are counted.
const SHARED_NAMES: usize = 1024;

impl SourceCounters {
    pub(super) fn new(name: SourceId) -> Self {
        Self {
            name,
            messages_received_total: Counter::default(),
            bytes_received_total: Counter::default(),
            messages_judged_total: Counter::default(),
            messages_refused_total: Counter::default(),
            messages_superseded_total: Counter::default(),
            messages_redelivered_total: Counter::default(),
            frames_judged_total: Counter::default(),
            looks_passed_total: Counter::default(),
            looks_skipped_total: Counter::default(),
            crops_total: Counter::default(),
            crops_postponed_total: Counter::default(),
            crops_failed_total: Counter::default(),
            readings_judged_total: Counter::default(),
            shared_readings_total: Counter::default(),
            shared_names: Mutex::default(),
            clock_offsets: ClockOffsets::default(),
            rejections_total: std::array::from_fn(|_| Counter::default()),
            last_received: AtomicI64::new(i64::MIN),
        }
    }

    /// Counts a refusal and returns the number of refusals for this reason, this one included.
    pub fn reject(&self, reason: Reason) -> u64 {
        let counter = &self.rejections_total[reason.index()];
        counter.add(1);
        counter.get()
    }

    /// Counts a refusal. Logs the first of a kind, then at each power of ten: never a line per message. `about` is
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
    /// at each power of ten.
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

    /// The remembered names that stand for several series.
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

    /// Records when a message arrived.
    pub fn received_at(&self, at: UtcMillis) {
        self.last_received.store(at.0, Ordering::Relaxed);
    }

    /// When the newest message arrived, if any did.
    #[must_use]
    pub fn last_received(&self) -> Option<UtcMillis> {
        Some(self.last_received.load(Ordering::Relaxed)).filter(|&at| at != i64::MIN).map(UtcMillis)
    }
}
