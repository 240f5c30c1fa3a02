//! One tombstone, and its summaries.

use minicbor::Decoder;
use verge_domain::id::{DeviceId, JudgeId, Seq, SignalId};
use verge_domain::withdrawn::{Summary, Tombstone, Withdrawal};

use super::items::{Field, entries, float, list, name, time};
use crate::message::{check_range, check_summary, range};
use crate::{WireError, code};

/// One tombstone.
pub(super) fn tombstone(cbor: &mut Decoder<'_>) -> Result<Tombstone, WireError> {
    use code::tombstone as key;
    let (mut from, mut through) = (Field::new("tombstone from"), Field::new("tombstone through"));
    let (mut reason, mut at) = (Field::new("reason"), Field::new("withdrawn at"));
    let mut summary = Field::new("summary");
    entries(cbor, "tombstone", |key, cbor| match key {
        key::FROM => from.set(Seq(cbor.u64()?)),
        key::THROUGH => through.set(Seq(cbor.u64()?)),
        key::REASON => reason.set(read_reason(cbor.u64()?)?),
        key::AT => at.set(time(cbor.i64()?, "withdrawn at")?),
        key::SUMMARY => summary.set(summaries(cbor)?),
        _ => Ok(cbor.skip()?),
    })?;
    let (from, through) = (from.take()?, through.take()?);
    check_range(from, through)?;
    let summary = summary.optional().unwrap_or_default();
    Ok(Tombstone { from, through, reason: reason.take()?, at: at.take()?, summary })
}

fn read_reason(found: u64) -> Result<Withdrawal, WireError> {
    Withdrawal::from_code(found).ok_or(WireError::UnknownCode { field: "reason", found })
}

/// Summaries, as stored and as sent.
pub(super) fn summaries(cbor: &mut Decoder<'_>) -> Result<Vec<Summary>, WireError> {
    list(cbor, "summary", one_summary)
}

fn one_summary(cbor: &mut Decoder<'_>) -> Result<Summary, WireError> {
    use code::summary as key;
    let (mut judge, mut device) = (Field::new("summary judge"), Field::new("summary device"));
    let (mut signal, mut count) = (Field::new("summary signal"), Field::new("summary count"));
    let (mut first, mut last) = (Field::new("summary first"), Field::new("summary last"));
    let (mut low, mut high) = (Field::new("summary low"), Field::new("summary high"));
    entries(cbor, "summary", |key, cbor| match key {
        key::JUDGE => judge.set(name(cbor, "judge", JudgeId::new)?),
        key::DEVICE => device.set(name(cbor, "device", DeviceId::new)?),
        key::SIGNAL => signal.set(name(cbor, "signal", SignalId::new)?),
        key::COUNT => count.set(cbor.u64()?),
        key::FIRST => first.set(time(cbor.i64()?, "summary first")?),
        key::LAST => last.set(time(cbor.i64()?, "summary last")?),
        key::LOW => low.set(float(cbor, "summary low")?),
        key::HIGH => high.set(float(cbor, "summary high")?),
        _ => Ok(cbor.skip()?),
    })?;
    check_summary(Summary {
        judge: judge.take()?,
        device: device.optional(),
        signal: signal.optional(),
        count: count.take()?,
        first: first.take()?,
        last: last.take()?,
        range: range(low.optional(), high.optional())?,
    })
}
