//! What is no TOML.

use super::check;

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
