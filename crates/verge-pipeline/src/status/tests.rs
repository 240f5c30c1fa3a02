//! The document byte by byte.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use verge_domain::countable::{Countability, LineSightings, SeenLines};
use verge_domain::id::{DeviceId, Epoch, GatewayId, JudgeId, LinkId, PlaceId, RouteId, Seq, SourceId};
use verge_domain::life::{EarlierEpoch, Life, Run, RunId};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::rejection::Reason;
use verge_domain::stage::StoreUsage;
use verge_domain::time::{Moment, Monotonic, UtcMillis};

use super::*;
use crate::board::LastWords;
use crate::counters::StoreAccount;
use crate::delivery::LinkCounters;
use crate::frames::FrameOverload;
use crate::judging::{CountedLines, JudgeRate};

const AT: i64 = 1_790_000_000_000;

fn counters() -> Counters {
    let counters = Counters::new([SourceId::new("pump").unwrap(), SourceId::new("yard").unwrap()]);
    let pump = &counters.sources()[0];
    pump.messages_received_total.add(9);
    pump.messages_judged_total.add(7);
    pump.messages_refused_total.add(1);
    pump.bytes_received_total.add(1_000);
    pump.readings_judged_total.add(7);
    pump.reject(Reason::NotANumber);
    pump.received_at(UtcMillis(AT - 1_500));
    counters.clock_steps_total.add(2);
    counters.last_clock_step_ms.store(-7_000, Ordering::Relaxed);
    counters.frame_age.note([Duration::from_millis(3)].into_iter());
    counters.frame_judging.note([Duration::from_millis(8)].into_iter());
    counters.commit_latency.note([Duration::from_millis(5)].into_iter());
    counters.committed_total[0].add(4);
    counters.commits_total.add(3);
    counters.raises_held_back_total.add(1);
    counters.note_alarm_rates(vec![JudgeRate {
        judge: JudgeId::new("auto").unwrap(),
        instances: 3,
        alarms: 2,
        seconds: 1e6,
        expected_per_second: 1e-6,
        unsupported: 1,
        supported_at: Some(UtcMillis(AT + 1)),
        rarest: None,
        suggestion: None,
    }]);
    let line = LineSightings {
        line: PlaceId::new("north").unwrap(),
        crossings: 40,
        before: 7,
        after: 2,
        verdict: Countability::Few,
    };
    counters.note_counted_lines(vec![CountedLines {
        judge: JudgeId::new("junction").unwrap(),
        device: DeviceId::new("gate").unwrap(),
        seen: SeenLines { frames_per_s: Some(4.9), lines: vec![line] },
    }]);
    counters.note_judging(JudgingAccount { instances: 3, devices: 2, bytes: 4_000, cap_bytes: 9_000 });
    counters.note_maintenance(vec![MaintenanceWindow {
        device: DeviceId::new("pump-1").unwrap(),
        signal: None,
        judge: JudgeId::new("auto").ok(),
        source: None,
        until: UtcMillis(AT + 60_000),
        by: None,
        note: None,
    }]);
    let mut usage = StoreUsage { used_bytes: 5_000, cap_bytes: 90_000, ..StoreUsage::default() };
    usage.withdrawn[1] = 2;
    usage.states.bytes = 700;
    counters.note_store(StoreAccount {
        oldest: [Seq(2), Seq(1), Seq(1)],
        last: [Seq(4), Seq(0), Seq(0)],
        usage,
    });
    counters
}

fn status() -> Status {
    let life = Life {
        epoch: Epoch([0xab; 16]),
        count: 5,
        runs: vec![Run { id: 77, began: [0; 3] }],
        earlier: vec![EarlierEpoch {
            epoch: Epoch([1; 16]),
            run: RunId { count: 4, id: 66 },
            last: [1, 2, 3],
        }],
    };
    let settings = StatusSettings {
        gateway: GatewayId::new("trial").unwrap(),
        site: Some("north".to_owned()),
        version: "1.2.3",
        life: Arc::new(life),
        provider: Some("CPU"),
    };
    let link = Arc::new(LinkCounters::new(LinkId::new("wan").unwrap(), Some(1 << 20)));
    link.bytes_offered_total.add(300);
    let route = RouteCounters::new(vec![link]);
    route.bytes_offered_total.add(300);
    route.messages_offered_total.add(4);
    let camera = Camera { source: SourceIndex(1), device: DeviceId::new("gate").unwrap() };
    let local = move || LocalState {
        connected: true,
        connections: 1,
        last_oversized: Some("a/b (9 bytes)".to_owned()),
        unknown_topics: 6,
        broker: Some(BrokerStatus { serving: true, since: Some(AT - 9_000), ..BrokerStatus::default() }),
        certificates: vec![CertificateStatus {
            key: "uplink.wan.cert".to_owned(),
            state: "valid",
            ..CertificateStatus::default()
        }],
        cameras: vec![(camera.clone(), Duration::from_secs(2))],
        ..LocalState::default()
    };
    let routes = vec![(RouteId::new("centre").unwrap(), Arc::new(route))];
    let started = Moment { wall: UtcMillis(AT - 100_000), mono: Monotonic(0) };
    let board = Arc::new(LastWords::default());
    Status::new(settings, (Arc::new(counters()), board), routes, local, started)
}

#[test]
fn the_document_is_written_as_ever() {
    let now = Moment { wall: UtcMillis(AT), mono: Monotonic(100_000_000) };
    let document = status().document(now, false);
    let document = std::str::from_utf8(&document).unwrap();
    // As version 0.1.0 wrote it; keys are only ever added, at the end.
    let before = include_str!("document.json").trim_end().strip_suffix('}').unwrap();
    let added = r#","events":{"open":0,"critical":0,"warning":0,"info":0,"restored":0},"alarms":{"standing":0,"unacknowledged":0,"shelved":0,"stale":0,"last_ten_minutes":0,"peak_of_day":0,"floods":0},"provider":"CPU"}"#;
    assert_eq!(document, format!("{before}{added}"));
}

#[test]
fn what_frames_give_up_stands_beside_how_long_they_take() {
    let counters = counters();
    let said = |counters: &Counters| serde_json::to_value(FramesStatus::of(counters)).unwrap();
    assert_eq!(said(&counters).get("given_up"), None);
    let overload = FrameOverload { given_up: GivenUp::Models, below: 2 };
    counters.note_overload(overload, UtcMillis(AT));
    counters.note_overload(FrameOverload { below: 3, ..overload }, UtcMillis(AT + 5_000));
    let said = said(&counters);
    assert_eq!(
        (&said["given_up"], &said["given_up_since"], &said["below_least"]),
        (&"models".into(), &AT.into(), &3.into())
    );
}
