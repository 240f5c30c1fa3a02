//! A new version of the junction's model: what changed arrives in a signed package, is tried beside the version in use, put in use and
//! taken back. Each step is a command of this program, as an operator gives it to a gateway that runs.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use verge_pipeline::status::ModelStatus;

/// The model, as `configs/demo.toml` calls it.
const MODEL: &str = "junction";
/// Its new version; `examples/junction-model/README.md` tells how it was made.
pub(super) const PACKAGE: (&str, &[u8]) =
    ("junction-1.1.vmodel", include_bytes!("../../../examples/junction-model/junction-1.1.vmodel"));
/// Whose packages are taken.
pub(super) const PUBLISHER: (&str, &[u8]) =
    ("publisher.pem", include_bytes!("../../../examples/junction-model/publisher.pem"));
/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(20);
/// Of what a command says this much is read.
const MAX_SAID: u64 = 16 * 1024;
/// How often a command is looked after.
const LOOK: Duration = Duration::from_millis(50);

/// One command.
struct Step {
    /// From this share of the run on, and not before the command ahead of it has ended.
    at: f64,
    arguments: &'static [&'static str],
}

const STEPS: [Step; 4] = [
    Step { at: 0.15, arguments: &["push", PACKAGE.0] },
    Step { at: 0.3, arguments: &["promote", MODEL, "--stage", "shadow"] },
    Step { at: 0.65, arguments: &["promote", MODEL] },
    Step { at: 0.8, arguments: &["rollback", MODEL] },
];

/// How far it is.
pub(super) struct Release {
    commands: JoinHandle<()>,
    said: mpsc::Receiver<Result<String, String>>,
    /// What each command said.
    lines: Vec<String>,
    fault: Option<String>,
    trial: Option<String>,
}

impl Release {
    /// Gives the commands in time.
    pub(super) fn over(folder: &Path, (start, run): (Instant, Duration)) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file")?;
        let (report, said) = mpsc::channel(STEPS.len());
        let folder = folder.to_owned();
        let commands = tokio::spawn(async move {
            for step in &STEPS {
                tokio::time::sleep_until((start + run.mul_f64(step.at)).into()).await;
                let said = carry_out(&program, &folder, step.arguments).await;
                let said =
                    said.map_err(|error| format!("verge model {}: {error:#}", step.arguments.join(" ")));
                let is_over = said.is_err();
                // What comes behind one that failed makes no sense.
                if report.send(said).await.is_err() || is_over {
                    break;
                }
            }
        });
        Ok(Self { commands, said, lines: Vec::new(), fault: None, trial: None })
    }

    /// What was said since the last look, for people.
    pub(super) fn look(&mut self, models: &[ModelStatus]) -> Option<String> {
        let status = models.iter().find(|model| model.name == MODEL);
        if let Some(agreement) =
            status.and_then(|model| model.agreement.as_ref()).filter(|one| one.frames > 0)
        {
            self.trial = Some(format!(
                "{} frames compared, {} % of the answers agree",
                agreement.frames, agreement.percent
            ));
        }
        match self.said.try_recv().ok()? {
            Ok(line) => {
                self.lines.push(line.clone());
                Some(line)
            }
            Err(fault) => {
                self.fault = Some(fault.clone());
                Some(fault)
            }
        }
    }

    /// Nothing more will happen.
    pub(super) fn is_over(&self) -> bool {
        self.lines.len() == STEPS.len() || self.fault.is_some()
    }

    /// What has happened, in words.
    pub(super) fn words(&self) -> Vec<String> {
        let trial = self.trial.iter().map(|trial| format!("on trial: {trial}"));
        self.lines.iter().cloned().chain(trial).collect()
    }

    /// What has not.
    pub(super) fn lacking(&self) -> Option<String> {
        let next = STEPS.get(self.lines.len()).map(|step| step.arguments.join(" "));
        let uncompared = || self.trial.is_none().then(|| "on trial: no frame was compared".to_owned());
        let unended = next.map(|next| format!("verge model {next}: it has not ended"));
        self.fault.clone().or(unended).or_else(uncompared)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.commands.abort();
    }
}

async fn carry_out(program: &Path, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.arg("model").args(arguments).args(["--config", "demo.toml"]).current_dir(folder);
    // The demo's configuration alone counts, and what is logged would fill the pipe.
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("VERGE__")) {
        command.env_remove(key);
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().context("it cannot be started")?);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "it has not ended after {} s", LIMIT.as_secs());
        tokio::time::sleep(LOOK).await;
    };
    said(&mut child, status)
}

/// A command that ends with the demo.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // One that has ended has nothing to be killed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn said(child: &mut Ended, status: ExitStatus) -> anyhow::Result<String> {
    let read = |from: Option<&mut dyn Read>| {
        let mut text = String::new();
        from.map_or(Ok(0), |from| from.take(MAX_SAID).read_to_string(&mut text)).map(|_| text)
    };
    let out = read(child.0.stdout.as_mut().map(|out| out as &mut dyn Read))?;
    let errors = read(child.0.stderr.as_mut().map(|errors| errors as &mut dyn Read))?;
    let last = |text: &str| text.lines().next_back().unwrap_or_default().trim().to_owned();
    anyhow::ensure!(status.success(), "{status}: {}", last(&errors));
    Ok(last(&out))
}
