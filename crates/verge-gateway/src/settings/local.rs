//! `[local]`: the site's own broker, or one that the gateway brings along.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use verge_broker::{BrokerPasswords, FrontLimits, Policy};
use verge_mqtt::{BrokerAddress, WatchedFiles};
use verge_tls::{ClientTerms, Revocations, ServerConfig};

use super::Check;
use super::access::{self, BrokerRules};
use super::connection::{self, BuildError, Connection, is_loopback};
use super::enrolment::{self, EnrolmentSettings};
use super::source::SourceSection;
use crate::config::{Fault, RawBroker, RawListener, RawLocal, RawMode, Warning};

/// Key of the section.
pub(super) const SECTION: &str = "local";

/// Where devices publish to.
#[derive(Debug, Clone)]
pub enum Local {
    /// The site's broker.
    External(Connection),
    /// A broker of our own.
    Embedded(EmbeddedBroker),
}

/// A broker that the gateway runs beside itself, for sites that have none.
#[derive(Debug, Clone)]
pub struct EmbeddedBroker {
    /// Where devices connect to.
    pub listen: SocketAddr,
    /// Certificates for mutual TLS. `None` for plain text, which only this machine can reach.
    pub tls: Option<ListenerFiles>,
    /// The gateway's name towards it.
    pub client_id: String,
    /// Longest silence of the gateway's own connections.
    pub keep_alive: Duration,
    /// Largest MQTT packet with readings, in bytes.
    pub max_packet_bytes: usize,
    /// Largest MQTT packet of all, in bytes.
    pub max_broker_packet_bytes: usize,
    /// Messages of sources are acknowledged when what they caused is committed.
    pub durable: bool,
    /// Logins of devices that show no certificate.
    pub passwords: Option<PathBuf>,
    /// Where devices ask for certificates; `None`: nowhere.
    pub enrolment: Option<EnrolmentSettings>,
    /// Devices may speak TLS 1.2 as well as 1.3.
    pub takes_tls_1_2: bool,
    /// What devices may do.
    pub rules: BrokerRules,
    /// How many may be connected.
    pub limits: FrontLimits,
}

/// PEM files of a listener.
#[derive(Debug, Clone)]
pub struct ListenerFiles {
    /// Certificate of this end.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Certificates that a device's must lead to.
    pub ca: PathBuf,
    /// Lists of revoked certificates, of the authorities.
    pub crl: Option<PathBuf>,
    /// Serial numbers of certificates that are not accepted.
    pub denied: Option<PathBuf>,
}

/// What a listener shows and asks for, and who is not accepted any more.
pub type ListenerTls = (Arc<ServerConfig>, Arc<Revocations>);

impl Local {
    /// Where devices and tools on this machine find it.
    #[must_use]
    pub fn address(&self) -> BrokerAddress {
        match self {
            Self::External(connection) => connection.address.clone(),
            Self::Embedded(broker) => broker.address(),
        }
    }
}

impl EmbeddedBroker {
    /// How it is reached from this machine.
    #[must_use]
    pub fn address(&self) -> BrokerAddress {
        let ip = match self.listen.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        match &self.tls {
            Some(_) => BrokerAddress::tls(&ip.to_string(), self.listen.port()),
            None => BrokerAddress::plain(SocketAddr::new(ip, self.listen.port())),
        }
    }

    /// The files of the listener: its certificates, and its access list.
    #[must_use]
    pub fn files(&self) -> WatchedFiles {
        let files = self.tls.iter().flat_map(|files| {
            [&files.cert, &files.key, &files.ca].into_iter().chain(&files.crl).chain(&files.denied)
        });
        WatchedFiles::new(files.chain(self.rules.list()).chain(&self.passwords).cloned().collect())
    }

    /// Whether there are any.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.tls.is_some() || self.rules.list().is_some() || self.passwords.is_some()
    }

    /// What devices may do, with the access list, which is read here.
    ///
    /// # Errors
    /// The list is missing or cannot be understood.
    pub fn policy(&self, sources: &[SourceSection]) -> Result<Policy, BuildError> {
        self.rules.policy(sources, (self.max_packet_bytes, self.max_broker_packet_bytes))
    }

    /// Reads the listener's certificates, and who is not accepted any more; `None` where it has none.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, with the key that names it.
    pub fn tls(&self) -> Result<Option<ListenerTls>, BuildError> {
        let Some(files) = &self.tls else { return Ok(None) };
        let identity = connection::load_identity(SECTION, &files.cert, &files.key)?;
        let roots = connection::load_roots(SECTION, &files.ca)?;
        let revocations = self.revocations(files)?;
        let terms =
            ClientTerms { certificate_optional: self.passwords.is_some(), takes_tls_1_2: self.takes_tls_1_2 };
        let tls = verge_tls::revoking_server_config(&identity, &roots, &revocations, terms);
        Ok(Some((tls, revocations)))
    }

    /// Who is not accepted any more.
    pub(super) fn revocations(&self, files: &ListenerFiles) -> Result<Arc<Revocations>, BuildError> {
        let fault =
            |part| move |error| BuildError::Tls { key: SECTION.to_owned(), part, source: Box::new(error) };
        let roots = connection::load_roots(SECTION, &files.ca)?;
        let revocations = Revocations::load(files.crl.as_deref(), None, &roots).map_err(fault("crl"))?;
        let revocations = revocations.with_denied(files.denied.as_deref()).map_err(fault("deny_file"))?;
        Ok(Arc::new(revocations))
    }

    /// Reads the logins; `None` where devices have none.
    ///
    /// # Errors
    /// A file that is missing or cannot be understood.
    pub fn logins(&self) -> Result<Option<Arc<BrokerPasswords>>, BuildError> {
        let Some(path) = &self.passwords else { return Ok(None) };
        let text = access::read_bounded("local.passwords", path)?;
        let read = BrokerPasswords::parse(&text)
            .map_err(|error| BuildError::List("passwords", path.clone(), error.to_string()))?;
        Ok(Some(Arc::new(read)))
    }
}

