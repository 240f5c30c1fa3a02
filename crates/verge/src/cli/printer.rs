//! Verdicts on standard output as they are committed: printed by a thread of its own, which nothing waits for.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use verge_domain::id::Identity;
use verge_domain::verdict::Verdict;
use verge_pipeline::committer::Committed;
use verge_wire::{SiteZone, verdict_json};

use crate::describe;

/// Verdicts that wait for standard output at most; past that they are counted and left out.
const QUEUE: usize = 1_024;
/// Lines for people in one second at most.
const LINES_A_SECOND: u32 = 50;
const SECOND: Duration = Duration::from_secs(1);

/// How verdicts are printed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PrintForm {
    /// In the words of `verge watch`, at most 50 lines a second, with the times of the site.
    Words(SiteZone),
    /// As JSON lines, all that standard output takes.
    Json,
}

impl PrintForm {
    fn line(&self, identity: &Identity, verdict: &Verdict) -> String {
        match self {
            Self::Words(zone) => describe::line(&identity.gateway, identity.lane, verdict, zone),
            Self::Json => verdict_json(identity, verdict).to_string(),
        }
    }

    fn left_out(&self, verdicts: u64) -> String {
        match self {
            Self::Words(_) => {
                let verdicts = verge_wire::counted(verdicts, "verdict");
                format!("{verdicts} not printed; `verge outbox show` prints stored verdicts")
            }
            Self::Json => json!({ "left_out": verdicts }).to_string(),
        }
    }
}

type Item = (Identity, Verdict);

/// The thread that prints.
pub(super) struct Printer {
    form: PrintForm,
    queue: SyncSender<Item>,
    left_out: Arc<AtomicU64>,
    ended: Receiver<()>,
}

impl Printer {
    /// Starts one that prints on standard output.
    ///
    /// # Errors
    /// The operating system gives no thread or no descriptor.
    pub(super) fn on_standard_output(form: PrintForm) -> anyhow::Result<Self> {
        // A descriptor of its own: a thread that waits for a reader must not hold the lock that the program ends with.
        let output = io::stdout().as_fd().try_clone_to_owned().context("standard output")?;
        Self::start(form, File::from(output))
    }

    fn start(form: PrintForm, output: impl Write + Send + 'static) -> anyhow::Result<Self> {
        let (queue, items) = mpsc::sync_channel(QUEUE);
        let (end, ended) = mpsc::sync_channel(1);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        let written = form.clone();
        let print = move || {
            // Once the reader of standard output has ended, nothing is printed any more; the gateway goes on.
            if let Err(error) = print(written, &items, &counted, output) {
                tracing::debug!(%error, "standard output takes no more verdicts");
            }
            end.send(()).ok();
        };
        std::thread::Builder::new()
            .name("verge-print".to_owned())
            .spawn(print)
            .context("cannot start a thread")?;
        Ok(Self { form, queue, left_out, ended })
    }

    /// Hands over each committed verdict, or counts it as left out; never blocks.
    pub(super) fn committed(&self) -> Committed {
        let (queue, left_out) = (self.queue.clone(), Arc::clone(&self.left_out));
        let mut rate = matches!(self.form, PrintForm::Words(_)).then(LineRate::default);
        let mut closed = false;
        Box::new(move |identity, verdict| {
            if closed {
                return;
            }
            if rate.as_mut().is_none_or(|rate| rate.takes(Instant::now())) {
                match queue.try_send((identity.clone(), verdict.clone())) {
                    Ok(()) => return,
                    Err(TrySendError::Full(_)) => {}
                    Err(TrySendError::Disconnected(_)) => closed = true,
                }
            }
            left_out.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Waits until queued verdicts are printed, not for long. What [`Printer::committed`] gave must be dropped before.
    pub(super) fn finish(self) {
        drop(self.queue);
        // A standard output that takes nothing does not hold up the end.
        self.ended.recv_timeout(SECOND).ok();
    }
}

/// The lines of the current second.
#[derive(Default)]
struct LineRate {
    since: Option<Instant>,
    lines: u32,
}

impl LineRate {
    fn takes(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= SECOND) {
            (self.since, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        self.lines <= LINES_A_SECOND
    }
}

fn print(
    form: PrintForm,
    items: &Receiver<Item>,
    left_out: &AtomicU64,
    mut output: impl Write,
) -> io::Result<()> {
    let mut reported = Instant::now();
    loop {
        let item = items.recv_timeout(SECOND);
        let ends = matches!(item, Err(RecvTimeoutError::Disconnected));
        if let Ok((identity, verdict)) = item {
            output.write_all(format!("{}\n", form.line(&identity, &verdict)).as_bytes())?;
        }
        if ends || reported.elapsed() >= SECOND {
            reported = Instant::now();
            let verdicts = left_out.swap(0, Ordering::Relaxed);
            if verdicts > 0 {
                output.write_all(format!("{}\n", form.left_out(verdicts)).as_bytes())?;
            }
        }
        if ends {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use verge_domain::id::{Epoch, GatewayId, Lane, Seq};

    use super::*;
    use crate::describe::tests::sample;

    /// Where lines go; a write waits until the gate is open.
    #[derive(Clone)]
    struct SlowMedium {
        written: Arc<Mutex<Vec<u8>>>,
        open: Arc<Mutex<Receiver<()>>>,
    }

    impl Write for SlowMedium {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Open once its other end is dropped.
            self.open.lock().unwrap().recv().ok();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(form: PrintForm, verdicts: u64) -> Vec<String> {
        let (opener, open) = mpsc::channel();
        let medium = SlowMedium { written: Arc::default(), open: Arc::new(Mutex::new(open)) };
        let printer = Printer::start(form, medium.clone()).unwrap();
        let mut committed = printer.committed();
        for seq in 1..=verdicts {
            let gateway = GatewayId::new("g").unwrap();
            let identity = Identity { gateway, epoch: Epoch([7; 16]), lane: Lane::Alarm, seq: Seq(seq) };
            // Returns, though nothing is printed.
            committed(&identity, &sample());
        }
        drop((opener, committed));
        printer.finish();
        let text = String::from_utf8(medium.written.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn verdicts_are_printed_in_the_words_of_watch() {
        let line = "alarm     1970-01-01 00:00:00.000Z g critical j: pump-1 vibration: high, 8.41 mm/s (expected at most 7.1 mm/s)";
        assert_eq!(printed(PrintForm::Words(SiteZone::utc()), 2), [line, line]);
        assert!(printed(PrintForm::Json, 1)[0].contains(r#""seq":1"#));
    }

    #[test]
    fn an_output_that_takes_nothing_holds_up_nobody_and_what_is_left_out_is_counted() {
        let most = QUEUE as u64 + 1;
        let lines = printed(PrintForm::Json, 3 * most);
        let left_out: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        let printed = lines.len() as u64 - 1;
        assert!(printed == most || printed == most - 1, "{printed} printed");
        assert_eq!(left_out["left_out"], 3 * most - printed);
    }

    #[test]
    fn a_terminal_gets_so_many_lines_a_second() {
        let (mut rate, start) = (LineRate::default(), Instant::now());
        let mut taken = |at: Duration| (0..200).filter(|_| rate.takes(start + at)).count();
        assert_eq!((taken(Duration::ZERO), taken(SECOND / 2), taken(SECOND)), (50, 0, 50));
        assert_eq!(
            PrintForm::Words(SiteZone::utc()).left_out(1),
            "1 verdict not printed; `verge outbox show` prints stored verdicts"
        );
    }
}
