//! `verge runtime`: the library that runs models, installed and shown.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::json;
use verge_engine::runtime::{self, LibraryOrigin, version};
use verge_engine::{Provider, Runtime};

use super::output::json_line;
use super::{FileArgs, say};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge runtime install                    for this user
  verge runtime install -c gateway.toml    into that gateway's state folder
  verge runtime install --from FILE.whl    without internet
  verge runtime install --provider cuda    for a graphics processor
  verge runtime show -c gateway.toml       which library runs its models

FILE.whl is the wheel that `pip download` got elsewhere.

Models run on ONNX Runtime (MIT), a library of its own. pip fetches its wheel, so your index, proxy and certificates \
apply; what comes is held against hashes compiled into this program. A library that you have can be named with \
engine.library in the configuration or ORT_DYLIB_PATH; 1.20 or later will do.")]
pub(super) struct RuntimeArgs {
    #[command(subcommand)]
    action: RuntimeAction,
}

#[derive(Debug, Subcommand)]
enum RuntimeAction {
    /// Install the version that this program was tested with
    Install(InstallArgs),
    /// Say which library would be used, and load it
    Show(RuntimeShowArgs),
}

#[derive(Debug, Args)]
struct InstallArgs {
    /// Install into the state folder of this configuration
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take a wheel (*.whl) or a library that is already here
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// What is to run models; with -c FILE, engine.provider of the configuration unless this is given
    #[arg(long, value_name = PROVIDERS, value_parser = parse_provider)]
    provider: Option<Provider>,
}

#[derive(Debug, Args)]
struct RuntimeShowArgs {
    /// Look where this configuration's gateway would
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is to run models; with -c FILE, engine.provider of the configuration unless this is given
    #[arg(long, value_name = PROVIDERS, value_parser = parse_provider)]
    provider: Option<Provider>,
}

/// The words of `--provider`.
pub(super) const PROVIDERS: &str = "cpu|cuda|tensorrt|openvino";

/// A provider that this build can ask for.
pub(super) fn parse_provider(word: &str) -> Result<Provider, String> {
    let provider = Provider::of_word(word).ok_or_else(|| PROVIDERS.to_owned())?;
    if provider.is_built() {
        return Ok(provider);
    }
    Err(format!(
        "this build was made without the feature {word}, as packages are: build Verge from source with \
         `cargo build --release -p verge --features {word}`"
    ))
}

pub(super) fn runtime(args: &RuntimeArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.action {
        RuntimeAction::Install(args) => install(args, json, out),
        RuntimeAction::Show(args) => show(args, json, out),
    }
}

fn install(args: &InstallArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (folder, configured) = match &args.config {
        Some(config) => {
            let settings = FileArgs { config: config.clone() }.settings()?;
            (wiring::managed_runtime(&settings), settings.engine.provider)
        }
        None => {
            let folder = wiring::cached_runtime()
                .ok_or_else(|| {
                    anyhow!("this user has no home; -c FILE installs into a gateway's state folder")
                })
                .exit_with(Exit::Usage)?;
            (folder, Provider::default())
        }
    };
    let provider = args.provider.unwrap_or(configured);
    let version = version(provider);
    let origin = args.from.clone().map_or(LibraryOrigin::Index, LibraryOrigin::File);
    let installed = runtime::install(&folder, provider, &origin, &mut say).exit_with(Exit::Unavailable)?;
    if json {
        let line = json!({
            "version": version, "provider": provider.name(), "library": installed.library, "already": installed.already,
        });
        json_line(out, &line)?;
        return Ok(Exit::Fine);
    }
    if let Some(licence) = &installed.licence {
        writeln!(out, "{}\n", licence.trim_end())?;
    }
    let was = if installed.already { "is already there" } else { "is installed" };
    let with = if provider == Provider::Cpu { String::new() } else { format!(" with {}", provider.name()) };
    writeln!(out, "ONNX Runtime {version}{with} {was}: {}", installed.library.display())
        .context("standard output")?;
    Ok(Exit::Fine)
}

fn show(args: &RuntimeShowArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut search = match &args.config {
        Some(config) => wiring::runtime_search(&FileArgs { config: config.clone() }.settings()?),
        None => wiring::user_runtime_search(),
    };
    search.provider = args.provider.unwrap_or(search.provider);
    let version = version(search.provider);
    let loaded = Runtime::load(&search).exit_with(Exit::Unavailable)?;
    let (path, found) = (loaded.path().display().to_string(), loaded.found().as_str());
    if json {
        let line = json!({
            "library": path, "found": found, "build": loaded.build_info(), "pinned": version,
            "provider": loaded.provider().name(),
        });
        json_line(out, &line)?;
    } else {
        writeln!(
            out,
            "{path}\n  {found}\n  {}\n  models run on {}\n  `verge runtime install` brings {version}",
            loaded.build_info(),
            loaded.provider().name()
        )
        .context("standard output")?;
    }
    Ok(Exit::Fine)
}
