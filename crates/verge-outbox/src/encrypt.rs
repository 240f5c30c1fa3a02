//! A store that gets a key: what it holds in plain text is sealed in place, and no trace of the text is left in its files.
//!
//! The first mark, the value by which the key is known, is set before anything else: from then on everything that is
//! written is sealed, and the store does not open without the key. The second mark is set last, when no file of the store
//! holds plain text. If anything interrupts the steps between them, each start does those that are left.

use std::time::Duration;

use verge_domain::id::Lane;

use crate::connect;
use crate::fault::is_full;
use crate::open::BUSY;
use crate::row::{INSERT, RowColumns, RowForm, SELECT};
use crate::schema;
use crate::store::Outbox;

/// Rows sealed in one transaction, at most: their texts are in memory twice meanwhile.
const ROWS: i64 = 1024;
/// The same in bytes; a single row may be larger.
const BYTES: usize = 4 << 20;

/// How far a store with a key is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sealing {
    /// Nothing is left to do, or there is no key.
    #[default]
    Finished,
    /// The log may hold plain text: a reader is open, so it could not be cut.
    LogLeft,
    /// There was no room: the next start continues.
    Unfinished,
}

/// Sets the first mark. A store that is encrypted already costs one read.
pub(crate) fn begin(outbox: &mut Outbox) -> Result<(), rusqlite::Error> {
    let Some(cipher) = &outbox.cipher else { return Ok(()) };
    // What is deleted from here on is overwritten.
    outbox.connection.pragma_update(None, "secure_delete", true)?;
    if schema::key_check(&outbox.connection)?.is_none() {
        schema::set_key_check(&outbox.connection, &cipher.check_value())?;
    }
    if !schema::is_sealed(&outbox.connection)? {
        outbox.sealing = Sealing::Unfinished;
    }
    Ok(())
}

/// What is left to do once the first mark is set, in this order. Each may be done again.
const STEPS: [Step; 4] = [rows, learnt, rewrite, |outbox| cut_log(outbox, BUSY)];

type Step = fn(&mut Outbox) -> Result<(), rusqlite::Error>;

/// Does what is left. Where there is no room, or a reader is open, the store is used as it is, and reported.
pub(crate) fn finish(outbox: &mut Outbox) -> Result<(), rusqlite::Error> {
    if outbox.sealing == Sealing::Finished {
        return Ok(());
    }
    tracing::info!("the store is being encrypted");
    // Sealed rows are longer: a store that is full to its cap needs some more for them.
    connect::lift_page_limit(&outbox.connection)?;
    let done = STEPS.iter().try_for_each(|step| step(outbox));
    connect::limit_pages(&outbox.connection, &outbox.settings)?;
    match done {
        Err(error) if is_full(&error) => tracing::error!(
            %error,
            "encryption of the store is unfinished: its files still hold plain text; free about twice the store's size on \
             the disk (and where SQLite keeps temporary files) and restart"
        ),
        Err(error) => return Err(error),
        Ok(()) if outbox.sealing == Sealing::LogLeft => tracing::warn!(
            "encryption of the store is unfinished: somebody reads it, so its log still holds plain text; tried again \
             every few seconds"
        ),
        Ok(()) => tracing::info!("the store is encrypted"),
    }
    Ok(())
}

/// Verdicts and tombstones, some in each transaction.
fn rows(outbox: &mut Outbox) -> Result<(), rusqlite::Error> {
    for lane in Lane::ALL {
        let mut after = 0;
        while let Some(last) = some_rows(outbox, lane, after)? {
            after = last;
        }
    }
    Ok(())
}

/// Says which row was the last; `None`: there is none behind `after`.
fn some_rows(outbox: &mut Outbox, lane: Lane, after: i64) -> Result<Option<i64>, rusqlite::Error> {
    let Some(cipher) = &outbox.cipher else { return Ok(None) };
    let (mut sealed, mut bytes, mut last) = (Vec::new(), 0, None);
    {
        let mut statement = outbox.connection.prepare_cached(SELECT[lane.index()])?;
        let mut rows = statement.query([after, i64::MAX, ROWS])?;
        while bytes < BYTES
            && let Some(row) = rows.next()?
        {
            last = Some(row.get(0)?);
            if let Some((columns, RowForm::Plain)) = RowColumns::read(lane, row, &outbox.binding)? {
                let text = columns.seal(cipher);
                bytes += text.len();
                sealed.push((columns.with_bytes(&[]), text));
            }
        }
    }
    if !sealed.is_empty() {
        let transaction = outbox.connection.transaction()?;
        let replace = INSERT[lane.index()].replacen("INSERT", "INSERT OR REPLACE", 1);
        {
            let mut replace = transaction.prepare_cached(&replace)?;
            for (columns, text) in &sealed {
                let columns = columns.with_bytes(text);
                columns.insert_as_is(RowForm::Sealed, &outbox.binding, &mut replace)?;
            }
        }
        transaction.commit()?;
    }
    Ok(last)
}

