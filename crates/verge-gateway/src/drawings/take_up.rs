//! How what is drawn becomes the configuration at work: checked, stored, taken up by whoever runs the gateway. All of it or
//! nothing, and nothing else with it.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use verge_domain::id::OperatorText;
use verge_domain::live::DrawingError;

use super::DrawnFile;
use crate::config::DrawnLayer;
use crate::reload::{ReloadAnswer, ReloadDesk};
use crate::settings::{ConfigurationError, Settings};

/// How long a reload may take: a full store holds the judges up.
const LONGEST: Duration = Duration::from_secs(120);

/// Takes up what is drawn.
pub(crate) struct TakeUp {
    /// The configuration's file.
    configuration: PathBuf,
    file: DrawnFile,
    desk: Arc<ReloadDesk>,
}

/// Why there is no answer.
enum NoAnswer {
    /// The request was not taken.
    NotTaken,
    /// It was taken, and nobody knows what became of it.
    Unknown,
}

/// What was attempted did not work.
pub(crate) fn failed(what: &str, error: impl std::fmt::Display) -> DrawingError {
    DrawingError::Failed(format!("{what}: {error}"))
}

impl TakeUp {
    pub(crate) fn new(configuration: PathBuf, file: DrawnFile, desk: Arc<ReloadDesk>) -> Self {
        Self { configuration, file, desk }
    }

    /// Stores a text, and lets the gateway take it up. Blocks until it has answered. Where it refuses, the file is as it was.
    pub(crate) fn take_up(&self, text: &str, by: &str) -> Result<(), DrawingError> {
        let layer = DrawnLayer { path: self.file.path(), bytes: text.as_bytes().to_vec() };
        if let Err(error) = Settings::load_under(&self.configuration, &layer) {
            return Err(match error {
                ConfigurationError::Load(error) => failed("the configuration cannot be read", error),
                ConfigurationError::Faults { faults, .. } => {
                    DrawingError::Faulty(faults.iter().map(ToString::to_string).collect())
                }
            });
        }
        let by = OperatorText::new(&format!("dashboard: {by}"));
        let by = by.map_err(|error| failed("the name of the login", error))?;
        self.is_at_work(&by)?;
        let stored = |error| failed("what was drawn cannot be stored", error);
        self.file.write(text).map_err(stored)?;
        let why = match self.ask(false, &by) {
            Ok(answer) if answer.is_ok() => return Ok(()),
            Ok(answer) => refused(&answer),
            Err(NoAnswer::NotTaken) => not_taken(),
            Err(NoAnswer::Unknown) => {
                let what = "it is stored, but not confirmed: the gateway has not answered; look again";
                return Err(DrawingError::Failed(what.to_owned()));
            }
        };
        self.file.take_back().map_err(stored)?;
        Err(why)
    }

    /// Whether the configuration at work is that of the file: else what somebody else has written and not taken up yet would
    /// come with what is drawn.
    fn is_at_work(&self, by: &OperatorText) -> Result<(), DrawingError> {
        match self.ask(true, by) {
            Ok(ReloadAnswer::WouldReload(report)) if report.is_empty() => Ok(()),
            Ok(ReloadAnswer::WouldReload(_) | ReloadAnswer::NeedsRestart { .. }) => {
                Err(DrawingError::NotAtWork)
            }
            Ok(answer) => Err(refused(&answer)),
            Err(NoAnswer::NotTaken) => Err(not_taken()),
            Err(NoAnswer::Unknown) => {
                Err(DrawingError::Failed("the gateway has not answered; nothing is stored".to_owned()))
            }
        }
    }

    fn ask(&self, dry_run: bool, by: &OperatorText) -> Result<ReloadAnswer, NoAnswer> {
        let (sender, answers) = mpsc::sync_channel(1);
        // Nobody waits any more if this fails.
        let done = Box::new(move |answer: &ReloadAnswer| drop(sender.try_send(answer.clone())));
        if !self.desk.submit(dry_run, by, done) {
            return Err(NoAnswer::NotTaken);
        }
        answers.recv_timeout(LONGEST).map_err(|_| NoAnswer::Unknown)
    }
}

