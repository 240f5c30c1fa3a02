//! The command line: the commands, and what runs each.

#[cfg(not(all(feature = "demo", feature = "eval")))]
mod absent;
mod alarms;
mod answer;
mod asking;
mod broker;
mod certs;
mod check;
mod completions;
mod config;
mod connect;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "eval")]
mod eval;
mod file_guess;
mod file_limit;
mod file_name;
mod instant;
mod judge;
mod labelled;
mod man;
mod model;
mod operator;
mod orders;
mod outbox;
mod output;
mod pictures;
mod printer;
mod recording;
mod reload;
mod run;
mod runtime;
mod send;
mod set;
mod snapshot;
mod state;
mod table;
mod uplink;
mod users;
mod watch;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::log::{self, Log};
use output::Output;
use verge_gateway::child::end_with_parent;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;

/// Environment variable with the filter for log lines: levels, and levels of targets (`info,verge_mqtt=debug`).
const LOG_VARIABLE: &str = "VERGE_LOG";

/// First of the examples, where there is a demo.
const DEMO: &str = if cfg!(feature = "demo") {
    "  verge demo --seconds 30        see it work, without a configuration\n"
} else {
    ""
};

const EXAMPLES: &str = "  verge check -c gateway.toml    what is wrong, what cannot be reached?
  verge run -c gateway.toml      be a gateway; verdicts on a terminal
  verge watch -c gateway.toml    what arrives upstream

Exit codes: 0 fine, 64 wrong usage, 65 bad input data, 69 service unavailable, 75 temporary fault, 78 bad \
configuration, 1 other. Log lines go to standard error; VERGE_LOG=debug (or info, warn, error) sets how many.";

/// Verdicts at the edge: judges sensor readings on the spot and sends small, durable, encrypted verdicts upstream.
#[derive(Debug, Parser)]
#[command(name = "verge", version, after_help = format!("Examples:\n{DEMO}{EXAMPLES}"), max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    /// Write JSON on standard output, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole thing at work: simulated sensors, a gateway, a receiver; nothing else is needed
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Not in this build
    #[cfg(not(feature = "demo"))]
    #[command(hide = true)]
    Demo(absent::AbsentArgs),
    /// Be a gateway until SIGINT or SIGTERM
    Run(run::RunArgs),
    /// Name every fault of a configuration, then try certificates, brokers and the store for real
    Check(check::CheckArgs),
    /// Put files through one configured judge and print its verdicts; nothing is sent or stored
    Judge(judge::JudgeArgs),
    /// Teach a judge with history, so that it need not begin from nothing; the gateway must not run
    Learn(judge::LearnArgs),
    /// Carry what a judge has learnt from one gateway to another
    State(state::StateArgs),
    /// Receive verdicts, print them, count duplicates and gaps
    Watch(watch::WatchArgs),
    /// Tell the judges of a gateway what is known about their last alarm
    Label(orders::LabelArgs),
    /// Let judges of a gateway raise nothing for a while
    Maintenance(orders::MaintenanceArgs),
    /// Take note of open alarms of a gateway
    Acknowledge(operator::AcknowledgeArgs),
    /// Take an alarm of a gateway off the list for a limited time
    Shelve(operator::ShelveArgs),
    /// Move a limit of a judge of a gateway, within the bounds of its configuration
    Set(set::SetArgs),
    /// Request one picture of a camera of a gateway
    Snapshot(snapshot::SnapshotArgs),
    /// Publish files or lines as a device would
    Send(send::SendArgs),
    /// Show open and recent alarms, which signals alarm most, and what to do about it; works beside a running gateway
    Alarms(alarms::AlarmsArgs),
    /// Let a running gateway take up its changed configuration: judges now, the rest is refused
    Reload(reload::ReloadArgs),
    /// Print every setting of a configuration with the place its value comes from, or what was drawn
    Config(config::ConfigArgs),
    /// Look into the store of verdicts; works beside a running gateway
    Outbox(outbox::OutboxArgs),
    /// Say who may log in at the dashboard, and make tokens for programs; works beside a running gateway
    Users(users::UsersArgs),
    /// Make and show certificates
    Certs(certs::CertsArgs),
    /// Draft the card of a model, measure models, sign, push, promote and roll back their versions
    Model(model::ModelCommand),
    /// Install and show the library that runs models
    Runtime(runtime::RuntimeArgs),
    /// Score a model on labelled pictures, or the detectors on labelled series
    #[cfg(feature = "eval")]
    Eval(eval::EvalArgs),
    /// Not in this build
    #[cfg(not(feature = "eval"))]
    #[command(hide = true)]
    Eval(absent::AbsentArgs),
    /// Logins of the embedded broker's devices; without a subcommand that broker alone, as `run` starts it
    Broker(broker::BrokerArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages, for packages
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
struct FileArgs {
    /// The configuration, a TOML file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

impl FileArgs {
    /// Reads and checks it; warnings go to the log.
    fn settings(&self) -> anyhow::Result<Settings> {
        let settings = Settings::load(&self.config, std::env::vars_os()).exit_with(Exit::BadConfig)?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        Ok(settings)
    }
}

/// Runs the program with these arguments (the first is the program's name) and says how it ends.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Err(error) = end_with_parent() {
        return refused_at_once(&error.to_string());
    }
    verge_tls::install_provider();
    file_limit::survive();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    if let Err(error) = start_log(&cli.command) {
        return refused_at_once(&format!(
            "cannot start a thread: {error}: this process may have too little memory or too few threads (ulimit -v, ulimit -u, \
             LimitAS=, TasksMax=)"
        ));
    }
    let mut out = Output::new();
    let ended = dispatch(&cli, &mut out).and_then(|exit| {
        out.flush().context("standard output")?;
        Ok(exit)
    });
    let (exit, cause) = match ended {
        Ok(exit) => (exit, None),
        Err(error) if output::reader_is_gone(&error) => (Exit::Fine, None),
        Err(error) => (Exit::of(&error), Some(format!("verge: {}", words(error.as_ref())))),
    };
    log::close(cause.as_deref());
    exit.into()
}

