//! `verge users`: who may log in at the dashboard.

use std::fs::{DirBuilder, File};
use std::io::{self, BufRead, IsTerminal, Write, stdin};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;
use verge_web::dashboard::access::{AccessError, AccessFile, Role, User};

use super::output::json_line;
use super::{FileArgs, say};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge users add anna --role operator -c gateway.toml   asks for a password
  verge users add anna --role operator --password-stdin -c gateway.toml < FILE
  verge users add prometheus --role viewer --no-password -c gateway.toml
  verge users token prometheus --label scrape -c gateway.toml   prints it once
  verge users ls -c gateway.toml

Roles: a viewer sees; an operator also acknowledges, shelves and labels; an admin does everything. The gateway takes changes \
up within two seconds. Removing a login, or changing its password, logs its browsers out.")]
pub(super) struct UsersArgs {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// Add a login
    Add {
        /// Its name
        name: String,
        /// What it may do
        #[arg(long)]
        role: RoleArg,
        #[command(flatten)]
        password: PasswordArgs,
        /// It has tokens only, for programs
        #[arg(long, conflicts_with = "password_stdin")]
        no_password: bool,
        #[command(flatten)]
        file: FileArgs,
    },
    /// Give a login another password; its browsers are logged out
    Password {
        /// Its name
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        file: FileArgs,
    },
    /// Make a token for a program, and print it: it is shown only now
    Token {
        /// The login whose role it has
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        label: String,
        #[command(flatten)]
        file: FileArgs,
    },
    /// List logins and tokens
    Ls {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Remove a login, or one of its tokens
    Rm {
        /// Its name
        name: String,
        /// Only the tokens with this label
        #[arg(long, value_name = "TEXT")]
        token: Option<String>,
        #[command(flatten)]
        file: FileArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// Read the password from standard input, its first line
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    Viewer,
    Operator,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

pub(super) fn users(args: &UsersArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.command {
        UsersCommand::Add { name, role, password, no_password, file } => {
            let settings = file.settings()?;
            // What is wrong with the name is said before a password is typed.
            changed(&settings, |users| users.clone().add(name, Role::from(*role), None), false)?;
            let password = if *no_password { None } else { Some(password.read(name)?) };
            changed(&settings, |users| users.add(name, Role::from(*role), password.as_deref()), true)?;
            let role = Role::from(*role);
            done(
                &settings,
                json!({ "added": name, "role": role.as_str() }),
                &format!("added {name}, {role}"),
                json,
                out,
            )
        }
        UsersCommand::Password { name, password, file } => {
            let settings = file.settings()?;
            let password = password.read(name)?;
            changed(&settings, |users| users.set_password(name, &password), true)?;
            let words = format!("{name} has another password; its browsers are logged out");
            done(&settings, json!({ "changed": name }), &words, json, out)
        }
        UsersCommand::Token { name, label, file } => {
            let settings = file.settings()?;
            let token = changed(&settings, |users| users.make_token(name, label), true)?;
            if json {
                json_line(out, &json!({ "token": token, "user": name, "label": label }))?;
            } else {
                writeln!(out, "{token}")?;
                say("send it as \"Authorization: Bearer TOKEN\"; it is not shown again");
            }
            Ok(Exit::Fine)
        }
        UsersCommand::Ls { file } => list(&AccessFile::load(&file.settings()?.gateway.state_dir)?, json, out),
        UsersCommand::Rm { name, token, file } => {
            let settings = file.settings()?;
            changed(&settings, |users| users.remove(name, token.as_deref()), true)?;
            let words = token.as_ref().map_or_else(
                || format!("removed {name}; its browsers are logged out"),
                |label| format!("removed the token {label:?} of {name}"),
            );
            done(&settings, json!({ "removed": name, "token": token }), &words, json, out)
        }
    }
}

/// Changes the logins, and writes them where that is asked for.
fn changed<T>(
    settings: &Settings,
    change: impl FnOnce(&mut AccessFile) -> Result<T, AccessError>,
    write: bool,
) -> anyhow::Result<T> {
    let folder = &settings.gateway.state_dir;
    let exit_of = |error: &AccessError| match error {
        AccessError::Read { .. } | AccessError::Write { .. } | AccessError::Random(_) => Exit::Temporary,
        AccessError::Damaged { .. } => Exit::BadConfig,
        _ => Exit::Usage,
    };
    let made = || {
        let _turn = write.then(|| turn(folder)).transpose()?;
        let mut users = AccessFile::load(folder)?;
        let done = change(&mut users)?;
        if write {
            users.save(folder)?;
        }
        Ok(done)
    };
    made().map_err(|error: AccessError| {
        let exit = exit_of(&error);
        Err::<T, _>(error).exit_with(exit).err().expect("it is an error")
    })
}

/// One command at a time changes the logins: another waits until the file is dropped. Logins can be made before the first
/// start, so the folder may have to be made, as the gateway makes it.
fn turn(folder: &Path) -> Result<File, AccessError> {
    let taken = || -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = File::open(folder)?;
        folder.lock()?;
        Ok(folder)
    };
    taken().map_err(|error| AccessError::Write { path: folder.to_owned(), error })
}

fn done(
    settings: &Settings,
    value: Value,
    words: &str,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    if json {
        json_line(out, &value)?;
    } else {
        writeln!(out, "{words}")?;
    }
    if settings.dashboard.is_none() {
        say("the configuration has no [dashboard] with listen: there is nothing to log in to yet");
    }
    Ok(Exit::Fine)
}

fn list(users: &AccessFile, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    if json {
        let user = |(name, user): (&String, &User)| {
            let tokens: Vec<&str> = user.tokens.iter().map(|token| token.label.as_str()).collect();
            json!({ "name": name, "role": user.role.as_str(), "password": user.has_password(), "tokens": tokens })
        };
        let all: Vec<Value> = users.users.iter().map(user).collect();
        json_line(out, &json!({ "users": all }))?;
        return Ok(Exit::Fine);
    }
    if users.users.is_empty() {
        writeln!(out, "no login yet: add one with `verge users add NAME --role admin -c FILE`")?;
    }
    let widest = users.users.keys().map(String::len).max().unwrap_or(0);
    for (name, user) in &users.users {
        let password = if user.has_password() { "password" } else { "no password" };
        let labels: Vec<String> = user.tokens.iter().map(|token| format!("{:?}", token.label)).collect();
        let tokens =
            if labels.is_empty() { String::new() } else { format!(", tokens {}", labels.join(", ")) };
        writeln!(out, "{name:widest$}  {:<8}  {password}{tokens}", user.role.as_str())?;
    }
    Ok(Exit::Fine)
}

impl PasswordArgs {
    /// The first line of standard input, or what is typed, twice and unseen.
    pub(super) fn read(&self, name: &str) -> anyhow::Result<String> {
        if self.password_stdin {
            return line().context("standard input");
        }
        if !stdin().is_terminal() {
            bail!("no terminal to type a password at: give it on standard input, with --password-stdin");
        }
        let password = typed(&format!("password for {name}: "))?;
        if typed("again: ")? != password {
            bail!("the two are not the same: try again");
        }
        Ok(password)
    }
}

fn line() -> std::io::Result<String> {
    let mut text = String::new();
    stdin().lock().read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Puts the terminal back as it was.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &now)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        tcsetattr(stdin(), OptionalActions::Flush, &self.0).ok();
    }
}

fn typed(question: &str) -> anyhow::Result<String> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let unseen = Unseen::begin().context("the terminal")?;
    let text = line().context("the terminal");
    drop(unseen);
    writeln!(stderr)?;
    text
}