fn refused(answer: &ReloadAnswer) -> DrawingError {
    match answer {
        ReloadAnswer::Faulty { faults } => DrawingError::Faulty(faults.clone()),
        other => DrawingError::Failed(other.words().join("; ")),
    }
}

fn not_taken() -> DrawingError {
    DrawingError::Failed("not saved: another reload waits, or this program does not reload".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::reload::{KeyChange, ReloadReport};
    use crate::sample::FILE;

    /// What a gateway answers, one after the other; `None`: it stops instead.
    async fn draw(
        folder: &Path,
        answers: Vec<Option<ReloadAnswer>>,
    ) -> (Result<(), DrawingError>, Vec<bool>) {
        let configuration = folder.join("gateway.toml");
        std::fs::write(&configuration, FILE).unwrap();
        std::fs::create_dir_all(folder.join("state")).unwrap();
        let desk = Arc::new(ReloadDesk::default());
        let take_up = TakeUp::new(configuration, DrawnFile::of(&folder.join("state")), Arc::clone(&desk));
        let serving = (!answers.is_empty()).then(|| {
            let mut requests = desk.open();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                for answer in answers {
                    let request = requests.next().await;
                    assert_eq!(request.by.as_ref().map(OperatorText::as_str), Some("dashboard: anna"));
                    asked.push(request.dry_run);
                    if let Some(answer) = answer {
                        request.answer(&answer).await;
                    }
                }
                asked
            })
        });
        let done = tokio::task::spawn_blocking(move || take_up.take_up("# drawn\n", "anna")).await.unwrap();
        let asked = match serving {
            Some(serving) => serving.await.unwrap(),
            None => Vec::new(),
        };
        (done, asked)
    }

    fn same() -> Option<ReloadAnswer> {
        Some(ReloadAnswer::WouldReload(ReloadReport::default()))
    }

    fn is_stored(folder: &Path) -> bool {
        std::fs::read_to_string(folder.join("state").join(crate::config::DRAWN_FILE))
            .is_ok_and(|it| !it.is_empty())
    }

    #[tokio::test]
    async fn what_the_gateway_takes_up_is_stored_and_what_it_refuses_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let failed = Some(ReloadAnswer::Failed { error: "the judges are busy".to_owned() });
        let (done, asked) = draw(folder.path(), vec![same(), failed]).await;
        let Err(DrawingError::Failed(why)) = done else { panic!("{done:?}") };
        assert!(why.contains("the judges are busy") && !is_stored(folder.path()), "{why}");
        assert_eq!(asked, [true, false]);
        let reloaded = Some(ReloadAnswer::Reloaded(ReloadReport::default()));
        let (done, _) = draw(folder.path(), vec![same(), reloaded]).await;
        assert_eq!((done, is_stored(folder.path())), (Ok(()), true));
    }

    #[tokio::test]
    async fn what_somebody_else_has_written_and_not_taken_up_does_not_come_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let changed = vec![KeyChange { key: "judge.high.above".to_owned(), ..KeyChange::default() }];
        let pending = ReloadReport { changed: changed.clone(), ..ReloadReport::default() };
        for answer in [ReloadAnswer::WouldReload(pending), ReloadAnswer::NeedsRestart { keys: changed }] {
            let (done, asked) = draw(folder.path(), vec![Some(answer)]).await;
            assert_eq!((done, asked), (Err(DrawingError::NotAtWork), vec![true]));
            assert!(!is_stored(folder.path()));
        }
    }

    #[tokio::test]
    async fn what_nobody_confirms_stays_stored_and_what_nobody_takes_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (done, _) = draw(folder.path(), Vec::new()).await;
        let Err(DrawingError::Failed(why)) = done else { panic!("{done:?}") };
        assert!(why.contains("does not reload") && !is_stored(folder.path()), "{why}");
        let (done, _) = draw(folder.path(), vec![None]).await;
        let Err(DrawingError::Failed(why)) = done else { panic!("{done:?}") };
        assert!(why.contains("nothing is stored") && !is_stored(folder.path()), "{why}");
        let (done, _) = draw(folder.path(), vec![same(), None]).await;
        let Err(DrawingError::Failed(why)) = done else { panic!("{done:?}") };
        assert!(why.contains("stored, but not confirmed") && is_stored(folder.path()), "{why}");
    }
}
