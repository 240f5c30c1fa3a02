//! Requests for a reload, whichever way they come: by the socket in the state folder, or from within: the dashboard, and what
//! people draw.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::BufStream;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use verge_domain::configured::ReloadReply;
use verge_domain::id::OperatorText;

use super::{ReloadAnswer, door};

/// Someone who asks for a reload.
pub struct ReloadRequest {
    /// The file that is to be read, which must be the one that the gateway runs with; `None`: that one.
    pub file: Option<PathBuf>,
    /// Only to say what would change.
    pub dry_run: bool,
    /// Who asks, where that is a login of the dashboard.
    pub by: Option<OperatorText>,
    /// The gateway takes up again what it runs with: a version of a model has changed, and nobody asks for the file.
    pub again: bool,
    pub(super) reply: Reply,
}

/// Called once with the answer, or dropped uncalled where the gateway stops before. It must not block.
pub(crate) type AnswerDone = Box<dyn FnOnce(&ReloadAnswer) + Send>;

/// Where the answer goes.
pub(super) enum Reply {
    Socket(BufStream<UnixStream>),
    Within(AnswerDone),
}

impl ReloadRequest {
    /// Answers. One who has left is not waited for.
    pub async fn answer(self, answer: &ReloadAnswer) {
        match self.reply {
            Reply::Socket(stream) => door::answer(stream, answer).await,
            Reply::Within(done) => done(answer),
        }
    }
}

/// The answer as the dashboard takes it.
pub(crate) fn reply_of(answer: &ReloadAnswer) -> ReloadReply {
    let report = serde_json::to_vec(answer).expect("names, text and finite numbers");
    ReloadReply { outcome: answer.outcome(), words: answer.words(), report: Bytes::from(report) }
}

/// Where parts of the gateway itself ask. Until whoever runs the gateway takes requests, each is refused at once.
#[derive(Default)]
pub(crate) struct ReloadDesk(Mutex<Option<mpsc::Sender<ReloadRequest>>>);

/// Requests from within, for whoever runs the gateway.
pub struct ReloadRequests(mpsc::Receiver<ReloadRequest>);

impl ReloadDesk {
    /// Takes requests from now on. One waits at most.
    pub(crate) fn open(&self) -> ReloadRequests {
        let (sender, receiver) = mpsc::channel(1);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        ReloadRequests(receiver)
    }

    /// Hands one in. `false`: nobody takes any, or one waits already.
    pub(crate) fn submit(&self, dry_run: bool, by: &OperatorText, done: AnswerDone) -> bool {
        let (by, reply) = (Some(by.clone()), Reply::Within(done));
        self.hand_in(ReloadRequest { file: None, dry_run, by, again: false, reply })
    }

    /// The same of what runs, without its file. `false`: see [`Self::submit`].
    pub(crate) fn submit_again(&self, done: AnswerDone) -> bool {
        let reply = Reply::Within(done);
        self.hand_in(ReloadRequest { file: None, dry_run: false, by: None, again: true, reply })
    }

    fn hand_in(&self, request: ReloadRequest) -> bool {
        let desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        desk.as_ref().is_some_and(|desk| desk.try_send(request).is_ok())
    }
}

impl ReloadRequests {
    /// The next one.
    pub async fn next(&mut self) -> ReloadRequest {
        match self.0.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use verge_domain::configured::ReloadOutcome;

    use super::*;

    #[tokio::test]
    async fn the_dashboard_is_answered_and_nobody_waits_where_nobody_reloads() {
        let (desk, by) = (ReloadDesk::default(), OperatorText::new("dashboard: anna").unwrap());
        let replies = Arc::new(Mutex::new(Vec::new()));
        let done = || -> AnswerDone {
            let replies = Arc::clone(&replies);
            Box::new(move |answer: &ReloadAnswer| replies.lock().unwrap().push(reply_of(answer)))
        };
        assert!(!desk.submit(true, &by, done()), "nobody takes requests yet");
        let mut requests = desk.open();
        assert!(desk.submit(true, &by, done()));
        assert!(!desk.submit(false, &by, done()), "one waits already");
        let request = requests.next().await;
        assert_eq!((request.file.as_deref(), request.dry_run, request.by.as_ref()), (None, true, Some(&by)));
        request.answer(&ReloadAnswer::Faulty { faults: vec!["x".to_owned()] }).await;
        let replies = replies.lock().unwrap();
        assert_eq!((replies.len(), replies[0].outcome), (1, ReloadOutcome::Faulty));
        assert_eq!(replies[0].words, ["not reloaded, nothing has changed: the configuration is wrong", "x"]);
    }
}
