//! A throwaway authority, and connections through a front that speaks TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use verge_broker::{Front, FrontLimits, FrontSettings, Policy};
use verge_mqtt::{BrokerAddress, ConnectionSettings};
use verge_tls::authority::{Authority, CertificateRequest};
use verge_tls::{ClientConfig, ServerConfig, TlsIdentity, TrustedRoots, Usage};

use crate::support::{embedded, settings, unique};

/// The name in the certificate of a client.
pub(crate) const CLIENT: &str = "client";

/// A throwaway authority and what it has issued.
pub(crate) struct Certificates {
    authority: Authority,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        verge_tls::install_provider();
        Self { authority: Authority::create(&unique("test authority"), 1).unwrap() }
    }

    fn roots(&self) -> TrustedRoots {
        TrustedRoots::from_pem(self.authority.cert_pem().as_bytes()).unwrap()
    }

    fn identity(&self, name: &str, usage: Usage) -> TlsIdentity {
        let names = if usage == Usage::Client { vec![] } else { vec!["127.0.0.1".to_owned()] };
        let request = CertificateRequest { common_name: name.to_owned(), names, usage, days: 1 };
        let issued = self.authority.issue(&request).unwrap();
        TlsIdentity::from_pem(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap()
    }

    /// For a client that shows a certificate of this authority and trusts it.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        verge_tls::client_config(&self.roots(), Some(&self.identity(CLIENT, Usage::Client)))
    }

    /// For a client that trusts this authority and has no certificate.
    pub(crate) fn client_without_identity(&self) -> Arc<ClientConfig> {
        verge_tls::client_config(&self.roots(), None)
    }

    /// For a client that trusts another authority and shows a certificate of this one.
    pub(crate) fn client_of(&self, other: &Self) -> Arc<ClientConfig> {
        verge_tls::client_config(&other.roots(), Some(&self.identity(CLIENT, Usage::Client)))
    }

    /// For a listener.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        verge_tls::server_config(&self.identity("front", Usage::Server), Some(&self.roots()))
    }

    pub(crate) async fn front(&self, limits: FrontLimits) -> Front {
        self.front_of(Policy::open(), limits).await
    }

    pub(crate) async fn front_of(&self, policy: Policy, limits: FrontLimits) -> Front {
        let (tls, login) = (Some(self.server()), None);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let broker = embedded().await.address();
        Front::start(FrontSettings { listen, tls, broker, login, policy, limits }).await.unwrap()
    }
}

/// Settings to connect through a front.
pub(crate) async fn through(front: &Front, tls: Arc<ClientConfig>, client_id: &str) -> ConnectionSettings {
    ConnectionSettings {
        address: BrokerAddress::tls("127.0.0.1", front.address().port()),
        credentials: Some(embedded().await.credentials().clone()),
        tls: Some(tls),
        ..settings(front.address(), client_id)
    }
}
