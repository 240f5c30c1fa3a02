//! `verge outbox`: a look into the store, also beside a running gateway.

mod care;
mod loss;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use verge_domain::id::{Epoch, GatewayId, Identity, JudgeId, Lane, Seq};
use verge_domain::stage::{KEY_SEPARATOR, is_learnt};
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Tombstone;
use verge_outbox::{CheckpointSummary, OutboxReader, ReadError, StoreSummary};
use verge_wire::{
    SiteZone, read_tombstone, read_verdict, tombstone_json, tombstone_words, verdict_json, verdict_words,
};

use super::FileArgs;
use super::output::{Progress, json_line};
use verge_gateway::exit::{Exit, ExitWith};

/// Verdicts between two lines of progress.
const PROGRESS_EVERY: u64 = 1000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge outbox ls -c gateway.toml
  verge outbox show -c gateway.toml alarm
  verge outbox show -c gateway.toml verdict --from 100 --to 120
  verge outbox export -c gateway.toml -o verdicts.jsonl
  verge outbox verify -c gateway.toml
  verge outbox verify -c gateway.toml --store copy/store
  verge outbox backup -c gateway.toml store-backup.db
  verge outbox repair -c gateway.toml
  verge outbox new-key store.key

`ls` says whether something is lost and what waits; `show` prints the newest verdicts of a lane. A copy that `backup` makes beside \
a running gateway is safe to restore.

The store is only read, in short snapshots; a running gateway is not disturbed. Only `repair` writes, and the gateway must not \
run: it sets the store aside as it is, and makes a new one of what can be read, under a new epoch.")]
pub(super) struct OutboxArgs {
    #[command(subcommand)]
    action: OutboxAction,
}

#[derive(Debug, Subcommand)]
enum OutboxAction {
    /// The store at a glance
    Ls(StoreArgs),
    /// Print verdicts of one lane
    Show(OutboxShowArgs),
    /// Write stored verdicts as JSON lines
    Export(ExportArgs),
    /// Look at the structure of the file and at the checksum of every row
    Verify(StoreArgs),
    /// Write a copy of the store that takes a new epoch when a gateway opens it
    Backup(BackupArgs),
    /// Make a new store of what can be read; the gateway must not run
    Repair(FileArgs),
    /// Write a new random key for an encrypted store into a file
    NewKey(NewKeyArgs),
}

/// Which store.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Folder of another store than the configuration's: a copy, or one in quarantine
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct BackupArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// File to write; one that exists is left as it is. To restore, stop the gateway, empty the folder `store` in its
    /// state folder, and copy the file there as `outbox.db`
    to: PathBuf,
}

#[derive(Debug, Args)]
struct NewKeyArgs {
    /// File to write; one that exists is left as it is
    file: PathBuf,
}

