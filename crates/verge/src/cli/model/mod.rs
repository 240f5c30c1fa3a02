//! `verge model`: the life of a model, from its card to what it costs here.

mod bench;
mod card;
mod measure;
mod probe;

use std::io::Write;

use clap::{Args, Subcommand};
use verge_gateway::exit::Exit;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge model card yolov8n.onnx > yolov8n.toml    the card beside the weights
  verge model card m.onnx --labels names.txt > m.toml
  verge model bench float.toml int8.toml --data pictures/    which of both to use here

Each line of a card names its source: the file (names and shapes of its tensors, metadata of its exporter) or a file beside it \
(labels.txt, config.json and preprocessor_config.json of transformers, pipeline.json and detail.json of mmdeploy, \
infer_cfg.yml of PaddleDetection). What nothing says is marked GUESS; where more than one reading fits, all of them stand there.")]
pub(super) struct ModelCommand {
    #[command(subcommand)]
    action: ModelAction,
}

#[derive(Debug, Subcommand)]
enum ModelAction {
    /// Draft the card of a model over frames, with the source of each line
    Card(card::CardArgs),
    /// Measure models over frames side by side on this machine, and say which file to use here
    Bench(bench::BenchArgs),
    /// Load a model once in a process with limits, and say what it took; `bench` and `push` start this
    #[command(hide = true)]
    Probe(probe::ProbeArgs),
}

pub(super) fn model(args: &ModelCommand, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.action {
        ModelAction::Card(args) => card::card(args, json, out),
        ModelAction::Bench(args) => bench::bench(args, json, out),
        ModelAction::Probe(args) => probe::probe(args, out),
    }
}
