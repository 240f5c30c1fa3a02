//! A thread with a runtime of its own, for a connection that may rest its thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use verge_pipeline::beats::{BEAT_EVERY, Beat, Beats};

/// Niceness of a thread that gives way.
const BEHIND: i32 = 5;

/// The thread. Dropping it ends the tasks on it.
pub(crate) struct IoThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    /// `None` where nobody waits for its end.
    thread: Option<JoinHandle<()>>,
}

impl IoThread {
    /// Starts it. It beats while what runs on it gives way.
    pub(crate) fn start(name: &str, beats: &Arc<Beats>) -> anyhow::Result<Self> {
        Self::start_as(name, Some(beats.join(name)), || ())
    }

    /// Starts one that gives way to the threads that judge and deliver.
    pub(crate) fn start_behind(name: &str, beats: &Arc<Beats>) -> anyhow::Result<Self> {
        Self::start_as(name, Some(beats.join(name)), || {
            // Of this thread alone, as Linux has it; where it is refused, nothing is lost but the order.
            if let Err(error) = rustix::process::nice(BEHIND) {
                tracing::debug!(%error, "a thread keeps its priority");
            }
        })
    }

    /// Starts one of which no beat is expected, and whose end nobody waits for: what runs on it waits for file systems, and a share
    /// that hangs is no reason to start the gateway again, nor to delay its stop.
    pub(crate) fn start_unwatched(name: &str) -> anyhow::Result<Self> {
        let mut started = Self::start_as(name, None, || ())?;
        drop(started.thread.take());
        Ok(started)
    }

    fn start_as(
        name: &str,
        beat: Option<Arc<Beat>>,
        begin: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        let handle = runtime.handle().clone();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            // A dropped sender is a stop, too.
            .spawn(move || {
                begin();
                runtime.block_on(async {
                    while tokio::time::timeout(BEAT_EVERY, &mut stopped).await.is_err() {
                        beat.iter().for_each(|beat| beat.beat());
                    }
                });
            })
            .context("cannot start a thread")?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs this on the thread and waits for its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.handle.spawn(future).await.context("a connection's thread")
    }

    /// Runs this with the thread's runtime as the one that tasks are spawned on.
    pub(crate) fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        let _entered = self.handle.enter();
        run()
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a connection's thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tasks_run_on_the_thread_and_end_with_it() {
        let beats = Arc::default();
        let thread = IoThread::start("io-test", &beats).unwrap();
        assert_eq!(beats.look(false).len(), 1);
        let (report, name) = std::sync::mpsc::channel();
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        thread.within(|| {
            tokio::spawn(async move {
                report.send(std::thread::current().name().map(str::to_owned)).unwrap();
                std::future::pending::<()>().await;
                drop(alive);
            })
        });
        assert_eq!(name.recv_timeout(Duration::from_secs(10)).unwrap().as_deref(), Some("io-test"));
        drop(thread);
        assert!(ended.recv_timeout(Duration::from_secs(10)).is_err(), "dropped with its task");
        assert!(beats.look(false).is_empty());
    }

    #[test]
    fn a_thread_that_gives_way_does_so_alone() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let thread = IoThread::start_behind("io-test", &Arc::default()).unwrap();
        let (report, reported) = std::sync::mpsc::channel();
        thread.within(|| tokio::spawn(async move { report.send(niceness()).unwrap() }));
        let behind = reported.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!((behind, niceness()), ((before + BEHIND).min(19), before));
    }

    #[test]
    fn nobody_waits_for_a_thread_that_is_not_watched() {
        let thread = IoThread::start_unwatched("io-test").unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        thread.within(|| {
            tokio::spawn(async move {
                begun.send(()).unwrap();
                // As a write to a share that does not answer.
                released.recv_timeout(Duration::from_secs(30)).unwrap_or(());
            })
        });
        begins.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(thread);
        assert!(release.send(()).is_ok(), "it still stands");
    }
}
