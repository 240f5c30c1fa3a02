//! `verge judge` on tables: which rows and columns are which series, and what the configuration says where cells do not.

use std::fs;
use std::path::Path;

use crate::program::verge;
use crate::tables::{folder, judged, lines};

/// A configuration whose source has one signal, or says how text is written.
fn write_configuration(folder: &Path, source: &str) {
    let text = format!(
        "[gateway]\nid = \"trial\"\nstate_dir = \"state\"\n[local]\nurl = \"mqtt://localhost:1883\"\n\
         [source.plant]\ntopic = \"plant/+/+\"\ndevice = \"topic:1\"\n{source}\n[judge.high]\ninputs = [\"plant\"]\n\
         detector = \"threshold\"\nabove = 30\n[judge.outlet]\ninputs = [\"plant:outlet\"]\n\
         detector = \"threshold\"\nabove = 30\n"
    );
    fs::write(folder.join("gateway.toml"), text).unwrap();
}

#[test]
fn rows_of_several_devices_are_series_of_their_own() {
    let folder = folder();
    let table = |head: &str| {
        let rows = |m: u32, v: f64| {
            format!("2026-04-20T08:{m:02}:00Z,hall 1/pump-1,{v},20\n2026-04-20T08:{m:02}:00Z,pump-2,20,20")
        };
        lines(head, rows).into_bytes()
    };
    let words = "device: `device` (2 devices); time: `time`";
    for (head, options) in
        [("time,device,t,u\n", &[][..]), ("time,line,t,u\n", &["--device-column", "line"][..])]
    {
        let (alarms, report) = judged(folder.path(), &table(head), options);
        assert_eq!(alarms, ["t 2026-04-20T08:20:00.000Z"], "{report}");
        assert!(report.contains(&words.replace("`device`", &format!("`{}`", &head[5..][..head.len() - 10]))));
        assert!(report.contains("alarms: hall 1%2Fpump-1 t 1, hall 1%2Fpump-1 u 0, pump-2 t 0, pump-2 u 0"));
        assert!(report.contains("median interval 1 min"), "{report}");
    }
    // With a device of their own all rows are one series.
    let (alarms, _) = judged(folder.path(), &table("time,device,t,u\n"), &["--device", "all"]);
    assert_eq!(alarms.len(), 1);
}

#[test]
fn a_column_is_judged_as_the_signal_that_its_head_names_and_no_other() {
    let folder = folder();
    write_configuration(folder.path(), "codec = \"number\"\nsignal = \"topic:2\"");
    let rows = "2026-04-20T08:00:00Z,99,20\n2026-04-20T08:01:00Z,99,31\n";
    let judge = |head: &str| {
        fs::write(folder.path().join("a.csv"), format!("{head}{rows}")).unwrap();
        verge(folder.path(), &["judge", "-c", "gateway.toml", "outlet", "a.csv"])
    };
    for head in [
        "time,inlet,outlet\n",
        "time,inlet [C],outlet [C]\n",
        "time,inlet_VALUE,outlet_VALUE\n",
        "Name,Supply,Return\nTag,inlet,outlet\n",
    ] {
        let ended = judge(head).expect(0);
        assert!(ended.stderr.contains("alarms: outlet 1"), "{head}: {}", ended.stderr);
        assert_eq!(ended.json()[0]["received"], "2026-04-20T08:01:00.000Z", "{head}");
    }
    let refused = judge("time,Supply,Return\n").expect(65).stderr;
    assert!(
        refused.contains(
            "a.csv: of the columns of numbers, `Supply`, `Return`, none is called outlet; --value-column names the one to judge"
        ),
        "{refused}"
    );
}

#[test]
fn what_cells_leave_open_is_read_as_the_source_says() {
    let folder = folder();
    let json = "codec = \"json\"\ndecimal = \",\"\ntime = { pointer = \"/t\", format = \"auto\", zone = \"Europe/Berlin\" }\n\
                [[source.plant.reading]]\npointer = \"/*\"";
    write_configuration(folder.path(), json);
    let open = b"time;t\n20.04.2026 10:00;1,250\n20.04.2026 10:01;31,500\n";
    let (alarms, report) = judged(folder.path(), open, &[]);
    assert_eq!(alarms, ["t 2026-04-20T08:01:00.000Z"], "{report}");
    assert!(
        report.contains(
            "time `20.04.2026 10:00` in `time` is read as 2026-04-20 08:00:00 UTC, in Europe/Berlin, as [source.plant] says"
        ),
        "{report}"
    );
    // The options come first, and what cells say of themselves.
    let (alarms, report) = judged(folder.path(), open, &["--time-zone", "UTC", "--decimal", "."]);
    assert_eq!(alarms, ["t 2026-04-20T10:00:00.000Z"], "{report}");
    let own = b"time;t\n2026-04-20T10:00:00Z;1.25\n2026-04-20T10:01:00Z;31.5\n";
    assert_eq!(judged(folder.path(), own, &[]).0, ["t 2026-04-20T10:01:00.000Z"]);
}
