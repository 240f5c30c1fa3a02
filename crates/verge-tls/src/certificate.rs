//! Certificates read for people.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;

use crate::TlsError;
use crate::pem::certificates;

/// Longer texts of a certificate are cut: whoever made it chose them.
const MAX_TEXT: usize = 200;
/// Names of one certificate that are looked at.
const MAX_IDENTITIES: usize = 16;
/// Shorter RSA keys are not accepted by the provider.
const MIN_RSA_BITS: usize = 2048;

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

/// What makes a certificate too weak to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// An RSA key of this many bits.
    ShortKey(usize),
    /// Signed over a digest that is broken; its name.
    Digest(&'static str),
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortKey(bits) => {
                write!(f, "has an RSA key of {bits} bits, at least {MIN_RSA_BITS} are required")
            }
            Self::Digest(name) => {
                write!(f, "is signed with {name}, which is no longer accepted; SHA-256 is required")
            }
        }
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// Subject alternative names: DNS names and IP addresses. An address that stands there as a DNS name, which no peer
    /// accepts, has `DNS:` before it.
    pub names: Vec<String>,
    /// Valid from, in seconds since 1970, UTC.
    pub not_before: i64,
    /// Valid until, in seconds since 1970, UTC.
    pub not_after: i64,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Version of X.509: TLS needs 3.
    pub version: u32,
    /// Whether it is an authority's.
    pub is_ca: bool,
    /// What it may be used for; `None` where it does not say.
    pub usage: Option<Usage>,
    /// Why nobody accepts it any more.
    pub weakness: Option<Weakness>,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

impl CertificateSummary {
    /// Whether it names itself as its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

/// Reads every certificate of a PEM text. `what` names the text in errors.
///
/// # Errors
/// Not PEM, no certificate in it, or not X.509.
pub fn summary(pem: &[u8], what: &str) -> Result<Vec<CertificateSummary>, TlsError> {
    certificates(pem, what)?.iter().map(|der| parsed(der, what)).collect()
}

pub(crate) fn parsed(der: &CertificateDer<'_>, what: &str) -> Result<CertificateSummary, TlsError> {
    summarise(der).ok_or_else(|| TlsError::NotX509 { what: what.to_owned() })
}

/// `None`: not X.509.
pub(crate) fn summarise(der: &CertificateDer<'_>) -> Option<CertificateSummary> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let digest = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()?
        .common
        .hash_provider
        .hash(der);
    let common_name = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
    Some(CertificateSummary {
        subject: name(certificate.subject()),
        issuer: name(certificate.issuer()),
        common_name: common_name.map(shown),
        names: alternative_names(&certificate),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        serial: hex(certificate.raw_serial()),
        version: certificate.version().0.saturating_add(1),
        is_ca: certificate.is_ca(),
        usage: usage(&certificate),
        weakness: weakness(&certificate),
        fingerprint: hex(digest.as_ref()),
    })
}

/// DNS names, then the common name, each once and as it stands there.
pub(crate) fn identities_of(der: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(der) else { return Vec::new() };
    let mut identities: Vec<String> = Vec::new();
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|names| &names.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    for name in dns.chain(common).take(MAX_IDENTITIES) {
        if !identities.iter().any(|known| known == name) {
            identities.push(name.to_owned());
        }
    }
    identities
}

/// Alternative names as they stand there: DNS names and addresses. An address that stands there as a DNS name is left out.
pub(crate) fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) if name.parse::<IpAddr>().is_err() => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    names.collect()
}

/// Subject public key info, DER.
pub(crate) fn public_key_of(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// A time as people read it, in seconds since 1970.
pub(crate) fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| "a year that no calendar has".to_owned(),
        |time| format!("{} {:02}:{:02} UTC", time.date(), time.hour(), time.minute()),
    )
}

fn name(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    if text.is_empty() { "(no name)".to_owned() } else { shown(&text) }
}

/// A text from a certificate, on one line and of bounded length.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_TEXT).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

pub(crate) fn usage(certificate: &X509Certificate<'_>) -> Option<Usage> {
    let purposes = certificate.extended_key_usage().ok()??.value;
    match (purposes.server_auth, purposes.client_auth) {
        (true, true) => Some(Usage::Both),
        (true, false) => Some(Usage::Server),
        (false, true) => Some(Usage::Client),
        (false, false) => None,
    }
}

fn weakness(certificate: &X509Certificate<'_>) -> Option<Weakness> {
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < MIN_RSA_BITS
    {
        return Some(Weakness::ShortKey(key.key_size()));
    }
    // An authority's signature on itself is not looked at.
    if certificate.subject().as_raw() == certificate.issuer().as_raw() && certificate.is_ca() {
        return None;
    }
    match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" => Some(Weakness::Digest("MD5")),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => Some(Weakness::Digest("SHA-1")),
        _ => None,
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) if name.parse::<IpAddr>().is_ok() => Some(format!("DNS:{name}")),
            GeneralName::DNSName(name) => Some(shown(name)),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::from(octets).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(octets).to_string())).ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
