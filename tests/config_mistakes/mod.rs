//! Mistakes that people make in a configuration. Each is one fault, which says the file, the line, the section and
//! key, what stands there, what was expected and what to do; and several at once are as many.

mod syntax;
mod values;

use std::ffi::OsString;
use std::fs;

use verge_gateway::settings::{ConfigurationError, Settings};

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
        Err(ConfigurationError::Faults { faults, .. }) => {
            faults.iter().map(|fault| fault.to_string().replace(&folder, "")).collect()
        }
        Err(ConfigurationError::Load(error)) => vec![error.to_fault().to_string().replace(&folder, "")],
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

/// What a fault says behind its place. A column stands there where the line alone does not say which value is meant.
fn behind_line(fault: &str, line: usize) -> Option<&str> {
    let rest = fault.strip_prefix(&format!("gateway.toml line {line}"))?;
    let (column, rest) = rest.split_once(": ")?;
    let column = column.strip_prefix(" column ").unwrap_or(column);
    column.bytes().all(|digit| digit.is_ascii_digit()).then_some(rest)
}

fn is_one_fault(faults: &[String], case: &str, line: usize, parts: &[&str]) -> Result<(), String> {
    let [fault] = faults else { return Err(format!("{case}: {faults:#?}")) };
    let mut rest = behind_line(fault, line).ok_or_else(|| format!("{case}: no line {line}: {fault}"))?;
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
fn the_word_that_decides_is_understood_under_another_name() {
    check(&[
        (
            "detector = \"threshold\"",
            "detecter = \"threshold\"",
            34,
            &["judge.high.detecter: unknown key", "detector perhaps", "write detector = \"threshold\""],
        ),
        (
            "codec = \"number\"",
            "decoder = \"number\"",
            18,
            &["source.pump.decoder: unknown key", "codec perhaps", "write codec = \"number\""],
        ),
    ]);
}

#[test]
fn a_column_says_which_value_of_a_line_is_meant() {
    let check = |cut: &str, put: &str, place: &str| {
        let faults = faults_of(GOOD.replacen(cut, put, 1), &[]);
        assert_eq!(faults.len(), 1, "{put}: {faults:#?}");
        assert!(faults[0].starts_with(&format!("gateway.toml {place}: ")), "{put}: {}", faults[0]);
    };
    check("\"pump\", \"climate\"", "\"pump\", \"klima\"", "line 39 column 19");
    check("\"unix_ms\"", "\"milliseconds\"", "line 26 column 36");
    check("\"unix_ms\"", "\"unix_ms\", zone = \"Europe/Berlin\"", "line 26 column 54");
    check("above = 7.1", "above = true", "line 35");
}

#[test]
fn several_at_once_are_as_many() {
    let check = |text: &str, expected: &[(usize, &str)]| {
        let faults = faults_of(text, &[]);
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, (line, part)) in faults.iter().zip(expected) {
            assert!(behind_line(fault, *line).is_some_and(|rest| rest.contains(part)), "{part}: {fault}");
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
        &with(&[("\"json\"", "\"modbus\""), ("\"/ts\"", "\"ts\""), ("pointer = \"/t\"", "pointer = \"t\"")]),
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
