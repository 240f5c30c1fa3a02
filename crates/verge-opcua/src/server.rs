//! A running server: the library behind the front, and the task that follows the board.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opcua::crypto::{SecurityPolicy, X509Data};
use opcua::server::node_manager::ServerContext;
use opcua::server::{Limits, ServerBuilder, ServerEndpoint, ServerHandle, SubscriptionLimits};
use opcua::types::{BuildInfo, DateTime, MessageSecurityMode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use verge_domain::board::Board;
use verge_domain::id::{GatewayId, JudgeId};
use verge_domain::image::{PointContent, PointQuality};

use crate::OpcUaSettings;
use crate::access::Access;
use crate::follow::Follower;
use crate::frame::MAX_FRAME;
use crate::front::{Front, OpcuaCounters, POLICIES};
use crate::nodes::{Items, MAX_ITEMS, NAMESPACE, VerdictNodes};
use crate::pki::{OWN_CERTIFICATE, OWN_KEY, Pki, PkiError};
use crate::shown::{OpcuaView, Shown};

/// Subscriptions of all clients together.
const MAX_SUBSCRIPTIONS: usize = 64;
const MAX_MESSAGE: usize = 4 << 20;
/// A session that asks nothing for this long ends.
const SESSION: Duration = Duration::from_secs(60);
/// A client renews its keys within this time, and shows its certificate again.
const KEYS: Duration = Duration::from_secs(300);
/// Seconds in which a connection opens a channel. The front is sooner with what it looks at itself.
const HELLO_SECONDS: u32 = 20;
/// How often a subscription may report at most, and is looked at.
const PUBLISHING_MS: u32 = 50;
/// Reports without news, and reports that a client does not ask for, after which a subscription ends.
const MAX_KEEP_ALIVE: u32 = 100;
/// Reports that wait for a client.
const MAX_REPORTS: usize = 100;
const MAX_VALUES_PER_REPORT: u64 = 1000;
/// Values of one variable, or events, that wait for a client.
const MAX_QUEUE: usize = 256;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpcUaError {
    /// Its certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The listener.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The library refuses its settings.
    #[error("the OPC UA library refuses its settings: {0}")]
    Build(String),
}

/// The application URI of a gateway.
#[must_use]
pub fn application_uri(gateway: &GatewayId) -> String {
    format!("urn:verge:{gateway}")
}

/// A running server. It ends when it is dropped.
pub struct OpcUaServer {
    name: String,
    address: SocketAddr,
    counters: Arc<OpcuaCounters>,
    shown: Arc<Shown>,
    items: Arc<Items>,
    handle: ServerHandle,
    tasks: Vec<JoinHandle<()>>,
}

impl OpcUaServer {
    /// Serves on a listener, by tasks of the present runtime. Makes the folders of certificates where they are missing, and
    /// a certificate of its own.
    ///
    /// # Errors
    /// See [`OpcUaError`].
    pub fn start(
        settings: OpcUaSettings,
        listener: std::net::TcpListener,
        board: Arc<dyn Board>,
        view: Arc<dyn OpcuaView>,
    ) -> Result<Self, OpcUaError> {
        let (listener, address) = usable(listener)?;
        let host = host_of(address);
        let uri = application_uri(&settings.gateway);
        let pki = Pki::open(&settings.pki_dir, &uri, &format!("Verge {}", settings.gateway), &host)?;
        // On this machine alone, and with the same certificates and logins as in front.
        let (behind, behind_address) =
            usable(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(OpcUaError::Listen)?)?;
        let counters = Arc::<OpcuaCounters>::default();
        let shown =
            Arc::new(Shown::new(view, settings.stale_after, settings.judges.clone(), board.raised_before()));
        let items = Arc::<Items>::default();
        let namespace = Arc::<OnceLock<u16>>::default();
        let nodes = {
            let (shown, items, errors) =
                (Arc::clone(&shown), Arc::clone(&items), Arc::clone(&counters.errors));
            let known = Arc::clone(&namespace);
            move |context: ServerContext| {
                let namespace = context.type_tree.write().namespaces_mut().add_namespace(NAMESPACE);
                VerdictNodes { shown, items, namespace: *known.get_or_init(|| namespace), errors }
            }
        };
        let access = Access::new(
            settings.anonymous,
            settings.logins.clone(),
            pki.clone(),
            Arc::clone(&counters.logins_refused),
        );
        let builder = builder(&settings, &uri, (&host, address.port()), &pki)
            .with_authenticator(Arc::new(access))
            .with_node_manager(nodes);
        let (server, handle) = builder.build().map_err(OpcUaError::Build)?;
        let follower = Follower {
            shown: Arc::clone(&shown),
            board,
            subscriptions: Arc::clone(handle.subscriptions()),
            items: Arc::clone(&items),
            namespace: namespace.get().copied().unwrap_or_default(),
            words: Arc::clone(&settings.words),
            pki: pki.clone(),
        };
        let front = Front {
            name: settings.name.clone(),
            max_clients: settings.max_clients,
            idle: settings.idle,
            allow: settings.allow,
            insecure_none: settings.insecure_none,
            pki,
            counters: Arc::clone(&counters),
            behind: behind_address,
        };
        let name = settings.name;
        let serve = {
            let name = name.clone();
            async move {
                if let Err(error) = server.run_with(behind).await {
                    tracing::error!(server = %name, %error, "OPC UA has ended");
                }
            }
        };
        let info = Arc::clone(handle.info());
        let accept = async move {
            // The library announces the port that it listens on itself: once that is known, it is the one in front.
            while info.port.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            info.port.store(address.port(), Ordering::Relaxed);
            Arc::new(front).run(listener).await;
        };
        let tasks = vec![tokio::spawn(serve), tokio::spawn(follower.run()), tokio::spawn(accept)];
        Ok(Self { name, address, counters, shown, items, handle, tasks })
    }

    /// Other judges are at work.
    pub fn take_up(&self, judges: HashMap<JudgeId, PointContent>) {
        self.shown.take_up(judges);
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &OpcuaCounters {
        &self.counters
    }

    /// Variables that clients follow.
    #[must_use]
    pub fn followed(&self) -> u64 {
        self.items.lock().len() as u64
    }

    /// Points by their quality, in the order of [`PointQuality::ALL`]; points for which there was no room.
    #[must_use]
    pub fn qualities(&self) -> ([u64; PointQuality::ALL.len()], u64) {
        self.shown.qualities()
    }
}

impl Drop for OpcUaServer {
    fn drop(&mut self) {
        self.handle.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn usable(listener: std::net::TcpListener) -> Result<(TcpListener, SocketAddr), OpcUaError> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The name under which clients connect, as they read it.
fn host_of(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => {
            X509Data::computer_hostnames().into_iter().next().unwrap_or_else(|| "localhost".to_owned())
        }
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    }
}

fn builder(settings: &OpcUaSettings, uri: &str, (host, port): (&str, u16), pki: &Pki) -> ServerBuilder {
    let build_info = BuildInfo {
        product_uri: "urn:verge".into(),
        manufacturer_name: "Verge".into(),
        product_name: "Verge".into(),
        software_version: settings.version.into(),
        build_number: settings.version.into(),
        build_date: DateTime::null(),
    };
    let mut builder = ServerBuilder::new()
        .application_name(format!("Verge {}", settings.gateway))
        .application_uri(uri)
        .product_uri("urn:verge")
        .create_sample_keypair(false)
        .certificate_path(OWN_CERTIFICATE)
        .private_key_path(OWN_KEY)
        .pki_dir(pki.dir())
        .host(host)
        .port(port)
        .hello_timeout(HELLO_SECONDS)
        .discovery_urls(vec![format!("opc.tcp://{host}:{port}/")])
        .limits(limits(settings.max_clients))
        .subscription_poll_interval_ms(u64::from(PUBLISHING_MS))
        .max_secure_channel_token_lifetime_ms(millis(KEYS))
        .max_session_timeout_ms(u64::from(millis(SESSION)))
        .build_info(build_info);
    for policy in POLICIES {
        let endpoint = ServerEndpoint::new("/", policy, MessageSecurityMode::SignAndEncrypt, &[]);
        builder = builder.add_endpoint(policy.to_str(), endpoint);
    }
    if settings.insecure_none {
        let mut endpoint = ServerEndpoint::new_none("/", &[]);
        // Passwords are encrypted all the same.
        endpoint.password_security_policy = Some(SecurityPolicy::Basic256Sha256.to_str().to_owned());
        builder = builder.add_endpoint("None", endpoint);
    }
    builder
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

fn limits(max_clients: usize) -> Limits {
    Limits {
        max_message_size: MAX_MESSAGE,
        max_chunk_count: MAX_MESSAGE.div_ceil(MAX_FRAME),
        send_buffer_size: MAX_FRAME,
        receive_buffer_size: MAX_FRAME,
        max_sessions: max_clients,
        max_browse_continuation_points: 16,
        max_history_continuation_points: 1,
        max_query_continuation_points: 1,
        subscriptions: SubscriptionLimits {
            max_subscriptions_per_session: (MAX_SUBSCRIPTIONS / max_clients).max(1),
            min_sampling_interval_ms: f64::from(PUBLISHING_MS),
            min_publishing_interval_ms: f64::from(PUBLISHING_MS),
            max_keep_alive_count: MAX_KEEP_ALIVE,
            max_lifetime_count: 3 * MAX_KEEP_ALIVE,
            max_monitored_items_per_sub: MAX_ITEMS,
            max_monitored_item_queue_size: MAX_QUEUE,
            max_notifications_per_publish: MAX_VALUES_PER_REPORT,
            max_queued_notifications: MAX_REPORTS,
            ..SubscriptionLimits::default()
        },
        ..Limits::default()
    }
}
