//! Who is believed: webpki decides, and its refusals are put into words while the certificate is still at hand.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt;
use std::iter;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use crate::config::provider;
use crate::diagnosis::{Peer, PresentedChain};
use crate::identity::Authorities;
use crate::{Revocations, ShownCertificates, TrustedRoots};

tokio::task_local! {
    /// Why the client at hand was refused. Its own error goes on unchanged: it decides which alert the client gets.
    pub(crate) static REFUSED: RefCell<Option<String>>;
}

/// Why the server's certificate was refused, in words.
#[derive(Debug)]
pub(crate) struct ServerRefusal(pub(crate) String);

impl fmt::Display for ServerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for ServerRefusal {}

/// What webpki says of signatures, with its refusals in words.
macro_rules! signatures {
    ($($verify:ident),*) => {
        $(fn $verify(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let verified = self.inner.$verify(message, cert, dss);
            verified.map_err(|error| self.refuse(&PresentedChain::alone(cert), error))
        })*

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    };
}

/// For an end that connects. Its refusals carry their words: no state is shared between connections.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    inner: Arc<WebPkiServerVerifier>,
    known: Arc<Authorities>,
}

impl ServerVerifier {
    pub(crate) fn new(roots: &TrustedRoots) -> Arc<Self> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots.store), provider());
        let inner = builder.build().expect("trusted roots hold one at least, and no list of revocations");
        Arc::new(Self { inner, known: Arc::clone(&roots.known) })
    }

    fn refuse(&self, shown: &PresentedChain<'_>, error: Error) -> Error {
        let Error::InvalidCertificate(fault) = error else { return error };
        let words = shown.refusal(Peer::Server, &self.known, &fault);
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(ServerRefusal(words)))))
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = PresentedChain { end_entity, intermediates, name: Some(server_name) };
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| self.refuse(&shown, error))
    }

    signatures!(verify_tls12_signature, verify_tls13_signature);
}

/// For an end that accepts.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    known: Arc<Authorities>,
    revocations: Arc<Revocations>,
}

impl ClientVerifier {
    pub(crate) fn new(roots: &TrustedRoots) -> Arc<Self> {
        Self::revoking(roots, &Revocations::default().shared())
    }

    /// The same, which refuses what is revoked.
    pub(crate) fn revoking(roots: &TrustedRoots, revocations: &Arc<Revocations>) -> Arc<Self> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots.store), provider());
        let inner = builder.build().expect("trusted roots hold one at least, and no list of revocations");
        Arc::new(Self { inner, known: Arc::clone(&roots.known), revocations: Arc::clone(revocations) })
    }

    /// The same where a client may also come without a certificate.
    pub(crate) fn optional(roots: &TrustedRoots, revocations: &Arc<Revocations>) -> Arc<Self> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots.store), provider());
        let inner = builder.allow_unauthenticated().build();
        let inner = inner.expect("trusted roots hold one at least, and no list of revocations");
        Arc::new(Self { inner, known: Arc::clone(&roots.known), revocations: Arc::clone(revocations) })
    }

    fn refuse(&self, shown: &PresentedChain<'_>, error: Error) -> Error {
        if let Error::InvalidCertificate(fault) = &error {
            let words = shown.refusal(Peer::Client, &self.known, fault);
            // Outside of an acceptor nobody asks for the words.
            drop(REFUSED.try_with(|refused| refused.replace(Some(words))));
        }
        error
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let shown = PresentedChain { end_entity, intermediates, name: None };
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now).and_then(|verified| {
            if self.revocations.is_empty() {
                return Ok(verified);
            }
            let chain: Vec<_> = iter::once(end_entity).chain(intermediates).cloned().collect();
            let is_revoked = self.revocations.revoke(&ShownCertificates::of_chain(&chain));
            if is_revoked { Err(CertificateError::Revoked.into()) } else { Ok(verified) }
        });
        verified.map_err(|error| self.refuse(&shown, error))
    }

    signatures!(verify_tls12_signature, verify_tls13_signature);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::explain::explain;

    /// In the time of the fixtures.
    const NOW: Duration = Duration::from_secs(1_900_000_000);

    fn refusal(pem: &[u8], name: &str) -> String {
        let roots = TrustedRoots::from_pem(include_bytes!("../tests/fixtures/ca.pem")).unwrap();
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let verifier = ServerVerifier::new(&roots);
        let error =
            verifier.verify_server_cert(&der, &[], &name, &[], UnixTime::since_unix_epoch(NOW)).unwrap_err();
        explain(&error)
    }

    #[test]
    fn certificates_of_common_guides_are_refused_with_what_to_do() {
        let check = |pem: &[u8], name: &str, expected: &str| {
            let words = refusal(pem, name);
            assert!(words.contains(expected), "expected {expected:?}, got {words:?}");
            assert!(!words.contains("Error") && !words.contains('\n'), "{words}");
        };
        let version1 = include_bytes!("../tests/fixtures/version1.pem");
        check(version1, "localhost", "is of X.509 version 1 (`openssl x509 -req` without extensions");
        check(version1, "localhost", "subjectAltName=DNS:localhost");
        check(version1, "10.0.0.5", "subjectAltName=IP:10.0.0.5");
        let sha1 = include_bytes!("../tests/fixtures/sha1.pem");
        check(sha1, "localhost", "CN=sha1 is signed with SHA-1");
    }

    #[test]
    fn a_short_key_is_named_as_the_cause_when_its_signature_is_not_accepted() {
        let roots = TrustedRoots::from_pem(include_bytes!("../tests/fixtures/ca.pem")).unwrap();
        let der = CertificateDer::from_pem_slice(include_bytes!("../tests/fixtures/rsa1024.pem")).unwrap();
        let refused = ServerVerifier::new(&roots)
            .refuse(&PresentedChain::alone(&der), Error::InvalidCertificate(CertificateError::BadSignature));
        assert!(explain(&refused).contains("has an RSA key of 1024 bits"), "{}", explain(&refused));
    }
}
