//! Standard output that ends quietly when its reader does, as in `verge watch | head`.

use std::fmt;
use std::io::{self, IsTerminal, StdoutLock, Write};

/// Standard output. Whoever writes here passes errors up with `?`; [`reader_is_gone`] distinguishes them.
pub(crate) struct Output {
    inner: StdoutLock<'static>,
}

/// What a write error becomes when the reader has ended.
#[derive(Debug)]
struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for ReaderGone {}

impl Output {
    /// Takes standard output for the rest of the program.
    pub(crate) fn new() -> Self {
        Self { inner: io::stdout().lock() }
    }
}

fn mark(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::new(error.kind(), ReaderGone) } else { error }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).map_err(mark)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().map_err(mark)
    }
}

/// Whether a command ended because the reader of standard output did, which is no fault.
pub(crate) fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<ReaderGone>)
    })
}

/// One JSON value on one line.
pub(crate) fn json_line(out: &mut impl Write, value: &serde_json::Value) -> io::Result<()> {
    writeln!(out, "{value}")
}

/// A line on standard error that replaces itself, on a terminal; nothing elsewhere.
pub(crate) struct Progress {
    on_terminal: bool,
    drawn: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { on_terminal: io::stderr().is_terminal(), drawn: false }
    }

    /// Shows this text in place of the last one.
    pub(crate) fn show(&mut self, text: &str) -> io::Result<()> {
        if !self.on_terminal {
            return Ok(());
        }
        self.drawn = true;
        let mut stderr = io::stderr().lock();
        write!(stderr, "\r\x1b[K{text}")?;
        stderr.flush()
    }

    /// Removes it.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if !self.drawn {
            return Ok(());
        }
        self.drawn = false;
        let mut stderr = io::stderr().lock();
        write!(stderr, "\r\x1b[K")?;
        stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn only_a_closed_output_ends_quietly() {
        let check =
            |error: anyhow::Error, expected: bool| assert_eq!(reader_is_gone(&error), expected, "{error:#}");
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        check(anyhow!("x"), false);
        check(pipe().into(), false);
        check(mark(pipe()).into(), true);
        check(Err::<(), _>(mark(pipe())).context("while writing").unwrap_err(), true);
        check(mark(io::Error::from(io::ErrorKind::StorageFull)).into(), false);
    }
}
