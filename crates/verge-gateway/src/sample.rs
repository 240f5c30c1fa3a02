//! A small configuration for tests.

/// One source of readings, one judge.
pub(crate) const FILE: &str = r#"
[gateway]
id = "g"
state_dir = "state"
[local]
url = "mqtt://localhost:1883"
[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"
[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
"#;
