//! What the command `verge broker` does, for tests that need a process of it.

#![expect(clippy::print_stderr, reason = "what a process of its own says of its end")]

use std::process::ExitCode;

fn main() -> ExitCode {
    match verge_broker::child::serve(&mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
