//! The embedded broker of a site that has none: a child process, and the listener before it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use verge_broker::{
    BrokerPasswords, ChildBroker, ChildBrokerSettings, Front, FrontSettings, FrontView, Policy,
    RefusedDevice, Retained, SourceInputs, own_client_id,
};
use verge_mqtt::ConnectionSettings;
use verge_pipeline::beats::Beats;
use verge_pipeline::clock::Clock;
use verge_pipeline::status::{BrokerStatus, RefusedDeviceStatus};
use verge_web::est::EstServer;

use super::enrolment;
use super::inputs::Site;
use super::open_files;
use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::{BuildError, EmbeddedBroker, ListenerTls, Local, SourceSection};

/// The command that is the broker.
const COMMAND: &str = "broker";
/// In the state directory: what devices have retained.
const RETAINED_FILE: &str = "broker.retained";
/// Variables that the child inherits: the level of its log, none of the gateway's own settings.
const ENVIRONMENT: [&str; 2] = ["VERGE_LOG", "RUST_BACKTRACE"];

/// What the files of a listener hold.
pub(super) struct ListenerFilesRead {
    tls: Option<ListenerTls>,
    policy: Policy,
    passwords: Option<Arc<BrokerPasswords>>,
}

impl ListenerFilesRead {
    fn of(settings: &EmbeddedBroker, sources: &[SourceSection]) -> Result<Self, BuildError> {
        let (tls, policy, passwords) = (settings.tls()?, settings.policy(sources)?, settings.logins()?);
        Ok(Self { tls, policy, passwords })
    }
}

/// How to get the connection to the site's broker: files are read, nothing is started.
pub(super) enum LocalPlan<'a> {
    /// The broker is there already.
    Connect(ConnectionSettings),
    /// It is to be started.
    Start { settings: &'a EmbeddedBroker, sources: &'a [SourceSection], files: ListenerFilesRead },
}

impl<'a> LocalPlan<'a> {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// One of them is missing or cannot be used.
    pub(super) fn of(local: &'a Local, sources: &'a [SourceSection]) -> Result<Self, BuildError> {
        Ok(match local {
            Local::External(connection) => Self::Connect(connection.build()?),
            Local::Embedded(settings) => {
                Self::Start { settings, sources, files: ListenerFilesRead::of(settings, sources)? }
            }
        })
    }

    /// Starts what is to be started.
    ///
    /// # Errors
    /// The embedded broker does not start.
    pub(super) async fn carry_out(
        self,
        state_dir: &Path,
        clock: Clock,
        beats: &Arc<Beats>,
    ) -> anyhow::Result<(ConnectionSettings, Option<SiteBroker>)> {
        match self {
            Self::Connect(connection) => Ok((connection, None)),
            Self::Start { settings, sources, files } => {
                let broker = SiteBroker::start((settings, sources, state_dir), files, clock, beats).await?;
                Ok((broker.connection(settings), Some(broker)))
            }
        }
    }
}

/// A running broker and its listener.
pub(super) struct SiteBroker {
    broker: ChildBroker,
    front: Front,
    /// What devices publish for the gateway's own sources.
    inputs: SourceInputs,
    /// Where devices ask for certificates.
    enrolment: Option<EstServer>,
    /// Carries what devices send; ends with the broker.
    thread: IoThread,
    /// Why the files of the listener's certificates cannot be used.
    certificates_fault: Arc<Mutex<Option<String>>>,
    /// Retained messages of devices and their file, where they are allowed.
    retained: Option<(Retained, Arc<Path>)>,
}

