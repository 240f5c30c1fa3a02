//! A tombstone as it travels, and what stands in it of the verdicts whose place it takes.

use std::borrow::Cow;

use verge_domain::id::{DeviceId, JudgeId, Seq, SignalId};
use verge_domain::stage::StoredRow;
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::{Summary, Tombstone, Withdrawal};

use crate::WireError;
use crate::portable::{CborReader, CborWriter, Omissible as _, Portable as _};
use crate::record::record;
use crate::scalar::Absolute;
use crate::stored::Stored;

/// One tombstone.
pub(crate) struct WireTombstone<'a> {
    from: Seq,
    through: Seq,
    reason: Withdrawal,
    at: UtcMillis,
    summary: Stored<'a, Vec<WireSummary<'a>>>,
}

record! {
    [WireTombstone { from, through, reason, at, summary }]
    WireTombstone<'_> as WireTombstone<'static>: "tombstone" { 0 from, 1 through, 2 reason, 3 at (Absolute), 4 summary optional }
}

/// What the verdicts of one judge on one subject said. It is stored before anything else of its tombstone is known.
pub(crate) struct WireSummary<'a> {
    judge: Cow<'a, JudgeId>,
    device: Option<Cow<'a, DeviceId>>,
    signal: Option<Cow<'a, SignalId>>,
    count: u64,
    first: UtcMillis,
    last: UtcMillis,
    low: Option<f64>,
    high: Option<f64>,
}

record! {
    [WireSummary { judge, device, signal, count, first, last, low, high }]
    WireSummary<'_> as WireSummary<'static>: "summary" {
        0 judge,
        1 device optional,
        2 signal optional,
        3 count,
        4 first (Absolute),
        5 last (Absolute),
        6 low optional,
        7 high optional,
    }
}

impl<'a> WireTombstone<'a> {
    pub(crate) fn of(tombstone: &'a Tombstone) -> Self {
        let Tombstone { from, through, reason, at, ref summary } = *tombstone;
        let summary = Stored::Read(summary.iter().map(WireSummary::of).collect());
        Self { from, through, reason, at, summary }
    }

    /// The row, if it is a tombstone.
    pub(crate) fn of_row(row: &'a StoredRow) -> Option<Self> {
        let withdrawn = row.withdrawn?;
        let (from, through, reason) = (row.seq, withdrawn.through, withdrawn.reason);
        Some(Self { from, through, reason, at: row.decided, summary: Stored::Bytes(&row.bytes) })
    }

    pub(crate) fn into_tombstone(self) -> Result<Tombstone, WireError> {
        let Self { from, through, reason, at, summary } = self;
        check_range(from, through)?;
        let summary = if summary.is_absent() { Vec::new() } else { summary.into_value()? };
        let summary = summary.into_iter().map(WireSummary::into_summary).collect::<Result<_, _>>()?;
        Ok(Tombstone { from, through, reason, at, summary })
    }
}

impl<'a> WireSummary<'a> {
    fn of(summary: &'a Summary) -> Self {
        let Summary { judge, device, signal, count, first, last, range } = summary;
        Self {
            judge: Cow::Borrowed(judge),
            device: device.as_ref().map(Cow::Borrowed),
            signal: signal.as_ref().map(Cow::Borrowed),
            count: *count,
            first: *first,
            last: *last,
            low: range.map(|(low, _)| low),
            high: range.map(|(_, high)| high),
        }
    }

    fn into_summary(self) -> Result<Summary, WireError> {
        let Self { judge, device, signal, count, first, last, low, high } = self;
        if signal.is_some() && device.is_none() {
            return Err(WireError::Missing { field: "summary device" });
        }
        let range = match (low, high) {
            (Some(low), Some(high)) => Some((low, high)),
            (None, None) => None,
            (None, Some(_)) => return Err(WireError::Missing { field: "summary low" }),
            (Some(_), None) => return Err(WireError::Missing { field: "summary high" }),
        };
        let (device, signal) = (device.map(Cow::into_owned), signal.map(Cow::into_owned));
        Ok(Summary { judge: judge.into_owned(), device, signal, count, first, last, range })
    }
}

/// The numbers of a tombstone.
pub(crate) fn check_range(from: Seq, through: Seq) -> Result<(), WireError> {
    if from == Seq::ZERO || from > through { Err(WireError::Range { from, through }) } else { Ok(()) }
}

/// Reads the stored form of summaries; of no bytes, none.
pub(crate) fn read_summaries(bytes: &[u8]) -> Result<Vec<Summary>, WireError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let summaries: Vec<WireSummary<'_>> = CborReader::read_all(bytes, "summary")?;
    summaries.into_iter().map(WireSummary::into_summary).collect()
}

/// Writes the stored form of summaries.
pub(crate) fn write_summaries(summaries: &[Summary], out: &mut Vec<u8>) -> Result<(), WireError> {
    let summaries: Vec<WireSummary<'_>> = summaries.iter().map(WireSummary::of).collect();
    summaries.write(&mut CborWriter::new(out), "summary")
}
