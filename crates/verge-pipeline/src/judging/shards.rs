//! The judges spread over threads, by device.
//!
//! One thread decodes messages and decides what follows from them, in order of arrival; it owns all judge sets. In a
//! burst each set gets the readings of its devices, and is lent to a thread of its own until it has judged
//! them. Its decisions come back with the reading that caused them, so that the verdicts of a message stand in the
//! order that one thread would give them, and a message is settled only when all its readings are judged.
//! Between bursts only the one thread runs: time passing, orders and saving need no locks.

mod helper;

use std::sync::Arc;

use verge_domain::observation::{Camera, Captured, Observation};
use verge_domain::reading::{Decoded, Inbound, Reading};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Checkpoint, Decoder, Judge};
use verge_domain::time::Moment;

use super::{Decision, JudgeRate, JudgeSet, Order, OrderError, Outcome, Placement, SavePass};
use crate::counters::{Counters, JudgingAccount};
use helper::{Helper, Posted};

/// Parts of fewer readings than this are judged at once: waking a thread costs more.
const WORTH_A_THREAD: usize = 16;

/// In the place of the codecs where no message is decoded.
pub struct Undecoded;

impl Decoder for Undecoded {
    type Item = Reading;

    fn decode(&mut self, _message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
    }
}

/// The result of one message.
#[derive(Debug, Default)]
struct Judged {
    /// What it caused.
    decision: Decision,
    judged: u64,
    rejections: Vec<Rejection>,
}

/// All judge sets, and the threads that help.
pub struct Shards<D, J> {
    front: JudgeSet<D, J>,
    helpers: Vec<Helper<J>>,
    placement: Placement,
    counters: Arc<Counters>,
    decoded: Decoded<Reading>,
    /// Parts of the burst in hand, by shard.
    parts: Vec<Vec<Posted>>,
    burst: Vec<Judged>,
    /// Readings of the burst so far.
    posted: u32,
}

impl<D: Decoder<Item = Reading>, J: Judge> From<JudgeSet<D, J>> for Shards<D, J> {
    /// All on one thread.
    fn from(front: JudgeSet<D, J>) -> Self {
        Self {
            placement: front.place.placement().clone(),
            counters: Arc::clone(&front.counters),
            front,
            helpers: Vec::new(),
            decoded: Decoded::default(),
            parts: vec![Vec::new()],
            burst: Vec::new(),
            posted: 0,
        }
    }
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static> Shards<D, J> {
    /// Shares the work: `front` has place 0 and decodes, each of `others` gets a thread. Their places must be those of
    /// one [`Placement`], in order.
    ///
    /// # Panics
    /// If the operating system gives no thread, or the places are not those of one placement.
    #[must_use]
    pub fn new(front: JudgeSet<D, J>, others: Vec<JudgeSet<Undecoded, J>>) -> Self {
        let mut shards = Self::from(front);
        assert_eq!(shards.placement.shards(), 1 + others.len(), "one set for each shard");
        for (index, set) in (1..).zip(others) {
            assert_eq!(set.place.index, index, "sets in the order of their shards");
            shards.helpers.push(Helper::start(set));
            shards.parts.push(Vec::new());
        }
        shards
    }

    /// Whether messages should be judged in bursts, by [`Self::post`] and [`Self::judge`].
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !self.helpers.is_empty()
    }

    /// Judges one message on this thread, whichever shards its devices belong to.
    pub fn message(&mut self, message: &Inbound, now: Moment, out: &mut Decision) {
        if !self.is_shared() {
            return self.front.message(message, now, out);
        }
        self.post(message, now);
        for (_, judged) in self.judge([message]) {
            out.verdicts.extend(judged.verdicts);
            out.checkpoints.extend(judged.checkpoints);
        }
    }

    /// See [`JudgeSet::arrival`]: done by the shard of the device, on this thread.
    ///
    /// # Errors
    /// More devices than the limit.
    pub fn arrival(
        &mut self,
        camera: &Camera,
        captured: Captured,
        received: Moment,
        now: Moment,
        out: &mut Decision,
    ) -> Result<(), Reason> {
        match self.placement.shard_of(&camera.device) {
            0 => self.front.arrival(camera, captured, received, now, out),
            shard => self.helpers[shard - 1].set().arrival(camera, captured, received, now, out),
        }
    }

    /// See [`JudgeSet::observation`]: done by the shard of the device, on this thread.
    pub fn observation(&mut self, observation: Observation, now: Moment, out: &mut Decision) {
        match self.placement.shard_of(&observation.camera.device) {
            0 => self.front.observation(observation, now, out),
            shard => self.helpers[shard - 1].set().observation(observation, now, out),
        }
    }

