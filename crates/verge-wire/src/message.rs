//! A message: as a receiver reads it, as it travels, and what holds for every one whatever its form.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserializer, Serializer};
use verge_domain::id::{Epoch, GatewayId, Lane, Seq};
use verge_domain::stage::{Envelope, StoredRow};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Tombstone;

use crate::portable::{CborReader, CborWriter, Field, Omissible as _, Portable, Written};
use crate::record::record;
use crate::scalar::{Absolute, json_within};
use crate::stored::RowList;
use crate::tombstone::{WireTombstone, check_range};
use crate::verdict::WireVerdict;
use crate::{VERSION, WireError};

/// One message, as a receiver reads it. One that holds neither verdict nor tombstone was sent to see whether it arrives.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its store.
    pub epoch: Epoch,
    /// The lane of everything in it.
    pub lane: Lane,
    /// When it was put together.
    pub sent: UtcMillis,
    /// How long before that its oldest verdict was made, in whole milliseconds.
    pub age: Duration,
    /// The store had failed: these are alarms without a number (theirs is zero), to be shown and not stored
    /// under a number. They come again with one.
    pub volatile: bool,
    /// The verdicts with their numbers.
    pub verdicts: Vec<(Seq, Verdict)>,
    /// What stands in place of verdicts that will not come.
    pub tombstones: Vec<Tombstone>,
}

impl Message {
    /// Reads one, whatever its form.
    pub(crate) fn of(message: WireMessage<'_>) -> Result<Self, WireError> {
        let WireMessage { v, gateway, epoch, lane, sent, verdicts, age_ms, volatile, tombstones } = message;
        Version::check(v)?;
        if verdicts.is_none() && tombstones.is_absent() {
            return Err(WireError::Nothing);
        }
        let message = Self {
            gateway: gateway.into_owned(),
            epoch,
            lane,
            sent,
            age: Duration::from_millis(age_ms),
            volatile,
            verdicts: verdicts.unwrap_or_default().into_read(|verdict| verdict.into_verdict(lane))?,
            tombstones: tombstones.into_read(WireTombstone::into_tombstone)?,
        };
        let numbers = message.verdicts.iter().map(|(seq, _)| *seq);
        check_numbers(lane, volatile, numbers, message.tombstones.len())?;
        Ok(message)
    }
}

/// A message as it travels.
pub(crate) struct WireMessage<'a> {
    v: u64,
    gateway: Cow<'a, GatewayId>,
    epoch: Epoch,
    lane: Lane,
    sent: UtcMillis,
    verdicts: Option<RowList<'a, WireVerdict<'a>>>,
    age_ms: u64,
    volatile: bool,
    tombstones: RowList<'a, WireTombstone<'a>>,
}

record! {
    [WireMessage { v, gateway, epoch, lane, sent, verdicts, age_ms, volatile, tombstones }]
    WireMessage<'_> as WireMessage<'static>: "message" {
        0 v (Version),
        1 gateway,
        2 epoch,
        3 lane,
        4 sent (Absolute),
        5 verdicts optional,
        6 age_ms late,
        7 volatile optional,
        8 tombstones optional,
    }
}

/// The version of the schema. In front of everything: what is missing or of another type in a later version is not said to
/// be wrong.
struct Version(u64);

impl Version {
    fn check(found: u64) -> Result<Self, WireError> {
        if found == u64::from(VERSION) { Ok(Self(found)) } else { Err(WireError::Version { found }) }
    }
}

impl Portable for Version {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        self.0.write(cbor, field)
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        Self::check(u64::read(cbor, field)?)
    }

    // Unchecked: an error of JSON could not say which version it is.
    json_within!();
}

impl<'a> WireMessage<'a> {
    pub(crate) fn of(envelope: &'a Envelope, rows: &'a [StoredRow]) -> Result<Self, WireError> {
        check_rows(envelope, rows)?;
        let Envelope { gateway, epoch, lane, sent, age, volatile } = envelope;
        // A message of nothing has an empty list: a receiver that looks for one finds it.
        let listed = rows.is_empty() || rows.iter().any(|row| row.withdrawn.is_none());
        Ok(Self {
            v: u64::from(VERSION),
            gateway: Cow::Borrowed(gateway),
            epoch: *epoch,
            lane: *lane,
            sent: *sent,
            verdicts: listed.then_some(RowList::Stored(rows)),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            volatile: *volatile,
            tombstones: RowList::Stored(rows),
        })
    }
}

fn check_rows(envelope: &Envelope, rows: &[StoredRow]) -> Result<(), WireError> {
    let numbers = rows.iter().filter(|row| row.withdrawn.is_none()).map(|row| row.seq);
    let tombstones = rows.iter().filter(|row| row.withdrawn.is_some());
    check_numbers(envelope.lane, envelope.volatile, numbers, tombstones.clone().count())?;
    tombstones.into_iter().try_for_each(|row| check_range(row.seq, row.through()))
}

fn check_numbers(
    lane: Lane,
    volatile: bool,
    numbers: impl Iterator<Item = Seq>,
    tombstones: usize,
) -> Result<(), WireError> {
    let mut empty = tombstones == 0;
    for seq in numbers {
        empty = false;
        // A number zero stored by a receiver would hide every later alarm that has none.
        match (volatile, seq) {
            (true, Seq::ZERO) => {}
            (false, Seq::ZERO) => return Err(WireError::NoNumber),
            (true, _) => return Err(WireError::Volatile),
            (false, _) => {}
        }
    }
    // A message of nothing proves that messages arrive; of alarms that have no number there is one at least.
    if empty && volatile {
        return Err(WireError::Nothing);
    }
    if volatile && (lane != Lane::Alarm || tombstones > 0) { Err(WireError::Volatile) } else { Ok(()) }
}
