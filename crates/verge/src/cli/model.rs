//! `verge model`: what a model's file says of itself.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use verge_engine::{Graph, ModelLimits, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::draft::draft;

use super::output::json_line;
use super::say;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge model card yolov8n.onnx > yolov8n.toml    the card beside the weights
  verge model card m.onnx --labels names.txt > m.toml

Each line names its source: the file (names and shapes of its tensors, metadata of its exporter) or a file beside it \
(labels.txt, config.json and preprocessor_config.json of transformers, pipeline.json and detail.json of mmdeploy, \
infer_cfg.yml of PaddleDetection). What nothing says is marked GUESS; where more than one reading fits, all of them stand there.")]
pub(super) struct ModelCommand {
    #[command(subcommand)]
    action: ModelAction,
}

#[derive(Debug, Subcommand)]
enum ModelAction {
    /// Draft the card of a model over frames, with the source of each line
    Card(CardArgs),
}

#[derive(Debug, Args)]
struct CardArgs {
    /// The model
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// Names of its classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

pub(super) fn model(args: &ModelCommand, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let ModelAction::Card(args) = &args.action;
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
