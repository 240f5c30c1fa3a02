//! Times as people, spreadsheets and historians write them.

mod written;

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use verge_domain::time::UtcMillis;

use super::options::TableArgs;
use crate::cli::instant::{from_millis, since_epoch};
use written::{WrittenTime, clock, tidy, written};

/// Numbers that are days since 1899-12-30, as spreadsheets count them: from 1970 to 2100. As seconds they would all lie
/// within the first day of 1970.
const SERIAL_DAYS: std::ops::Range<f64> = 25_569.0..73_051.0;
const UNIX_EPOCH_DAYS: f64 = 25_569.0;
const DAY_MS: f64 = 86_400_000.0;

/// Rows that the kind of times is found out by.
const SAMPLE: usize = 1000;

/// Which stands first where both may be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateOrder {
    DayFirst,
    MonthFirst,
}

/// How the times of a column are written.
#[derive(Debug, Clone)]
pub(super) struct TimeForm {
    kind: TimeKind,
    order: Option<DateOrder>,
    zone: Option<TimeZone>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeKind {
    /// Seconds, milliseconds, microseconds or nanoseconds since 1970.
    SinceEpoch,
    /// Days since 1899-12-30.
    Serial,
    /// `20260301` or `20260301000400`.
    Compact,
    Text,
}

/// Why the times of a column cannot be read: rows, counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnclearTimes {
    /// Day or month may stand first.
    Order { row: usize },
    /// In one row the day stands first, in the other the month.
    Mixed { day: usize, month: usize },
    /// A spreadsheet has rounded them.
    Rounded { row: usize },
    /// There is a time of day, and no date.
    NoDate { row: usize },
    /// An abbreviation of a zone, which has no one meaning.
    Abbreviation { row: usize },
}

impl TimeForm {
    /// Finds out how these cells are written; those that are no times are skipped.
    pub(super) fn of<'a>(
        cells: impl Iterator<Item = &'a str> + Clone,
        options: &TableArgs,
    ) -> Result<Self, UnclearTimes> {
        // Texts are read in some rows only, as each takes microseconds.
        let step = cells.clone().count().div_ceil(SAMPLE).max(1);
        let some = || cells.clone().step_by(step);
        let numbers = || cells.clone().filter_map(number);
        let figures = some().filter_map(number).count();
        let others = some().filter(|text| number(text).is_none() && any_order(text).is_some()).count();
        let kind = match () {
            () if figures <= others => TimeKind::Text,
            () if cells.clone().filter(|text| number(text).is_some()).all(|text| compact(text).is_some()) => {
                TimeKind::Compact
            }
            () if numbers().all(|number| SERIAL_DAYS.contains(&number)) => TimeKind::Serial,
            () => TimeKind::SinceEpoch,
        };
        if kind == TimeKind::SinceEpoch
            && let Some(row) =
                cells.clone().position(|text| text.contains(['e', 'E']) && number(text).is_some())
        {
            return Err(UnclearTimes::Rounded { row });
        }
        let zone = options.zone();
        let order = if kind == TimeKind::Text { order_of(cells.clone(), options)? } else { None };
        let form = Self { kind, order, zone };
        if kind == TimeKind::Text {
            let mut read = some().map(|text| form.read(text));
            if form.zone.is_none()
                && let Some(row) = read.position(|cell| matches!(cell, Some(WrittenTime::Abbreviated(..))))
            {
                return Err(UnclearTimes::Abbreviation { row: row * step });
            }
            if others == 0
                && let Some(row) = cells.clone().position(|text| time_of_day(text).is_some())
            {
                return Err(UnclearTimes::NoDate { row });
            }
        }
        Ok(form)
    }

    pub(super) fn kind(&self) -> TimeKind {
        self.kind
    }

    /// One cell.
    fn read(&self, text: &str) -> Option<WrittenTime> {
        match self.kind {
            TimeKind::SinceEpoch => since_epoch(number(text)?).map(WrittenTime::Instant),
            TimeKind::Serial => {
                let days = number(text).filter(|days| SERIAL_DAYS.contains(days))?;
                from_millis((days - UNIX_EPOCH_DAYS) * DAY_MS).map(|at| {
                    self.zone.as_ref().map_or(WrittenTime::Instant(at), |_| {
                        WrittenTime::Local(at.to_zoned(TimeZone::UTC).datetime())
                    })
                })
            }
            TimeKind::Compact => compact(text).map(WrittenTime::Local),
            TimeKind::Text => written(text, self.order),
        }
    }

    /// The instants of a column, from its first row to the last. An hour that occurs twice, when clocks are set back, is
    /// distinguished by the order of the rows.
    pub(super) fn instants<'a>(&self, cells: impl Iterator<Item = &'a str>) -> Vec<Option<UtcMillis>> {
        let cells: Vec<Option<WrittenTime>> = cells.map(|text| self.read(text)).collect();
        let local = |cell: &Option<WrittenTime>| match cell {
            Some(WrittenTime::Local(at) | WrittenTime::Abbreviated(at, _)) => Some(*at),
            _ => None,
        };
        let times: Vec<DateTime> = cells.iter().filter_map(local).collect();
        let backwards = times.windows(2).filter(|pair| pair[1] < pair[0]).count() * 2 > times.len();
        let mut instants = vec![None; cells.len()];
        let mut last: Option<Timestamp> = None;
        let rows = 0..cells.len();
        let mut one = |row: usize| {
            instants[row] = cells[row].as_ref().and_then(|cell| self.instant(cell, last));
            last = instants[row].or(last);
        };
        if backwards {
            rows.rev().for_each(&mut one)
        } else {
            rows.for_each(&mut one)
        }
        instants.into_iter().map(|at| at.map(|at| UtcMillis(at.as_millisecond()))).collect()
    }

    fn instant(&self, cell: &WrittenTime, last: Option<Timestamp>) -> Option<Timestamp> {
        let (at, abbreviation) = match cell {
            WrittenTime::Instant(at) => return Some(*at),
            WrittenTime::Local(at) => (*at, None),
            WrittenTime::Abbreviated(at, abbreviation) => (*at, Some(abbreviation)),
        };
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let with = |offset: Offset| offset.to_timestamp(at).ok();
        let is_meant = |at: &Timestamp| {
            abbreviation
                .is_none_or(|meant| zone.to_offset_info(*at).abbreviation().eq_ignore_ascii_case(meant))
        };
        match zone.to_ambiguous_timestamp(at).offset() {
            AmbiguousOffset::Unambiguous { offset } => with(offset).filter(is_meant),
            // No clock of this zone has shown it.
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Fold { before, after } => {
                let (earlier, later) = (with(before)?, with(after)?);
                if abbreviation.is_some() {
                    return [earlier, later].into_iter().find(is_meant);
                }
                Some(if last.is_some_and(|last| earlier < last && last <= later) { later } else { earlier })
            }
        }
    }
}

