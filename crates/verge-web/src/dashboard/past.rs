//! Events that are over, out of the store: the newest first, by a cursor. One question reads a bounded part of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;
use verge_domain::board::LastWord;
use verge_domain::id::{Lane, Seq};
use verge_domain::live::{ReadFrom, StoredError, StoredItem, StoredPart};
use verge_domain::time::UtcMillis;

use super::events::{EventFilter, EventView, ListedState, find, read_event_id};
use super::form::Form;
use super::problem::Problem;
use super::site::Site;

/// Parts of the store that one question reads at most, of some 256 rows each.
const MOST_PARTS: usize = 24;
/// Verdicts in a row that were made before the time that is asked for end a list; a single one was made while the clock was wrong.
const BEFORE: usize = 256;

/// Reads a part of a lane.
pub(crate) async fn read(site: &Site, lane: Lane, from: ReadFrom) -> Result<StoredPart, Problem> {
    let (done, read) = oneshot::channel();
    // Nobody waits any more if this fails.
    site.live.stored(lane, from, Box::new(move |part| drop(done.send(part))));
    match read.await {
        Ok(Ok(part)) => Ok(part),
        Ok(Err(StoredError::Busy)) => Err(Problem::Unavailable("others are reading the store")),
        Ok(Err(StoredError::Unreadable)) => {
            Err(Problem::Unavailable("the store cannot be read, see the log"))
        }
        Err(_) => Err(Problem::Unavailable("it stops")),
    }
}

/// What a time is written like.
pub(crate) const TIME: &str = "a time such as 2026-11-30T14:05, or milliseconds since 1970";

/// A time in milliseconds since 1970, or as people of the site write it.
pub(crate) fn read_time(site: &Site, text: &str) -> Option<UtcMillis> {
    let at = text.parse().ok().filter(|at| *at >= 0).map(UtcMillis);
    at.or_else(|| site.live.read_time(text))
}

/// Which past events are listed, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PastQuery {
    pub(crate) filter: EventFilter,
    /// Those that ended since then…
    pub(crate) from: Option<UtcMillis>,
    /// …and before then.
    pub(crate) to: Option<UtcMillis>,
    pub(crate) cursor: Option<Cursor>,
}

impl PastQuery {
    /// From a query. Times are milliseconds since 1970, or as people of the site write them.
    pub(crate) fn of(site: &Site, query: &Form) -> Result<Self, Problem> {
        let time = |key: &'static str| match query.text(key) {
            None => Ok(None),
            Some(text) => read_time(site, text).map(Some).ok_or_else(|| Problem::Invalid {
                what: key.to_owned(),
                expected: format!("expected {TIME}"),
            }),
        };
        let cursor = query.text("before").map(|text| {
            Cursor::read(text).ok_or_else(|| Problem::Invalid {
                what: "before".to_owned(),
                expected: "expected what an answer gave as next".to_owned(),
            })
        });
        let filter = EventFilter { state: Some(ListedState::Past), ..EventFilter::of(query) };
        Ok(Self { filter, from: time("from")?, to: time("to")?, cursor: cursor.transpose()? })
    }
}

/// A place in all lanes: what is listed next stands before these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor([Seq; 3]);

impl Cursor {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| number.parse().ok().map(Seq));
        let read = [numbers.next()??, numbers.next()??, numbers.next()??];
        numbers.next().is_none().then_some(Self(read))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [alarm, verdict, telemetry] = self.0;
        write!(f, "{alarm}.{verdict}.{telemetry}")
    }
}

/// A list of past events.
pub(crate) struct PastEvents {
    pub(crate) events: Vec<EventView>,
    /// Where the list goes on, if it does.
    pub(crate) next: Option<Cursor>,
    /// How far back was looked, where that did not end the list.
    pub(crate) looked_to: Option<UtcMillis>,
}

/// One lane, read backwards.
struct Backwards {
    lane: Lane,
    /// What was read and not yet looked at.
    words: VecDeque<Arc<LastWord>>,
    /// Before this number everything is unseen.
    before: Seq,
    /// Where the next part is read; `None`: nothing is left.
    rest: Option<ReadFrom>,
}

/// Past events of a store, the newest first.
struct Walk {
    lanes: [Backwards; 3],
    parts: usize,
}

impl Walk {
    fn new(cursor: Option<Cursor>, to: Option<UtcMillis>) -> Self {
        let begin = |lane: Lane| {
            let before = cursor.map_or(Seq(i64::MAX.cast_unsigned()), |Cursor(before)| before[lane.index()]);
            let rest = match (cursor, to) {
                (None, Some(to)) => ReadFrom::Until(to),
                _ => ReadFrom::Before(before),
            };
            Backwards { lane, words: VecDeque::new(), before, rest: Some(rest) }
        };
        Self { lanes: Lane::ALL.map(begin), parts: 0 }
    }

