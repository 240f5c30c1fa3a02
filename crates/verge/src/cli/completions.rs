//! `verge completions`: a script that makes a shell complete our commands.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use verge_gateway::exit::Exit;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge completions bash > /etc/bash_completion.d/verge
  verge completions zsh > \"${fpath[1]}/_verge\"
  verge completions fish > ~/.config/fish/completions/verge.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions<C: CommandFactory>(
    args: &CompletionsArgs,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    generate(args.shell, &mut C::command(), "verge", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_a_script() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            completions::<super::super::Cli>(&CompletionsArgs { shell: *shell }, &mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains("verge"), "{shell}");
        }
    }
}
