//! `verge state`: what a judge has learnt, from the store of one gateway into that of another.

mod export;
mod file;
mod import;
mod rename;

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::FileArgs;
use super::judge::chosen;
use verge_gateway::exit::Exit;
use verge_gateway::settings::{JudgeSection, Settings};
use verge_gateway::wiring;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge state export -c gateway.toml unusual unusual.state
  verge state import -c gateway.toml unusual.state
  verge state import -c gateway.toml unusual.state --judge pumps --replace
  verge state import -c gateway.toml unusual.state --device pump-1=P101

A gateway whose signals bear the same names, read by sources with the same names, begins where the other is; what has another name here \
is named with --source, --device and --signal. What was learnt under \
settings that gave it another meaning (detector, by, shape, scale, unit, …) is not taken up, nor what the judge does not look at; \
both are reported.

`export` works beside a running gateway: states are as last saved, which is done every ten minutes and at its stop. `import` needs \
the gateway to be stopped, and must run as its user. The file is not encrypted.")]
pub(super) struct StateArgs {
    #[command(subcommand)]
    action: StateAction,
}

#[derive(Debug, Subcommand)]
enum StateAction {
    /// Write what a judge has learnt into a file
    Export(StateExportArgs),
    /// Take up what a judge of another gateway has learnt; the gateway must not run
    Import(StateImportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge state export -c gateway.toml unusual unusual.state")]
struct StateExportArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Name of the judge in the configuration
    judge: String,
    /// File to write; one that exists is left as it is
    to: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge state import -c gateway.toml unusual.state --dry-run
  verge state import -c gateway.toml unusual.state --replace")]
struct StateImportArgs {
    #[command(flatten)]
    file: FileArgs,
    /// File that `verge state export` has written
    from: PathBuf,
    /// Judge that takes it up, where it has another name here
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    #[command(flatten)]
    names: rename::RenameArgs,
    /// Replace what signals have learnt here already
    #[arg(long)]
    replace: bool,
    /// Only report what would be taken up
    #[arg(long)]
    dry_run: bool,
}

/// The judge of this name, which must be one that learns.
fn learning_judge(settings: &Settings, name: &str) -> anyhow::Result<JudgeSection> {
    let judge = chosen(settings, name)?;
    if wiring::fingerprint_of(settings, &judge).is_empty() {
        return Err(anyhow!("judge {name} ({}) does not learn", judge.detector().as_str()));
    }
    Ok(judge)
}

pub(super) fn state(args: &StateArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.action {
        StateAction::Export(args) => export::export(args, json, out),
        StateAction::Import(args) => import::import(args, json, out),
    }
}
