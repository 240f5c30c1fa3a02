//! `verge config`: what a configuration says, and where that comes from.

mod drawn;

use std::io::Write;

use clap::{Args, Subcommand};
use verge_gateway::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the lines, zones and masks that were drawn in the dashboard, to be taken into the file
    Drawn(drawn::DrawnArgs),
}

pub(super) fn run(args: &ConfigArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.command {
        ConfigCommand::Drawn(args) => drawn::drawn(args, json, out),
    }
}
