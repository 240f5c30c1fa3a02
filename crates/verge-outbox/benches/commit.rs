//! Cost of making verdicts durable and of reading them back, on the file system of the temporary folder.
//! The store syncs: the figures are those of the medium.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{MarkStore, NewRow, RowStore, Store};
use verge_domain::time::UtcMillis;
use verge_outbox::{Outbox, OutboxSettings, StoreKey};

/// Bytes of an encoded alarm, about.
const VERDICT: [u8; 120] = [7; 120];

fn store(key: Option<StoreKey>) -> (TempDir, Outbox) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = OutboxSettings {
        dir: folder.path().to_owned(),
        cap_bytes: 1 << 30,
        replay_age: Duration::ZERO,
        replay_bytes: 0,
        states_bytes: 1 << 20,
        ballast_bytes: 0,
        drop_oldest: false,
        lives: [None; 3],
        key,
    };
    let mut store = Outbox::open(&settings).expect("a new store").outbox;
    store.open_routes(&[route()]).expect("a route");
    (folder, store)
}

fn route() -> RouteId {
    RouteId::new("centre").expect("a name")
}

fn commit(store: &mut Outbox, count: u64) {
    let first = store.next_seq(Lane::Alarm).0;
    let rows: Vec<NewRow<'_>> = (first..first + count)
        .map(|seq| NewRow {
            lane: Lane::Alarm,
            seq: Seq(seq),
            decided: UtcMillis(0),
            cause: seq,
            bytes: &VERDICT,
            withdrawn: None,
        })
        .collect();
    store.commit(&rows, &[]).expect("room in the store");
}

fn commits(criterion: &mut Criterion) {
    for (name, is_encrypted) in [("commit", false), ("commit encrypted", true)] {
        let mut group = criterion.benchmark_group(name);
        for count in [1, 32, 200] {
            let key = is_encrypted.then(|| StoreKey::parse(&[7; 32]).expect("32 bytes are a key"));
            let (_folder, mut store) = store(key);
            group.throughput(Throughput::Elements(count));
            group.bench_function(BenchmarkId::from_parameter(count), |bench| {
                bench.iter(|| commit(&mut store, count));
            });
        }
        group.finish();
    }
}

fn fetches(criterion: &mut Criterion) {
    let (_folder, mut store) = store(None);
    commit(&mut store, 10_000);
    let mut rows = Vec::new();
    let mut group = criterion.benchmark_group("fetch");
    group.throughput(Throughput::Elements(64));
    group.bench_function("64", |bench| {
        bench.iter(|| {
            rows.clear();
            store.fetch(Lane::Alarm, Seq(5000), 64, usize::MAX, &mut rows).expect("rows");
            black_box(&rows);
        });
    });
    group.finish();
}

criterion_group!(benches, commits, fetches);
criterion_main!(benches);
