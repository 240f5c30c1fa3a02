//! `/api/v1/stream`: verdicts as they are committed, the status every two seconds, and where they are asked for cameras that
//! sent something and what people do, as server-sent events.
//!
//! The id of a verdict is `epoch/lane/seq`, so whoever comes back goes on behind the last one that he saw, also after a restart of
//! the gateway; where that is not stored any more, or he reads too slowly, he gets `resync` and fetches everything anew. Nothing waits for him: the board keeps its
//! newest verdicts for all.

mod aside;
mod catch_up;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use verge_domain::board::{CommittedWords, LastWord};
use verge_domain::id::{Lane, Seq};

use self::aside::{Aside, OfCameras};
use self::catch_up::{CatchUp, Caught};
use super::access::{Role, Who};
use super::api::{Input, Operation, Parameter, name_schema};
use super::problem::Problem;
use super::routes::Routes;
use super::site::{MAX_LISTENERS, Site};

/// A page that gets none for 15 s says that it is not connected.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// A sign of life.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked for what nothing wakes a listener of, and whether he may still listen: a login that is removed, or
/// logged out, sees nothing two seconds later.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const HEAD: &str = "retry: 2000\n\n";

pub(super) fn routes(routes: Routes) -> Routes {
    let what = "Follows what happens, as server-sent events: `verdict` with the id `epoch/lane/seq`, `status`, `camera`, `action`, `resync`";
    let operation = Operation::get("/api/v1/stream", Role::Viewer, what);
    routes.operation(operation.query(QUERY).gives_media("text/event-stream"), stream)
}

const QUERY: &[Parameter] = &[
    Parameter {
        name: "kinds",
        says: "Which events, with commas between: `verdict`, `status`, `camera`, `action`",
        schema: || {
            let one = format!("({})", Kind::ALL.map(Kind::as_str).join("|"));
            json!({ "type": "string", "pattern": format!("^{one}(,{one}){{0,7}}$"), "default": DEFAULT })
        },
    },
    Parameter {
        name: "source",
        says: "Of cameras: only those of this source",
        schema: || name_schema("The source"),
    },
    Parameter {
        name: "device",
        says: "Of cameras: only those of this device",
        schema: || name_schema("The device"),
    },
    Parameter {
        name: "after",
        says: "The id of the last verdict that was seen, where `Last-Event-ID` cannot be sent",
        schema: || json!({ "type": "string", "maxLength": MAX_ID }),
    },
];

verge_domain::words! {
    /// What may be asked for.
    pub enum Kind {
        /// Verdicts as they are committed.
        Verdict = "verdict",
        /// The status document.
        Status = "status",
        /// Cameras of which something came.
        Camera = "camera",
        /// What people do.
        Action = "action",
    }
}

const DEFAULT: &str = "verdict,status";
const MAX_KINDS: usize = 8;
const MAX_ID: usize = 128;

async fn stream(
    State(site): State<Arc<Site>>,
    who: Who,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Ok(permit) = Arc::clone(&site.listeners).try_acquire_owned() else {
        return Err(Problem::TooManyListeners { limit: MAX_LISTENERS });
    };
    let mut input = Input::query(query.as_deref());
    let expected = format!("some of {} with commas between", Kind::ALL.map(Kind::as_str).join(", "));
    let kinds = input.read("kinds", &expected, |kinds| Kinds::read(kinds.as_str()?));
    let of = OfCameras { source: input.name("source"), device: input.name("device") };
    let fits = |id: &&str| id.len() <= MAX_ID;
    let after = input.read("after", "an id", |id| id.as_str().filter(fits).map(ToOwned::to_owned));
    input.done()?;
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .or(after.as_deref())
        .filter(|id| !id.is_empty());
    let kinds = kinds.or_else(|| Kinds::read(DEFAULT)).unwrap_or_default();
    let listener = Listener::new(site, who, (kinds, seen), of, permit).await;
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::new(listener)).into_response())
}

/// What a listener wants.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Kinds([bool; Kind::ALL.len()]);

impl Kinds {
    fn read(text: &str) -> Option<Self> {
        let mut kinds = Self::default();
        for (index, word) in text.split(',').enumerate() {
            kinds.0[Kind::named(word).filter(|_| index < MAX_KINDS)? as usize] = true;
        }
        Some(kinds)
    }

    const fn has(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }
}

/// One listener. It is asked for more whenever its connection takes more.
struct Listener {
    site: Arc<Site>,
    who: Who,
    kinds: Kinds,
    /// In the order of commits.
    place: u64,
    /// What comes before that.
    missed: Option<CatchUp>,
    /// What came out of the store, by lane: it does not come again.
    upto: [Seq; 3],
    ready: VecDeque<Bytes>,
    status: Interval,
    beat: Interval,
    allowed: Interval,
    aside: Aside,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    async fn new(
        site: Arc<Site>,
        who: Who,
        (kinds, seen): (Kinds, Option<&str>),
        of: OfCameras,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut ready = VecDeque::from([Bytes::from_static(HEAD.as_bytes())]);
        let now = site.live.board().follow();
        let (mut place, mut missed) = (now, None);
        if let Some(seen) = seen.filter(|_| kinds.has(Kind::Verdict)) {
            let id = read_id(seen, &site.live.epoch().to_string());
            let kept = id.and_then(|(lane, seq)| site.live.board().place_behind(lane, seq));
            if let (Some((lane, seq)), None) = (id, kept) {
                missed = CatchUp::behind(&site, lane, seq).await;
            }
            place = kept.unwrap_or(now);
            if kept.is_none() && missed.is_none() {
                ready.push_back(resync(0));
            }
        }
        let every = |period| {
            let mut every = interval(period);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            every
        };
        let (status, beat, allowed) = (every(STATUS_EVERY), every(BEAT_EVERY), every(LOOK_EVERY));
        let aside = Aside::new(&site, kinds, of, every(LOOK_EVERY));
        let upto = [Seq::ZERO; 3];
        Self { site, who, kinds, place, missed, upto, ready, status, beat, allowed, aside, _permit: permit }
    }

