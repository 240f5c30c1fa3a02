//! TLS configurations for both ends. Every one names its provider and its clock explicitly, so nothing
//! depends on what a process has installed or forgotten to.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;

pub use rustls::{ClientConfig, ServerConfig};

use crate::verifier::{ClientVerifier, ServerVerifier};
use crate::{Revocations, TlsIdentity, TrustedRoots};

/// Installs the cryptographic provider of this process, for libraries that look for the installed one.
/// Further calls do nothing.
pub fn install_provider() {
    // An error says that one is installed already: by an earlier call of this function.
    drop(aws_lc_rs::default_provider().install_default());
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A clock for certificates that never shows a time before this program was made: a cabinet that boots in
/// 1970 must not be locked out by certificates that are "not yet valid".
#[derive(Debug)]
struct FlooredClock {
    floor: UnixTime,
}

/// 2026-11-23: no certificate that this version could meet expired before it was written.
const FLOOR: Duration = Duration::from_secs(1_795_392_000);

impl FlooredClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { floor: UnixTime::since_unix_epoch(FLOOR) })
    }

    fn at(&self, system: Option<Duration>) -> UnixTime {
        system.map_or(self.floor, UnixTime::since_unix_epoch).max(self.floor)
    }
}

impl TimeProvider for FlooredClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.at(SystemTime::now().duration_since(UNIX_EPOCH).ok()))
    }
}

/// The time since 1970 by which certificates are judged.
pub(crate) fn time_of_certificates() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().max(FLOOR)
}

/// For an end that connects: the server's certificate must lead to `roots` and carry the name connected to.
///
/// # Panics
/// Never: the provider supports both versions.
#[must_use]
pub fn client_config(roots: &TrustedRoots, identity: Option<&TlsIdentity>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_details(provider(), FlooredClock::new())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(ServerVerifier::new(roots));
    Arc::new(match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        None => builder.with_no_client_auth(),
    })
}

/// For an end that accepts. With `client_roots`, a client must show a certificate that leads to them.
///
/// # Panics
/// Never: the provider supports both versions.
#[must_use]
pub fn server_config(identity: &TlsIdentity, client_roots: Option<&TrustedRoots>) -> Arc<ServerConfig> {
    Arc::new(accepting(identity, client_roots.map(ClientVerifier::new)))
}

/// What an end that accepts asks of clients beside a certificate that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientTerms {
    /// A client may also come without any certificate.
    pub certificate_optional: bool,
    /// A client may speak TLS 1.2 as well as 1.3.
    pub takes_tls_1_2: bool,
}

/// The same, which refuses clients whose certificate is revoked. No session is resumed: each handshake looks at the certificate
/// again, so that one that has expired meanwhile is not let in by a ticket.
///
/// # Panics
/// Never: the provider supports both versions.
#[must_use]
pub fn revoking_server_config(
    identity: &TlsIdentity,
    client_roots: &TrustedRoots,
    revocations: &Arc<Revocations>,
    terms: ClientTerms,
) -> Arc<ServerConfig> {
    let clients = if terms.certificate_optional {
        ClientVerifier::optional(client_roots, revocations)
    } else {
        ClientVerifier::revoking(client_roots, revocations)
    };
    let versions = if terms.takes_tls_1_2 { rustls::ALL_VERSIONS } else { NEWEST };
    Arc::new(without_resumption(accepting_versions(identity, Some(clients), versions)))
}

fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// TLS 1.3 alone.
const NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn accepting(identity: &TlsIdentity, clients: Option<Arc<ClientVerifier>>) -> ServerConfig {
    accepting_versions(identity, clients, rustls::DEFAULT_VERSIONS)
}

fn accepting_versions(
    identity: &TlsIdentity,
    clients: Option<Arc<ClientVerifier>>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let builder = ServerConfig::builder_with_details(provider(), FlooredClock::new())
        .with_protocol_versions(versions)
        .expect("the provider supports TLS 1.2 and 1.3");
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    builder.with_cert_resolver(identity.resolver())
}

