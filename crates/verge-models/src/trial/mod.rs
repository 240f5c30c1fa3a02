//! A new version on trial in a gateway at work: what is counted of it, and what follows from that. Pure: it knows neither clock nor
//! store, and is given what happens in order.
//!
//! Reading order: [`TrialPhase`], [`Trial`] (what is counted, and [`Trial::next`]), [`TrialNext`] (what is to be done),
//! [`times`] (how long runs take, by the kind of look), `cause` (why it is returned from), [`chosen`] (which cameras a canary has).

mod cause;
mod desk;
mod extent;
pub mod times;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gate::{Agreed, Look, Rules};
pub use cause::{AgreementFigures, ReturnCause};
pub use desk::TrialDesk;
pub use extent::{chosen, memory_needed};
pub use times::{LookKind, RunTimes, SideRuns};

/// Runs that failed after which a version is returned from.
const FAILURES: u64 = 3;
/// Starts that did not live long enough to prove a version, after which it is returned from.
pub const STARTS: u32 = 3;
/// Share of the active version's time that 95 of 100 runs keep within, beyond which a candidate is too slow.
const SLOWER: f64 = 1.3;
/// Times are compared where they differ by this much at least: below, the machine's own unrest decides.
const SLACK: Duration = Duration::from_millis(1);
/// Runs on each side before times are compared.
const LEAST_RUNS: usize = 50;
/// How often a bound of lateness may be wrong: it is looked at again and again.
const LATENESS_ALPHA: f64 = 0.001;
/// Share of runs that a deadline may end.
pub const OVERRUNS: f64 = 0.05;
/// Frames that a version must have judged before it is confirmed.
pub const CONFIRM_FRAMES: u64 = 200;

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialPhase {
    /// It looks at frames beside the active version on workers that have nothing to do; its answers are compared.
    Shadow,
    /// It looks at the frames of some cameras, and verdicts of those name it.
    Canary,
    /// It is the active version, and has not proved itself.
    Unconfirmed,
}

impl TrialPhase {
    /// Its word in slots and in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// The stage of a candidate by its word.
    #[must_use]
    pub fn of_stage(word: &str) -> Option<Self> {
        [Self::Shadow, Self::Canary].into_iter().find(|phase| phase.as_str() == word)
    }
}

/// Which version has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialSide {
    /// The one that was in use before.
    Active,
    /// The one on trial.
    Candidate,
}

/// What came of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialRun {
    /// It gave an answer.
    Answered(Duration),
    /// It was ended at its deadline, after this time.
    Overrun(Duration),
    /// The library failed, or what came out is not what the card says.
    Failed,
    /// NaN or an infinity came out.
    NotFinite,
}

/// What is demanded, and who decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialRules {
    /// Of the agreement.
    pub gate: Rules,
    /// The gate moves it on and returns from it; else a person does.
    pub is_automatic: bool,
    /// How long a version must have worked before it is confirmed.
    pub confirm_after: Duration,
    /// Frames that it must have judged by then.
    pub confirm_frames: u64,
}

