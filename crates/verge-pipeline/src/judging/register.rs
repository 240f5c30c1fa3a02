//! The numbers of events: short, so that a person can type one, dense, and never given twice in the life of a store.
//!
//! The judges of both classes take them from one register. The committer saves the highest number in the commit of the event
//! that has it, so that numbers continue after a restart; what was numbered and not committed does not exist.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use verge_domain::id::{EventId, EventNumber};
use verge_domain::stage::Checkpoint;

/// The key under which the highest number is saved.
pub(super) const NUMBERS: &str = "numbers";

/// Gives events their numbers; clones of its `Arc` share it.
#[derive(Debug, Default)]
pub struct EventRegister {
    /// The highest number that was given.
    highest: AtomicU64,
}

impl EventRegister {
    /// Continues behind the highest number that was saved.
    #[must_use]
    pub fn restored(checkpoints: &[Checkpoint]) -> Self {
        let highest = checkpoints.iter().filter_map(number_in).max();
        if let Some(damaged) = checkpoints.iter().find(|one| one.key == NUMBERS && number_in(one).is_none()) {
            tracing::error!(
                key = damaged.key,
                "the saved number of events is damaged: numbers begin again at 1"
            );
        }
        Self { highest: AtomicU64::new(highest.map_or(0, |number| number.0)) }
    }

    /// The number of a new event.
    pub(super) fn next(&self) -> EventNumber {
        EventNumber(self.highest.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }
}

fn number_in(checkpoint: &Checkpoint) -> Option<EventNumber> {
    let state = checkpoint.state.as_deref().filter(|_| checkpoint.key == NUMBERS)?;
    Some(EventNumber(u64::from_le_bytes(state.try_into().ok()?)))
}

/// The checkpoint of the highest number.
pub(crate) fn saved_number(highest: EventNumber) -> Checkpoint {
    Checkpoint { key: NUMBERS.to_owned(), state: Some(highest.0.to_le_bytes().to_vec()) }
}

/// Gives new events their identities: a random one, and a number.
pub(super) struct EventNaming {
    fresh_id: Box<dyn FnMut() -> EventId + Send>,
    pub(super) register: Arc<EventRegister>,
}

impl EventNaming {
    /// With a register of its own.
    pub(super) fn new(fresh_id: impl FnMut() -> EventId + Send + 'static) -> Self {
        Self { fresh_id: Box::new(fresh_id), register: Arc::default() }
    }

    pub(super) fn id(&mut self) -> EventId {
        (self.fresh_id)()
    }

    pub(super) fn number(&self) -> EventNumber {
        self.register.next()
    }
}

impl fmt::Debug for EventNaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventNaming").field("register", &self.register).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_continue_behind_the_highest_that_was_saved() {
        let register = EventRegister::restored(&[]);
        assert_eq!([register.next(), register.next()], [EventNumber(1), EventNumber(2)]);
        let other = Checkpoint { key: "events".to_owned(), state: Some(vec![9; 8]) };
        let register = EventRegister::restored(&[other, saved_number(EventNumber(141))]);
        assert_eq!(register.next(), EventNumber(142));
        let damaged = Checkpoint { key: NUMBERS.to_owned(), state: Some(vec![1, 2, 3]) };
        assert_eq!(EventRegister::restored(&[damaged]).next(), EventNumber(1));
    }
}
