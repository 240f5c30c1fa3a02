//! The program `verge`. Everything is in the library, where tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    verge::cli::main(std::env::args_os())
}