impl SiteBroker {
    /// Starts both; returns when devices can connect.
    ///
    /// # Errors
    /// The broker does not start, or the address is taken.
    async fn start(
        (settings, sources, state_dir): (&EmbeddedBroker, &[SourceSection], &Path),
        ListenerFilesRead { tls, policy, passwords }: ListenerFilesRead,
        clock: Clock,
        beats: &Arc<Beats>,
    ) -> anyhow::Result<Self> {
        let (mut child, listen) = (child(settings)?, settings.listen);
        // Before the child starts: it has the same limit.
        let limits = open_files::within(settings.limits);
        let retained = policy.retained.then(|| kept_in(state_dir));
        let keeping = retained.as_ref().map(|(retained, _)| retained.clone());
        child.retained = keeping.clone().unwrap_or_default();
        let inputs = SourceInputs::new(settings.durable, move || clock.now()).keeping(keeping);
        let to = inputs.clone();
        // A thread of its own: incoming pictures do not delay outgoing verdicts.
        let thread = IoThread::start("verge-broker", beats)?;
        let started = thread.run(async move {
            let broker = ChildBroker::start(child, move || clock.now()).await.exit_with(Exit::Unavailable)?;
            let front = FrontSettings {
                listen,
                tls: tls.map(|(tls, _)| tls),
                broker: broker.address(),
                login: Some(broker.credentials().clone()),
                policy,
                limits,
            };
            // The program that holds the address may release it.
            let front = Front::start_with(front, (Some(to), passwords), broker.filters().clone())
                .await
                .context("local.listen")
                .exit_with(Exit::Temporary)?;
            anyhow::Ok((broker, front))
        });
        let (broker, front) = started.await??;
        tracing::info!(listen = %front.address(), "devices can connect");
        let enrolment = enrolment::start(settings, &thread)?;
        let certificates_fault = Arc::default();
        if settings.has_files() {
            let renewing = renew(
                settings.clone(),
                sources.to_vec(),
                front.view().clone(),
                Arc::clone(&certificates_fault),
            );
            thread.within(|| tokio::spawn(renewing));
        }
        if let Some((retained, path)) = &retained {
            let writing = retained.clone().keep_written(Arc::clone(path));
            thread.within(|| tokio::spawn(writing));
        }
        Ok(Self { broker, front, inputs, enrolment, thread, certificates_fault, retained })
    }

    /// How the gateway itself connects to it: not through the listener.
    fn connection(&self, settings: &EmbeddedBroker) -> ConnectionSettings {
        ConnectionSettings { keep_alive: settings.keep_alive, ..connection(&self.broker, settings) }
    }

    /// What devices publish for the gateway's own sources. They are left unread until it is opened.
    pub(super) const fn inputs(&self) -> &SourceInputs {
        &self.inputs
    }

    /// The same, as where sources of the gateway connect.
    pub(super) fn site(&self) -> Site<'_> {
        Site::Guard(&self.inputs, self.broker.watch())
    }

    /// Where devices connect.
    pub(super) const fn listener(&self) -> SocketAddr {
        self.front.address()
    }

    /// A view of its state, for the status document.
    pub(super) fn status(&self) -> impl Fn() -> BrokerStatus + Send + Sync + 'static {
        let (broker, front) = (self.broker.watch(), self.front.view().clone());
        let fault = Arc::clone(&self.certificates_fault);
        let retained = self.retained.as_ref().map(|(retained, _)| retained.clone());
        move || {
            let retained = retained.as_ref().map(Retained::totals).unwrap_or_default();
            let (broker, clients) = (broker.borrow().clone(), front.totals());
            BrokerStatus {
                serving: broker.serving_since.is_some(),
                since: broker.serving_since.map(|since| since.wall.0),
                restarts: broker.restarts_total,
                last_fault_at: broker.last_fault.as_ref().map(|fault| fault.at.wall.0),
                last_fault: broker.last_fault.map(|fault| fault.reason),
                connections: clients.connections,
                accepted: clients.accepted,
                refused_connections: clients.refused,
                failed_handshakes: clients.failed_handshakes,
                refused_clients: clients.refused_clients,
                cut_off: clients.cut_off,
                throttled: clients.throttled,
                refusals: front.refusals().into_iter().map(|(why, count)| (why.as_str(), count)).collect(),
                refused_devices: front.refused_devices().into_iter().map(refused).collect(),
                last_refusal: front.last_refusal(),
                retained: retained.messages,
                retained_not_kept: retained.not_kept,
                credentials_error: fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            }
        }
    }

    /// Waits until it or its listener has ended for good, which only a fault can cause.
    pub(super) async fn ended(&self) {
        tokio::select! {
            () = self.broker.ended() => {}
            () = self.front.ended() => {}
        }
    }

    /// Takes no more devices.
    pub(super) fn close(&self) {
        self.front.close();
    }

    /// Ends the broker.
    pub(super) async fn stop(self) {
        let Self { broker, front, enrolment, thread, retained, .. } = self;
        drop((front, enrolment));
        broker.stop().await;
        drop(thread);
        if let Some((retained, path)) = retained
            && let Err(error) = retained.write(&path)
        {
            tracing::error!(%error, file = %path.display(), "the retained messages of devices cannot be written: those since the \
                last time are lost");
        }
    }
}