    /// Decodes a message and adds its readings to the burst.
    pub fn post(&mut self, message: &Inbound, now: Moment) {
        let mut decoded = std::mem::take(&mut self.decoded);
        self.front.decode(message, &mut decoded);
        super::note_remarks(&self.counters, message, &decoded);
        let of = self.burst.len();
        let rejections = std::mem::take(&mut decoded.rejections);
        self.burst.push(Judged { rejections, ..Judged::default() });
        for reading in decoded.items.drain(..) {
            let part = &mut self.parts[self.placement.shard_of(&reading.device)];
            let (source, received) = (message.source, message.received);
            part.push(Posted { at: self.posted, of, source, received, now, reading });
            self.posted += 1;
        }
        self.decoded = decoded;
    }

    /// Judges the burst. `messages` are the posted ones, in the same order; each is returned with its
    /// consequences.
    ///
    /// # Panics
    /// If the thread of a shard did. A judge that panics there loses only the reading and the instance.
    pub fn judge<'a>(
        &mut self,
        messages: impl IntoIterator<Item = &'a Inbound>,
    ) -> Vec<(&'a Inbound, Decision)> {
        let mut parts = self.parts.iter_mut();
        let own = parts.next().map(std::mem::take).unwrap_or_default();
        for (helper, part) in self.helpers.iter_mut().zip(parts) {
            if part.len() >= WORTH_A_THREAD {
                helper.lend(std::mem::take(part));
            }
        }
        let mut results = vec![helper::judge(&mut self.front, own)];
        let parts = self.parts.iter_mut().skip(1);
        for (helper, part) in self.helpers.iter_mut().zip(parts) {
            results.push(helper.finish(std::mem::take(part)));
        }
        let mut decisions = Vec::new();
        for (part, result) in self.parts.iter_mut().zip(results) {
            for (of, count) in result.judged {
                self.burst[of].judged += count;
            }
            for (of, reason) in result.refused {
                self.burst[of].rejections.push(Rejection::whole(reason));
            }
            decisions.extend(result.decisions);
            // Its memory is kept for the next burst.
            *part = result.room;
        }
        decisions.sort_unstable_by_key(|&(at, ..)| at);
        for (_, of, decision) in decisions {
            let whole = &mut self.burst[of].decision;
            whole.verdicts.extend(decision.verdicts);
            whole.checkpoints.extend(decision.checkpoints);
        }
        self.posted = 0;
        let account = |(message, judged): (&'a Inbound, Judged)| {
            super::account(&self.counters, message, judged.judged, &judged.rejections);
            (message, judged.decision)
        };
        messages.into_iter().zip(self.burst.drain(..)).map(account).collect()
    }

    /// See [`JudgeSet::restore`].
    pub fn restore(&mut self, checkpoints: &[Checkpoint], now: Moment, out: &mut Decision) {
        self.front.restore(checkpoints, now, out);
        self.helpers.iter_mut().for_each(|helper| helper.set().restore(checkpoints, now, out));
    }

    /// See [`JudgeSet::tick`].
    pub fn tick(&mut self, now: Moment, out: &mut Decision) {
        self.front.tick(now, out);
        self.helpers.iter_mut().for_each(|helper| helper.set().tick(now, out));
    }

    /// See [`JudgeSet::expire`].
    pub fn expire(&mut self, now: Moment, out: &mut Decision) {
        self.front.expire(now, out);
        self.helpers.iter_mut().for_each(|helper| helper.set().expire(now, out));
    }

    /// See [`JudgeSet::save`]; a pass goes through the shards one by one.
    pub fn save(&mut self, pass: &mut SavePass, now: Moment, out: &mut Decision) -> bool {
        let goes_on = match pass.shard() {
            0 => self.front.save(pass, now, out),
            shard => self.helpers[shard - 1].set().save(pass, now, out),
        };
        goes_on || pass.next_shard(self.placement.shards())
    }

    /// See [`JudgeSet::account`]: of all shards together.
    #[must_use]
    pub fn account(&self) -> JudgingAccount {
        self.front.account()
    }

    /// See [`JudgeSet::alarm_rates`].
    #[must_use]
    pub fn alarm_rates(&mut self, now: Moment) -> Vec<JudgeRate> {
        let mut rates = self.front.alarm_rates(now);
        for helper in &mut self.helpers {
            JudgeRate::add(&mut rates, helper.set().alarm_rates(now));
        }
        rates
    }

    /// See [`JudgeSet::carry_out`]: done by the shard of the device.
    ///
    /// # Errors
    /// See [`OrderError`]; for an unknown device it lists only devices of its shard. Where the subject is `known` to
    /// judges of another thread, a window opens here as well.
    pub fn carry_out(
        &mut self,
        order: &Order,
        known: bool,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Outcome, OrderError> {
        let shard = self.placement.shard_of(order.device());
        let windows: usize = self.counters.maintenance().len();
        match shard {
            0 => self.front.carry_out_beside(windows, known, order, now, out),
            shard => self.helpers[shard - 1].set().carry_out_beside(windows, known, order, now, out),
        }
    }
}

#[cfg(test)]
mod tests;
