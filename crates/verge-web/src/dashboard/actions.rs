//! What people did by pages and the interface: who, when, what, about what. Kept in a file of the state folder, so that it
//! outlives a restart, and followed by the stream.
//!
//! An action is recorded once it is carried out. What was refused is not: whoever may not act cannot fill the record.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use verge_domain::time::UtcMillis;

use super::site::Site;

/// Actions that can be listed.
const KEPT: usize = 1_000;
/// A file that is longer becomes the one before, of which there is one.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Longest line; of a longer action it is not said what it was about.
const MAX_LINE_BYTES: usize = 4_096;
const FILE: &str = "actions.jsonl";
const BEFORE: &str = "actions.1.jsonl";

verge_domain::words! {
    /// What was done.
    pub enum ActionWord {
        /// An alarm was acknowledged.
        Acknowledge = "acknowledge",
        /// An alarm was taken off the list.
        Shelve = "shelve",
        /// It was put back.
        Unshelve = "unshelve",
        /// It was said what an alarm was.
        Label = "label",
        /// Maintenance began or ended.
        Maintenance = "maintenance",
        /// Verdicts were sent again.
        Replay = "replay",
        /// Lines, zones and masks were drawn.
        Draw = "draw",
        /// The last drawing was taken back.
        Undo = "undo",
        /// The configuration was taken up.
        Reload = "reload",
        /// Somebody logged in.
        Login = "login",
        /// Somebody logged out.
        Logout = "logout",
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Action {
    /// From 1 on, in order, over restarts.
    pub(crate) number: u64,
    /// UTC ms.
    pub(crate) at: i64,
    /// The name of the login.
    pub(crate) who: String,
    /// One of [`ActionWord`]; of a later version perhaps another.
    pub(crate) what: String,
    /// Names and numbers of it, by what it is.
    pub(crate) about: Value,
}

/// The record.
#[derive(Debug)]
pub(crate) struct ActionLog {
    folder: PathBuf,
    /// Held from the number of an action until it is listed: actions are written in the order of their numbers.
    writing: Mutex<()>,
    /// Held for moments, never while the file is written: the thread of the connections waits for it.
    state: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    newest: VecDeque<Arc<Action>>,
    last: u64,
}

impl ActionLog {
    /// Of a state folder. Lines that cannot be read are passed over.
    pub(super) fn open(folder: &Path) -> Self {
        let mut state = Recorded::default();
        for name in [BEFORE, FILE] {
            match read(&folder.join(name)) {
                Ok(text) => {
                    let mut unread = 0_usize;
                    for line in text.lines().filter(|line| !line.is_empty()) {
                        match serde_json::from_str::<Action>(line) {
                            Ok(action) => state.keep(Arc::new(action)),
                            Err(_) => unread += 1,
                        }
                    }
                    if unread > 0 {
                        tracing::warn!(
                            file = name,
                            lines = unread,
                            "lines of the record of actions cannot be read"
                        );
                    }
                }
                Err(error) => tracing::error!(file = name, %error, "the record of actions cannot be read"),
            }
        }
        Self { folder: folder.to_owned(), writing: Mutex::default(), state: Mutex::new(state) }
    }

    /// Records one. It is durable afterwards, unless the log says that it cannot be written.
    fn add(&self, at: UtcMillis, who: &str, what: ActionWord, about: Value) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.last() + 1;
        let mut action =
            Action { number, at: at.0, who: who.to_owned(), what: what.as_str().to_owned(), about };
        let mut line = line_of(&action);
        if line.len() > MAX_LINE_BYTES {
            action.about = json!({});
            line = line_of(&action);
        }
        if let Err(error) = append(&self.folder, &line) {
            tracing::error!(%error, who, %what, "an action cannot be recorded in {FILE}: it is listed until the gateway stops");
        }
        self.lock().keep(Arc::new(action));
    }

    /// The number of the newest.
    pub(crate) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Those behind a number, in order, that are still kept.
    pub(crate) fn behind(&self, number: u64) -> Vec<Arc<Action>> {
        self.lock().newest.iter().filter(|action| action.number > number).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    fn keep(&mut self, action: Arc<Action>) {
        self.last = self.last.max(action.number);
        if self.newest.len() == KEPT {
            self.newest.pop_front();
        }
        self.newest.push_back(action);
    }
}

fn line_of(action: &Action) -> String {
    let mut line = serde_json::to_string(action).expect("texts and numbers are JSON");
    line.push('\n');
    line
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(MAX_FILE_BYTES + MAX_LINE_BYTES as u64).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Adds a line, after what a cut may have left of the one before.
fn append(folder: &Path, line: &str) -> io::Result<()> {
    let path = folder.join(FILE);
    if fs::metadata(&path).is_ok_and(|file| file.len() >= MAX_FILE_BYTES) {
        fs::rename(&path, folder.join(BEFORE))?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let begin = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{begin}{line}").as_bytes())?;
    file.sync_data()?;
    if length == 0 { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

impl Site {
    /// Records what somebody did; it is durable before he is answered.
    pub(crate) async fn record(&self, who: &str, what: ActionWord, about: Value) {
        let (log, at, who) = (Arc::clone(&self.actions), self.live.now().wall, who.to_owned());
        let recorded = tokio::task::spawn_blocking(move || log.add(at, &who, what, about)).await;
        if let Err(error) = recorded {
            tracing::error!(%error, %what, "an action was not recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(log: &ActionLog, who: &str) {
        log.add(UtcMillis(7), who, ActionWord::Label, json!({ "device": "pump-1" }));
    }

    #[test]
    fn actions_outlive_a_restart_and_a_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let log = ActionLog::open(folder.path());
        assert_eq!((log.last(), log.behind(0).len()), (0, 0));
        add(&log, "anna");
        add(&log, "an\n\u{202e}na");
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let log = ActionLog::open(folder.path());
        assert_eq!((log.last(), log.behind(0).len()), (1, 1), "the second was cut");
        add(&log, "ben");
        let again = ActionLog::open(folder.path());
        let known: Vec<_> =
            again.behind(0).iter().map(|action| (action.number, action.who.clone())).collect();
        assert_eq!(known, [(1, "anna".to_owned()), (2, "ben".to_owned())]);
        assert_eq!(again.behind(1)[0].about, json!({ "device": "pump-1" }));
    }

    #[test]
    fn the_record_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = ActionLog::open(folder.path());
        log.add(UtcMillis(7), "anna", ActionWord::Draw, json!({ "note": "x".repeat(2 * MAX_LINE_BYTES) }));
        assert_eq!(log.behind(0)[0].about, json!({}));
        let file = OpenOptions::new().write(true).open(folder.path().join(FILE)).unwrap();
        file.set_len(MAX_FILE_BYTES).unwrap();
        add(&log, "ben");
        assert!(fs::metadata(folder.path().join(FILE)).unwrap().len() < 200, "a new file");
        assert!(folder.path().join(BEFORE).exists());
        let last = Arc::clone(&log.behind(1)[0]);
        for _ in 0..KEPT {
            log.state.lock().unwrap().keep(Arc::clone(&last));
        }
        assert_eq!(log.behind(0).len(), KEPT);
        assert_eq!(ActionLog::open(folder.path()).last(), 2);
    }

    #[test]
    fn the_list_can_be_read_while_an_action_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let log = ActionLog::open(folder.path());
        add(&log, "anna");
        let _writing = log.writing.lock().unwrap();
        assert_eq!((log.last(), log.behind(0).len()), (1, 1));
    }

    #[test]
    fn what_cannot_be_written_is_still_listed() {
        let folder = tempfile::tempdir().unwrap();
        let log = ActionLog::open(folder.path());
        fs::create_dir(folder.path().join(FILE)).unwrap();
        add(&log, "anna");
        assert_eq!(log.behind(0).len(), 1);
    }
}
