//! `verge model delta` and `patch`: what changed from one version of a model to the next.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use verge_engine::{ContentDigest, ModelLimits};
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::delta;
use verge_models::package::changes::{self, is_package, read_at_most};

use super::super::output::json_line;
use super::files::{refused, write_one};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge model delta parts-4.onnx parts-5.onnx -o parts-5.delta
  verge model delta parts-4.vmodel parts-5.vmodel -o parts-4-5.vmodel

Of two packages a package is made with the manifest and the signature of the \
new one, so that no key is needed; `push` makes it whole again from the \
weights that it finds in the store.

Each tensor is copied from the old file where it is the same, sent as what differs (the bits, or how far its numbers have moved), or sent whole; what is shorter is taken.")]
pub(super) struct DeltaArgs {
    /// The old ONNX file or package
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The new one
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// What changed
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    limit: LimitArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge model patch parts-4.onnx parts-5.delta -o parts-5.onnx
  verge model patch parts-4.vmodel parts-4-5.vmodel -o parts-5.vmodel

What is written is the new file bit by bit, or nothing: a file that is damaged, or for another old file, ends with 65.")]
pub(super) struct PatchArgs {
    /// The old ONNX file or package
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// What changed, from `verge model delta`
    #[arg(value_name = "FILE")]
    changes: PathBuf,
    /// The new file
    #[arg(short, long, value_name = "NEW")]
    output: PathBuf,
    #[command(flatten)]
    limit: LimitArgs,
}

#[derive(Debug, Args)]
struct LimitArgs {
    /// Bytes of one file at most
    #[arg(long, value_name = "BYTES", default_value_t = ModelLimits::default().max_file_bytes)]
    max_model: u64,
}

pub(super) fn delta(args: &DeltaArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let most = args.limit.max_model;
    apart(&args.output, &[&args.old, &args.new])?;
    let made = if packaged(&args.new)? {
        changes::changes(&args.old, &args.new, &args.output, most).map_err(refused)?
    } else {
        if packaged(&args.old)? {
            let error = anyhow!(
                "{} is a package and {} is none: give two packages, or two ONNX files",
                args.old.display(),
                args.new.display()
            );
            return Err(error).exit_with(Exit::BadInput);
        }
        let made = delta::make(&read(&args.old, most)?, &read(&args.new, most)?);
        write_one(&args.output, &made.bytes)?;
        made
    };
    let bytes = size(&args.output)?;
    let whole = size(&args.new)?;
    if as_json {
        let line = json!({
            "out": args.output, "bytes": bytes, "whole_bytes": whole, "base": made.base, "target": made.target,
            "tensors": { "same": made.same, "xor": made.xor, "new": made.new },
        });
        json_line(out, &line)?;
    } else {
        let share = bytes as f64 / whole.max(1) as f64 * 100.0;
        writeln!(
            out,
            "{}: {bytes} bytes, {share:.1} % of {}; tensors: {} same, {} as what differs, {} new",
            args.output.display(),
            args.new.display(),
            made.same,
            made.xor,
            made.new
        )
        .context("standard output")?;
    }
    Ok(Exit::Fine)
}

pub(super) fn patch(args: &PatchArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let most = args.limit.max_model;
    apart(&args.output, &[&args.old, &args.changes])?;
    let sha256 = if packaged(&args.changes)? {
        changes::whole(&args.old, &args.changes, &args.output, most).map_err(refused)?
    } else {
        let old = read(&args.old, most)?;
        // It is hardly longer than what it makes.
        let changes = read(&args.changes, most)?;
        let new = delta::apply(&old, &changes, most);
        let new = new.with_context(|| args.changes.display().to_string()).exit_with(Exit::BadInput)?;
        write_one(&args.output, &new)?;
        ContentDigest::of(&new).to_string()
    };
    let bytes = size(&args.output)?;
    if as_json {
        json_line(out, &json!({ "out": args.output, "bytes": bytes, "sha256": sha256 }))?;
    } else {
        writeln!(out, "{}: {bytes} bytes, SHA-256 of the weights {sha256}", args.output.display())
            .context("standard output")?;
    }
    Ok(Exit::Fine)
}

/// What is written must not take the place of what is read.
fn apart(output: &Path, inputs: &[&PathBuf]) -> anyhow::Result<()> {
    let same = |input: &&&PathBuf| {
        input.as_path() == output
            || output.canonicalize().ok().is_some_and(|output| input.canonicalize().ok() == Some(output))
    };
    match inputs.iter().find(same) {
        None => Ok(()),
        Some(input) => Err(anyhow!("--output is {}, which is read: name another file", input.display()))
            .exit_with(Exit::Usage),
    }
}

fn packaged(path: &Path) -> anyhow::Result<bool> {
    is_package(path).with_context(|| path.display().to_string()).exit_with(Exit::BadInput)
}

fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    read_at_most(path, most).with_context(|| path.display().to_string()).exit_with(Exit::BadInput)
}

fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(path.metadata().with_context(|| path.display().to_string())?.len())
}
