use super::*;
use verge_anomaly::JudgeSettings;
use verge_domain::verdict::Severity;

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

fn settings(text: &str) -> Result<Settings, Vec<String>> {
    let loaded = config::parse(text, Path::new("/etc/verge"), []).expect("the text is TOML");
    Settings::of(loaded).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn a_small_file_is_enough() {
    let settings = settings(SMALL).unwrap();
    assert_eq!(settings.gateway.state_dir, Path::new("/etc/verge/state"));
    assert_eq!(settings.outbox.dir, Path::new("/etc/verge/state/store"));
    assert_eq!(settings.local.client_id, "verge-pump-room-1");
    assert_eq!(settings.uplinks[0].broker.client_id, "verge-pump-room-1-centre");
    assert_eq!(settings.uplinks[0].lanes, Lane::ALL);
    let judge = &settings.judges[0];
    assert!(matches!(judge.rule, JudgeSettings::Threshold(_)));
    assert_eq!((judge.policy.severity, judge.policy.lane), (Severity::Warning, Lane::Alarm));
    assert_eq!(settings.warnings, []);
}

#[test]
fn every_detector_can_be_configured() {
    let check = |judge: &str, expected: &str| {
        let text = SMALL.replace("detector = \"threshold\"\nabove = 7.1", judge);
        let settings = settings(&text).unwrap_or_else(|faults| panic!("{judge}: {faults:#?}"));
        assert_eq!(settings.judges[0].rule.detector().as_str(), expected);
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
    assert_eq!(minute.judges[0].rule, second.judges[0].rule);
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
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} in {faults:#?}");
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
}
