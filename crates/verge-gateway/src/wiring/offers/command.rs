//! This program as a process of its own: `verge --json model …`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use verge_domain::model_order::ModelRefusal;

/// A model is loaded twice in it, each time for a minute at most.
const LIMIT: Duration = Duration::from_secs(600);
/// How often it is looked after.
const STEP: Duration = Duration::from_millis(50);
/// Of what it writes this much is kept.
const MAX_SAID: u64 = 256 * 1024;

/// Runs a command about models with this configuration, and gives the line of JSON that it writes.
pub(super) fn run(file: &Path, arguments: &[&OsStr]) -> Result<String, ModelRefusal> {
    let io =
        |error: std::io::Error| ModelRefusal::Io { reason: format!("the command about models: {error}") };
    let program = std::env::current_exe().map_err(io)?;
    let mut command = Command::new(program);
    command.args(["--json", "model"]).args(arguments).arg("--config").arg(file);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(io)?;
    // Read meanwhile: one who fills a pipe waits for its reader.
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io)? {
            break status;
        }
        if began.elapsed() >= LIMIT {
            child.kill().map_err(io)?;
            break child.wait().map_err(io)?;
        }
        std::thread::park_timeout(STEP);
    };
    let said = |reader: Option<JoinHandle<Vec<u8>>>| {
        let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (said(stdout), said(stderr));
    if status.success() {
        return Ok(stdout.lines().next_back().unwrap_or("null").to_owned());
    }
    let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it was ended by a signal");
    let reason = last.trim().strip_prefix("verge: ").unwrap_or(last.trim()).to_owned();
    Err(ModelRefusal::Refused { code: status.code().unwrap_or(75), reason })
}

fn reader(pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut pipe = pipe;
        let mut bytes = Vec::new();
        // What was read until then is what there is; the rest is read away, so that nobody waits.
        drop(pipe.by_ref().take(MAX_SAID).read_to_end(&mut bytes));
        drop(std::io::copy(&mut pipe, &mut std::io::sink()));
        bytes
    })
}
