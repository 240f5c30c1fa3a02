//! What ends only by a fault while a gateway runs.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use verge_pipeline::frames::FrameWorkers;

use super::Gateway;

/// How often the gateway checks that it still holds its lock: another one on the same state would be a disaster.
const LOCK_LOOK: Duration = Duration::from_millis(500);

impl Gateway {
    /// Waits until one of the gateway's own threads or tasks has ended, which only a fault can cause. Returns which.
    pub async fn failed(&self) -> &'static str {
        type End<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
        let mut ends: Vec<(&'static str, End<'_>)> = vec![
            ("the store's thread", Box::pin(self.committer.ended())),
            ("the lock of the state folder", Box::pin(self.lock_lost())),
        ];
        ends.extend(self.judging.iter().map(|one| ("a judging thread", Box::pin(one.ended()) as End<'_>)));
        ends.extend(
            self.sources.0.iter().map(|one| ("a connection's task", Box::pin(one.ended()) as End<'_>)),
        );
        ends.extend(self.deliveries.iter().map(|one| ("a delivery", Box::pin(one.ended()) as End<'_>)));
        ends.extend(self.broker.iter().map(|one| ("the embedded broker", Box::pin(one.ended()) as End<'_>)));
        let workers = self.workers.iter().flat_map(FrameWorkers::ended);
        ends.extend(workers.map(|one| ("a frame worker", Box::pin(one) as End<'_>)));
        poll_fn(|context| {
            let ended = ends
                .iter_mut()
                .find_map(|(what, end)| end.as_mut().poll(context).is_ready().then_some(*what));
            ended.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    async fn lock_lost(&self) {
        while self.lock.holds().is_ok() {
            tokio::time::sleep(LOCK_LOOK).await;
        }
    }
}
