//! When each device was last received, for readers on other threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verge_domain::id::DeviceId;
use verge_domain::reading::SourceIndex;
use verge_domain::time::Monotonic;

use super::streams::MAX_DEVICES;

/// When a device was last received, by source.
type ReceiptTimes = Arc<[AtomicU64]>;

/// Where the receipts of a device through one source are noted.
#[derive(Debug)]
pub(super) struct ReceiptNote {
    times: ReceiptTimes,
    source: usize,
}

impl ReceiptNote {
    pub(super) fn note(&self, now: Monotonic) {
        if let Some(received) = self.times.get(self.source) {
            received.store(now.0.max(1), Ordering::Relaxed);
        }
    }
}

/// Devices whose last receipt is noted for readers on other threads, through whatever source it comes: which of them count
/// may change while a gateway runs.
#[derive(Debug, Default)]
pub struct WatchedDevices {
    /// Locked for moments only, and by the data path only for a device that is new.
    times: Mutex<HashMap<DeviceId, ReceiptTimes>>,
    sources: usize,
    /// Devices that nobody named are noted as well.
    all: bool,
}

impl WatchedDevices {
    /// These devices, of a gateway with `sources` sources.
    #[must_use]
    pub fn of(devices: impl IntoIterator<Item = DeviceId>, sources: usize) -> Self {
        let named = devices.into_iter().map(|device| (device, Self::never(sources))).collect();
        Self { times: Mutex::new(named), sources, all: false }
    }

    /// The same, and any other device that is received.
    #[must_use]
    pub fn and_all_others(self) -> Self {
        Self { all: true, ..self }
    }

    fn never(sources: usize) -> ReceiptTimes {
        (0..sources).map(|_| AtomicU64::new(0)).collect()
    }

    fn times(&self) -> MutexGuard<'_, HashMap<DeviceId, ReceiptTimes>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a device was last received through one of these sources, if it was since the start.
    #[must_use]
    pub fn received(&self, sources: &[SourceIndex], device: &DeviceId) -> Option<Monotonic> {
        let times = Arc::clone(self.times().get(device)?);
        let of_source = |source: &SourceIndex| times.get(usize::from(source.0));
        newest(sources.iter().filter_map(of_source))
    }

    /// The same through whatever source.
    #[must_use]
    pub fn received_at_all(&self, device: &DeviceId) -> Option<Monotonic> {
        let times = Arc::clone(self.times().get(device)?);
        newest(times.iter())
    }

    pub(super) fn of_device(&self, source: SourceIndex, device: &DeviceId) -> Option<ReceiptNote> {
        let mut all = self.times();
        if self.all && !all.contains_key(device) {
            if all.len() >= MAX_DEVICES {
                // Those that nobody notes any more: their devices were forgotten.
                all.retain(|_, times| Arc::strong_count(times) > 1);
            }
            all.insert(device.clone(), Self::never(self.sources));
        }
        let times = Arc::clone(all.get(device)?);
        Some(ReceiptNote { times, source: usize::from(source.0) })
    }
}

fn newest<'a>(times: impl Iterator<Item = &'a AtomicU64>) -> Option<Monotonic> {
    let newest = times.map(|time| time.load(Ordering::Relaxed)).max();
    newest.filter(|time| *time > 0).map(Monotonic)
}
