//! Uplinks: each is tried as the gateway would use it; and which metric of an edge node of Sparkplug says what.

use std::path::Path;
use std::sync::Arc;

use verge_domain::board::PointKind;
use verge_domain::finding::Member;
use verge_domain::id::{Epoch, Seq};
use verge_domain::stage::Scope;
use verge_domain::verdict::{Detector, EventState};
use verge_gateway::exit::Exit;
use verge_gateway::settings::{
    DatexUplink, HttpUplink, JudgeSection, PushFormat, Settings, SparkplugUplink, StateTopics, Uplink,
    UplinkKind,
};
use verge_gateway::wiring;
use verge_mqtt::{ConnectionSettings, ShownBoard};
use verge_pipeline::board::LastWords;
use verge_sparkplug::{EdgeSettings, NodeAddress, element, metric_names, metric_part};
use verge_web::PushTrial;

use super::{CheckReport, built, look_at_certificate, sites};
use crate::cli::{async_runtime, words};

/// As the gateway connects: where none runs, under its own name.
pub(super) fn look(
    settings: &Settings,
    uplink: &Uplink,
    running: bool,
    offline: bool,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    let mqtt = match &uplink.kind {
        UplinkKind::Mqtt(mqtt) => mqtt,
        UplinkKind::Http(http) => return look_at_service(http, offline, report),
        UplinkKind::Rsmp(rsmp) => return sites::look(rsmp, running, offline, report),
        UplinkKind::Sparkplug(sparkplug) => {
            let Some(connection) = built(&sparkplug.broker, report).filter(|_| !offline) else {
                return Ok(());
            };
            let edge = trial_of(settings, uplink, sparkplug, &connection);
            let clock = verge_pipeline::clock::Clock::start();
            let shown = ShownBoard {
                board: Arc::new(LastWords::default()),
                heads: Arc::new(|| [Seq::ZERO; 3]),
                now: Arc::new(move || clock.now()),
            };
            let trial = verge_mqtt::probe_sparkplug(&connection, edge, shown);
            let probe = async_runtime()?.block_on(trial);
            report.note_probe(&sparkplug.broker.key, probe);
            return Ok(());
        }
    };
    let Some(connection) = built(&mqtt.broker, report).filter(|_| !offline) else { return Ok(()) };
    let probe = async_runtime()?.block_on(async {
        let clock = verge_pipeline::clock::Clock::start();
        // There may be no store yet.
        let epoch = Epoch([0; 16]);
        let connection = connection.clone();
        let uplink = wiring::uplink_settings(settings, uplink, mqtt, connection, epoch, clock, true);
        verge_mqtt::probe_uplink(uplink, running).await
    });
    let works = probe.is_ok();
    report.note_probe(&mqtt.broker.key, probe);
    if let Some(states) = mqtt.states.as_ref().filter(|_| works) {
        let key = format!("{}.state_topics", mqtt.broker.key);
        look_at_states(&key, states, &mqtt.states_connection(&connection), running, report)?;
    }
    Ok(())
}

/// State topics have a connection of their own, whose rights may be others.
fn look_at_states(
    key: &str,
    states: &StateTopics,
    connection: &ConnectionSettings,
    running: bool,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    let probe = async_runtime()?.block_on(verge_mqtt::probe(connection, &states.filters(), running));
    report.note_probe(key, probe);
    let written = states.written().join(", ");
    let says = format!(
        "the broker must let {:?} write {written} (retained), and read the same",
        connection.client_id
    );
    report.note(key, "rights", Ok(says), Exit::Fine);
    Ok(())
}

/// A web service is asked with HEAD, which sends no verdict: whether it takes them, the first one shows.
fn look_at_service(http: &HttpUplink, offline: bool, report: &mut CheckReport) -> anyhow::Result<()> {
    if let Some((cert, _)) = http.tls.as_ref().and_then(|tls| tls.identity.as_ref()) {
        look_at_certificate(&http.key, cert, report);
    }
    let push = match http.build() {
        Ok(push) => push,
        Err(error) => {
            report.note(&http.key, "files", Err(words(&error)), Exit::BadConfig);
            return Ok(());
        }
    };
    if offline {
        return Ok(());
    }
    let what = http.target.to_string();
    match async_runtime()?.block_on(PushTrial::of(&push)) {
        PushTrial::Answered(status) => {
            let says = match status {
                401 | 403 => {
                    let says = format!("answers {status}: it wants another token (token_file)");
                    report.note(&http.key, what, Err(says), Exit::BadConfig);
                    return Ok(());
                }
                404 | 410 => {
                    let says = format!("answers {status}: nothing is there, check the path in url");
                    report.note(&http.key, what, Err(says), Exit::BadConfig);
                    return Ok(());
                }
                status => format!(
                    "reached; answers {status} to HEAD, whether it takes verdicts the first POST shows"
                ),
            };
            report.note(&http.key, what, Ok(says), Exit::Fine);
        }
        PushTrial::Unreachable(reason) => report.note(&http.key, what, Err(reason), Exit::Temporary),
    }
    Ok(())
}

