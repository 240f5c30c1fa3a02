//! Keys and values that do not fit.

use super::{GOOD, check, faults_of};

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

/// Found by a trial: the remedy was none, or led into the next fault.
#[test]
fn remedies_lead_to_a_good_file() {
    check(&[
        (
            r#""mqtt://localhost:1883""#,
            r#""localhost:1883""#,
            6,
            &[r#"write for example "mqtt://localhost:1883""#],
        ),
        (
            r#""mqtt://localhost:1883""#,
            r#""tcp://localhost""#,
            6,
            &[r#"write for example "mqtt://localhost""#],
        ),
        (
            r#"["pump", "climate"]"#,
            r#"["pump, climate"]"#,
            39,
            &[r#""pump, climate""#, r#"write each in quotes of its own: "pump", "climate""#],
        ),
        (r#"["pump:vib*"]"#, r#"["pump/vibration"]"#, 33, &[r#"write "pump:vibration""#]),
        (
            r#"time = { pointer = "/ts", format = "unix_ms" }"#,
            r#"time = "/ts""#,
            26,
            &[r#""/ts", expected a table"#, r#"write time = { pointer = "/ts", format = "auto" }"#],
        ),
        (
            "signal = \"vibration\"",
            "signal = \"vibration\"\nwords = { RUN = \"1\" }",
            21,
            &["take off the quotes: write RUN = 1"],
        ),
        (
            r#"device = "topic:1""#,
            r#"device = "{topc:1}""#,
            19,
            &["expected a name out of the parts {topic:1} and {topic:1..}", r#"write "{topic:1}""#],
        ),
        (r#"device = "topic:1""#, r#"device = "topc:1""#, 19, &[r#"write "topic:1""#]),
        (
            "pointer = \"/t\"",
            "pointer = \"/t\"\nsignal = \"{*2}\"",
            30,
            &[r#"reading[0].signal: "{*2}", expected at most as many "*" as its pointer has, "/t""#],
        ),
        (
            "signal = \"vibration\"",
            "signal = \"vibration\"\nscale = 0",
            21,
            &["source.pump.scale: 0, expected a finite number other than 0"],
        ),
        (r#"keep_alive = "30s""#, r#"keep_alive = "30 days""#, 11, &["expected a duration from"]),
    ]);
    let faults = faults_of(GOOD, &[("VERGE__SOURCE__CLIMATE__READING__POINTER", "/x")]);
    let [fault] = &faults[..] else { panic!("{faults:#?}") };
    assert!(
        fault.starts_with("VERGE__SOURCE__CLIMATE__READING__POINTER: source.climate.reading: "),
        "{fault}"
    );
    assert!(fault.ends_with("in the file alone; take it out of the environment"), "{fault}");
}