/// Retained messages of devices, as an earlier run has left them. A file that cannot be used is set aside.
fn kept_in(state_dir: &Path) -> (Retained, Arc<Path>) {
    let path = state_dir.join(RETAINED_FILE);
    let retained = Retained::load(&path).unwrap_or_else(|error| {
        let aside = path.with_extension("damaged");
        let why = match error.kind() {
            ErrorKind::InvalidData => "its content is damaged".to_owned(),
            _ => error.to_string(),
        };
        let moved = std::fs::rename(&path, &aside).is_ok();
        tracing::error!(file = %path.display(), why, moved_to = %aside.display(), moved, "the retained messages of devices cannot be \
            read: the broker begins without them");
        Retained::default()
    });
    (retained, path.into())
}

fn refused(RefusedDevice { device, refused, reason }: RefusedDevice) -> RefusedDeviceStatus {
    RefusedDeviceStatus { device, refused, reason: reason.as_str() }
}

/// The gateway's own connection to its broker, under an identifier that no client of the listener may use.
pub fn connection(broker: &ChildBroker, settings: &EmbeddedBroker) -> ConnectionSettings {
    let (client_id, login) = (own_client_id(&settings.client_id), broker.credentials().clone());
    ConnectionSettings::loopback(broker.address(), &client_id, login, settings.max_packet_bytes)
}

/// Looks for changed certificates and access lists of the listener, and uses those that can be used.
async fn renew(
    settings: EmbeddedBroker,
    sources: Vec<SourceSection>,
    front: FrontView,
    fault: Arc<Mutex<Option<String>>>,
) {
    let files = settings.files();
    let of = Arc::new((settings, sources));
    let (mut used, mut seen) = (files.print(), None);
    loop {
        tokio::time::sleep(verge_mqtt::LOOK).await;
        let print = files.print();
        // Files of one set are written one after another: they are read once they no longer change.
        if print == used || seen.replace(print) != Some(print) {
            continue;
        }
        used = print;
        let of = Arc::clone(&of);
        // Lists may be long, and this thread carries what devices send.
        let read = tokio::task::spawn_blocking(move || ListenerFilesRead::of(&of.0, &of.1)).await;
        let read = read.map_err(anyhow::Error::from).and_then(|read| read.map_err(anyhow::Error::from));
        let found = match read {
            Ok(ListenerFilesRead { tls, policy, passwords }) => {
                tracing::info!(
                    "certificates or lists of the listener have changed: they hold from now on, also for what is connected"
                );
                let (tls, revocations) = tls.unzip();
                tls.into_iter().for_each(|tls| front.renew(tls));
                front.renew_rules(policy, revocations.unwrap_or_default(), passwords);
                None
            }
            Err(error) => {
                tracing::error!(%error, "changed certificates or a changed list of the listener cannot be used; the ones before stay in use");
                Some(error.to_string())
            }
        };
        *fault.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

/// The child process as this very program.
///
/// # Errors
/// The system does not say where this program is.
pub fn child(settings: &EmbeddedBroker) -> anyhow::Result<ChildBrokerSettings> {
    let program = std::env::current_exe().context("where this program is")?;
    let inherited = |name: &str| Some((OsString::from(name), std::env::var_os(name)?));
    Ok(ChildBrokerSettings {
        environment: ENVIRONMENT.into_iter().filter_map(inherited).collect(),
        ..ChildBrokerSettings::new(program, vec![COMMAND.into()], settings.max_broker_packet_bytes)
    })
}
