//! Several files of history as one, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::anyhow;
use verge_codec::Decoders;
use verge_domain::reading::{Decoded, Inbound, Reading, SourceIndex};
use verge_domain::stage::Decoder;
use verge_domain::time::UtcMillis;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{JudgeSection, ReadingRules, Settings};
use verge_gateway::wiring;

use super::tables::{self, TableReport, TableUse};
use super::{InputArgs, is_table, samples, samples_in};
use crate::cli::recording::{Recorded, Recording};

/// A message that lies this much before the one in front of it is out of order: clocks of recorders are corrected by less.
const BACKWARDS: i64 = 60_000;
/// What lies further ahead of now is in the future.
const AHEAD: i64 = 300_000;

/// The messages of one file, with the numbers of their lines.
pub(super) type Messages = Box<dyn Iterator<Item = anyhow::Result<(usize, Recorded)>>>;

/// One file.
pub(super) struct InputFile {
    pub(super) path: PathBuf,
    /// Set where there are no topics that identify sources.
    pub(super) source: Option<SourceIndex>,
    pub(super) decoders: Decoders,
    pub(super) messages: Messages,
    pub(super) table: Option<TableReport>,
}

/// The codecs of all files, of which that of the present file is at work.
pub(super) struct SwitchedDecoders {
    of_files: Vec<Decoders>,
    present: Arc<AtomicUsize>,
}

impl Decoder for SwitchedDecoders {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        match self.of_files.get_mut(self.present.load(Ordering::Relaxed)) {
            Some(decoders) => decoders.decode(message, out),
            None => out.clear(),
        }
    }
}

/// What is left out of a history.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    pub(super) backwards: u64,
    pub(super) future: u64,
    /// File and line of the first.
    first: Option<String>,
}

impl PassedOver {
    pub(super) fn words(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let mut parts = Vec::new();
        if self.backwards > 0 {
            parts.push(format!(
                "{} before the one in front of it (sort the file by time, or give its parts as files)",
                lie(self.backwards)
            ));
        }
        if self.future > 0 {
            parts.push(format!("{} in the future (is a clock or a time zone wrong?)", lie(self.future)));
        }
        Some(format!("left out: {}; first {first}", parts.join("; ")))
    }
}

fn lie(messages: u64) -> String {
    if messages == 1 { "1 message lies".to_owned() } else { format!("{messages} messages lie") }
}

/// All files, merged by time.
pub(super) struct History {
    files: Vec<(PathBuf, Option<SourceIndex>, Messages)>,
    present: Arc<AtomicUsize>,
    /// The next message of each file, the earliest first.
    heads: BinaryHeap<Reverse<(UtcMillis, usize)>>,
    next: Vec<Option<(usize, Recorded)>>,
    until: UtcMillis,
    latest: Option<UtcMillis>,
    pub(super) first: Option<UtcMillis>,
    pub(super) passed_over: PassedOver,
}

impl History {
    /// Opens the files of a history that ends now.
    ///
    /// # Errors
    /// One cannot be read, or is given twice.
    pub(super) fn open(
        inputs: (&InputArgs, &[PathBuf]),
        settings: &Settings,
        (judge, rules): (&JudgeSection, &ReadingRules),
        json: bool,
        now: UtcMillis,
    ) -> anyhow::Result<(Self, SwitchedDecoders)> {
        let (args, paths) = inputs;
        refuse_repeated(paths).exit_with(Exit::Usage)?;
        let (mut files, mut of_files) = (Vec::new(), Vec::new());
        for path in paths {
            let InputFile { path, source, decoders, messages, .. } =
                open(args, settings, (judge, rules), json, path)?;
            files.push((path, source, messages));
            of_files.push(decoders);
        }
        let present = Arc::new(AtomicUsize::new(0));
        let mut history = Self {
            next: files.iter().map(|_| None).collect(),
            files,
            present: Arc::clone(&present),
            heads: BinaryHeap::new(),
            until: UtcMillis(now.0.saturating_add(AHEAD)),
            latest: None,
            first: None,
            passed_over: PassedOver::default(),
        };
        for file in 0..history.files.len() {
            history.advance(file)?;
        }
        Ok((history, SwitchedDecoders { of_files, present }))
    }

    /// The time of the last message.
    pub(super) fn last(&self) -> Option<UtcMillis> {
        self.latest
    }

    /// Reads the next message of a file that is of use.
    fn advance(&mut self, file: usize) -> anyhow::Result<()> {
        while let Some(read) = self.files[file].2.next() {
            let (line, recorded) = read.exit_with(Exit::BadInput)?;
            let at = recorded.time;
            let is_future = at > self.until;
            let is_backwards = self.latest.is_some_and(|latest| at.0 < latest.0.saturating_sub(BACKWARDS));
            if !is_future && !is_backwards {
                self.heads.push(Reverse((at, file)));
                self.next[file] = Some((line, recorded));
                return Ok(());
            }
            let passed_over = &mut self.passed_over;
            passed_over.future += u64::from(is_future);
            passed_over.backwards += u64::from(is_backwards);
            let path = &self.files[file].0;
            passed_over.first.get_or_insert_with(|| format!("{}, line {line}", path.display()));
        }
        Ok(())
    }

    /// The next message in the order of time, with its line and the source that takes it where its topic does not say so.
    /// The codec of its file is at work then.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(usize, Recorded, Option<SourceIndex>)>> {
        let Some(Reverse((at, file))) = self.heads.pop() else { return Ok(None) };
        let Some((line, recorded)) = self.next[file].take() else { return Ok(None) };
        self.latest = self.latest.max(Some(at));
        self.first.get_or_insert(at);
        self.advance(file)?;
        self.present.store(file, Ordering::Relaxed);
        Ok(Some((line, recorded, self.files[file].1)))
    }
}

fn open(
    args: &InputArgs,
    settings: &Settings,
    (judge, rules): (&JudgeSection, &ReadingRules),
    json: bool,
    path: &Path,
) -> anyhow::Result<InputFile> {
    if let Some(element) = samples_in(path) {
        return samples::open(args, settings, rules, element, path);
    }
    if is_table(path) {
        return tables::open(args, settings, judge, path, TableUse::Lesson { json });
    }
    let messages: Messages = Box::new(Recording::open(path).exit_with(Exit::BadInput)?);
    Ok(InputFile {
        path: path.to_owned(),
        source: None,
        decoders: wiring::decoders(settings)?,
        messages,
        table: None,
    })
}

/// The same readings twice would teach twice.
fn refuse_repeated(paths: &[PathBuf]) -> anyhow::Result<()> {
    let mut real: Vec<PathBuf> =
        paths.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect();
    real.sort();
    match real.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(anyhow!("{} is given twice", two[0].display())),
        None => Ok(()),
    }
}
