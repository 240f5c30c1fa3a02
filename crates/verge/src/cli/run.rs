//! `verge run`: be a gateway until told to stop.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::settings::Settings;
use crate::wiring::Gateway;

/// Two threads: one may be busy with TLS while the other serves the local connection.
const WORKERS: usize = 2;

/// Runs the gateway until SIGINT or SIGTERM, then stops it in good order.
///
/// # Errors
/// It could not be started, or the store has failed for good.
pub fn run(settings: &Settings) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let gateway = Gateway::start(settings)?;
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
