//! What the status reports of managed models.

use serde::Serialize;

/// A managed model.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModelStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The version that should be in use; `factory` for that of the configuration.
    pub active: String,
    /// The active version has proved itself.
    pub confirmed: bool,
    /// The version that a rollback returns to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The version that waits or is on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// Where the candidate stands: `staged`, `shadow` or `canary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Share of the cameras that a canary looks at, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<u32>,
    /// Frames on which the version that has to prove itself gave an answer, since it has its stage or since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Its runs that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u64>,
    /// How far its answers are those of the active version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<AgreementStatus>,
    /// What 95 of 100 runs of the active version keep within, in ms; once a candidate is in use, of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_p95_ms: Option<f64>,
    /// The same of the version that has to prove itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_p95_ms: Option<f64>,
    /// Why the candidate is not looked with, though it is meant to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// The last version that was returned from by itself since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned: Option<ReturnStatus>,
    /// Packages without a signature are taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unsigned: bool,
}

/// How far answers agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct AgreementStatus {
    /// Frames that were compared, of those on which either version saw something.
    pub frames: u64,
    /// Of these.
    pub percent: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// What the gate says, once it has decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
}

/// A version that was returned from by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReturnStatus {
    /// It.
    pub version: String,
    /// Why, in words.
    pub why: String,
    /// When, in UTC ms.
    pub at: i64,
}

/// A file of a model in use that a command of Verge made for another kind of processor or with another ONNX Runtime.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MadeElsewhereStatus {
    /// The model, as the configuration calls it.
    pub model: String,
    /// What differs, in words.
    pub remark: String,
    /// SHA-256 of its weights.
    pub sha256: String,
    /// Whether it saturates was found out since the start.
    pub tested: bool,
    /// Share of its answers that are those of the file as it is written, in percent, where this processor may overflow on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// These are too few: its answers are wrong here.
    pub saturates: bool,
    /// Why that was not found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