/// Name of HTTP/2 in ALPN (RFC 9113 section 3.2).
pub(crate) const HTTP_2: &[u8] = b"h2";
/// Name of HTTP/1.1.
const HTTP_1: &[u8] = b"http/1.1";

/// For a web server, which says by ALPN that it speaks HTTP/2 and HTTP/1.1. With `client_roots` a client may show a certificate
/// that leads to them; browsers mostly have none.
///
/// # Panics
/// Never: the provider supports both versions.
#[must_use]
pub fn web_server_config(identity: &TlsIdentity, client_roots: Option<&TrustedRoots>) -> Arc<ServerConfig> {
    let clients = client_roots.map(|roots| ClientVerifier::optional(roots, &Revocations::default().shared()));
    Arc::new(web(identity, clients, &[HTTP_2, HTTP_1]))
}

/// For a web server that speaks HTTP/1.1 alone and refuses clients whose certificate is revoked. No session is resumed: each
/// handshake looks at the certificate again.
///
/// # Panics
/// Never: the provider supports both versions.
#[must_use]
pub fn revoking_web_server_config(
    identity: &TlsIdentity,
    client_roots: &TrustedRoots,
    revocations: &Arc<Revocations>,
) -> Arc<ServerConfig> {
    let clients = ClientVerifier::optional(client_roots, revocations);
    Arc::new(without_resumption(web(identity, Some(clients), &[HTTP_1])))
}

fn web(identity: &TlsIdentity, clients: Option<Arc<ClientVerifier>>, protocols: &[&[u8]]) -> ServerConfig {
    let mut config = accepting(identity, clients);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, CertificateRequest};

    #[test]
    fn certificate_time_never_falls_behind_the_program() {
        let clock = FlooredClock::new();
        let check = |system: Option<u64>, expected: u64| {
            let now = clock.at(system.map(Duration::from_secs));
            assert_eq!(now.as_secs(), expected, "{system:?}");
        };
        check(None, FLOOR.as_secs());
        check(Some(0), FLOOR.as_secs());
        check(Some(FLOOR.as_secs() + 1), FLOOR.as_secs() + 1);
    }

    /// What a server under these terms answers to a client that speaks TLS 1.2 alone.
    fn meet_tls_1_2(server: &Arc<ServerConfig>, roots: &TrustedRoots) -> Result<(), rustls::Error> {
        let client = ClientConfig::builder_with_details(provider(), FlooredClock::new())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(ServerVerifier::new(roots))
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = rustls::ServerConnection::new(Arc::clone(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            let mut unread = &flight[..];
            while !unread.is_empty() {
                server.read_tls(&mut unread).unwrap();
            }
            server.process_new_packets()?;
            let mut flight = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            let mut unread = &flight[..];
            while !unread.is_empty() {
                client.read_tls(&mut unread).unwrap();
            }
            client.process_new_packets()?;
        }
        assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
        Ok(())
    }

    #[test]
    fn tls_1_2_is_accepted_where_the_terms_say_so_and_no_session_is_resumed() {
        let authority = Authority::create("a", 30).unwrap();
        let request = CertificateRequest {
            common_name: "broker".to_owned(),
            names: vec!["localhost".to_owned()],
            usage: crate::Usage::Server,
            days: 30,
        };
        let issued = authority.issue(&request).unwrap();
        let identity = TlsIdentity::from_pem(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
        let roots = TrustedRoots::from_pem(authority.cert_pem().as_bytes()).unwrap();
        let revocations = Arc::new(Revocations::default());
        for takes_tls_1_2 in [false, true] {
            let terms = ClientTerms { certificate_optional: true, takes_tls_1_2 };
            let server = revoking_server_config(&identity, &roots, &revocations, terms);
            let met = meet_tls_1_2(&server, &roots);
            let refused =
                Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled));
            assert_eq!(met, if takes_tls_1_2 { Ok(()) } else { refused }, "{terms:?}");
            assert_eq!(server.send_tls13_tickets, 0, "{terms:?}");
            assert!(!server.session_storage.can_cache(), "{terms:?}");
        }
        let web = revoking_web_server_config(&identity, &roots, &revocations);
        assert_eq!((web.send_tls13_tickets, web.session_storage.can_cache()), (0, false));
    }
}
