//! `verge broker passwd` and `verge broker import`: logins of devices that have no certificate.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use verge_broker::Passwords;
use verge_broker::passwords::is_name;
use verge_broker::policy::AccessList;
use verge_gateway::exit::{Exit, ExitWith};
use verge_tls::PasswordHash;

use super::super::output::json_line;
use super::super::users::PasswordArgs;

/// Largest file that is read.
const MAX_BYTES: u64 = 4 << 20;
/// Shorter passwords are not taken: devices keep theirs, and nobody has to remember one.
const MIN_PASSWORD_CHARS: usize = 8;
const PASSWORDS: &str = "broker.passwords";
const ACCESS_LIST: &str = "broker.acl";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge broker passwd pump-1 --file broker.passwords
  verge broker passwd pump-1 --file broker.passwords --remove")]
pub(super) struct PasswdArgs {
    /// The device's name: it is its client identifier, and a level of its topics
    name: String,
    /// The file; it is made if need be
    #[arg(long, value_name = "FILE", default_value = PASSWORDS)]
    file: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
    /// Remove the login instead; what is connected by it is cut off
    #[arg(long, conflicts_with = "password_stdin")]
    remove: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge broker import --passwords passwd --acl acl --dir /etc/verge")]
pub(super) struct ImportArgs {
    /// mosquitto's password_file
    #[arg(long, value_name = "FILE")]
    passwords: Option<PathBuf>,
    /// mosquitto's acl_file
    #[arg(long, value_name = "FILE", required_unless_present = "passwords")]
    acl: Option<PathBuf>,
    /// Folder for broker.passwords and broker.acl
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

pub(super) fn passwd(args: &PasswdArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let PasswdArgs { name, file, password, remove } = args;
    if !is_name(name) {
        let expected = "expected 1 to 128 bytes without + # / $ : @ or control characters";
        return Err(anyhow::anyhow!("{name:?} cannot be the name of a device, {expected}"))
            .exit_with(Exit::Usage);
    }
    let before = match read(file) {
        Ok(text) => text,
        Err(_) if !file.exists() && !remove => String::new(),
        Err(error) => return Err(error),
    };
    Passwords::parse(&before).with_context(|| file.display().to_string()).exit_with(Exit::BadInput)?;
    let is_of = |line: &&str| line.split_once(':').is_some_and(|(known, _)| known.trim() == name);
    let others = before.lines().filter(|line| !is_of(line)).map(|line| format!("{line}\n"));
    let (mut text, was_there) = (others.collect::<String>(), before.lines().any(|line| is_of(&line)));
    let words = if *remove {
        if !was_there {
            bail!("{} has no login {name:?}", file.display());
        }
        "removed"
    } else {
        let password = password.read(name)?;
        if password.chars().count() < MIN_PASSWORD_CHARS {
            bail!("a password has at least {MIN_PASSWORD_CHARS} characters");
        }
        text.push_str(&format!("{name}:{}\n", PasswordHash::of(&password)?.written()));
        if was_there { "changed" } else { "added" }
    };
    write(file, &text, true)?;
    if json {
        json_line(out, &json!({ "file": file, "login": name, "done": words }))?;
    } else {
        writeln!(out, "{}: login {name} {words}", file.display())?;
    }
    Ok(Exit::Fine)
}

pub(super) fn import(args: &ImportArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut done = Vec::new();
    let mut lost = Vec::new();
    if let Some(from) = &args.passwords {
        let (text, taken, without) = logins_of(&read(from)?);
        lost = without;
        let path = args.dir.join(PASSWORDS);
        write(&path, &text, args.force)?;
        let count = format!("{}: {taken} logins of {}", path.display(), from.display());
        done.push(format!("{count}; below [local]: passwords = \"{}\"", path.display()));
    }
    if let Some(from) = &args.acl {
        let text = read(from)?;
        let list =
            AccessList::parse(&text).with_context(|| from.display().to_string()).exit_with(Exit::BadInput)?;
        let path = args.dir.join(ACCESS_LIST);
        write(&path, &text, args.force)?;
        let names = list.names().len();
        done.push(format!(
            "{}: the rules of {} for {names} names, as they are; below [local]: acl_file = \"{}\"",
            path.display(),
            from.display(),
            path.display()
        ));
    }
    if json {
        json_line(out, &json!({ "written": done, "need_a_new_password": lost }))?;
        return Ok(Exit::Fine);
    }
    for line in done {
        writeln!(out, "{line}")?;
    }
    for name in lost {
        writeln!(
            out,
            "{name:?} needs a new password: `verge broker passwd {name}` (its hash is not one of $7$ or argon2id)"
        )?;
    }
    Ok(Exit::Fine)
}

/// Those lines that can be used as they are, how many there are, and the names of the others.
fn logins_of(text: &str) -> (String, usize, Vec<String>) {
    let (mut kept, mut taken, mut lost) = (String::new(), 0, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let with_break = format!("{line}\n");
        let is_new = Passwords::parse(&format!("{kept}{with_break}")).is_ok();
        if is_new {
            kept.push_str(&with_break);
            taken += 1;
        } else {
            let name = line.split(':').next().unwrap_or_default();
            lost.push(name.chars().take(80).collect());
        }
    }
    (kept, taken, lost)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let what = || format!("cannot read {}", path.display());
    if std::fs::metadata(path).with_context(what)?.len() > MAX_BYTES {
        bail!("{} is larger than 4 MiB", path.display());
    }
    std::fs::read_to_string(path).with_context(what)
}

/// As a whole or not at all, readable by this user and group alone.
fn write(path: &Path, text: &str, replace: bool) -> anyhow::Result<()> {
    if !replace && path.exists() {
        bail!("{} exists already and is left as it is; --force replaces it", path.display());
    }
    let what = || format!("cannot write {}", path.display());
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(what),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o640).open(&fresh).with_context(what)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(what)?;
    std::fs::rename(&fresh, path).with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "$7$101$BBI6q9U/G1rMxmuv$7Npf9C6kMuyrGkKJ7Vf6qYzy1wcDLldF++XdxRKvVYMADssUcrNVL5bulsn7i1EaRq1JEG+L+85PP+OzeMbgOQ==";

    #[test]
    fn mosquittos_files_are_taken_over_and_what_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (passwords, acl) = (dir.path().join("passwd"), dir.path().join("acl"));
        std::fs::write(&passwords, format!("pump-1:{OLD}\nolder:$6$c2FsdA==$aGFzaA==\nplain:secret\n"))
            .unwrap();
        std::fs::write(&acl, "user pump-1\ntopic write plant/pump-1/#\n").unwrap();
        let args = ImportArgs {
            passwords: Some(passwords),
            acl: Some(acl),
            dir: dir.path().to_owned(),
            force: false,
        };
        let mut out = Vec::new();
        import(&args, false, &mut out).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert!(said.contains("1 logins") && said.contains("for 1 names"), "{said}");
        assert!(said.contains("\"older\" needs a new password") && said.contains("\"plain\""), "{said}");
        assert!(!said.contains("secret"), "{said}");
        let written = std::fs::read_to_string(dir.path().join(PASSWORDS)).unwrap();
        assert_eq!(written, format!("pump-1:{OLD}\n"));
        let again = import(&args, false, &mut Vec::new()).unwrap_err().to_string();
        assert!(again.contains("--force"), "{again}");
    }
}
