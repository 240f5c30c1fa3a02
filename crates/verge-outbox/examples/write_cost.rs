//! What it costs to make verdicts durable: rows a second, time of a commit, bytes written for each byte of verdicts.
//!
//!     write_cost FOLDER [SECONDS]
//!
//! The store lies in FOLDER, on the medium that is to be measured. Bytes written are those of the process's write
//! calls (`wchar` of /proc/self/io): log and database, checkpoints of the log included.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{MarkStore, NewRow, RowStore, Store};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_outbox::{Outbox, OutboxSettings, StoreKey};

/// Bytes of an encoded verdict of a sensor, about.
const VERDICT: [u8; 150] = [7; 150];
/// As often as the committer makes marks durable, in commits.
const MARK_EVERY: u64 = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or("the folder for the store is missing")?);
    let seconds = arguments.get(1).map_or(Ok(5), |text| text.parse())?;
    let mut out = io::stdout();
    writeln!(
        out,
        "{:<10} {:>6} {:>10} {:>8} {:>8} {:>10}",
        "store", "rows", "rows/s", "p50 ms", "p99 ms", "written"
    )?;
    for encrypted in [false, true] {
        for rows in [1, 32] {
            let line = measure(folder, rows, encrypted, Duration::from_secs(seconds))?;
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn measure(
    folder: &Path,
    rows: u64,
    encrypted: bool,
    time: Duration,
) -> Result<String, Box<dyn std::error::Error>> {
    let dir = folder.join("write-cost");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let key = if encrypted { Some(StoreKey::parse(&[7; 32])?) } else { None };
    let settings = OutboxSettings {
        dir: dir.clone(),
        cap_bytes: 4 << 30,
        replay_age: Duration::from_secs(86_400),
        replay_bytes: 256 << 20,
        states_bytes: 1 << 20,
        ballast_bytes: 0,
        drop_oldest: false,
        lives: [None; 3],
        key,
    };
    let mut store = Outbox::open(&settings)?.outbox;
    let route = RouteId::new("centre")?;
    store.open_routes(std::slice::from_ref(&route))?;
    let (began, before) = (Instant::now(), written()?);
    let mut spans = Vec::new();
    while began.elapsed() < time {
        let first = store.next_seq(Lane::Verdict).0;
        let new: Vec<NewRow<'_>> = (first..first + rows)
            .map(|seq| NewRow {
                lane: Lane::Verdict,
                seq: Seq(seq),
                // As they are: large and different.
                decided: UtcMillis(1_760_000_000_000 + seq.cast_signed()),
                cause: seq.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                bytes: &VERDICT,
                withdrawn: None,
            })
            .collect();
        let start = Instant::now();
        store.commit(&new, &[])?;
        spans.push(start.elapsed());
        if (spans.len() as u64).is_multiple_of(MARK_EVERY) {
            store.mark(&route, Lane::Verdict, Seq(first))?;
            let running = u64::try_from(began.elapsed().as_micros())?;
            store.sweep(Monotonic(running))?;
        }
    }
    let elapsed = began.elapsed();
    drop(store);
    let count = spans.len() as u64 * rows;
    spans.sort_unstable();
    let millis = |share: usize| spans[(spans.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (rate, cost) = (
        count as f64 / elapsed.as_secs_f64(),
        (written()? - before) as f64 / (count * VERDICT.len() as u64) as f64,
    );
    fs::remove_dir_all(&dir)?;
    let name = if encrypted { "encrypted" } else { "plain" };
    Ok(format!("{name:<10} {rows:>6} {rate:>10.0} {:>8.2} {:>8.2} {cost:>9.1}x", millis(50), millis(99)))
}

fn written() -> Result<u64, Box<dyn std::error::Error>> {
    let text = fs::read_to_string("/proc/self/io")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("wchar: "))
        .ok_or("the system does not count writes")?;
    Ok(line.parse()?)
}
