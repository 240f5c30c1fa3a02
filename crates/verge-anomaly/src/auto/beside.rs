//! What `auto` looks at beside its members where a judge's signals share a budget: steps, and where the signal stays.
//!
//! Both measure against all that the signal did, in its own unit, and need no law of many readings: what a signal has
//! spent by its members says nothing about them. So they have a level of their own, see [`crate::pool`].

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Expected, Member, Standing};
use verge_domain::id::DeviceId;
use verge_domain::stage::RestoreError;
use verge_domain::time::UtcMillis;

use super::departures::{Departures, EXPLAINED_MS, QUICK_S};
use super::jumps::{Jump, Jumps};
use super::places::{self, KnownPlaces};
use super::steps::{self, Steps};
use super::tails::MemberScores;
use super::views::Views;
use super::{AutoDetector, EFFECTIVE_MEMBERS, MEAN, MEMBERS, VOLATILITY, combined};
use crate::alarm::AlarmOutcome;
use crate::pool::PoolMember;
use crate::tail::LEAST_P;

/// No probability is worth a look where so few nats are reached.
const LEAST_NATS: f64 = 4.6;
/// A jump is beyond doubt at this many times the greatest step that counted, be that learnt or not.
const AGAIN: f64 = 1.25;
/// Part of that which is forgotten with each reading.
const FORGOTTEN: f64 = 1e-5;

/// What is known of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct BesideMembers {
    steps: Steps,
    places: KnownPlaces,
    /// Saved behind the rest.
    #[serde(skip, default)]
    jumps: Jumps,
    /// The greatest step that counts, learnt or not. Saved behind the rest.
    #[serde(skip, default)]
    greatest: f64,
    /// Saved behind the rest.
    #[serde(skip, default)]
    departures: Option<Box<Departures>>,
}

/// What there is to see in one reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// The step from the reading before, where it counts.
    pub(super) step: Option<f64>,
    pub(super) value: f64,
    /// Usual seconds between two readings.
    pub(super) seconds: f64,
    /// Mean of twenty readings, and the slow mean of absolute deviations.
    pub(super) mean: f64,
    pub(super) deviation: f64,
    /// Width in which 98 % of the values lie, and its lower end.
    pub(super) width: f64,
    pub(super) low: f64,
}

/// What is strange in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenBeside {
    /// Combined probability; one where nothing is.
    pub(super) p: f64,
    /// By its step, else by where the signal stays.
    pub(super) by_step: bool,
    /// It jumped, beyond doubt, and how probable that is. Only while learning: no record of many signals stands behind it.
    pub(super) jump: Option<Jump>,
    pub(super) by_jump: f64,
    /// The signal comes to rest or leaves it: its machine stops or starts.
    turns: bool,
    /// Where the signal stays was looked at anew.
    moved: bool,
    sight: Sight,
}

impl BesideMembers {
    pub(super) fn new() -> Self {
        Self {
            steps: Steps::new(),
            places: KnownPlaces::new(),
            jumps: Jumps::default(),
            greatest: 0.0,
            departures: None,
        }
    }

    /// With the range that an earlier version knew, where it did.
    pub(super) fn of_former(former: Option<((f64, f64), u32, i64)>) -> Self {
        let places = former.map(|(range, blocks, block)| KnownPlaces::of_range(range, blocks, block));
        Self { places: places.unwrap_or_else(KnownPlaces::new), ..Self::new() }
    }

