//! Why a broker in a child process does not run, or does no longer.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Why a broker in a child process does not run.
#[derive(Debug, thiserror::Error)]
pub enum ChildBrokerError {
    /// No port on loopback.
    #[error("no port on 127.0.0.1 for the embedded broker: {0}")]
    Port(#[source] io::Error),
    /// No randomness for its password.
    #[error("the system gives no random numbers for the embedded broker's password: {0}")]
    Random(#[from] getrandom::Error),
    /// Its first start failed.
    #[error("the embedded broker does not start: {0}")]
    Start(#[from] ChildFault),
}

/// What a child process failed by.
#[derive(Debug, thiserror::Error)]
pub enum ChildFault {
    /// There is no such program, or no process.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It ended.
    #[error("its process has ended ({0})")]
    Ended(ExitStatus),
    /// It takes no start message, or its process cannot be waited for.
    #[error("its process cannot be talked to: {0}")]
    Io(#[from] io::Error),
    /// It said something else than that it is ready.
    #[error("its process said something else than that it is ready")]
    Unexpected,
    /// It said nothing.
    #[error("it was not ready within {0:?}")]
    NotReady(Duration),
    /// It works, and takes too much.
    #[error(
        "its process took {} MiB of memory, more than {} MiB: the logs of {filters} topic filters, which are now {} KiB at most each",
        .bytes / MIB, .most / MIB, .log_bytes / 1024
    )]
    Memory {
        /// Memory it took.
        bytes: u64,
        /// What it may take.
        most: u64,
        /// Filters that it knew.
        filters: usize,
        /// The log of each from now on.
        log_bytes: usize,
    },
    /// It runs and does not work.
    #[error("{0}")]
    NoAnswer(String),
}
