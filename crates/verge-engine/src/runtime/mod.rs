//! Where ONNX Runtime comes from: it is a library of its own, found on the machine or installed by
//! `verge runtime install`, and loaded once.

mod image;
mod install;
mod pinned;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::provider::Provider;
use crate::quote::quoted;
pub use install::{InstallError, Installed, LibraryOrigin, install};
pub use pinned::{VERSION, version};

/// Names the library without a version, for the system's linker and the folder of the executable.
#[cfg(target_os = "macos")]
const LIBRARY: &str = "libonnxruntime.dylib";
#[cfg(not(target_os = "macos"))]
const LIBRARY: &str = "libonnxruntime.so";

/// Where a package puts the library, seen from the folder above the executable's: `/usr/bin/verge` has
/// `/usr/lib/verge`.
const PACKAGED: &str = "lib/verge";

/// The variable by which people point to a library, as for other programs.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";

/// Where to look, in this order.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The configuration's, if it names one.
    pub configured: Option<PathBuf>,
    /// Folders that `verge runtime install` writes to.
    pub managed: Vec<PathBuf>,
    /// What is to run models.
    pub provider: Provider,
}

/// How a library was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The configuration names it.
    Configured,
    /// The environment names it, see [`VARIABLE`].
    Environment,
    /// `verge runtime install` put it there.
    Managed,
    /// It lies beside the executable.
    BesideExecutable,
    /// It was installed together with the executable, in `lib/verge` beside the executable's folder.
    Packaged,
    /// The system's linker is to find it.
    System,
}

impl FoundBy {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "named by engine.library",
            Self::Environment => "named by ORT_DYLIB_PATH",
            Self::Managed => "installed by `verge runtime install`",
            Self::BesideExecutable => "beside the executable",
            Self::Packaged => "part of the installed package",
            Self::System => "left to the system's linker",
        }
    }
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// None of the places has one, or the one that was named is not there or is none.
    #[error(
        "ONNX Runtime: {reason} ({found}); `{install}` installs version {version}, \
         engine.library or {VARIABLE} names another (1.20 or later)",
        found = found.as_str(),
        install = install_command(*provider),
        version = version(*provider)
    )]
    NotLoaded {
        /// What was to run models.
        provider: Provider,
        /// Where it was looked for.
        found: FoundBy,
        /// Why not.
        reason: String,
    },
    /// A second library in one process cannot be.
    #[error("ONNX Runtime is already loaded from {path}", path = path.display())]
    AlreadyLoaded {
        /// The first.
        path: PathBuf,
    },
    /// The library was built without what is to run models.
    #[error(
        "ONNX Runtime at {path} was built without {name}; `{install}` installs version {version} with it; or write \
         engine.provider = \"cpu\"",
        path = path.display(),
        name = provider.name(),
        install = install_command(*provider),
        version = version(*provider)
    )]
    NoProvider {
        /// What was to run models.
        provider: Provider,
        /// The library.
        path: PathBuf,
    },
    /// What is to run models does not start.
    #[error(
        "{name} does not start, and says: {reason}; install what it needs (driver and libraries of its maker), or write \
         engine.provider = \"cpu\"",
        name = provider.name()
    )]
    Provider {
        /// What was to run models.
        provider: Provider,
        /// Its words, quoted.
        reason: String,
    },
    /// The library did not start.
    #[error("ONNX Runtime does not start, and says: {reason}")]
    Start {
        /// The library's words, quoted.
        reason: String,
    },
}

/// How a library is installed.
fn install_command(provider: Provider) -> String {
    match provider {
        Provider::Cpu => "verge runtime install".to_owned(),
        other => format!("verge runtime install --provider {}", other.as_str()),
    }
}

/// Why a library is not loaded.
fn reason(path: &Path, found: FoundBy, error: LoadDynamicError) -> String {
    let path = path.display();
    match error {
        LoadDynamicError::Dlopen { error, .. } if found == FoundBy::System => {
            format!(
                "it is not installed in any of the usual places; the system says: {}",
                quoted(&error.to_string())
            )
        }
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("{path} is version {version_str}, which is too old: 1.20 or later is needed")
        }
        LoadDynamicError::MissingApi { .. } | LoadDynamicError::InvalidVersionString => {
            format!("{path} is a library, but not that of ONNX Runtime")
        }
        LoadDynamicError::Dlopen { error, .. } => match image::fault(&path.to_string()) {
            Some(fault) => format!("{path} {fault}"),
            None => format!("the system does not load {path}, and says: {}", quoted(&error.to_string())),
        },
    }
}

/// The loaded library. Clones share it.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    environment: Environment,
    path: PathBuf,
    found: FoundBy,
    provider: Provider,
}

