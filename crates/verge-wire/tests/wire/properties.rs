//! What holds for every message and every byte.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use verge_domain::id::{Identity, Lane, Seq};
use verge_domain::stage::{Envelope, StoredRow, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Withdrawal;
use verge_wire::{
    Message, WireFormat, WireLimits, read_message, read_tombstone, read_verdict, tombstone_json, verdict_json,
};

use crate::samples::{envelope, identity, rows, stored, withdrawn, written};
use crate::strategies::{lane_and_verdicts, reason};

/// Stored rows of both kinds: `gone` has an entry for each verdict, and neighbours that go go together.
fn mixed(lane: Lane, verdicts: &[Verdict], gone: &[Option<Withdrawal>]) -> Vec<StoredRow> {
    let rows = rows(verdicts);
    let paired: Vec<(&StoredRow, Option<Withdrawal>)> =
        rows.iter().zip(gone.iter().copied().chain(std::iter::repeat(None))).collect();
    paired
        .chunk_by(|one, next| one.1.is_some() && one.1 == next.1)
        .map(|run| {
            let stored: Vec<StoredRow> = run.iter().map(|(row, _)| (*row).clone()).collect();
            match run[0].1 {
                Some(reason) => withdrawn(lane, &stored, reason),
                None => stored[0].clone(),
            }
        })
        .collect()
}

fn gone() -> impl Strategy<Value = Vec<Option<Withdrawal>>> {
    prop::collection::vec(prop::option::weighted(0.3, reason()), 0..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back((lane, verdicts) in lane_and_verdicts(), gone in gone(), age in any::<u64>()) {
        let age = Duration::from_millis(age);
        let Envelope { gateway, epoch, sent, .. } = envelope(lane);
        let rows = mixed(lane, &verdicts, &gone);
        let tombstones = rows.iter().filter_map(|row| read_tombstone(row).unwrap()).collect();
        let left = (1..).zip(&verdicts).filter(|(seq, _)| {
            rows.iter().any(|row| row.seq.0 == *seq && row.withdrawn.is_none())
        });
        let verdicts = left.map(|(seq, verdict)| (Seq(seq), verdict.clone())).collect();
        let expected = Message { gateway, epoch, lane, sent, age, volatile: false, verdicts, tombstones };
        for (seq, verdict) in &expected.verdicts {
            let row = stored(seq.0, verdict);
            prop_assert_eq!(&read_verdict(&row.bytes, lane).unwrap(), &(*seq, verdict.clone()));
        }
        for format in [WireFormat::Cbor, WireFormat::Json] {
            let bytes = written(format, &Envelope { age, ..envelope(lane) }, &rows);
            prop_assert_eq!(&read_message(&bytes, WireLimits::default()).unwrap(), &expected, "{:?}", format);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), form in 0u8..4) {
        let mut bytes = bytes;
        if let (Some(first), Some(tag)) = (bytes.first_mut(), [0, 1, b'{'].get(usize::from(form))) {
            *first = *tag;
        }
        if read_message(&bytes, WireLimits { max_message_bytes: 4096 }).is_ok() {
            prop_assert!(bytes.len() > 16);
        }
        if read_verdict(&bytes, Lane::Verdict).is_ok() {
            prop_assert!(bytes.len() > 16);
        }
        check_stored_summary(bytes);
    }

    #[test]
    fn damaged_messages_never_panic(
        (lane, verdicts) in lane_and_verdicts(),
        gone in gone(),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
        cut in any::<prop::sample::Index>(),
    ) {
        let rows = mixed(lane, &verdicts, &gone);
        for row in rows.iter().filter(|row| row.withdrawn.is_some()) {
            let mut bytes = row.bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            check_stored_summary(bytes);
        }
        for format in [WireFormat::Cbor, WireFormat::Json] {
            let bytes = written(format, &envelope(lane), &rows);
            prop_assert!(read_message(&bytes[..cut.index(bytes.len())], WireLimits::default()).is_err());
            let mut damaged = bytes;
            let at = at.index(damaged.len());
            damaged[at] ^= mask;
            if let Ok(message) = read_message(&damaged, WireLimits::default()) {
                check_usable(&message);
            }
        }
    }
}

/// Whatever can be read can also be put into words and written again.
fn check_usable(message: &Message) {
    assert!(!message.verdicts.is_empty() || !message.tombstones.is_empty());
    for (seq, verdict) in &message.verdicts {
        assert_eq!(*seq == Seq::ZERO, message.volatile);
        let identity = Identity { seq: *seq, ..identity(0, message.lane) };
        assert!(verdict_json(&identity, verdict).is_object());
        assert!(!stored(seq.0, verdict).bytes.is_empty());
    }
    for tombstone in &message.tombstones {
        assert!(Seq::ZERO < tombstone.from && tombstone.from <= tombstone.through);
        assert!(tombstone_json(&message.gateway, message.epoch, message.lane, tombstone).is_object());
    }
}

fn check_stored_summary(bytes: Vec<u8>) {
    let gone = Some(Withdrawn { through: Seq(9), reason: Withdrawal::Expired });
    let row = StoredRow { seq: Seq(2), decided: UtcMillis(0), bytes: Bytes::from(bytes), withdrawn: gone };
    if let Ok(tombstone) = read_tombstone(&row) {
        assert_eq!(tombstone.expect("a tombstone").through, Seq(9));
    }
}
