//! What the command `verge broker` does, for tests that need a process of it.

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
