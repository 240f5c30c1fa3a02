use std::path::Path;

use super::*;

const GOOD: &str = r#"
    [gateway]
    id = "g"
    [local]
    url = "mqtt://localhost"
    [uplink.centre]
    url = "mqtts://c.example"
    [source.PumpA]
    topic = "a/+"
    codec = "number"
    device = "topic:1"
    signal = "x"
    [judge.High]
    inputs = ["PumpA"]
    detector = "threshold"
    above = 1
"#;

fn load_text(text: &str, variables: &[(&str, &str)]) -> Loaded {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    parse(text, Path::new("/etc/verge/gateway.toml"), variables)
}

/// Faults of the good file with `cut` replaced by `put`, without what to do.
fn check(cut: &str, put: &str, expected: &[&str]) {
    assert!(GOOD.contains(cut), "{cut}");
    assert_eq!(without_remedies(&load_text(&GOOD.replace(cut, put), &[])), expected, "{put}");
}

fn centre(raw: &Raw) -> &RawMqtt {
    let Some(RawUplinkKind::Mqtt(mqtt)) = &raw.sections.uplink["centre"].kind else { panic!("no uplink") };
    mqtt
}

fn without_remedies(loaded: &Loaded) -> Vec<String> {
    loaded
        .faults
        .iter()
        .map(|fault| {
            assert!(!fault.remedy.is_empty(), "{fault}");
            let fault = fault.to_string();
            fault.rsplit_once("; ").map_or(fault.clone(), |(said, _)| said.to_owned())
        })
        .collect()
}

#[test]
fn names_keep_their_case() {
    let loaded = load_text(GOOD, &[("VERGE__SOURCE__PUMPA__SIGNAL", "y")]);
    assert_eq!(loaded.faults, []);
    let source = &loaded.raw.sections.source["PumpA"];
    assert_eq!(loaded.raw.sections.source.len(), 1);
    assert_eq!(source.codec.as_ref().and_then(RawCodec::signal), Some("y"));
    assert!(loaded.raw.sections.judge.contains_key("High"));
}

#[test]
fn sections_keep_their_order() {
    let mut text = GOOD.to_owned();
    for name in ["z", "a", "m"] {
        text.push_str(&format!("[uplink.{name}]\nurl = \"mqtts://x\"\n"));
    }
    let loaded = load_text(&text, &[]);
    let names: Vec<&String> = loaded.raw.sections.uplink.keys().collect();
    assert_eq!(names, ["centre", "z", "a", "m"]);
}

#[test]
fn what_is_left_out_is_filled_in() {
    let raw = load_text(GOOD, &[]).raw;
    let uplink = centre(&raw);
    assert_eq!(uplink.window, 64);
    assert_eq!(uplink.lanes.len(), 3);
    assert_eq!(uplink.batch.max_verdicts, 20);
    assert_eq!(raw.sections.gateway.store_cap, Size(2 << 30));
    let local = &raw.sections.local;
    let Some(RawMode::External(broker)) = &local.mode else { panic!("the site has a broker") };
    assert!(broker.client_id.is_none());
    assert_eq!(local.transport.max_packet, Size(64 << 10));
}

#[test]
fn every_kind_of_value_can_come_from_the_environment() {
    let loaded = load_text(
        GOOD,
        &[
            ("VERGE__UPLINK__CENTRE__WINDOW", "8"),
            ("VERGE__UPLINK__CENTRE__LANES", "alarm, verdict"),
            ("VERGE__UPLINK__CENTRE__INSECURE_PLAINTEXT", "true"),
            ("VERGE__UPLINK__CENTRE__BATCH__VERDICT_WAIT", "1s"),
            ("VERGE__JUDGE__HIGH__ABOVE", "2.5"),
            ("VERGE__LOCAL__PASSWORD", "swan"),
        ],
    );
    assert_eq!(loaded.faults, []);
    let sections = &loaded.raw.sections;
    let uplink = centre(&loaded.raw);
    assert_eq!((uplink.window, uplink.lanes.len(), uplink.insecure_plaintext), (8, 2, true));
    let Some(RawDetector::Threshold(high)) = &sections.judge["High"].detector else { panic!("no threshold") };
    assert_eq!(high.above, Some(2.5));
    let Some(RawMode::External(broker)) = &sections.local.mode else { panic!("the site has a broker") };
    assert_eq!(broker.password.as_ref().map(|secret| secret.0.as_str()), Some("swan"));
    assert!(!format!("{:?}", loaded.raw).contains("swan"));
}

#[test]
fn a_wrong_variable_is_named() {
    let loaded = load_text(GOOD, &[("VERGE__UPLINK__CENTRE__WINDOW", "many"), ("VERGE__GATEWAY__NAME", "x")]);
    assert_eq!(
        without_remedies(&loaded),
        [
            "VERGE__GATEWAY__NAME: gateway.name: unknown key, expected one of id, site, timezone, state_dir, store_cap, replay_age, replay_bytes, states_cap, when_full, ballast, judging_threads, judges_memory, group_within, flood, verdict_life, telemetry_life, summary_interval, snapshots, renew_at, renew_ca, store_key, store_key_file, store_key_credential",
            r#"VERGE__UPLINK__CENTRE__WINDOW: uplink.centre.window: "many", expected a whole number from 1 to 1000"#,
        ]
    );
}

