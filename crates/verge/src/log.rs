//! The log: lines on standard error that never block, stop or prevent the work that they report.
//!
//! One thread writes. Between it and everybody else stands a bounded queue: while standard error takes nothing (a
//! full disk, a reader that stands still, a closed pipe) further lines are counted and dropped, and the first line
//! that can be written again says how many.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for standard error at most.
const QUEUE: usize = 1_024;
/// A longer line is cut.
const MAX_LINE_BYTES: usize = 16 * 1_024;
/// At the end of the program the lines that wait get this long.
const FLUSH: Duration = Duration::from_secs(1);
/// Pause between two looks for room in a full queue.
const FLUSH_POLL: Duration = Duration::from_millis(10);

/// The log of this process.
static LOG: OnceLock<Log> = OnceLock::new();

enum LogItem {
    Line(Box<[u8]>),
    Flush(SyncSender<()>),
}

/// The sender to the thread that writes; clones share it.
#[derive(Clone)]
pub(crate) struct Log {
    queue: SyncSender<LogItem>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// The log of this process, on standard error. Panics are reported there as well: the usual report would block on a
    /// reader that stands still.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn of_process() -> io::Result<Self> {
        if let Some(log) = LOG.get() {
            return Ok(log.clone());
        }
        let log = Self::start(io::stderr())?;
        std::panic::set_hook(Box::new(report_panic));
        Ok(LOG.get_or_init(|| log).clone())
    }

    /// A log that writes to `output`.
    fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("verge-log".to_owned())
            .spawn(move || write_lines(&lines, output, &counted))?;
        Ok(Self { queue, lost })
    }

    /// Queues a line, or counts it as lost; never blocks.
    fn line(&self, line: &[u8]) {
        let mut line = &line[..line.len().min(MAX_LINE_BYTES)];
        let mut cut = Vec::new();
        if line.last() != Some(&b'\n') {
            cut.extend_from_slice(line);
            cut.push(b'\n');
            line = &cut;
        }
        match self.queue.try_send(LogItem::Line(line.into())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until queued lines are written, but not for long.
    fn flush(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let (done, flushed) = mpsc::sync_channel(1);
        let mut item = LogItem::Flush(done);
        while let Err(TrySendError::Full(refused)) = self.queue.try_send(item) {
            if Instant::now() >= end {
                return;
            }
            item = refused;
            std::thread::park_timeout(FLUSH_POLL);
        }
        // What is not written in time is lost with the process.
        flushed.recv_timeout(end.saturating_duration_since(Instant::now())).ok();
    }
}

/// Gives the lines that wait the time to be written.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(FLUSH);
    }
}

/// Gives the lines that wait the time to be written: the last thing before the end of the program, whose cause may
/// be one more line.
pub(crate) fn close(last: Option<&str>) {
    // It is there once the program has begun.
    let Some(log) = LOG.get() else { return };
    if let Some(last) = last {
        log.line(last.as_bytes());
    }
    log.flush(FLUSH);
}

fn write_lines(lines: &Receiver<LogItem>, mut output: impl Write, lost: &AtomicU64) {
    while let Ok(item) = lines.recv() {
        match item {
            LogItem::Line(line) => {
                let before = lost.swap(0, Ordering::Relaxed);
                let report = if before > 0 {
                    format!("{before} log lines were lost: standard error took nothing\n")
                } else {
                    String::new()
                };
                // Written again where the report could not be; the line itself is lost then.
                if output.write_all(report.as_bytes()).and_then(|()| output.write_all(&line)).is_err() {
                    lost.fetch_add(before + 1, Ordering::Relaxed);
                }
            }
            // The caller may have stopped waiting.
            LogItem::Flush(done) => drop(done.try_send(())),
        }
    }
}

fn report_panic(info: &PanicHookInfo<'_>) {
    let place =
        info.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
    let thread = std::thread::current();
    let trace = Backtrace::capture();
    let trace =
        if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
    tracing::error!(
        thread = thread.name().unwrap_or("unnamed"),
        place,
        "panic, a defect of this program, please report it: {}{trace}",
        info.payload_as_str().unwrap_or("no message"),
    );
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// The subscriber hands over each line in one piece.
impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Where lines go. Where there is a gate, a write reports that it has begun and waits until the gate is open.
    #[derive(Clone, Default)]
    struct Medium {
        written: Arc<Mutex<Vec<u8>>>,
        fails: Arc<Mutex<bool>>,
        gate: Option<Arc<Mutex<Gate>>>,
    }

    struct Gate {
        begun: mpsc::Sender<()>,
        open: Receiver<()>,
    }

    impl Write for Medium {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(gate) = &self.gate {
                let gate = gate.lock().unwrap();
                // Both ends are closed once the test lets everything pass.
                gate.begun.send(()).ok();
                gate.open.recv().ok();
            }
            if *self.fails.lock().unwrap() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Medium {
        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_medium_that_fails_loses_lines_and_says_how_many() {
        let medium = Medium::default();
        *medium.fails.lock().unwrap() = true;
        let log = Log::start(medium.clone()).unwrap();
        log.line(b"one\n");
        log.line(b"two");
        log.flush(SOON);
        assert_eq!(medium.text(), "");
        *medium.fails.lock().unwrap() = false;
        log.line(b"three");
        log.line(b"four");
        log.flush(SOON);
        assert_eq!(medium.text(), "2 log lines were lost: standard error took nothing\nthree\nfour\n");
    }

    #[test]
    fn a_reader_that_stands_still_holds_up_nobody() {
        let (begun, begins) = mpsc::channel();
        let (opener, open) = mpsc::channel();
        let gate = Gate { begun, open };
        let medium = Medium { gate: Some(Arc::new(Mutex::new(gate))), ..Medium::default() };
        let log = Log::start(medium.clone()).unwrap();
        log.line(b"line\n");
        begins.recv_timeout(SOON).unwrap();
        for _ in 0..3 * QUEUE {
            log.line(b"line\n");
        }
        // Returns, though nothing is written.
        log.flush(Duration::from_millis(1));
        let lost = log.lost.load(Ordering::Relaxed);
        assert_eq!(lost, 2 * QUEUE as u64);
        drop((opener, begins));
        log.flush(SOON);
        log.line(b"last\n");
        log.flush(SOON);
        let text = medium.text();
        assert!(text.contains(&format!("{lost} log lines were lost")), "{}", &text[..200]);
        assert!(text.ends_with("last\n"));
    }

    #[test]
    fn a_long_line_is_cut() {
        let medium = Medium::default();
        let log = Log::start(medium.clone()).unwrap();
        log.line(&[b'x'; 2 * MAX_LINE_BYTES]);
        log.flush(SOON);
        assert_eq!(medium.text().len(), MAX_LINE_BYTES + 1);
    }
}
