//! `verge model card`: what a model's file says of itself.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use verge_engine::{Graph, ModelLimits, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::draft::draft;

use super::super::output::json_line;
use super::super::say;

#[derive(Debug, Args)]
pub(super) struct CardArgs {
    /// The model
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// Names of its classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

pub(super) fn card(args: &CardArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let runtime = Runtime::load(&wiring::user_runtime_search()).exit_with(Exit::Unavailable)?;
    let graph = Graph::load(&runtime, &args.file, None, ModelLimits::default()).exit_with(Exit::BadInput)?;
    let draft = draft(&graph, args.labels.as_deref()).exit_with(Exit::BadInput)?;
    if json {
        json_line(out, &json!({ "card": draft.text, "guessed": draft.guessed }))?;
    } else {
        write!(out, "{}", draft.text).context("standard output")?;
    }
    match draft.guessed.len() {
        0 => say("nothing is guessed: [model.NAME] accepts this file without a card too"),
        1 => say("1 line is a guess: look for GUESS"),
        lines => say(&format!("{lines} lines are guesses: look for GUESS")),
    }
    Ok(Exit::Fine)
}
