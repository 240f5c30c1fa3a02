use verge_domain::time::UtcMillis;

use super::*;

fn table(text: &str) -> (tempfile::TempDir, anyhow::Result<Table>) {
    written(text.as_bytes(), &TableArgs::default())
}

fn written(bytes: &[u8], options: &TableArgs) -> (tempfile::TempDir, anyhow::Result<Table>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, bytes).unwrap();
    let table = Table::open(&path, options);
    (folder, table)
}

#[test]
fn columns_are_read_by_their_name() {
    let (_folder, table) = table("time,x,y\r\n2020-01-01 00:00:01,1.5,1.0\r\n2020-01-01 00:00:02,,0\r\n");
    let mut table = table.unwrap();
    let [time, x, y] = ["time", "x", "y"].map(|name| table.column(name).unwrap());
    let times = table.exact_times(time).unwrap();
    assert_eq!(times, [UtcMillis(1_577_836_801_000), UtcMillis(1_577_836_802_000)]);
    assert_eq!(table.readings(x).unwrap(), [Some(1.5), None]);
    assert_eq!(table.flags(y).unwrap(), [true, false]);
    assert_eq!(table.header().collect::<Vec<_>>(), ["time", "x", "y"]);
}

#[test]
fn a_bad_cell_is_reported_with_file_line_and_column() {
    let check = |text: &str, read: fn(&mut Table) -> anyhow::Result<()>, expected: &str| {
        let (_folder, table) = table(text);
        let error = table.and_then(|mut table| read(&mut table)).unwrap_err();
        let words = format!("{error:#}");
        assert!(words.contains("a.csv") && words.contains(expected), "{words}");
    };
    let numbers = |table: &mut Table| table.column("x").and_then(|x| table.numbers(x)).map(|_| ());
    check("x\n1\n\nabc\n", numbers, "a.csv, line 4, column `x`: `abc` is not a number");
    check("x\n1\nNaN\n3\n", numbers, "line 3, column `x`: `NaN` is not a number");
    check("t,x\n1,\n", numbers, "line 2, column `x`: nothing is not a number");
    check("y\n1\n", numbers, "no column `x`");
    check("x\n", numbers, "has no rows");
    check("", numbers, "a.csv is empty");
    check("x,y\r\n1,2\r\n1,2,3\r\n", numbers, "line 3: 3 cells where the header in line 1 has 2");
    check("x\n2\n", |table| table.flags(0).map(|_| ()), "line 2, column `x`: `2` is neither 0 nor 1");
    check(
        "x\n2020-13-01\n",
        |table| table.times(&[0]).map(|_| ()),
        "line 2, column `x`: `2020-13-01` is not",
    );
    check("t,x\n01/02/2026,1\n", |table| table.times(&[0]).map(|_| ()), "--day-first or --month-first");
    check(
        "t;x\n1;1,234\n2;2,345\n",
        |table| table.readings(1).map(|_| ()),
        "line 2, column `x`: `1,234`: the comma may be",
    );
    check("t;x\n1;1,5\n2;2.25\n", |table| table.readings(1).map(|_| ()), "`2.25` in line 3 a decimal point");
    check(
        "t,x\n1,5 bar\n2,7 mbar\n",
        |table| table.readings(1).map(|_| ()),
        "another unit than `7 mbar` in line 3",
    );
    check("PK\u{3}\u{4}rest", numbers, "save the sheet as CSV");
}

#[test]
fn rows_are_put_in_the_order_of_time() {
    let check = |rows: &str, expected: &[&str], note: Option<&str>| {
        let (_folder, table) = table(&format!("time,x\n{rows}"));
        let mut table = table.unwrap();
        let times = table.sort_by_time(&[0]).unwrap();
        assert!(times.is_sorted());
        assert_eq!(table.texts(1).collect::<Vec<_>>(), expected, "{rows}");
        // The value is the line that the row stands in.
        assert!((0..table.rows.len()).all(|row| table.place(row).ends_with(table.text(row, 1))));
        let (notes, _) = table.take_notes();
        assert_eq!(notes.iter().find(|text| text.contains("sorted")).map(String::as_str), note);
    };
    check("1,2\n2,3\n2,4\n", &["2", "3", "4"], None);
    check(
        "3,2\n2,3\n2,4\n1,5\n",
        &["5", "3", "4", "2"],
        Some("the rows stand newest first; they are sorted by time"),
    );
    check(
        "3,2\n1,3\n2,4\n1,5\n",
        &["3", "5", "4", "2"],
        Some(
            "the rows are not in the order of time (line 3 is earlier than line 2); they are sorted by time",
        ),
    );
}