    /// `pool`: knows the block of time, and what the machine does, for which only some readings ask.
    pub(super) fn look(&mut self, at: UtcMillis, sight: Sight, pool: &PoolMember) -> SeenBeside {
        let block = || pool.block_of(at);
        let moved = self.places.note(block, sight.mean, sight.deviation);
        let nats = if moved { self.places.surprise(sight.deviation) } else { 0.0 };
        let by_place = if nats >= LEAST_NATS { (-nats).exp().max(LEAST_P) } else { 1.0 };
        let by_step = sight.step.map_or(1.0, |step| self.steps.probability(step, sight.width));
        let by_step = if by_step < 1.0 { combined(by_step) } else { 1.0 };
        // A jump like one before is how the machine works.
        let is_strange = sight.step.is_some_and(|step| {
            step > AGAIN * self.greatest && self.steps.is_beyond_doubt(step, sight.width)
        });
        self.greatest = (self.greatest * (1.0 - FORGOTTEN)).max(sight.step.unwrap_or_default());
        // Only of quick signals, and only until places are known.
        let (departure, turns) = if sight.seconds > QUICK_S || self.places.are_known() {
            self.departures = None;
            (None, false)
        } else {
            self.departures.get_or_insert_with(|| Box::new(Departures::new())).look(at, sight)
        };
        let departure = departure.filter(|_| !turns && !pool.machine_turned(at, EXPLAINED_MS));
        let jump = self.jumps.look(sight, is_strange);
        let by_jump = match (jump, departure) {
            (Some(Jump { from, to, .. }), _) => {
                combined(steps::by_width((to - from).abs(), sight.width).max(LEAST_P))
            }
            (None, Some(departure)) => places::by_length(departure),
            (None, None) => 1.0,
        };
        let jump = jump.or(departure);
        let p = by_step.min(by_place);
        SeenBeside { p, by_step: by_step <= by_place, jump, by_jump, turns, moved, sight }
    }

    /// Which member says it, what it observes, and what it expected up to this probability.
    pub(super) fn words(&self, seen: &SeenBeside, level: f64) -> (usize, f64, Expected) {
        let Sight { step, deviation, width, .. } = seen.sight;
        if let Some(Jump { from, to, least }) = seen.jump {
            let end = |end: f64| Some(end).filter(|end| end.is_finite());
            return (MEAN, to, Expected { low: end(from - least), high: end(from + least) });
        }
        match step.filter(|_| seen.by_step) {
            Some(step) => {
                let most = self.steps.most(level / EFFECTIVE_MEMBERS, width);
                (VOLATILITY, step, Expected { low: None, high: Some(most).filter(|most| most.is_finite()) })
            }
            None => {
                let place = self.places.expected(-level.ln(), deviation);
                let end = |end: f64| Some(end).filter(|end| end.is_finite());
                let expected = place
                    .map_or(Expected::default(), |(low, high)| Expected { low: end(low), high: end(high) });
                (MEAN, self.places.middle(), expected)
            }
        }
    }

    /// Learns a reading; where the signal stays only where nothing is wrong with that.
    pub(super) fn learn(&mut self, seen: &SeenBeside, level: f64, is_usual_place: bool) {
        if let Some(step) = seen.sight.step {
            self.steps.learn(step, level / EFFECTIVE_MEMBERS);
        }
        if let Some(departures) = &mut self.departures {
            departures.learn(is_usual_place);
        }
        if seen.moved && is_usual_place {
            self.places.learn();
        }
    }

    /// The last event was no fault.
    pub(super) fn was_false(&mut self) {
        self.steps.was_false();
        self.accept();
    }

    /// Where the signal is counts from now on.
    fn accept(&mut self) {
        self.places.accept();
        if let Some(departures) = &mut self.departures {
            departures.accept();
        }
    }

    /// An alarm was raised: where it leads to needs none of its own.
    fn announce(&mut self) {
        self.places.announce();
        if let Some(departures) = &mut self.departures {
            departures.announce();
        }
    }

    /// The last event was a fault.
    pub(super) fn was_real(&mut self) {
        self.steps.was_real();
    }

    pub(super) fn check(&self) -> Result<(), RestoreError> {
        if !(self.places.fits() && self.departures.as_ref().is_none_or(|departures| departures.fits())) {
            return Err(RestoreError::Misfit { part: "its places" });
        }
        if !(self.greatest.is_finite() && self.greatest >= 0.0) {
            return Err(RestoreError::Misfit { part: "its greatest step" });
        }
        self.steps.check()?;
        self.jumps.check()
    }

    pub(super) fn jumps(&self) -> &Jumps {
        &self.jumps
    }

