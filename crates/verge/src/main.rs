//! The program `verge`. Everything is in the library, where tests can reach it.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// While this is not set, the builds of ONNX Runtime that everybody installs report their use to their maker, from
/// the moment they are loaded: switching that off by a call comes too late.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

fn main() -> ExitCode {
    if env::var_os(NO_TELEMETRY).is_none() {
        let error = start_again();
        let written =
            writeln!(io::stderr(), "verge: cannot set {NO_TELEMETRY}=1 for itself ({error}): set it");
        // Where standard error is closed nobody reads it.
        drop(written);
        return ExitCode::FAILURE;
    }
    verge::cli::main(env::args_os())
}

/// The same process with the variable set: a program cannot safely set one while it runs.
fn start_again() -> io::Error {
    let mut arguments = env::args_os();
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(NO_TELEMETRY, "1").exec()
}