#[test]
fn dates_of_spreadsheets_are_read() {
    let check = |rows: &str, expected: &[i64]| {
        let (_folder, table) = table(&format!("time\n{rows}\n"));
        let times: Vec<i64> = table.unwrap().exact_times(0).unwrap().iter().map(|at| at.0).collect();
        assert_eq!(times, expected, "{rows}");
    };
    // 2025-11-26 12:00 and a minute later.
    check("45987.5\n45987.500694444", &[1_764_158_400_000, 1_764_158_460_000]);
    check("45987\n45988", &[1_764_115_200_000, 1_764_201_600_000]);
    // Seconds from any beginning.
    check("0\n45987.5", &[0, 45_987_500]);
    check("45987.5\n90000", &[45_987_500, 90_000_000]);
}

#[test]
fn columns_that_may_distinguish_series_are_found() {
    let groups = |text: &str| table(text).1.unwrap().groups(&[0]);
    assert_eq!(groups("time,tag,value\n1,A,1\n1,B,2\n2,A,3\n2,B,4\n"), [(1, 2)]);
    assert_eq!(groups("time,note,value\n1,a,1\n2,b,2\n3,c,3\n"), []);
    assert_eq!(groups("time,tag,label\n1,A,x\n2,A,y\n3,A,x\n4,A,y\n"), []);
    assert_eq!(groups("time,value\n1,1\n2,1\n3,2\n4,2\n"), []);
}

#[test]
fn what_surrounds_the_values_is_left_out_and_counted() {
    let text = "Trend export;;\nHall 3;;\nZeit;Druck;Druck\n;bar;bar\n01.03.2026 00:00;1,5;#N/A\n01.03.2026 00:01;1,6;2\n\
                01.03.2026 00:02;Bad;2,5\n;1,7;\nMittelwert;1,55;2,25\n;;\n";
    let (_folder, table) = table(text);
    let mut table = table.unwrap();
    assert_eq!(table.header().collect::<Vec<_>>(), ["Zeit", "Druck", "Druck.2"]);
    assert_eq!(table.values(&[0]), [1, 2]);
    assert_eq!(table.time_columns(&[]).unwrap(), [0]);
    assert_eq!(table.times(&[0]).unwrap().iter().flatten().count(), 3);
    assert_eq!(table.readings(1).unwrap(), [Some(1.5), Some(1.6), None]);
    assert_eq!(table.readings(2).unwrap(), [None, Some(2.0), Some(2.5)]);
    let (notes, left) = table.take_notes();
    let left: Vec<String> = left.kinds().iter().map(ToString::to_string).collect();
    assert_eq!(
        left,
        [
            "2 lines above the header (first in line 1: `Trend export  `)",
            "1 line between header and values (line 4: ` bar bar`)",
            "2 lines below the values (first in line 8: ` 1,7 `)",
            "2 cells that are no number (first in line 7: `Bad`)",
        ]
    );
    assert!(notes.iter().any(|note| note.contains("which is called `Druck.2`")), "{notes:?}");
    assert!(
        notes
            .iter()
            .any(|note| *note == "time `01.03.2026 00:00` in `Zeit` is read as 2026-03-01 00:00:00 UTC"),
        "{notes:?}"
    );
}

#[test]
fn times_stand_in_one_column_or_two_or_one_for_each_value() {
    let columns = |text: &str| table(text).1.unwrap().time_columns(&[]).unwrap();
    assert_eq!(columns("Date,Time,x\n2026-03-01,00:00:00,1\n2026-03-01,00:01:00,2\n"), [0, 1]);
    assert_eq!(columns("x,Time,Date\n1,00:00:00,01.03.2026\n2,00:01:00,01.03.2026\n"), [2, 1]);
    assert_eq!(columns("tag,seen,x\nA,2026-03-01 10:00,1\nA,2026-03-01 10:01,2\n"), [1]);
    assert_eq!(columns("x,timestamp\n1,60\n2,120\n"), [1]);
    assert_eq!(columns("a,b\n1,60\n2,120\n"), [0]);
    let (_folder, pens) = table("Time 1,A,Time 2,B\n2026-03-01 10:00,1,2026-03-01 10:05,2\n");
    assert_eq!(pens.unwrap().time_of_each(&[1, 3]), Some(vec![(0, vec![1]), (2, vec![3])]));
    let (_folder, both) = table("time,x,received\n2026-03-01 10:00,1,2026-03-01 10:05\n");
    assert_eq!(both.unwrap().time_of_each(&[1]), None);
}

#[test]
fn tables_without_a_header_or_with_another_encoding_are_read() {
    let (_folder, bare) = table("2026-03-01T10:00:00Z,20.5\n2026-03-01T10:01:00Z,21\n");
    let mut bare = bare.unwrap();
    assert_eq!((bare.header().collect::<Vec<_>>(), bare.len()), (vec!["1", "2"], 2));
    assert!(bare.take_notes().0[0].starts_with("no header"));
    let (_folder, latin) = written(b"sep=;\r\nZeit;K\xfchler\r\n60;1,5\r\n", &TableArgs::default());
    let mut latin = latin.unwrap();
    assert_eq!((latin.header().collect::<Vec<_>>(), latin.line(0)), (vec!["Zeit", "Kühler"], 3));
    assert!(latin.take_notes().0[0].contains("windows-1252"));
}
