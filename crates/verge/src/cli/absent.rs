//! Commands that a build without their features leaves out, as packages do. They say how to get them.

use std::ffi::OsString;

use anyhow::anyhow;
use clap::Args;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct AbsentArgs {
    /// Whatever the command takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<OsString>,
}

pub(super) fn absent(command: &str) -> anyhow::Result<Exit> {
    let words = format!(
        "this build of verge does not contain `{command}`, as packages do not: in a copy of the source, \
         `cargo run --release -- {command}` builds and runs it"
    );
    Err(anyhow!(words)).exit_with(Exit::Usage)
}
