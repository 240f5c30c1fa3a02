//! This program as a process of its own, for work that may hang, eat memory or be ended by a library.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getppid, kill_process_group, set_parent_process_death_signal, waitid,
};

/// The environment variable that tells such a process the number of the one that started it.
const PARENT: &str = "VERGE_PARENT";

/// How often it is looked whether it has ended.
const STEP: Duration = Duration::from_millis(10);
/// What it wrote is read for this long once it and all that it started have ended.
const DRAIN: Duration = Duration::from_secs(2);
/// Of what it writes this much is kept, of each of both outputs.
const MAX_SAID: u64 = 4 << 20;

/// What a process has written by its end.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// The last line of its standard error, without the name of this program.
    #[must_use]
    pub fn last_words(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.stderr);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(last.strip_prefix("verge: ").unwrap_or(last).to_owned())
    }
}

/// Lets this process, if [`run_within`] has started it, end with the one that did: Ctrl-C and whatever else ends that one does not
/// reach a group of its own.
///
/// # Errors
/// That one has ended already, or the system refuses.
pub fn end_with_parent() -> io::Result<()> {
    let parent = std::env::var(PARENT).ok().and_then(|text| Pid::from_raw(text.parse().ok()?));
    let Some(parent) = parent else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(parent) {
        return Ok(());
    }
    Err(io::Error::other(format!("process {} that started this one has ended", parent.as_raw_nonzero())))
}

/// Runs a process to its end, in a group of its own: whatever it has started and left behind is killed with it. `None` where it
/// was killed after this time.
///
/// # Errors
/// It cannot be started, or not be waited for.
pub fn run_within(command: &mut Command, limit: Duration) -> io::Result<Option<Ended>> {
    let began = Instant::now();
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env(PARENT, std::process::id().to_string()).process_group(0).spawn()?;
    // Read meanwhile: one who fills a pipe waits for its reader.
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let has_ended = loop {
        // Not yet waited for, its number stays its own: the group that is killed below is no other.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if group.is_some_and(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None))) {
            break true;
        }
        if began.elapsed() >= limit {
            break false;
        }
        std::thread::park_timeout(STEP);
    };
    if let Some(group) = group {
        // Where nothing is left of it there is nothing to kill.
        kill_process_group(group, Signal::KILL).ok();
    }
    let status = child.wait()?;
    // One that has left the group may hold the other end for ever.
    let until = Instant::now() + DRAIN;
    let said = |reader: Option<mpsc::Receiver<Vec<u8>>>| {
        let left = until.saturating_duration_since(Instant::now());
        reader.and_then(|reader| reader.recv_timeout(left).ok()).unwrap_or_default()
    };
    let (stdout, stderr) = (said(stdout), said(stderr));
    Ok(has_ended.then_some(Ended { status, stdout, stderr }))
}

fn reader(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (done, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until then is what there is; the rest is read away, so that nobody waits.
        drop(pipe.by_ref().take(MAX_SAID).read_to_end(&mut bytes));
        drop(io::copy(&mut pipe, &mut io::sink()));
        // Nobody may wait for it any more.
        drop(done.send(bytes));
    });
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// Whether a process is at work: one that was killed may be there until its parent asks for it.
    fn is_alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    }

    fn ends(pid: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while is_alive(pid) {
            assert!(Instant::now() < until, "{pid} is still at work");
            std::thread::park_timeout(STEP);
        }
    }

    #[test]
    fn a_process_that_does_not_end_is_ended_and_one_that_says_much_is_read() {
        assert!(
            run_within(&mut sh("echo begun >&2; exec sleep 600"), Duration::from_millis(300))
                .unwrap()
                .is_none()
        );
        let script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 65";
        let ended = run_within(&mut sh(script), Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(ended.status.code(), Some(65));
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (1_000_000, 1_000_000));
    }

    #[test]
    fn the_last_line_says_why() {
        for (said, reason) in [
            ("first\\nverge: no such model\\n \\n", Some("no such model")),
            ("killed", Some("killed")),
            ("\\n", None),
            ("", None),
        ] {
            let script = format!("printf '{said}' >&2; exit 65");
            let ended = run_within(&mut sh(&script), Duration::from_secs(60)).unwrap().unwrap();
            assert_eq!(ended.last_words().as_deref(), reason, "{said:?}");
        }
    }

    #[test]
    fn nothing_that_it_has_started_outlives_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let start = format!("sleep 600 & echo $! > {}", file.display());
        // It hangs, and is killed.
        let began = Instant::now();
        assert!(run_within(&mut sh(&format!("{start}; wait")), Duration::from_secs(3)).unwrap().is_none());
        ends(std::fs::read_to_string(&file).unwrap().trim());
        // It ends, and leaves one behind that holds its outputs.
        let ended =
            run_within(&mut sh(&format!("{start}; echo done")), Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!((ended.status.code(), &ended.stdout[..]), (Some(0), &b"done\n"[..]));
        ends(std::fs::read_to_string(&file).unwrap().trim());
        assert!(began.elapsed() < Duration::from_secs(60), "nobody waits for what is left behind");
    }
}
