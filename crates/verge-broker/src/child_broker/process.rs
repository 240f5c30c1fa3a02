//! One child process: started, given its start message, ended.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{ChildBrokerSettings, ChildFault};
use crate::child::READY;
use crate::endpoint::Endpoint;

/// Longest line the child may say before it serves.
const MAX_READY_BYTES: u64 = 64;

/// One child process, from its start to its end.
#[derive(Debug)]
pub(super) struct ChildProcess {
    child: Child,
    /// The child lives until this is closed.
    input: ChildStdin,
    /// Open for as long as the child lives: a write to a closed one would kill it.
    _output: BufReader<ChildStdout>,
}

impl ChildProcess {
    /// Starts the child, gives it its start message and waits until it serves.
    pub(super) async fn begin(
        settings: &ChildBrokerSettings,
        endpoint: &Endpoint,
    ) -> Result<Self, ChildFault> {
        let mut child = spawn(settings)?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        };
        let mut output = BufReader::new(output);
        let answered = tokio::select! {
            biased;
            answered = introduce(&mut input, &mut output, endpoint) => answered,
            () = tokio::time::sleep(settings.ready_within) => Err(ChildFault::NotReady(settings.ready_within)),
        };
        let fault = match answered {
            Ok(()) => return Ok(Self { child, input, _output: output }),
            Err(fault) => fault,
        };
        drop((input, output));
        // An end of the child is reported as such, not as the broken pipe that it causes.
        let is_end = matches!(fault, ChildFault::Io(_));
        let status = end(child, if is_end { settings.grace } else { Duration::ZERO }).await;
        Err(status.filter(|_| is_end).map_or(fault, ChildFault::Ended))
    }

    /// Its process id.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the child has ended.
    pub(super) async fn ended(&mut self) -> ChildFault {
        match self.child.wait().await {
            Ok(status) => ChildFault::Ended(status),
            Err(error) => error.into(),
        }
    }

    pub(super) async fn end(self, grace: Duration) {
        let Self { child, input, .. } = self;
        drop(input);
        end(child, grace).await;
    }
}

fn spawn(settings: &ChildBrokerSettings) -> Result<Child, ChildFault> {
    Command::new(&settings.program)
        .args(&settings.arguments)
        .env_clear()
        .envs(settings.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Its log lines stand among the gateway's.
        .stderr(Stdio::inherit())
        // Ctrl-C reaches the gateway alone, which stops the broker last.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| ChildFault::Spawn { program: settings.program.clone(), source })
}

/// Gives the start message and waits for the answer.
async fn introduce(
    input: &mut ChildStdin,
    output: &mut BufReader<ChildStdout>,
    endpoint: &Endpoint,
) -> Result<(), ChildFault> {
    input.write_all(endpoint.to_line().reveal().as_bytes()).await?;
    let mut line = String::new();
    output.take(MAX_READY_BYTES).read_line(&mut line).await?;
    match line.trim_end() {
        READY => Ok(()),
        "" => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        _ => Err(ChildFault::Unexpected),
    }
}

/// Waits for a child whose standard input is closed, and kills it after the grace. Says how it ended by itself.
async fn end(mut child: Child, grace: Duration) -> Option<ExitStatus> {
    if let Ok(Ok(status)) = tokio::time::timeout(grace, child.wait()).await {
        return Some(status);
    }
    // Stopped processes end by this, too.
    if let Err(error) = child.kill().await {
        tracing::error!(%error, "the embedded broker's process cannot be killed");
    }
    None
}