/// Whether a cell is a date, with or without a time of day, in whatever order.
pub(super) fn is_date(text: &str) -> bool {
    any_order(text).is_some()
}

/// Whether a cell is a date without a time of day.
pub(super) fn is_bare_date(text: &str) -> bool {
    !text.contains(':') && is_date(text)
}

fn any_order(text: &str) -> Option<WrittenTime> {
    written(text, Some(DateOrder::DayFirst)).or_else(|| written(text, Some(DateOrder::MonthFirst)))
}

/// A time of day alone.
pub(super) fn time_of_day(text: &str) -> Option<Time> {
    let text = tidy(text);
    let (time, rest) = clock(&text)?;
    rest.is_empty().then_some(time)
}

/// A number that may be a time. A decimal comma does no harm here.
fn number(text: &str) -> Option<f64> {
    let number = text.parse::<f64>().or_else(|_| text.replacen(',', ".", 1).parse()).ok()?;
    number.is_finite().then_some(number)
}

/// `20260301`, `202603010004` or `20260301000400`.
fn compact(text: &str) -> Option<DateTime> {
    let pattern = match text.len() {
        8 => "%Y%m%d",
        12 => "%Y%m%d%H%M",
        14 => "%Y%m%d%H%M%S",
        _ => return None,
    };
    let parsed = BrokenDownTime::parse(pattern, text)
        .ok()
        .filter(|_| text.starts_with("19") || text.starts_with("20"))?;
    let time = if text.len() == 8 { Time::midnight() } else { parsed.to_time().ok()? };
    Some(parsed.to_date().ok()?.to_datetime(time))
}

/// Day or month first: by the dates that can be only one of both, or by what the options say.
fn order_of<'a>(
    cells: impl Iterator<Item = &'a str>,
    options: &TableArgs,
) -> Result<Option<DateOrder>, UnclearTimes> {
    match (options.day_first, options.month_first) {
        (true, _) => return Ok(Some(DateOrder::DayFirst)),
        (_, true) => return Ok(Some(DateOrder::MonthFirst)),
        _ => {}
    }
    let (mut day, mut month, mut open) = (None, None, None);
    for (row, text) in cells.enumerate() {
        match leading_pair(text) {
            Some((13.., _)) => day = day.or(Some(row)),
            Some((_, 13..)) => month = month.or(Some(row)),
            Some((first, second)) if first != second => open = open.or(Some(row)),
            _ => {}
        }
    }
    match (day, month, open) {
        (Some(day), Some(month), _) => Err(UnclearTimes::Mixed { day, month }),
        (Some(_), None, _) => Ok(Some(DateOrder::DayFirst)),
        (None, Some(_), _) => Ok(Some(DateOrder::MonthFirst)),
        (None, None, Some(row)) => Err(UnclearTimes::Order { row }),
        // Only days such as 3/3/2026.
        (None, None, None) => Ok(Some(DateOrder::DayFirst)),
    }
}

/// The two numbers that a date begins with, where day and month may be meant. Between points the day stands first, as
/// in every known form.
fn leading_pair(text: &str) -> Option<(u8, u8)> {
    let mark = text.find(['/', '-']).filter(|at| (1..=2).contains(at))?;
    let rest = &text[mark + 1..];
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    (rest[end..].starts_with(&text[mark..=mark])).then_some(())?;
    Some((text[..mark].parse().ok()?, rest[..end].parse().ok()?))
}

#[cfg(test)]
mod tests;