impl Default for TrialRules {
    fn default() -> Self {
        Self {
            gate: Rules::default(),
            is_automatic: false,
            confirm_after: Duration::from_secs(600),
            confirm_frames: CONFIRM_FRAMES,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialNext {
    /// Nothing.
    Stay,
    /// It goes on to be looked at on the frames of some cameras.
    ToCanary,
    /// It takes the place of the active version.
    ToActive,
    /// It has proved itself: as the active version, or as a candidate at work.
    Confirm,
    /// The version before is used again.
    Return(ReturnCause),
}

/// A version on trial.
#[derive(Debug, Clone)]
pub struct Trial {
    phase: TrialPhase,
    rules: TrialRules,
    /// Frames that it has judged, of which it gave an answer.
    frames: u64,
    failures: u64,
    /// Of the active version, and of this one.
    runs: [SideRuns; 2],
    unusable: Option<ReturnCause>,
    agreed: Agreed,
    /// Frames that were compared and on which there was something to agree about.
    compared: u64,
    /// What was decided.
    looked: Option<bool>,
    is_confirmed: bool,
}

impl Trial {
    /// One that begins. `before`: how long runs of the version before took, where that is known, see [`Trial::usual`].
    #[must_use]
    pub fn new(phase: TrialPhase, rules: TrialRules, before: Option<SideRuns>) -> Self {
        Self {
            phase,
            rules,
            frames: 0,
            failures: 0,
            runs: [before.unwrap_or_default(), SideRuns::default()],
            unusable: None,
            agreed: Agreed::default(),
            compared: 0,
            looked: None,
            is_confirmed: false,
        }
    }

    /// It cannot be loaded.
    pub fn cannot_load(&mut self, why: String) {
        self.unusable.get_or_insert(ReturnCause::CannotLoad(why));
    }

    /// A run has ended, in a look of this kind.
    pub fn note(&mut self, side: TrialSide, kind: LookKind, run: TrialRun) {
        let runs = &mut self.runs[usize::from(side == TrialSide::Candidate)];
        match run {
            TrialRun::Answered(took) => runs.note(kind, took, false),
            TrialRun::Overrun(took) => runs.note(kind, took, true),
            TrialRun::Failed | TrialRun::NotFinite => {}
        }
        if side == TrialSide::Active {
            return;
        }
        match run {
            TrialRun::Answered(_) | TrialRun::Overrun(_) => {}
            TrialRun::Failed => self.failures += 1,
            TrialRun::NotFinite => {
                self.unusable.get_or_insert(ReturnCause::NotFinite);
            }
        }
    }

    /// It has answered on one more frame, for whichever of the judges came first.
    pub const fn judged(&mut self) {
        self.frames += 1;
    }

    /// Both have answered on one frame, for these judges.
    ///
    /// The bounds of the gate hold for looks that are independent of each other. Judges that look at one frame with the same model
    /// see the same picture, and so do the boxes in it: a frame is one look, however many judges and boxes it has. Its share
    /// of answers that are the same counts as one answer, the mean over its judges.
    pub fn compare(&mut self, judges: impl IntoIterator<Item = Agreed>) {
        let agreed = Agreed::of_one_look(judges);
        // Where neither sees anything, nothing is proved.
        if agreed.of <= 0.0 {
            return;
        }
        self.agreed = self.agreed.and(agreed);
        self.compared += 1;
        match self.rules.gate.look(self.agreed, self.compared) {
            // What was decided stands: a later look would be another chance to be wrong.
            Look::Decided(decision) => drop(self.looked.get_or_insert(decision.passes)),
            Look::Early(_) | Look::Open(_) | Look::Over => {}
        }
    }

    /// It was confirmed: that is not asked for again.
    pub const fn confirmed(&mut self) {
        self.is_confirmed = true;
    }

    /// What is to be done, after it has been at work for so long.
    #[must_use]
    pub fn next(&self, at_work: Duration) -> TrialNext {
        if let Some(cause) = self.cause() {
            return TrialNext::Return(cause);
        }
        if self.rules.is_automatic && self.phase != TrialPhase::Unconfirmed {
            match (self.looked, self.phase) {
                (Some(false), _) => return TrialNext::Return(ReturnCause::Disagrees(self.agreement())),
                (Some(true), TrialPhase::Shadow) => return TrialNext::ToCanary,
                (Some(true), _) => return TrialNext::ToActive,
                (None, _) => {}
            }
        }
        let is_proved = at_work >= self.rules.confirm_after && self.frames >= self.rules.confirm_frames;
        if is_proved && !self.is_confirmed { TrialNext::Confirm } else { TrialNext::Stay }
    }

    fn cause(&self) -> Option<ReturnCause> {
        if let Some(cause) = &self.unusable {
            return Some(cause.clone());
        }
        if self.failures >= FAILURES {
            return Some(ReturnCause::Failed(self.failures));
        }
        LookKind::ALL.into_iter().find_map(|kind| self.cause_of(kind))
    }

    /// What its runs in looks of one kind say against it.
    fn cause_of(&self, kind: LookKind) -> Option<ReturnCause> {
        let [active, candidate] = &self.runs;
        let own = candidate.of(kind);
        let base = active.base_of(kind, LEAST_RUNS);
        let [usual_times, own_times] = [&base.times, &own.times];
        if let (Some(usual), Some(p95)) = (usual_times.p95_of(LEAST_RUNS), own_times.p95_of(LEAST_RUNS)) {
            let limit = usual.mul_f64(SLOWER).max(usual + SLACK);
            let [half, own_half] = [usual_times, own_times].map(|times| times.within(50, LEAST_RUNS));
            // One that takes longer does so every time; what others do on the machine makes some runs long.
            let is_usual = half.zip(own_half).is_some_and(|(half, own)| own > half.mul_f64(SLOWER));
            if p95 > limit && is_usual {
                return Some(ReturnCause::Slow { p95, limit });
            }
        }
        // Few runs count as the least number: whatever else comes, the first ones decide once they are too many of that.
        let overruns = own.overrun_share(LEAST_RUNS as u64);
        // Frames that waited too long have no time left, whatever looks at them: the active version of the same time shows how often.
        // Beside a version in use nothing else looks.
        let usual_most = match self.phase {
            TrialPhase::Unconfirmed => 0.0,
            TrialPhase::Shadow | TrialPhase::Canary => active.beside(kind).overrun_bounds(LATENESS_ALPHA).1,
        };
        let is_own = overruns > OVERRUNS && own.overrun_bounds(LATENESS_ALPHA).0 > usual_most;
        is_own.then_some(ReturnCause::Overruns(overruns))
    }

    /// How far it has come.
    #[must_use]
    pub const fn phase(&self) -> TrialPhase {
        self.phase
    }

    /// Frames on which it gave an answer.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Its runs that failed, and those that a deadline ended.
    #[must_use]
    pub fn failures(&self) -> (u64, u64) {
        (self.failures, self.runs[1].overruns())
    }

    /// Runs of a version.
    #[must_use]
    pub const fn runs(&self, side: TrialSide) -> &SideRuns {
        match side {
            TrialSide::Active => &self.runs[0],
            TrialSide::Candidate => &self.runs[1],
        }
    }

    /// How long runs of the active version take, for the trial that comes next.
    #[must_use]
    pub fn usual(&self) -> SideRuns {
        self.runs[0].times_alone()
    }

    /// What 95 of 100 runs of the active version and of this one keep within, as they are compared; nothing of no run.
    #[must_use]
    pub fn p95(&self) -> [Option<Duration>; 2] {
        let [active, candidate] = &self.runs;
        // What it does most is what it is judged by.
        let kind = LookKind::ALL.into_iter().max_by_key(|kind| candidate.of(*kind).times.runs());
        let kind = kind.unwrap_or(LookKind::First);
        [active.base_of(kind, 1), candidate.of(kind)].map(|runs| runs.times.p95())
    }

    /// How far its answers are those of the active version, with bounds that hold by themselves with a probability of 95 %, over
    /// all looks together.
    #[must_use]
    pub fn agreement(&self) -> AgreementFigures {
        let (low, high) = self.agreed.bounds(crate::gate::bootstrap::ALPHA / 3.0);
        AgreementFigures {
            frames: self.compared,
            share: self.agreed.share() * 1e2,
            low: low * 1e2,
            high: high * 1e2,
            passed: self.looked,
        }
    }
}

#[cfg(test)]
mod tests;
