//! A judge set that judges on a thread of its own while it is lent to that thread.

use std::sync::mpsc::{self, Receiver, SyncSender};

use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::stage::{Decoder, Judge};
use verge_domain::time::Moment;

use super::Undecoded;
use crate::judging::{Decision, JudgeSet};

/// A reading to be judged.
pub(super) struct Posted {
    /// Its place among the readings of the burst.
    pub(super) at: u32,
    /// Its message's place in the burst.
    pub(super) of: usize,
    pub(super) source: SourceIndex,
    pub(super) received: Moment,
    pub(super) now: Moment,
    pub(super) reading: Reading,
}

/// The result of a part of a burst.
pub(super) struct Result {
    /// Readings judged, by message.
    pub(super) judged: Vec<(usize, u64)>,
    pub(super) refused: Vec<(usize, Reason)>,
    /// Reading, message, and what the reading caused.
    pub(super) decisions: Vec<(u32, usize, Decision)>,
    /// The part, empty.
    pub(super) room: Vec<Posted>,
}

/// Judges a part of a burst.
pub(super) fn judge<D, J>(set: &mut JudgeSet<D, J>, mut part: Vec<Posted>) -> Result
where
    D: Decoder<Item = Reading>,
    J: Judge,
{
    let mut result =
        Result { judged: Vec::new(), refused: Vec::new(), decisions: Vec::new(), room: Vec::new() };
    let mut decision = Decision::default();
    for Posted { at, of, source, received, now, reading } in part.drain(..) {
        match set.reading(source, &reading, received, now, &mut decision) {
            // Readings of one message follow each other.
            Ok(()) => match result.judged.last_mut() {
                Some((last, count)) if *last == of => *count += 1,
                _ => result.judged.push((of, 1)),
            },
            Err(reason) => result.refused.push((of, reason)),
        }
        if !decision.is_empty() {
            result.decisions.push((at, of, std::mem::take(&mut decision)));
        }
    }
    result.room = part;
    result
}

type Lent<J> = Box<JudgeSet<Undecoded, J>>;

/// The thread, and the set while it is not lent.
pub(super) struct Helper<J> {
    set: Option<Lent<J>>,
    work: SyncSender<(Lent<J>, Vec<Posted>)>,
    done: Receiver<(Lent<J>, Result)>,
}

impl<J: Judge + 'static> Helper<J> {
    /// Starts the thread; it ends when this is dropped.
    pub(super) fn start(set: JudgeSet<Undecoded, J>) -> Self {
        // One set: neither channel ever holds more than it.
        let (work, works) = mpsc::sync_channel::<(Lent<J>, Vec<Posted>)>(1);
        let (finished, done) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name(format!("verge-judge-{}", set.place.index))
            .spawn(move || {
                for (mut set, part) in works {
                    let result = judge(&mut set, part);
                    // Nothing waits for it any more: the gateway ends.
                    if finished.send((set, result)).is_err() {
                        return;
                    }
                }
            })
            .expect("the operating system gives a gateway its few threads");
        Self { set: Some(Box::new(set)), work, done }
    }

    /// The set, which is not lent between bursts.
    pub(super) fn set(&mut self) -> &mut JudgeSet<Undecoded, J> {
        self.set.as_mut().expect("what was lent was taken back before")
    }

    /// Lends the set to the thread to judge a part.
    pub(super) fn lend(&mut self, part: Vec<Posted>) {
        let set = self.set.take().expect("what was lent was taken back before");
        assert!(self.work.send((set, part)).is_ok(), "a judge had panicked on its thread");
    }

    /// Waits for the result of the thread; or judges a part that was too small to lend for.
    pub(super) fn finish(&mut self, part: Vec<Posted>) -> Result {
        if self.set.is_some() {
            return judge(self.set(), part);
        }
        let (set, result) = self.done.recv().expect("a judge panics only by a defect");
        self.set = Some(set);
        result
    }
}
