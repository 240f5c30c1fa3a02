//! Publications of DATEX II at work: what goes out by HTTP, and documents of the present state in a folder.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use verge_domain::board::Board;
use verge_domain::id::DeviceId;
use verge_domain::link::PublicationReport;
use verge_domain::stage::{EncodeError, Envelope, Form, StoredRow};
use verge_domain::time::Moment;
use verge_pipeline::clock::Clock;
use verge_traffic::datex2::DatexPublisher;
use verge_web::PushPreface;

use super::servers::Served;
use super::sparkplug::VerdictForm;
use crate::io_thread::IoThread;
use crate::settings::{DatexSnapshots, DatexUplink, Settings};

/// What became of the verdicts, for the status.
pub(super) type PublicationCounts = Arc<Mutex<PublicationReport>>;

/// Stored rows as documents.
pub(super) struct DatexForm {
    rows: VerdictForm,
    publisher: DatexPublisher,
    board: Arc<dyn Board>,
    clock: Clock,
    counts: PublicationCounts,
}

impl DatexForm {
    pub(super) fn new(datex2: &DatexUplink, board: Arc<dyn Board>, clock: Clock) -> Self {
        let publisher = DatexPublisher::new(Arc::clone(&datex2.publisher));
        let counts = Arc::new(Mutex::new(publisher.report()));
        Self { rows: VerdictForm, publisher, board, clock, counts }
    }

    pub(super) fn counts(&self) -> PublicationCounts {
        Arc::clone(&self.counts)
    }

    /// The table of places, which goes before anything else.
    pub(super) fn preface(&self) -> PushPreface {
        let (publisher, clock) = (self.publisher.clone(), self.clock);
        PushPreface {
            what: "the table of places (site_table = false leaves it out)",
            body: Arc::new(move || Bytes::from(publisher.table(clock.now().wall))),
        }
    }
}

impl Form for DatexForm {
    type Item = Vec<Bytes>;

    fn item(&mut self, envelope: &Envelope, rows: &[StoredRow]) -> Result<Vec<Bytes>, EncodeError> {
        let rows = self.rows.item(envelope, rows)?;
        let words = self.board.words(&|word| self.publisher.wants(word));
        let documents = self.publisher.documents(&rows, &words, self.clock.now().wall);
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = self.publisher.report();
        Ok(documents.into_iter().map(Bytes::from).collect())
    }

    fn bytes(item: &Vec<Bytes>) -> usize {
        item.iter().map(Bytes::len).sum()
    }
}

/// The documents of all uplinks that keep such in a folder. They are no longer made once it is dropped.
pub(super) struct SnapshotsAtWork {
    tasks: Vec<JoinHandle<()>>,
    _thread: IoThread,
}

impl SnapshotsAtWork {
    /// Starts those of a configuration, if it has any.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(settings: &Settings, served: &Served) -> anyhow::Result<Option<Self>> {
        let keeps = |datex2: &DatexUplink| Some((Arc::clone(&datex2.publisher), datex2.snapshots.clone()?));
        let all: Vec<_> = settings.publications.iter().filter_map(|files| keeps(&files.datex2)).collect();
        if all.is_empty() {
            return Ok(None);
        }
        // Files are written on it: a disk that is slow, or a share that hangs, rests nothing else.
        let thread = IoThread::start_unwatched("verge-datex2")?;
        let start = |(publisher, snapshots)| {
            let publisher = DatexPublisher::new(publisher);
            thread.within(|| tokio::spawn(keep(publisher, snapshots, served.clone())))
        };
        let tasks = all.into_iter().map(start).collect();
        Ok(Some(Self { tasks, _thread: thread }))
    }
}

impl Drop for SnapshotsAtWork {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn keep(publisher: DatexPublisher, snapshots: DatexSnapshots, served: Served) {
    let began = served.clock.now();
    let mut times = tokio::time::interval(snapshots.every);
    times.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut failed = false;
    loop {
        times.tick().await;
        match write_all(&publisher, &snapshots, &served, began) {
            Ok(()) => failed = false,
            Err(error) => {
                if !failed {
                    let folder = snapshots.folder.display();
                    tracing::warn!(%folder, "cannot write the documents of DATEX II (snapshot_dir): {error}");
                }
                failed = true;
            }
        }
    }
}

fn write_all(
    publisher: &DatexPublisher,
    snapshots: &DatexSnapshots,
    served: &Served,
    began: Moment,
) -> io::Result<()> {
    let now = served.clock.now();
    let words = served.board.words(&|_| true);
    let is_stale = |device: &DeviceId| {
        let received = served.watched.received_at_all(device).unwrap_or(began.mono);
        now.mono.since(received) >= snapshots.stale_after
    };
    let documents = publisher.present(&words, &is_stale, now.wall);
    replace(&snapshots.folder, "measurement-sites.xml", &documents.table)?;
    if let Some(measured) = &documents.measured {
        replace(&snapshots.folder, "measured-data.xml", measured)?;
    }
    replace(&snapshots.folder, "situations.xml", &documents.situations)
}

/// Who reads it sees the old content or the new one.
fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let fresh = folder.join(format!(".{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(content)?;
    drop(file);
    std::fs::rename(&fresh, folder.join(name))
}
