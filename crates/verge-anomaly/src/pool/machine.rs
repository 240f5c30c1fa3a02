//! What a machine does explains what its signals do: where one comes to rest or begins from rest, others cool, sink or warm.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use verge_domain::id::DeviceId;
use verge_domain::time::UtcMillis;

use super::PoolMember;

/// One machine: the signals of one device.
#[derive(Debug)]
pub(super) struct Machine {
    /// When a signal of it last came to rest or left it, in UTC milliseconds.
    turned_ms: AtomicI64,
}

/// The machines of a judge; those without signals are forgotten.
#[derive(Debug, Default)]
pub(super) struct Machines(Mutex<HashMap<DeviceId, Weak<Machine>>>);

impl Machines {
    fn of(&self, device: &DeviceId) -> Arc<Machine> {
        // Each entry is whole before the next begins.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(machine) = known.get(device).and_then(Weak::upgrade) {
            return machine;
        }
        if known.len().is_power_of_two() {
            known.retain(|_, machine| machine.strong_count() > 0);
        }
        let machine = Arc::new(Machine { turned_ms: AtomicI64::new(i64::MIN) });
        known.insert(device.clone(), Arc::downgrade(&machine));
        machine
    }
}

impl PoolMember {
    /// Whose signal it is.
    pub(crate) fn belongs_to(&mut self, device: &DeviceId) {
        if let (Some(pool), None) = (&self.pool, &self.machine) {
            self.machine = Some(pool.machines.of(device));
        }
    }

    /// The signal comes to rest or leaves it.
    pub(crate) fn machine_turns(&self, at: UtcMillis) {
        if let Some(machine) = &self.machine {
            machine.turned_ms.fetch_max(at.0, Ordering::Relaxed);
        }
    }

    /// Whether a signal of its machine did so within this time before.
    pub(crate) fn machine_turned(&self, at: UtcMillis, within_ms: i64) -> bool {
        let turned_ms = |machine: &Arc<Machine>| machine.turned_ms.load(Ordering::Relaxed);
        self.machine.as_ref().is_some_and(|machine| at.0.saturating_sub(turned_ms(machine)) <= within_ms)
    }
}
