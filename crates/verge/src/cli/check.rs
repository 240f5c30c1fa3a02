//! `verge check`: every fault of a configuration at once, then everything it names tried for real.

mod alarms;
mod budgets;
mod dashboard;
mod drawn;
mod elsewhere;
mod listen;
mod models;
mod report;
mod routes;
mod servers;
mod sites;
mod states;
mod uplinks;
mod who_may_come;

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use verge_broker::{ChildBroker, ChildBrokerError};
use verge_domain::finding::Member;
use verge_domain::time::UtcMillis;
use verge_mqtt::ConnectionSettings;
use verge_outbox::{LockError, OutboxReader, ReadError, StateLock};
use verge_pipeline::judging::is_settings_key;

use super::certs::{self, validity};
use super::output::json_line;
use super::{FileArgs, async_runtime, words};
use report::{CheckReport, in_json, print};
use verge_gateway::config::{Origins, Warning};
use verge_gateway::exit::Exit;
use verge_gateway::settings::{Carries, ConfigurationError, Connection, EmbeddedBroker, Local, Settings};
use verge_gateway::wiring;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge check -c gateway.toml
  verge check -c gateway.toml --offline    without connecting anywhere
  verge check -c gateway.toml --points     which register says what?

It connects as the gateway would: under its own names, or, while a gateway of this id runs here or elsewhere, with \
\"-check\" behind them, so that none is disturbed. At the site's broker it subscribes, publishes nothing and acknowledges \
nothing; upstream it publishes messages without verdicts to see whether they arrive. Exit codes: 78 the configuration or a certificate is wrong, 75 the state folder \
cannot be used, 69 a broker cannot be reached or refuses.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Do not connect to brokers
    #[arg(long)]
    offline: bool,
    /// List the points of servers: which register, input or node says what
    #[arg(long)]
    points: bool,
    /// How long to listen to the site's broker for messages of every source, in seconds; 0 for not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=3_600))]
    listen: u64,
}

/// The client identifier to listen under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListenName {
    /// The gateway's own: no gateway runs, and the broker keeps nothing for it.
    Own,
    /// Another: a gateway runs.
    Other,
    /// Another, as the broker keeps a session with messages under the gateway's own; a broker may not allow it.
    OtherIfAllowed,
}

pub(super) fn check(args: &CheckArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut report = CheckReport::default();
    let mut origins = Origins::default();
    let file = &args.file.config;
    match Settings::load(file, std::env::vars_os()) {
        Ok(settings) => {
            look(&settings, args, &mut report)?;
            origins = settings.origins;
            origins.sort_warnings(&mut report.warnings);
        }
        Err(ConfigurationError::Faults { faults, .. }) => report.faults = faults,
        Err(ConfigurationError::Load(error)) => report.faults.push(error.to_fault()),
    }
    if json {
        json_line(out, &in_json(&report, &origins)?)?;
    } else {
        print(file, &report, &origins, out)?;
    }
    Ok(report.exit())
}

fn look(settings: &Settings, args: &CheckArgs, report: &mut CheckReport) -> anyhow::Result<()> {
    let offline = args.offline;
    report.warnings.clone_from(&settings.warnings);
    report.warnings.extend(settings.without_uplink());
    alarms::look(settings, report);
    look_at_state(settings, report);
    models::look(settings, report);
    look_at_arrivals(settings, report);
    look_at_masks(settings, report);
    drawn::look(settings, report);
    look_at_certificates(settings, report);
    let elsewhere = !offline && elsewhere::look(settings, report)?;
    let running = elsewhere || is_held(settings);
    servers::look(settings, is_held(settings), report);
    dashboard::look(settings, is_held(settings), report);
    if args.points {
        servers::list(settings, report);
        uplinks::list(settings, report);
    }
    let filters: Vec<String> = settings.sources.iter().map(|source| source.filter.clone()).collect();
    match &settings.local {
        Local::External(connection) => {
            look_at_births(settings, connection, report);
            let usable = look_at_connection(connection, &filters, running, offline, report)?;
            if let Some((broker, name)) = usable.filter(|_| args.listen > 0) {
                listen::listen(settings, &broker, name, Duration::from_secs(args.listen), report)?;
            }
        }
        Local::Embedded(broker) => look_at_broker(settings, broker, &filters, offline, report)?,
    }
    for uplink in &settings.uplinks {
        uplinks::look(settings, uplink, running, offline, report)?;
    }
    uplinks::look_at_files(settings, report);
    Ok(())
}

/// Judges that watch whether cameras are alive, and see.
fn look_at_arrivals(settings: &Settings, report: &mut CheckReport) {
    for judge in settings.judges.iter().filter(|judge| judge.watches_arrivals()) {
        let inputs = judge.readings().into_iter().flat_map(|rules| &rules.inputs);
        let names: Vec<&str> =
            inputs.map(|input| settings.sources[usize::from(input.source.0)].name.as_str()).collect();
        let what = format!("{} over {}", judge.detector().as_str(), names.join(", "));
        let says = match judge.of_cameras() {
            None => "watches the arrival of frames, camera by camera".to_owned(),
            Some(health) => {
                let causes: Vec<&str> = health.causes().map(Member::as_str).collect();
                format!("watches each camera for {}", causes.join(", "))
            }
        };
        report.note(&format!("judge.{}", judge.name), what, Ok(says), Exit::Fine);
    }
}

