use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself_and_shows_an_example() {
    fn check(command: &mut clap::Command, path: &str) {
        assert!(command.get_about().is_some(), "{path} says what it does");
        let deepest = command.get_subcommands().all(|sub| sub.get_name() == "help");
        let path = format!("{path} {}", command.get_name());
        let help = command.render_long_help().to_string();
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{path}: {} is explained", argument.get_id());
        }
        if deepest && !["certs", "outbox", "runtime", "eval"].iter().any(|group| path.contains(group)) {
            assert!(help.contains("Examples:"), "{path} shows an example:\n{help}");
        }
        let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        for name in names {
            if let Some(sub) = command.find_subcommand_mut(&name) {
                check(sub, &path);
            }
        }
    }
    let mut command = Cli::command();
    command.build();
    let commands: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .filter(|name| name != "help")
        .collect();
    assert_eq!(
        commands,
        [
            "demo",
            "run",
            "check",
            "judge",
            "watch",
            "label",
            "maintenance",
            "send",
            "outbox",
            "certs",
            "runtime",
            "eval",
            "broker",
            "completions"
        ]
    );
    for name in commands {
        check(command.find_subcommand_mut(&name).unwrap(), "verge");
    }
}
