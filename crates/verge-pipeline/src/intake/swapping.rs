//! The path of new judges to the judging thread.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Instant;

use verge_domain::reading::Reading;
use verge_domain::stage::{Decoder, Judge, Source};

use super::{Item, Judging, Worker};
use crate::judging::{PlannedJudge, SwapReport};

/// Instances that carry over what they have learnt between two bursts: a few milliseconds at most.
const RENEWED_AT_ONCE: usize = 16;

/// Judges that wait to be at work, and where the report goes.
pub(super) struct Swap<J> {
    planned: Vec<PlannedJudge<J>>,
    reply: SwapReply,
}

/// Called once with the report.
pub(super) type SwapReply = Box<dyn FnOnce(SwapReport) + Send>;

/// A swap is under way already, or the judges have stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the judges take no others now: they are being exchanged already, or they have stopped")]
pub struct SwapRefused;

impl<J: Judge> Judging<J> {
    /// Puts these judges in the place of those at work, between two messages; never blocks. `reply` is called on the
    /// judging thread once all instances go on, and must not block. It is dropped uncalled if the gateway stops before.
    ///
    /// # Errors
    /// [`SwapRefused`]; then nothing is done.
    pub fn swap(
        &self,
        planned: Vec<PlannedJudge<J>>,
        reply: impl FnOnce(SwapReport) + Send + 'static,
    ) -> Result<(), SwapRefused> {
        let reply = Box::new(reply);
        self.swaps.try_send(Swap { planned, reply }).map_err(|_| SwapRefused)?;
        wake(&self.queue);
        Ok(())
    }
}

/// A full queue keeps the thread awake anyway, and a thread that has ended needs no waking.
pub(super) fn wake(queue: &SyncSender<Item>) {
    match queue.try_send(Item::Wake) {
        Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
    }
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    /// Exchanges the judges, if others wait; continues to carry over what they have learnt.
    pub(super) fn exchange(&mut self) {
        if self.swapping.is_none() {
            let Ok(Swap { planned, reply }) = self.swaps.try_recv() else { return };
            let began = Instant::now();
            self.set.swap(planned, self.clock.now(), &mut self.decision);
            self.swapping = Some((reply, began.elapsed()));
        }
        let now = self.clock.now();
        let done = self.set.renew(RENEWED_AT_ONCE, now, &mut self.decision);
        self.submit(0, now.mono, None);
        if let Some(report) = done
            && let Some((reply, pause)) = self.swapping.take()
        {
            self.counters.note_alarm_rates(self.set.alarm_rates(now));
            self.counters.note_judging(self.set.account());
            reply(SwapReport { pause, ..report });
        }
    }
}
