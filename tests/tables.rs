//! `verge judge` on tables and recordings as people have them; and the examples of docs/tables.md.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::program::verge;

const DOCS: &str = include_str!("../docs/tables.md");

/// The fenced blocks of a kind: what stands behind the kind, and the content.
fn blocks(kind: &str) -> impl Iterator<Item = (&str, &str)> {
    DOCS.split("\n```").filter_map(move |part| {
        let (head, content) = part.split_once('\n')?;
        Some((head.strip_prefix(kind)?.trim(), content))
    })
}

/// A folder with the configuration of the documentation.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (_, configuration) = blocks("toml").next().unwrap();
    fs::write(folder.path().join("gateway.toml"), configuration).unwrap();
    folder
}

#[test]
fn the_examples_of_the_documentation_work_as_written() {
    let folder = folder();
    for (name, content) in blocks("csv").chain(blocks("text")) {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let mut commands = 0;
    for (_, session) in blocks("console") {
        for example in session.split("$ ").skip(1) {
            let mut lines = example.lines();
            let command = lines.next().unwrap();
            let arguments: Vec<&str> = command.split(' ').skip(1).collect();
            let ended = verge(folder.path(), &arguments);
            let said = ended.stdout + &ended.stderr;
            for line in lines {
                assert!(said.contains(line), "{command}: no line {line:?} in\n{said}");
            }
            commands += 1;
        }
    }
    assert_eq!(commands, 7);
}

/// Half an hour of readings, one a minute from 08:00 in UTC, of which the one at 08:20 is too high.
fn readings() -> impl Iterator<Item = (u32, f64)> {
    (0..30).map(|minute| (minute, if minute == 20 { 31.5 } else { 20.0 + f64::from(minute % 5) / 4.0 }))
}

/// Lines of a table: a head, and what a reading becomes.
pub(crate) fn lines(head: &str, line: impl Fn(u32, f64) -> String) -> String {
    readings().fold(head.to_owned(), |text, (minute, value)| text + &line(minute, value) + "\n")
}

fn comma(value: f64) -> String {
    value.to_string().replace('.', ",")
}

/// Judges a file: what was said of it, and the signals and times of its alarms.
#[track_caller]
pub(crate) fn judged(folder: &Path, bytes: &[u8], options: &[&str]) -> (Vec<String>, String) {
    fs::write(folder.join("a.csv"), bytes).unwrap();
    let ended =
        verge(folder, &[&["judge", "-c", "gateway.toml", "high", "a.csv"], options].concat()).expect(0);
    let verdicts = ended.json();
    let raised = verdicts.iter().filter(|verdict| verdict["event"]["state"] == "raised");
    let words = |verdict: &serde_json::Value| {
        let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("signal"), text("received"))
    };
    (raised.map(words).collect(), ended.stderr)
}

