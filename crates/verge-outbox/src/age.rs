//! How long verdicts have been in the store, in running time: a clock that resumes where the store was last closed and
//! never steps. From time to time the newest number of each lane is noted; what was newest an hour ago is an hour old.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use verge_domain::id::Lane;
use verge_domain::time::Monotonic;

use crate::lanes::LaneState;
use crate::settings::OutboxSettings;

/// Ages are known to within this part of the shortest age of interest.
const PRECISION: u32 = 50;
/// Finer steps would cost more than they are worth.
const MIN_STEP: Duration = Duration::from_millis(100);
const MAX_STEP: Duration = Duration::from_secs(1800);

/// The running clock of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// Running time when the store was opened, in milliseconds.
    base: u64,
    noted: Option<u64>,
    step: u64,
    /// Nothing of interest is older.
    longest: u64,
}

impl Ages {
    pub(crate) fn open(connection: &Connection, settings: &OutboxSettings) -> Result<Self, rusqlite::Error> {
        let newest: Option<i64> =
            connection.query_row("SELECT max(running) FROM age", [], |row| row.get(0))?;
        let lives = settings.lives.iter().copied().flatten().chain([settings.replay_age]);
        let ages: Vec<Duration> = lives.filter(|age| !age.is_zero()).collect();
        let shortest = ages.iter().min().copied().unwrap_or(MAX_STEP);
        let step = (shortest / PRECISION).clamp(MIN_STEP, MAX_STEP);
        let longest = ages.iter().max().copied().unwrap_or_default();
        let base = newest.unwrap_or(0).max(0).cast_unsigned();
        Ok(Self { base, noted: newest.map(i64::cast_unsigned), step: millis(step), longest: millis(longest) })
    }

    fn running(&self, now: Monotonic) -> u64 {
        self.base.saturating_add(now.0 / 1000)
    }

    /// Notes the newest numbers if it is time to, and forgets what is older than anything of interest.
    pub(crate) fn note(
        &mut self,
        connection: &Connection,
        lanes: &[LaneState; 3],
        now: Monotonic,
    ) -> Result<(), rusqlite::Error> {
        let running = self.running(now);
        if self.longest == 0 || self.noted.is_some_and(|noted| running < noted.saturating_add(self.step)) {
            return Ok(());
        }
        let [alarm, verdict, telemetry] = lanes.map(|lane| lane.last.cast_signed());
        connection.prepare_cached("INSERT OR REPLACE INTO age VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            running.cast_signed(),
            alarm,
            verdict,
            telemetry
        ])?;
        let past = running.saturating_sub(self.longest).cast_signed();
        connection
            .prepare_cached(
                "DELETE FROM age WHERE running < (SELECT max(running) FROM age WHERE running <= ?1)",
            )?
            .execute([past])?;
        self.noted = Some(running);
        Ok(())
    }

    /// The newest number of a lane that is of this age; zero if none is known to be.
    pub(crate) fn older_than(
        &self,
        connection: &Connection,
        lane: Lane,
        age: Duration,
        now: Monotonic,
    ) -> Result<u64, rusqlite::Error> {
        if age.is_zero() {
            return Ok(u64::MAX);
        }
        let Some(past) = self.running(now).checked_sub(millis(age)) else { return Ok(0) };
        let newest = match lane {
            Lane::Alarm => "SELECT alarm FROM age WHERE running <= ?1 ORDER BY running DESC LIMIT 1",
            Lane::Verdict => "SELECT verdict FROM age WHERE running <= ?1 ORDER BY running DESC LIMIT 1",
            Lane::Telemetry => "SELECT telemetry FROM age WHERE running <= ?1 ORDER BY running DESC LIMIT 1",
        };
        let found: Option<i64> = connection
            .prepare_cached(newest)?
            .query_row([past.min(i64::MAX.cast_unsigned()).cast_signed()], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or(0).max(0).cast_unsigned())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
