use std::time::Duration;

use verge_anomaly::{JudgeSettings, ReportPolicy};
use verge_domain::id::Lane;
use verge_domain::verdict::{Detector, Severity};
use verge_pipeline::frames::Keep;
use verge_vision::GateSettings;
use verge_vision::preprocess::Region;

use super::*;

mod broker;
mod engine;
mod opcua;
mod server;
mod track;

const SMALL: &str = r#"
[gateway]
id = "pump-room-1"
state_dir = "state"

[local]
url = "mqtt://localhost:1883"

[uplink.centre]
url = "mqtts://centre.example:8883"
ca = "ca.pem"

[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"

[judge.high]
inputs = ["pump:vib*"]
detector = "threshold"
above = 7.1
"#;

/// What every configuration has that is not about itself.
const SITE: &str = r#"
[gateway]
id = "g"
state_dir = "state"
[local]
url = "mqtt://localhost:1883"
[uplink.centre]
url = "mqtts://centre.example:8883"
ca = "ca.pem"
"#;

/// Sections of a configuration whose site is of no interest.
fn at_site(sections: &str) -> Result<Settings, Vec<String>> {
    settings(&format!("{SITE}{sections}"))
}

fn settings(text: &str) -> Result<Settings, Vec<String>> {
    let loaded = config::parse(text, Path::new("/etc/verge/gateway.toml"), []);
    Settings::of(loaded).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn readings_of(judge: &JudgeSection) -> &ReadingRules {
    judge.readings().unwrap_or_else(|| panic!("{} judges no readings", judge.name))
}

fn frames_of(judge: &JudgeSection) -> &FrameRules {
    judge.frames().unwrap_or_else(|| panic!("{} looks at no frames", judge.name))
}

#[test]
fn a_small_file_is_enough() {
    let settings = settings(SMALL).unwrap();
    assert_eq!(settings.gateway.state_dir, Path::new("/etc/verge/state"));
    assert_eq!(settings.store.dir(), Path::new("/etc/verge/state/store"));
    let Local::External(local) = &settings.local else { panic!("the site has a broker") };
    assert_eq!(local.client_id, "verge-pump-room-1");
    assert_eq!(settings.uplinks[0].mqtt().unwrap().broker.client_id, "verge-pump-room-1-centre");
    assert_eq!(settings.uplinks[0].lanes, Lane::ALL);
    let rules = readings_of(&settings.judges[0]);
    assert!(matches!(rules.rule, Rule::Plain(JudgeSettings::Threshold(_))));
    assert_eq!((rules.policy.severity, rules.policy.lane), (Severity::Warning, Lane::Alarm));
    assert_eq!(settings.warnings, []);
}

/// The small file with a broker of its own and these keys in `[local]`.
fn embedded(keys: &str) -> Result<EmbeddedBroker, Vec<String>> {
    let keys = format!("mode = \"embedded\"\n{keys}");
    let settings = settings(&SMALL.replace("url = \"mqtt://localhost:1883\"", &keys))?;
    match settings.local {
        Local::Embedded(broker) => Ok(broker),
        Local::External(_) => panic!("the site has none"),
    }
}

#[test]
fn an_embedded_broker_listens_to_this_machine_or_to_certificates() {
    let plain = embedded("").unwrap();
    assert_eq!(plain.listen.to_string(), "127.0.0.1:1883");
    assert!(plain.tls().unwrap().is_none());
    assert_eq!(plain.address().to_string(), "mqtt://127.0.0.1:1883");
    assert_eq!((plain.max_packet_bytes, plain.max_broker_packet_bytes), (64 << 10, 2 << 20));
    let outside = "listen = \"0.0.0.0:8883\"\ncert = \"b.pem\"\nkey = \"b.key\"\nca = \"ca.pem\"";
    let outside = embedded(outside).unwrap();
    assert_eq!(outside.tls.as_ref().unwrap().ca, Path::new("/etc/verge/ca.pem"));
    assert_eq!(outside.address().to_string(), "mqtts://127.0.0.1:8883");
    assert!(
        outside.tls().unwrap_err().to_string().starts_with("local.cert: there is no file /etc/verge/b.pem")
    );
    assert_eq!(embedded("listen = \"[::]:8883\"").unwrap_err().len(), 1);
    assert_eq!(embedded("listen = \"127.0.0.2:1884\"").unwrap().listen.port(), 1884);
}

#[test]
fn every_detector_can_be_configured() {
    let check = |judge: &str, expected: &str| {
        let text = SMALL.replace("detector = \"threshold\"\nabove = 7.1", judge);
        let settings = settings(&text).unwrap_or_else(|faults| panic!("{judge}: {faults:#?}"));
        assert_eq!(settings.judges[0].detector().as_str(), expected);
    };
    check("detector = \"rate\"\nrise_above = 60\nper = \"1m\"", "rate");
    check("detector = \"silence\"\nafter = \"5s\"\nexpect = [\"pump-1\"]", "silence");
    check("detector = \"loop\"\npresence = \"vibration\"\neffective_length = 6.5", "loop");
}

#[test]
fn limits_are_written_in_their_own_time_base() {
    let of = |judge: &str| settings(&SMALL.replace("detector = \"threshold\"\nabove = 7.1", judge)).unwrap();
    let minute = of("detector = \"rate\"\nrise_above = 60\nper = \"1m\"");
    let second = of("detector = \"rate\"\nrise_above = 1");
    assert_eq!(readings_of(&minute.judges[0]).rule, readings_of(&second.judges[0]).rule);
}

/// The small file with a camera, a model and this judge over its frames.
fn with_eyes(judge: &str) -> String {
    format!(
        "{SMALL}
[model.vehicles]
file = \"models/vehicles.onnx\"
[source.cameras]
topic = \"road/+/frame\"
codec = \"jpeg\"
device = \"topic:1\"
[judge.seen]
{judge}"
    )
}

#[test]
fn judges_over_frames_name_a_model_and_a_region() {
    let found =
        settings(&with_eyes("inputs = [\"cameras\"]\ndetector = \"detect\"\nmodel = \"vehicles\"")).unwrap();
    assert_eq!(found.models[0].card, Path::new("/etc/verge/models/vehicles.toml"));
    assert_eq!(found.max_frame_bytes, 2 << 20);
    let rules = frames_of(&found.judges[1]);
    assert_eq!((rules.look.region, rules.look.gate), (Region::WHOLE, None));
    assert_eq!((rules.policy.severity, rules.policy.lane), (Severity::Info, Lane::Verdict));
    let again = Some(Duration::from_secs(60));
    let report = ReportPolicy::Change { hold: Duration::ZERO, again };
    assert_eq!(rules.rule, JudgeSettings::Report(Detector::Detect, report));
    let Carries::Frames(camera) = &found.sources[1].carries else { panic!("cameras carry frames") };
    assert_eq!(camera.schedule.keep, Keep::Newest { deadline: Duration::from_secs(2) });

    let judge = "inputs = [\"cameras\"]\ndetector = \"classify\"\nmodel = \"vehicles\"\nreport = \"every\"
                 top = 3\nscore = 0.5\nregion = { left = 0.5, bottom = 0.5 }\ngate = { heartbeat = \"5s\" }";
    let found = settings(&with_eyes(judge)).unwrap();
    let rules = frames_of(&found.judges[1]);
    assert_eq!(rules.rule, JudgeSettings::Report(Detector::Classify, ReportPolicy::Every));
    assert_eq!((rules.look.top, rules.look.score), (3, Some(0.5)));
    assert_eq!(rules.look.region, Region::new([0.5, 0.0, 1.0, 0.5]).unwrap());
    let [heartbeat, after] = [5, 1].map(Duration::from_secs);
    assert_eq!(rules.look.gate, Some(GateSettings { heartbeat, after, least: 0.004 }));
}

#[test]
fn frames_and_readings_are_not_mixed_up() {
    let check = |judge: &str, expected: &str| {
        let faults = settings(&with_eyes(judge)).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{judge}: {faults:#?}");
    };
    let detect = "detector = \"detect\"\nmodel = \"vehicles\"";
    check(&format!("inputs = [\"pump\"]\n{detect}"), "a source of frames");
    check(&format!("inputs = [\"cameras:x\"]\n{detect}"), "frames have no signals");
    check("inputs = [\"cameras\"]\ndetector = \"threshold\"\nabove = 1", "a source of readings");
    check("inputs = [\"cameras\"]\ndetector = \"detect\"", "judge.seen.model: missing");
    check("inputs = [\"cameras\"]\ndetector = \"detect\"\nmodel = \"cars\"", "here one of \"vehicles\"");
    check(
        &format!("inputs = [\"cameras\"]\n{detect}\nregion = {{ left = 0.5, right = 0.5 }}"),
        "left below right",
    );
    check(&format!("inputs = [\"cameras\"]\n{detect}\ngate = {{ heartbeat = \"1ms\" }}"), "gate.heartbeat");
    check(&format!("inputs = [\"cameras\"]\n{detect}\ngate = {{ least = 0.9 }}"), "from 0.001 to 0.5");
    check(&format!("inputs = [\"cameras\"]\n{detect}\ntop = 5"), "only where detector is \"classify\"");
}

#[test]
fn faults_of_all_sections_come_together() {
    let text = SMALL
        .replace("mqtts://centre", "mqtt://centre")
        .replace("topic:1", "topic:7")
        .replace("above = 7.1", "above = 7.1\nclear_below = 8")
        .replace("pump-room-1", "pump/room");
    let faults = settings(&text).unwrap_err();
    for key in ["gateway.id", "uplink.centre.url", "source.pump.device", "judge.high"] {
        assert!(faults.iter().any(|fault| fault.contains(&format!(": {key}"))), "{key} in {faults:#?}");
    }
}

#[test]
fn what_is_allowed_and_hardly_meant_is_a_warning() {
    let lanes = SMALL.replace("ca = \"ca.pem\"", "ca = \"ca.pem\"\nlanes = [\"alarm\", \"verdict\"]");
    let warnings = settings(&lanes).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("telemetry"), "{}", warnings[0]);
    let password = SMALL.replace("localhost:1883\"", "broker.example:1883\"\nusername = \"verge\"");
    assert!(settings(&password).unwrap().warnings[0].to_string().starts_with("local.url: the password"));
    let bearing = "[judge.bearing]\ninputs = [\"pump\"]\ndetector = \"vibration\"\nsample_rate = 25600\nbudget_of = \"signal\"";
    assert_eq!(settings(&format!("{SMALL}\n{bearing}")).unwrap().warnings, []);
    let never = settings(&format!("{SMALL}\n{bearing}\nalarm_budget = \"1/year\"")).unwrap().warnings;
    assert!(
        never[0].to_string().starts_with("judge.bearing.alarm_budget: \"1/year\" can never be"),
        "{never:?}"
    );
    let threads = |number: u8| SMALL.replace("[local]", &format!("judging_threads = {number}\n[local]"));
    assert_eq!(settings(&threads(1)).unwrap().warnings, []);
    let warned = settings(&threads(3)).unwrap().warnings[0].to_string();
    assert!(warned.starts_with("gateway.judging_threads: it has no effect any more"), "{warned}");
}

/// The small file with this source in place of its own, and what is warned of.
fn with_source(source: &str) -> (Settings, Vec<String>) {
    let start = SMALL.find("topic =").unwrap();
    let end = SMALL.find("[judge.high]").unwrap();
    let text = format!("{}{source}\n\n{}", &SMALL[..start], &SMALL[end..]).replace("pump:vib*", "pump");
    let settings = settings(&text).unwrap_or_else(|faults| panic!("{source}: {faults:#?}"));
    let warnings = settings.warnings.iter().map(ToString::to_string).collect();
    (settings, warnings)
}

#[test]
fn names_that_stand_for_several_series_are_warned_of() {
    let check = |source: &str, expected: &[&str]| {
        let (_, warnings) = with_source(source);
        assert_eq!(warnings.len(), expected.len(), "{source}: {warnings:#?}");
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.contains(expected), "{source}: {warning}");
        }
    };
    let number = |topic: &str, device: &str, signal: &str| {
        format!("topic = \"{topic}\"\ncodec = \"number\"\ndevice = \"{device}\"\nsignal = \"{signal}\"")
    };
    // A leading slash makes level 1 the fixed one.
    check(
        &number("/d/+/x", "topic:1", "x"),
        &[
            "source.pump.device: every message is of one device: this level is the same in all topics of \"/d/+/x\"; \
           levels are counted from 0 (0 \"\", 1 \"d\", 2 \"+\", 3 \"x\"), and the wildcard stands on \"topic:2\"",
        ],
    );
    check(&number("/d/+/x", "topic:2", "x"), &[]);
    check(&number("d/one/x", "topic:1", "topic:2"), &[]);
    check(
        &number("d/+/+", "topic:1", "x"),
        &["source.pump.topic: topics that differ in level 2 (\"+\") alone"],
    );
    check(&number("d/+/+", "topic:1", "topic:2"), &[]);
    check(&number("d/+/+", "{topic:1}/{topic:2}", "x"), &[]);
    check(&number("d/+/+", "topic:1..", "x"), &[]);
    check(&number("d/+/+", "fixed:a", "x"), &["level 1 (\"+\")", "level 2 (\"+\")"]);
    check(&number("d/#", "topic:1", "x"), &[]);
    check(&number("d/#", "fixed:a", "topic:1.."), &[]);
    check(&number("d/#", "fixed:a", "x"), &["\"{topic:1..}\" in one of them does"]);
    check(&number("d/+/#", "topic:1", "x"), &["level 2 (\"#\")"]);

    let json = |topic: &str, device: &str, readings: &[&str]| {
        let head = format!("topic = \"{topic}\"\ncodec = \"json\"\ndevice = \"{device}\"\n");
        let tables = readings.iter().map(|reading| format!("\n[[source.pump.reading]]\n{reading}"));
        head + &tables.collect::<String>()
    };
    check(&json("d/+", "topic:1", &["pointer = \"/a\"", "pointer = \"/b\""]), &[]);
    check(
        &json("d/+", "topic:1", &["pointer = \"/switch:0/apower\"", "pointer = \"/switch:1/apower\""]),
        &[
            "source.pump.reading[1].signal: the values at \"/switch:0/apower\" and \"/switch:1/apower\" are one series: \
           both are called \"apower\"",
        ],
    );
    check(
        &json("d/+", "topic:1", &["pointer = \"/a\"\nsignal = \"topic:0\""]),
        &["\"topic:0\" is the name itself here; \"{topic:0}\" is the part of the topic"],
    );
    check(&json("d/+", "pointer:/id", &["pointer = \"/a\""]), &[]);
    check(&json("d/+", "fixed:a", &["pointer = \"/a\""]), &["level 1 (\"+\")"]);
    check(&json("d/+", "fixed:a", &["pointer = \"/a\"\nsignal = \"{topic:1}/a\""]), &[]);
    let history = "time = { pointer = \"/*/ts\", format = \"unix_ms\" }";
    let (element, position) =
        ("pointer = \"/*/v\"\nsignal = \"v\"", "all values at \"/*/v\" are one series with one time");
    check(&json("d/+", "topic:1", &[element]), &[position]);
    check(&json("d/+", "topic:1", &[&format!("{element}\n{history}")]), &[]);
    let first = "time = { pointer = \"/0/ts\", format = \"unix_ms\" }";
    let own = "reading[0].time: all values at \"/*/v\" have the time of one element, that at \"/0/ts\"; time.pointer = \"/*/ts\"";
    check(&json("d/+", "topic:1", &[&format!("{element}\n{first}")]), &[own]);
    check(&json("d/+", "topic:1", &["pointer = \"/*/v\"\nsignal = \"{pointer:/*/id}\""]), &[]);
    check(&json("d/+", "{topic:1}/{*}", &[element]), &[]);
    check(&json("d/+", "topic:1", &["pointer = \"/*/*/v\"\nsignal = \"{*2}\""]), &["\"*\" number 1"]);
    let line = |device: &str| format!("topic = \"t/+\"\ncodec = \"line\"\ndevice = \"{device}\"");
    check(&line("tag:host"), &[]);
    check(&line("topic:0"), &["source.pump.device: every message"]);
}

#[test]
fn a_field_alone_is_meant_in_every_measurement() {
    let line = "topic = \"telegraf\"\ncodec = \"line\"\ndevice = \"tag:host\"";
    let looks = |source: &str, input: &str, signal: &str| {
        let start = SMALL.find("topic =").unwrap();
        let end = SMALL.find("[judge.high]").unwrap();
        let text = format!("{}{source}\n\n{}", &SMALL[..start], &SMALL[end..]).replace("pump:vib*", input);
        let settings = settings(&text).unwrap();
        let inputs = readings_of(&settings.judges[0]).inputs.clone();
        inputs.iter().any(|input| input.takes_signal(signal))
    };
    let used = "pump:used_percent";
    assert!(looks(line, used, "disk/used_percent,path=/"));
    assert!(looks(line, used, "mem/used_percent"));
    assert!(!looks(line, used, "mem/unused_percent"));
    assert!(looks(line, "pump:used_*", "mem/used_percent"));
    assert!(looks(line, "pump:disk/*", "disk/used_percent,path=/"));
    assert!(!looks(line, "pump:disk/*", "mem/used_percent"));
    let old = format!("{line}\nsignal = \"{{field}}\"");
    assert!(looks(&old, used, "used_percent") && !looks(&old, used, "mem/used_percent"));
}

#[test]
fn a_loop_that_names_fields_alone_is_warned_of() {
    let line = "topic = \"telegraf\"\ncodec = \"line\"\ndevice = \"tag:host\"";
    let text = |source: &str, pulses: &str| {
        let start = SMALL.find("topic =").unwrap();
        let judge = format!("inputs = [\"pump\"]\ndetector = \"loop\"\npulses = \"{pulses}\"");
        format!("{}{source}\n\n[judge.high]\n{judge}\n", &SMALL[..start])
    };
    let warnings = settings(&text(line, "count")).unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].to_string().starts_with("judge.high.pulses: source.pump has no signal \"count\""));
    assert_eq!(settings(&text(line, "loop/count")).unwrap().warnings, []);
    assert_eq!(settings(&text(&format!("{line}\nsignal = \"{{field}}\""), "count")).unwrap().warnings, []);
}