#[test]
fn each_fault_is_reported_with_key_value_and_expectation() {
    check(
        r#"id = "g""#,
        "",
        &[
            r#"gateway.id: missing, expected a name of letters, digits, "-", "_" and ".", at most 64 bytes long"#,
        ],
    );
    check(
        r#"id = "g""#,
        "id = \"g\"\nstore_cp = \"1 GiB\"",
        &["gateway.store_cp: unknown key, expected store_cap perhaps"],
    );
    check(
        r#"id = "g""#,
        "id = \"g\"\nstore_cap = \"2 parsecs\"",
        &[
            r#"gateway.store_cap: "2 parsecs", expected a size from 16.0 MiB to 1.0 TiB, such as "64 KiB" or "2 GiB""#,
        ],
    );
    check(
        r#"id = "g""#,
        "id = 7",
        &[r#"gateway.id: 7, expected a name of letters, digits, "-", "_" and ".", at most 64 bytes long"#],
    );
    check(
        r#"codec = "number""#,
        r#"codec = "xml""#,
        &[
            r#"source.PumpA.codec: "xml", expected "number", "json", "senml", "line", "sparkplug", "samples_f32", "samples_i16", "jpeg", "jpeg_b64" or "json_image""#,
        ],
    );
    check(
        r#"signal = "x""#,
        "signal = \"x\"\nprecision = \"ns\"",
        &[r#"source.PumpA.precision: "ns", expected only where codec is "line""#],
    );
    check("above = 1", "above = nan", &["judge.High.above: nan, expected a finite number"]);
    check("above = 1", "above = \"1\"", &[r#"judge.High.above: "1", expected a finite number"#]);
    check(
        r#"inputs = ["PumpA"]"#,
        "inputs = []",
        &[
            r#"judge.High.inputs: [], expected a list of sources, or "source:signal" with "*" for any part of a signal's name"#,
        ],
    );
    check("[judge.High]", "[judges.High]", &["judges: unknown section, expected judge perhaps"]);
    check(
        r#"url = "mqtt://localhost""#,
        "url = \"mqtt://localhost\"\npassword = \"canary\"",
        &[
            "local.password: a password (not shown), expected no secret in this file: put it into a file of its own and \
             name that with password_file or store_key_file, or set it in the environment, such as VERGE__…__PASSWORD",
        ],
    );
    check(
        "[judge.High]",
        "[judge.\"a b\"]",
        &[
            r#"judge."a b": not a name, expected a name of letters, digits, "-", "_" and ".", at most 64 bytes long"#,
        ],
    );
    check(
        "[gateway]\n",
        "gateway = 5\n[other]\n",
        &[
            "other: unknown section, expected one of gateway, local, uplink, route, engine, models, model, source, judge, server, dashboard",
            "gateway: 5, expected a section [gateway]",
            r#"gateway.id: missing, expected a name of letters, digits, "-", "_" and ".", at most 64 bytes long"#,
        ],
    );
}

#[test]
fn all_faults_come_at_once() {
    let faults = load_text("", &[]).faults;
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["gateway.id", "local.url", "source", "judge"]);
}

#[test]
fn a_file_that_cannot_be_taken_up_is_a_fault_that_names_it_once() {
    let shown = super::load(Path::new("no/such.toml"), []).expect_err("no file").to_fault().to_string();
    assert_eq!(
        shown,
        "no/such.toml: there is no such file, expected a TOML file; name the configuration with -c FILE"
    );
    let shown = super::load(Path::new("/"), []).expect_err("a folder").to_fault().to_string();
    assert!(shown.starts_with("/: a folder, expected a TOML file; "), "{shown}");
}

#[test]
fn every_word_and_variant_is_taken_up_by_the_structures() {
    // Taking the structures is the check: it must not panic, whatever else is missing.
    for section in raw::SECTIONS {
        let place = if section.named { format!("[{}.n]", section.name) } else { section.header() };
        let deciding = section.keys.deciding().map_or("", |key| key.name);
        let words = section.keys.variants.iter().map(|(word, _)| format!("{deciding} = {word:?}\n"));
        for head in words.chain([String::new()]) {
            load_text(&format!("{place}\n{head}"), &[]);
            for key in section.keys.in_force(None).iter().filter(|key| key.name != deciding) {
                let key::ValueKind::Choice(words) = key.kind else { continue };
                for word in words {
                    load_text(&format!("{place}\n{head}{} = {word:?}\n", key.name), &[]);
                }
            }
        }
    }
}

#[test]
fn a_route_that_is_not_written_has_the_declared_defaults() {
    let Some(RawRouteMode::Failover(failover)) = RawRoute::default().mode else { panic!("no fail-over") };
    assert_eq!(failover.return_after, Span(std::time::Duration::from_secs(30)));
}

#[test]
fn faults_of_values_point_to_the_values() {
    let text = GOOD.replace("signal = \"x\"", "signal = \"x\"\nwords = { A = 1, B = \"b\" }\nscale = true");
    let loaded = load_text(&text.replace("[\"PumpA\"]", "[\"PumpA\", 7]"), &[]);
    let mut faults: Vec<Fault> =
        loaded.faults.iter().map(|fault| loaded.origins.locate(fault.clone())).collect();
    Origins::sort(&mut faults);
    let places = faults.iter().map(|fault| fault.place.as_ref().map(|place| (place.line, place.column)));
    let at = |line, column| Some((Some(line), Some(column)));
    assert_eq!(places.collect::<Vec<_>>(), [at(13, 9), at(14, 9), at(16, 14)], "{faults:#?}");
}
