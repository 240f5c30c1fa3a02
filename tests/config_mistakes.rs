//! Mistakes that people make in a configuration. Each is one fault, which says the file, the line, the section and
//! key, what stands there, what was expected and what to do; and several at once are as many.

use std::ffi::OsString;
use std::fs;

use verge_gateway::settings::{Settings, SettingsError};

const GOOD: &str = r##"[gateway]
id = "g1"
state_dir = "state"

[local]
url = "mqtt://localhost:1883"

[uplink.centre]
url = "mqtts://centre.example:8883"
ca = "ca.pem"
keep_alive = "30s"
window = 64
retain = true
lanes = ["alarm", "verdict", "telemetry"]

[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"

[source.climate]
topic = "climate/#"
codec = "json"
device = "pointer:/dev"
time = { pointer = "/ts", format = "unix_ms" }

[[source.climate.reading]]
pointer = "/t"
unit = "Cel"

[judge.high]
inputs = ["pump:vib*"]
detector = "threshold"
above = 7.1
clear_below = 6.5

[judge.odd]
inputs = ["pump", "climate"]
alarm_budget = "1/week"
"##;

/// The faults of what a file holds, as they are printed, without the folder of the file.
fn faults_of(bytes: impl AsRef<[u8]>, variables: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    fs::write(&path, bytes).unwrap();
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let folder = format!("{}/", folder.path().display());
    match Settings::load(&path, variables) {
        Ok(_) => Vec::new(),
        Err(SettingsError::Faults { faults, .. }) => {
            faults.iter().map(|fault| fault.to_string().replace(&folder, "")).collect()
        }
        Err(SettingsError::Load(error)) => vec![error.to_fault().to_string().replace(&folder, "")],
    }
}

/// What is cut out of the good file and put there, the line of the fault that this makes, and parts of its words in
/// their order.
type Mistake<'a> = (&'a str, &'a str, usize, &'a [&'a str]);

/// Each mistake makes one fault.
#[track_caller]
fn check(mistakes: &[Mistake<'_>]) {
    let wrong = mistakes.iter().filter_map(|(cut, put, line, parts)| {
        assert!(GOOD.contains(cut), "{cut:?} is not in the file");
        is_one_fault(&faults_of(GOOD.replacen(cut, put, 1), &[]), put, *line, parts).err()
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [] as [String; 0]);
}

fn is_one_fault(faults: &[String], case: &str, line: usize, parts: &[&str]) -> Result<(), String> {
    let [fault] = faults else { return Err(format!("{case}: {faults:#?}")) };
    let place = format!("gateway.toml line {line}: ");
    let mut rest = fault.strip_prefix(&place).ok_or_else(|| format!("{case}: no line {line}: {fault}"))?;
    for part in parts {
        let at = rest
            .find(part)
            .ok_or_else(|| format!("{case}: {part:?} is not there, behind the others: {fault}"))?;
        rest = &rest[at + part.len()..];
    }
    let of_libraries = ["TOML parse error", "invalid type", "i64", "f64", "usize", "Some(", "serde"];
    match of_libraries.iter().find(|word| fault.contains(**word)) {
        Some(word) => Err(format!("{case}: {word}: {fault}")),
        None => Ok(()),
    }
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(faults_of(GOOD, &[]), [] as [&str; 0]);
    assert_eq!(faults_of(format!("\u{feff}{}", GOOD.replace('\n', "\r\n")), &[]), [] as [&str; 0]);
    // TOML 1.1: a table on several lines.
    let lines = "{\n  pointer = \"/ts\",\n  format = \"unix_ms\",\n}";
    assert_eq!(
        faults_of(GOOD.replace(r#"{ pointer = "/ts", format = "unix_ms" }"#, lines), &[]),
        [] as [&str; 0]
    );
}

#[test]
fn values_that_are_no_toml() {
    check(&[
        (
            "\"state\"",
            "\"\"\"state",
            3,
            &["[gateway] state_dir", "no closing quotes", "write state_dir = 'state'"],
        ),
        ("id = \"g1\"", "\u{200b}id = \"g1\"", 2, &["not seen", "U+200B", "write id = \"g1\""]),
        ("above = 7.1", "above = 7.1 8.2", 35, &["above = 7.1 8.2", "one number"]),
        ("window = 64", "= 64", 12, &["[uplink.centre] = 64", "a key stands before ="]),
        (
            "above = 7.1",
            "above = 7,1",
            35,
            &["[judge.high] above = 7,1 is no TOML: decimals take a point; write above = 7.1"],
        ),
        (
            "above = 7.1",
            "above = 1.007,1",
            35,
            &["above = 1.007,1 is no TOML", "thousands take nothing", "1007.1"],
        ),
        (
            "clear_below = 6.5",
            "clear_below = .5",
            36,
            &["clear_below = .5", "figure before the point", "clear_below = 0.5"],
        ),
        ("above = 7.1", "above = 07.1", 35, &["above = 07.1", "no zeros in front", "write above = 7.1"]),
        (
            "above = 7.1",
            "above = 7.1 mm/s",
            35,
            &["above = 7.1 mm/s", "without its unit", "write above = 7.1"],
        ),
        (
            "clear_below = 6.5",
            "clear_below = −6.5",
            36,
            &["clear_below = −6.5", "- or +", "write clear_below = -6.5"],
        ),
        (
            "above = 7.1",
            "above = seven",
            35,
            &["above = seven", "one number stands here", "write a number alone"],
        ),
        ("above = 7.1", "above =", 35, &["[judge.high] above =", "the value is missing behind ="]),
        (
            "above = 7.1",
            "above = 7.1;",
            35,
            &["above = 7.1;", "nothing stands behind a value", "write above = 7.1"],
        ),
        (
            "above = 7.1",
            "above = 7.1 // mm/s",
            35,
            &["above = 7.1 // mm/s", "comments begin with #", "above = 7.1"],
        ),
        ("above = 7.1", "above == 7.1", 35, &["above == 7.1", "one = stands between", "write above = 7.1"]),
        ("above = 7.1", "above := 7.1", 35, &["above := 7.1", "write above = 7.1"]),
        ("above = 7.1", "above = ${LIMIT}", 35, &["above = ${LIMIT}", "no variables", "VERGE__"]),
        (
            "retain = true",
            "retain = yes",
            13,
            &["[uplink.centre] retain = yes", "true or false", "write retain = true"],
        ),
        ("retain = true", "retain = True", 13, &["retain = True", "small letters", "write retain = true"]),
        ("retain = true", "retain = off", 13, &["retain = off", "true or false", "write retain = false"]),
        ("retain = true", "retain = null", 13, &["retain = null", "nothing", "take the line out"]),
        ("\"30s\"", "30s", 11, &["keep_alive = 30s", "text stands in quotes", r#"write keep_alive = "30s""#]),
        ("\"1/week\"", "1/week", 40, &["[judge.odd] alarm_budget = 1/week", "in quotes", r#""1/week""#]),
        (
            "\"number\"",
            "number",
            18,
            &["[source.pump] codec = number", "in quotes", r#"write codec = "number""#],
        ),
        (
            "\"mqtt://localhost:1883\"",
            "mqtt://localhost:1883",
            6,
            &["[local] url =", "in quotes", r#"write url = ""#],
        ),
        (
            "\"g1\"",
            "\"g1",
            2,
            &[r#"[gateway] id = "g1 is"#, "closing quote is missing", r#"write id = "g1""#],
        ),
        ("\"g1\"", "g1\"", 2, &[r#"[gateway] id = g1""#, "opening quote is missing", r#"write id = "g1""#]),
        ("\"g1\"", "\"g1'", 2, &["id = \"g1'", "of one kind", r#"write id = "g1""#]),
        ("\"g1\"", "“g1”", 2, &["id = “g1”", "quotes are straight", r#"write id = "g1""#]),
        ("\"g1\"", "\"g1\",", 2, &["id = \"g1\",", "nothing stands behind a value", r#"write id = "g1""#]),
        ("id = \"g1\"", "id\u{a0}= \"g1\"", 2, &["[gateway]", "write id = \"g1\""]),
        (
            "\"state\"",
            r#""C:\verge\state""#,
            3,
            &[
                r#"state_dir = "C:\verge\state""#,
                "backslash",
                r"write state_dir = 'C:\verge\state', in single quotes",
            ],
        ),
        ("\"state\"", r#""C:\verge\""#, 3, &["state_dir", "backslash", r"write state_dir = 'C:\verge\'"]),
        // All of these escapes exist.
        (
            "\"state\"",
            r#""C:\temp\new""#,
            3,
            &[
                "gateway.state_dir: ",
                r#""C:\temp\new""#,
                "control characters",
                r"write state_dir = 'C:\temp\new'",
            ],
        ),
    ]);
}

#[test]
fn lists_and_tables_that_are_no_toml() {
    let time_on_two = "{ pointer = \"/ts\"\n  format = \"unix_ms\" }";
    let time = r#"{ pointer = "/ts", format = "unix_ms" }"#;
    check(&[
        (time, time_on_two, 26, &["[source.climate] time = {", "commas", "pointer = \"/ts\","]),
        (
            r#"["pump", "climate"]"#,
            r#"["pump", "climate""#,
            39,
            &[r#"[judge.odd] inputs = ["pump", "climate""#, "closing ] is missing", r#"["pump", "climate"]"#],
        ),
        (
            r#"["pump", "climate"]"#,
            "[\n  \"pump\",\n  \"climate\"",
            39,
            &["[judge.odd] inputs = [", "closing ] is missing", "write ] at the end of line 41"],
        ),
        (
            r#"["pump", "climate"]"#,
            r#"["pump" "climate"]"#,
            39,
            &["commas stand between", r#"["pump", "climate"]"#],
        ),
        (
            r#"["pump", "climate"]"#,
            "[pump, climate]",
            39,
            &["text stands in quotes", r#"["pump", "climate"]"#],
        ),
        (
            r#"["pump", "climate"]"#,
            "pump, climate",
            39,
            &["a list stands in brackets", r#"["pump", "climate"]"#],
        ),
        (
            r#"["pump", "climate"]"#,
            r#"("pump", "climate")"#,
            39,
            &["square brackets", r#"["pump", "climate"]"#],
        ),
        (
            r#"["pump", "climate"]"#,
            "[\n  \"pump\"\n  \"climate\"\n]",
            40,
            &["[judge.odd]", "commas", "\"pump\","],
        ),
        (
            r#"["pump", "climate"]"#,
            "[\n  pump,\n  \"climate\"\n]",
            40,
            &["[judge.odd]", "in quotes", "\"pump\","],
        ),
        (
            time,
            r#"{ "pointer": "/ts", "format": "unix_ms" }"#,
            26,
            &["[source.climate] time", "no colon", "pointer\" = "],
        ),
        (
            time,
            r#"{ pointer = "/ts", format = "unix_ms""#,
            26,
            &["[source.climate] time", "closing } is missing"],
        ),
        (
            time,
            r#"{ pointer = "/ts", format = unix_ms }"#,
            26,
            &["text stands in quotes", r#"format = "unix_ms" }"#],
        ),
    ]);
}

#[test]
fn lines_of_other_languages() {
    check(&[
        (
            "codec = \"number\"",
            "codec: number",
            18,
            &["[source.pump] codec: number", "YAML", r#"codec = "number""#],
        ),
        ("window = 64", "window: 64", 12, &["[uplink.centre] window: 64", "YAML", "write window = 64"]),
        (
            r#"inputs = ["pump", "climate"]"#,
            "inputs:\n  - pump\n  - climate",
            39,
            &["[judge.odd] inputs:", "YAML writes a list", r#"write inputs = ["pump", "climate"]"#],
        ),
        (
            "window = 64",
            "window 64",
            12,
            &["window 64", "= stands between key and value", "write window = 64"],
        ),
        (
            "[judge.odd]",
            "; the other one\n[judge.odd]",
            38,
            &["; the other one", "comments begin with #", "# the other one"],
        ),
        (
            "[judge.odd]",
            "// the other one\n[judge.odd]",
            38,
            &["comments begin with #", "write # the other one"],
        ),
        (
            "[judge.odd]",
            "the other one\n[judge.odd]",
            38,
            &["the other one is no TOML", "a line is key = value", "# in front"],
        ),
    ]);
}

#[test]
fn headers() {
    check(&[
        ("[judge.odd]", "[judge.höhe]", 38, &["[judge.höhe]", "in quotes", "write [judge.\"höhe\"]"]),
        ("[judge.odd]", "(judge.odd)", 38, &["(judge.odd) is no TOML", "write [judge.odd]"]),
        ("[judge.odd]", "judge:\n  odd:", 38, &["judge: is no TOML", "YAML", "write [judge.odd]"]),
        ("[judge.odd]", "[odd]", 38, &["odd: unknown section", "judge.odd perhaps", "write [judge.odd]"]),
        ("[local]", "[mqtt]", 5, &["mqtt: unknown section", "local perhaps", "write [local]"]),
        ("[local]", "\u{feff}[local]", 5, &["not seen", "U+FEFF", "write [local]"]),
        ("[judge.odd]", "[judge.odd", 38, &["[judge.odd is no TOML", "closing ]", "write [judge.odd]"]),
        ("[judge.odd]", "[judge odd]", 38, &["[judge odd]", "points between them", "write [judge.odd]"]),
        ("[judge.odd]", "[judge:odd]", 38, &["[judge:odd]", "write [judge.odd]"]),
        ("[judge.odd]", "[judge.odd]]", 38, &["[judge.odd]]", "brackets", "write [judge.odd]"]),
        ("[judge.odd]", "judge.odd {", 38, &["judge.odd {", "brackets", "write [judge.odd]"]),
        (
            "[judge.odd]",
            "[[judge.odd]]",
            38,
            &["judge.odd: [[judge.odd]]", "expected [judge.odd]", "single brackets"],
        ),
        (
            "[judge.odd]",
            "[[judge]]\nname = \"odd\"",
            38,
            &["[[judge]]", "single brackets", "write [judge.odd]"],
        ),
        (
            "[judge.odd]",
            "[judges.odd]",
            38,
            &["judges: unknown section", "judge perhaps", "write [judge.NAME]"],
        ),
        ("[gateway]", "[[gateway]]", 1, &["[[gateway]]", "expected [gateway]", "single brackets"]),
        (
            "[gateway]",
            "[gateway.main]",
            1,
            &["gateway.main: ", "[gateway], which has no name", "write [gateway]"],
        ),
        (
            "[[source.climate.reading]]",
            "[source.climate.reading]",
            28,
            &["reading: a table", "[[source.climate.reading]]"],
        ),
        (
            "[[source.climate.reading]]",
            "[[source.climate.readings]]",
            28,
            &["readings: unknown key", "reading perhaps"],
        ),
        (
            "[gateway]\n",
            "site = \"here\"\n[gateway]\n",
            1,
            &["site: \"here\"", "a section above it", "below [gateway]"],
        ),
    ]);
}

#[test]
fn what_stands_twice() {
    let again = "[judge.high]\ninputs = [\"pump\"]\n\n[judge.odd]";
    check(&[
        (
            "window = 64",
            "window = 64\nwindow = 8",
            13,
            &["uplink.centre.window: stands twice (lines 12 and 13)", "take one"],
        ),
        (
            "[judge.odd]",
            again,
            38,
            &["judge.high: stands twice (lines 32 and 38)", "expected once", "another name"],
        ),
        (
            "[judge.odd]",
            "[gateway]\nsite = \"x\"\n\n[judge.odd]",
            38,
            &["gateway: stands twice (lines 1 and 38)", "together"],
        ),
    ]);
}

#[test]
fn keys() {
    check(&[
        (
            "window = 64",
            "windw = 64",
            12,
            &["uplink.centre.windw: unknown key", "window perhaps", "write window = 64"],
        ),
        ("window = 64", "Window = 64", 12, &["uplink.centre.Window: unknown key", "write window = 64"]),
        (
            "window = 64",
            "max packet = \"1 KiB\"",
            12,
            &["[uplink.centre] max packet = \"1 KiB\"", "no blanks", "max_packet = \"1 KiB\""],
        ),
        (
            "window = 64",
            "max_payload = \"1 KiB\"",
            12,
            &["max_payload: unknown key", "below [source.NAME]", "belongs"],
        ),
        (
            "window = 64",
            "colour = \"red\"",
            12,
            &["uplink.centre.colour: unknown key", "one of kind, url", "take the line out"],
        ),
        (
            "signal = \"vibration\"",
            "",
            16,
            &["source.pump.signal: missing", "the name of the signal", "add signal = "],
        ),
        (
            "device = \"topic:1\"",
            "device = \"topic:1\"\nprecision = \"ns\"",
            20,
            &["source.pump.precision: \"ns\"", "only where codec is \"line\"", "take the line out"],
        ),
    ]);
}

#[test]
fn values_of_another_kind() {
    check(&[
        (
            "above = 7.1",
            "above = \"7.1\"",
            35,
            &["judge.high.above: \"7.1\"", "a finite number", "take off the quotes: write above = 7.1"],
        ),
        (
            "above = 7.1",
            "above = \"7,1\"",
            35,
            &["above: \"7,1\"", "decimals take a point", "write above = 7.1"],
        ),
        (
            "above = 7.1",
            "above = \"7.1 mm/s\"",
            35,
            &["above: \"7.1 mm/s\"", "without quotes and unit", "write above = 7.1"],
        ),
        ("above = 7.1", "above = inf", 35, &["above: inf", "a finite number"]),
        (
            "window = 64",
            "window = 64.0",
            12,
            &["window: 64.0", "a whole number from 1 to 1000", "write window = 64"],
        ),
        (
            "window = 64",
            "window = 0",
            12,
            &["window: 0", "from 1 to 1000", "take the line out for the default, 64"],
        ),
        (
            "window = 64",
            "window = 99999999999999999999",
            12,
            &["window: 1e20", "a whole number from 1 to 1000"],
        ),
        (
            "retain = true",
            "retain = \"true\"",
            13,
            &["retain: \"true\"", "true or false", "take off the quotes: write retain = true"],
        ),
        (
            "retain = true",
            "retain = \"yes\"",
            13,
            &["retain: \"yes\"", "true or false", "write retain = true"],
        ),
        ("retain = true", "retain = 1", 13, &["retain: 1", "true or false", "write retain = true"]),
        (
            "\"30s\"",
            "30",
            11,
            &["keep_alive: 30", "a duration", "a duration has a unit: write keep_alive = \"30s\""],
        ),
        (
            "\"30s\"",
            "\"30 Sekunden\"",
            11,
            &["keep_alive: \"30 Sekunden\"", "such as \"250ms\"", "write keep_alive = \"30s\""],
        ),
        ("\"30s\"", "\"00:00:30\"", 11, &["keep_alive: \"00:00:30\"", "write keep_alive = \"30s\""]),
        ("\"30s\"", "\"1s\"", 11, &["keep_alive: \"1s\"", "a duration from 5s to", "the default, \"30s\""]),
        (
            "window = 64",
            "max_packet = \"64 kilobytes\"",
            12,
            &["max_packet: \"64 kilobytes\"", "\"64 KiB\"", "write max_packet = \"64 KB\""],
        ),
        (
            "window = 64",
            "max_packet = 65536",
            12,
            &["max_packet: 65536", "a size has a unit: write max_packet = \"64 KiB\""],
        ),
        ("\"g1\"", "7", 2, &["gateway.id: 7", "a name of letters", "put it in quotes: write id = \"7\""]),
        (
            "\"g1\"",
            "\"hall 1\"",
            2,
            &["gateway.id: \"hall 1\"", "a name of letters", "write id = \"hall-1\""],
        ),
        (
            r#"["pump", "climate"]"#,
            "\"pump\"",
            39,
            &["inputs: \"pump\"", "a list of", "in brackets: write inputs = [\"pump\"]"],
        ),
        (
            r#"["pump", "climate"]"#,
            "[]",
            39,
            &["judge.odd.inputs: []", "a list of sources", "write for example inputs"],
        ),
        (
            "\"plant/+/vibration\"",
            "[\"plant/+/vibration\"]",
            17,
            &["topic: [", "MQTT topic filter", "take off the brackets"],
        ),
    ]);
}

#[test]
fn words_that_there_are_not() {
    check(&[
        (
            "above = 7.1",
            "above = 7.1\nseverity = error",
            36,
            &["severity = error", "in quotes", "severity = \"critical\""],
        ),
        (
            "\"threshold\"",
            "\"treshold\"",
            34,
            &["judge.high.detector: \"treshold\"", "\"auto\", ", "write detector = \"threshold\""],
        ),
        (
            "\"threshold\"",
            "\"limit\"",
            34,
            &["judge.high.detector: \"limit\"", "write detector = \"threshold\""],
        ),
        ("\"number\"", "\"Number\"", 18, &["source.pump.codec: \"Number\"", "write codec = \"number\""]),
        ("\"json\"", "\"xml\"", 24, &["source.climate.codec: \"xml\"", "\"number\", \"json\"", "write"]),
        ("\"unix_ms\"", "\"milliseconds\"", 26, &["time.format: \"milliseconds\"", "\"unix_ms\""]),
        (
            "\"telemetry\"]",
            "\"telemetri\"]",
            14,
            &["lanes: [", "\"telemetri\"", "write lanes = [\"alarm\", \"verdict\", \"telemetry\"]"],
        ),
    ]);
}

#[test]
fn values_that_do_not_fit() {
    check(&[
        (
            "clear_below = 6.5",
            "clear_below = 7.5",
            36,
            &[
                "judge.high.clear_below: 7.5",
                "clear_below (7.5) must not exceed above (7.1)",
                "write clear_below = 7.1 or less",
            ],
        ),
        (
            "above = 7.1\n",
            "",
            35,
            &["judge.high.clear_below: alone", "clear_below needs above", "add above ="],
        ),
        (
            "above = 7.1\nclear_below = 6.5",
            "",
            32,
            &["judge.high.above: missing", "at least one limit", "add above ="],
        ),
        (
            "\"1/week\"",
            "\"once a week\"",
            40,
            &["alarm_budget: \"once a week\"", "such as \"1/week\"", "alarm_budget = \"1/week\""],
        ),
        (
            "\"plant/+/vibration\"",
            "\"plant/#/vibration\"",
            17,
            &["topic: \"plant/#/vibration\"", "last level", "\"plant/+/vibration\""],
        ),
        (
            "\"topic:1\"",
            "\"topic:7\"",
            19,
            &["source.pump.device: \"topic:7\"", "a level from 0 to 2", "write \"topic:1\""],
        ),
        (
            "pointer = \"/t\"",
            "pointer = \"t\"",
            29,
            &["reading[0].pointer: \"t\"", "starts with \"/\"", "write \"/t\""],
        ),
        (
            r#"["pump", "climate"]"#,
            "[\n  \"pump\",\n  \"climat\"\n]",
            41,
            &["inputs: \"climat\"", "[source.NAME]", "write \"climate\""],
        ),
    ]);
}

/// What a file holds altogether.
#[test]
fn files_of_another_kind() {
    let check = |bytes: &[u8], line: usize, parts: &[&str]| {
        is_one_fault(&faults_of(bytes, &[]), &String::from_utf8_lossy(bytes), line, parts).unwrap();
    };
    check(
        b"{\n  \"gateway\": { \"id\": \"g1\" }\n}\n",
        1,
        &["the file is JSON", "expected TOML", "configs/gateway.toml"],
    );
    check(
        b"# yaml\ngateway:\n  id: g1\nlocal:\n  url: mqtt://localhost\n",
        2,
        &["the file is YAML", "4 lines", "expected TOML"],
    );
    check(b"<gateway/>", 1, &["the file is XML", "expected TOML"]);
    check(
        b"-----BEGIN CERTIFICATE-----\nAA==\n",
        1,
        &["a certificate or a key", "expected a TOML file", "-c"],
    );
    check(b"PK\x03\x04\0\0\0\0", 1, &["zero bytes", "expected a TOML file"]);
    let wide: Vec<u8> =
        [0xfeff].into_iter().chain(GOOD.encode_utf16()).flat_map(|unit: u16| unit.to_le_bytes()).collect();
    check(&wide, 1, &["the file is UTF-16", "expected UTF-8 text", "save it as UTF-8"]);
    let latin: Vec<u8> =
        GOOD.replace("id = \"g1\"", "id = \"g1\"\n# K\u{f6}ln").chars().map(|letter| letter as u8).collect();
    check(&latin, 3, &["0xf6", "ö", "expected UTF-8 text", "save it as UTF-8"]);
}

#[test]
fn several_at_once_are_as_many() {
    let check = |text: &str, expected: &[(usize, &str)]| {
        let faults = faults_of(text, &[]);
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, (line, part)) in faults.iter().zip(expected) {
            assert!(
                fault.starts_with(&format!("gateway.toml line {line}: ")) && fault.contains(part),
                "{part}: {fault}"
            );
        }
    };
    let with = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(GOOD.to_owned(), |text, (cut, put)| {
            assert!(text.contains(cut), "{cut}");
            text.replacen(cut, put, 1)
        })
    };
    // In a file of Windows.
    let of_windows =
        with(&[("above = 7.1", "above = 7,1"), ("window = 64", "window = 0")]).replace('\n', "\r\n");
    check(&of_windows, &[(12, "a whole number"), (35, "write above = 7.1")]);
    // In the order of lines, whoever finds them.
    check(
        &with(&[
            ("\"1/week\"", "\"often\""),
            ("above = 7.1", "above = 7,1"),
            ("clear_below = 6.5", "clear_below = 7.5"),
            ("window = 64", "windw = 0"),
            ("\"plant/+/vibration\"", "\"plant/#/x\""),
            ("id = \"g1\"", "id = g1"),
        ]),
        &[
            (2, "text stands in quotes"),
            (12, "unknown key"),
            (12, "a whole number from 1 to 1000"),
            (17, "MQTT topic filter"),
            (35, "decimals take a point"),
            (36, "clear_below (7.5) must not exceed above (7.1)"),
            (40, "alarm_budget"),
        ],
    );
    // Behind a codec that there is not.
    check(
        &with(&[
            ("\"json\"", "\"jason\""),
            ("\"pointer:/dev\"", "\"pointer:dev\""),
            ("\"/ts\"", "\"ts\""),
            ("pointer = \"/t\"", "pointer = \"t\""),
            ("unit = \"Cel\"", "unit = 7"),
        ]),
        &[
            (24, "write codec = \"json\""),
            (25, "JSON pointer"),
            (26, "time.pointer"),
            (29, "reading[0].pointer"),
            (30, "reading[0].unit"),
        ],
    );
    check(
        &with(&[
            ("\"json\"", "\"sparkplug\""),
            ("\"/ts\"", "\"ts\""),
            ("pointer = \"/t\"", "pointer = \"t\""),
        ]),
        &[(24, "codec"), (26, "time.pointer"), (29, "reading[0].pointer")],
    );
    // Behind a detector that there is not.
    check(
        &with(&[
            ("\"threshold\"", "\"treshold\""),
            ("pump:vib*", "pomp"),
            ("clear_below = 6.5", "clear_below = 8"),
        ]),
        &[(33, "write \"pump\""), (34, "detector = \"threshold\""), (36, "must not exceed")],
    );
    // On both sides, each by itself.
    check(
        &with(&[("clear_below = 6.5", "clear_below = 8\nbelow = 2\nclear_above = 1")]),
        &[
            (36, "clear_below (8) must not exceed above (7.1)"),
            (38, "clear_above (1) must not be less than below (2)"),
        ],
    );
    // Behind an address that is none.
    check(
        &with(&[
            ("mqtts://centre.example", "centre.example"),
            ("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncert = \"c.pem\""),
        ]),
        &[(8, "uplink.centre.key: missing"), (9, "must begin with mqtt")],
    );
    // A judge whose input there is not.
    check(
        &with(&[(r#"["pump", "climate"]"#, r#"["pumpe", "klima"]"#), ("\"1/week\"", "\"1\"")]),
        &[(39, "pumpe"), (39, "klima"), (40, "alarm_budget")],
    );
    // Of a section that stands twice.
    check(
        &format!("{GOOD}\n[judge.high]\ninputs = [\"nothing\"]\nseverity = \"red\"\n"),
        &[(42, "stands twice (lines 32 and 42)"), (43, "judge.high.inputs: \"nothing\""), (44, "severity")],
    );
}

#[test]
fn variables_are_named_instead_of_the_file() {
    let check = |name: &str, value: &str, parts: &[&str]| {
        let faults = faults_of(GOOD, &[(name, value)]);
        let [fault] = &faults[..] else { panic!("{name}: {faults:#?}") };
        assert!(fault.starts_with(&format!("{name}: ")) && !fault.contains(" line "), "{fault}");
        for part in parts {
            assert!(fault.contains(part), "{part}: {fault}");
        }
    };
    check(
        "VERGE__UPLINK__CENTRE__WINDOW",
        "many",
        &["uplink.centre.window: \"many\"", "a whole number from 1 to 1000"],
    );
    check("VERGE__JUDGE__HIGH__ABOVE", "7,1", &["judge.high.above", "set VERGE__JUDGE__HIGH__ABOVE=7.1"]);
    // Found by the checks behind the walk.
    check("VERGE__JUDGE__HIGH__CLEAR_BELOW", "7.5", &["clear_below (7.5) must not exceed above (7.1)"]);
    check("VERGE__SOURCE__PUMP__TOPIC", "plant/#/x", &["source.pump.topic", "last level"]);
    check(
        "VERGE__GATEWAY__STORE_CP",
        "1 GiB",
        &["unknown key", "store_cap perhaps", "VERGE__GATEWAY__STORE_CAP"],
    );
    check("VERGE__UPLNK__CENTRE__URL", "mqtts://x", &["uplnk: unknown section", "uplink perhaps"]);
    check("VERGE__UPLINK__CENTER__WINDOW", "7", &["uplink.center.url: missing"]);
    check(
        "VERGE_UPLINK_CENTRE_URL",
        "mqtts://x",
        &["not the name of a setting", "VERGE__UPLINK__CENTRE__URL perhaps"],
    );
    check("VERGE_GATWAY_ID", "x", &["not the name of a setting", "VERGE__GATEWAY__ID perhaps"]);
    check("VERGE_COLOUR", "x", &["not the name of a setting", "out of the environment"]);
    let fine = [
        ("VERGE_LOG", "debug"),
        ("VERGE_DATA", "/data"),
        ("VERGE", "x"),
        ("VERGEL", "x"),
        ("VERGE_SERVICE_HOST", "10.0.0.1"),
        ("VERGE_BROKER_PORT_1883_TCP_ADDR", "10.0.0.1"),
        ("VERGE_SERVICE_PORT_MQTT", "1883"),
        ("VERGE_PORT", "tcp://10.0.0.1:1883"),
    ];
    assert_eq!(faults_of(GOOD, &fine), [] as [&str; 0]);
}

#[test]
fn no_secret_is_repeated() {
    for line in [
        "password = \"canary",
        "password = canary",
        "password: canary",
        "password canary",
        "\"password\" = canary,",
        "url = mqtts://verge:canary@host",
        "store_key = canary",
    ] {
        let faults = faults_of(GOOD.replace("[local]\n", &format!("[local]\n{line}\n")), &[]).join("\n");
        assert!(!faults.contains("canary") && faults.contains("line 6"), "{line}: {faults}");
    }
}
