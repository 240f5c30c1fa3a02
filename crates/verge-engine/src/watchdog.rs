//! Ends inferences that outlast their deadline: one thread for all sessions of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ort::session::RunOptions;

static WATCHDOG: LazyLock<Arc<Watchdog>> = LazyLock::new(Watchdog::start);

#[derive(Default)]
struct Watchdog {
    watched: Mutex<WatchedRuns>,
    earlier: Condvar,
}

#[derive(Default)]
struct WatchedRuns {
    /// By deadline; the number keeps equal ones apart.
    runs: BTreeMap<(Instant, u64), Arc<RunOptions>>,
    next: u64,
}

/// While it lives, the run is ended at its deadline.
pub(crate) struct RunGuard {
    key: (Instant, u64),
}

/// Watches one run.
pub(crate) fn watch(until: Instant, options: Arc<RunOptions>) -> RunGuard {
    let watchdog = &**WATCHDOG;
    let mut watched = watchdog.lock();
    watched.next += 1;
    let key = (until, watched.next);
    let is_first = watched.runs.keys().next().is_none_or(|first| key < *first);
    watched.runs.insert(key, options);
    drop(watched);
    if is_first {
        watchdog.earlier.notify_one();
    }
    RunGuard { key }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        WATCHDOG.lock().runs.remove(&self.key);
    }
}

impl Watchdog {
    fn start() -> Arc<Self> {
        let watchdog = Arc::new(Self::default());
        let own = Arc::clone(&watchdog);
        std::thread::Builder::new()
            .name("verge-deadline".to_owned())
            .spawn(move || own.run())
            .expect("the operating system gives a gateway its few threads");
        watchdog
    }

    fn lock(&self) -> MutexGuard<'_, WatchedRuns> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut watched = self.lock();
        loop {
            let now = Instant::now();
            while let Some(due) = watched.runs.first_entry().filter(|first| first.key().0 <= now) {
                // Under the lock: a run that has ended has left the map, so its options are not touched.
                if let Err(error) = due.remove().terminate() {
                    tracing::warn!(%error, "an inference beyond its deadline could not be ended");
                }
            }
            let first = watched.runs.keys().next().map(|(until, _)| *until);
            watched = match first {
                None => self.earlier.wait(watched).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let span = until.saturating_duration_since(now);
                    self.earlier.wait_timeout(watched, span).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
