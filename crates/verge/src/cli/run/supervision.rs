//! What systemd learns of the gateway (sd_notify(3)): that it is ready, reloads or stops, how it is in a line, and a beat of the
//! watchdog for as long as every thread makes progress. Without NOTIFY_SOCKET nothing of this runs.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use verge_gateway::wiring::{Gateway, GatewayPulse, PulseLook};

/// How often the gateway is looked at, or eight times in an interval of the watchdog.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A gateway whose site broker is not there is ready all the same.
const READY_AFTER: Duration = Duration::from_secs(10);
/// The line of status follows what happens no faster.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// While the store is opened and models are loaded systemd is asked for more time, this often and by so much.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const EXTEND_BY: Duration = Duration::from_secs(30);
/// A reload that takes longer hangs.
const RELOAD_LIMIT: Duration = Duration::from_secs(600);
/// A start that takes longer hangs. A large store on a slow medium is checked, or salvaged, before it is used.
const START_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// Limit where there is no watchdog: what hangs is still said.
const HANG_LIMIT: Duration = Duration::from_secs(15);
/// What waits for the thread at most; it never waits long.
const NEWS: usize = 16;

/// What has happened.
enum News {
    Starting,
    Running(Box<GatewayPulse>),
    Reloading,
    Reloaded,
    Stopping(SyncSender<()>),
}

/// Reports to whoever has started the process, if that listens.
pub(super) struct Supervision(Option<SyncSender<News>>);

impl Supervision {
    /// As the environment says.
    pub(super) fn of_environment() -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self(None);
        }
        let (news, received) = sync_channel(NEWS);
        let notices = Notices::new(sd_notify::watchdog_enabled(), Instant::now());
        let run = move || Notifier { notices, pulse: None, failed: false }.run(&received);
        let thread = std::thread::Builder::new().name("verge-notify".to_owned()).spawn(run);
        if let Err(error) = &thread {
            tracing::error!(%error, "no thread for reports to systemd: it will not learn that the gateway is ready");
        }
        Self(thread.is_ok().then_some(news))
    }

    fn send(&self, news: News) {
        // It is full only if the thread waits for systemd, which then learns nothing anyway.
        drop(self.0.as_ref().map(|thread| thread.try_send(news)));
    }

    /// The gateway is being opened.
    pub(super) fn starting(&self) {
        self.send(News::Starting);
    }

    /// It runs. Called on its runtime.
    pub(super) fn running(&self, gateway: &Gateway) {
        if self.0.is_some() {
            self.send(News::Running(Box::new(gateway.pulse())));
        }
    }

    /// It takes up another configuration.
    pub(super) fn reloading(&self) {
        self.send(News::Reloading);
    }

    /// It has, or has refused it.
    pub(super) fn reloaded(&self) {
        self.send(News::Reloaded);
    }

    /// It stops. Returns when that was sent, so that it comes before the end; the gateway must not be watched any more.
    pub(super) fn stopping(&self) {
        const SENT_WITHIN: Duration = Duration::from_millis(500);
        let (sent, is_sent) = sync_channel(1);
        self.send(News::Stopping(sent));
        is_sent.recv_timeout(SENT_WITHIN).ok();
    }
}

/// The thread that reports.
struct Notifier {
    notices: Notices,
    pulse: Option<Box<GatewayPulse>>,
    /// The last notice could not be sent, which was said.
    failed: bool,
}

impl Notifier {
    fn run(mut self, news: &Receiver<News>) {
        let every = self.notices.watchdog.map_or(LOOK_EVERY, |interval| LOOK_EVERY.min(interval / 8));
        loop {
            let now = Instant::now();
            let limit = self.notices.watchdog.map_or(HANG_LIMIT, |interval| interval / 2);
            let look = self.pulse.as_mut().map(|pulse| pulse.look(now, limit));
            let notices = self.notices.look(now, look.as_ref());
            self.send(&notices);
            let wait = every.saturating_sub(now.elapsed());
            let (phase, done) = match news.recv_timeout(wait) {
                Ok(News::Starting) => {
                    self.pulse = None;
                    (Phase::Starting, None)
                }
                Ok(News::Running(pulse)) => {
                    self.pulse = Some(pulse);
                    (Phase::Running, None)
                }
                Ok(News::Reloading) => (Phase::Reloading, None),
                Ok(News::Reloaded) => (Phase::Running, None),
                Ok(News::Stopping(done)) => {
                    self.pulse = None;
                    (Phase::Stopping, Some(done))
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let notices = self.notices.enter(phase, Instant::now());
            self.send(&notices);
            drop(done);
        }
    }

    fn send(&mut self, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        let states: Vec<NotifyState<'_>> = notices.iter().flat_map(Notice::states).collect();
        match sd_notify::notify(&states) {
            Ok(()) => self.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(%error, "systemd cannot be reached at NOTIFY_SOCKET");
                }
            }
        }
    }
}

/// What is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Notice {
    Ready,
    Reloading,
    Stopping,
    MoreTime,
    Status(String),
    Beat,
}

