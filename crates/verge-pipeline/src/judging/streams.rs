//! Which signals of which devices are known, and which judges look at each: found once, when a signal is
//! first seen. Names come from peers, so both levels are bounded.

use std::collections::HashMap;

use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::SourceIndex;
use verge_domain::rejection::Reason;
use verge_domain::time::Monotonic;

/// Devices known at once, over all sources.
pub const MAX_DEVICES: usize = 2_048;
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
}

impl Streams {
    pub(super) fn new(sources: usize) -> Self {
        Self { by_source: (0..sources).map(|_| HashMap::new()).collect() }
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
            None if self.by_source.iter().map(HashMap::len).sum::<usize>() >= MAX_DEVICES => {
                Err(Reason::TooManyStreams)
            }
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
            devices.entry(device.clone()).or_default().insert(signal.clone(), state);
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&StreamState) -> bool) {
        for devices in &mut self.by_source {
            devices.retain(|_, signals| {
                signals.retain(|_, state| keep(state));
                !signals.is_empty()
            });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_source.iter().flat_map(HashMap::values).map(HashMap::len).sum()
    }
}
