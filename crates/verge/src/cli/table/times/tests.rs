use super::*;

fn form(cells: &[&str], options: &TableArgs) -> Result<TimeForm, UnclearTimes> {
    TimeForm::of(cells.iter().copied(), options)
}

fn zone(name: &str) -> TableArgs {
    TableArgs { time_zone: Some(name.parse().unwrap()), ..TableArgs::default() }
}

/// The instants of these cells, as RFC 3339; `-` for what is none.
fn instants(cells: &[&str], options: &TableArgs) -> Vec<String> {
    let times = form(cells, options).unwrap_or_else(|unclear| panic!("{cells:?}: {unclear:?}"));
    let words = |at: Option<UtcMillis>| {
        at.map_or("-".to_owned(), |at| Timestamp::from_millisecond(at.0).unwrap().to_string())
    };
    times.instants(cells.iter().copied()).into_iter().map(words).collect()
}

#[test]
fn one_time_is_written_in_many_ways() {
    let check = |text: &str| {
        // A second date, so that the order of day and month is certain.
        let second = if text.contains('/') {
            text.replace("02/11", "27/11").replace("11/02", "11/27")
        } else {
            text.into()
        };
        let found = instants(&[text, &second], &TableArgs::default());
        assert_eq!(found[0], "2025-11-02T13:04:05Z", "{text}");
    };
    for text in [
        "2025-11-02T13:04:05Z",
        "2025-11-02 13:04:05",
        "2025-11-02T14:04:05+01:00",
        "2025-11-02 14:04:05 +0100",
        "2025/11/02 13:04:05",
        "2025.11.02 13:04:05",
        "02.11.2025 13:04:05",
        "2.11.2025 13:04:05",
        "02.11.25 13:04:05",
        "02.11.2025, 13:04:05",
        "02.11.2025 - 13:04:05",
        "02/11/2025 13:04:05",
        "11/02/2025 01:04:05 PM",
        "11/02/2025 1:04:05 PM",
        "11/02/2025 1:04:05\u{202f}PM",
        "11/02/2025 1:04:05 p.m.",
        "11/02/25 13:04:05",
        "02-Nov-2025 13:04:05",
        "02-NOV-25 01:04:05 PM",
        "2 Nov 2025 13:04:05",
        "02/Nov/2025:13:04:05 +0000",
        "Nov 2, 2025 13:04:05",
        "November 2, 2025 1:04:05 PM",
        "Sun, 02 Nov 2025 13:04:05 GMT",
        "Sun Nov  2 13:04:05 2025",
        "Sun Nov 02 2025 14:04:05 GMT+0100 (Central European Standard Time)",
        "2. November 2025 13:04:05",
        "2025-Nov-02 13:04:05",
        "20251102130405",
        "1762088645",
        "1762088645000",
        "1762088645000000",
        "1762088645000000000",
        "02.11.2025 13:04:05 UTC",
    ] {
        check(text);
    }
    let months = [
        "02-Mrz-2025",
        "02-Mai-2025",
        "2 août 2025",
        "2 févr. 2025",
        "02-Okt-2025",
        "2. Dez. 2025",
        "02-ene-2025",
        "2 mrt 2025",
    ];
    let dates = instants(&months, &TableArgs::default());
    let expected =
        ["03", "05", "08", "02", "10", "12", "01", "03"].map(|month| format!("2025-{month}-02T00:00:00Z"));
    assert_eq!(dates, expected);
}

#[test]
fn fractions_and_ends_of_days_are_read() {
    let check = |text: &str, expected: &str| {
        assert_eq!(instants(&[text], &TableArgs::default()), [expected], "{text}");
    };
    check("2025-11-02 13:04:05.25", "2025-11-02T13:04:05.25Z");
    check("02.11.2025 13:04:05,250", "2025-11-02T13:04:05.25Z");
    check("02.11.2025 13:04:05:250", "2025-11-02T13:04:05.25Z");
    check("02.11.2025 13:04", "2025-11-02T13:04:00Z");
    check("02.11.2025", "2025-11-02T00:00:00Z");
    check("02.11.2025 24:00", "2025-11-03T00:00:00Z");
    check("1762088645.25", "2025-11-02T13:04:05.25Z");
    check("45963.54450231", "2025-11-02T13:04:05Z");
    check("45963,54450231", "2025-11-02T13:04:05Z");
    check("20251102", "2025-11-02T00:00:00Z");
}

