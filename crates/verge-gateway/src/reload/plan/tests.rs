use std::path::Path;

use verge_engine::ContentDigest;

use super::*;
use crate::config;
use crate::reload::ReloadAnswer;

const RUNNING: &str = r#"
[gateway]
id = "g"
state_dir = "state"
[local]
url = "mqtt://localhost:1883"
[uplink.centre]
url = "mqtts://centre.example:8883"
ca = "ca.pem"
[model.flat]
file = "flat.onnx"
[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"
[source.blocks]
topic = "blocks/+"
codec = "samples_f32"
device = "topic:1"
signal = "s"
[source.belt]
topic = "line/+/frame"
codec = "jpeg"
device = "topic:1"
[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
raise_after = "60s"
[judge.usual]
inputs = ["pump"]
[judge.alive]
inputs = ["belt"]
detector = "silence"
after = "1h"
[judge.seen]
inputs = ["belt"]
detector = "detect"
model = "flat"
"#;

fn settings(text: &str) -> Settings {
    let loaded = config::parse(text, Path::new("/gateway.toml"), []);
    assert!(loaded.faults.is_empty(), "{:?}", loaded.faults);
    let settings = Settings::check(&loaded.raw).unwrap();
    Settings { values: loaded.values, ..settings }
}

/// The models of the running file and of the next one.
fn contents(of: &[(&str, &str)]) -> ModelContents {
    ModelContents::of_loaded(
        of.iter().map(|(name, content)| ((*name).to_owned(), ContentDigest::of(content.as_bytes()))),
    )
}

/// What comes of replacing one text in the file by another.
fn between(changes: &[(&str, &str)]) -> Result<(Vec<String>, BTreeSet<String>), Vec<String>> {
    let text = changes.iter().fold(RUNNING.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    let (running, models) = (settings(RUNNING), contents(&[("flat", "a"), ("round", "b")]));
    let at_work = AtWork { settings: &running, models: &models, takes_frames: true };
    match ReloadPlan::between(&at_work, &settings(&text), &models) {
        Ok(plan) => Ok((ReloadAnswer::WouldReload(plan.report).words().split_off(1), plan.kept)),
        Err(keys) => Err(ReloadAnswer::NeedsRestart { keys }.words().split_off(1)),
    }
}

#[track_caller]
fn taken_up(changes: &[(&str, &str)], lines: &[&str], not_kept: &[&str]) {
    let (found, kept) = between(changes).unwrap();
    assert_eq!(found, lines);
    let others = ["alive", "high", "seen", "usual"].into_iter().filter(|name| !not_kept.contains(name));
    assert_eq!(kept, others.map(str::to_owned).collect());
}

#[track_caller]
fn refused(changes: &[(&str, &str)], lines: &[&str]) {
    assert_eq!(between(changes).unwrap_err(), lines);
}

#[test]
fn judges_are_taken_up_with_their_keys() {
    taken_up(&[], &[], &[]);
    taken_up(&[("\"60s\"", "\"1m\"")], &[], &[]);
    taken_up(&[("above = 7.1", "above = 6.5")], &["changed: judge.high.above: 6.5, was 7.1"], &["high"]);
    taken_up(
        &[("above = 7.1", "above = 7.1\nseverity = \"critical\"\ndevices = [\"a*\"]")],
        &[
            "changed: judge.high.devices: [\"a*\"], was not there",
            "changed: judge.high.severity: \"critical\", was \"warning\"",
        ],
        &[],
    );
    let usual = "[judge.usual]\ninputs = [\"pump\"]";
    taken_up(
        &[(usual, "[judge.other]\ninputs = [\"blocks\"]"), ("above = 7.1", "above = 7.1 # a comment")],
        &["added: judge.other", "removed: judge.usual"],
        &["usual"],
    );
    taken_up(
        &[(usual, "[judge.usual]\ninputs = [\"pump\"]\nalarm_budget = \"1/day\"")],
        &["changed: judge.usual.alarm_budget: \"1/day\", was \"1/week\""],
        &["usual"],
    );
    // Of judges over frames.
    taken_up(
        &[("after = \"1h\"", "after = \"2h\"")],
        &["changed: judge.alive.after: \"2h\", was \"1h\""],
        &["alive"],
    );
    taken_up(
        &[("model = \"flat\"\n", "model = \"flat\"\nseverity = \"critical\"\n")],
        &["changed: judge.seen.severity: \"critical\", was \"info\""],
        &[],
    );
    // What is hidden of pictures, which no judge's detector knows.
    let belt = "topic = \"line/+/frame\"\ncodec = \"jpeg\"\ndevice = \"topic:1\"";
    let masked = format!("{belt}\n[source.belt.mask.window]\npolygon = [[0, 0], [1, 0], [1, 1]]");
    taken_up(
        &[(belt, &masked)],
        &["changed: source.belt.mask.window.polygon: [[0, 0], [1, 0], [1, 1]], was not there"],
        &[],
    );
    taken_up(
        &[("id = \"g\"", "id = \"g\"\njudging_threads = 4")],
        &["changed: gateway.judging_threads: 4, was 1"],
        &[],
    );
}

#[test]
fn what_needs_a_restart_is_named_and_refuses_all() {
    refused(
        &[("above = 7.1", "above = 6.5"), ("plant/+/vibration", "plant/+/v")],
        &["source.pump.topic: \"plant/+/v\", was \"plant/+/vibration\""],
    );
    refused(&[("id = \"g\"", "id = \"h\"")], &["gateway.id: \"h\", was \"g\""]);
    refused(
        &[(
            "[source.blocks]",
            "[source.new]\ntopic = \"n\"\ncodec = \"number\"\ndevice = \"fixed:n\"\nsignal = \"s\"\n[source.blocks]",
        )],
        &["source.new: a [source.new], was not there"],
    );
    let bearing =
        "[judge.bearing]\ninputs = [\"pump\"]\ndetector = \"vibration\"\nsample_rate = 1000\n[judge.usual]";
    refused(
        &[("[judge.usual]", bearing)],
        &[
            "source.pump: the connection of readings and the connection of blocks and windows, was the connection of readings: \
             subscriptions are made when the gateway starts",
        ],
    );
}

#[test]
fn judges_over_frames_and_models_are_taken_up() {
    let seen = "[judge.seen]\ninputs = [\"belt\"]\ndetector = \"detect\"\nmodel = \"flat\"\n";
    taken_up(
        &[(seen, ""), ("[model.flat]\nfile = \"flat.onnx\"\n", "")],
        &["removed: judge.seen", "changed: model.flat: taken out, was a [model.flat]"],
        &["seen"],
    );
    taken_up(
        &[("detector = \"detect\"", "detector = \"detect\"\nscore = 0.5")],
        &["changed: judge.seen.score: 0.5, was not there"],
        &["seen"],
    );
    taken_up(
        &[("[judge.alive]\ninputs = [\"belt\"]", "[judge.alive]\ninputs = [\"pump\"]")],
        &["changed: judge.alive.inputs: [\"pump\"], was [\"belt\"]"],
        &["alive"],
    );
    let round = "[model.round]\nfile = \"round.onnx\"\n[source.pump]";
    taken_up(
        &[("[source.pump]", round), ("model = \"flat\"", "model = \"round\"")],
        &[
            "changed: judge.seen.model: \"round\", was \"flat\"",
            "changed: model.round: a [model.round], was not there",
        ],
        &["seen"],
    );
    // What came as the first of its kind needs connections.
    let text = RUNNING.replace(seen, "");
    let without = text.replace("[judge.alive]\ninputs = [\"belt\"]", "[judge.alive]\ninputs = [\"pump\"]");
    let (running, none) = (settings(&without), ModelContents::default());
    let at_work = AtWork { settings: &running, models: &none, takes_frames: false };
    let keys = ReloadPlan::between(&at_work, &settings(&format!("{without}{seen}")), &none).unwrap_err();
    assert_eq!(
        ReloadAnswer::NeedsRestart { keys }.words()[1],
        "judge.seen: a [judge.seen] over frames, was not there: it is the first one, and connections for frames are made when \
         the gateway starts"
    );
}

#[test]
fn a_model_is_known_by_what_its_files_hold() {
    // What it keeps are scores of its model.
    let scored = RUNNING.replace("detector = \"detect\"", "detector = \"autoencoder\"");
    let with = |running: &str, text: &str, before: &[(&str, &str)], now: &[(&str, &str)]| {
        let running = settings(running);
        let (before, now, next) = (contents(before), contents(now), settings(text));
        let at_work = AtWork { settings: &running, models: &before, takes_frames: true };
        let plan = ReloadPlan::between(&at_work, &next, &now).unwrap();
        let seen = next.judges.iter().find(|judge| judge.name.as_str() == "seen").unwrap();
        let fate = plan.fate_of(seen);
        (ReloadAnswer::WouldReload(plan.report).words().split_off(1), fate)
    };
    let changed = ["changed: model.flat: files with other contents, was what was read before"];
    let (words, fate) = with(&scored, &scored, &[("flat", "a")], &[("flat", "b")]);
    assert_eq!((words, fate), (changed.map(str::to_owned).to_vec(), JudgeFate::OtherModel));
    // Objects and counts mean the same in another version, and nothing in another model.
    let (words, fate) = with(RUNNING, RUNNING, &[("flat", "a")], &[("flat", "b")]);
    assert_eq!((words, fate), (changed.map(str::to_owned).to_vec(), JudgeFate::Kept));
    let other =
        RUNNING.replace("[model.flat]", "[model.round]").replace("model = \"flat\"", "model = \"round\"");
    let (_, fate) = with(RUNNING, &other, &[("flat", "a")], &[("round", "b")]);
    assert_eq!(fate, JudgeFate::OtherModel);
    // Files that were written again, or moved, with the same contents.
    assert_eq!(with(&scored, &scored, &[("flat", "a")], &[("flat", "a")]), (vec![], JudgeFate::Kept));
    let moved = scored.replace("flat.onnx", "moved/flat.onnx");
    let (words, fate) = with(&scored, &moved, &[("flat", "a")], &[("flat", "a")]);
    assert_eq!((words.len(), fate), (1, JudgeFate::Kept));
}

#[test]
fn sections_in_another_order_are_named() {
    let pump = "[source.pump]\ntopic = \"plant/+/vibration\"\ncodec = \"number\"\ndevice = \"topic:1\"\nsignal = \"vibration\"\n";
    refused(
        &[(pump, ""), ("[judge.high]", &format!("{pump}[judge.high]"))],
        &["source: the order blocks, belt, pump, was the order pump, blocks, belt"],
    );
    let usual = "[judge.usual]\ninputs = [\"pump\"]\n";
    taken_up(&[(usual, ""), ("[judge.high]", &format!("{usual}[judge.high]"))], &[], &[]);
}

#[test]
fn a_password_is_in_no_comparison() {
    let secret =
        [("VERGE__LOCAL__PASSWORD".into(), "hush".into()), ("VERGE__LOCAL__USERNAME".into(), "u".into())];
    let loaded = config::parse(RUNNING, Path::new("/gateway.toml"), secret);
    let shown = format!("{:?}", loaded.values);
    assert!(shown.contains("username") && !shown.contains("hush"), "{shown}");
}

#[test]
fn what_a_site_makes_of_a_judge_stays_until_the_next_start() {
    const SITE: &str = r#"
[uplink.site]
kind = "rsmp"
url = "rsmps://supervisor.example:12111"
ca = "ca.pem"
site = "SI1"
main = "TC"
[uplink.site.component.north]
id = "DL1"
device = "loop-1"
traffic = "counts"
[judge.counts]
inputs = ["pump"]
detector = "loop"
pulses = "vibration"
interval = "1m"
max_silence = "1h"
"#;
    let text = format!("{RUNNING}{SITE}");
    let (running, models) = (settings(&text), contents(&[("flat", "a"), ("round", "b")]));
    let at_work = AtWork { settings: &running, models: &models, takes_frames: true };
    let changed = |from: &str, to: &str| {
        let plan = ReloadPlan::between(&at_work, &settings(&text.replacen(from, to, 1)), &models);
        plan.map(|_| ()).map_err(|keys| ReloadAnswer::NeedsRestart { keys }.words().split_off(1))
    };
    assert_eq!(changed("\"1h\"", "\"30m\""), Ok(()));
    let refused = changed("\"1m\"", "\"5m\"").unwrap_err();
    assert!(
        refused[0].starts_with("uplink.site.component") && refused[0].contains("other intervals"),
        "{refused:?}"
    );
}
