//! `verge reload`: ask the gateway that runs with a configuration to take it up as it is now.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Args;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::reload::{ReloadAnswer, door};
use verge_gateway::settings::{ConfigurationError, Settings, state_dir_in};

use super::output::json_line;
use super::{FileArgs, say};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge reload -c /etc/verge/gateway.toml --dry-run   what would change?
  verge reload -c /etc/verge/gateway.toml

Judges ([judge.NAME]) and models ([model.NAME] and their files) are taken up while the gateway runs; connections stay, and \
no reading or frame is lost. All or nothing: if the \
file is wrong, or anything else in it has changed, nothing changes, and each key that needs a restart is named.

It needs to run on the same machine, as the user of the gateway or as root. SIGHUP does the same; the report is in the log.")]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn reload(args: &ReloadArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let file = &args.file.config;
    // The gateway checks the file, with its own environment: what is wrong with it is in its answer.
    let state_dir = state_dir_in(file, std::env::vars_os()).exit_with(Exit::BadConfig)?;
    let file = file.canonicalize().with_context(|| file.display().to_string()).exit_with(Exit::BadConfig)?;
    let asked = match door::ask(&state_dir, &file, args.dry_run) {
        Err(error) if is_away(&error) => of_a_wrong_file(&file).ok_or(error),
        asked => asked,
    };
    let answer = asked.map_err(|error| {
        let folder = state_dir.display();
        match error.kind() {
            _ if is_away(&error) => anyhow!(
                "no gateway runs on {folder} (gateway.state_dir): start it with `verge run -c {}`",
                file.display()
            ),
            ErrorKind::PermissionDenied => {
                anyhow!(
                    "this user may not ask the gateway on {folder}: run it as the gateway's user or as root"
                )
            }
            _ => anyhow!(error).context(format!("the gateway on {folder} does not answer")),
        }
    });
    let answer = answer.exit_with(Exit::Unavailable)?;
    let exit = match &answer {
        ReloadAnswer::Reloaded(_) | ReloadAnswer::WouldReload(_) => Exit::Fine,
        ReloadAnswer::Faulty { .. } => Exit::BadConfig,
        ReloadAnswer::OtherFile { .. } => Exit::Usage,
        ReloadAnswer::NeedsRestart { .. } => Exit::Failure,
        ReloadAnswer::Failed { .. } => Exit::Temporary,
    };
    if json {
        json_line(out, &serde_json::to_value(&answer)?)?;
    } else {
        let words = answer.words();
        for (index, line) in words.iter().enumerate() {
            let line = if index == 0 { line.clone() } else { format!("  {line}") };
            if answer.is_ok() { writeln!(out, "{line}")? } else { say(&line) }
        }
    }
    Ok(exit)
}

/// Nobody takes reloads in that folder.
fn is_away(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// The faults of a file, if it has any. One that is cut off in front of `gateway.state_dir` leads to a folder where no gateway
/// runs, and that is not what is wrong.
fn of_a_wrong_file(file: &Path) -> Option<ReloadAnswer> {
    match Settings::load(file, std::env::vars_os()) {
        Err(ConfigurationError::Faults { faults, .. }) => {
            Some(ReloadAnswer::Faulty { faults: faults.iter().map(ToString::to_string).collect() })
        }
        _ => None,
    }
}
