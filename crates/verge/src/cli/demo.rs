//! `verge demo`.

use clap::Args;
use verge_demo::DemoOptions;
use verge_gateway::exit::Exit;

/// How the demo runs.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  verge demo\n  verge demo --seconds 30    ends by itself, with exit code 0 if all went well\n  \
                  verge demo --no-dashboard\n\nIt prints a link to the gateway's dashboard. The link logs in once; nothing but \
                  this machine can reach it."
)]
pub(super) struct DemoArgs {
    /// Length of the run; each fault of the story needs its time, so at least 15 [default: 60]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(verge_demo::MIN_SECONDS..))]
    seconds: Option<u64>,
    /// Port of the dashboard on 127.0.0.1, 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    dashboard_port: u16,
    /// Serve no dashboard
    #[arg(long, conflicts_with = "dashboard_port")]
    no_dashboard: bool,
}

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<Exit> {
    let dashboard = (!args.no_dashboard).then_some(args.dashboard_port);
    verge_demo::run(&DemoOptions { seconds: args.seconds, dashboard })
}
