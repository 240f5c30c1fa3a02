//! `[engine]`, `[models]` and `[model.NAME]`: what runs models, which versions are taken, and which models there are. Files are
//! named here, not yet read.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use verge_engine::{ModelLimits, Provider};
use verge_models::ModelFiles;
use verge_models::package::{SigningKeyError, TrustedKey};
use verge_models::store::{ModelStore, StoreRules};
use verge_models::trial::TrialRules;
use verge_tls::ClientConfig;
use verge_web::PushTarget;

use super::Check;
use super::connection::{BuildError, TlsFiles, is_loopback};
use crate::config::{Fault, Map, RawEngine, RawModel, RawModels, RawPromote, RawProvider, nearest};

/// `[engine]`.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The ONNX Runtime library to load; without it the usual places are searched.
    pub library: Option<PathBuf>,
    /// Frames judged at once; `None` takes one for each core.
    pub workers: Option<NonZeroUsize>,
    /// What is accepted of models, and how they run.
    pub limits: ModelLimits,
    /// What runs them.
    pub provider: Provider,
}

/// `[models]`: which packages are taken. Keys are named, not yet read.
#[derive(Debug, Clone)]
pub struct PackageRules {
    /// Public keys that packages are believed by.
    pub trust: Vec<PathBuf>,
    /// Packages without a signature are taken, too.
    pub unsigned: bool,
    /// Bytes of all stored versions together.
    pub cap: u64,
    /// Versions of a model that are kept beside those in use.
    pub keep: usize,
    /// Upstream may offer packages, promote and roll back.
    pub upstream: bool,
    /// Bytes of packages that are fetched in a second.
    pub rate: u64,
    /// Addresses that packages may be fetched below.
    pub from: Vec<String>,
    /// Certificates that those of these addresses must lead to.
    pub ca: Option<PathBuf>,
    /// What is demanded of versions on trial, and who decides.
    pub trial: TrialRules,
    /// Share of the cameras in percent that a version looks at first.
    pub canary: u32,
}

impl PackageRules {
    /// The rules with their keys.
    ///
    /// # Errors
    /// A key cannot be read.
    pub fn load(&self, limits: ModelLimits) -> Result<StoreRules, SigningKeyError> {
        Ok(StoreRules {
            trust: self.trust.iter().map(|path| TrustedKey::load(path)).collect::<Result<_, _>>()?,
            unsigned: self.unsigned,
            cap: self.cap,
            keep: self.keep,
            max_file_bytes: limits.max_file_bytes,
        })
    }
}

impl PackageRules {
    /// What https below the addresses of `from` is believed by.
    ///
    /// # Errors
    /// The certificates cannot be used.
    pub fn tls(&self) -> Result<Option<Arc<ClientConfig>>, BuildError> {
        let files = self.ca.clone().map(|ca| TlsFiles { ca, identity: None });
        files.map(|files| files.load("models")).transpose()
    }
}

pub(super) fn check_packages(check: &mut Check<'_>, raw: &RawModels) -> PackageRules {
    for from in raw.from.iter().flatten() {
        check_from(check, from);
    }
    let is_tls = |from: &&String| PushTarget::parse(from).is_ok_and(|target| target.is_tls());
    if let Some(from) = raw.from.iter().flatten().find(is_tls).filter(|_| raw.ca.is_none()) {
        let expected = format!("the certificates that the one of {from} must lead to");
        check.faults.push(
            Fault::missing("models.ca".to_owned(), expected)
                .remedy("add ca = \"FILE.pem\" below [models]".to_owned()),
        );
    }
    PackageRules {
        trust: raw.trust.iter().flatten().map(|path| check.path(path)).collect(),
        unsigned: raw.unsigned,
        cap: raw.cap.0,
        keep: raw.keep,
        upstream: raw.upstream,
        rate: raw.rate.0,
        from: raw.from.clone().unwrap_or_default(),
        ca: raw.ca.as_ref().map(|path| check.path(path)),
        trial: TrialRules {
            is_automatic: matches!(raw.promote, RawPromote::Auto),
            confirm_after: raw.confirm_after.0,
            ..TrialRules::default()
        },
        canary: u32::try_from(raw.canary).unwrap_or(100),
    }
}

