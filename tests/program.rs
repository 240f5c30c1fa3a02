//! The program under test, run as people run it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// How a run of the program ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "standard output:\n{}\nstandard error:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A command that is ready to run in a folder.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verge"));
    // People are shown the time of the site, which is that of the machine where no other is configured.
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).env("TZ", "UTC");
    command
}

/// Runs the program to its end.
pub(crate) fn verge(folder: &Path, arguments: &[&str]) -> Ended {
    Ended::of(command(folder, arguments).output().unwrap())
}
