//! `verge state import`: what a gateway would take up of a file at its next start is put into its store, the rest is
//! named with the reason.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Write};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde_json::json;
use verge_domain::id::JudgeId;
use verge_domain::stage::{Checkpoint, is_learnt};
use verge_domain::time::UtcMillis;
use verge_pipeline::clock::Clock;
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{Decision, LeftState, learnt_key, learnt_subject, pool_key, settings_key};
use verge_wire::counted;

use super::file::{StateFile, StateHeader};
use super::{StateImportArgs, learning_judge};
use crate::cli::judge::shelf::{Shelved, StateShelf, name_of, some_of};
use crate::cli::output::json_line;
use crate::cli::say;
use verge_gateway::config::Size;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{JudgeSection, Settings};
use verge_gateway::wiring::{self, Autoencoders};

/// What becomes of a file.
struct Import {
    header: StateHeader,
    judge: JudgeId,
    /// What the judge takes up, with its settings.
    taken: Vec<Checkpoint>,
    left: Vec<LeftState>,
}

pub(super) fn import(args: &StateImportArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut settings = args.file.settings()?;
    let mut file = read(args, &settings)?;
    args.names.rename(&mut file.states).exit_with(Exit::Usage)?;
    let name = args.judge.as_deref().unwrap_or(&file.header.judge);
    let judge = learning_judge(&settings, name).exit_with(Exit::Usage)?;
    settings.judges = vec![judge.clone()];
    // Before the work: it is refused while the gateway runs.
    let mut shelf = StateShelf::open(&settings)?;
    let import = sort_out(&settings, &judge, file)?;
    let states = import.taken.iter().filter(|one| is_learnt(&one.key)).count();
    let shelved = match states {
        0 => Shelved::default(),
        _ if args.dry_run => shelf.would_put(&import.taken, args.replace)?,
        _ => shelf.put(import.taken.clone(), args.replace)?,
    };
    let outdated = shelf.outdated_words().filter(|_| states > 0);
    drop(shelf);
    if json {
        json_line(out, &import.json(&shelved, args, &settings))?;
    } else {
        outdated.iter().for_each(|words| say(words));
        import.print(&shelved, args, &settings, out)?;
    }
    if states > 0 {
        return Ok(Exit::Fine);
    }
    Err(anyhow!("nothing of {} is taken up, and nothing was written", args.from.display()))
        .exit_with(Exit::BadInput)
}

fn read(args: &StateImportArgs, settings: &Settings) -> anyhow::Result<StateFile> {
    let about = || args.from.display().to_string();
    let opened = File::open(&args.from).with_context(about).exit_with(Exit::BadInput)?;
    let read = StateFile::read(&mut BufReader::new(opened), settings.store.states_bytes());
    read.with_context(about).exit_with(Exit::BadInput)
}

/// Lets the judge take up the file as it would at a start.
fn sort_out(settings: &Settings, judge: &JudgeSection, file: StateFile) -> anyhow::Result<Import> {
    let models = Autoencoders::load(settings, None)?;
    let StateFile { header, states, pool } = file;
    let state = |key: String, bytes: Vec<u8>| Checkpoint { key, state: Some(bytes) };
    let mut found = Vec::new();
    if let Some(under) = &header.settings {
        found.push(state(settings_key(&judge.name), under.to_bytes()));
    }
    found.extend(pool.map(|pool| state(pool_key(&judge.name), pool)));
    let learnt = states
        .into_iter()
        .map(|one| state(learnt_key(&judge.name, &one.subject, one.in_state.as_deref()), one.bytes));
    found.extend(learnt);
    let (counters, now) = (Arc::new(Counters::new(wiring::source_ids(settings))), Clock::start().now());
    let mut set = wiring::judge_set(settings, &models, wiring::decoders(settings)?, counters, now);
    let left = set.restore(&found, now, &mut Decision::default()).left;
    let not_taken: HashSet<&str> = left.iter().map(|left| left.key.as_str()).collect();
    let of_settings = settings_key(&judge.name);
    let mut taken: Vec<Checkpoint> = found
        .into_iter()
        .filter(|one| one.key != of_settings && !not_taken.contains(one.key.as_str()))
        .collect();
    taken.push(state(of_settings, wiring::fingerprint_of(settings, judge).to_bytes()));
    Ok(Import { header, judge: judge.name.clone(), taken, left })
}