/// An address that packages may be fetched below: whole levels of it, by TLS or on this machine.
fn check_from(check: &mut Check<'_>, from: &str) {
    let is_good = PushTarget::parse(from).is_ok_and(|target| target.is_tls() || is_loopback(target.host()))
        && from.ends_with('/')
        && !from.contains(['?', '#']);
    if !is_good {
        let expected = "an address with https:// at its beginning and a slash at its end, such as \"https://models.example/verge/\"";
        check.faults.push(
            Fault::at_text("models.from".to_owned(), from, expected)
                .remedy("write scheme, host and the folder of the packages".to_owned()),
        );
    }
}

pub(super) fn check_engine(check: &mut Check<'_>, raw: &RawEngine) -> Engine {
    Engine {
        provider: check_provider(check, raw.provider),
        library: raw.library.as_ref().map(|path| check.path(path)),
        workers: raw.workers.and_then(NonZeroUsize::new),
        limits: ModelLimits {
            max_file_bytes: raw.max_model.0,
            threads: raw.threads,
            ..ModelLimits::default()
        },
    }
}

fn check_provider(check: &mut Check<'_>, raw: RawProvider) -> Provider {
    let provider = match raw {
        RawProvider::Cpu => Provider::Cpu,
        RawProvider::Cuda => Provider::Cuda,
        RawProvider::TensorRt => Provider::TensorRt,
        RawProvider::OpenVino => Provider::OpenVino,
    };
    if !provider.is_built() {
        let word = provider.as_str();
        let expected = format!(
            "a provider that this build has: it was made without the feature {word}, as packages are"
        );
        let fault = Fault::at_text("engine.provider", word, expected);
        check.faults.push(fault.remedy(format!(
            "build Verge from source with `cargo build --release -p verge --features {word}`, or write provider = \"cpu\""
        )));
    }
    provider
}

pub(super) fn check_all(check: &mut Check<'_>, raw: &Map<RawModel>, state_dir: &Path) -> Vec<ModelFiles> {
    for (name, model) in raw.iter() {
        check_smaller(check, name, model.smaller.as_deref(), raw);
        if model.managed && ModelStore::of(state_dir, name).is_none() {
            let expected =
                "false, or a name of the model that can be that of a folder (letters, digits, - and _)";
            check.faults.push(Fault::at_text(format!("model.{name}.managed"), "true", expected));
        }
    }
    let model = |(name, model): (&String, &RawModel)| {
        let path = check.path(model.file.as_ref()?);
        let store = if model.managed { ModelStore::of(state_dir, name) } else { None };
        Some(if is_card(&path) {
            ModelFiles { name: name.clone(), card: path, weights: None, store }
        } else {
            ModelFiles { name: name.clone(), card: path.with_extension("toml"), weights: Some(path), store }
        })
    };
    raw.iter().filter_map(model).collect()
}

/// The model that looks in the place of another under overload.
fn check_smaller(check: &mut Check<'_>, name: &str, smaller: Option<&str>, models: &Map<RawModel>) {
    let Some(smaller) = smaller.filter(|smaller| *smaller == name || models.get(*smaller).is_none()) else {
        return;
    };
    let others: Vec<&str> = models.keys().map(String::as_str).filter(|other| *other != name).collect();
    let remedy = match nearest(smaller, others.iter().copied()) {
        Some(near) => format!("write smaller = {near:?}"),
        None => format!("add [model.{smaller}] with file = \"FILE.onnx\", or take it out"),
    };
    let expected = "the name of another [model.NAME] of the same task, which takes less time";
    let fault = Fault::at_text(format!("model.{name}.smaller"), smaller, expected);
    check.faults.push(fault.remedy(remedy));
}

fn is_card(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}
