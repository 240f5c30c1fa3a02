//! `verge run`: be a gateway until told to stop.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::async_runtime;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::wiring::Gateway;

/// Runs the gateway until SIGINT or SIGTERM, then stops it in good order.
///
/// # Errors
/// It could not be started, or the store has failed for good.
pub fn run(settings: &Settings) -> anyhow::Result<Exit> {
    // One thread for all connections: what they do between two waits is short, and threads that hand work to
    // each other cost more than the work (measured: a fifth of the CPU per reading).
    let runtime = async_runtime()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let gateway = Gateway::start(settings).await?;
    tracing::info!(
        gateway = %settings.gateway.id, sources = settings.sources.len(), judges = settings.judges.len(),
        uplinks = settings.uplinks.len(), "gateway runs"
    );
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = gateway.failed() => true,
    };
    tracing::info!("gateway stops");
    gateway.stop().await?;
    Ok(if failed { Exit::Failure } else { Exit::Fine })
}
