//! Which signals of which devices are known, and which judges look at each: found once, when a signal is
//! first seen. Names come from peers, so both levels are bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::SourceIndex;
use verge_domain::rejection::Reason;
use verge_domain::time::Monotonic;

/// Devices known at once, over all sources.
pub const MAX_DEVICES: usize = 16_384;
/// Signals known of one device through one source.
pub const MAX_SIGNALS_PER_DEVICE: usize = 64;

/// One known signal.
#[derive(Debug)]
pub(super) struct StreamState {
    /// Judge instances that look at it.
    pub(super) instances: Vec<usize>,
    /// When it was last heard.
    pub(super) last_heard: Monotonic,
}

/// The known signals.
#[derive(Debug)]
pub(super) struct Streams {
    by_source: Vec<HashMap<DeviceId, HashMap<SignalId, StreamState>>>,
    /// Devices known here and to the other shards. What two of them admit at the same moment may pass the bound by one
    /// each.
    devices: Arc<AtomicUsize>,
}

impl Streams {
    pub(super) fn new(sources: usize, devices: Arc<AtomicUsize>) -> Self {
        Self { by_source: (0..sources).map(|_| HashMap::new()).collect(), devices }
    }

    pub(super) fn find(
        &mut self,
        source: SourceIndex,
        device: &DeviceId,
        signal: &SignalId,
    ) -> Option<&mut StreamState> {
        self.by_source.get_mut(usize::from(source.0))?.get_mut(device)?.get_mut(signal)
    }

    /// Whether there is room for one more.
    pub(super) fn admit(
        &self,
        source: SourceIndex,
        device: &DeviceId,
        signal: &SignalId,
    ) -> Result<(), Reason> {
        let devices = self.by_source.get(usize::from(source.0)).ok_or(Reason::UnknownTopic)?;
        match devices.get(device) {
            Some(signals) if signals.contains_key(signal) => Ok(()),
            Some(signals) if signals.len() >= MAX_SIGNALS_PER_DEVICE => Err(Reason::TooManyStreams),
            Some(_) => Ok(()),
            None if self.devices.load(Ordering::Relaxed) >= MAX_DEVICES => Err(Reason::TooManyStreams),
            None => Ok(()),
        }
    }

    pub(super) fn insert(
        &mut self,
        source: SourceIndex,
        device: &DeviceId,
        signal: &SignalId,
        state: StreamState,
    ) {
        if let Some(devices) = self.by_source.get_mut(usize::from(source.0)) {
            let before = devices.len();
            devices.entry(device.clone()).or_default().insert(signal.clone(), state);
            self.devices.fetch_add(devices.len() - before, Ordering::Relaxed);
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&StreamState) -> bool) {
        for devices in &mut self.by_source {
            let before = devices.len();
            devices.retain(|_, signals| {
                signals.retain(|_, state| keep(state));
                !signals.is_empty()
            });
            self.devices.fetch_sub(before - devices.len(), Ordering::Relaxed);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_source.iter().flat_map(HashMap::values).map(HashMap::len).sum()
    }
}
