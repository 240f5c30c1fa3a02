//! `verge model`: the life of a model, from its card to the version that is in use.

mod bench;
mod card;
mod delta;
mod files;
mod finetune;
mod ls;
pub(super) mod measure;
mod package;
mod probe;
mod proof;
mod prune;
mod quantize;
mod rollback;
mod send;
mod shrink;
mod stages;
mod versions;

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use verge_gateway::exit::{Exit, reason};

use super::output::json_line;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge model card yolov8n.onnx > yolov8n.toml    the card beside the weights
  verge model card m.onnx --labels names.txt > m.toml
  verge model bench float.toml int8.toml --data pictures/
  verge model finetune parts.toml --data sorted/ -o parts-2
  verge model distil small.toml --teacher big.toml --data frames/ -o small-2
  verge model quantize float.toml --data pictures/ -o int8
  verge model prune float.toml --sparsity 0.3 --data pictures/ -o float-30
  verge model sign parts.toml --key publisher.pem --counter 4 -o parts-4.vmodel
  verge model delta parts-3.vmodel parts-4.vmodel -o parts-3-4.vmodel
  verge model push parts-4.vmodel -c gateway.toml
  verge model promote parts -c gateway.toml --stage shadow
  verge model promote parts -c gateway.toml
  verge model rollback parts -c gateway.toml

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
    /// Give a model that classifies a new head, from pictures that people sorted
    Finetune(finetune::FinetuneArgs),
    /// Teach a small model that classifies what a large one says of pictures without labels
    Distil(finetune::DistilArgs),
    /// Make a smaller and faster model of 8 bit whole numbers, and prove what it loses
    Quantize(quantize::QuantizeArgs),
    /// Set weights near to zero to zero: fewer bytes to send, no time gained, and what it loses
    Prune(prune::PruneArgs),
    /// Pack a card with its files, and sign the package
    Sign(package::SignArgs),
    /// Check the signature, the files and the expiry of a package
    Verify(package::VerifyArgs),
    /// Write what changed from one version to the next: a small file for a slow link
    Delta(delta::DeltaArgs),
    /// Rebuild the new version from the old one and what changed
    Patch(delta::PatchArgs),
    /// Take a package in as the candidate of its model, here or at gateways elsewhere
    Push(versions::PushArgs),
    /// Put the candidate of a model in use, or on trial beside the active version
    Promote(stages::PromoteArgs),
    /// Put the version before in use again
    Rollback(rollback::RollbackArgs),
    /// List the versions of managed models
    Ls(ls::LsArgs),
    /// Load a model once in a process with limits, and say what it took; `bench` and `push` start this
    #[command(hide = true)]
    Probe(probe::ProbeArgs),
}

pub(super) fn model(args: &ModelCommand, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    // Those that make a model say what became of it themselves, and what starts the probe reads its standard error.
    let says_it_itself = matches!(
        args.action,
        ModelAction::Finetune(_)
            | ModelAction::Distil(_)
            | ModelAction::Quantize(_)
            | ModelAction::Prune(_)
            | ModelAction::Probe(_)
    );
    act(&args.action, json, out).inspect_err(|error| {
        if json && !says_it_itself {
            // The error itself is what this ends with, whether or not anyone reads the object.
            drop(json_line(out, &json!({ "refused": reason(error) })));
        }
    })
}

fn act(action: &ModelAction, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match action {
        ModelAction::Card(args) => card::card(args, json, out),
        ModelAction::Bench(args) => bench::bench(args, json, out),
        ModelAction::Finetune(args) => finetune::finetune(args, json, out),
        ModelAction::Distil(args) => finetune::distil(args, json, out),
        ModelAction::Quantize(args) => quantize::quantize(args, json, out),
        ModelAction::Prune(args) => prune::prune(args, json, out),
        ModelAction::Sign(args) => package::sign(args, json, out),
        ModelAction::Verify(args) => package::verify(args, json, out),
        ModelAction::Delta(args) => delta::delta(args, json, out),
        ModelAction::Patch(args) => delta::patch(args, json, out),
        ModelAction::Push(args) => versions::push(args, json, out),
        ModelAction::Promote(args) => versions::promote(args, json, out),
        ModelAction::Rollback(args) => rollback::rollback(args, json, out),
        ModelAction::Ls(args) => ls::ls(args, json, out),
        ModelAction::Probe(args) => probe::probe(args, out),
    }
}