#[test]
fn one_history_is_judged_alike_in_every_form() {
    let folder = folder();
    let check = |name: &str, table: &str, options: &[&str], said: &str| {
        let (alarms, report) = judged(folder.path(), table.as_bytes(), options);
        assert_eq!(alarms, ["t 2026-04-20T08:20:00.000Z"], "{name}: {report}");
        assert!(report.contains(said), "{name}: no {said:?} in {report}");
        assert!(report.contains("a.csv: alarms: t 1"), "{name}: {report}");
    };
    let epoch = 1_776_672_000_u64;
    let at = |minute: u32| format!("2026-04-20T08:{minute:02}:00Z");
    check("plain", &lines("time,t\n", |m, v| format!("{},{v}", at(m))), &[], "judged: `t`; time: `time`");
    check("period", &lines("time,t\n", |m, v| format!("{},{v}", at(m))), &[], "median interval 1 min");
    check(
        "decimal comma",
        &lines("Zeit;t\n", |m, v| format!("20.04.2026 08:{m:02};{}", comma(v))),
        &[],
        "`t` (decimal comma)",
    );
    check("quoted", &lines("time,t\n", |m, v| format!("{},\"{}\"", at(m), comma(v))), &[], "decimal comma");
    check(
        "sep",
        &lines("sep=;\ntime;t\n", |m, v| format!("{};{v}", at(m))),
        &[],
        "30 rows from 2026-04-20 08:00:00",
    );
    check("crlf", &lines("time\tt\r\n", |m, v| format!("{}\t{v}\r", at(m))), &[], "30 rows");
    check("bar", &lines("time|t\n", |m, v| format!("{}|{v}", at(m))), &[], "30 rows");
    let slashes = |m, v| format!("20/04/2026 08:{m:02},{v}");
    check(
        "day beyond 12",
        &lines("time,t\n", slashes),
        &[],
        "`20/04/2026 08:00` in `time` is read as 2026-04-20",
    );
    check(
        "am",
        &lines("time,t\n", |m, v| format!("4/20/26 8:{m:02} AM,{v}")),
        &[],
        "is read as 2026-04-20 08:00",
    );
    check(
        "names",
        &lines("time;t\n", |m, v| format!("20. Apr. 2026 08:{m:02};{v}")),
        &[],
        "is read as 2026-04-20",
    );
    check(
        "ms",
        &lines("ts,t\n", |m, v| format!("{}000,{v}", epoch + 60 * u64::from(m))),
        &[],
        "a number since 1970",
    );
    check(
        "us",
        &lines("ts,t\n", |m, v| format!("{}000000,{v}", epoch + 60 * u64::from(m))),
        &[],
        "since 1970",
    );
    let serial = |m: u32| format!("{:.8}", 46_132.0 + (8.0 * 60.0 + f64::from(m)) / 1440.0);
    check(
        "serial",
        &lines("t;Zeit\n", |m, v| format!("{v};{}", serial(m))),
        &[],
        "as spreadsheets write dates",
    );
    check(
        "two",
        &lines("Date,Time,t\n", |m, v| format!("2026-04-20,08:{m:02},{v}")),
        &[],
        "time: `Date`, `Time`",
    );
    check(
        "pens",
        &lines("Time,t,Time,u\n", |m, v| format!("{},{v},{},1", at(m), at(m))),
        &[],
        "called `Time.2`",
    );
    check(
        "zone",
        &lines("time,t\n", |m, v| format!("20.04.2026 10:{m:02},{v}")),
        &["--time-zone", "Europe/Berlin"],
        "",
    );
    check(
        "quality",
        &lines("time,t,Quality\n", |m, v| {
            if m == 3 { format!("{},99,Bad", at(m)) } else { format!("{},{v},Good", at(m)) }
        }),
        &[],
        "left out: 1 value of bad quality (line 5: `Bad`)",
    );
    check(
        "codes",
        &lines("time,t,t_QUALITY\n", |m, v| {
            if m == 3 { format!("{},99,24", at(m)) } else { format!("{},{v},192", at(m)) }
        }),
        &[],
        "1 value of bad quality (line 5: `24`)",
    );
    check(
        "long",
        &lines("time,tag,v\n", |m, v| format!("{0},t,{v}\n{0},u,1", at(m))),
        &[],
        "the signal in column `tag`",
    );
    check(
        "asset",
        &lines("time,asset,v\n", |m, v| format!("{0},t,{v}\n{0},u,1", at(m))),
        &["--signal-column", "asset"],
        "",
    );
    check("unit", &lines("time,t\n", |m, v| format!("{},{v} °C", at(m))), &[], "30 readings");
    check(
        "no name",
        &lines(",time,t\n", |m, v| format!("{m},{},{v}", at(m))),
        &[],
        "not read: column 1 (no name)",
    );
    let newest: String =
        lines("", |m, v| format!("{},{v}", at(m))).lines().rev().map(|line| format!("{line}\n")).collect();
    check(
        "newest first",
        &format!("time,t\n{newest}"),
        &[],
        "the rows stand newest first; they are sorted by time",
    );
    let odd = |m, v| if m == 9 { format!("{},Comm Fail", at(m)) } else { format!("{},{v}", at(m)) };
    check(
        "words",
        &lines("time,t\n", odd),
        &[],
        "1 refused: not_a_number (first in line 11: t, 9 bytes: `Comm Fail`",
    );
}

