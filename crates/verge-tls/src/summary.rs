//! Certificates read for people.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::X509Certificate;

use crate::TlsError;
use crate::identity::certificates;

/// What a certificate may be used for (RFC 5280, extended key usage).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To accept connections.
    Server,
    /// To connect.
    Client,
    /// Both.
    Both,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Subject alternative names: DNS names and IP addresses.
    pub names: Vec<String>,
    /// Valid from, in seconds since 1970, UTC.
    pub not_before: i64,
    /// Valid until, in seconds since 1970, UTC.
    pub not_after: i64,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Whether it is an authority's.
    pub is_ca: bool,
    /// What it may be used for; `None` where it does not say.
    pub usage: Option<Usage>,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

/// Reads every certificate of a PEM text. `what` names the text in errors.
///
/// # Errors
/// Not PEM, no certificate in it, or not X.509.
pub fn summary(pem: &[u8], what: &str) -> Result<Vec<CertificateSummary>, TlsError> {
    certificates(pem, what)?
        .iter()
        .map(|der| summarise(der).ok_or_else(|| TlsError::NotX509 { what: what.to_owned() }))
        .collect()
}

fn summarise(der: &CertificateDer<'_>) -> Option<CertificateSummary> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let digest = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()?
        .common
        .hash_provider
        .hash(der);
    Some(CertificateSummary {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names: alternative_names(&certificate),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        serial: hex(certificate.raw_serial()),
        is_ca: certificate.is_ca(),
        usage: usage(&certificate),
        fingerprint: hex(digest.as_ref()),
    })
}

fn usage(certificate: &X509Certificate<'_>) -> Option<Usage> {
    let purposes = certificate.extended_key_usage().ok()??.value;
    match (purposes.server_auth, purposes.client_auth) {
        (true, true) => Some(Usage::Both),
        (true, false) => Some(Usage::Server),
        (false, true) => Some(Usage::Client),
        (false, false) => None,
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| std::net::IpAddr::from(octets).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| std::net::IpAddr::from(octets).to_string())).ok()
}

/// Alternative names, or the common name where there are none.
pub(crate) fn names_of(der: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let names = alternative_names(&certificate);
    if !names.is_empty() {
        return Some(names);
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    Some(common.map(str::to_owned).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
