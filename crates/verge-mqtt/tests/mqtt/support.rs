//! Waiting for conditions with a deadline, and the settings all tests share.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use verge_broker::{Embedded, EmbeddedSettings};
use verge_domain::backoff::Backoff;
use verge_domain::time::{Moment, UtcMillis};
use verge_mqtt::{BrokerAddress, ConnectionSettings};

/// Far above what anything here takes, for machines that are busy with something else.
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits for a future, and says what it was when it does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) const MAX_PACKET_BYTES: usize = 20_000;

pub(crate) fn settings(address: SocketAddr, client_id: &str) -> ConnectionSettings {
    ConnectionSettings {
        address: BrokerAddress::plain(address),
        client_id: client_id.to_owned(),
        credentials: None,
        tls: None,
        keep_alive: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(10),
        backoff: Backoff { min: Duration::from_millis(10), max: Duration::from_millis(40) },
        max_packet_bytes: MAX_PACKET_BYTES,
        renewal: None,
    }
}

/// The real broker, one for all tests: it has no stop.
pub(crate) async fn embedded() -> &'static Embedded {
    static BROKER: OnceCell<Embedded> = OnceCell::const_new();
    BROKER
        .get_or_init(|| async {
            let settings = EmbeddedSettings { max_packet_bytes: 256 * 1024 };
            Embedded::start(settings).await.expect("the embedded broker starts")
        })
        .await
}

/// A name that no other test has: they share one broker.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn clock() -> Moment {
    Moment::from_wall(UtcMillis(1_700_000_000_000))
}

/// Settings to connect to a broker directly, with its login.
pub(crate) fn direct(broker: &Embedded, client_id: &str) -> ConnectionSettings {
    ConnectionSettings {
        credentials: Some(broker.credentials().clone()),
        max_packet_bytes: 256 * 1024,
        ..settings(broker.address(), client_id)
    }
}