/// Learnt states; everything else that is saved was sealed when it was brought to its place.
fn learnt(outbox: &mut Outbox) -> Result<(), rusqlite::Error> {
    let Some(cipher) = &outbox.cipher else { return Ok(()) };
    let mut after = 0;
    loop {
        let mut states = outbox.states;
        let transaction = outbox.connection.transaction()?;
        let last = states.seal_learnt(&transaction, after, cipher)?;
        transaction.commit()?;
        outbox.states = states;
        match last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Only a rewrite of the file takes the texts out of its free pages.
fn rewrite(outbox: &mut Outbox) -> Result<(), rusqlite::Error> {
    outbox.connection.execute_batch("VACUUM")?;
    outbox.sealing = Sealing::LogLeft;
    Ok(())
}

/// Only an emptied log holds none of them. Then sets the second mark.
fn cut_log(outbox: &mut Outbox, patience: Duration) -> Result<(), rusqlite::Error> {
    let connection = &outbox.connection;
    connection.busy_timeout(patience)?;
    let cut = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(BUSY)?;
    if cut? == 0 {
        schema::set_sealed(connection)?;
        outbox.sealing = Sealing::Finished;
    }
    Ok(())
}

impl Outbox {
    /// Tries again what a reader has kept from being finished.
    pub(crate) fn finish_sealing(&mut self) {
        if self.sealing != Sealing::LogLeft {
            return;
        }
        match cut_log(self, Duration::ZERO) {
            Ok(()) if self.sealing == Sealing::Finished => tracing::info!("the store is encrypted"),
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "the log cannot be cut yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use verge_domain::id::Seq;
    use verge_domain::stage::{Checkpoint, NewRow, RowStore, StateStore, Store};
    use verge_domain::time::UtcMillis;

    use super::*;
    use crate::{OutboxReader, OutboxSettings, StoreKey};

    const CANARY: &str = "TOPSECRETDEVICE";

    fn settings(dir: &Path, key: Option<StoreKey>) -> OutboxSettings {
        OutboxSettings {
            dir: dir.to_owned(),
            cap_bytes: 16 << 20,
            replay_age: Duration::ZERO,
            replay_bytes: u64::MAX,
            states_bytes: 1 << 20,
            ballast_bytes: 0,
            drop_oldest: false,
            lives: [None; 3],
            key,
        }
    }

    fn fill(dir: &Path) {
        let mut store = Outbox::open(&settings(dir, None)).unwrap().outbox;
        let texts: Vec<String> = (0..3000).map(|number| format!("{CANARY} number {number}")).collect();
        let rows: Vec<NewRow<'_>> = (1..)
            .zip(&texts)
            .map(|(seq, text)| NewRow {
                lane: Lane::Alarm,
                seq: Seq(seq),
                decided: UtcMillis(7),
                cause: 0,
                bytes: text.as_bytes(),
                withdrawn: None,
            })
            .collect();
        let saved: Vec<Checkpoint> = ["state", "events"]
            .iter()
            .flat_map(|kind| {
                (0..200).map(move |number| format!("{kind}\u{1f}judge\u{1f}s\u{1f}{CANARY}{number}\u{1f}"))
            })
            .map(|key| Checkpoint { key, state: Some(CANARY.repeat(20).into_bytes()) })
            .collect();
        store.commit(&rows, &saved).unwrap();
    }

    fn canaries(dir: &Path) -> usize {
        let files =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        files
            .map(|path| {
                fs::read(path)
                    .unwrap()
                    .windows(CANARY.len())
                    .filter(|text| *text == CANARY.as_bytes())
                    .count()
            })
            .sum()
    }

    /// Opens it as a start does, up to `steps` steps, as if the power failed then.
    fn interrupted(dir: &Path, settings: &OutboxSettings, steps: usize) {
        let mut outbox = Outbox::open(&OutboxSettings { key: None, ..settings.clone() }).unwrap().outbox;
        outbox.cipher = settings.key.as_ref().map(crate::key::Cipher::new);
        begin(&mut outbox).unwrap();
        if steps > 0 {
            outbox.settle_states().unwrap();
        }
        for step in STEPS.iter().take(steps.saturating_sub(1)) {
            step(&mut outbox).unwrap();
        }
        drop(outbox);
        assert!(dir.exists());
    }

    #[test]
    fn whatever_interrupts_it_the_next_start_leaves_no_plain_text() {
        let key = StoreKey::parse(&[1; 32]).unwrap();
        for steps in 0..=STEPS.len() + 1 {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("store");
            fill(&dir);
            assert!(canaries(&dir) > 3000, "the test can see it");
            let with_key = settings(&dir, Some(key.clone()));
            interrupted(&dir, &with_key, steps);
            let unfinished = |expected: bool| {
                let mut reader = OutboxReader::open(&dir, Some(&key)).unwrap();
                assert_eq!(reader.summary().unwrap().encryption_unfinished, expected, "after {steps} steps");
                let report = reader.verify().unwrap();
                assert_eq!(report.plain.is_empty(), !expected, "after {steps} steps: {:?}", report.plain);
            };
            unfinished(steps <= STEPS.len());
            assert!(Outbox::open(&settings(&dir, None)).is_err(), "without the key, after {steps} steps");
            let other = settings(&dir, Some(StoreKey::parse(&[2; 32]).unwrap()));
            assert!(Outbox::open(&other).is_err(), "with another key, after {steps} steps");
            let mut store = Outbox::open(&with_key).unwrap().outbox;
            assert_eq!(canaries(&dir), 0, "after {steps} steps");
            unfinished(false);
            assert_eq!(store.checkpoints().unwrap().len(), 400, "after {steps} steps");
            let mut rows = Vec::new();
            store.fetch(Lane::Alarm, Seq(0), usize::MAX, usize::MAX, &mut rows).unwrap();
            assert_eq!(rows.len(), 3000);
            assert!(rows.iter().all(|row| row.bytes.starts_with(CANARY.as_bytes())));
        }
    }

    #[test]
    fn a_store_that_an_earlier_version_left_half_encrypted_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("store");
        fill(&dir);
        let key = StoreKey::parse(&[1; 32]).unwrap();
        // As versions up to 2 of the schema did it: all rows in one transaction, and then a kill.
        interrupted(&dir, &settings(&dir, Some(key.clone())), 3);
        assert!(canaries(&dir) > 0, "free pages hold the text");
        let report = OutboxReader::open(&dir, Some(&key)).unwrap().verify().unwrap();
        assert!(
            !report.is_sound() && report.plain.iter().any(|line| line.contains("page")),
            "{:?}",
            report.plain
        );
        drop(Outbox::open(&settings(&dir, Some(key.clone()))).unwrap());
        assert_eq!(canaries(&dir), 0);
        let report = OutboxReader::open(&dir, Some(&key)).unwrap().verify().unwrap();
        assert!(report.is_sound(), "{report:?}");
    }

    #[test]
    fn a_reader_delays_the_end_and_the_next_sweep_comes_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("store");
        fill(&dir);
        let key = StoreKey::parse(&[1; 32]).unwrap();
        let with_key = settings(&dir, Some(key.clone()));
        let mut outbox = Outbox::open(&settings(&dir, None)).unwrap().outbox;
        outbox.cipher = Some(crate::key::Cipher::new(&key));
        let reader = rusqlite::Connection::open(dir.join("outbox.db")).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM alarm;").unwrap();
        begin(&mut outbox).unwrap();
        outbox.settle_states().unwrap();
        for step in &STEPS[..3] {
            step(&mut outbox).unwrap();
        }
        cut_log(&mut outbox, Duration::ZERO).unwrap();
        assert_eq!(outbox.sealing, Sealing::LogLeft, "a reader holds the log");
        outbox.sweep(verge_domain::time::Monotonic(1)).unwrap();
        assert_eq!(outbox.sealing, Sealing::LogLeft);
        drop(reader);
        outbox.sweep(verge_domain::time::Monotonic(2)).unwrap();
        assert_eq!((outbox.sealing, canaries(&dir)), (Sealing::Finished, 0));
        drop(outbox);
        drop(Outbox::open(&with_key).unwrap());
    }
}
