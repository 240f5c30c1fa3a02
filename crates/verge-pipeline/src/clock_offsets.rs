//! Devices whose clock has a constant offset: what is logged of them, and what the status reports.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use verge_domain::id::{DeviceId, SourceId};
use verge_domain::reading::ClockOffset;

use crate::counters::{Counter, is_power_of_ten};

/// Maximum of devices remembered of a source.
const REMEMBERED: usize = 1024;

/// Those of one source.
#[derive(Debug, Default)]
pub struct ClockOffsets {
    reported_total: Counter,
    devices: Mutex<BTreeMap<DeviceId, i64>>,
}

/// An offset of a clock in words.
#[must_use]
pub fn offset_words(offset_ms: i64) -> String {
    let minutes = offset_ms.unsigned_abs() / 60_000;
    let way = if offset_ms < 0 { "behind" } else { "ahead" };
    format!("{}:{:02} h {way}", minutes / 60, minutes % 60)
}

impl ClockOffsets {
    /// Records that a device's clock has such an offset, or has none any more, and logs it: the first ones, then
    /// at each power of ten.
    pub fn note(&self, source: &SourceId, change: &ClockOffset) {
        let ClockOffset { device, offset_ms } = change;
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        match offset_ms {
            Some(_) if devices.len() >= REMEMBERED && !devices.contains_key(device) => {}
            Some(offset_ms) => {
                devices.insert(device.clone(), *offset_ms);
            }
            None => {
                devices.remove(device);
            }
        }
        drop(devices);
        let device = device.as_str().escape_debug();
        let Some(offset_ms) = offset_ms else {
            tracing::debug!(
                %source, %device,
                "the device's clock has no constant offset any more: its time is used where it is plausible"
            );
            return;
        };
        self.reported_total.add(1);
        let count = self.reported_total.get();
        if count <= 10 || is_power_of_ten(count) {
            tracing::warn!(
                %source, %device, offset_s = offset_ms / 1000, count,
                "the device's clock is skewed by a constant {}, an error in its time zone: its readings are judged by the \
                 time of arrival; let the device send UTC, or its time with the offset of its zone",
                offset_words(*offset_ms)
            );
        }
    }

    /// The remembered devices and their offsets in milliseconds.
    #[must_use]
    pub fn devices(&self) -> Vec<(DeviceId, i64)> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.iter().map(|(device, offset_ms)| (device.clone(), *offset_ms)).collect()
    }

    /// How many these are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner).len();
        u64::try_from(devices).unwrap_or(u64::MAX)
    }
}