    fn verdict(&self, word: &LastWord) -> Option<Bytes> {
        if word.seq? <= self.upto[word.verdict.lane.index()] {
            return None;
        }
        let (seq, json) = (word.seq?, self.site.live.verdict_json(word)?);
        let (epoch, lane) = (self.site.live.epoch(), word.verdict.lane);
        Some(event("verdict", Some(&format!("{epoch}/{lane}/{seq}")), &json))
    }
}

fn read_id(id: &str, epoch: &str) -> Option<(Lane, Seq)> {
    let mut parts = id.split('/');
    let (of, lane, seq) = (parts.next()?, Lane::named(parts.next()?)?, parts.next()?.parse().ok()?);
    (of == epoch && parts.next().is_none()).then_some((lane, Seq(seq)))
}

fn event(kind: &str, id: Option<&str>, json: &[u8]) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    let mut text = format!("event: {kind}\n{id}data: ").into_bytes();
    // JSON of one line: a line break would end the data.
    text.extend(json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    text.extend(b"\n\n");
    Bytes::from(text)
}

fn resync(missed: u64) -> Bytes {
    event("resync", None, format!("{{\"missed\":{missed}}}").as_bytes())
}

impl hyper::body::Body for Listener {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.allowed.poll_tick(context).is_ready() {
                let (site, proof) = (Arc::clone(&self.site), self.who.proof.clone());
                if site.access.identify(proof, site.live.now()).is_none() {
                    return Poll::Ready(None);
                }
                continue;
            }
            if self.beat.poll_tick(context).is_ready() {
                self.ready.push_back(Bytes::from_static(b":\n\n"));
                continue;
            }
            if self.kinds.has(Kind::Status) && self.status.poll_tick(context).is_ready() {
                let status = event("status", None, &self.site.shared_status());
                self.ready.push_back(status);
                continue;
            }
            if self.aside.poll_tick(context).is_ready() {
                let site = Arc::clone(&self.site);
                let events = self.aside.events(&site);
                self.ready.extend(events);
                continue;
            }
            if !self.kinds.has(Kind::Verdict) {
                return Poll::Pending;
            }
            let (site, mut place) = (Arc::clone(&self.site), self.place);
            if let Some(missed) = &mut self.missed {
                match ready!(missed.poll(&site, context)) {
                    Caught::Words(words) => {
                        let verdicts: Vec<Bytes> =
                            words.iter().filter_map(|word| self.verdict(word)).collect();
                        self.ready.extend(verdicts);
                    }
                    Caught::Up => {
                        self.upto = missed.upto;
                        self.missed = None;
                    }
                    Caught::TooFar => {
                        self.upto = missed.upto;
                        self.missed = None;
                        self.ready.push_back(resync(0));
                    }
                }
                continue;
            }
            let polled = site.live.board().poll_behind(&mut place, context);
            self.place = place;
            let Poll::Ready(CommittedWords { missed, words }) = polled else { return Poll::Pending };
            if missed > 0 {
                self.ready.push_back(resync(missed));
            }
            let verdicts: Vec<Bytes> = words.iter().filter_map(|word| self.verdict(word)).collect();
            self.ready.extend(verdicts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_a_verdict_of_this_life_of_the_store() {
        let epoch = "07".repeat(16);
        let check = |id: &str, expected| assert_eq!(read_id(id, &epoch), expected, "{id}");
        check(&format!("{epoch}/alarm/12"), Some((Lane::Alarm, Seq(12))));
        for odd in [
            "",
            "x/alarm/12",
            &format!("{epoch}/alarm"),
            &format!("{epoch}/alarm/-1"),
            &format!("{epoch}/odd/1"),
            &format!("{epoch}/alarm/1/2"),
        ] {
            check(odd, None);
        }
    }

    #[test]
    fn a_listener_says_what_he_wants() {
        let kinds = Kinds::read("camera,verdict,camera").unwrap();
        let wanted: Vec<&str> =
            Kind::ALL.into_iter().filter(|kind| kinds.has(*kind)).map(Kind::as_str).collect();
        assert_eq!(wanted, ["verdict", "camera"]);
        assert!(Kinds::read(DEFAULT).is_some_and(|kinds| !kinds.has(Kind::Action)));
        for odd in ["", ",", "verdict,", "Verdict", "verdict, status", &["status"; 9].join(",")] {
            assert_eq!(Kinds::read(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn an_event_is_one_line_of_data() {
        let bytes = event("verdict", Some("e/alarm/1"), b"{\"a\":\n1}");
        assert_eq!(&bytes[..], b"event: verdict\nid: e/alarm/1\ndata: {\"a\": 1}\n\n");
    }
}
