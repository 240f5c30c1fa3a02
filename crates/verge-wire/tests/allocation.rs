//! What memory costs: none for a verdict that is stored, and never more than a peer has really sent, whatever lengths it
//! states. One test, because allocations of other threads would be counted too.

use std::alloc::System;

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verge_domain::finding::{Contribution, Expected, Feedback, Member};
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, Identity, JudgeId, Lane, Seq, SignalId, SourceId,
};
use verge_domain::stage::{Encoder, StoredRow, Withdrawn};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    AlarmHandling, Anomaly, Body, Detector, Event, EventState, Severity, Subject, Times, Verdict,
};
use verge_domain::withdrawn::Withdrawal;
use verge_wire::{WireEncoder, WireFormat, WireLimits, read_message, read_tombstone, read_verdict};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// An error costs its message; nothing that a peer states may cost more.
const ERROR_BYTES: usize = 1024;

fn allocated(work: impl FnOnce()) -> usize {
    let region = Region::new(MEMORY);
    work();
    region.change().bytes_allocated
}

fn a_stored_verdict_costs_nothing() {
    let name = "a name";
    let at = UtcMillis(1_700_000_000_000);
    let verdict = Verdict {
        judge: JudgeId::new("j").expect(name),
        subject: Subject {
            source: SourceId::new("s").expect(name),
            device: DeviceId::new("d").expect(name),
            signal: SignalId::new("x").ok(),
        },
        times: Times {
            captured: Some(at),
            clock: DeviceClock::Trusted,
            received: at,
            decided: at,
            estimated: false,
        },
        detector: Detector::Multi,
        tag: None,
        model: None,
        severity: Severity::Warning,
        lane: Lane::Alarm,
        event: Some(Event {
            id: EventId([7; 16]),
            state: EventState::Raised,
            since: at,
            lasted_ms: 0,
            number: None,
            change: None,
            suspended: false,
            learning: false,
            group: None,
            handling: AlarmHandling::default(),
        }),
        group: None,
        action: None,
        body: Body::Anomaly(Anomaly {
            member: Member::Machine,
            observed: 7.1,
            expected: Expected { low: None, high: Some(5.0) },
            p_value: Some(1e-6),
            unit: None,
            contributions: vec![Contribution {
                signal: SignalId::new("x").expect(name),
                share: 1.0,
                observed: 3.0,
                expected: Expected::default(),
            }],
            feedback: Feedback { maintenance: 1, real: 0 },
            distance: None,
            value: None,
            usual: Expected::default(),
            value_unit: None,
            regions: verge_domain::verdict::Regions::default(),
        }),
    };
    let gateway = GatewayId::new("g").expect(name);
    let identity = Identity { gateway, epoch: Epoch([1; 16]), lane: Lane::Alarm, seq: Seq(1) };
    let mut encoder = WireEncoder::new(WireFormat::Cbor);
    let mut out = Vec::with_capacity(1024);
    let cost = allocated(|| encoder.verdict(&identity, &verdict, &mut out).expect("a good verdict"));
    assert_eq!((cost, out.is_empty()), (0, false));
}

fn stated_lengths_cost_nothing() {
    let check = |what: &str, bytes: &[u8]| {
        let cost = allocated(|| {
            assert!(read_message(bytes, WireLimits::default()).is_err(), "{what}");
            assert!(read_verdict(bytes, Lane::Alarm).is_err(), "{what}");
        });
        assert!(cost <= ERROR_BYTES + 255 * bytes.len(), "{what}: {cost} bytes for {}", bytes.len());
    };
    // Every major type that states a length, in every width, alone and where the schema has a place for it.
    for major in [0x40u8, 0x60, 0x80, 0xa0] {
        for (info, length) in [(0x18u8, 1usize), (0x19, 2), (0x1a, 4), (0x1b, 8)] {
            let head = [&[major | info][..], &vec![0xff; length]].concat();
            check("a head alone", &head);
            check("a head as the message", &[&[0], &head[..]].concat());
            for key in 0..=8 {
                let map = [&[0, 0xa6, 0, 1, 3, 0, key][..], &head].concat();
                check("a head as a field", &map);
            }
            for key in [0u8, 1, 3, 9, 11, 20, 21, 22] {
                let verdict = [&[0, 0xa2, 3, 0, 5, 0x81, 0xa1, key][..], &head].concat();
                check("a head in a verdict", &verdict);
            }
            for key in 0..=4 {
                check("a head in a tombstone", &[&[0, 0xa1, 8, 0x81, 0xa1, key][..], &head].concat());
            }
            for key in 0..=7 {
                let summary = [&[0, 0xa1, 8, 0x81, 0xa1, 4, 0x81, 0xa1, key][..], &head].concat();
                check("a head in a summary", &summary);
                let row = StoredRow {
                    seq: Seq(1),
                    decided: UtcMillis(0),
                    bytes: Bytes::copy_from_slice(&summary[6..]),
                    withdrawn: Some(Withdrawn { through: Seq(1), reason: Withdrawal::Expired }),
                };
                let cost = allocated(|| assert!(read_tombstone(&row).is_err()));
                assert!(cost <= ERROR_BYTES, "a stored summary: {cost} bytes");
            }
        }
    }
    // Blocks that claim everything up to the limit and beyond.
    for claimed in [1u32, 255, 256, 65_536, 1 << 20, (1 << 20) + 1, u32::MAX] {
        for block in [&[][..], &[0], &[0xf0, 0xff, 0xff], &[0x1f, b'a', 1, 0, 0xff, 0xff]] {
            let bytes = [&[1][..], &claimed.to_le_bytes(), block].concat();
            check("a block", &bytes);
        }
    }
}

#[test]
fn memory_follows_what_is_there() {
    a_stored_verdict_costs_nothing();
    stated_lengths_cost_nothing();
}
