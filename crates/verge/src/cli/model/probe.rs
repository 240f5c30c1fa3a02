//! `verge model probe`: the first load of a model in a process of its own. A file that brings the library down, eats memory or
//! hangs ends that process, and nothing else.

use std::io::Write;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, nice, setrlimit};
use serde::{Deserialize, Serialize};
use verge_engine::runtime::VARIABLE;
use verge_engine::{ModelLimits, Runtime};
use verge_gateway::child::run_within;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::card::Meaning;
use verge_models::{Card, FrameModel, ModelFiles, WindowModel};

use super::super::output::json_line;
use super::measure::{Pictures, SATURATION_LEAST, Subject, may_saturate, saturation};

/// Time that a model has to load and to look at one picture, of the clock and of the processor.
const LIMIT: Duration = Duration::from_secs(60);
/// The same at the lowest priority.
const IDLE_LIMIT: Duration = Duration::from_secs(540);
/// Beyond that the process is ended from outside: it may be where it cannot end itself.
const GRACE: Duration = Duration::from_secs(10);
/// The lowest priority there is (nice).
const IDLE: i32 = 19;
/// What it says before it ends itself.
const STILL: &str = "it was still at work after";
/// Time to hold the file against itself as it is written, and to load it for that. What takes longer stays unknown: the model
/// itself was found to run.
const SATURATION_LIMIT: Duration = Duration::from_secs(15);
/// Address space beyond that of the program: the library maps some hundred MiB for itself.
const FREE: u64 = 1 << 30;
/// Address space for each byte of the file: a copy of it, weights packed anew, what lies between.
const TIMES: u64 = 10;

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// The model's card
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// Hold the file as the library runs it against the file as it is written, on drawn pictures
    #[arg(long)]
    saturation: bool,
    /// At the lowest priority (nice 19)
    #[arg(long)]
    idle: bool,
    /// Bytes of its file at most
    #[arg(long, value_name = "BYTES", hide = true, default_value_t = ModelLimits::default().max_file_bytes)]
    max_model: u64,
}

/// What a model took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Probed {
    /// Time to read, check and load it.
    pub(super) load_ms: f64,
    /// Memory that it took at most, in bytes; nothing where the system does not say.
    pub(super) memory: Option<u64>,
    /// Share of its answers that are those of the file as it is written, in percent, where that was asked for, applies, and was
    /// found out in time.
    pub(super) saturation: Option<f64>,
    /// Whether that is too few; nothing where it is not known or the processor cannot overflow on it.
    #[serde(default)]
    pub(super) saturates: Option<bool>,
}

pub(super) fn probe(args: &ProbeArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    if args.idle {
        nice(IDLE).context("a lower priority")?;
    }
    let runtime = Runtime::load(&wiring::user_runtime_search()).exit_with(Exit::Unavailable)?;
    limit(&args.card)?;
    // At the lowest priority the time that passes says little: that of the processor is limited all the same.
    let longest = if args.idle { IDLE_LIMIT } else { LIMIT };
    let (done, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(longest) == Err(mpsc::RecvTimeoutError::Timeout) {
            // The library may hang in the thread that loads: nothing but the end of the process ends that.
            drop(writeln!(std::io::stderr(), "verge: {STILL} {} s", longest.as_secs()));
            // Handlers of an ordinary end would wait for a library that is still at work.
            kill_process(getpid(), Signal::KILL).ok();
        }
    });
    let before = memory("VmRSS");
    let began = Instant::now();
    let files = ModelFiles::of_card(&args.card);
    let is_of_windows = Card::load(&args.card).is_ok_and(|card| card.meaning == Meaning::Windows);
    let limits = ModelLimits { max_file_bytes: args.max_model, ..ModelLimits::default() };
    let load_ms;
    if is_of_windows {
        let mut model = WindowModel::load(&runtime, &files, limits).exit_with(Exit::BadInput)?;
        load_ms = began.elapsed().as_secs_f64() * 1e3;
        wiring::try_autoencoder(&mut model).exit_with(Exit::BadInput)?;
    } else {
        let model = FrameModel::load(&runtime, &files, limits).exit_with(Exit::BadInput)?;
        load_ms = began.elapsed().as_secs_f64() * 1e3;
        let tried = wiring::try_model(&Arc::new(model)).with_context(|| args.card.display().to_string());
        tried.exit_with(Exit::BadInput)?;
    }
    let memory = memory("VmHWM").zip(before).map(|(most, before)| most.saturating_sub(before));
    let is_quick = args.idle || began.elapsed() < SATURATION_LIMIT;
    let saturation = if args.saturation && !is_of_windows && is_quick {
        let until = (!args.idle).then(|| Instant::now() + SATURATION_LIMIT);
        let mut subject = Subject::load(&runtime, &args.card, limits)?;
        let pictures = Pictures::drawn()?;
        let agreed = if may_saturate(&subject.model) {
            saturation(&runtime, &files, &mut subject, &pictures, until).exit_with(Exit::BadInput)?
        } else {
            None
        };
        agreed.map(|agreed| agreed.share() * 100.0)
    } else {
        None
    };
    drop(done);
    let saturates = saturation.map(|share| share < SATURATION_LEAST * 100.0);
    json_line(out, &serde_json::to_value(Probed { load_ms, memory, saturation, saturates })?)?;
    Ok(Exit::Fine)
}

