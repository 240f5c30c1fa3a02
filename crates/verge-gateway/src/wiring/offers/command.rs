//! This program as a process of its own: `verge --json model …`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use verge_domain::model_order::ModelRefusal;

use crate::child::run_within;

/// A model is loaded twice in it, each time for a minute at most.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs a command about models with this configuration, and gives the line of JSON that it writes.
pub(super) fn run(file: &Path, arguments: &[&OsStr]) -> Result<String, ModelRefusal> {
    let io =
        |error: std::io::Error| ModelRefusal::Io { reason: format!("the command about models: {error}") };
    let program = std::env::current_exe().map_err(io)?;
    let mut command = Command::new(program);
    command.args(["--json", "model"]).args(arguments).arg("--config").arg(file);
    let Some(ended) = run_within(&mut command, LIMIT).map_err(io)? else {
        let reason =
            format!("the command about models was still at work after {} s, and was ended", LIMIT.as_secs());
        return Err(ModelRefusal::Io { reason });
    };
    if ended.status.success() {
        let stdout = String::from_utf8_lossy(&ended.stdout);
        return Ok(stdout.lines().next_back().unwrap_or("null").to_owned());
    }
    let reason = ended.last_words().unwrap_or_else(|| "it was ended by a signal".to_owned());
    Err(ModelRefusal::Refused { code: ended.status.code().unwrap_or(75), reason })
}
