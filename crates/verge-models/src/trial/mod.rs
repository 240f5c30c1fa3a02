//! A new version on trial in a gateway at work: what is counted of it, and what follows from that. Pure: it knows neither clock nor
//! store, and is given what happens in order.
//!
//! Reading order: [`TrialPhase`], [`Trial`] (what is counted, and [`Trial::next`]), [`TrialNext`] (what is to be done),
//! [`times`] (how long runs take), [`chosen`] (which cameras a canary has).

mod desk;
mod extent;
pub mod times;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gate::{Agreed, Look, Rules};
pub use desk::TrialDesk;
pub use extent::{chosen, memory_needed};
pub use times::RunTimes;

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

/// Why a version is returned from.
#[derive(Debug, Clone, PartialEq)]
pub enum ReturnCause {
    /// It cannot be loaded, or the judges cannot work with it.
    CannotLoad(String),
    /// NaN or an infinity came out.
    NotFinite,
    /// Runs failed.
    Failed(u64),
    /// It takes longer than it may: 95 of 100 runs keep within `p95`, and `limit` would be allowed.
    Slow {
        /// Its own.
        p95: Duration,
        /// What would be allowed.
        limit: Duration,
    },
    /// Deadlines end more of its runs than they may: this share, 0 to 1.
    Overruns(f64),
    /// The gateway was started this often and did not live long enough to prove it.
    Starts(u32),
    /// Its answers are others.
    Disagrees(AgreementFigures),
}

impl ReturnCause {
    /// In words, as a clause about the version.
    #[must_use]
    pub fn words(&self) -> String {
        let ms = |span: &Duration| span.as_secs_f64() * 1e3;
        match self {
            Self::CannotLoad(why) => format!("it cannot be used here: {why}"),
            Self::NotFinite => "its output held NaN or an infinity".to_owned(),
            Self::Failed(runs) => format!("{runs} of its runs failed"),
            Self::Slow { p95, limit } => format!(
                "it is too slow: 95 of 100 runs take up to {:.1} ms, {:.1} ms at most were expected",
                ms(p95),
                ms(limit)
            ),
            Self::Overruns(share) => {
                format!(
                    "deadlines ended {:.0} % of its runs, {:.0} % at most were expected",
                    share * 1e2,
                    OVERRUNS * 1e2
                )
            }
            Self::Starts(starts) => {
                format!("the gateway was started {starts} times with it and ended before it was confirmed")
            }
            Self::Disagrees(figures) => format!("its answers are others: {}", figures.words()),
        }
    }
}

/// How far the answers of two versions agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AgreementFigures {
    /// Frames that were compared.
    pub frames: u64,
    /// Share of the answers that agree, in percent.
    pub share: f64,
    /// Lower bound of that.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// What the gate says after the last look at it: passed or refused; nothing before that.
    #[serde(default)]
    pub passed: Option<bool>,
}

impl AgreementFigures {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{:.1} % agree ({:.1} to {:.1} %) on {} frames", self.share, self.low, self.high, self.frames)
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
    overruns: [u64; 2],
    times: [RunTimes; 2],
    unusable: Option<ReturnCause>,
    agreed: Agreed,
    /// Frames that were compared and on which there was something to agree about.
    compared: u64,
    /// What was decided.
    looked: Option<bool>,
    is_confirmed: bool,
}

impl Trial {
    /// One that begins. `before`: how long runs of the version before took, where that is known.
    #[must_use]
    pub fn new(phase: TrialPhase, rules: TrialRules, before: Option<RunTimes>) -> Self {
        Self {
            phase,
            rules,
            frames: 0,
            failures: 0,
            overruns: [0; 2],
            times: [before.unwrap_or_default(), RunTimes::default()],
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

    /// A run has ended.
    pub fn note(&mut self, side: TrialSide, run: TrialRun) {
        let of = usize::from(side == TrialSide::Candidate);
        match run {
            TrialRun::Answered(took) => self.times[of].note(took),
            TrialRun::Overrun(took) => {
                self.times[of].note(took);
                self.overruns[of] += 1;
            }
            TrialRun::Failed | TrialRun::NotFinite => {}
        }
        if side == TrialSide::Active {
            return;
        }
        match run {
            TrialRun::Answered(_) => self.frames += 1,
            TrialRun::Overrun(_) => {}
            TrialRun::Failed => self.failures += 1,
            TrialRun::NotFinite => {
                self.unusable.get_or_insert(ReturnCause::NotFinite);
            }
        }
    }

    /// Both have answered on one frame.
    pub fn compare(&mut self, agreed: Agreed) {
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
        let [active, candidate] = &self.times;
        if let (Some(usual), Some(own)) = (active.p95_of(LEAST_RUNS), candidate.p95_of(LEAST_RUNS)) {
            let limit = usual.mul_f64(SLOWER).max(usual + SLACK);
            let [half, own_half] = [active, candidate].map(|times| times.within(50, LEAST_RUNS));
            // One that takes longer does so every time; what others do on the machine makes some runs long.
            let is_usual = half.zip(own_half).is_some_and(|(half, own)| own > half.mul_f64(SLOWER));
            if own > limit && is_usual {
                return Some(ReturnCause::Slow { p95: own, limit });
            }
        }
        let [usual, own] = [TrialSide::Active, TrialSide::Candidate].map(|side| self.overrun_share(side));
        // Frames that waited too long have no time left, whatever looks at them.
        let is_own = own > OVERRUNS && own > 2.0 * usual;
        (is_own && candidate.runs() >= LEAST_RUNS as u64).then_some(ReturnCause::Overruns(own))
    }

    fn overrun_share(&self, side: TrialSide) -> f64 {
        let of = usize::from(side == TrialSide::Candidate);
        #[expect(clippy::cast_precision_loss, reason = "numbers of runs")]
        let share = self.overruns[of] as f64 / self.times[of].runs().max(1) as f64;
        share
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
    pub const fn failures(&self) -> (u64, u64) {
        (self.failures, self.overruns[1])
    }

    /// How long runs take.
    #[must_use]
    pub const fn times(&self, side: TrialSide) -> &RunTimes {
        match side {
            TrialSide::Active => &self.times[0],
            TrialSide::Candidate => &self.times[1],
        }
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