    pub(super) const fn greatest(&self) -> f64 {
        self.greatest
    }

    pub(super) fn departures(&self) -> Option<&Departures> {
        self.departures.as_deref()
    }

    /// Takes up what was saved behind the rest.
    pub(super) fn with(
        self: Box<Self>,
        jumps: Jumps,
        greatest: f64,
        departures: Option<Departures>,
    ) -> Box<Self> {
        let departures = departures.map(Box::new);
        Box::new(Self { jumps, greatest, departures, ..*self })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let departures = self.departures.as_ref().map_or(0, |departures| departures.heap_bytes());
        size_of::<Self>() + self.places.heap_bytes() + departures
    }
}

impl SeenBeside {
    /// A single step is what is strange, not where the signal stays or jumped to.
    pub(super) const fn is_single_step(self) -> bool {
        self.by_step && self.jump.is_none() && self.sight.step.is_some()
    }

    /// Jumps beyond doubt count while a judge learns.
    pub(super) fn while_learning(self, learns: bool) -> Self {
        if learns { self } else { Self { jump: None, by_jump: 1.0, ..self } }
    }
}

impl AutoDetector {
    /// Whose signal it is: what the others of the machine do explains some of what it does.
    pub(super) fn belongs_to(&mut self, device: &DeviceId) {
        self.pool.belongs_to(device);
    }

    /// Score and mean step of the volatility. A machine that starts or stops is not restless.
    pub(super) fn restlessness(&mut self, value: f64, step: Option<f64>) -> (f64, f64) {
        if step.is_none() && self.pool.is_shared() {
            self.volatility.score_of_recent()
        } else {
            self.volatility.score((value - self.last).abs())
        }
    }

    /// What is strange beside the members.
    pub(super) fn look_beside(&mut self, at: UtcMillis, views: &Views) -> Option<SeenBeside> {
        let usual = self.shift.usual().unwrap_or_default();
        let (low, width) = usual.low.zip(usual.high).map_or((0.0, 0.0), |(low, high)| (low, high - low));
        let (mean, deviation) = (views.observed[MEAN].0, self.deviation);
        let (step, value, seconds) = (views.step, self.last, self.pace.seconds());
        let sight = Sight { step, value, seconds, mean, deviation, width, low };
        let seen = self.beside.as_mut()?.look(at, sight, &self.pool);
        if seen.turns {
            self.pool.machine_turns(at);
        }
        Some(seen)
    }

    /// The strangest, what it observed, and what it expected up to this probability.
    pub(super) fn words(
        &self,
        judged: &MemberScores,
        views: &Views,
        by_beside: Option<SeenBeside>,
        level: f64,
    ) -> (usize, f64, Expected) {
        if let Some((seen, beside)) = by_beside.zip(self.beside.as_ref()) {
            return beside.words(&seen, level);
        }
        let (observed, centre) = views.observed[judged.strangest];
        let is_strange = judged.smallest < 1.0;
        let expected =
            if is_strange { self.expected(judged.strangest, centre, level) } else { Expected::default() };
        (judged.strangest, observed, expected)
    }

    /// Learns what was seen beside the members. `begins`: an event that is about it, at this level.
    pub(super) fn learn_beside(
        &mut self,
        seen: &SeenBeside,
        outcome: &AlarmOutcome,
        begins: bool,
        level: f64,
    ) {
        let is_usual_place = !self.alarms.is_open() || self.pool.is_learning_event();
        let Some(beside) = &mut self.beside else { return };
        if outcome.abnormal && seen.is_single_step() {
            beside.steps.note_event(seen.sight.step.unwrap_or_default(), begins);
        }
        if outcome.standing == Standing::Adapted {
            beside.accept();
        }
        if outcome.alarm && !outcome.learning {
            beside.announce();
        }
        beside.learn(seen, level, is_usual_place);
    }
}

const _: () = assert!(matches!((MEMBERS[MEAN], MEMBERS[VOLATILITY]), (Member::Mean, Member::Volatility)));