impl Import {
    /// Names of what is not taken up, by reason. What all signals share is not one of them.
    fn by_reason(&self) -> BTreeMap<String, Vec<String>> {
        let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for left in self.left.iter().filter(|left| is_learnt(&left.key)) {
            by_reason.entry(left.why.to_string()).or_default().push(name_of(&left.key));
        }
        by_reason
    }

    /// What becomes of the record of the judge's alarms, if it is in the file.
    fn pool(&self, shelved: &Shelved) -> Option<String> {
        let key = pool_key(&self.judge);
        if let Some(left) = self.left.iter().find(|left| left.key == key) {
            return Some(format!("not taken up: {}", left.why));
        }
        self.header.pool.then(|| if shelved.pool { "taken up" } else { "stays as it is here" }.to_owned())
    }

    fn print(
        &self,
        shelved: &Shelved,
        args: &StateImportArgs,
        settings: &Settings,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let StateHeader { version, gateway, judge, detector, exported, states, .. } = &self.header;
        let states = counted(*states as u64, "state");
        let at = settings.gateway.zone.to_minute(UtcMillis(*exported));
        let from = args.from.display();
        writeln!(
            out,
            "{from}: {states} of judge {judge} ({detector}) of gateway {gateway}, exported {at} by verge {version}"
        )?;
        let taken = counted(shelved.written as u64, "state");
        let would = if args.dry_run { "would be taken up" } else { "taken up" };
        writeln!(out, "{would}: {taken} by judge {}, {}", self.judge, Size(shelved.bytes))?;
        if !shelved.kept.is_empty() {
            let kept = counted(shelved.kept.len() as u64, "state");
            writeln!(out, "learnt here already: {kept} (--replace replaces): {}", some_of(&shelved.kept))?;
        }
        for (reason, names) in self.by_reason() {
            writeln!(
                out,
                "not taken up: {}: {reason}: {}",
                counted(names.len() as u64, "state"),
                some_of(&names)
            )?;
        }
        if let Some(pool) = self.pool(shelved) {
            writeln!(out, "record of the judge's alarms, which its budget rests on: {pool}")?;
        }
        if self.header.settings.is_none() {
            writeln!(
                out,
                "the file does not say under which settings this was learnt: the store was of an earlier version"
            )?;
        }
        if shelved.written > 0 && !args.dry_run {
            let store = settings.store.dir().display();
            writeln!(out, "written to {store}; the gateway goes on from it at its next start")?;
        }
        Ok(())
    }

    fn json(&self, shelved: &Shelved, args: &StateImportArgs, settings: &Settings) -> serde_json::Value {
        let StateHeader { version, gateway, judge, detector, exported, states, .. } = &self.header;
        let left: Vec<_> = self
            .left
            .iter()
            .filter_map(|left| {
                let (subject, in_state) = learnt_subject(&left.key)?;
                Some(json!({
                    "source": subject.source.as_str(), "device": subject.device.as_str(),
                    "signal": subject.signal.as_ref().map(|signal| signal.as_str()), "state": in_state,
                    "why": left.why.to_string(),
                }))
            })
            .collect();
        json!({
            "file": args.from, "judge": self.judge.as_str(), "dry_run": args.dry_run,
            "from": {
                "gateway": gateway, "judge": judge, "detector": detector, "version": version, "exported": exported,
                "states": states,
            },
            "taken": { "states": shelved.written, "bytes": shelved.bytes },
            "kept": shelved.kept, "left": left, "pool": self.pool(shelved),
            "store": settings.store.dir().display().to_string(),
        })
    }
}
