//! State topics at work: the book that follows the board, and the connection that keeps its messages with a broker.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use verge_domain::id::{DeviceId, GatewayId, JudgeId};
use verge_domain::image::{Heartbeat, HeldBack, InputAge, PointContent, PointSelector, PointsView};
use verge_domain::time::Moment;
use verge_mqtt::{ConnectionSettings, RetainedSettings, RetainedTopics};
use verge_pipeline::counters::MaintenanceWindow;
use verge_pipeline::judging::MAX_DEVICES;
use verge_pipeline::status::StatesStatus;

use super::links::OpenedUplink;
use super::servers::{Served, held_back};
use crate::io_thread::IoThread;
use crate::settings::{MqttUplink, Settings, StateTopics, Uplink, contents_of};
use crate::states::{MAX_POINTS, StateBook, is_ours};

/// The heart may rest for this long before the gateway is said to be away: a machine that is busy is not stuck.
const RESTS: u32 = 10;
/// Time for the last messages.
const GRACE: Duration = Duration::from_secs(2);

/// How the topics of an uplink are kept, for the gateway and for `verge check`.
pub fn states_settings(
    gateway: &GatewayId,
    mqtt: &MqttUplink,
    connection: &ConnectionSettings,
) -> Option<RetainedSettings> {
    let states = mqtt.states.as_ref()?;
    let (below, gateway) = (format!("{}/", states.root), gateway.clone());
    Some(RetainedSettings {
        connection: mqtt.states_connection(connection),
        presence: states.root.clone(),
        filters: states.filters(),
        is_own: Arc::new(move |topic| topic.starts_with(&below) || is_ours(topic, &gateway)),
        max_topics: MAX_POINTS + MAX_DEVICES,
    })
}

/// The state topics of all uplinks. They end with it.
pub(super) struct StateTopicsAtWork {
    uplinks: Vec<Arc<StatesOfUplink>>,
    tasks: Vec<JoinHandle<()>>,
    thread: IoThread,
}

struct StatesOfUplink {
    name: String,
    topics: RetainedTopics,
    book: Mutex<StateBook>,
    /// The judges at work have changed.
    reselect: Mutex<Option<HashMap<JudgeId, PointContent>>>,
    changed: Notify,
}

impl StatesOfUplink {
    fn book(&self) -> MutexGuard<'_, StateBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateTopicsAtWork {
    /// Starts those of a configuration, if it has any.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        settings: &Settings,
        opened: &[OpenedUplink],
        served: &Served,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let with_states = settings.uplinks.iter().zip(opened).filter_map(|(uplink, opened)| match opened {
            OpenedUplink::Mqtt(connection) => {
                let mqtt = uplink.mqtt()?;
                Some((
                    uplink,
                    mqtt.states.as_ref()?,
                    states_settings(&settings.gateway.id, mqtt, connection)?,
                ))
            }
            OpenedUplink::Http(_) | OpenedUplink::Sparkplug(_) | OpenedUplink::Rsmp(_) => None,
        });
        let all: Vec<(&Uplink, &StateTopics, RetainedSettings)> = with_states.collect();
        if all.is_empty() {
            return Ok(None);
        }
        let thread = IoThread::start("verge-states")?;
        let (mut uplinks, mut tasks) = (Vec::new(), Vec::new());
        for (uplink, states, retained) in all {
            let gateway = settings.gateway.id.clone();
            let before = served.board.raised_before();
            let book = StateBook::new(states.clone(), gateway, contents_of(&settings.judges), before);
            let one = Arc::new(StatesOfUplink {
                name: uplink.name.to_string(),
                topics: thread.within(|| RetainedTopics::spawn(retained)),
                book: Mutex::new(book),
                reselect: Mutex::default(),
                changed: Notify::new(),
            });
            let follow = follow(Arc::clone(&one), served.clone());
            tasks.push(thread.within(|| tokio::spawn(follow)));
            uplinks.push(one);
        }
        Ok(Some(Arc::new(Self { uplinks, tasks, thread })))
    }

    /// Other judges are at work.
    pub(super) fn take_up(&self, settings: &Settings) {
        for uplink in &self.uplinks {
            *uplink.reselect.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(contents_of(&settings.judges));
            uplink.changed.notify_one();
        }
    }

    /// What the status says of them.
    pub(super) fn status(&self) -> Vec<StatesStatus> {
        self.uplinks.iter().map(|uplink| status_of(uplink)).collect()
    }

    /// Says that the gateway is away, and leaves.
    pub(super) async fn stop(&self) -> anyhow::Result<()> {
        self.tasks.iter().for_each(JoinHandle::abort);
        for uplink in self.uplinks.clone() {
            self.thread.run(async move { uplink.topics.close(GRACE).await }).await?;
        }
        Ok(())
    }
}

fn status_of(uplink: &StatesOfUplink) -> StatesStatus {
    let report = uplink.topics.report();
    let (points, left_out) = uplink.book().counts();
    StatesStatus {
        uplink: uplink.name.clone(),
        connected: report.connected,
        online: report.present,
        points,
        topics: report.topics,
        waiting: report.waiting,
        published: report.published,
        refused: report.refused.saturating_add(left_out),
        last_error: report.last_error,
    }
}

/// What is known beside the words, at one moment.
struct Known<'a> {
    served: &'a Served,
    began: Moment,
    windows: Vec<MaintenanceWindow>,
}

impl<'a> Known<'a> {
    fn of(served: &'a Served, began: Moment) -> Self {
        Self { served, began, windows: served.counters.maintenance() }
    }
}

impl PointsView for Known<'_> {
    fn age(&self, device: &DeviceId) -> InputAge {
        self.served.age(device, self.began)
    }

    fn held_back(&self, point: &PointSelector) -> HeldBack {
        held_back(&self.windows, point)
    }
}

/// Keeps the topics up to date.
async fn follow(uplink: Arc<StatesOfUplink>, served: Served) {
    let (board, topics) = (&served.board, &uplink.topics);
    let began = served.clock.now();
    let publish = || {
        let messages = uplink.book().messages(&Known::of(&served, began));
        messages.into_iter().for_each(|(topic, message)| topics.set(&topic, message));
    };
    let copy = board.copy(&|_| true);
    let mut place = copy.place;
    uplink.book().begin_anew(&copy.words);
    publish();
    let (mut heart, mut rests) = (Heartbeat::default(), 0);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            committed = poll_fn(|context| board.poll_behind(&mut place, context)) => {
                if committed.missed > 0 {
                    let copy = board.copy(&|_| true);
                    place = copy.place;
                    uplink.book().begin_anew(&copy.words);
                } else {
                    uplink.book().fold(&committed.words);
                }
            }
            () = uplink.changed.notified() => {
                let judges = uplink.reselect.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(judges) = judges {
                    let copy = board.copy(&|_| true);
                    place = copy.place;
                    uplink.book().select(judges, &copy.words);
                }
            }
            _ = seconds.tick() => {
                if let Some(earlier) = topics.take_earlier() {
                    uplink.book().earlier(earlier);
                }
                uplink.book().second(&Known::of(&served, began));
                rests = if heart.second(&served.counters.progress()) { 0 } else { rests + 1 };
                uplink.book().again().iter().for_each(|topic| topics.again(topic));
                publish();
                topics.set_present(rests < RESTS);
                continue;
            }
        }
        publish();
    }
}