/// The end of a program that cannot even log.
fn refused_at_once(why: &str) -> ExitCode {
    // Where standard error is closed nobody reads it.
    drop(writeln!(std::io::stderr(), "verge: {}: {why}", Exit::Temporary));
    Exit::Temporary.into()
}

fn dispatch(cli: &Cli, out: &mut Output) -> anyhow::Result<Exit> {
    let json = cli.json;
    match &cli.command {
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::demo(args),
        #[cfg(not(feature = "demo"))]
        Command::Demo(_) => absent::absent("demo"),
        Command::Run(args) => run::run(args, json),
        Command::Check(args) => check::check(args, json, out),
        Command::Judge(args) => judge::judge(args, json, out),
        Command::Learn(args) => judge::learn(args, json, out),
        Command::State(args) => state::state(args, json, out),
        Command::Watch(args) => watch::watch(args, json, out),
        Command::Label(args) => orders::label(args, json, out),
        Command::Maintenance(args) => orders::maintenance(args, json, out),
        Command::Acknowledge(args) => operator::acknowledge(args, json, out),
        Command::Shelve(args) => operator::shelve(args, json, out),
        Command::Set(args) => set::set(args, json, out),
        Command::Snapshot(args) => snapshot::snapshot(args, json, out),
        Command::Send(args) => send::send(args, json, out),
        Command::Users(args) => users::users(args, json, out),
        Command::Alarms(args) => alarms::alarms(args, json, out),
        Command::Reload(args) => reload::reload(args, json, out),
        Command::Config(args) => config::config(args, json, out),
        Command::Outbox(args) => outbox::outbox(args, json, out),
        Command::Certs(args) => certs::certs(args, json, out),
        Command::Model(args) => model::model(args, json, out),
        Command::Runtime(args) => runtime::runtime(args, json, out),
        #[cfg(feature = "eval")]
        Command::Eval(args) => eval::eval(args, json, out),
        #[cfg(not(feature = "eval"))]
        Command::Eval(_) => absent::absent("eval"),
        Command::Broker(args) => broker::broker(args, json, out),
        Command::Completions(args) => completions::completions::<Cli>(args, out),
        Command::Man(args) => man::man::<Cli>(args),
    }
}

/// Help and version are no faults; anything else that clap says is wrong usage.
fn usage(error: &clap::Error) -> Exit {
    let exit = if error.exit_code() == 0 { Exit::Fine } else { Exit::Usage };
    // There is nothing left to say where neither output can be written to.
    if error.print().is_err() {
        return Exit::Failure;
    }
    if let Some(tip) = tip(error) {
        say(tip);
    }
    exit
}

/// What clap cannot know: which option names the configuration.
fn tip(error: &clap::Error) -> Option<&'static str> {
    let is_toml =
        |text: &String| Path::new(text).extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(text))) if is_toml(text) => {
            Some("tip: the configuration is named with -c FILE")
        }
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing)))
            if missing.iter().any(|argument| argument.starts_with("--url")) =>
        {
            Some("tip: -c FILE takes the connection from a configuration")
        }
        _ => None,
    }
}

/// A gateway logs its work on standard error; the other commands only what is wrong.
fn start_log(command: &Command) -> std::io::Result<()> {
    let level = match command {
        Command::Run(_) => "info",
        // It cuts its uplink itself, and reports so.
        Command::Demo(_) => "warn,verge_pipeline::delivery=error",
        // It reports what is refused itself, with the line.
        Command::Judge(_) | Command::Learn(_) => "warn,verge_pipeline::counters=error",
        // It reports what is not taken up itself.
        Command::State(_) => "warn,verge_pipeline::judging=error",
        _ => "warn",
    };
    // rumqttd logs every client that leaves as an error, and async-opcua what any stranger sends it (the status says why
    // connections ended); ort calls every library but one unsuitable.
    let wanted = std::env::var(LOG_VARIABLE).ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = wanted.unwrap_or_else(|| {
        format!("{level},rumqttd=off,opcua=off,ort=warn")
            .parse()
            .expect("levels and targets, separated by commas")
    });
    let log = Log::of_process()?;
    tracing_subscriber::fmt()
        // The filter decides alone.
        .with_max_level(LevelFilter::TRACE)
        .with_writer(log)
        // The layer would report a line that it cannot format with a print that may panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .finish()
        .with(filter)
        .init();
    Ok(())
}

/// One line for people on standard error.
fn say(text: &str) {
    // After the log lines that came before it.
    log::flush();
    // Where standard error is closed nobody reads it.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// An error with its causes, in one line.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut parts: Vec<String> = Vec::new();
    for text in causes.map(ToString::to_string) {
        // Some errors repeat their cause in their own words.
        if !parts.iter().any(|earlier| earlier.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// A runtime for commands that talk to brokers.
fn async_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

#[cfg(test)]
mod tests;
