//! `verge run`: be a gateway until a signal ends it.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::async_runtime;
use crate::exit::Exit;
use crate::log;
use crate::settings::Settings;
use crate::wiring::{Gateway, begins_anew};

/// An orderly stop takes some seconds at most. One that hangs all the same is cut off: nothing that was
/// acknowledged is lost by it, as by any kill.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Runs the gateway until SIGINT or SIGTERM, then stops it in good order. A second signal, or a stop that takes longer
/// than 20 s, ends the process at once with [`Exit::Temporary`].
///
/// # Errors
/// It could not be started, or the store has failed for good.
pub fn run(settings: &Settings) -> anyhow::Result<Exit> {
    // One thread for all connections: what they do between two waits is short, and threads that hand work to
    // each other cost more than the work (measured: a fifth of the CPU per reading).
    let runtime = async_runtime()?;
    runtime.block_on(async {
        loop {
            match serve(settings).await {
                Err(error) if begins_anew(&error) => {
                    tracing::warn!("gateway starts again, under a new epoch")
                }
                ended => return ended,
            }
        }
    })
}

/// The signals that stop a gateway.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn serve(settings: &Settings) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let gateway = Gateway::start(settings).await?;
    tracing::info!(
        gateway = %settings.gateway.id, sources = settings.sources.len(), judges = settings.judges.len(),
        uplinks = settings.uplinks.len(), "gateway runs"
    );
    let failed = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "gateway stops");
            false
        }
        () = gateway.failed() => {
            tracing::error!("a thread of the gateway has ended: gateway stops");
            true
        }
    };
    let cut = tokio::select! {
        stopped = gateway.stop() => {
            stopped?;
            return Ok(if failed { Exit::Failure } else { Exit::Fine });
        }
        signal = signals.next() => format!("{signal} again"),
        () = tokio::time::sleep(STOP_LIMIT) => format!("the stop took longer than {} s", STOP_LIMIT.as_secs()),
    };
    log::close(Some(&format!(
        "verge: {cut}: ended at once; what was not acknowledged to devices comes again, what waits in the store is sent at \
         the next start"
    )));
    // Threads that hang would hold up a return.
    std::process::exit(i32::from(Exit::Temporary.code()))
}