/// Sources that ask edge nodes of Sparkplug for births publish on the site's broker.
fn look_at_births(settings: &Settings, connection: &Connection, report: &mut CheckReport) {
    for source in settings.sources.iter().filter(|source| wiring::asks_for_births(source)) {
        let mut levels = source.filter.split('/').skip(1);
        let (group, node) = (levels.next().unwrap_or("+"), levels.nth(1).unwrap_or("+"));
        let plain = |level: &str| if level == "#" { "+".to_owned() } else { level.to_owned() };
        let topic = format!("spBv1.0/{}/NCMD/{}", plain(group), plain(node));
        let says = format!("the broker must let \"{}-births\" write {topic}", connection.client_id);
        report.note(&format!("source.{}.rebirth", source.name), "rights", Ok(says), Exit::Fine);
    }
}

/// What of pictures is hidden.
fn look_at_masks(settings: &Settings, report: &mut CheckReport) {
    for source in &settings.sources {
        let Carries::Frames(frames) = &source.carries else { continue };
        for mask in &frames.masks {
            let share = 100.0 * verge_scene::settings::share_within(&mask.corners);
            let cameras: Vec<String> = mask.devices.iter().map(ToString::to_string).collect();
            let cameras = if cameras.is_empty() { "every camera".to_owned() } else { cameras.join(", ") };
            let says = format!("hides {share:.1} % of the pictures of {cameras}");
            report.note(
                &format!("source.{}", source.name),
                format!("mask {}", mask.name),
                Ok(says),
                Exit::Fine,
            );
        }
    }
}

/// The connection, if it was tried and works, and under which name it can be listened on.
fn look_at_connection(
    connection: &Connection,
    filters: &[String],
    running: bool,
    offline: bool,
    report: &mut CheckReport,
) -> anyhow::Result<Option<(ConnectionSettings, ListenName)>> {
    let Some(built) = built(connection, report).filter(|_| !offline) else { return Ok(None) };
    let probe = async_runtime()?.block_on(verge_mqtt::probe(&built, filters, running));
    let works = probe.is_ok();
    let name = match (running, probe.keeps_session) {
        (true, _) => ListenName::Other,
        (false, true) => ListenName::OtherIfAllowed,
        (false, false) => ListenName::Own,
    };
    report.note_probe(&connection.key, probe);
    Ok(works.then_some((built, name)))
}

/// The connection with its files read.
fn built(connection: &Connection, report: &mut CheckReport) -> Option<ConnectionSettings> {
    if let Some((cert, _)) = connection.tls.as_ref().and_then(|tls| tls.identity.as_ref()) {
        look_at_certificate(&connection.key, cert, report);
    }
    let built = connection.build();
    built.map_err(|error| report.note(&connection.key, "files", Err(words(&error)), Exit::BadConfig)).ok()
}

/// What devices will connect to, and the broker behind it, which is started on a port of its own.
fn look_at_broker(
    settings: &Settings,
    broker: &EmbeddedBroker,
    filters: &[String],
    offline: bool,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    const SECTION: &str = "local";
    if let Some(files) = &broker.tls {
        look_at_certificate(SECTION, &files.cert, report);
    }
    let how = match broker.tls() {
        Ok(Some((_, revocations))) => {
            who_may_come::look_at_revocations(broker, &revocations, report);
            "mutual TLS: devices show a certificate"
        }
        Ok(None) => "plain text, for this machine alone",
        Err(error) => {
            report.note(SECTION, "files", Err(words(&error)), Exit::BadConfig);
            return Ok(());
        }
    };
    who_may_come::look_at_logins(broker, report);
    who_may_come::look_at_enrolment(broker, report);
    let allowed = broker.policy(&settings.sources).map(|_| broker.rules.words());
    let is_known = allowed.is_ok();
    report.note(SECTION, "access", allowed.map_err(|error| words(&error)), Exit::BadConfig);
    if offline || !is_known {
        return Ok(());
    }
    let outcome = match TcpListener::bind(broker.listen) {
        Ok(_) => Ok(how.to_owned()),
        // The address of a gateway that runs is taken by it.
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_held(settings) => {
            Ok(format!("{how}; in use, as the state folder is"))
        }
        Err(error) => Err(error.to_string()),
    };
    report.note(SECTION, format!("listener {}", broker.listen), outcome, Exit::Temporary);
    let process = wiring::broker_process(broker)?;
    let looked = async_runtime()?.block_on(async {
        let clock = verge_pipeline::clock::Clock::start();
        let child = ChildBroker::start(process, move || clock.now()).await?;
        let probe = verge_mqtt::probe(&wiring::broker_connection(&child, broker), filters, true).await;
        child.stop().await;
        Ok::<_, ChildBrokerError>(probe)
    });
    match looked {
        Ok(probe) => report.note_probe(SECTION, probe),
        Err(error) => report.note(SECTION, "embedded broker", Err(words(&error)), Exit::Unavailable),
    }
    Ok(())
}