    /// The next verdict, in the order of times as far as lanes allow. `None`: nothing is left, or enough was read.
    async fn next(&mut self, site: &Site) -> Result<Option<Arc<LastWord>>, Problem> {
        for lane in &mut self.lanes {
            while lane.words.is_empty()
                && let Some(rest) = lane.rest
            {
                if self.parts == MOST_PARTS {
                    return Ok(None);
                }
                self.parts += 1;
                let part = read(site, lane.lane, rest).await?;
                let words = part.items.into_iter().filter_map(|item| match item {
                    StoredItem::Verdict(word) => Some(word),
                    StoredItem::Tombstone { .. } => None,
                });
                lane.words = words.collect();
                lane.rest = part.rest;
                if let Some(newest) = lane.words.front().and_then(|word| word.seq) {
                    lane.before = Seq(newest.0.saturating_add(1));
                }
                if lane.words.is_empty()
                    && let Some(ReadFrom::Before(before)) = lane.rest
                {
                    lane.before = before;
                }
            }
        }
        let newest = |lane: &&mut Backwards| lane.words.front().map(|word| word.verdict.times.decided);
        let Some(lane) = self.lanes.iter_mut().filter(|lane| !lane.words.is_empty()).max_by_key(newest)
        else {
            return Ok(None);
        };
        let word = lane.words.pop_front();
        lane.before = word.as_ref().and_then(|word| word.seq).unwrap_or(lane.before);
        if lane.words.is_empty() && lane.rest.is_none() {
            lane.before = Seq::ZERO;
        }
        Ok(word)
    }

    /// Where it stands; `None` at its end.
    fn cursor(&self) -> Option<Cursor> {
        let is_over = |lane: &Backwards| lane.words.is_empty() && lane.rest.is_none();
        let before = |lane: &Backwards| if is_over(lane) { Seq::ZERO } else { lane.before };
        let cursor = Cursor([before(&self.lanes[0]), before(&self.lanes[1]), before(&self.lanes[2])]);
        (!self.lanes.iter().all(is_over)).then_some(cursor)
    }
}

/// The next `most` past events.
pub(crate) async fn events(site: &Site, query: &PastQuery, most: usize) -> Result<PastEvents, Problem> {
    let mut walk = Walk::new(query.cursor, query.to);
    let (mut events, mut looked_to) = (Vec::new(), None);
    let mut before = 0;
    while let Some(word) = walk.next(site).await? {
        let decided = word.verdict.times.decided;
        if query.from.is_some_and(|from| decided < from) {
            before += 1;
            if before == BEFORE {
                return Ok(PastEvents { events, next: None, looked_to: None });
            }
            continue;
        }
        before = 0;
        looked_to = Some(decided);
        let within = query.to.is_none_or(|to| decided < to);
        if within && query.filter.takes(&word.verdict) {
            events.extend(EventView::of(site, &word));
        }
        if events.len() == most {
            break;
        }
    }
    let next = walk.cursor();
    let looked_to = looked_to.filter(|_| next.is_some() && events.len() < most);
    Ok(PastEvents { events, next, looked_to })
}

/// An event by its identity, open or over. `row` is where it stands, if a link says so.
pub(crate) async fn find_anywhere(
    site: &Site,
    id: &str,
    row: Option<&str>,
) -> Result<Option<EventView>, Problem> {
    if let Some(event) = find(site, id) {
        return Ok(Some(event));
    }
    let Some(id) = read_event_id(id) else { return Ok(None) };
    let is_it = |word: &LastWord| word.verdict.event.is_some_and(|event| event.id.0 == id);
    if let Some((lane, seq)) = row.and_then(read_row) {
        let part = read(site, lane, ReadFrom::Behind(Seq(seq.0.saturating_sub(1)))).await?;
        let first = part.items.into_iter().next();
        if let Some(StoredItem::Verdict(word)) =
            first.filter(|item| matches!(item, StoredItem::Verdict(word) if is_it(word)))
        {
            return Ok(EventView::of(site, &word));
        }
    }
    let mut walk = Walk::new(None, None);
    while let Some(word) = walk.next(site).await? {
        if is_it(&word) {
            return Ok(EventView::of(site, &word));
        }
    }
    Ok(None)
}

/// A lane and a number, as [`EventView::row`] says them.
pub(crate) fn read_row(text: &str) -> Option<(Lane, Seq)> {
    let (lane, seq) = text.split_once('/')?;
    Some((Lane::named(lane)?, Seq(seq.parse().ok()?)))
}