#[derive(Debug, Args)]
struct OutboxShowArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Which lane
    lane: LaneArg,
    #[command(flatten)]
    range: RangeArgs,
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Only this lane; all by default
    #[arg(long)]
    lane: Option<LaneArg>,
    #[command(flatten)]
    range: RangeArgs,
    /// File to write; standard output by default. An existing one is replaced
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RangeArgs {
    /// First number; show begins with the last 20 by default
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Last number
    #[arg(long, value_name = "N")]
    to: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LaneArg {
    /// Alarms
    Alarm,
    /// Routine verdicts
    Verdict,
    /// What may wait longest
    Telemetry,
}

impl From<LaneArg> for Lane {
    fn from(lane: LaneArg) -> Self {
        match lane {
            LaneArg::Alarm => Self::Alarm,
            LaneArg::Verdict => Self::Verdict,
            LaneArg::Telemetry => Self::Telemetry,
        }
    }
}

/// The store of a configuration.
pub(super) struct StoreFolder {
    pub(super) gateway: GatewayId,
    routes: Vec<loss::Carried>,
    folder: PathBuf,
    pub(super) reader: OutboxReader,
    /// In which times are printed.
    pub(super) zone: SiteZone,
    /// Judges of the configuration.
    pub(super) judges: Vec<JudgeId>,
}

impl StoreFolder {
    pub(super) fn open(args: &StoreArgs) -> anyhow::Result<Self> {
        let settings = args.file.settings()?;
        let outbox = settings.store.build().exit_with(Exit::BadConfig)?;
        let folder = args.store.clone().unwrap_or(outbox.dir);
        let reader = OutboxReader::open(&folder, outbox.key.as_ref()).map_err(|error| match error {
            ReadError::Missing { .. } => {
                let file = args.file.config.display();
                let remedy = if args.store.is_some() {
                    "look whether --store names the folder that holds outbox.db".to_owned()
                } else {
                    format!(
                        "a gateway makes it at its first start (`verge run -c {file}`); if one runs here, look \
                         whether it has another state_dir, which --store can name"
                    )
                };
                anyhow!("{error}: {remedy}").context(Exit::BadInput)
            }
            error => anyhow::Error::new(error).context(Exit::Failure),
        })?;
        let (gateway, zone) = (settings.gateway.id.clone(), settings.gateway.zone.clone());
        let judges = settings.judges.iter().map(|judge| judge.name.clone()).collect();
        Ok(Self { routes: loss::routes(&settings), gateway, folder, reader, zone, judges })
    }

    /// Calls `each` with every verdict and tombstone of a lane in a range.
    fn each(
        &self,
        lane: Lane,
        from: Seq,
        to: Seq,
        mut each: impl FnMut(&StoredEntry<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for row in self.reader.rows(lane, from, to) {
            let row = row.exit_with(Exit::BadInput)?;
            let unreadable = || format!("verdict {lane} {} cannot be read", row.seq);
            if let Some(tombstone) = read_tombstone(&row).with_context(unreadable)? {
                each(&StoredEntry::Withdrawn(&tombstone))?;
                continue;
            }
            let (seq, verdict) = read_verdict(&row.bytes, lane).with_context(unreadable)?;
            let identity = Identity { gateway: self.gateway.clone(), epoch: self.reader.epoch(), lane, seq };
            each(&StoredEntry::Verdict(&identity, &verdict))?;
        }
        Ok(())
    }

    fn json_of(&self, lane: Lane, entry: &StoredEntry<'_>) -> Value {
        match entry {
            StoredEntry::Verdict(identity, verdict) => verdict_json(identity, verdict),
            StoredEntry::Withdrawn(tombstone) => {
                tombstone_json(&self.gateway, self.reader.epoch(), lane, tombstone)
            }
        }
    }
}

/// One thing that is stored.
enum StoredEntry<'a> {
    Verdict(&'a Identity, &'a Verdict),
    Withdrawn(&'a Tombstone),
}

pub(super) fn outbox(args: &OutboxArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.action {
        OutboxAction::Ls(file) => ls(file, json, out),
        OutboxAction::Show(args) => show(args, json, out),
        OutboxAction::Export(args) => export(args, out),
        OutboxAction::Verify(args) => care::verify(args, json, out),
        OutboxAction::Backup(args) => care::back_up(args, json, out),
        OutboxAction::Repair(file) => care::repair(file, json, out),
        OutboxAction::NewKey(args) => care::new_key(args),
    }
}

fn ls(args: &StoreArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut opened = StoreFolder::open(args)?;
    let summary = opened.reader.summary().exit_with(Exit::BadInput)?;
    if json {
        json_line(out, &summary_json(&opened.gateway, &summary))?;
        return Ok(Exit::Fine);
    }
    writeln!(out, "store {} of {}", opened.folder.display(), opened.gateway)?;
    let encrypted = match (summary.encrypted, summary.encryption_unfinished) {
        (_, true) => ", encryption unfinished: start the gateway to finish it",
        (true, false) => ", encrypted",
        (false, false) => "",
    };
    writeln!(out, "epoch {}, schema version {}{encrypted}", summary.epoch, summary.schema_version)?;
    writeln!(out, "{}\n", loss::words(&summary, &opened.routes))?;
    writeln!(
        out,
        "{:<10} {:>10} {:>10} {:>10} {:>12} {:>10}",
        "lane", "oldest", "newest", "stored", "bytes", "withdrawn"
    )?;
    for lane in &summary.lanes {
        let first = lane.first.map_or("-".to_owned(), |first| first.to_string());
        let (name, last) = (lane.lane.as_str(), lane.last.0);
        writeln!(
            out,
            "{name:<10} {first:>10} {last:>10} {:>10} {:>12} {:>10}",
            lane.rows, lane.bytes, lane.withdrawn
        )?;
    }
    writeln!(
        out,
        "\n{:<20} {:>10} {:>10} {:>10} {:>10}",
        "delivered to", "alarm", "verdict", "telemetry", "waiting"
    )?;
    for route in &summary.routes {
        let [alarm, verdict, telemetry] = route.delivered.map(|seq| seq.0);
        let waiting = waiting(&summary, &route.delivered);
        writeln!(out, "{:<20} {alarm:>10} {verdict:>10} {telemetry:>10} {waiting:>10}", route.route)?;
    }
    let (learnt, kept): (Vec<_>, Vec<_>) =
        summary.checkpoints.iter().partition(|checkpoint| is_learnt(&checkpoint.key));
    // Beside them lies the highest number of an event.
    let kept: Vec<_> = kept.into_iter().filter(|saved| saved.key.contains(KEY_SEPARATOR)).collect();
    let bytes = |of: &[&CheckpointSummary]| of.iter().map(|checkpoint| checkpoint.bytes).sum::<u64>();
    writeln!(out, "\n{} saved states of judges, {} bytes", learnt.len(), bytes(&learnt))?;
    writeln!(out, "{} open events and windows, {} bytes", kept.len(), bytes(&kept))?;
    Ok(Exit::Fine)
}

fn waiting(summary: &StoreSummary, delivered: &[Seq; 3]) -> u64 {
    summary.lanes.iter().map(|lane| lane.last.0.saturating_sub(delivered[lane.lane.index()].0)).sum()
}

fn summary_json(gateway: &GatewayId, summary: &StoreSummary) -> Value {
    let lanes: Vec<Value> = summary
        .lanes
        .iter()
        .map(|lane| {
            json!({
                "lane": lane.lane.as_str(), "first": lane.first.map(|first| first.0), "last": lane.last.0,
                "stored": lane.rows, "bytes": lane.bytes, "tombstones": lane.tombstones,
                "withdrawn": lane.withdrawn,
            })
        })
        .collect();
    let routes: Vec<Value> = summary
        .routes
        .iter()
        .map(|route| {
            let delivered: serde_json::Map<String, Value> = Lane::ALL
                .into_iter()
                .map(|lane| (lane.as_str().to_owned(), json!(route.delivered[lane.index()].0)))
                .collect();
            json!({ "route": route.route, "delivered": delivered, "waiting": waiting(summary, &route.delivered) })
        })
        .collect();
    let checkpoints: Vec<Value> =
        summary.checkpoints.iter().map(|saved| json!({ "key": saved.key, "bytes": saved.bytes })).collect();
    json!({
        "gateway": gateway.as_str(), "epoch": summary.epoch.to_string(),
        "schema_version": summary.schema_version, "encrypted": summary.encrypted,
        "encryption_unfinished": summary.encryption_unfinished, "lanes": lanes, "routes": routes, "checkpoints": checkpoints,
    })
}

fn show(args: &OutboxShowArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    const NEWEST: u64 = 20;
    let mut opened = StoreFolder::open(&args.store)?;
    let lane = Lane::from(args.lane);
    let last = opened.reader.summary().exit_with(Exit::BadInput)?.lanes[lane.index()].last.0;
    let to = args.range.to.unwrap_or(last);
    let from = args.range.from.unwrap_or_else(|| (to + 1).saturating_sub(NEWEST));
    check_range(from, to)?;
    opened.each(lane, Seq(from), Seq(to), |entry| {
        if json {
            return Ok(json_line(out, &opened.json_of(lane, entry))?);
        }
        match entry {
            StoredEntry::Verdict(identity, verdict) => {
                let at = opened.zone.to_millisecond(verdict.times.decided);
                let (severity, judge) = (verdict.severity.as_str(), &verdict.judge);
                writeln!(
                    out,
                    "{:>8}  {at}  {severity:<8}  {judge}: {}",
                    identity.seq.0,
                    verdict_words(verdict, &opened.zone)
                )?;
            }
            StoredEntry::Withdrawn(tombstone) => {
                let at = opened.zone.to_millisecond(tombstone.at);
                writeln!(out, "{:>8}  {at}  withdrawn {}", tombstone.from.0, tombstone_words(tombstone))?;
            }
        }
        Ok(())
    })?;
    Ok(Exit::Fine)
}

fn check_range(from: u64, to: u64) -> anyhow::Result<()> {
    if from > to + 1 {
        return Err(anyhow!("--from {from} lies behind --to {to}")).exit_with(Exit::Usage);
    }
    Ok(())
}

fn export(args: &ExportArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let opened = StoreFolder::open(&args.store)?;
    let (from, to) = (args.range.from.unwrap_or(1), args.range.to.unwrap_or(u64::MAX - 1));
    check_range(from, to)?;
    let lanes: Vec<Lane> = args.lane.map_or_else(|| Lane::ALL.to_vec(), |lane| vec![lane.into()]);
    let count = match &args.output {
        None => write_lines(&opened, &lanes, (Seq(from), Seq(to)), out)?,
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            let mut file = BufWriter::new(file);
            let count = write_lines(&opened, &lanes, (Seq(from), Seq(to)), &mut file)?;
            file.flush().with_context(|| format!("cannot write {}", path.display()))?;
            count
        }
    };
    super::say(&format!("{count} verdicts of epoch {}", Epoch::to_string(&opened.reader.epoch())));
    Ok(Exit::Fine)
}

fn write_lines(
    opened: &StoreFolder,
    lanes: &[Lane],
    (from, to): (Seq, Seq),
    out: &mut impl Write,
) -> anyhow::Result<u64> {
    let mut progress = Progress::new();
    let mut count = 0;
    for lane in lanes {
        opened.each(*lane, from, to, |entry| {
            json_line(out, &opened.json_of(*lane, entry))?;
            count += 1;
            if u64::is_multiple_of(count, PROGRESS_EVERY) {
                progress.show(&format!("{count} verdicts, now in lane {lane}"))?;
            }
            Ok(())
        })?;
    }
    progress.clear()?;
    Ok(count)
}
