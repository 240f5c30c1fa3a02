//! What is asked of the models of a gateway from outside: to take a version in, to put it in use, to return.

use std::sync::Arc;

use crate::id::OperatorText;

/// Bytes of one part of a package on its way over MQTT; the last one is shorter.
pub const PART_BYTES: u64 = 32 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelOrder {
    /// To fetch a package.
    Offer(ModelOffer),
    /// To put the candidate of a model in use, or on trial.
    Promote {
        /// The command's own: the same one again is the same order.
        id: String,
        /// The model.
        name: String,
        /// How far.
        stage: ModelStage,
    },
    /// To return to the version before.
    Rollback {
        /// The command's own: the same one again is the same order.
        id: String,
        /// The model.
        name: String,
    },
}

/// How far a candidate goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelStage {
    /// Beside the active version, unseen.
    Shadow,
    /// At some cameras.
    Canary,
    /// In the place of the active version.
    Active,
}

impl ModelStage {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Shadow, Self::Canary, Self::Active].into_iter().find(|stage| stage.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Active => "active",
        }
    }
}

/// A package that somebody has for a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOffer {
    /// The command's own, with which what becomes of it is reported.
    pub id: String,
    /// The model, as `[model.NAME]` calls it.
    pub name: String,
    /// Bytes of the package.
    pub bytes: u64,
    /// SHA-256 of the package, in lower case.
    pub sha256: String,
    /// SHA-256 of the weights that it holds the changes of; none where it holds all.
    pub base: Option<String>,
    /// Where it is fetched by HTTP; otherwise its parts come by MQTT.
    pub url: Option<String>,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelAnswer {
    /// The package is fetched; this many bytes are there already.
    Receiving {
        /// Those bytes.
        have: u64,
    },
    /// It was done, in the words of the command.
    Done {
        /// `staged`, `promoted` or `rolled_back`.
        state: &'static str,
        /// What the command said, as JSON.
        report: String,
        /// It was done before: the order came again.
        repeated: bool,
    },
}

/// Why an order about models is not carried out: a closed list, each with its word for counters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    /// Nobody has allowed it.
    #[error(
        "models are not changed from upstream: upstream = true below [models] in the gateway's configuration allows it"
    )]
    Off,
    /// No such model.
    #[error("no [model.{name}] with managed = true; managed are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The weights that it changes are not here.
    #[error(
        "the weights with the SHA-256 {base}, which the package changes, are not here: offer the whole package"
    )]
    OtherBase {
        /// Their SHA-256.
        base: String,
    },
    /// Larger than what is taken.
    #[error("a package of {bytes} bytes is not taken: {limit} are left of [models] cap")]
    TooLarge {
        /// Bytes of the package.
        bytes: u64,
        /// Bytes that it may have.
        limit: u64,
    },
    /// Another offer says otherwise.
    #[error("the same package is being received, with {bytes} bytes for model {name:?}")]
    Contradiction {
        /// Bytes that the other offer names.
        bytes: u64,
        /// The model that it names.
        name: String,
    },
    /// Too many at once.
    #[error("{open} packages are being received already; ask again later")]
    TooMany {
        /// Those.
        open: usize,
    },
    /// It came in where no parts can come.
    #[error("an offer without url is taken from an uplink of kind \"mqtt\" alone: this one came by {door:?}")]
    NoParts {
        /// Where.
        door: String,
    },
    /// It cannot be fetched from there.
    #[error("url: {reason}")]
    Url {
        /// Why.
        reason: String,
    },
    /// What arrived is not what was offered.
    #[error("what arrived has the SHA-256 {found}, and {offered} was offered: nothing of it is kept")]
    OtherContent {
        /// SHA-256 of what arrived.
        found: String,
        /// That of the offer.
        offered: String,
    },
    /// Nothing came for long.
    #[error("nothing of it came for {days} days: it is given up")]
    GivenUp {
        /// Those days.
        days: u64,
    },
    /// Another change is at work.
    #[error("another order about models is being carried out; ask again later")]
    Busy,
    /// The command that carries it out refused it.
    #[error("{reason}")]
    Refused {
        /// Its exit code.
        code: i32,
        /// Its last words.
        reason: String,
    },
    /// It cannot be kept or read.
    #[error("{reason}")]
    Io {
        /// Why.
        reason: String,
    },
}

impl ModelRefusal {
    /// Whether it may be carried out later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::TooMany { .. } | Self::Busy | Self::Io { .. } => true,
            Self::Refused { code, .. } => *code == 75,
            _ => false,
        }
    }

    /// Whether the whole package may be taken where its changes were not.
    #[must_use]
    pub fn wants_whole(&self) -> bool {
        matches!(self, Self::OtherBase { .. })
    }
}

/// Called once with what became of an order, on any thread. It must not block.
pub type ModelDone = Box<dyn FnOnce(Result<ModelAnswer, ModelRefusal>) + Send>;

/// Who carries orders about models out. Every call is quick.
pub trait ModelDesk: Send + Sync {
    /// Takes an order that came in at `door`. `done` is called once; what becomes of a package that is fetched is reported later.
    fn submit(&self, order: ModelOrder, door: &OperatorText, done: ModelDone);
}

/// Shared by all entrances.
pub type SharedModelDesk = Arc<dyn ModelDesk>;
