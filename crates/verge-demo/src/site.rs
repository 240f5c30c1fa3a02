//! The demo's surroundings, made on the fly: certificates, and an upstream stand-in behind mutual TLS on loopback.
//! The site's broker is the one that the gateway brings along. Everything is removed when it is dropped.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use verge_broker::{Embedded, EmbeddedSettings, Front, FrontLimits, FrontSettings, Policy};
use verge_domain::backoff::Backoff;
use verge_gateway::settings::{Local, Settings};
use verge_mqtt::{BrokerAddress, ConnectionSettings};
use verge_tls::authority::{Authority, CertificateRequest, write_identity};
use verge_tls::{Credentials, TlsIdentity, TrustedRoots, Usage};

use crate::release::{PACKAGE, PUBLISHER};

/// The configuration that the demo's gateway runs, as it stands in `configs/`.
const CONFIGURATION: &str = include_str!("../../../configs/demo.toml");
/// The model that it names, its card and its labels: made by `examples/junction-model/train.py`.
const MODEL: [(&str, &[u8]); 3] = [
    ("junction.onnx", include_bytes!("../../../examples/junction-model/junction.onnx")),
    ("junction.toml", include_bytes!("../../../examples/junction-model/junction.toml")),
    ("labels.txt", include_bytes!("../../../examples/junction-model/labels.txt")),
];
const GATEWAY: &str = "gateway";
const BROKER: &str = "broker";
/// Longer than the time from which on a certificate that ends is reported.
const DAYS: u32 = 60;
const MAX_PACKET_BYTES: usize = 256 * 1024;

/// The whole site.
pub(super) struct Site {
    folder: TempDir,
    authority: Authority,
    upstream: UpstreamStandIn,
}

/// The stand-in for the broker of a centre.
struct UpstreamStandIn {
    embedded: Embedded,
    /// Where the receiver connects to.
    front: Front,
    /// Where the gateway connects to; `None` while the WAN is cut.
    wan: Option<Front>,
    /// Where the gateway connects to, the same after a cut.
    wan_address: SocketAddr,
    folder: PathBuf,
}

impl Site {
    /// Makes certificates and starts the stand-in.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the demo")?;
        let authority = Authority::create("Verge demo authority", DAYS)?;
        write_identity(folder.path(), "ca", &authority.to_issued(), false)?;
        for (name, usage) in [(BROKER, Usage::Server), (GATEWAY, Usage::Client)] {
            let request = CertificateRequest {
                common_name: name.to_owned(),
                names: vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()],
                usage,
                days: DAYS,
            };
            write_identity(folder.path(), name, &authority.issue(&request)?, false)?;
        }
        let upstream = UpstreamStandIn::start(folder.path()).await.context("the upstream stand-in")?;
        Ok(Self { folder, authority, upstream })
    }

    /// Settings of the gateway: `configs/demo.toml` with the address and the password of this run, as an
    /// operator would give them, through the environment. The dashboard is served on this port of loopback.
    pub(super) fn settings(&self, dashboard: Option<u16>) -> anyhow::Result<Settings> {
        std::fs::write(self.configuration(), CONFIGURATION).context("the demo's configuration")?;
        for (name, content) in MODEL.into_iter().chain([PACKAGE, PUBLISHER]) {
            std::fs::write(self.folder.path().join(name), content).context("the demo's model")?;
        }
        self.load(dashboard)
    }

    /// The same of the file as it is now, with what people drew.
    pub(super) fn load(&self, dashboard: Option<u16>) -> anyhow::Result<Settings> {
        let path = self.configuration();
        let credentials = self.upstream.embedded.credentials();
        let variables = [
            ("URL", format!("mqtts://localhost:{}", self.upstream.wan_address.port())),
            ("USERNAME", credentials.username.clone()),
            ("PASSWORD", credentials.password.reveal().to_owned()),
        ]
        .map(|(key, value)| (OsString::from(format!("VERGE__UPLINK__CENTRE__{key}")), OsString::from(value)));
        let mut settings = Settings::load(&path, variables).context("the demo's configuration")?;
        if let Local::Embedded(broker) = &mut settings.local {
            // Any port that is free.
            broker.listen.set_port(0);
        }
        match (dashboard, &mut settings.dashboard) {
            (Some(port), Some(section)) => section.listen.set_port(port),
            (_, section) => *section = None,
        }
        for server in &mut settings.servers {
            server.modbus.listen.set_port(0);
        }
        Ok(settings)
    }

    /// Where everything lies.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("demo.toml")
    }

    /// Cuts the gateway's uplink: its connection ends, new ones are refused.
    pub(super) fn cut_wan(&mut self) {
        self.upstream.wan = None;
    }

    /// Restores it.
    pub(super) async fn restore_wan(&mut self) -> anyhow::Result<()> {
        let UpstreamStandIn { embedded, wan, wan_address, folder, .. } = &mut self.upstream;
        if wan.is_none() {
            *wan = Some(front(folder, embedded, *wan_address).await.context("the WAN")?);
        }
        Ok(())
    }

    /// How a simulated device reaches the gateway's broker, which listens at this address.
    pub(super) fn device_connection(
        &self,
        name: &str,
        listener: SocketAddr,
    ) -> anyhow::Result<ConnectionSettings> {
        // The certificate is enough: the listener logs in at the broker for the clients that it admits.
        self.connection(name, listener, None)
    }

    /// How the receiver reaches the upstream stand-in.
    pub(super) fn receiver_connection(&self) -> anyhow::Result<ConnectionSettings> {
        let credentials = self.upstream.embedded.credentials().clone();
        self.connection("receiver", self.upstream.front.address(), Some(credentials))
    }

    /// A connection with a client certificate of its own.
    fn connection(
        &self,
        name: &str,
        listener: SocketAddr,
        credentials: Option<Credentials>,
    ) -> anyhow::Result<ConnectionSettings> {
        let issued = self.authority.issue(&CertificateRequest {
            common_name: name.to_owned(),
            names: vec![name.to_owned()],
            usage: Usage::Client,
            days: DAYS,
        })?;
        let identity = TlsIdentity::from_pem(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes())?;
        let roots = TrustedRoots::from_pem(self.authority.cert_pem().as_bytes())?;
        Ok(ConnectionSettings {
            address: BrokerAddress::parse(&format!("mqtts://localhost:{}", listener.port()))?,
            client_id: name.to_owned(),
            credentials,
            tls: Some(verge_tls::client_config(&roots, Some(&identity))),
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff { min: Duration::from_millis(200), max: Duration::from_secs(2) },
            max_packet_bytes: MAX_PACKET_BYTES,
            renewal: None,
        })
    }
}

impl UpstreamStandIn {
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let embedded = Embedded::start(EmbeddedSettings { max_packet_bytes: MAX_PACKET_BYTES }).await?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let front = front(folder, &embedded, any).await?;
        let wan = self::front(folder, &embedded, any).await?;
        let wan_address = wan.address();
        Ok(Self { embedded, front, wan: Some(wan), wan_address, folder: folder.to_owned() })
    }
}

/// Mutual TLS in front of the broker.
async fn front(folder: &Path, embedded: &Embedded, listen: SocketAddr) -> anyhow::Result<Front> {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    let identity = TlsIdentity::load(&file("broker.pem"), &file("broker.key"))?;
    let roots = TrustedRoots::load(&file("ca.pem"))?;
    let settings = FrontSettings {
        listen,
        tls: Some(verge_tls::server_config(&identity, Some(&roots))),
        broker: embedded.address(),
        login: None,
        policy: Policy::open(),
        limits: FrontLimits::default(),
    };
    Ok(Front::start(settings).await?)
}
