//! The commands, alone: what they print, and how they end.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::program::verge;

const CONFIGURATION: &str = r#"
[gateway]
id = "trial"
state_dir = "state"
timezone = "Europe/Berlin"

[local]
url = "mqtt://localhost:1883"

[uplink.centre]
url = "mqtts://localhost:8883"
ca = "certs/ca.pem"

[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"
unit = "mm/s"

[source.loops]
topic = "road/+"
codec = "json"
device = "topic:1"

[[source.loops.reading]]
pointer = "/count"

[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
clear_below = 6.5

[judge.quiet]
inputs = ["pump"]
detector = "silence"
after = "30s"

[judge.flow]
inputs = ["loops"]
detector = "loop"
interval = "10s"
pulses = "count"
max_gap = "5s"
"#;

/// A folder with a configuration and these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().chain(&[("gateway.toml", CONFIGURATION)]) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// `time topic payload` a line, as a recording.
fn recording(lines: &[(&str, &str, &str)]) -> String {
    let line = |(time, topic, payload): &(&str, &str, &str)| {
        let value = json!({ "tst": format!("2026-01-02T03:{time}Z"), "topic": topic, "payload": payload });
        format!("{value}\n")
    };
    lines.iter().map(line).collect()
}

/// `state member observed` of each verdict.
fn reported(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let ended = verge(folder, &[&["judge", "-c", "gateway.toml"], arguments].concat()).expect(0);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let lines = ended.json();
    lines
        .iter()
        .map(|verdict| {
            assert_eq!(verdict["gateway"], "trial");
            let body = &verdict[verdict["kind"].as_str().unwrap()];
            let member = if body["member"].is_null() { &body["cause"] } else { &body["member"] };
            let observed = if body["observed"].is_null() { &body["vehicles"] } else { &body["observed"] };
            let device = text(&verdict["device"]);
            format!("{device} {} {} {observed}", text(&verdict["event"]["state"]), text(member))
        })
        .collect()
}

#[test]
fn judge_says_of_a_recording_what_the_gateway_would_have_said() {
    let day = recording(&[
        ("04:00.000", "plant/pump-1/vibration", "7.0"),
        ("04:01.000", "plant/pump-1/vibration", "8.0"),
        ("04:01.500", "plant/pump-2/vibration", "9"),
        ("04:02.000", "plant/pump-1/vibration", "7.0"),
        ("04:02.000", "elsewhere", "7.0"),
        ("04:03.000", "plant/pump-1/vibration", "broken"),
        ("04:04.000", "plant/pump-1/vibration", "6.0"),
        ("05:30.000", "plant/pump-1/vibration", "6.0"),
        ("06:00.000", "road/loop-1", "{\"count\":2}"),
        ("06:03.000", "road/loop-1", "{\"count\":1}"),
        ("06:11.000", "road/loop-1", "{\"count\":0}"),
    ]);
    let folder = folder(&[("day.jsonl", &day)]);
    let high = ["pump-1 raised high 8.0", "pump-2 raised high 9.0", "pump-1 cleared high 6.0"];
    assert_eq!(reported(folder.path(), &["high", "day.jsonl"]), high);
    let quiet = reported(folder.path(), &["quiet", "day.jsonl"]);
    let states: Vec<&str> =
        quiet.iter().filter_map(|line| line.rsplit_once(' ')).map(|(state, _)| state).collect();
    assert_eq!(
        states,
        ["pump-2 raised silent", "pump-1 raised silent", "pump-1 cleared silent", "pump-1 raised silent"],
        "reported when it happens, not with the next message"
    );
    assert_eq!(reported(folder.path(), &["flow", "day.jsonl"]), ["loop-1 - - 3"]);

    let summary =
        verge(folder.path(), &["judge", "-c", "gateway.toml", "high", "day.jsonl"]).expect(0).stderr;
    let expected =
        "day.jsonl: 11 messages, 9 readings, 3 verdicts; 1 on topics that no source takes; 1 refused:";
    assert!(summary.contains(expected), "{summary}");
}

#[test]
fn judge_takes_tables() {
    let series =
        "timestamp,value,other\n2014-04-01 00:00:00,1,9\n2014-04-01 00:05:00,2,9\n2014-04-01 00:10:00,8,9\n";
    let folder = folder(&[("pump-7.csv", series)]);
    assert_eq!(reported(folder.path(), &["high", "pump-7.csv"]), ["pump-7 raised high 8.0"]);
    let words =
        verge(folder.path(), &["judge", "-c", "gateway.toml", "high", "pump-7.csv", "--words"]).expect(0);
    assert_eq!(
        words.stdout,
        "2014-04-01 02:10:00.000 CEST  pump-7 vibration: high, 8 mm/s (expected at most 7.1 mm/s)\n"
    );
    let other = ["high", "pump-7.csv", "--device", "x", "--value-column", "other"];
    assert_eq!(reported(folder.path(), &other), ["x raised high 9.0", "x updated high 9.0"]);
}

#[test]
fn tables_are_read_as_the_source_would_be() {
    let more = r#"
[source.raw]
topic = "raw/+/+"
codec = "number"
device = "topic:1"
signal = "topic:2"
unit = "bar"
scale = 0.1
offset = 1.0

[judge.pressure]
inputs = ["raw:press*"]
detector = "threshold"
above = 5

[judge.any]
inputs = ["raw"]
detector = "threshold"
above = 5

[judge.together]
inputs = ["raw"]
detector = "multi"
"#;
    // As spreadsheets write them: semicolons, milliseconds, a gap, a word.
    let wide =
        "level;time;pressure;note\n10;1760000000000;20;a\n;1760000060000;50;b\n60;1760000120000;ON;c\n";
    let narrow = "time,flow\n1760000000,1\n";
    let folder = folder(&[
        ("wide.csv", wide),
        ("narrow.csv", narrow),
        ("more.toml", &format!("{CONFIGURATION}{more}")),
    ]);
    let judge =
        |arguments: &[&str]| verge(folder.path(), &[&["judge", "-c", "more.toml"], arguments].concat());
    let ended = judge(&["pressure", "wide.csv"]).expect(0);
    let reported = ended.json();
    let [said, cleared] = &reported[..] else { panic!("{}", ended.stdout) };
    assert_eq!(cleared["anomaly"]["observed"], 1.1, "the word ON is one");
    assert_eq!((&said["signal"], &said["device"]), (&"pressure".into(), &"wide".into()));
    assert_eq!((&said["anomaly"]["observed"], &said["anomaly"]["unit"]), (&6.0.into(), &"bar".into()));
    assert_eq!(said["received"], "2025-10-09T08:54:20.000Z");
    assert!(ended.stderr.contains("judged: `pressure`; time: `time`"), "{}", ended.stderr);
    // With the two of `level`, which has few values: it may be a contact that explains events.
    assert!(ended.stderr.contains("5 readings"), "{}", ended.stderr);
    let signals: Vec<serde_json::Value> =
        judge(&["any", "wide.csv"]).expect(0).json().iter().map(|said| said["signal"].clone()).collect();
    assert_eq!(signals, ["pressure", "level", "pressure"], "all columns of numbers, in the order of time");
    let alone = judge(&["together", "narrow.csv"]).expect(65);
    assert!(alone.stderr.contains("the judge together needs several signals"), "{}", alone.stderr);
    assert!(judge(&["together", "wide.csv"]).expect(0).stderr.contains("5 readings"));
}

#[test]
fn tables_in_any_order_and_form_are_judged_in_the_order_of_time() {
    let more = r#"
[source.raw]
topic = "raw/+/+"
codec = "number"
device = "topic:1"
signal = "topic:2"

[judge.any]
inputs = ["raw"]
detector = "threshold"
above = 5

[judge.a]
inputs = ["raw:A*"]
detector = "threshold"
above = 5
"#;
    let rows = ["2026-03-01T00:00:00Z,1", "2026-03-01T00:01:00Z,7", "2026-03-01T00:02:00Z,1"];
    let newest: String = rows.iter().rev().map(|row| format!("{row}\n")).collect();
    let long = "time,tag,value\n60,A/x,7\n60,B,1\n120,A/x,8\n120,B,2\n180,A/x,1\n180,B,9\n";
    let folder = folder(&[
        ("newest.csv", &format!("time,value\n{newest}")),
        ("mixed.csv", &format!("time,value\n{}\n{}\n{}\n", rows[0], rows[2], rows[1])),
        ("excel.csv", "time,value\n45987.5,1\n45987.50069444,7\n45987.50138889,1\n"),
        ("long.csv", long),
        ("more.toml", &format!("{CONFIGURATION}{more}")),
    ]);
    let judge = |arguments: &[&str]| {
        let ended = verge(folder.path(), &[&["judge", "-c", "more.toml"], arguments].concat()).expect(0);
        let verdicts = ended.json();
        let said = verdicts.iter().map(|verdict| {
            let time = verdict["received"].as_str().unwrap_or_default().to_owned();
            format!("{} {} {time}", verdict["signal"], verdict["event"]["state"]).replace('"', "")
        });
        (said.collect::<Vec<_>>(), ended.stderr.clone())
    };
    let expected = ["value raised 2026-03-01T00:01:00.000Z", "value cleared 2026-03-01T00:02:00.000Z"];
    let (said, reported) = judge(&["any", "newest.csv"]);
    assert_eq!(said, expected);
    assert!(
        reported.contains("newest.csv: the rows stand newest first; they are sorted by time"),
        "{reported}"
    );
    let (said, reported) = judge(&["any", "mixed.csv"]);
    assert_eq!(said, expected);
    assert!(
        reported.contains("not in the order of time (line 4 is earlier than line 3); they are sorted"),
        "{reported}"
    );
    let (said, reported) = judge(&["any", "excel.csv"]);
    assert_eq!(said, ["value raised 2025-11-26T12:01:00.000Z", "value cleared 2025-11-26T12:02:00.000Z"]);
    assert!(reported.contains("`45987.5` in `time` is read as 2025-11-26 12:00:00 UTC"), "{reported}");
    let (said, _) = judge(&["any", "long.csv", "--signal-column", "tag"]);
    assert_eq!(
        said,
        [
            "A/x raised 1970-01-01T00:01:00.000Z",
            "A/x cleared 1970-01-01T00:03:00.000Z",
            "B raised 1970-01-01T00:03:00.000Z"
        ]
    );
    let (said, reported) = judge(&["a", "long.csv", "--signal-column", "tag"]);
    assert_eq!(said.len(), 2);
    assert!(reported.contains("the judge does not look at B"), "{reported}");
    let both = ["judge", "-c", "more.toml", "a", "long.csv", "--signal-column", "tag", "--signal", "x"];
    verge(folder.path(), &both).expect(64);
}

#[test]
fn judge_says_what_is_wrong_with_its_input() {
    let folder = folder(&[
        ("broken.jsonl", "{\"tst\":\"1\",\"topic\":\"a\",\"payload\":\"1\"}\nno\n"),
        ("short.csv", "timestamp,value\n2014-04-01 00:00:00,1\nnever,2\n"),
        ("narrow.csv", "timestamp\n2014-04-01 00:00:00\n"),
    ]);
    let check = |arguments: &[&str], code: i32, words: &str| {
        let ended =
            verge(folder.path(), &[&["judge", "-c", "gateway.toml"], arguments].concat()).expect(code);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    };
    check(&["low", "day.jsonl"], 64, "there is no judge \"low\"; the configuration has high, quiet, flow");
    check(&["high", "nowhere.jsonl"], 65, "cannot read nowhere.jsonl");
    check(&["high", "broken.jsonl"], 65, "broken.jsonl, line 2");
    check(&["high", "short.csv"], 65, "short.csv, line 3, column `timestamp`: `never` is not a time");
    check(&["high", "narrow.csv"], 65, "narrow.csv, line 2: no column of numbers among `timestamp`");
    check(&["high", "short.csv", "--value-column", "x"], 65, "no column `x`, only `timestamp`, `value`");
    check(&["flow", "short.csv", "--signal", ""], 64, "signal");
}

#[test]
fn check_names_every_fault_at_once() {
    let folder =
        folder(&[("bad.toml", &CONFIGURATION.replace("7.1", "\"much\"").replace("after =", "aftr ="))]);
    let ended = verge(folder.path(), &["check", "-c", "bad.toml"]).expect(78);
    for words in [
        "line 32: judge.high.above: \"much\"",
        "line 38: judge.quiet.aftr: unknown key, expected after perhaps",
    ] {
        assert!(ended.stdout.contains(&format!("FAULT    bad.toml {words}")), "{words} in {}", ended.stdout);
    }
    assert!(ended.stdout.contains("bad.toml has 2 faults"), "{}", ended.stdout);
    let json = &verge(folder.path(), &["check", "-c", "bad.toml", "--json"]).expect(78).json()[0];
    let places: Vec<_> =
        json["faults"].as_array().unwrap().iter().map(|fault| (&fault["file"], &fault["line"])).collect();
    assert_eq!(places, [(&json!("bad.toml"), &json!(32)), (&json!("bad.toml"), &json!(38))]);
    assert!(
        verge(folder.path(), &["check", "-c", "none.toml"])
            .expect(78)
            .stdout
            .contains("none.toml: there is no such file")
    );
}

#[test]
fn check_looks_at_files_and_leaves_nothing_behind() {
    let folder = folder(&[]);
    let check = |code: i32, words: &str| {
        let ended = verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]).expect(code);
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
    };
    check(78, "FAILED   uplink.centre: files: uplink.centre.ca");
    verge(folder.path(), &["certs", "init"]).expect(0);
    check(0, "gateway.toml is good");
    assert!(!folder.path().join("state").exists(), "a check makes no state folder");
    let unreachable = verge(folder.path(), &["check", "-c", "gateway.toml"]);
    assert!([0, 69].contains(&unreachable.code), "{}", unreachable.stdout);
}

