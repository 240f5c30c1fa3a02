//! Why a version on trial is returned from, and how far its answers are those of the active one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OVERRUNS;

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
