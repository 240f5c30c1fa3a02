//! How to reach a broker.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{MqttOptions, NetworkOptions, TlsConfiguration, Transport};
use verge_domain::backoff::Backoff;
use verge_tls::{ClientConfig, Credentials};

use crate::packet;
use crate::renewal::{ConnectionAccess, Renewal};

/// rumqttc takes no shorter keep-alive; the protocol's field has 16 bits.
const MIN_KEEP_ALIVE: Duration = Duration::from_secs(1);
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(u16::MAX as u64);

/// Host and port of a broker, and whether TLS is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    host: String,
    port: u16,
    tls: bool,
}

/// Why a text is not the address of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `mqtt://` nor `mqtts://` in front.
    #[error("it must begin with mqtt:// or mqtts://")]
    Scheme,
    /// Nothing that could be a host.
    #[error("the host is missing")]
    Host,
    /// Not a port number.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// A path, a query or a user stands behind or before the host.
    #[error("only a host and a port may follow")]
    Extra,
}

impl BrokerAddress {
    /// Takes `mqtt://host[:1883]` or `mqtts://host[:8883]`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let (tls, rest) = match (url.strip_prefix("mqtts://"), url.strip_prefix("mqtt://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(AddressError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', ' ']) {
            return Err(AddressError::Extra);
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, behind) = bracketed.split_once(']').ok_or(AddressError::Host)?;
                match behind {
                    "" => (host, None),
                    _ => (host, Some(behind.strip_prefix(':').ok_or(AddressError::Extra)?)),
                }
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() {
            return Err(AddressError::Host);
        }
        let port = match port {
            None => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or(AddressError::Port)?,
        };
        Ok(Self { host: host.to_owned(), port, tls })
    }

    /// The address of a listener without TLS.
    #[must_use]
    pub fn plain(listener: SocketAddr) -> Self {
        Self { host: listener.ip().to_string(), port: listener.port(), tls: false }
    }

    /// The address of a listener with TLS, under the host name that its certificate carries.
    #[must_use]
    pub fn tls(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, tls: true }
    }

    /// Host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is spoken there.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Everything about one connection that does not depend on what it is for.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// The broker.
    pub address: BrokerAddress,
    /// Client identifier; a persistent session lives under it.
    pub client_id: String,
    /// User and password, if the broker asks for them.
    pub credentials: Option<Credentials>,
    /// TLS, required where the address says `mqtts`.
    pub tls: Option<Arc<ClientConfig>>,
    /// A connection whose other end is dead is given up after one and a half times this at most; at least a second.
    pub keep_alive: Duration,
    /// Time for TCP, TLS and CONNACK together, and for a write to get through.
    pub connect_timeout: Duration,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// Largest MQTT packet in both directions, in bytes.
    pub max_packet_bytes: usize,
    /// Where `credentials` and `tls` come from, to be read again at each attempt.
    pub renewal: Option<Renewal>,
}

impl ConnectionSettings {
    /// For a broker on this machine, without TLS: it answers at once, or does not work.
    #[must_use]
    pub fn loopback(
        listener: SocketAddr,
        client_id: &str,
        credentials: Credentials,
        max_packet_bytes: usize,
    ) -> Self {
        Self {
            address: BrokerAddress::plain(listener),
            client_id: client_id.to_owned(),
            credentials: Some(credentials),
            tls: None,
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff { min: Duration::from_millis(100), max: Duration::from_secs(2) },
            max_packet_bytes,
            renewal: None,
        }
    }

    /// Options for one attempt.
    ///
    /// # Errors
    /// TLS is asked for and not configured: there is no falling back to plain text.
    pub(crate) fn options(&self) -> Result<MqttOptions, String> {
        let mut options = MqttOptions::new(&self.client_id, &self.address.host, self.address.port);
        options.set_keep_alive(self.announced_keep_alive());
        options.set_max_packet_size(packet::largest_remaining(self.max_packet_bytes), self.max_packet_bytes);
        // Nothing is pending on a fresh event loop, so there is nothing to throttle.
        options.set_pending_throttle(Duration::ZERO);
        let given = || ConnectionAccess { credentials: self.credentials.clone(), tls: self.tls.clone() };
        let access = self.renewal.as_ref().map_or_else(given, Renewal::access);
        if let Some(Credentials { username, password }) = access.credentials {
            options.set_credentials(username, password.reveal());
        }
        match (self.address.is_tls(), access.tls) {
            (true, Some(config)) => {
                let tls = TlsConfiguration::Rustls(config);
                options.set_transport(Transport::tls_with_config(tls));
            }
            (true, None) => return Err("mqtts:// needs certificates, and none are configured".to_owned()),
            (false, _) => {}
        }
        Ok(options)
    }

