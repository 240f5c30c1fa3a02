//! Where the marks of commands are measured: a folder of its own, the cards of public models, and the program itself as a child.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use verge_engine::staged::TrialFolder;

use crate::cli::say;

/// How often the memory of a child is read.
const STEP: Duration = Duration::from_millis(20);
/// A command that takes longer is ended: no section may go on for ever.
const LONGEST: Duration = Duration::from_secs(600);

/// Where commands are measured.
pub(super) struct Workbench {
    /// Public models and pictures.
    pub(super) data: PathBuf,
    /// How often pictures are drawn for a mean.
    pub(super) draws: u64,
    cards: PathBuf,
    folder: TrialFolder,
    program: PathBuf,
    began: Instant,
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Ran {
    /// The code that it ended with.
    pub(super) code: i32,
    /// What it printed as JSON; null where that is none.
    pub(super) said: Value,
    /// What it wrote to standard error.
    pub(super) errors: String,
    /// By the clock.
    pub(super) seconds: f64,
    /// Memory that it took at most, in MiB; 0 where the system does not say.
    pub(super) memory: f64,
}

impl Workbench {
    pub(super) fn new(data: &Path, cards: &Path, draws: u64) -> anyhow::Result<Self> {
        let absolute = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
        Ok(Self {
            data: absolute(data)?,
            cards: absolute(cards)?,
            draws,
            folder: TrialFolder::new().context("a folder for what is made")?,
            program: std::env::current_exe().context("the name of this program")?,
            began: Instant::now(),
        })
    }

    /// A path in the folder of what is made; it is removed at the end.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The card of a public model, whose weights and labels stay where they are.
    pub(super) fn card(&self, name: &str) -> anyhow::Result<PathBuf> {
        // Names have dots of their own.
        let known = self.cards.join(format!("{name}.toml"));
        let text = fs::read_to_string(&known).with_context(|| known.display().to_string())?;
        let models = self.data.join("models");
        let card = self.path(&format!("{name}.toml"));
        fs::write(&card, text.replace("@MODELS@", &models.display().to_string()))?;
        Ok(card)
    }

    /// What is measured now, on standard error: sections take minutes.
    pub(super) fn show(&self, what: &str) {
        say(&format!("{:>5.0} s  {what}", self.began.elapsed().as_secs_f64()));
    }

    /// Runs `verge --json` with these arguments, and with an empty PATH: no other program may be needed.
    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let began = Instant::now();
        let folder = format!("{}/", self.folder.path().display());
        let command = arguments.join(" ").replace(&folder, "");
        self.show(&format!("verge {command}"));
        let mut child = Command::new(&self.program)
            .arg("--json")
            .args(arguments)
            .env("PATH", "")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| self.program.display().to_string())?;
        let (mut output, mut errors) =
            (child.stdout.take().context("a pipe")?, child.stderr.take().context("a pipe")?);
        let (sender, done) = mpsc::channel::<()>();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            drop(output.read_to_string(&mut text));
            drop(sender);
            text
        });
        let warnings = thread::spawn(move || {
            let mut text = String::new();
            drop(errors.read_to_string(&mut text));
            text
        });
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut memory = 0.0_f64;
        while done.recv_timeout(STEP) == Err(mpsc::RecvTimeoutError::Timeout) {
            memory = memory.max(peak_mib(&status).unwrap_or(0.0));
            if began.elapsed() > LONGEST {
                child.kill()?;
                child.wait()?;
                bail!("`verge {command}` takes longer than {} s: it was ended", LONGEST.as_secs());
            }
        }
        let code = child.wait()?.code().unwrap_or(-1);
        let text = reader.join().ok().context("the reader of standard output")?;
        let errors = warnings.join().ok().context("the reader of standard error")?;
        let said = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Ran { code, said, errors, seconds: began.elapsed().as_secs_f64(), memory })
    }

    /// The same, where the command must end well.
    pub(super) fn done(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let ran = self.run(arguments)?;
        ensure!(
            ran.code == 0,
            "`verge {}` ends with {}: {} {}",
            arguments.join(" "),
            ran.code,
            ran.said["refused"].as_str().unwrap_or_default(),
            ran.errors.trim()
        );
        Ok(ran)
    }
}

fn peak_mib(status: &Path) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// A number of what a command printed.
pub(super) fn number(ran: &Ran, pointer: &str) -> anyhow::Result<f64> {
    let value = ran.said.pointer(pointer).and_then(Value::as_f64);
    value.with_context(|| format!("no number {pointer} in {}: {}", ran.said, ran.errors.trim()))
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
