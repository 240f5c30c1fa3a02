//! What is noted beside the verdicts, and what is saved for judges.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use verge_domain::id::{Lane, LinkId, RouteId, Seq};
use verge_domain::reading::Session;
use verge_domain::stage::{Cause, Checkpoint, MarkStore, SentBytes, StateStore, StoreError};

use crate::checkpoints;
use crate::fault::StoreFault;
use crate::lanes::{self, save_marks};
use crate::row::Binding;
use crate::store::Outbox;

impl MarkStore for Outbox {
    fn open_routes(&mut self, routes: &[RouteId]) -> Result<Vec<[Seq; 3]>, StoreError> {
        self.ready()?;
        let stored = lanes::read_marks(&self.connection, &self.binding)
            .map_err(StoreFault::while_doing("read the marks"))?;
        let last = self.lanes.map(|lane| lane.last);
        let mut marks: HashMap<RouteId, [u64; 3]> = HashMap::new();
        for route in routes {
            let mut lanes = stored.get(route.as_str()).copied().unwrap_or_default();
            for (mark, last) in lanes.iter_mut().zip(last) {
                *mark = (*mark).min(last);
            }
            marks.insert(route.clone(), lanes);
        }
        for (route, marks) in stored.iter().filter(|(route, _)| !marks.contains_key(route.as_str())) {
            let undelivered = |lane: Lane| last[lane.index()].saturating_sub(marks[lane.index()]);
            let [alarms, verdicts, telemetry] = Lane::ALL.map(undelivered);
            if alarms + verdicts + telemetry > 0 {
                tracing::warn!(
                    %route, alarms, verdicts, telemetry,
                    "no uplink has this route any more: what it has not delivered is not sent on it, and is kept as long \
                     as other routes and the replay window hold it"
                );
            }
        }
        self.marks = marks;
        self.open = true;
        if routes.is_empty() {
            // What earlier routes have delivered stays noted: one that returns continues where it stopped.
            return Ok(Vec::new());
        }
        match self.replace_marks() {
            // They are written when something else is.
            Err(fault) if self.is_full(&fault) => {
                self.find_room();
                self.unsaved = true;
            }
            done => self.judge(done)?,
        }
        Ok(routes.iter().map(|route| self.marks[route].map(Seq)).collect())
    }

    fn mark(&mut self, route: &RouteId, lane: Lane, upto: Seq) -> Result<(), StoreError> {
        let last = Seq(self.lanes[lane.index()].last);
        if upto > last {
            return Err(StoreFault::MarkBeyondEnd { route: route.clone(), lane, upto, last }.into());
        }
        let Some(lanes) = self.marks.get_mut(route) else {
            return Err(StoreFault::UnknownRoute { route: route.clone() }.into());
        };
        let mark = &mut lanes[lane.index()];
        if upto.0 > *mark {
            *mark = upto.0;
            self.unsaved = true;
        }
        Ok(())
    }

    fn note_sent(&mut self, sent: SentBytes) -> Result<(), StoreError> {
        self.sent.insert(sent.link.as_str().to_owned(), sent);
        self.unsaved = true;
        Ok(())
    }

    fn sent(&mut self) -> Result<Vec<SentBytes>, StoreError> {
        Ok(self.sent.values().cloned().collect())
    }

    fn note_acknowledged(&mut self, session: Session, upto: [Seq; 3]) {
        self.acknowledged.note(session, upto);
    }

    fn unacknowledged(&mut self) -> Result<Vec<Cause>, StoreError> {
        self.ready()?;
        self.acknowledged
            .behind(&self.connection, &self.lanes)
            .map_err(|source| StoreFault::while_doing("read what may come again")(source).into())
    }
}

impl StateStore for Outbox {
    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, StoreError> {
        self.ready()?;
        checkpoints::read(&self.connection, self.cipher.as_ref(), &self.binding)
            .map_err(|source| StoreFault::while_doing("read saved states")(source).into())
    }
}

impl Outbox {
    fn replace_marks(&mut self) -> Result<(), StoreFault> {
        let fault = StoreFault::while_doing("open the routes");
        let transaction = self.connection.transaction().map_err(&fault)?;
        transaction.execute("DELETE FROM mark", []).map_err(&fault)?;
        save_marks(&transaction, of_routes(&self.marks), &self.binding).map_err(&fault)?;
        transaction.commit().map_err(&fault)
    }
}

fn of_routes(marks: &HashMap<RouteId, [u64; 3]>) -> impl Iterator<Item = (&str, [u64; 3])> {
    marks.iter().map(|(route, lanes)| (route.as_str(), *lanes))
}

/// What is written together with something else.
pub(crate) fn save_lazily(
    transaction: &Connection,
    marks: &HashMap<RouteId, [u64; 3]>,
    sent: &HashMap<String, SentBytes>,
    binding: &Binding,
) -> Result<(), rusqlite::Error> {
    save_marks(transaction, of_routes(marks), binding)?;
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO sent VALUES (?1, ?2, ?3)")?;
    for SentBytes { link, day, bytes } in sent.values() {
        put.execute(params![link.as_str(), day, bytes.cast_signed()])?;
    }
    Ok(())
}

pub(crate) fn read_sent(connection: &Connection) -> Result<HashMap<String, SentBytes>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT link, day, bytes FROM sent")?;
    let mut rows = statement.query([])?;
    let mut sent = HashMap::new();
    while let Some(row) = rows.next()? {
        let link: String = row.get(0)?;
        let (day, bytes) = (row.get(1)?, row.get::<_, i64>(2)?.max(0).cast_unsigned());
        if let Ok(id) = LinkId::new(&link) {
            sent.insert(link, SentBytes { link: id, day, bytes });
        }
    }
    Ok(sent)
}