/// The one there can be: ONNX Runtime allows one environment per process.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Search {
    /// The library that would be loaded, and how it was found. A place that was named is not passed over where
    /// nothing is there: that would be a silent fallback.
    #[must_use]
    pub fn find(&self) -> (PathBuf, FoundBy) {
        if let Some(path) = &self.configured {
            return (path.clone(), FoundBy::Configured);
        }
        if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            return (PathBuf::from(path), FoundBy::Environment);
        }
        if let Some(path) = self
            .managed
            .iter()
            .map(|folder| managed_library(folder, self.provider))
            .find(|path| path.is_file())
        {
            return (path, FoundBy::Managed);
        }
        env::current_exe()
            .ok()
            .and_then(|executable| shipped(&executable))
            .unwrap_or_else(|| (PathBuf::from(LIBRARY), FoundBy::System))
    }
}

/// The library that came with an executable.
fn shipped(executable: &Path) -> Option<(PathBuf, FoundBy)> {
    let folder = executable.parent()?;
    let beside = (folder.join(LIBRARY), FoundBy::BesideExecutable);
    let packaged = folder.parent().map(|above| (above.join(PACKAGED).join(LIBRARY), FoundBy::Packaged));
    std::iter::once(beside).chain(packaged).find(|(path, _)| path.is_file())
}

/// The pinned version's library with this provider, within a folder that `verge runtime install` writes to.
#[must_use]
pub fn managed_library(folder: &Path, provider: Provider) -> PathBuf {
    folder.join(pinned::folder(provider)).join(format!("{LIBRARY}.{}", version(provider)))
}

impl Runtime {
    /// Finds and loads the library, once per process.
    ///
    /// # Errors
    /// There is none, it is too old, another one is already loaded, or what is to run models cannot.
    pub fn load(search: &Search) -> Result<Self, RuntimeError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, found) = search.find();
        if let Some(runtime) = &*loaded {
            if runtime.inner.path == path && runtime.inner.provider == search.provider {
                return Ok(runtime.clone());
            }
            return Err(RuntimeError::AlreadyLoaded { path: runtime.inner.path.clone() });
        }
        let provider = search.provider;
        let not_loaded = |reason: String| RuntimeError::NotLoaded { provider, found, reason };
        let absolute = match found {
            // The system's linker takes the bare name.
            FoundBy::System => path.clone(),
            _ => std::path::absolute(&path)
                .and_then(std::fs::canonicalize)
                .map_err(|error| not_loaded(format!("{}: {error}", path.display())))?,
        };
        let builder =
            ort::init_from(&absolute).map_err(|error| not_loaded(reason(&absolute, found, error)))?;
        let environment = builder
            .with_name("verge")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|error| RuntimeError::Start { reason: quoted(&error.to_string()) })?;
        environment.set_log_level(LogLevel::Warning);
        // Otherwise models would run on the processor, and nobody would know.
        if !provider.is_in_library() {
            return Err(RuntimeError::NoProvider { provider, path });
        }
        provider
            .try_out(&environment)
            .map_err(|error| RuntimeError::Provider { provider, reason: quoted(&error.to_string()) })?;
        let runtime = Self { inner: Arc::new(Inner { environment, path, found, provider }) };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// Where it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How it was found.
    #[must_use]
    pub fn found(&self) -> FoundBy {
        self.inner.found
    }

    /// What runs models.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.inner.provider
    }

    /// Its version, as far as its file says it (`libonnxruntime.so.1.32.0`).
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let name = self.inner.path.file_name()?.to_str()?;
        let version = name.split_once(".so.")?.1;
        version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then_some(version)
    }

    /// The library and its version, for messages.
    pub(crate) fn described(&self) -> String {
        match self.version() {
            Some(version) => format!("ONNX Runtime {version}"),
            None => format!("ONNX Runtime at {}", self.inner.path.display()),
        }
    }

    /// What the library says of itself.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.inner.environment
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// The library's log: what matters of it also comes back as an error.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    tracing::debug!(target: "onnxruntime", ?level, category, location, "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_brings_its_library_along() {
        let root = tempfile::tempdir().unwrap();
        let executable = root.path().join("bin/verge");
        assert_eq!(shipped(&executable), None);
        let check = |folder: &str, expected: FoundBy| {
            let library = root.path().join(folder).join(LIBRARY);
            std::fs::create_dir_all(library.parent().unwrap()).unwrap();
            std::fs::write(&library, "").unwrap();
            assert_eq!(shipped(&executable), Some((library, expected)));
        };
        check("lib/verge", FoundBy::Packaged);
        check("bin", FoundBy::BesideExecutable);
    }
}