/// Documents that are kept for those who fetch them: whether they can be written.
pub(super) fn look_at_files(settings: &Settings, report: &mut CheckReport) {
    for files in &settings.publications {
        if let Some(snapshots) = &files.datex2.snapshots {
            look_at_folder(&format!("{}.datex2.snapshot_dir", files.key), &snapshots.folder, report);
        }
    }
}

/// Whether documents can be written there.
fn look_at_folder(key: &str, folder: &Path, report: &mut CheckReport) {
    let trial = folder.join(".verge-check");
    let outcome = std::fs::write(&trial, b"").and_then(|()| std::fs::remove_file(&trial));
    let (outcome, exit) = match outcome {
        Ok(()) => (Ok("documents can be written".to_owned()), Exit::Fine),
        Err(error) => {
            let says = format!("cannot be written: {error}; create the folder and let this user write there");
            (Err(says), Exit::BadConfig)
        }
    };
    report.note(key, folder.display().to_string(), outcome, exit);
}

/// The edge node as it is tried: under a name that no gateway uses.
pub(super) fn trial_of(
    settings: &Settings,
    uplink: &Uplink,
    sparkplug: &SparkplugUplink,
    connection: &ConnectionSettings,
) -> EdgeSettings {
    let edge = wiring::edge_settings(settings, uplink, sparkplug, connection);
    let address = NodeAddress::new(edge.address.group(), &format!("{}-check", edge.address.node()));
    EdgeSettings { address, ..edge }
}

/// Says what each judge shows on each edge node, and what other uplinks say.
pub(super) fn list(settings: &Settings, report: &mut CheckReport) {
    let sends = |key: &str| settings.uplinks.iter().any(|uplink| uplink.section() == key);
    for files in settings.publications.iter().filter(|files| !sends(&files.key)) {
        list_places(&files.key, &files.datex2, report);
    }
    for uplink in &settings.uplinks {
        let sparkplug = match &uplink.kind {
            UplinkKind::Sparkplug(sparkplug) => sparkplug,
            UplinkKind::Mqtt(mqtt) => {
                list_states(settings, uplink, mqtt.states.as_ref(), report);
                continue;
            }
            UplinkKind::Rsmp(rsmp) => {
                sites::list(rsmp, report);
                continue;
            }
            UplinkKind::Http(http) => {
                match &http.format {
                    PushFormat::Datex2(datex2) => list_places(&uplink.section(), datex2, report),
                    PushFormat::Json | PushFormat::CloudEvents => list_bodies(settings, uplink, http, report),
                }
                continue;
            }
        };
        for judge in &settings.judges {
            let what = sparkplug.address.device_topic("DDATA", "DEVICE");
            let key = format!("uplink.{}.{}", uplink.name, judge.name);
            report.note(&key, what, Ok(metrics_of(judge)), Exit::Fine);
        }
    }
}

/// Says what a web service is sent of each judge.
fn list_bodies(settings: &Settings, uplink: &Uplink, http: &HttpUplink, report: &mut CheckReport) {
    let cloud_events = matches!(http.format, PushFormat::CloudEvents);
    for judge in &settings.judges {
        let lane = judge.policy().lane;
        let says = if uplink.lanes.contains(&lane) {
            let bodies = bodies_of(judge).iter().map(|(kind, states)| {
                let states: &[EventState] = if *states { &EventState::ALL } else { &[] };
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                match (cloud_events, states.is_empty()) {
                    (true, true) => format!("type verge.{kind}"),
                    (true, false) => format!("type verge.{kind}.{}", states.join("|")),
                    (false, true) => format!("kind {kind}"),
                    (false, false) => format!("kind {kind}, event {}", states.join("|")),
                }
            });
            let bodies = bodies.collect::<Vec<_>>().join("; ");
            let about = match (cloud_events, of_signals(judge)) {
                (true, true) => "; subject DEVICE/SIGNAL",
                (true, false) => "; subject DEVICE",
                (false, true) => "; device and signal",
                (false, false) => "; device",
            };
            format!("lane {lane}: {bodies}{about}")
        } else {
            format!("not sent: it reports in lane {lane}, which is not in lanes")
        };
        let key = format!("uplink.{}.{}", uplink.name, judge.name);
        report.note(&key, format!("POST {}", http.target), Ok(says), Exit::Fine);
    }
}

