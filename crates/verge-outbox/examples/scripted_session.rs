//! A session with the store that does the same every time, for the fault tests (tests/interop/faults): they run it
//! under strace, which kills it or lets its system calls fail, and compare what it said with what is there afterwards.
//!
//!     scripted_session run FOLDER STEPS     commits, marks, reads, sweeps, withdraws
//!     scripted_session verify FOLDER        opens the store as a gateway would, and lists it
//!
//! It says, a line each and only after the call returned: `epoch HEX`; `committed LANE SEQ CRC32C`;
//! `marked LANE UPTO` (every route has delivered so far: such verdicts may be evicted);
//! `withdrawn LANE FROM THROUGH`; `fault WORDS`. `verify` says `epoch HEX`, `have LANE SEQ CRC32C`,
//! `tombstone LANE FROM THROUGH REASON`. Exit codes as of the gateway: 1 the store cannot be opened, 75 it is damaged
//! or has failed for five seconds.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use verge_domain::id::{Lane, LinkId, RouteId, Seq};
use verge_domain::stage::{
    Checkpoint, MarkStore, NewRow, RowStore, SentBytes, Store, StoreError, StoredRow, Withdrawn,
};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{MIN_CAP_BYTES, Outbox, OutboxSettings};

const FAULT_LIMIT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(5);
/// After this number of steps what was committed so far is marked, except the newest.
const MARK_EVERY: u64 = 7;
const SWEEP_EVERY: u64 = 11;
const WITHDRAW_EVERY: u64 = 29;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        ["run", folder, steps] => match steps.parse() {
            Ok(steps) => run(Path::new(folder), steps),
            Err(_) => return ExitCode::from(64),
        },
        ["verify", folder] => verify(Path::new(folder)),
        _ => return ExitCode::from(64),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::Gone) => ExitCode::from(75),
        Err(End::Failed(words)) => {
            say(&format!("failed {words}"));
            ExitCode::FAILURE
        }
    }
}

enum End {
    /// A supervisor starts it again.
    Gone,
    Failed(String),
}

fn failed(error: impl std::fmt::Display) -> End {
    End::Failed(error.to_string())
}

/// Unbuffered: each line is written, whatever happens next.
fn say(line: &str) {
    // A reader that has ended needs no report.
    drop(io::stdout().write_all(format!("{line}\n").as_bytes()));
}

fn open(folder: &Path) -> Result<Outbox, End> {
    let settings = OutboxSettings {
        dir: folder.to_owned(),
        cap_bytes: 4 * MIN_CAP_BYTES,
        replay_age: Duration::ZERO,
        // Small, so that sweeps evict.
        replay_bytes: 4096,
        states_bytes: 1 << 20,
        ballast_bytes: 64 * 1024,
        drop_oldest: false,
        lives: [None; 3],
        key: None,
    };
    let opened = Outbox::open(&settings).map_err(failed)?;
    if let Some(note) = opened.note {
        say(&format!("note {note}"));
    }
    Ok(opened.outbox)
}

fn route() -> RouteId {
    RouteId::new("centre").expect("a name")
}

/// Content of a verdict: a function of where it stands.
fn content(lane: Lane, seq: u64) -> Vec<u8> {
    let length = 40 + usize::try_from(seq % 200).unwrap_or(0);
    format!("{lane} {seq} ").bytes().cycle().take(length).collect()
}

struct Session {
    store: Outbox,
    faulty_since: Option<Instant>,
}

impl Session {
    /// Calls the store until it does as asked, as a committer would.
    fn insist<T>(&mut self, mut call: impl FnMut(&mut Outbox) -> Result<T, StoreError>) -> Result<T, End> {
        loop {
            match call(&mut self.store) {
                Ok(done) => {
                    self.faulty_since = None;
                    return Ok(done);
                }
                Err(error @ StoreError::Damaged(_)) => {
                    say(&format!("fault {error}"));
                    return Err(End::Gone);
                }
                Err(error) => {
                    say(&format!("fault {error}"));
                    let since = *self.faulty_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > FAULT_LIMIT {
                        return Err(End::Gone);
                    }
                    std::thread::park_timeout(RETRY);
                    if matches!(error, StoreError::Fault(_))
                        && let Err(error) = self.store.recover()
                    {
                        say(&format!("fault {error}"));
                        if matches!(error, StoreError::Damaged(_)) {
                            return Err(End::Gone);
                        }
                    }
                }
            }
        }
    }
}