#[test]
fn check_warns_where_store_or_memory_has_room_for_the_judges_of_few_signals() {
    let folder = folder(&[]);
    verge(folder.path(), &["certs", "init"]).expect(0);
    let file = folder.path().join("gateway.toml");
    let text = fs::read_to_string(&file).unwrap();
    let source = text.split_once("[source.").unwrap().1.split_once(']').unwrap().0.to_owned();
    let learns = format!("{text}\n[judge.learns]\ninputs = [\"{source}\"]\n");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]).expect(0).stdout
    };
    assert!(!check(&learns).contains("states_cap"), "the default has room for many");
    let small =
        learns.replacen("[gateway]", "[gateway]\nstore_cap = \"16 MiB\"\nreplay_bytes = \"1 MiB\"", 1);
    let said = check(&small);
    let expected =
        "gateway.states_cap: 2.0 MiB has room for the learnt states of some 146 signals of judge.learns";
    assert!(said.contains(expected), "{said}");
    assert!(!said.contains("judges_memory"), "{said}");
    let said = check(&learns.replacen("[gateway]", "[gateway]\njudges_memory = \"4 MiB\"", 1));
    let expected =
        "gateway.judges_memory: 4.0 MiB has room for some 292 signals of judge.learns (14.0 KiB each)";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    let folder = folder(&[]);
    for arguments in
        [&["run"][..], &["frobnicate"], &["watch"], &["watch", "--url", "mqtts://x:1"], &["send", "-t", "x"]]
    {
        let ended = verge(folder.path(), arguments).expect(64);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{arguments:?}");
    }
    for (arguments, tip) in [
        (&["run", "gateway.toml"][..], "tip: the configuration is named with -c FILE"),
        (&["check", "my/Gateway.TOML"], "tip: the configuration is named with -c FILE"),
        (&["watch"], "tip: -c FILE takes the connection from a configuration"),
        (&["send", "-t", "a", "--message", "1"], "tip: -c FILE takes the connection from a configuration"),
    ] {
        let ended = verge(folder.path(), arguments).expect(64);
        assert!(ended.stderr.ends_with(&format!("{tip}\n")), "{arguments:?}: {}", ended.stderr);
    }
    assert!(!verge(folder.path(), &["run", "frames"]).expect(64).stderr.contains("tip: the configuration"));
    assert!(verge(folder.path(), &["--help"]).expect(0).stdout.contains("verge demo --seconds 30"));
    assert!(verge(folder.path(), &["completions", "bash"]).expect(0).stdout.contains("verge"));
}

#[test]
fn nobody_there_ends_with_69() {
    let folder = folder(&[]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    for arguments in [&["watch", "--url", &url][..], &["send", "--url", &url, "-t", "a", "--message", "1"]] {
        let ended = verge(folder.path(), arguments).expect(69);
        assert!(ended.stderr.contains("127.0.0.1"), "{}", ended.stderr);
    }
}

#[test]
fn certificates_are_made_and_shown() {
    let folder = folder(&[]);
    verge(folder.path(), &["certs", "init"]).expect(0);
    verge(folder.path(), &["certs", "issue", "pump-room-1", "--usage", "client"]).expect(0);
    let shown = verge(folder.path(), &["--json", "certs", "show", "certs/pump-room-1.pem"]).expect(0).json();
    assert_eq!(shown[0]["usage"], "client");
    assert_eq!(shown[0]["authority"], false);
}
