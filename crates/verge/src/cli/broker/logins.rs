//! `verge broker passwd` and `verge broker import`: logins of devices that have no certificate.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use verge_broker::BrokerPasswords;
use verge_broker::passwords::is_name;
use verge_broker::policy::AccessList;
use verge_gateway::exit::{Exit, ExitWith};
use verge_tls::PasswordHash;
use verge_wire::counted;

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
    BrokerPasswords::parse(&before).with_context(|| file.display().to_string()).exit_with(Exit::BadInput)?;
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
        let (text, taken, left_out) = logins_of(&read(from)?);
        BrokerPasswords::parse(&text)
            .with_context(|| from.display().to_string())
            .exit_with(Exit::BadInput)?;
        lost = left_out;
        let path = args.dir.join(PASSWORDS);
        write(&path, &text, args.force)?;
        let count = format!("{}: {} of {}", path.display(), counted(taken as u64, "login"), from.display());
        done.push(format!("{count}; below [local]: passwords = \"{}\"", path.display()));
    }
    if let Some(from) = &args.acl {
        let text = read(from)?;
        let list =
            AccessList::parse(&text).with_context(|| from.display().to_string()).exit_with(Exit::BadInput)?;
        let path = args.dir.join(ACCESS_LIST);
        write(&path, &text, args.force)?;
        let names = counted(list.names().len() as u64, "name");
        done.push(format!(
            "{}: the rules of {} for {names}, as they are; below [local]: acl_file = \"{}\"",
            path.display(),
            from.display(),
            path.display()
        ));
    }
    if json {
        let needy: Vec<&str> =
            lost.iter().filter(|one| one.needs_password).map(|one| one.name.as_str()).collect();
        let left_out: Vec<_> =
            lost.iter().map(|one| json!({ "login": one.name, "line": one.line, "why": one.why })).collect();
        json_line(out, &json!({ "written": done, "need_a_new_password": needy, "left_out": left_out }))?;
        return Ok(Exit::Fine);
    }
    for line in done {
        writeln!(out, "{line}")?;
    }
    for LeftOut { line, name, why, needs_password } in lost {
        if needs_password {
            let hash = "its hash is not one of $7$ or argon2id";
            writeln!(out, "{name:?} needs a new password: `verge broker passwd {name}` ({hash})")?;
        } else {
            writeln!(out, "line {line} is left out: {why}")?;
        }
    }
    Ok(Exit::Fine)
}

/// A login that is not taken over.
struct LeftOut {
    /// Counted from 1.
    line: usize,
    /// Empty where the line has none: what stands there may be a password.
    name: String,
    why: &'static str,
    /// Its hash alone cannot be used.
    needs_password: bool,
}

/// Those lines that can be used as they are, how many there are, and the others.
fn logins_of(text: &str) -> (String, usize, Vec<LeftOut>) {
    let (mut kept, mut names, mut lost) = (String::new(), HashSet::new(), Vec::new());
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_once(':').map_or("", |(name, _)| name);
        let why = match BrokerPasswords::parse(line) {
            Ok(_) if names.insert(name.to_owned()) => {
                kept.push_str(line);
                kept.push('\n');
                continue;
            }
            Ok(_) => "this name stands there twice",
            Err(error) => error.fault,
        };
        let needs_password = is_name(name) && !names.contains(name);
        lost.push(LeftOut { line: number, name: name.chars().take(80).collect(), why, needs_password });
    }
    (kept, names.len(), lost)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let what = || format!("cannot read {}", path.display());
    if std::fs::metadata(path).with_context(what)?.len() > MAX_BYTES {
        bail!("{} is larger than 4 MiB", path.display());
    }
    std::fs::read_to_string(path).with_context(what)
}

/// As a whole or not at all, readable by its owner and group alone: whoever runs the command, the gateway reads it.
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
    let written = give_to_owner(&file, path)
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        // What remains beside it is in nobody's way: the next attempt removes it.
        std::fs::remove_file(&fresh).ok();
    }
    written.with_context(what)
}

/// Whose the file before it is, or else the folder: `sudo` would leave one that the gateway cannot read.
fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (wanted, own) = (std::fs::metadata(path).or_else(|_| std::fs::metadata(folder))?, file.metadata()?);
    if (wanted.uid(), wanted.gid()) != (own.uid(), own.gid()) {
        fchown(file, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "$7$101$BBI6q9U/G1rMxmuv$7Npf9C6kMuyrGkKJ7Vf6qYzy1wcDLldF++XdxRKvVYMADssUcrNVL5bulsn7i1EaRq1JEG+L+85PP+OzeMbgOQ==";

    #[test]
    fn mosquittos_files_are_taken_over_and_what_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (passwords, acl) = (dir.path().join("passwd"), dir.path().join("acl"));
        let logins = format!(
            "pump-1:{OLD}\nolder:$6$c2FsdA==$aGFzaA==\nplain:secret\npump/2:{OLD}\npump-1:{OLD}\nsecret\n"
        );
        std::fs::write(&passwords, logins).unwrap();
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
        assert!(said.contains("1 login of") && said.contains("for 1 name,"), "{said}");
        assert!(said.contains("\"older\" needs a new password") && said.contains("\"plain\""), "{said}");
        assert!(said.contains("line 4 is left out: a name has"), "{said}");
        assert!(said.contains("line 5 is left out: this name stands there twice"), "{said}");
        assert!(said.contains("line 6 is left out: expected NAME:HASH"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        let written = std::fs::read_to_string(dir.path().join(PASSWORDS)).unwrap();
        assert_eq!(written, format!("pump-1:{OLD}\n"));
        let again = import(&args, false, &mut Vec::new()).unwrap_err().to_string();
        assert!(again.contains("--force"), "{again}");
    }

    #[test]
    fn a_file_keeps_its_owner_and_a_new_one_has_that_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PASSWORDS);
        let owner = |path: &Path| std::fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
        let is_root = owner(Path::new("/proc/self")).0 == 0;
        if is_root {
            std::os::unix::fs::chown(dir.path(), Some(1234), Some(1235)).unwrap();
        }
        write(&path, "", false).unwrap();
        assert_eq!(owner(&path), owner(dir.path()));
        if is_root {
            std::os::unix::fs::chown(&path, Some(1236), Some(1237)).unwrap();
            write(&path, "", true).unwrap();
            assert_eq!(owner(&path), (1236, 1237));
        }
    }
}
