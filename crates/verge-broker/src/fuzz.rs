//! Fuzz targets: what strangers choose is made at random, cut, changed and repeated, for a moment in every run of the tests and for
//! `VERGE_FUZZ_S` seconds each with `just fuzz`. A finding is made smaller and printed; its input belongs into a test.
//!
//! The targets stand beside what they are about: `front/fuzz.rs` (CONNECT, packets both ways) and `policy/fuzz.rs`.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// Seconds for each target.
const SECONDS: &str = "VERGE_FUZZ_S";
const MOMENT: Duration = Duration::from_millis(500);
/// Between two looks at the clock.
const CASES: u32 = 500;

/// Tries inputs until the time is over.
pub(crate) fn fuzz<S>(strategy: &S, check: impl Fn(S::Value))
where
    S: Strategy<Value: Debug>,
{
    let given = std::env::var(SECONDS).ok();
    let seconds = given.map(|text| text.parse().expect("VERGE_FUZZ_S is a number of seconds"));
    let (end, mut cases) = (Instant::now() + seconds.map_or(MOMENT, Duration::from_secs_f64), 0_u64);
    while cases == 0 || Instant::now() < end {
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
        let checked = TestRunner::new(config).run(strategy, |input| {
            check(input);
            Ok(())
        });
        checked.unwrap_or_else(|finding| panic!("{finding}"));
        cases += u64::from(CASES);
    }
    eprintln!("{cases} cases without a finding");
}

#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    // Bytes that mean something are tried more often than others.
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"\0\x01\x02\x7f\x80\xff/+#$@"[..])];
    prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), byte).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), 1_usize..40).prop_map(|(at, bytes)| Change::Repeat(at, bytes)),
    ]
}

/// Some of these parts one behind the other, changed, and something behind them.
pub(crate) fn changed(parts: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let parts = vec(prop::sample::select(parts), 0..8);
    (parts, vec(change(), 0..8), vec(any::<u8>(), 0..20)).prop_map(|(parts, changes, tail)| {
        let mut bytes = parts.concat();
        for change in changes {
            if bytes.is_empty() {
                break;
            }
            match change {
                Change::Set(at, byte) => *at.get_mut(&mut bytes) = byte,
                Change::Insert(at, byte) => bytes.insert(at.index(bytes.len()), byte),
                Change::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
                Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
                Change::Repeat(at, count) => {
                    let at = at.index(bytes.len());
                    let again = bytes[at..bytes.len().min(at + count)].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
        bytes.extend(tail);
        bytes
    })
}