/// The kinds of what a judge reports, and whether they belong to events.
fn bodies_of(judge: &JudgeSection) -> &'static [(&'static str, bool)] {
    match judge.detector() {
        Detector::Loop => &[("counts", false)],
        Detector::Track => &[("traffic", false), ("anomaly", true), ("health", true)],
        Detector::Classify => &[("classification", false)],
        Detector::Detect => &[("detections", false)],
        Detector::Silence | Detector::Health => &[("health", true)],
        _ => &[("anomaly", true)],
    }
}

/// Says what is published of each place.
fn list_places(section: &str, datex2: &DatexUplink, report: &mut CheckReport) {
    for (name, site) in datex2.names.iter().zip(&datex2.publisher.sites) {
        let mut parts = Vec::new();
        if let Some(counts) = &site.counts {
            let seconds = counts.interval.length_ms() / 1000;
            parts.push(format!(
                "MeasuredData (1 flow, 2 speed, 3 occupancy) from {}, every {seconds} s",
                counts.judge
            ));
        }
        for (record, judges) in [("AbnormalTraffic", &site.events), ("EquipmentOrSystemFault", &site.faults)]
        {
            let judges: Vec<&str> = judges.iter().map(|judge| judge.as_str()).collect();
            if !judges.is_empty() {
                parts.push(format!("{record} from {}", judges.join(", ")));
            }
        }
        let key = format!("{section}.site.{name}");
        report.note(&key, site.id.clone(), Ok(format!("{}: {}", site.device, parts.join("; "))), Exit::Fine);
    }
}

/// Says which state topics each judge has.
fn list_states(settings: &Settings, uplink: &Uplink, states: Option<&StateTopics>, report: &mut CheckReport) {
    for (judge, states) in settings.judges.iter().flat_map(|judge| states.map(|states| (judge, states))) {
        let (levels, members) = levels_of(judge);
        let what = format!("{}/DEVICE/{}{levels}", states.root, element(judge.name.as_str()));
        let says = ["quality", "fresh", "time"].into_iter().chain(members).collect::<Vec<_>>().join(", ");
        report.note(&format!("uplink.{}.{}", uplink.name, judge.name), what, Ok(says), Exit::Fine);
    }
}

/// The levels of the points of a judge behind its name, and what is said of each.
pub(super) fn levels_of(judge: &JudgeSection) -> (&'static str, Vec<&'static str>) {
    let names = |kind| metric_names(kind).iter().map(|(name, _)| *name).collect();
    let events = || names(PointKind::Events(Member::High));
    match judge.detector() {
        Detector::Loop | Detector::Track => ("", names(PointKind::Counts)),
        Detector::Classify => ("", vec!["label", "score"]),
        Detector::Detect => ("", vec!["objects", "count/LABEL"]),
        _ if of_signals(judge) => ("/SIGNAL/STRAND", events()),
        _ => ("/STRAND", events()),
    }
}

fn of_signals(judge: &JudgeSection) -> bool {
    judge.readings().is_some_and(|rules| rules.rule.scope() == Scope::Signal)
}

fn metrics_of(judge: &JudgeSection) -> String {
    let name = metric_part(judge.name.as_str());
    let (kind, path) = match judge.detector() {
        Detector::Loop | Detector::Track => (PointKind::Counts, name),
        Detector::Classify => return format!("{name}/label String, {name}/score Double"),
        Detector::Detect => return format!("{name}/objects UInt32, {name}/count/LABEL UInt32"),
        _ if of_signals(judge) => (PointKind::Events(Member::High), format!("{name}/SIGNAL/STRAND")),
        _ => (PointKind::Events(Member::High), format!("{name}/STRAND")),
    };
    let metrics = metric_names(kind).iter().map(|(metric, datatype)| format!("{metric} {}", datatype.name()));
    format!("{path}/ {}", metrics.collect::<Vec<_>>().join(", "))
}
