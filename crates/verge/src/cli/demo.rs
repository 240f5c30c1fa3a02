//! `verge demo`.

use clap::Args;
use verge_gateway::exit::Exit;

/// How long the demo runs.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  verge demo\n  verge demo --seconds 30    ends by itself, with exit code 0 if all went well"
)]
pub(super) struct DemoArgs {
    /// Length of the run; each fault of the story needs its time, so at least 15 [default: 60]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(verge_demo::MIN_SECONDS..))]
    seconds: Option<u64>,
}

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<Exit> {
    verge_demo::run(args.seconds)
}