/// Whether a gateway runs on this state. Makes no folder: without one there is none.
fn is_held(settings: &Settings) -> bool {
    let folder = &settings.gateway.state_dir;
    folder.exists() && matches!(StateLock::take(folder), Err(LockError::Held { .. }))
}

/// Warnings: certificates that end soon, keys that all users can read.
fn look_at_certificates(settings: &Settings, report: &mut CheckReport) {
    let now = UtcMillis(Timestamp::now().as_millisecond());
    for remark in wiring::certificate_remarks(settings, now) {
        report.warnings.push(Warning { key: remark.key, remark: remark.text });
    }
}

/// How long a certificate that is shown to others still holds.
fn look_at_certificate(section: &str, cert: &Path, report: &mut CheckReport) {
    // Unreadable files are reported with their key by what uses them.
    let Some(summary) = certs::read(cert).ok().and_then(|chain| chain.into_iter().next()) else { return };
    let now = Timestamp::now().as_second();
    let holds = (summary.not_before..=summary.not_after).contains(&now);
    let text = validity(&summary, now);
    let outcome = if holds { Ok(text) } else { Err(text) };
    report.note(section, format!("certificate {}", cert.display()), outcome, Exit::BadConfig);
}

/// Looks without making anything: a check leaves no folder behind.
fn look_at_state(settings: &Settings, report: &mut CheckReport) {
    const SECTION: &str = "gateway";
    let folder = &settings.gateway.state_dir;
    let what = format!("state folder {}", folder.display());
    if !folder.exists() {
        report.note(SECTION, what, parent_of(folder), Exit::Temporary);
        if let Err(error) = settings.store.build() {
            report.note(SECTION, "key of the store", Err(words(&error)), Exit::BadConfig);
        }
        states::look(settings, &[], report);
        return;
    }
    let outcome = match StateLock::take(folder) {
        Ok(lock) => {
            drop(lock);
            Ok("free".to_owned())
        }
        Err(LockError::Held { pid, .. }) => {
            Ok(pid.map_or("in use by a gateway".to_owned(), |pid| format!("in use by a gateway (pid {pid})")))
        }
        Err(error) => Err(words(&error)),
    };
    report.note(SECTION, what, outcome, Exit::Temporary);
    look_at_store(settings, report);
}

fn look_at_store(settings: &Settings, report: &mut CheckReport) {
    const SECTION: &str = "gateway";
    let what = format!("store {}", settings.store.dir().display());
    let outbox = match settings.store.build() {
        Ok(outbox) => outbox,
        Err(error) => {
            report.note(SECTION, "key of the store", Err(words(&error)), Exit::BadConfig);
            return;
        }
    };
    let looked = OutboxReader::open(&outbox.dir, outbox.key.as_ref()).and_then(|mut reader| {
        let learnt_under = reader.saved(is_settings_key)?;
        Ok((reader.summary()?, learnt_under))
    });
    let saved = looked.as_ref().map_or(&[][..], |(summary, _)| &summary.checkpoints);
    states::look(settings, saved, report);
    if let Ok((summary, learnt_under)) = &looked {
        report.warnings.extend(routes::left_behind(settings, summary));
        report.warnings.extend(states::outdated(settings, saved, learnt_under));
    }
    let outcome = match looked {
        Ok((summary, _)) => {
            let rows: u64 = summary.lanes.iter().map(|lane| lane.rows).sum();
            let how = match (summary.encrypted, settings.store.is_encrypted()) {
                _ if summary.encryption_unfinished => {
                    ", encryption unfinished; it is finished at the next start"
                }
                (true, _) => ", encrypted",
                (false, true) => ", not encrypted yet; it is at the next start",
                (false, false) => "",
            };
            Ok(format!("{rows} verdicts, schema version {}{how}", summary.schema_version))
        }
        Err(ReadError::Missing { .. }) => Ok("none yet; it is made at the first start".to_owned()),
        Err(ReadError::Older { found, .. }) => {
            Ok(format!("schema version {found}; it is brought up to date at the next start"))
        }
        Err(error) => Err(words(&error)),
    };
    report.note(SECTION, what, outcome, Exit::Temporary);
}

fn parent_of(folder: &Path) -> Result<String, String> {
    let parent = folder.ancestors().skip(1).find(|parent| parent.exists()).unwrap_or(Path::new("."));
    match std::fs::metadata(parent) {
        Ok(about) if !about.is_dir() => Err(format!("{} is not a folder", parent.display())),
        Ok(about) if about.permissions().readonly() => {
            Err(format!("{} cannot be written to", parent.display()))
        }
        Ok(_) => Ok("not there yet; it is made at the first start".to_owned()),
        Err(error) => Err(format!("{}: {error}", parent.display())),
    }
}
