//! `verge config`: what a configuration comes to, and where that comes from.

mod drawn;

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use verge_domain::configured::{ConfiguredSection, Setting, SettingOrigin};
use verge_gateway::config::effective_settings;
use verge_gateway::exit::Exit;

use super::FileArgs;
use super::output::json_line;

#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "Examples:
  verge config show -c gateway.toml            every setting, as TOML
  verge config show --origin -c gateway.toml   and where its value comes from
  verge config drawn -c gateway.toml           what was drawn in the dashboard

Of passwords and keys only that they are set is shown."
)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the lines, zones and masks that were drawn in the dashboard, to be taken into the file
    Drawn(drawn::DrawnArgs),
    /// Print every setting in effect
    #[command(after_help = "Examples:
  verge config show -c gateway.toml
  verge config show --origin -c gateway.toml
  verge --json config show -c gateway.toml

Of passwords and keys only that they are set is shown.")]
    Show {
        #[command(flatten)]
        file: FileArgs,
        /// Say behind each value where it comes from: default, line of the file, environment variable
        #[arg(long)]
        origin: bool,
    },
}

pub(super) fn config(args: &ConfigArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.command {
        ConfigCommand::Drawn(args) => drawn::drawn(args, json, out),
        ConfigCommand::Show { file, origin } => show(file, *origin, json, out),
    }
}

fn show(file: &FileArgs, origin: bool, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = file.settings()?;
    let sections = effective_settings(&settings.values, &settings.origins);
    if json {
        json_line(out, &json!({ "file": file.config, "sections": sections }))?;
        return Ok(Exit::Fine);
    }
    for (index, ConfiguredSection { path, settings }) in sections.iter().enumerate() {
        let gap = if index == 0 { "" } else { "\n" };
        writeln!(out, "{gap}[{path}]")?;
        for setting in settings {
            writeln!(out, "{}", line(setting, origin))?;
        }
    }
    Ok(Exit::Fine)
}

/// A setting as TOML; of a secret a comment.
fn line(setting: &Setting, origin: bool) -> String {
    let Setting { key, value, secret, .. } = setting;
    let said = if *secret { format!("# {key} is {value}") } else { format!("{key} = {value}") };
    if !origin {
        return said;
    }
    let from = match (setting.origin, setting.line, &setting.variable) {
        (SettingOrigin::File, Some(line), _) => format!("file, line {line}"),
        (SettingOrigin::Environment, _, Some(variable)) => format!("environment, {variable}"),
        (origin, ..) => origin.to_string(),
    };
    format!("{said}{}# {from}", " ".repeat(COLUMN.saturating_sub(said.chars().count()).max(2)))
}

/// Where the origins stand.
const COLUMN: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_line_of_toml_with_its_origin() {
        let setting = |value: &str, secret, origin, line, variable: Option<&str>| Setting {
            key: "key".to_owned(),
            value: value.to_owned(),
            secret,
            origin,
            line,
            variable: variable.map(ToOwned::to_owned),
        };
        let file = setting("7.5", false, SettingOrigin::File, Some(12), None);
        assert_eq!(line(&file, false), "key = 7.5");
        assert_eq!(line(&file, true), format!("key = 7.5{}# file, line 12", " ".repeat(35)));
        let secret = setting("set", true, SettingOrigin::Environment, None, Some("VERGE__LOCAL__PASSWORD"));
        assert_eq!(line(&secret, false), "# key is set");
        assert!(line(&secret, true).ends_with("# environment, VERGE__LOCAL__PASSWORD"));
        let long = setting(&format!("{:?}", "x".repeat(90)), false, SettingOrigin::Default, None, None);
        assert!(line(&long, true).ends_with("\"  # default"));
    }
}
