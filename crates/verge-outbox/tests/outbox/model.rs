//! The store against a model of it, in any order of calls.

use std::time::Duration;

use proptest::prelude::*;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{MarkStore, NewRow, RowStore, Store};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_outbox::{MIN_CAP_BYTES, Outbox, OutboxSettings};

#[derive(Debug, Clone)]
enum Call {
    Commit {
        lane: usize,
        count: u8,
    },
    /// Marks up to this share of a lane.
    Mark {
        route: usize,
        lane: usize,
        percent: u8,
    },
    Sweep,
    Restart,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0_usize..3, 1_u8..40).prop_map(|(lane, count)| Call::Commit { lane, count }),
        3 => (0_usize..2, 0_usize..3, 0_u8..=100).prop_map(|(route, lane, percent)| Call::Mark { route, lane, percent }),
        2 => Just(Call::Sweep),
        1 => Just(Call::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Numbers stay dense, nothing undelivered is evicted, what was evicted had been delivered on every route.
    #[test]
    fn nothing_is_lost(calls in prop::collection::vec(call(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let settings = OutboxSettings {
            dir: folder.path().to_owned(),
            cap_bytes: 64 * MIN_CAP_BYTES,
            replay_age: Duration::ZERO,
            replay_bytes: 0,
            states_bytes: 1 << 20,
            ballast_bytes: 0,
            drop_oldest: false,
            lives: [None; 3],
            key: None,
        };
        let routes = ["a", "b"].map(|name| RouteId::new(name).unwrap());
        let mut store = Outbox::open(&settings).unwrap().outbox;
        store.open_routes(&routes).unwrap();
        let (mut last, mut marks) = ([0_u64; 3], [[0_u64; 3]; 2]);
        for call in calls {
            match call {
                Call::Commit { lane, count } => {
                    let bytes = [lane as u8; 100];
                    let rows: Vec<NewRow<'_>> = (last[lane] + 1..=last[lane] + u64::from(count))
                        .map(|seq| NewRow { lane: Lane::ALL[lane], seq: Seq(seq), decided: UtcMillis(0), cause: 0, bytes: &bytes, withdrawn: None })
                        .collect();
                    store.commit(&rows, &[]).unwrap();
                    last[lane] += u64::from(count);
                }
                Call::Mark { route, lane, percent } => {
                    let upto = (last[lane] * u64::from(percent) / 100).max(marks[route][lane]);
                    marks[route][lane] = upto;
                    store.mark(&routes[route], Lane::ALL[lane], Seq(upto)).unwrap();
                }
                Call::Sweep => {
                    store.sweep(Monotonic(1)).unwrap();
                }
                Call::Restart => {
                    drop(store);
                    let opened = Outbox::open(&settings).unwrap();
                    prop_assert_eq!(opened.note, None);
                    store = opened.outbox;
                    // Marks are lazy: what was not made durable is delivered once more.
                    for (lanes, kept) in marks.iter_mut().zip(store.open_routes(&routes).unwrap()) {
                        for (mark, kept) in lanes.iter_mut().zip(kept) {
                            prop_assert!(kept.0 <= *mark);
                            *mark = kept.0;
                        }
                    }
                }
            }
            for lane in Lane::ALL {
                let index = lane.index();
                prop_assert_eq!(store.next_seq(lane), Seq(last[index] + 1));
                let mut rows = Vec::new();
                store.fetch(lane, Seq::ZERO, usize::MAX, usize::MAX, &mut rows).unwrap();
                let delivered = marks[0][index].min(marks[1][index]);
                let first = rows.first().map_or(last[index] + 1, |row| row.seq.0);
                prop_assert!(first <= delivered + 1, "{} undelivered verdicts went", first - delivered - 1);
                prop_assert!(rows.iter().map(|row| row.seq.0).eq(first..=last[index]));
            }
        }
    }
}
