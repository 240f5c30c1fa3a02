//! Checking another configuration, and taking up the file: for pages and the interface alike.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;
use tokio::sync::oneshot;
use verge_domain::configured::{CheckedConfiguration, ReloadOutcome, ReloadReply};

use super::access::Who;
use super::actions::ActionWord;
use super::command::operator;
use super::problem::Problem;
use super::shown::Shown;
use super::site::{Site, to_its_end};

/// What takes longer is answered as unconfirmed: it goes on, and the log says how it ended. Less than what a request may take.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(9);
/// Lines of its report that are recorded.
const MAX_RECORDED: usize = 16;

/// Checks a configuration, off the thread of the connections and one at a time: it takes as long as the text is long.
pub(crate) async fn check(site: &Arc<Site>, text: Bytes) -> Result<CheckedConfiguration, Problem> {
    let turn = Arc::clone(&site.checking).acquire_owned().await;
    let site = Arc::clone(site);
    let check = move || {
        let _turn = turn;
        site.live.configured().check(&text)
    };
    tokio::task::spawn_blocking(check).await.map_err(|_| Problem::Unavailable("the check failed"))
}

/// Lets the gateway take up its file, or say what would change.
pub(crate) async fn reload(site: &Arc<Site>, who: &Who, dry_run: bool) -> Result<ReloadReply, Problem> {
    let (done, reply) = oneshot::channel();
    // Nobody waits any more if this fails.
    let done = Box::new(move |reply| drop(done.send(reply)));
    if !site.live.configured().reload(dry_run, &operator(who), done) {
        return Err(Problem::Unavailable("another reload waits, or this program does not reload"));
    }
    let (site, user) = (Arc::clone(site), who.user.clone());
    to_its_end(CONFIRMED_WITHIN, async move {
        let reply = reply.await.map_err(|_| Problem::Unavailable("it stops"))?;
        if reply.outcome == ReloadOutcome::Done && !dry_run {
            let lines = reply.words.iter().skip(1).take(MAX_RECORDED).map(|line| Shown::sentence(line).text);
            let changed = lines.collect::<Vec<_>>();
            let more = reply.words.len().saturating_sub(1 + MAX_RECORDED);
            site.record(&user, ActionWord::Reload, json!({ "changed": changed, "more": more })).await;
        }
        Ok(reply)
    })
    .await
}