fn run(folder: &Path, steps: u64) -> Result<(), End> {
    let mut session = Session { store: open(folder)?, faulty_since: None };
    say(&format!("epoch {}", session.store.epoch()));
    session.insist(|store| store.open_routes(&[route()]))?;
    for step in 1..=steps {
        commit(&mut session, step)?;
        if step.is_multiple_of(MARK_EVERY) {
            mark(&mut session)?;
        }
        if step.is_multiple_of(SWEEP_EVERY) {
            session.insist(|store| store.sweep(Monotonic(step * 1000)))?;
        }
        if step.is_multiple_of(WITHDRAW_EVERY) {
            withdraw(&mut session)?;
        }
        let after = Seq(session.store.next_seq(Lane::Verdict).0.saturating_sub(20));
        let mut rows: Vec<StoredRow> = Vec::new();
        session.insist(|store| store.fetch(Lane::Verdict, after, 8, usize::MAX, &mut rows))?;
    }
    Ok(())
}

fn commit(session: &mut Session, step: u64) -> Result<(), End> {
    let checkpoint =
        Checkpoint { key: "state\u{1f}judge".to_owned(), state: Some(step.to_le_bytes().to_vec()) };
    let planned = session.insist(|store| {
        let mut planned: Vec<(Lane, u64, Vec<u8>)> = Vec::new();
        for place in 0..step % 8 + 1 {
            let lane = Lane::ALL[usize::try_from((step + place) % 3).unwrap_or(0)];
            let before = planned.iter().filter(|(other, ..)| *other == lane).count() as u64;
            let seq = store.next_seq(lane).0 + before;
            planned.push((lane, seq, content(lane, seq)));
        }
        let rows: Vec<NewRow<'_>> = planned
            .iter()
            .map(|(lane, seq, bytes)| NewRow {
                lane: *lane,
                seq: Seq(*seq),
                decided: UtcMillis(1_700_000_000_000),
                cause: step,
                bytes,
                withdrawn: None,
            })
            .collect();
        store.commit(&rows, std::slice::from_ref(&checkpoint))?;
        Ok(planned)
    })?;
    for (lane, seq, bytes) in planned {
        say(&format!("committed {lane} {seq} {:08x}", crc32c::crc32c(&bytes)));
    }
    Ok(())
}

fn mark(session: &mut Session) -> Result<(), End> {
    for lane in Lane::ALL {
        let upto = session.store.next_seq(lane).0.saturating_sub(6);
        session.insist(|store| store.mark(&route(), lane, Seq(upto)))?;
        say(&format!("marked {lane} {upto}"));
    }
    let link = LinkId::new("fibre").map_err(failed)?;
    session.insist(|store| store.note_sent(SentBytes { link: link.clone(), day: 1, bytes: 1000 }))
}

/// The newest two of the telemetry.
fn withdraw(session: &mut Session) -> Result<(), End> {
    let last = session.store.next_seq(Lane::Telemetry).0.saturating_sub(1);
    let from = last.saturating_sub(1);
    if from < session.store.oldest(Lane::Telemetry).0 {
        return Ok(());
    }
    let withdrawn = Withdrawn { through: Seq(last), reason: Withdrawal::Expired };
    // A repetition after a fault finds its own tombstone, which it absorbs.
    session
        .insist(|store| store.withdraw(Lane::Telemetry, Seq(from), withdrawn, UtcMillis(1), b"in short"))?;
    say(&format!("withdrawn telemetry {from} {last}"));
    Ok(())
}

fn verify(folder: &Path) -> Result<(), End> {
    let mut store = open(folder)?;
    say(&format!("epoch {}", store.epoch()));
    for lane in Lane::ALL {
        let mut rows = Vec::new();
        store.fetch(lane, Seq::ZERO, usize::MAX, usize::MAX, &mut rows).map_err(failed)?;
        for row in rows {
            match row.withdrawn {
                None => say(&format!("have {lane} {} {:08x}", row.seq, crc32c::crc32c(&row.bytes))),
                Some(gone) => {
                    say(&format!("tombstone {lane} {} {} {}", row.seq, gone.through, gone.reason.as_str()));
                }
            }
        }
    }
    Ok(())
}