impl Notice {
    fn states(&self) -> impl Iterator<Item = NotifyState<'_>> {
        // A reload is believed only with the time at which it began.
        let began = matches!(self, Self::Reloading).then(NotifyState::monotonic_usec_now);
        let state = match self {
            Self::Ready => NotifyState::Ready,
            Self::Reloading => NotifyState::Reloading,
            Self::Stopping => NotifyState::Stopping,
            Self::MoreTime => {
                NotifyState::ExtendTimeoutUsec(u32::try_from(EXTEND_BY.as_micros()).unwrap_or(u32::MAX))
            }
            Self::Status(words) => NotifyState::Status(words),
            Self::Beat => NotifyState::Watchdog,
        };
        std::iter::once(state).chain(began.and_then(Result::ok))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Reloading,
    Stopping,
}

/// What is to be reported when. Pure: time is an argument.
#[derive(Debug)]
struct Notices {
    watchdog: Option<Duration>,
    phase: Phase,
    since: Instant,
    is_ready: bool,
    asked: Option<Instant>,
    beaten: Option<Instant>,
    said: Option<(Instant, String)>,
    /// The thread that hangs, once that was logged.
    hangs: Option<String>,
}

fn is_due(last: Option<Instant>, every: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= every)
}

impl Notices {
    fn new(watchdog: Option<Duration>, now: Instant) -> Self {
        Self {
            watchdog,
            phase: Phase::Starting,
            since: now,
            is_ready: false,
            asked: None,
            beaten: None,
            said: None,
            hangs: None,
        }
    }

    /// Another phase begins.
    fn enter(&mut self, phase: Phase, now: Instant) -> Vec<Notice> {
        if phase == Phase::Reloading && !self.is_ready {
            // It is not ready yet; a reload does not change that.
            return Vec::new();
        }
        let was = std::mem::replace(&mut self.phase, phase);
        if phase == Phase::Running && was == Phase::Running {
            return Vec::new();
        }
        // What is said of a phase ends with it.
        (self.since, self.asked, self.said) = (now, None, None);
        let status = |words: &str| Notice::Status(words.to_owned());
        match phase {
            Phase::Starting => vec![status("starts")],
            Phase::Running if self.is_ready => vec![Notice::Ready],
            Phase::Running => Vec::new(),
            Phase::Reloading => vec![Notice::Reloading, status("takes up its configuration")],
            // The last beat: the orderly stop is shorter than any sensible watchdog, and limited by itself.
            Phase::Stopping => {
                let beat = self.watchdog.map(|_| Notice::Beat);
                [Notice::Stopping, status("stops")].into_iter().chain(beat).collect()
            }
        }
    }

    /// What is due now. `look` is the gateway's, once it runs.
    fn look(&mut self, now: Instant, look: Option<&PulseLook>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let lasted = now.saturating_duration_since(self.since);
        let limit = match self.phase {
            Phase::Starting => Some(START_LIMIT),
            Phase::Reloading => Some(RELOAD_LIMIT),
            Phase::Running | Phase::Stopping => None,
        };
        if self.phase == Phase::Stopping {
            return notices;
        }
        if limit.is_some_and(|limit| lasted < limit) && is_due(self.asked, EXTEND_EVERY, now) {
            self.asked = Some(now);
            notices.push(Notice::MoreTime);
        }
        if self.phase == Phase::Starting && self.said.is_none() {
            notices.extend(self.say("opens the store and loads models".to_owned(), now, true));
        }
        let hang = look.and_then(|look| look.hang.as_ref());
        if let Some(look) = look.filter(|_| self.phase == Phase::Running) {
            if !self.is_ready && (look.takes_input || lasted >= READY_AFTER) {
                self.is_ready = true;
                self.said = None;
                notices.push(Notice::Ready);
            }
            let words = match hang {
                Some(hang) => format!("{} makes no progress for {} s", hang.thread, hang.stands.as_secs()),
                None => look.words.clone(),
            };
            let is_news = hang.is_some() != self.hangs.is_some();
            notices.extend(self.say(words, now, is_news));
        }
        self.log(look);
        let hangs = hang.is_some() || limit.is_some_and(|limit| lasted >= limit);
        let interval = self.watchdog.filter(|_| self.is_ready && !hangs);
        if interval.is_some_and(|interval| is_due(self.beaten, interval / 4, now)) {
            self.beaten = Some(now);
            notices.push(Notice::Beat);
        }
        notices
    }

    /// A line of status, where it is another and one is due, or it cannot wait.
    fn say(&mut self, words: String, now: Instant, at_once: bool) -> Option<Notice> {
        let is_another = self.said.as_ref().is_none_or(|(at, said)| {
            *said != words && (at_once || now.saturating_duration_since(*at) >= STATUS_EVERY)
        });
        is_another.then(|| {
            self.said = Some((now, words.clone()));
            Notice::Status(words)
        })
    }

    /// Logs which thread hangs, once.
    fn log(&mut self, look: Option<&PulseLook>) {
        let Some(look) = look else { return };
        let hangs = look.hang.as_ref().map(|hang| hang.thread.clone());
        if hangs == self.hangs {
            return;
        }
        match &look.hang {
            Some(hang) => tracing::error!(
                thread = %hang.thread, seconds = hang.stands.as_secs(),
                "a thread makes no progress: the watchdog of systemd is not beaten until it does"
            ),
            None => tracing::warn!(thread = ?self.hangs, "the thread makes progress again"),
        }
        self.hangs = hangs;
    }
}

#[cfg(test)]
mod tests;
