//! Servers of OPC UA: what they see of the gateway, who may log in, their status, and their trial.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context;
use verge_domain::id::DeviceId;
use verge_domain::image::{GatewayState, HeldBack, InputAge, PointSelector, PointsView};
use verge_domain::time::Moment;
use verge_opcua::{Logins, OpcUaServer, OpcUaSettings, OpcuaView, application_uri};
use verge_pipeline::status::{OpcUaStatus, ServerPoints, ServerStatus};
use verge_web::dashboard::access::PasswordFile;

use super::servers::{Served, held_back};
use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::{OpcUaSection, Settings, contents_of};

/// The servers at work, on a thread of their own: a handshake takes milliseconds, for which no poll of Modbus waits.
pub(super) struct OpcUaServers {
    servers: Vec<OpcUaServer>,
    _thread: Option<IoThread>,
}

impl OpcUaServers {
    /// Starts those of a configuration.
    ///
    /// # Errors
    /// One cannot listen; certificates that cannot be used.
    pub(super) fn start(settings: &Settings, served: &Served) -> anyhow::Result<Self> {
        if settings.opcua.is_empty() {
            return Ok(Self { servers: Vec::new(), _thread: None });
        }
        let thread = IoThread::start("verge-opcua", &served.counters.beats)?;
        let start = |section: &OpcUaSection| {
            let (listen, key) = (section.listen, format!("server.{}", section.name));
            let cannot = || format!("{key}.listen: cannot listen on {listen}");
            let listener = TcpListener::bind(listen).with_context(cannot).exit_with(Exit::Unavailable)?;
            let view = Arc::new(ServedView { served: served.clone(), began: served.clock.now() });
            let started = thread.within(|| {
                OpcUaServer::start(of_section(section, settings), listener, Arc::clone(&served.board), view)
            });
            let server = started.with_context(|| key.clone()).exit_with(Exit::BadConfig)?;
            tracing::info!(server = server.name(), address = %server.address(), "OPC UA");
            anyhow::Ok(server)
        };
        let servers = settings.opcua.iter().map(start).collect::<anyhow::Result<_>>()?;
        Ok(Self { servers, _thread: Some(thread) })
    }

    /// Other judges are at work.
    pub(super) fn take_up(&self, settings: &Settings) {
        self.servers.iter().for_each(|server| server.take_up(contents_of(&settings.judges)));
    }

    /// What the status says of them.
    pub(super) fn status(&self) -> impl Iterator<Item = ServerStatus> {
        self.servers.iter().map(status_of)
    }
}

fn of_section(section: &OpcUaSection, settings: &Settings) -> OpcUaSettings {
    let zone = settings.gateway.zone.clone();
    OpcUaSettings {
        name: section.name.clone(),
        listen: section.listen,
        gateway: section.gateway.clone(),
        pki_dir: section.pki_dir.clone(),
        logins: section
            .users_file
            .clone()
            .map(|file| Arc::new(FileLogins(PasswordFile::of_file(file))) as Arc<dyn Logins>),
        anonymous: section.anonymous,
        insecure_none: section.insecure_none,
        max_clients: section.max_clients,
        idle: section.idle,
        allow: section.allow.clone(),
        stale_after: section.stale_after,
        judges: contents_of(&settings.judges),
        words: Arc::new(move |verdict| verge_wire::verdict_words(verdict, &zone)),
        version: env!("CARGO_PKG_VERSION"),
    }
}

fn status_of(server: &OpcUaServer) -> ServerStatus {
    use std::sync::atomic::Ordering::Relaxed;
    let counters = server.counters();
    let ([never, good, uncertain, stale], left_out) = server.qualities();
    let logins_refused = counters.logins_refused.load(Relaxed);
    ServerStatus {
        name: server.name().to_owned(),
        kind: "opcua",
        listening: server.address().to_string(),
        clients: counters.clients.load(Relaxed),
        accepted: counters.accepted.load(Relaxed),
        refused: counters.refused.load(Relaxed),
        closed: counters.closed.load(Relaxed),
        requests: counters.requests.load(Relaxed),
        exceptions: counters.errors.load(Relaxed),
        points: ServerPoints { never, good, uncertain, stale },
        opcua: Some(OpcUaStatus { followed: server.followed(), logins_refused, left_out }),
        last_error: counters.last_error(),
    }
}

/// The logins in a file.
struct FileLogins(PasswordFile);

impl Logins for FileLogins {
    fn matches(&self, user: &str, password: &str) -> bool {
        self.0.matches(user, password)
    }
}

/// What a server sees of the gateway.
struct ServedView {
    served: Served,
    began: Moment,
}

impl PointsView for ServedView {
    fn age(&self, device: &DeviceId) -> InputAge {
        self.served.age(device, self.began)
    }

    fn held_back(&self, point: &PointSelector) -> HeldBack {
        held_back(&self.served.counters.maintenance(), point)
    }
}

impl OpcuaView for ServedView {
    fn now(&self) -> Moment {
        self.served.clock.now()
    }

    fn state(&self) -> GatewayState {
        self.served.state(&self.served.counters.maintenance())
    }
}

/// Certificates and users of a server that is not started, in words.
///
/// # Errors
/// What is wrong with them.
pub fn look(section: &OpcUaSection) -> Result<String, String> {
    let counted = verge_wire::counted;
    let found = verge_opcua::look(&section.pki_dir, &application_uri(&section.gateway));
    let found = found.map_err(|error| error.to_string())?;
    let own = if found.own { "" } else { "; its certificate is made at the first start" };
    let users = match &section.users_file {
        Some(file) => PasswordFile::of_file(file.clone()).count().map_err(|error| error.to_string())?,
        None => 0,
    };
    let who = if section.anonymous {
        "anybody with one may read".to_owned()
    } else if users + found.users == 0 {
        format!(
            "nobody can log in yet: write users_file (`verge users add`), or put certificates of users into {}",
            section.pki_dir.join("users").display()
        )
    } else {
        format!(
            "{} with a password and {} with a certificate may log in",
            counted(users as u64, "user"),
            counted(found.users as u64, "user")
        )
    };
    Ok(format!(
        "{} trusted, {} rejected in {}{own}; {who}",
        counted(found.trusted as u64, "certificate"),
        found.rejected,
        section.pki_dir.display()
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_check_prints_is_the_namespace() {
        assert_eq!(crate::settings::OPCUA_NAMESPACE, verge_opcua::NAMESPACE);
    }
}
