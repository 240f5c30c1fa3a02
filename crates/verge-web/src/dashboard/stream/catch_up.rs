//! What a listener missed that the board does not keep any more: out of the store, also that of an earlier run.
//!
//! The id of a verdict names its lane and number, so of that lane he gets exactly what stands behind it. How far he was in
//! the other lanes follows from when that verdict was made: what was made within a second of it may come to him a second time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use verge_domain::board::LastWord;
use verge_domain::id::{Lane, Seq};
use verge_domain::live::{ReadFrom, StoredError, StoredItem, StoredPart};
use verge_domain::time::UtcMillis;

use crate::dashboard::past;
use crate::dashboard::site::Site;

/// Threads that judge hand verdicts over in nearly the order in which they make them.
const OVERLAP_MS: i64 = 1_000;
/// Parts of the store, of some 256 rows each, after which a listener had better fetch everything anew.
const MOST_PARTS: usize = 64;

/// A listener on his way back.
pub(super) struct CatchUp {
    left: VecDeque<(Lane, ReadFrom)>,
    reading: Option<oneshot::Receiver<Result<StoredPart, StoredError>>>,
    parts: usize,
    /// What he has got of each lane.
    pub(super) upto: [Seq; 3],
}

/// What comes next.
pub(super) enum Caught {
    Words(Vec<Arc<LastWord>>),
    /// He is where the board goes on.
    Up,
    /// Too far behind, or the store cannot be read.
    TooFar,
}

impl CatchUp {
    /// Behind this verdict; `None` where it is not stored any more.
    pub(super) async fn behind(site: &Site, lane: Lane, seq: Seq) -> Option<Self> {
        let before = ReadFrom::Behind(Seq(seq.0.checked_sub(1)?));
        let first = past::read(site, lane, before).await.ok()?.items.into_iter().next()?;
        let StoredItem::Verdict(word) = first else { return None };
        let made = word.verdict.times.decided;
        let since = ReadFrom::Since(UtcMillis(made.0.saturating_sub(OVERLAP_MS)));
        let others = Lane::ALL.into_iter().filter(|other| *other != lane).map(|other| (other, since));
        let left = std::iter::once((lane, ReadFrom::Behind(seq))).chain(others).collect();
        (word.seq == Some(seq)).then_some(Self { left, reading: None, parts: 0, upto: [Seq::ZERO; 3] })
    }

    pub(super) fn poll(&mut self, site: &Site, context: &mut Context<'_>) -> Poll<Caught> {
        loop {
            let Some(&(lane, from)) = self.left.front() else { return Poll::Ready(Caught::Up) };
            let Some(reading) = &mut self.reading else {
                if self.parts == MOST_PARTS {
                    return Poll::Ready(Caught::TooFar);
                }
                self.parts += 1;
                let (done, read) = oneshot::channel();
                // Nobody waits any more if this fails.
                site.live.stored(lane, from, Box::new(move |part| drop(done.send(part))));
                self.reading = Some(read);
                continue;
            };
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            let Ok(Ok(StoredPart { items, rest })) = read else { return Poll::Ready(Caught::TooFar) };
            self.left.pop_front();
            if let Some(rest) = rest {
                self.left.push_front((lane, rest));
            }
            let words = items.into_iter().filter_map(|item| match item {
                StoredItem::Verdict(word) => Some(word),
                StoredItem::Tombstone { .. } => None,
            });
            let words: Vec<_> = words.collect();
            if let Some(last) = words.last().and_then(|word| word.seq) {
                self.upto[lane.index()] = last;
                return Poll::Ready(Caught::Words(words));
            }
        }
    }
}
