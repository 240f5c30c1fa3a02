//! The path of new judges to the judging thread: they wait beside the queue, and a mark in it says between which two
//! messages or observations they begin.

use std::sync::mpsc::TrySendError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use verge_domain::id::JudgeIndex;
use verge_domain::reading::Reading;
use verge_domain::stage::{Decoder, Judge, Source};

use super::{Item, Judging, Worker};
use crate::committer::{CommitRequest, Durable};
use crate::judging::{PlannedJudge, SwapReport};

/// Instances that carry over what they have learnt between two bursts: a few milliseconds at most.
const RENEWED_AT_ONCE: usize = 16;

/// Judges that wait to be at work, and where the report goes.
pub struct Swap<J> {
    planned: Vec<(JudgeIndex, PlannedJudge<J>)>,
    reply: SwapReply,
}

/// Called once with the report.
pub(super) type SwapReply = Box<dyn FnOnce(SwapReport) + Send>;

impl<J> Swap<J> {
    /// These judges, all that are to be at work, each under its index. `reply` is called on the committer's thread once all
    /// instances go on and all that the former judges ended is durable. It must not block, and is dropped uncalled if the
    /// gateway stops before.
    pub fn new(
        planned: Vec<(JudgeIndex, PlannedJudge<J>)>,
        reply: impl FnOnce(SwapReport) + Send + 'static,
    ) -> Self {
        Self { planned, reply: Box::new(reply) }
    }
}

/// Why judges were not taken; nothing is done then.
pub enum SwapRefused<J> {
    /// The queue is full at this moment.
    Full(Swap<J>),
    /// Others are being exchanged, or the judges have stopped.
    Closed,
}

/// Where judges wait for their mark in the queue.
pub(super) struct SwapSlot<J>(Mutex<Option<Swap<J>>>);

impl<J> Default for SwapSlot<J> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<J> SwapSlot<J> {
    fn lock(&self) -> MutexGuard<'_, Option<Swap<J>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Judge> Judging<J> {
    /// Puts these judges in the place of those at work, behind all that is queued now and before all that is queued later;
    /// never blocks.
    ///
    /// # Errors
    /// See [`SwapRefused`].
    pub fn try_swap(&self, swap: Swap<J>) -> Result<(), SwapRefused<J>> {
        let mut slot = self.swaps.lock();
        if slot.is_some() {
            return Err(SwapRefused::Closed);
        }
        match self.queue.try_send(Item::Exchange) {
            Ok(()) => {
                *slot = Some(swap);
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(SwapRefused::Full(swap)),
            Err(TrySendError::Disconnected(_)) => Err(SwapRefused::Closed),
        }
    }
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    /// Exchanges the judges, if their mark has come up in the queue; continues to carry over what they have learnt.
    pub(super) fn exchange(&mut self) {
        if std::mem::take(&mut self.exchange_due) {
            self.renew(usize::MAX);
            if let Some(Swap { planned, reply }) = self.swaps.lock().take() {
                let began = Instant::now();
                self.set.swap(planned, self.clock.now(), &mut self.decision);
                self.swapping = Some((reply, began.elapsed()));
            }
        }
        self.renew(RENEWED_AT_ONCE);
    }

    fn renew(&mut self, most: usize) {
        if self.swapping.is_none() {
            return;
        }
        let now = self.clock.now();
        let Some(report) = self.set.renew(most, now, &mut self.decision) else {
            return self.submit(0, now.mono, None);
        };
        let Some((reply, pause)) = self.swapping.take() else { return };
        self.counters.note_alarm_rates(self.set.alarm_rates(now));
        self.counters.note_judging(self.set.account());
        let durable = Durable::new(move || reply(SwapReport { pause, ..report }));
        self.request(CommitRequest { durable: Some(durable), ..CommitRequest::of_time(now.mono) });
    }
}
