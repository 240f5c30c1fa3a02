//! `verge state export`.

use std::fs::OpenOptions;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::json;
use verge_domain::stage::Checkpoint;
use verge_outbox::{LockError, OutboxReader, ReadError, StateLock};
use verge_pipeline::clock::Clock;
use verge_pipeline::judging::{Fingerprint, judge_taught, learnt_subject, pool_key, settings_key};
use verge_wire::counted;

use super::file::{LearntState, StateFile, StateHeader};
use super::{StateExportArgs, learning_judge};
use crate::cli::output::json_line;
use crate::cli::say;
use verge_gateway::config::Size;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{JudgeSection, Settings};

pub(super) fn export(args: &StateExportArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.file.settings()?;
    let judge = learning_judge(&settings, &args.judge).exit_with(Exit::Usage)?;
    let saved = saved(&settings, &judge)?;
    let file = file_of(&settings, &judge, saved);
    if file.states.is_empty() {
        return Err(anyhow!(
            "judge {} has learnt nothing that is saved; states are saved every ten minutes and at the gateway's stop",
            judge.name
        ))
        .exit_with(Exit::BadInput);
    }
    write(&file, &args.to)?;
    let bytes: u64 = file.states.iter().map(|state| state.bytes.len() as u64).sum();
    let runs = matches!(StateLock::take(&settings.gateway.state_dir), Err(LockError::Held { .. }));
    let (to, detector) = (&args.to, &file.header.detector);
    if json {
        let (states, pool) = (file.states.len(), file.pool.is_some());
        json_line(
            out,
            &json!({
                "file": to, "judge": judge.name.as_str(), "detector": detector, "states": states, "bytes": bytes,
                "pool": pool, "gateway_runs": runs,
            }),
        )?;
        return Ok(Exit::Fine);
    }
    if runs {
        say("the gateway runs: states are as last saved, up to ten minutes ago");
    }
    let states = counted(file.states.len() as u64, "state");
    writeln!(out, "{}: {states} of judge {} ({detector}), {}", to.display(), judge.name, Size(bytes))?;
    Ok(Exit::Fine)
}

/// What the store holds of a judge's learning.
fn saved(settings: &Settings, judge: &JudgeSection) -> anyhow::Result<Vec<Checkpoint>> {
    let outbox = settings.store.build().exit_with(Exit::BadConfig)?;
    let read = OutboxReader::open(&outbox.dir, outbox.key.as_ref())
        .and_then(|mut reader| reader.saved(|key| judge_taught(key) == Some(judge.name.as_str())));
    read.map_err(|error| {
        let exit = match &error {
            ReadError::Missing { .. } | ReadError::Key { .. } | ReadError::Older { .. } => Exit::BadInput,
            ReadError::Unreadable { .. } | ReadError::Io { .. } | ReadError::StoreFault(_) => Exit::Failure,
        };
        anyhow::Error::new(error).context(exit)
    })
}

fn file_of(settings: &Settings, judge: &JudgeSection, saved: Vec<Checkpoint>) -> StateFile {
    let (of_settings, of_pool) = (settings_key(&judge.name), pool_key(&judge.name));
    let (mut under, mut pool, mut states) = (None, None, Vec::new());
    for Checkpoint { key, state } in saved {
        let Some(bytes) = state else { continue };
        if key == of_settings {
            under = Fingerprint::read(&bytes);
        } else if key == of_pool {
            pool = Some(bytes);
        } else if let Some((subject, in_state)) = learnt_subject(&key) {
            states.push(LearntState { subject, in_state: in_state.map(str::to_owned), bytes });
        }
    }
    // What was learnt may be of the detector before.
    let detector = under.as_ref().and_then(|under| under.of_judge("detector"));
    let detector = detector.unwrap_or(judge.detector().as_str()).to_owned();
    let of = (settings.gateway.id.to_string(), judge.name.to_string(), detector);
    StateFile::new(StateHeader::now(of, Clock::start().now().wall.0, under), states, pool)
}

fn write(file: &StateFile, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", to.display());
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let made = made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow!("{} exists and is left as it is: name another file, or remove it", to.display())
        }
        _ => anyhow::Error::new(error).context(cannot()),
    });
    let made = made.exit_with(Exit::Usage)?;
    let write = || {
        let mut buffered = BufWriter::new(&made);
        file.write(&mut buffered)?;
        buffered.flush()?;
        made.sync_all()
    };
    write().with_context(cannot).inspect_err(|_| {
        // What was written is of no use.
        drop(std::fs::remove_file(to));
    })
}