#[test]
fn what_is_no_time_is_none() {
    for text in [
        "",
        "noon",
        "inf",
        "NaN",
        "Total",
        "2025-13-02",
        "32.11.2025",
        "31.02.2025 10:00",
        "12.5 mm",
        "1.2.3",
        "12B",
    ] {
        let read = instants(&["2025-11-02 13:04:05", "2025-11-02 13:04:06", text], &TableArgs::default());
        assert_eq!(read[2], "-", "{text}");
    }
}

#[test]
fn day_or_month_first_is_certain_or_asked_for() {
    let check = |cells: &[&str], expected: Result<&str, UnclearTimes>| {
        let found =
            form(cells, &TableArgs::default()).map(|_| instants(cells, &TableArgs::default())[0].clone());
        assert_eq!(
            found.as_deref().map_err(|error| format!("{error:?}")),
            expected.map_err(|error| format!("{error:?}")),
            "{cells:?}"
        );
    };
    check(&["03/04/2025", "13/04/2025"], Ok("2025-04-03T00:00:00Z"));
    check(&["03/04/2025", "03/14/2025"], Ok("2025-03-04T00:00:00Z"));
    check(&["03.04.2025"], Ok("2025-04-03T00:00:00Z"));
    check(&["", "03/04/2025 10:00"], Err(UnclearTimes::Order { row: 1 }));
    check(&["03-04-2025", "04-04-2025"], Err(UnclearTimes::Order { row: 0 }));
    check(&["04/04/2025"], Ok("2025-04-04T00:00:00Z"));
    check(&["13/04/2025", "03/04/2025", "04/13/2025"], Err(UnclearTimes::Mixed { day: 0, month: 2 }));
    let day = TableArgs { day_first: true, ..TableArgs::default() };
    assert_eq!(instants(&["03/04/2025", "04/13/2025"], &day), ["2025-04-03T00:00:00Z", "-"]);
    let month = TableArgs { month_first: true, ..TableArgs::default() };
    assert_eq!(
        instants(&["03/04/2025", "03.04.2025"], &month),
        ["2025-03-04T00:00:00Z", "2025-04-03T00:00:00Z"]
    );
}

#[test]
fn other_times_are_refused_with_a_reason() {
    let check = |cells: &[&str], expected: UnclearTimes| {
        assert_eq!(form(cells, &TableArgs::default()).unwrap_err(), expected, "{cells:?}");
    };
    check(&["1.76209E+12", "1.76209E+12"], UnclearTimes::Rounded { row: 0 });
    check(&["13:04:05", "13:04:06"], UnclearTimes::NoDate { row: 0 });
    check(&["02.11.2025 13:04 CET"], UnclearTimes::Abbreviation { row: 0 });
}

#[test]
fn local_times_have_a_zone() {
    let berlin = zone("Europe/Berlin");
    assert_eq!(
        instants(&["02.11.2025 13:04:05", "02.07.2025 13:04:05"], &berlin),
        ["2025-11-02T12:04:05Z", "2025-07-02T11:04:05Z"]
    );
    assert_eq!(
        instants(&["2025-11-02T13:04:05Z", "02.11.2025 13:04 CET"], &berlin)[1],
        "2025-11-02T12:04:00Z"
    );
    // A serial date of a spreadsheet is local as well.
    assert_eq!(instants(&["45963.5"], &berlin), ["2025-11-02T11:00:00Z"]);
    assert_eq!(instants(&["1762088645"], &berlin), ["2025-11-02T13:04:05Z"]);
    // The hour that no clock shows.
    assert_eq!(instants(&["2026-03-29 01:30", "2026-03-29 02:30"], &berlin), ["2026-03-29T00:30:00Z", "-"]);
}

#[test]
fn the_hour_that_occurs_twice_is_distinguished_by_the_order_of_the_rows() {
    let berlin = zone("Europe/Berlin");
    let cells =
        ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"].map(|time| format!("2026-10-25 {time}"));
    let mut cells = cells.each_ref().map(String::as_str).to_vec();
    let expected = ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"];
    let clocks =
        |cells: &[&str]| instants(cells, &berlin).iter().map(|at| at[11..16].to_owned()).collect::<Vec<_>>();
    assert_eq!(clocks(&cells), expected);
    cells.reverse();
    assert_eq!(clocks(&cells), expected.iter().rev().copied().collect::<Vec<_>>());
    let named = ["2026-10-25 02:30 CET", "2026-10-25 02:30 CEST"];
    assert_eq!(clocks(&named), ["01:30", "00:30"]);
}
