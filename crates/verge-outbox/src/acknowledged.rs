//! Up to where, by session and lane, the broker has received the acknowledgements of what caused verdicts.

use rusqlite::Connection;
use verge_domain::id::{Lane, Seq};
use verge_domain::reading::Session;
use verge_domain::stage::Cause;

use crate::lanes::LaneState;
use crate::row::{Binding, per_lane};
use crate::schema;

const KEY: &str = "acknowledged";
const CAUSES: [&str; 3] =
    per_lane!("SELECT cause, decided, seq FROM ", " WHERE seq > ?1 AND cause <> 0 ORDER BY seq");
/// Verdicts of a lane that are checked where nothing is noted: earlier versions did not.
const LOOKED_AT: u64 = 4_096;
/// Verdicts of a lane that are checked at most. A session has 65,535 messages in flight at most, each of which
/// causes a few.
const MOST: u64 = 262_144;

/// The numbers, which are written when something else is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AcknowledgedNumbers {
    upto: [[u64; Lane::ALL.len()]; Session::ALL.len()],
    unsaved: bool,
}

impl AcknowledgedNumbers {
    /// As noted; what is damaged or of another epoch counts as not noted.
    pub(crate) fn read(
        connection: &Connection,
        lanes: &[LaneState; 3],
        binding: &Binding,
    ) -> Result<Self, rusqlite::Error> {
        let noted = schema::meta(connection, KEY)?.and_then(|bytes| decode(&bytes, binding));
        let last = lanes.map(|lane| lane.last);
        let mut upto = noted.unwrap_or([last.map(|last| last.saturating_sub(LOOKED_AT)); Session::ALL.len()]);
        for session in &mut upto {
            for (upto, last) in session.iter_mut().zip(last) {
                *upto = (*upto).min(last);
            }
        }
        Ok(Self { upto, unsaved: noted.is_none() })
    }

    pub(crate) fn note(&mut self, session: Session, upto: [Seq; 3]) {
        let upto = upto.map(|seq| seq.0);
        self.unsaved |= std::mem::replace(&mut self.upto[session.index()], upto) != upto;
    }

    pub(crate) fn save(&self, connection: &Connection, binding: &Binding) -> Result<(), rusqlite::Error> {
        if !self.unsaved {
            return Ok(());
        }
        connection
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
            .execute(rusqlite::params![KEY, encode(&self.upto, binding)])
            .map(|_| ())
    }

    pub(crate) const fn saved(&mut self) {
        self.unsaved = false;
    }

    /// What caused the verdicts behind, oldest first.
    pub(crate) fn behind(
        &self,
        connection: &Connection,
        lanes: &[LaneState; 3],
    ) -> Result<Vec<Cause>, rusqlite::Error> {
        let mut causes = Vec::new();
        for lane in Lane::ALL {
            let of_lane = |session: &[u64; 3]| session[lane.index()];
            let first = self.upto.iter().map(of_lane).min().unwrap_or_default();
            let after = first.max(lanes[lane.index()].last.saturating_sub(MOST));
            let mut statement = connection.prepare(CAUSES[lane.index()])?;
            let mut rows = statement.query([after.cast_signed()])?;
            while let Some(row) = rows.next()? {
                let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                let (cause, decided, seq) = (number(0)?, row.get::<_, i64>(1)?, number(2)?);
                let session = Session::of_cause(cause);
                if session.is_some_and(|session| seq > of_lane(&self.upto[session.index()])) {
                    causes.push((decided, Cause { lane, seq: Seq(seq), cause }));
                }
            }
        }
        causes.sort_by_key(|&(decided, _)| decided);
        Ok(causes.into_iter().map(|(_, cause)| cause).collect())
    }
}

fn encode(upto: &[[u64; 3]; Session::ALL.len()], binding: &Binding) -> Vec<u8> {
    let mut bytes: Vec<u8> = upto.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
    bytes.extend(crc32c::crc32c_append(binding.seed(), &bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], binding: &Binding) -> Option<[[u64; 3]; Session::ALL.len()]> {
    let (numbers, _) = bytes.as_chunks::<8>();
    let mut upto = [[0; 3]; Session::ALL.len()];
    for (upto, number) in upto.as_flattened_mut().iter_mut().zip(numbers) {
        *upto = u64::from_le_bytes(*number);
    }
    (encode(&upto, binding) == bytes).then_some(upto)
}
