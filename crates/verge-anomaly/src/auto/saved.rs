//! What people say to the detector, what it weighs, and its saved state.

use verge_domain::finding::Feedback;
use verge_domain::stage::RestoreError;
use verge_domain::time::UtcMillis;

use super::beside::BesideMembers;
use super::cause::UsualBefore;
use super::departures::Departures;
use super::jumps::Jumps;
use super::{AutoDetector, AutoSettings, DayProfile, EventCause, MEMBERS, Quantiser, Shift, mean, median5};
use crate::excursions::Excursions;
use crate::pool::{RunningEvent, SavedBeside, SavedMember};
use crate::state::{self, SavedParts, StateKind};

impl AutoDetector {
    /// What people said about its alarms.
    #[must_use]
    pub fn feedback(&self) -> Feedback {
        self.feedback
    }

    /// A person says that the signal was changed on purpose: what is usual is learnt again from here on, and what the
    /// last alarm taught is forgotten. How strange scores were before is kept.
    pub fn was_maintenance(&mut self) {
        self.feedback.maintenance = self.feedback.maintenance.saturating_add(1);
        let taught = self.lessons.was_maintenance();
        self.tails.forget(&taught);
        self.excursions.was_maintenance();
        self.cause = EventCause::NONE;
        self.pool.was_maintenance();
        if let Some(beside) = &mut self.beside {
            **beside = BesideMembers::new();
        }
        let recent = self.recent.all();
        if recent.is_empty() {
            return;
        }
        self.level = mean(recent);
        self.median = median5(&self.recent);
        self.readings = recent.len() as u32;
        self.profile = DayProfile::new();
        self.volatility.start_again();
        self.quantiser = Quantiser::new(self.last);
        self.shift = Shift::new();
    }

    /// A person says that the alarm of the event that began then, or else the last one, was real: what it taught is
    /// forgotten, so that the same will be as strange the next time. Says whether there was still something to forget.
    pub fn was_real(&mut self, event: Option<UtcMillis>) -> bool {
        self.feedback.real = self.feedback.real.saturating_add(1);
        self.pool.was_real();
        if let Some(beside) = &mut self.beside {
            beside.was_real();
        }
        let was_harmless = self.excursions.was_real(event);
        let taught = if self.excursions.is_last(event) { self.lessons.was_real() } else { None };
        taught.iter().for_each(|taught| self.tails.forget(taught));
        was_harmless || taught.is_some()
    }

    /// A person says that it was no fault: its kind of excursion is usual from now on. Says whether it is still known.
    pub fn was_false(&mut self, event: Option<UtcMillis>) -> bool {
        if self.excursions.is_last(event) {
            self.lessons.was_false();
            self.cause = EventCause::NONE;
            if let Some(beside) = &mut self.beside {
                beside.was_false();
            }
        }
        self.excursions.was_false(event)
    }

    /// Bytes that one detector takes, itself and on the heap, while no feedback is awaited.
    #[must_use]
    pub fn bytes() -> usize {
        size_of::<Self>() + Self::new(&AutoSettings::default()).heap_bytes()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.lessons.heap_bytes()
            + self.excursions.heap_bytes()
            + self.pool.heap_bytes()
            + self.beside.as_ref().map_or(0, |beside| beside.heap_bytes())
            + self.tails.heap_bytes()
            + self.context.heap_bytes()
            + self.hourly.heap_bytes()
            + self.recent.heap_bytes()
            + self.profile.heap_bytes()
            + self.volatility.heap_bytes()
            + self.context_bits.heap_bytes()
            + self.hourly_bits.heap_bytes()
            + Shift::HEAP_BYTES
    }

    /// The state, to be taken up by [`AutoDetector::restore`].
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let behind = (&self.excursions, self.pool.saved());
        let beside = self.beside.as_ref().map(|beside| (self.pool.saved_beside(), beside));
        let jumps = self.beside.as_ref().map(|beside| (Some(beside.jumps()), beside.greatest()));
        let (jumps, greatest) = jumps.unwrap_or_default();
        let departures = self.beside.as_ref().and_then(|beside| beside.departures());
        let newest =
            (self.pool.running(&self.alarms), beside, jumps, greatest, departures, self.usual_before);
        state::seal_with(StateKind::Auto, self, &behind, &newest)
    }

    /// Takes up saved state; settings stay as they are.
    ///
    /// # Errors
    /// State of another version or detector, or damaged.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut parts = SavedParts::of(StateKind::Auto, bytes)?;
        let mut restored: Self = parts.first()?;
        let (excursions, mut shared): (Excursions, SavedMember) = parts.next()?;
        let running: RunningEvent = parts.next()?;
        let beside: Option<(SavedBeside, Box<BesideMembers>)> = parts.next()?;
        let jumps: Option<Jumps> = parts.next()?;
        let greatest: f64 = parts.next()?;
        let departures: Option<Departures> = parts.next()?;
        let usual_before: UsualBefore = parts.next()?;
        restored.check()?;
        if !usual_before.is_sound() {
            return Err(RestoreError::Misfit { part: "what was usual before its event" });
        }
        excursions.check(MEMBERS.len())?;
        let mut pool = self.pool.clone();
        let former = shared.take_former_range();
        pool.restore(shared, running, &mut restored.alarms)?;
        // Of a budget of its own to one of the judge, and back.
        let beside = match beside.filter(|_| pool.is_shared()) {
            Some((saved, beside)) => {
                let beside = beside.with(jumps.unwrap_or_default(), greatest, departures);
                beside.check()?;
                pool.restore_beside(saved)?;
                Some(beside)
            }
            None => pool.is_shared().then(|| Box::new(BesideMembers::of_former(former))),
        };
        *self = Self { settings: self.settings, pool, excursions, beside, usual_before, ..restored };
        Ok(())
    }

    /// Whether this can be what was saved: nothing is indexed by what a file says.
    fn check(&self) -> Result<(), RestoreError> {
        let fits = |sound: bool, part| if sound { Ok(()) } else { Err(RestoreError::Misfit { part }) };
        let level = [self.last, self.level, self.deviation, self.median];
        fits(level.iter().all(|value| value.is_finite()), "the level")?;
        fits(self.recent.fits(20), "the newest readings")?;
        fits(self.profile.fits(), "the profile of the day")?;
        fits(self.volatility.fits(), "the volatility")?;
        fits(self.context.fits(4) && self.context_bits.fits(4), "the context")?;
        fits(self.hourly.fits(2) && self.hourly_bits.fits(6), "the time of day")?;
        fits(self.shift.fits(), "the distribution")?;
        self.tails.check()
    }
}