pub(super) fn check_local(check: &mut Check<'_>, gateway: &str, raw: &RawLocal) -> Option<Local> {
    match raw.mode.as_ref()? {
        RawMode::External(broker) => check_external(check, gateway, raw, broker).map(Local::External),
        RawMode::Embedded(listener) => check_embedded(check, gateway, raw, listener).map(Local::Embedded),
    }
}

fn check_external(
    check: &mut Check<'_>,
    gateway: &str,
    raw: &RawLocal,
    broker: &RawBroker,
) -> Option<Connection> {
    let client_id = format!("verge-{gateway}");
    let connection = connection::check_parts(check, SECTION, broker, &raw.transport, client_id)?;
    if connection.tls.is_none() && connection.login.is_some() && !is_loopback(connection.address.host()) {
        check.warnings.push(Warning {
            key: "local.url".to_owned(),
            remark: "the password goes over the network readable by anyone on the way; use mqtts://"
                .to_owned(),
        });
    }
    Some(connection)
}

fn check_embedded(
    check: &mut Check<'_>,
    gateway: &str,
    raw: &RawLocal,
    listener: &RawListener,
) -> Option<EmbeddedBroker> {
    let text = &listener.listen;
    let listen: Option<SocketAddr> = text.parse().ok().filter(|listen: &SocketAddr| listen.port() != 0);
    if listen.is_none() {
        let expected = r#"an address of this machine with a port, such as "127.0.0.1:1883", or "0.0.0.0:8883" for all of its addresses"#;
        check.faults.push(Fault::at_text("local.listen", text, expected).remedy(listen_remedy(text)));
    }
    let parts = &raw.transport.certificates;
    let files = [("cert", &parts.cert), ("key", &parts.key), ("ca", &parts.ca)];
    let tls = match files.map(|(_, file)| file.as_ref().map(|file| check.path(file))) {
        [Some(cert), Some(key), Some(ca)] => {
            let path = |file: &Option<String>| file.as_ref().map(|file| check.path(file));
            let (crl, denied) = (path(&listener.crl), path(&listener.deny_file));
            Some(ListenerFiles { cert, key, ca, crl, denied })
        }
        [None, None, None] => {
            refuse_terms_without_certificates(check, listener);
            if let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) {
                let expected = "127.0.0.1, which only this machine can reach, or cert, key and ca beside it: without \
                                certificates anyone on the network could publish and read everything";
                let remedy = format!("write listen = \"127.0.0.1:{}\", or add the three", listen.port());
                check
                    .faults
                    .push(Fault::at_text("local.listen", &listen.to_string(), expected).remedy(remedy));
            }
            None
        }
        _ => {
            for (key, _) in files.into_iter().filter(|(_, file)| file.is_none()) {
                let expected = "a PEM file: the listener needs its certificate (cert), the key of that, and the \
                                certificates that a device's must lead to (ca)";
                let remedy = format!("add {key} = \"FILE\" below [local]");
                check.faults.push(Fault::missing(format!("local.{key}"), expected).remedy(remedy));
            }
            None
        }
    };
    let rules = access::check_rules(check, listener, tls.is_some() || listener.passwords.is_some());
    let enrolment = enrolment::check_enrolment(check, listener, tls.is_some());
    Some(EmbeddedBroker {
        listen: listen?,
        enrolment,
        rules: rules?,
        limits: FrontLimits {
            connections: listener.max_connections,
            unauthenticated_per_address: listener.max_waiting_per_address,
            ..FrontLimits::default()
        },
        durable: listener.durable,
        takes_tls_1_2: listener.tls_1_2,
        passwords: listener.passwords.as_ref().map(|file| check.path(file)),
        tls,
        client_id: format!("verge-{gateway}"),
        keep_alive: raw.transport.keep_alive.0,
        max_packet_bytes: raw.transport.max_packet.to_usize(),
        max_broker_packet_bytes: raw.transport.max_packet.to_usize().max(raw.max_frame.to_usize()),
    })
}

/// Without certificates there is nothing that a list could revoke, and no TLS.
fn refuse_terms_without_certificates(check: &mut Check<'_>, listener: &RawListener) {
    for (key, file) in [("crl", &listener.crl), ("deny_file", &listener.deny_file)] {
        if let Some(file) = file {
            let expected = "cert, key and ca beside it: without them devices show no certificates";
            let remedy = format!("add the three, or remove {key}");
            check.faults.push(Fault::at_text(format!("local.{key}"), file, expected).remedy(remedy));
        }
    }
    if listener.tls_1_2 {
        let expected = "cert, key and ca beside it: without them devices connect without TLS";
        let remedy = "add the three, or remove tls_1_2";
        check.faults.push(Fault::new("local.tls_1_2", "true", expected).remedy(remedy));
    }
}

/// What to write instead of an address that is none.
fn listen_remedy(text: &str) -> String {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = port.parse::<u16>().ok().filter(|port| *port != 0).unwrap_or(1883);
    let host = if host.parse::<IpAddr>().is_ok() { host } else { "127.0.0.1" };
    format!("write listen = \"{host}:{port}\"")
}
