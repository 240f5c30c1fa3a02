//! `/api/v1/stream`: verdicts as they are committed, and the status every two seconds, as server-sent events.
//!
//! The id of a verdict is `epoch/lane/seq`, so whoever comes back goes on behind the last one that he saw, also after a restart of
//! the gateway; where that is not stored any more, or he reads too slowly, he gets `resync` and fetches everything anew. Nothing waits for him: the board keeps its
//! newest verdicts for all.

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
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use verge_domain::board::{CommittedWords, LastWord};
use verge_domain::id::{Lane, Seq};

use self::catch_up::{CatchUp, Caught};
use super::access::{Role, Who};
use super::form::Form;
use super::problem::Problem;
use super::routes::{Allowed, Routes};
use super::site::{MAX_LISTENERS, Site};

/// A page that gets none for 15 s says that it is not connected.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// A sign of life, and a look whether the listener may still listen.
const BEAT_EVERY: Duration = Duration::from_secs(10);
const HEAD: &str = "retry: 2000\n\n";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/api/v1/stream", Allowed::From(Role::Viewer), stream)
}

async fn stream(
    State(site): State<Arc<Site>>,
    who: Who,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Ok(permit) = Arc::clone(&site.listeners).try_acquire_owned() else {
        return Err(Problem::TooManyListeners { limit: MAX_LISTENERS });
    };
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(query.text("after"));
    let kinds = query.text("kinds").unwrap_or("verdict,status");
    let kinds = Kinds { verdicts: kinds.contains("verdict"), status: kinds.contains("status") };
    let listener = Listener::new(site, who, (kinds, seen), permit).await;
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::new(listener)).into_response())
}

/// What a listener wants.
#[derive(Debug, Clone, Copy)]
struct Kinds {
    verdicts: bool,
    status: bool,
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
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    async fn new(
        site: Arc<Site>,
        who: Who,
        (kinds, seen): (Kinds, Option<&str>),
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut ready = VecDeque::from([Bytes::from_static(HEAD.as_bytes())]);
        let now = site.live.board().follow();
        let (mut place, mut missed) = (now, None);
        if let Some(seen) = seen.filter(|_| kinds.verdicts) {
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
        let (status, beat) = (every(STATUS_EVERY), every(BEAT_EVERY));
        let upto = [Seq::ZERO; 3];
        Self { site, who, kinds, place, missed, upto, ready, status, beat, _permit: permit }
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
            if self.beat.poll_tick(context).is_ready() {
                let (site, proof) = (Arc::clone(&self.site), self.who.proof.clone());
                if site.access.identify(proof, site.live.now()).is_none() {
                    return Poll::Ready(None);
                }
                self.ready.push_back(Bytes::from_static(b":\n\n"));
                continue;
            }
            if self.kinds.status && self.status.poll_tick(context).is_ready() {
                let status = event("status", None, &self.site.shared_status());
                self.ready.push_back(status);
                continue;
            }
            if !self.kinds.verdicts {
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
    fn an_event_is_one_line_of_data() {
        let bytes = event("verdict", Some("e/alarm/1"), b"{\"a\":\n1}");
        assert_eq!(&bytes[..], b"event: verdict\nid: e/alarm/1\ndata: {\"a\": 1}\n\n");
    }
}
