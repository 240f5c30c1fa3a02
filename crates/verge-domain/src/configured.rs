//! What a gateway at work is configured to do, as pages and interfaces for people see it: its sources, judges and models, every
//! setting with its origin; and how another configuration is checked and taken up.
//!
//! Implemented where a gateway is wired, beside [`crate::live`]. No value of a password or key is ever in it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::id::OperatorText;

/// Called once with what became of a reload, on any thread. It must not block.
pub type ReloadDone = Box<dyn FnOnce(ReloadReply) + Send>;

/// The configuration of a gateway at work.
pub trait Configured: Send + Sync {
    /// Its sources, in the order of the file.
    fn sources(&self) -> Vec<ConfiguredSource>;

    /// Its judges, in the order of the file.
    fn judges(&self) -> Vec<ConfiguredJudge>;

    /// Its models, in the order of the file.
    fn models(&self) -> Vec<ConfiguredModel>;

    /// Every setting.
    fn settings(&self) -> ConfiguredSettings;

    /// Checks another configuration as if it were the file of this gateway, with its environment. Nothing changes. It may take
    /// as long as the text is long.
    fn check(&self, text: &[u8]) -> CheckedConfiguration;

    /// Lets the gateway take up its file as it is now, all or nothing; with `dry_run` only to say what would change. `done` is
    /// called once, or dropped uncalled if the gateway stops before. `false`: nobody would carry it out.
    fn reload(&self, dry_run: bool, by: &OperatorText, done: ReloadDone) -> bool;
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfiguredSource {
    /// Its name.
    pub name: String,
    /// Its topic filter.
    pub topic: String,
    /// `readings` or `frames`.
    pub carries: &'static str,
    /// Everything that is set, as TOML, by its key.
    pub settings: BTreeMap<String, String>,
}

/// A judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfiguredJudge {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub detector: &'static str,
    /// The model that it asks, by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Everything that is set, as TOML, by its key.
    pub settings: BTreeMap<String, String>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ConfiguredModel {
    /// Its name in the configuration.
    pub name: String,
    /// Its card: the file.
    pub card: String,
    /// Judges that ask it.
    pub judges: Vec<String>,
    /// What is known of it once it is loaded. `None`: no judge at work asks it over frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<LoadedModel>,
}

/// A model at work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LoadedModel {
    /// What its card calls it; verdicts carry it.
    pub identity: String,
    /// The version that its card gives it.
    pub version: String,
    /// What it does, such as `detect`.
    pub task: String,
    /// What goes in: size, type and name of the input.
    pub input: String,
    /// What comes out: name and shape of each output.
    pub outputs: Vec<String>,
    /// How its card says that outputs are read.
    pub decoder: String,
    /// What runs it, such as `CPU`.
    pub provider: String,
    /// Names of its classes.
    pub labels: Vec<String>,
    /// SHA-256 of what its files held when they were read.
    pub content: String,
}

crate::words! {
    /// Where the value of a setting comes from. Later ones are laid over those before.
    pub enum SettingOrigin {
        /// It is written nowhere.
        Default = "default",
        /// The file.
        File = "file",
        /// What people drew in the dashboard.
        Drawn = "drawn",
        /// An environment variable.
        Environment = "environment",
    }
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its key within its section.
    pub key: String,
    /// As TOML; of a password or key the word `set`.
    pub value: String,
    /// Whether it is a password or a key.
    pub secret: bool,
    /// Where the value comes from.
    #[serde(serialize_with = "as_word")]
    pub origin: SettingOrigin,
    /// The line of the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

fn as_word<S: serde::Serializer>(origin: &SettingOrigin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(origin.as_str())
}

/// A section of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfiguredSection {
    /// How it is called, such as `judge.high`.
    pub path: String,
    /// Its settings, by their keys.
    pub settings: Vec<Setting>,
}

/// Every setting of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ConfiguredSettings {
    /// The file.
    pub file: String,
    /// All sections, in the order in which people write them.
    pub sections: Vec<ConfiguredSection>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// A fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigurationFault {
    /// The line of the text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key.
    pub key: String,
    /// All of it in a sentence: what stands there, what is expected, what to do.
    pub words: String,
}

/// What was found of a configuration that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CheckedConfiguration {
    /// Whether a gateway would start with it, as far as the text alone says.
    pub ok: bool,
    /// Every fault.
    pub faults: Vec<ConfigurationFault>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

crate::words! {
    /// What became of a reload.
    pub enum ReloadOutcome {
        /// It was carried out, or with `dry_run` it could be.
        Done = "done",
        /// Something in it needs a restart.
        NeedsRestart = "needs_restart",
        /// The file is wrong.
        Faulty = "faulty",
        /// Not now.
        Failed = "failed",
    }
}

/// What became of a reload, and the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadReply {
    /// What became of it.
    pub outcome: ReloadOutcome,
    /// The same for people: the first line says what became of it, the others what changed or what is wrong.
    pub words: Vec<String>,
    /// The report in JSON, as `verge reload --json` prints it.
    pub report: bytes::Bytes,
}
