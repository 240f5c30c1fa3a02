use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// Terminals wrap what is longer, and clap does: text that is wrapped in the source as well reads badly.
#[test]
fn help_is_wrapped_once() {
    fn check(command: &mut clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for paragraph in more.split("\n\n") {
            let lines: Vec<&str> = paragraph.lines().collect();
            let is_heading = lines.first().is_some_and(|line| line.ends_with(':'));
            let prose =
                lines.iter().skip(usize::from(is_heading)).filter(|line| !line.starts_with("  ")).count();
            assert!(
                prose == 0 || lines.len() == 1,
                "{path}: a paragraph is one line of the source:\n{paragraph}"
            );
            for line in lines.iter().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() < 80, "{path}: an example has 79 characters at most:\n{line}");
            }
        }
        for width in [80, 120] {
            let help = command.clone().term_width(width).render_long_help().to_string();
            let long = help.lines().find(|line| line.chars().count() > width);
            assert_eq!(long, None, "{path}: longer than {width} columns");
        }
        command.get_subcommands_mut().for_each(|sub| check(sub, &path));
    }
    let mut command = Cli::command();
    command.build();
    check(&mut command, "");
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
        if deepest
            && !["certs", "outbox", "model", "runtime", "eval", "state", "users", "broker", "config"]
                .iter()
                .any(|group| path.contains(group))
        {
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
        .filter(|sub| !sub.is_hide_set())
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
            "learn",
            "state",
            "watch",
            "label",
            "maintenance",
            "acknowledge",
            "shelve",
            "set",
            "snapshot",
            "send",
            "alarms",
            "reload",
            "config",
            "outbox",
            "users",
            "certs",
            "model",
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