#[test]
fn masks_enclose_a_part_of_the_picture() {
    let camera = |mask: &str| {
        let source = "\n[source.belt]\ntopic = \"line/+/frame\"\ncodec = \"jpeg\"\ndevice = \"topic:1\"\n";
        settings(&format!("{SMALL}{source}[source.belt.mask.window]\n{mask}\n"))
    };
    let fit = camera("polygon = [[0, 0], [0.5, 0], [0.5, 0.25]]\ndevices = [\"north-*\"]").unwrap();
    let Carries::Frames(frames) = &fit.sources[1].carries else { panic!("a source of frames") };
    let [mask] = &frames.masks[..] else { panic!("one mask") };
    assert_eq!((mask.name.as_str(), &mask.corners[2]), ("window", &[0.5, 0.25]));
    assert!(mask.is_of("north-1") && !mask.is_of("south-1"));
    let check = |polygon: &str, expected: &str| {
        let [fault] = &camera(polygon).unwrap_err()[..] else { panic!("one fault of {polygon}") };
        let place = "/etc/verge/gateway.toml line ";
        let rest = fault.strip_prefix(place).and_then(|rest| rest.split_once(": ")).map(|(_, rest)| rest);
        assert_eq!(rest, Some(expected), "{fault}");
    };
    let corners = |polygon: &str, error: &str| {
        let expected = format!(
            "source.belt.mask.window.polygon: {polygon}, expected corners that enclose a part of the picture ({error}); \
             write other corners"
        );
        check(&format!("polygon = {polygon}"), &expected);
    };
    corners("[[0.0, 0.0], [1.0, 1.0]]", "2 corners; expected 3 to 64");
    let outside = "point [1.2, 0] lies outside the picture; expected shares of its sides from 0 to 1";
    corners("[[0.0, 0.0], [1.2, 0.0], [1.0, 1.0]]", outside);
    let crossed =
        "the edges from corner 1 and from corner 3 cross; expected corners in order around the polygon";
    corners("[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]", crossed);
    corners("[[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]", "the corners enclose no area");
    let list =
        "a list of corners [x, y] in shares of the picture, such as [[0.1, 0.6], [0.3, 0.6], [0.3, 0.9]]";
    let example = "polygon = [[0.1, 0.6], [0.3, 0.6], [0.3, 0.9]]";
    for polygon in ["[[0, 0], [0.5], [1, 1]]", "[]", "7"] {
        let expected = format!(
            "source.belt.mask.window.polygon: {polygon}, expected {list}; write for example {example}"
        );
        check(&format!("polygon = {polygon}"), &expected);
    }
    let missing = format!(
        "source.belt.mask.window.polygon: missing, expected {list}; add {example} below [source.belt.mask.window]"
    );
    check("devices = [\"a\"]", &missing);
    let misspelt = "source.belt.mask.window.polygn: unknown key, expected polygon perhaps; \
                    write polygon = [[0, 0], [1, 1], [0, 1]]";
    check("polygn = [[0, 0], [1, 1], [0, 1]]", misspelt);
}
