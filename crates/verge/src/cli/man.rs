//! `verge man`: the manual pages, one for each command, as packages bring them.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};

use verge_gateway::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Folder to write to, which exists
    folder: PathBuf,
}

pub(super) fn man<C: CommandFactory>(args: &ManArgs) -> anyhow::Result<Exit> {
    clap_mangen::generate_to(C::command(), &args.folder)
        .with_context(|| args.folder.display().to_string())?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        man::<super::super::Cli>(&ManArgs { folder: folder.path().to_owned() }).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        for command in super::super::Cli::command().get_subcommands().filter(|command| !command.is_hide_set())
        {
            let name = format!("verge-{}.1", command.get_name());
            assert!(page(&name).contains("NAME"), "{name}");
        }
        assert!(page("verge.1").contains("gateway"));
        assert_eq!(page("verge-man.1"), "");
    }
}