#[test]
fn every_encoding_is_read() {
    let folder = folder();
    let table = lines("Zeit;Kühler\n", |m, v| format!("20.04.2026 08:{m:02};{}", comma(v)));
    let wide = |swap: fn(u16) -> [u8; 2]| {
        format!("\u{feff}{table}").encode_utf16().flat_map(swap).collect::<Vec<u8>>()
    };
    let latin: Vec<u8> = table.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    for (bytes, said) in [
        (format!("\u{feff}{table}").into_bytes(), ""),
        (wide(u16::to_le_bytes), "read as UTF-16LE"),
        (wide(u16::to_be_bytes), "read as UTF-16BE"),
        (latin, "not UTF-8: read as windows-1252 (Latin-1), with `Kühler` in line 1"),
    ] {
        let (alarms, report) = judged(folder.path(), &bytes, &[]);
        assert_eq!(alarms, ["Kühler 2026-04-20T08:20:00.000Z"], "{report}");
        assert!(report.contains(said), "{report}");
    }
}

#[test]
fn what_is_open_or_no_table_is_refused_with_what_came_and_what_to_do() {
    let folder = folder();
    let check = |bytes: &[u8], options: &[&str], words: &[&str]| {
        fs::write(folder.path().join("a.csv"), bytes).unwrap();
        let arguments = [&["judge", "-c", "gateway.toml", "high", "a.csv"], options].concat();
        let report = verge(folder.path(), &arguments).expect(65).stderr;
        let last = report.lines().last().unwrap();
        for words in words {
            assert!(last.contains(words), "no {words:?} in {last}");
        }
    };
    check(
        b"time,t\n01/02/2026 10:00,1\n01/02/2026 10:01,2\n",
        &[],
        &["a.csv, line 2, column `time`", "--day-first or --month-first"],
    );
    check(
        b"time,t\n13/02/2026,1\n02/13/2026,2\n",
        &[],
        &["begins with the day, but `02/13/2026` in line 3 with the month"],
    );
    check(
        b"time;t\n60;1,250\n120;1,500\n",
        &[],
        &["line 2, column `t`: `1,250`", "--decimal , or --decimal ."],
    );
    check(b"time;t\n60;1,25\n120;1.5\n", &[], &["a decimal comma, but `1.5` in line 3 a decimal point"]);
    check(
        b"time,t\n60,1,25\n120,1,5\n",
        &[],
        &["line 2: 3 cells where the header in line 1 has 2", "a decimal comma needs quotes"],
    );
    check(
        b"time,t\n10:00,1\n10:01,2\n",
        &[],
        &["`10:00` is a time of day without a date", "--time-column DATE"],
    );
    check(b"time,t\n1.7766E+12,1\n1.7766E+12,2\n", &[], &["a spreadsheet has rounded the times"]);
    check(
        b"time,t\n01.02.2026 10:00 CET,1\n",
        &[],
        &["the abbreviation of a zone", "--time-zone Europe/Berlin"],
    );
    check(b"time,t\n60,1 bar\n120,900 mbar\n", &[], &["another unit than `900 mbar` in line 3"]);
    check(
        b"time,line,v\n60,A,1\n60,B,2\n120,A,1\n120,B,2\n",
        &[],
        &["the column `line` has 2 texts", "--device-column \"line\"", "--signal-column \"line\""],
    );
    check(
        b"time,line,v,w\n60,A,1,1\n60,B,2,1\n120,A,1,1\n120,B,2,1\n",
        &[],
        &["the column `line` has 2 texts", "--device-column \"line\""],
    );
    check(
        b"time,device,line,v\n60,A,1a,1\n60,A,1b,1\n60,B,1a,1\n60,B,1b,1\n120,A,1a,1\n120,A,1b,1\n",
        &[],
        &["the column `line` has 2 texts", "--signal-column \"line\""],
    );
    check(
        b"inlet,outlet\n27.5,28\n26.75,28.5\n27,28.25\n",
        &[],
        &["a.csv: no column of times among `inlet`, `outlet`; --time-column names one"],
    );
    check(
        b"time,t\n60,high\n120,low\n",
        &[],
        &["no column of numbers among `time`, `t`; the first row holds \"60 | high\""],
    );
    check(
        b"time,t\n60,ok\n120,ok\n",
        &["--value-column", "t"],
        &["no reading is judged", "line 2: t, 2 bytes: `ok`"],
    );
    check(b"time,t\n", &[], &["a.csv has no rows: nothing stands below the header in line 1"]);
    check(b"", &[], &["a.csv is empty"]);
    check(
        b"PK\x03\x04\x14\0\x06\0\x08\0",
        &[],
        &["looks like a ZIP archive or an Excel file", "save the sheet as CSV"],
    );
    check(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", &[], &["looks like an Excel file (.xls)"]);
    check(b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &[], &["looks like gzip", "uncompress it first"]);
    check(b"PAR1\x15\x04\x15", &[], &["looks like a Parquet file", "export it as CSV"]);
    check(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        &[],
        &["a Git LFS pointer", "git lfs pull"],
    );
    check(b"\x89PNG\r\n\x1a\n\0\0", &[], &["begins with 89 50 4e 47", "looks like a PNG"]);
    check(b"<!DOCTYPE html>\n<html>", &[], &["looks like HTML", "fetch the file itself"]);
}

#[test]
fn a_history_that_is_too_short_to_learn_from_is_reported() {
    let folder = folder();
    let unusual = "\n[judge.unusual]\ninputs = [\"plant\"]\n";
    let path = folder.path().join("gateway.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap() + unusual).unwrap();
    let rows = lines("time,t,u\n", |m, v| format!("2026-04-20T08:{m:02}:00Z,{v},{v}"));
    fs::write(folder.path().join("a.csv"), rows).unwrap();
    let judge =
        |name: &str| verge(folder.path(), &["judge", "-c", "gateway.toml", name, "a.csv"]).expect(0).stderr;
    let words = "a.csv: the history is too short for the alarm budget of unusual, in 2 of 2 series: what is unusual may raise no alarm before ";
    assert!(judge("unusual").contains(words), "{}", judge("unusual"));
    assert!(!judge("high").contains("too short"));
}

#[test]
fn recordings_of_other_forms_are_read_or_refused_with_the_cure() {
    let folder = folder();
    let run = |name: &str, bytes: &[u8], code: i32, words: &str| {
        fs::write(folder.path().join(name), bytes).unwrap();
        let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "high", name]).expect(code);
        assert!(ended.stderr.contains(words), "no {words:?} in {}", ended.stderr);
    };
    let json =
        r#"{"tst":"2026-04-20T08:00:00.000000Z+0000","topic":"plant/a/t","qos":0,"retain":0,"payload":"31"}"#;
    let wide: Vec<u8> = format!("\u{feff}{json}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    run("a.jsonl", json.as_bytes(), 0, "1 readings, 1 verdicts");
    run("a.jsonl", &wide, 0, "1 readings, 1 verdicts");
    run("a.csv", json.as_bytes(), 0, "1 readings, 1 verdicts");
    run("a.log", b"2026-04-20T08:00:00+0000 plant/a/t 31\n", 0, "1 readings, 1 verdicts");
    run("a.log", b"1776672000.25 plant/a/t 31\n", 0, "1 readings, 1 verdicts");
    run(
        "a.jsonl",
        format!("{json}\n{}", &json[..40]).as_bytes(),
        0,
        "line 2: the last line ends within a message",
    );
    run("a.log", b"plant/a/t 31\n", 65, "a.log, line 1: `plant/a/t 31` has no time");
    run("a.jsonl", b"[{\"topic\":\"plant/a/t\"}]", 65, "is a JSON array; write its elements as lines");
    run("a.jsonl", b"{\n \"topic\": 1\n}\n", 65, "is JSON over several lines");
    run("a.jsonl", b"{\"topic\":\"plant/a/t\",\"payload\":\"1\"}\n", 65, "the object has no \"tst\"");
    run("a.jsonl", b"\x1f\x8b\x08\0\0\0\0\0", 65, "looks like gzip");
    run("a.jsonl", b"time,t\n60,1\n", 65, "looks like a line of a table; tables have names that end in .csv");
}

#[test]
fn the_summary_of_a_table_is_json_for_programs() {
    let folder = folder();
    let table = lines("Report\ntime;t;note\n", |m, v| format!("20.04.2026 08:{m:02};{};x", comma(v)));
    fs::write(folder.path().join("a.csv"), table).unwrap();
    let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "high", "a.csv", "--json"]).expect(0);
    let summary: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    let table = &summary["table"];
    assert_eq!(table["columns"][0]["signal"], "t");
    assert_eq!(table["columns"][0]["decimal"], ",");
    assert_eq!(table["interval_ms"], 60_000);
    assert_eq!(table["alarms"]["t"], 1);
    assert_eq!(table["left_out"][0]["line"], 1);
    assert_eq!((&summary["readings"], &table["rows"]), (&30.into(), &30.into()));
}
