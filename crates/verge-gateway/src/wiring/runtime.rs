//! Where the library that runs models is looked for, and how it is installed for a user.

use std::path::PathBuf;

use anyhow::Context;
use etcetera::BaseStrategy as _;
use verge_engine::runtime::{FoundBy, LibraryOrigin, Search, install};
use verge_engine::{Provider, Runtime, RuntimeError};

use crate::exit::{Exit, ExitWith};
use crate::settings::Settings;

/// Folder of installed libraries within a state or cache folder.
const RUNTIME_FOLDER: &str = "runtime";

/// Where ONNX Runtime is looked for, see [`Search`].
pub fn runtime_search(settings: &Settings) -> Search {
    let managed = [Some(managed_runtime(settings)), cached_runtime()];
    Search {
        configured: settings.engine.library.clone(),
        managed: managed.into_iter().flatten().collect(),
        provider: settings.engine.provider,
    }
}

/// The same without a gateway's configuration.
pub fn user_runtime_search() -> Search {
    Search { managed: cached_runtime().into_iter().collect(), ..Search::default() }
}

/// A gateway's own folder of installed libraries.
pub fn managed_runtime(settings: &Settings) -> PathBuf {
    settings.gateway.state_dir.join(RUNTIME_FOLDER)
}

/// The user's own folder of installed libraries; `None` for a user without a home.
pub fn cached_runtime() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.cache_dir().join("verge").join(RUNTIME_FOLDER))
}

/// Loads the library, and installs it into the user's folder first where there is none: for the demo and for tests.
/// A gateway never does this by itself.
///
/// # Errors
/// It cannot be installed or loaded.
pub fn provide_runtime(report: &mut dyn FnMut(&str)) -> anyhow::Result<Runtime> {
    let search = user_runtime_search();
    match Runtime::load(&search) {
        Ok(runtime) => Ok(runtime),
        // A library that is named explicitly is used.
        Err(RuntimeError::NotLoaded { found: FoundBy::System, .. }) => {
            let folder = cached_runtime().context("this user has no home to install ONNX Runtime into")?;
            report("installing ONNX Runtime, which runs the models, for this user; once");
            install(&folder, Provider::Cpu, &LibraryOrigin::Index, report).exit_with(Exit::Unavailable)?;
            Runtime::load(&search).exit_with(Exit::Unavailable)
        }
        Err(error) => Err(error).exit_with(Exit::Unavailable),
    }
}
