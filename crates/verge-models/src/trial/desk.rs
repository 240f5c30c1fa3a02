//! Where runs of a version on trial are noted, whichever worker makes them.

use std::sync::{Mutex, PoisonError};

use super::Trial;

/// A trial that workers share.
#[derive(Debug)]
pub struct TrialDesk(Mutex<Trial>);

impl TrialDesk {
    /// One that begins.
    #[must_use]
    pub const fn new(trial: Trial) -> Self {
        Self(Mutex::new(trial))
    }

    /// Notes something, or asks. It is held for that long alone.
    pub fn with<R>(&self, of: impl FnOnce(&mut Trial) -> R) -> R {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
