//! `verge outbox verify`, `backup`, `repair` and `new-key`: is the store what it should be, and what to do if not.

use std::io::Write;

use anyhow::Context;
use serde_json::{Value, json};
use verge_outbox::{BackupError, Outbox, OutboxReader, ReadError, StateLock, VerifyReport, backup};

use super::{BackupArgs, NewKeyArgs, StoreArgs, StoreFolder};
use crate::cli::output::json_line;
use crate::cli::{FileArgs, say};
use verge_gateway::exit::{Exit, ExitWith};

pub(super) fn verify(args: &StoreArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut opened = StoreFolder::open(args)?;
    let report = opened.reader.verify().exit_with(Exit::BadInput)?;
    if json {
        json_line(out, &report_json(&report))?;
    } else {
        print_report(&opened, &report, out)?;
    }
    Ok(if report.is_sound() { Exit::Fine } else { Exit::BadInput })
}

fn print_report(opened: &StoreFolder, report: &VerifyReport, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "store {}: {} rows check", opened.folder.display(), report.sound)?;
    for (lane, from, through) in &report.faulty {
        writeln!(out, "FAULT  {lane} {from} to {through} cannot be read")?;
    }
    for line in report.structure.iter().chain(&report.contradictions) {
        writeln!(out, "FAULT  {line}")?;
    }
    for line in &report.plain {
        writeln!(out, "FAULT  plain text in an encrypted store: {line}")?;
    }
    for copy in &report.plain_copies {
        writeln!(
            out,
            "warning  {} holds plain text, or may: remove it when it is not needed",
            copy.display()
        )?;
    }
    if !report.plain.is_empty() {
        writeln!(out, "start the gateway: it finishes the encryption")?;
    }
    if report.is_sound() {
        writeln!(out, "it is what it should be")?;
    } else if report.faulty_numbers > 0 || report.plain.is_empty() {
        writeln!(
            out,
            "{} numbers are lost; a gateway withdraws them when it comes to them, or `verge outbox repair` all at once",
            report.faulty_numbers
        )?;
    }
    Ok(())
}

fn report_json(report: &VerifyReport) -> Value {
    let faulty: Vec<Value> = report
        .faulty
        .iter()
        .map(|(lane, from, through)| json!({ "lane": lane.as_str(), "from": from.0, "through": through.0 }))
        .collect();
    json!({
        "sound": report.is_sound(), "rows": report.sound, "faulty": faulty,
        "faulty_numbers": report.faulty_numbers, "structure": report.structure,
        "contradictions": report.contradictions, "plain": report.plain, "plain_copies": report.plain_copies,
    })
}

pub(super) fn back_up(args: &BackupArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.store.file.settings()?;
    // Without its key: what is encrypted stays so.
    let folder = args.store.store.as_deref().unwrap_or(settings.store.dir());
    let bytes = backup(folder, &args.to).map_err(|error| {
        let exit = match &error {
            BackupError::Read(ReadError::Missing { .. }) => Exit::BadInput,
            BackupError::Exists { .. } => Exit::Usage,
            BackupError::Read(_) | BackupError::Io { .. } | BackupError::Database { .. } => Exit::Failure,
        };
        anyhow::Error::new(error).context(exit)
    })?;
    if json {
        json_line(out, &json!({ "backup": args.to, "bytes": bytes }))?;
    } else {
        writeln!(
            out,
            "{} holds a copy of {} ({bytes} bytes); a gateway that opens it takes a new epoch",
            args.to.display(),
            folder.display()
        )?;
    }
    Ok(Exit::Fine)
}

pub(super) fn repair(file: &FileArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = file.settings()?;
    let outbox = settings.store.build().exit_with(Exit::BadConfig)?;
    // There must be one: a repair makes no store out of nothing.
    let looked = OutboxReader::open(&outbox.dir, outbox.key.as_ref());
    if let Err(error @ (ReadError::Missing { .. } | ReadError::Key { .. })) = looked {
        return Err(error).exit_with(Exit::BadInput);
    }
    let _lock = StateLock::take(&settings.gateway.state_dir).exit_with(Exit::Temporary)?;
    let opened = Outbox::repair(&outbox).exit_with(Exit::Failure)?;
    let note = opened.note.context("a repair makes a new store")?;
    if json {
        let lost: u64 = note.salvaged.lost.iter().map(|(_, from, through)| through.0 - from.0 + 1).sum();
        let document = json!({
            "set_aside": note.set_aside, "verdicts": note.salvaged.verdicts, "lost": lost,
            "checkpoints": note.salvaged.checkpoints,
        });
        json_line(out, &document)?;
    } else {
        writeln!(out, "{note}")?;
    }
    Ok(Exit::Fine)
}

pub(super) fn new_key(args: &NewKeyArgs) -> anyhow::Result<Exit> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut key = [0; 32];
    getrandom::fill(&mut key).context("the system gives no random numbers")?;
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file)
        .with_context(|| format!("cannot write {}", args.file.display()))?;
    writeln!(file, "{digits}").with_context(|| format!("cannot write {}", args.file.display()))?;
    say(&format!(
        "{} holds a new key; without it the store cannot be read: keep a copy",
        args.file.display()
    ));
    Ok(Exit::Fine)
}