    /// The interval of pings that CONNECT announces. rumqttc notices only at the next ping that there was
    /// no answer, so a dead connection lasts up to twice this. In whole seconds, since CONNECT has no others.
    pub(crate) fn announced_keep_alive(&self) -> Duration {
        let seconds = Duration::from_secs(self.keep_alive.saturating_mul(2).as_secs() / 3);
        seconds.clamp(MIN_KEEP_ALIVE, MAX_KEEP_ALIVE)
    }

    /// How long the broker may owe an acknowledgement.
    pub(crate) fn patience(&self) -> Duration {
        self.keep_alive.max(MIN_KEEP_ALIVE)
    }

    pub(crate) fn network_options(&self) -> NetworkOptions {
        let mut options = NetworkOptions::new();
        options.set_tcp_nodelay(true);
        options.set_connection_timeout(self.whole_connect_timeout().as_secs());
        options
    }

    /// The connect timeout as rumqttc takes it: whole seconds, at least one.
    pub(crate) fn whole_connect_timeout(&self) -> Duration {
        let rounded_up = u64::from(self.connect_timeout.subsec_nanos() > 0);
        Duration::from_secs(self.connect_timeout.as_secs().saturating_add(rounded_up).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let check = |url: &str, expected: Result<(&str, u16, bool), AddressError>| {
            let parsed = BrokerAddress::parse(url);
            let parts = parsed.as_ref().map(|address| (address.host(), address.port(), address.is_tls()));
            assert_eq!(parts.map_err(|error| *error), expected, "{url}");
        };
        check("mqtt://localhost", Ok(("localhost", 1883, false)));
        check("mqtts://b.example:8884/", Ok(("b.example", 8884, true)));
        check("mqtts://[::1]:1", Ok(("::1", 1, true)));
        check("mqtt://[::1]", Ok(("::1", 1883, false)));
        check("tcp://x", Err(AddressError::Scheme));
        check("mqtt://", Err(AddressError::Host));
        check("mqtt://h:0", Err(AddressError::Port));
        check("mqtt://h:x", Err(AddressError::Port));
        check("mqtt://u:p@h", Err(AddressError::Extra));
        check("mqtt://h/path", Err(AddressError::Extra));
    }

    #[test]
    fn tls_is_never_left_out() {
        let settings = |url: &str| ConnectionSettings {
            address: BrokerAddress::parse(url).unwrap(),
            client_id: "t".to_owned(),
            credentials: None,
            tls: None,
            keep_alive: Duration::ZERO,
            connect_timeout: Duration::from_millis(1500),
            backoff: Backoff::DEFAULT,
            max_packet_bytes: 1000,
            renewal: None,
        };
        assert!(settings("mqtts://h").options().is_err());
        let options = settings("mqtt://h").options().unwrap();
        assert_eq!(options.keep_alive(), MIN_KEEP_ALIVE);
        assert_eq!(settings("mqtt://h").patience(), MIN_KEEP_ALIVE);
        let usual = ConnectionSettings { keep_alive: Duration::from_secs(30), ..settings("mqtt://h") };
        assert_eq!(usual.options().unwrap().keep_alive(), Duration::from_secs(20), "dead after 40 s at most");
        let odd = ConnectionSettings { keep_alive: Duration::from_secs(4), ..settings("mqtt://h") };
        assert_eq!(odd.options().unwrap().keep_alive(), Duration::from_secs(2), "as CONNECT can say it");
        assert_eq!(settings("mqtt://h").whole_connect_timeout(), Duration::from_secs(2));
    }
}
