//! `verge config drawn`: what people drew, as TOML for the operator's file.

use std::io::{ErrorKind, Write};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use verge_gateway::config::DRAWN_FILE;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::state_dir_in;

use super::super::output::json_line;
use super::super::{FileArgs, say};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge config drawn -c gateway.toml              what was drawn, and when
  verge config drawn -c gateway.toml > patch.toml

To take it into the file, put its lines and zones in the place of those that the file has for the same judge, and its masks \
beside those of the same source; then remove drawn.toml from the state folder and reload.")]
pub(super) struct DrawnArgs {
    #[command(flatten)]
    file: FileArgs,
}

pub(super) fn drawn(args: &DrawnArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let state_dir = state_dir_in(&args.file.config, std::env::vars_os()).exit_with(Exit::BadConfig)?;
    let path = state_dir.join(DRAWN_FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| path.display().to_string()).exit_with(Exit::Failure)?,
    };
    if json {
        json_line(out, &json!({ "file": path.display().to_string(), "drawn": text }))?;
    } else if text.is_empty() {
        say(&format!("nothing was drawn: there is no {}", path.display()));
    } else {
        write!(out, "{text}").context("standard output")?;
    }
    Ok(Exit::Fine)
}
