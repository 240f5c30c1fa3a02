//! A file that may grow no further (`ulimit -f`, `LimitFSIZE=`) is an error of the write that meets the limit, which every command
//! handles as a full disk. Without this the system ends the process there, and nothing is swept or answered.

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Keeps SIGXFSZ from ending this process. What catches it stays until the process ends, with the runtime that asked for it or
/// without.
pub(super) fn survive() {
    let Ok(runtime) = Builder::new_current_thread().enable_io().build() else { return };
    let _within = runtime.enter();
    // Where that fails the limit ends the process, as it would have.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw())));
}
