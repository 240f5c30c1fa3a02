//! The demo's output: a live table on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::RouteCounters;

use super::tally::Arrived;
use super::wan::Wan;

/// How often the table is drawn, or a line is printed where there is no terminal.
const REDRAW: Duration = Duration::from_millis(250);
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Where the demo's output goes.
pub(super) struct Screen {
    live: bool,
    drawn_lines: usize,
    last: Option<Instant>,
}

/// Everything that is shown.
pub(super) struct ScreenContent<'a> {
    pub(super) elapsed: Duration,
    pub(super) run: Duration,
    pub(super) counters: &'a Counters,
    pub(super) route: &'a RouteCounters,
    pub(super) tally: &'a Arrived,
    pub(super) wan: &'a Wan,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { live: io::stdout().is_terminal(), drawn_lines: 0, last: None }
    }

    /// Time until the next drawing.
    pub(super) const fn period() -> Duration {
        REDRAW
    }

    /// A line that stays: on a terminal verdicts appear in the table instead.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        if self.live { Ok(()) } else { writeln!(io::stdout(), "{line}") }
    }

    /// A line that stays, on a terminal too: a step before the run, which may take its time, or what people are to open.
    pub(super) fn always(&mut self, line: &str) {
        // Where standard output is closed the next line fails.
        drop(writeln!(io::stdout(), "{line}"));
    }

    /// Draws the table, or prints a line of totals when it is time.
    pub(super) fn draw(&mut self, view: &ScreenContent<'_>, now: Instant) -> io::Result<()> {
        if self.live {
            let text = table(view, now);
            let mut out = io::stdout().lock();
            if self.drawn_lines > 0 {
                // Cursor up over the last table, clear to the end of the screen.
                write!(out, "\x1b[{}A\x1b[0J", self.drawn_lines)?;
            }
            out.write_all(text.as_bytes())?;
            self.drawn_lines = text.lines().count();
            return out.flush();
        }
        if self.last.is_none_or(|last| now.duration_since(last) >= PLAIN_EVERY) {
            self.last = Some(now);
            return writeln!(io::stdout(), "{}", totals(view, now));
        }
        Ok(())
    }
}

fn totals(view: &ScreenContent<'_>, now: Instant) -> String {
    let readings: u64 = view.counters.sources().iter().map(|source| source.readings_judged_total.get()).sum();
    let frames: u64 = view.counters.sources().iter().map(|source| source.frames_judged_total.get()).sum();
    let kinds: Vec<String> =
        view.tally.by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let age = view.tally.age_s(now).map_or("none yet".to_owned(), |age| format!("newest {age:.1} s old"));
    format!(
        "{:>3} s  {readings} readings and {frames} frames judged, {} upstream ({age}), {} raised, {} cleared; {}",
        view.elapsed.as_secs(),
        if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") },
        view.tally.raised,
        view.tally.cleared,
        ledger(view)
    )
}

/// "received 4.8 MB, sent 3.1 kB, 1 : 1,550".
pub(super) fn ledger(view: &ScreenContent<'_>) -> String {
    let received: u64 = view.counters.sources().iter().map(|source| source.bytes_received_total.get()).sum();
    let sent = view.route.bytes_offered_total.get();
    let ratio = received.checked_div(sent).map_or(String::new(), |ratio| format!(", 1 : {ratio}"));
    format!("received {}, sent {}{ratio}", bytes(received), bytes(sent))
}

/// "a frame costs 41.2 kB, a verdict 63 B": what the uplink is spared. Nothing before both are known.
pub(super) fn costs(view: &ScreenContent<'_>) -> Option<String> {
    let sources = view.counters.sources().iter().filter(|source| source.frames_judged_total.get() > 0);
    let (frames, received) = sources.fold((0, 0), |(frames, received), source| {
        (frames + source.messages_received_total.get(), received + source.bytes_received_total.get())
    });
    let (verdicts, ..) = view.tally.sequence_totals();
    let (frame, verdict) =
        (received.checked_div(frames)?, view.route.bytes_offered_total.get().checked_div(verdicts)?);
    Some(format!("a frame costs {}, a verdict {} on the uplink", bytes(frame), bytes(verdict)))
}

/// "frames begun 8 ms (p99 21 ms) after they came, judged within 14 ms (p99 30 ms)".
fn ages(counters: &Counters) -> Option<String> {
    let (age, judging) = (counters.frame_age.percentiles()?, counters.frame_judging.percentiles()?);
    let millis = |span: Duration| format!("{:.0} ms", span.as_secs_f64() * 1000.0);
    Some(format!(
        "frames: begun {} after they came (p99 {}), judged in {} (p99 {})",
        millis(age.p50),
        millis(age.p99),
        millis(judging.p50),
        millis(judging.p99)
    ))
}

fn bytes(count: u64) -> String {
    ByteSize(count).display().si().to_string()
}

fn table(view: &ScreenContent<'_>, now: Instant) -> String {
    let mut text = format!("Verge demo   {} of {} s\n\n", view.elapsed.as_secs(), view.run.as_secs());
    let row = |cells: [String; 5]| {
        let [source, messages, judged, superseded, refused] = cells;
        format!("  {source:<10} {messages:>10} {judged:>10} {superseded:>10} {refused:>10}\n")
    };
    text += &row(["source", "messages", "judged", "superseded", "refused"].map(str::to_owned));
    for source in view.counters.sources() {
        // Of a message with several readings each is judged.
        let judged = source.readings_judged_total.get() + source.frames_judged_total.get();
        text += &row([
            source.name.to_string(),
            source.messages_received_total.get().to_string(),
            judged.to_string(),
            source.messages_superseded_total.get().to_string(),
            source.messages_refused_total.get().to_string(),
        ]);
    }
    if let Some(ages) = ages(view.counters) {
        text += &format!("  {ages}\n");
    }
    text += "\n  upstream, over mutual TLS\n";
    for (kind, count) in &view.tally.by_kind {
        text += &format!("  {kind:<10} {count:>10}\n");
    }
    if let Some(seen) = view.tally.seen_objects() {
        text += &format!("  now in sight: {seen}\n");
    }
    for line in view.tally.counted.table() {
        text += &format!("  {line}\n");
    }
    let age = view.tally.age_s(now).map_or("none yet".to_owned(), |age| format!("{age:.1} s ago"));
    text += &format!(
        "  alarms: {} raised, {} cleared; newest verdict {age}; {} stored and not yet acknowledged{}\n  {}\n\n",
        view.tally.raised,
        view.tally.cleared,
        view.route.backlog(),
        if view.wan.is_cut() { " (the uplink is cut)" } else { "" },
        ledger(view)
    );
    if let Some(costs) = costs(view) {
        text.insert_str(text.len() - 1, &format!("  {costs}\n"));
    }
    for line in &view.tally.lines {
        text += &format!("  {}\n", fitted(line));
    }
    text
}

/// A line that wraps would upset the count of lines to go back.
fn fitted(line: &str) -> String {
    let width = terminal_width().saturating_sub(3);
    if line.chars().count() <= width {
        line.to_owned()
    } else {
        line.chars().take(width - 1).chain(['…']).collect()
    }
}

fn terminal_width() -> usize {
    terminal_size::terminal_size()
        .map_or(100, |(terminal_size::Width(columns), _)| usize::from(columns).max(40))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_in_units_people_use() {
        let check = |count: u64, text: &str| assert_eq!(bytes(count), text);
        check(999, "999 B");
        check(3_140, "3.1 kB");
        check(4_860_000, "4.9 MB");
    }
}
