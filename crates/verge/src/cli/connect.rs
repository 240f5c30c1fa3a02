//! Connections of the commands that are no gateway: written on the command line, or taken from a file.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use std::time::Duration;
use verge_mqtt::{BrokerAddress, ConnectionSettings};

use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{Connection, EmbeddedBroker, Login, Password, TlsFiles};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Room for the largest batch of any gateway, and for pictures.
const MAX_PACKET_BYTES: usize = 16 * 1024 * 1024;

/// Where to connect, and under which identity.
#[derive(Debug, Args)]
pub(super) struct ConnectArgs {
    /// The broker: mqtts://HOST:PORT, or mqtt://HOST:PORT without TLS
    #[arg(long, value_name = "URL", required_unless_present = "config", conflicts_with = "config")]
    url: Option<String>,
    /// PEM file with the certificates that the broker's must lead to (needed for mqtts)
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// PEM file with the certificate to show to the broker
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// User name
    #[arg(long, value_name = "NAME", requires = "url")]
    username: Option<String>,
    /// File whose text is the password
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Client identifier; by default a random one, behind the name in the certificate where there is one
    #[arg(long, value_name = "NAME")]
    client_id: Option<String>,
}

impl ConnectArgs {
    /// The connection as written; `None` where the command has a configuration to take it from.
    pub(super) fn written(&self, purpose: &str) -> anyhow::Result<Option<ConnectionSettings>> {
        let Some(url) = &self.url else { return Ok(None) };
        let address = BrokerAddress::parse(url).exit_with(Exit::Usage)?;
        let tls = match (&self.ca, address.is_tls()) {
            (Some(ca), true) => {
                Some(TlsFiles { ca: ca.clone(), identity: self.cert.clone().zip(self.key.clone()) })
            }
            (None, true) => return usage("mqtts:// needs --ca"),
            (Some(_), false) => return usage("--ca is of use only with mqtts://"),
            (None, false) if self.cert.is_some() => return usage("--cert is of use only with mqtts://"),
            (None, false) => None,
        };
        let login = self.username.clone().map(|username| Login {
            username,
            password: self.password_file.clone().map_or(Password::Absent, Password::File),
        });
        let connection = Connection {
            key: "the command line".to_owned(),
            address,
            client_id: self.client_id(purpose),
            login,
            tls,
            keep_alive: KEEP_ALIVE,
            max_packet_bytes: MAX_PACKET_BYTES,
        };
        Ok(Some(connection.build().exit_with(Exit::Usage)?))
    }

    /// A connection of a configuration, under another client identifier: with the gateway's own, the broker would end
    /// the gateway's connection.
    pub(super) fn of(&self, connection: &Connection, purpose: &str) -> anyhow::Result<ConnectionSettings> {
        let mut connection = connection.clone();
        connection.client_id = self.client_id(purpose);
        connection.max_packet_bytes = connection.max_packet_bytes.max(MAX_PACKET_BYTES);
        connection.build().exit_with(Exit::BadConfig)
    }

    /// As a device of the embedded broker of a configuration.
    pub(super) fn to_embedded(
        &self,
        broker: &EmbeddedBroker,
        purpose: &str,
    ) -> anyhow::Result<ConnectionSettings> {
        if broker.tls.is_some() {
            return usage(
                "devices of this gateway show certificates: connect as one of them, with --url, --ca, --cert and --key",
            );
        }
        let connection = Connection {
            key: "local".to_owned(),
            address: broker.address(),
            client_id: self.client_id(purpose),
            login: None,
            tls: None,
            keep_alive: KEEP_ALIVE,
            max_packet_bytes: broker.max_broker_packet_bytes,
        };
        connection.build().exit_with(Exit::BadConfig)
    }

    /// Whether a client identifier is given.
    pub(super) fn has_client_id(&self) -> bool {
        self.client_id.is_some()
    }

    fn client_id(&self, purpose: &str) -> String {
        let random = || match self.name_in_certificate() {
            // The embedded broker takes nothing else of a client that shows a certificate.
            Some(name) => format!("{name}:{purpose}-{:08x}", fastrand::u32(..)),
            None => format!("verge-{purpose}-{:08x}", fastrand::u32(..)),
        };
        self.client_id.clone().unwrap_or_else(random)
    }

    /// The name of whoever the certificate to show belongs to. One that cannot be read is reported by the connection.
    fn name_in_certificate(&self) -> Option<String> {
        let path = self.cert.as_ref()?;
        let summaries = verge_tls::summary(&std::fs::read(path).ok()?, &path.display().to_string()).ok()?;
        let own = summaries.into_iter().next()?;
        own.names.into_iter().find(|name| name.parse::<IpAddr>().is_err()).or(own.common_name)
    }
}

fn usage<T>(words: &'static str) -> anyhow::Result<T> {
    let refused = || -> anyhow::Result<T> { bail!(words) };
    refused().map_err(|error| error.context(Exit::Usage))
}