/// Limits this process.
fn limit(card: &Path) -> anyhow::Result<()> {
    let file = verge_models::Card::load(card).ok().map(|known| card.with_file_name(known.file));
    let bytes = file.and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
    if let Some(now) = memory("VmSize") {
        let most = now.saturating_add(FREE).saturating_add(bytes.saturating_mul(TIMES));
        restrict(Resource::As, (most, most)).context("address space")?;
    }
    let seconds = LIMIT.as_secs();
    // One second beyond, with which the system ends it for good.
    restrict(Resource::Cpu, (seconds, seconds + 1)).context("time of the processor")?;
    // A library that is brought down by a file leaves nothing behind.
    restrict(Resource::Core, (0, 0)).context("core files")
}

/// Sets both limits of a resource, or leaves them lower where they are (`ulimit`, `LimitAS=`): to raise them is not permitted.
fn restrict(resource: Resource, (current, maximum): (u64, u64)) -> anyhow::Result<()> {
    let known = getrlimit(resource);
    let lower = |limit: u64, known: Option<u64>| Some(known.map_or(limit, |known| known.min(limit)));
    let maximum = lower(maximum, known.maximum);
    let current = lower(current, known.current);
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}

/// A line of what the system says of this process, in bytes.
fn memory(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Has a model loaded in a process of its own. `most`: bytes of its file.
pub(super) fn in_a_child(
    card: &Path,
    library: &Path,
    most: u64,
    with_saturation: bool,
) -> anyhow::Result<Probed> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(["model", "probe"]).arg(card).args(["--max-model", &most.to_string()]);
    if with_saturation {
        command.arg("--saturation");
    }
    // A bare name is left to the system's linker.
    if library.is_absolute() {
        command.env(VARIABLE, library);
    }
    let output = run_within(&mut command, LIMIT + GRACE)
        .context("cannot start the process that loads the model first")?;
    let Some(output) = output else {
        bail!("{}: {STILL} {} s, and was ended", card.display(), (LIMIT + GRACE).as_secs());
    };
    let last = output.last_words().unwrap_or_else(|| "nothing is said why".to_owned());
    // Whoever reports it says so again.
    let kind = format!("{}: ", Exit::BadInput);
    let last = last.strip_prefix(&kind).map_or(last.clone(), str::to_owned);
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => serde_json::from_slice(&output.stdout).context("the process that loads the model"),
        (_, Some(_)) if last.starts_with(STILL) => bail!("{}: {last}", card.display()),
        (_, Some(signal)) => bail!(
            "{}: the library was ended by signal {signal} while it loaded the model in a process of its own: {}",
            card.display(),
            signal_words(signal)
        ),
        (Some(code), _) if code == i32::from(Exit::Unavailable.code()) => {
            Err(anyhow!(last)).exit_with(Exit::Unavailable)
        }
        _ => bail!("{last}"),
    }
}

fn signal_words(signal: i32) -> &'static str {
    match signal {
        6 => "it gave up, which it does where memory is refused",
        9 => "it was killed",
        11 => "it reached for memory that is not its own",
        24 => "it took more than 60 s of the processor",
        _ => "the file is not one that it takes",
    }
}
