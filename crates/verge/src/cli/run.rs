//! `verge run`: be a gateway until a signal ends it.

mod reloading;
mod supervision;

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::printer::{PrintForm, Printer};
use super::{FileArgs, async_runtime};
use crate::log;
use supervision::Supervision;
use verge_gateway::exit::Exit;
use verge_gateway::settings::Settings;
use verge_gateway::wiring::{Gateway, begins_anew};
use verge_wire::SiteZone;

/// An orderly stop takes some seconds at most. One that hangs all the same is cut off: nothing that was
/// acknowledged is lost by it, as by any kill.
const STOP_LIMIT: Duration = Duration::from_secs(20);

const EXAMPLES: &str = "\
Examples:
  verge run -c /etc/verge/gateway.toml
  verge run -c gateway.toml --json | jq .judge
  VERGE__GATEWAY__ID=pump-room-2 verge run -c gateway.toml

On a terminal each verdict is printed in one line once it is stored, at most 50 lines a second. SIGINT (Ctrl-C) and \
SIGTERM stop the gateway in good order, a second one at once. SIGHUP lets it take up its changed file, as `verge reload` \
does; it stops the gateway when its terminal was closed.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Print no verdicts
    #[arg(short, long)]
    quiet: bool,
    /// Print verdicts in words also where standard output is no terminal
    #[arg(long, conflicts_with = "quiet")]
    print: bool,
}

impl RunArgs {
    /// How verdicts are printed, if they are.
    fn form(&self, json: bool, zone: &SiteZone) -> Option<PrintForm> {
        match (json, self.print || std::io::stdout().is_terminal()) {
            _ if self.quiet => None,
            (true, _) => Some(PrintForm::Json),
            (false, print) => print.then(|| PrintForm::Words(zone.clone())),
        }
    }
}

/// Runs the gateway until SIGINT or SIGTERM, then stops it in good order. A second signal, or a stop that takes longer
/// than 20 s, ends the process at once with [`Exit::Temporary`].
pub(super) fn run(args: &RunArgs, json: bool) -> anyhow::Result<Exit> {
    // One thread for all connections: what they do between two waits is short, and threads that hand work to
    // each other cost more than the work (measured: a fifth of the CPU per reading).
    let runtime = async_runtime()?;
    // From here on no signal ends the process without a drain.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let supervision = Supervision::of_environment();
    let mut settings = args.file.settings()?;
    if let Some(warning) = settings.without_uplink() {
        tracing::warn!("{}", warning.remark);
    }
    let printer = args.form(json, &settings.gateway.zone).map(Printer::on_standard_output).transpose()?;
    let ended = runtime.block_on(async {
        loop {
            let file = &args.file.config;
            match serve(&mut settings, file, printer.as_ref(), (&mut signals, &supervision)).await {
                Err(error) if begins_anew(&error) => {
                    tracing::warn!("gateway starts again, under a new epoch")
                }
                ended => return ended,
            }
        }
    });
    if let Some(printer) = printer {
        printer.finish();
    }
    ended
}

/// The signals that a gateway heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Standard streams that are a terminal.
    terminals: usize,
}

/// What a signal asks for.
enum SignalRequest {
    Stop(&'static str),
    Reload,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            hangup: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
            terminals: terminals(),
        })
    }

    /// The next one.
    async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::Stop("SIGTERM"),
            _ = self.interrupt.recv() => SignalRequest::Stop("SIGINT"),
            _ = self.hangup.recv() => {
                let left = terminals();
                // A terminal that closes sends it more than once; that counts as one request to stop.
                if std::mem::replace(&mut self.terminals, left) > left {
                    SignalRequest::Stop("SIGHUP: the terminal was closed")
                } else {
                    SignalRequest::Reload
                }
            }
        }
    }

    /// The name of the next one that stops the gateway.
    async fn stop(&mut self) -> &'static str {
        loop {
            if let SignalRequest::Stop(signal) = self.next().await {
                return signal;
            }
        }
    }
}

/// How many of the standard streams are a terminal.
fn terminals() -> usize {
    let streams =
        [std::io::stdin().is_terminal(), std::io::stdout().is_terminal(), std::io::stderr().is_terminal()];
    streams.into_iter().filter(|is_terminal| *is_terminal).count()
}

async fn serve(
    settings: &mut Settings,
    file: &Path,
    printer: Option<&Printer>,
    (signals, supervision): (&mut Signals, &Supervision),
) -> anyhow::Result<Exit> {
    supervision.starting();
    let mut gateway = Gateway::start(settings, printer.map(Printer::committed)).await?;
    tracing::info!(
        gateway = %settings.gateway.id, sources = settings.sources.len(), judges = settings.judges.len(),
        uplinks = settings.uplinks.len(), "gateway runs"
    );
    supervision.running(&gateway);
    let (door, mut dashboard) = (reloading::open_door(settings), gateway.reload_requests());
    let failed = loop {
        let request = tokio::select! {
            request = signals.next() => match request {
                SignalRequest::Reload => None,
                SignalRequest::Stop(signal) => {
                    tracing::info!(signal, "gateway stops");
                    break false;
                }
            },
            what = gateway.failed() => {
                tracing::error!("{what} has ended by a fault: gateway stops");
                break true;
            }
            request = reloading::next_request(door.as_ref(), &mut dashboard) => Some(request),
        };
        if request.as_ref().is_none_or(|request| !request.dry_run) {
            supervision.reloading();
        }
        let answer = tokio::select! {
            answer = reloading::reload(&mut gateway, file, request.as_ref()) => answer,
            signal = signals.stop() => {
                tracing::info!(signal, "gateway stops");
                break false;
            }
        };
        // Should the gateway have to start again, it does so with these.
        settings.clone_from(gateway.settings());
        supervision.reloaded();
        if request.as_ref().is_none_or(|request| !request.dry_run && !request.again) {
            gateway.note_reload(&answer);
        }
        reloading::log(&answer);
        if let Some(request) = request {
            request.answer(&answer).await;
        }
    };
    supervision.stopping();
    // Who waits for a reload learns now that there is none.
    drop((door, dashboard));
    let cut = tokio::select! {
        stopped = gateway.stop() => {
            stopped?;
            return Ok(if failed { Exit::Failure } else { Exit::Fine });
        }
        signal = signals.stop() => format!("{signal} again"),
        () = tokio::time::sleep(STOP_LIMIT) => format!("the stop took longer than {} s", STOP_LIMIT.as_secs()),
    };
    log::close(Some(&format!(
        "verge: {cut}: ended at once; what was not acknowledged to devices comes again, what waits in the store is sent at \
         the next start"
    )));
    // Threads that hang would hold up a return.
    std::process::exit(i32::from(Exit::Temporary.code()))
}
