//! Certificates that are made: an authority of one's own, and what it issues.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, CertificateSigningRequestDer};
use time::{Duration, OffsetDateTime};

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::public_key_of;
use crate::pem::{certificates, private_key, read};
use crate::replacing::replace_file;
use crate::{TlsError, TlsIdentity, Usage, enrolment};

/// Names of an authority's files in its folder.
pub const AUTHORITY_STEM: &str = "ca";

/// Certificates begin this long in the past, so that a peer whose clock is a little slow accepts them.
const BACKDATED: Duration = Duration::hours(1);

/// An authority: its certificate, and the key that signs.
pub struct Authority {
    cert_pem: String,
    key_pem: String,
}

/// What to issue.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// Common name.
    pub common_name: String,
    /// Subject alternative names: DNS names or IP addresses. A server needs the ones it is reached under.
    pub names: Vec<String>,
    /// What it may be used for.
    pub usage: Usage,
    /// For how many days.
    pub days: u32,
}

/// A certificate and its private key, PEM.
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// The private key (PKCS #8).
    pub key_pem: String,
}

/// A key that was just made, and the request for its certificate.
pub struct Request {
    key_pem: String,
    der: Vec<u8>,
}

impl Request {
    /// With a fresh key (ECDSA P-256).
    ///
    /// # Errors
    /// A name that cannot stand in a request.
    pub fn new(common_name: &str) -> Result<Self, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = params(common_name, &[], 1)?;
        let request = params.serialize_request(&key)?;
        Ok(Self { key_pem: key.serialize_pem(), der: request.der().to_vec() })
    }

    /// The request (PKCS #10), DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key, with what an authority has answered: certificates in DER, the one of the key first.
    ///
    /// # Errors
    /// The first is not of this key.
    pub fn answered(self, certificates: &[Vec<u8>]) -> Result<Issued, TlsError> {
        let cert_pem = pem_of(certificates);
        TlsIdentity::from_pem(cert_pem.as_bytes(), self.key_pem.as_bytes())?;
        Ok(Issued { cert_pem, key_pem: self.key_pem })
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("key_pem", &"[redacted]").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("cert_pem", &self.cert_pem).field("key_pem", &"[redacted]").finish()
    }
}

impl Authority {
    /// Makes an authority that may sign end certificates and nothing below them.
    ///
    /// # Errors
    /// The name cannot stand in a certificate.
    pub fn create(common_name: &str, days: u32) -> Result<Self, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(common_name, &[], days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self { cert_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Reads an authority from its folder.
    ///
    /// # Errors
    /// A file is missing or is not what it should be.
    pub fn load(dir: &Path) -> Result<Self, TlsError> {
        let (cert_path, key_path) = paths(dir, AUTHORITY_STEM);
        let (cert, key) = (read(&cert_path)?, read(&key_path)?);
        certificates(&cert, &cert_path.display().to_string())?;
        private_key(&key, &key_path.display().to_string())?;
        let text = |pem: &[u8]| String::from_utf8_lossy(pem).into_owned();
        let authority = Self { cert_pem: text(&cert), key_pem: text(&key) };
        Issuer::from_ca_cert_pem(&authority.cert_pem, KeyPair::from_pem(&authority.key_pem)?)?;
        Ok(authority)
    }

    /// Its certificate, which peers trust.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Certificate and key, to be written.
    #[must_use]
    pub fn to_issued(&self) -> Issued {
        Issued { cert_pem: self.cert_pem.clone(), key_pem: self.key_pem.clone() }
    }

    /// Issues a certificate with a fresh key (ECDSA P-256).
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn issue(&self, request: &CertificateRequest) -> Result<Issued, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = end_entity(request)?.signed_by(&key, &self.issuer()?)?;
        Ok(Issued { cert_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Signs the key of a request that another program has made (PEM, PKCS #10). Of the request the key alone counts: names and
    /// usage are the authority's affair. Gives the certificate, PEM.
    ///
    /// # Errors
    /// It is no such request, does not prove that its maker has the key, or a name cannot stand in a certificate.
    pub fn sign(&self, request_pem: &str, request: &CertificateRequest) -> Result<String, TlsError> {
        let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes())
            .map_err(|_| rcgen::Error::CouldNotParseCertificationRequest)?;
        Ok(pem_of(&[self.sign_der(&der, request)?.to_vec()]))
    }

    /// The same in DER.
    pub(crate) fn sign_der(
        &self,
        request_der: &[u8],
        request: &CertificateRequest,
    ) -> Result<CertificateDer<'static>, TlsError> {
        let asked = CertificateSigningRequestParams::from_der(&request_der.into())?;
        let certificate = end_entity(request)?.signed_by(&asked.public_key, &self.issuer()?)?.into();
        // rcgen takes the kind of the key from the digest of its signature, and so writes others than were asked about.
        let own = X509CertificationRequest::from_der(request_der).ok();
        let own = own.map(|(_, own)| own.certification_request_info.subject_pki.raw.to_vec());
        if own.is_none() || own != public_key_of(&certificate) {
            return Err(TlsError::KeyKind);
        }
        Ok(certificate)
    }

    /// A list of revoked certificates (CRL, PEM): those of the list before it, and these serial numbers. Another is to be made
    /// within these days.
    ///
    /// # Errors
    /// The list before it is none, is of another authority, or is one of several in its file.
    pub fn revoke(&self, before: Option<&str>, serials: &[Vec<u8>], days: u32) -> Result<String, TlsError> {
        let now = OffsetDateTime::now_utc();
        let (mut number, mut revoked_certs) = (1_u64, Vec::new());
        if let Some(before) = before {
            let fault = |why: &str| TlsError::RevocationList {
                what: format!("{AUTHORITY_STEM}.crl"),
                why: why.to_owned(),
            };
            let damaged = |_| fault("it is damaged, or of another program");
            let ders: Vec<_> = CertificateRevocationListDer::pem_slice_iter(before.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(damaged)?;
            let [der] = ders.as_slice() else {
                return Err(fault(
                    "expected one block `BEGIN X509 CRL`, the list of this authority alone: put lists of others into a file of \
                     their own, which `local.crl` may join",
                ));
            };
            let (_, list) = CertificateRevocationList::from_der(der)
                .map_err(|_| fault("it is damaged, or of another program"))?;
            if !self.has_signed(&list)? {
                return Err(fault("it is the list of another authority: this one would be cut off from it"));
            }
            number = list.crl_number().and_then(|number| u64::try_from(number).ok()).unwrap_or(0) + 1;
            for revoked in list.iter_revoked_certificates() {
                let at = OffsetDateTime::from_unix_timestamp(revoked.revocation_date.timestamp());
                revoked_certs.push(revoked_certificate(revoked.raw_serial(), at.unwrap_or(now)));
            }
        }
        for serial in serials {
            let serial_number = SerialNumber::from_slice(serial);
            if !revoked_certs
                .iter()
                .any(|known: &RevokedCertParams| is_same(&known.serial_number, &serial_number))
            {
                revoked_certs.push(revoked_certificate(serial, now));
            }
        }
        let list = CertificateRevocationListParams {
            this_update: now - BACKDATED,
            next_update: now + Duration::days(i64::from(days)),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer()?)?.pem()?)
    }

    fn has_signed(&self, list: &CertificateRevocationList<'_>) -> Result<bool, TlsError> {
        let own = certificates(self.cert_pem.as_bytes(), "the authority's certificate")?;
        Ok(own.iter().any(|own| {
            parse_x509_certificate(own).is_ok_and(|(_, own)| {
                own.subject().as_raw() == list.issuer().as_raw()
                    && list.verify_signature(own.public_key()).is_ok()
            })
        }))
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, TlsError> {
        Ok(Issuer::from_ca_cert_pem(&self.cert_pem, KeyPair::from_pem(&self.key_pem)?)?)
    }
}

/// Certificates in DER as PEM, in their order.
fn pem_of(certificates: &[Vec<u8>]) -> String {
    let one = |der: &Vec<u8>| {
        let body = enrolment::base64_lines(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    };
    certificates.iter().map(one).collect()
}

fn revoked_certificate(serial: &[u8], at: OffsetDateTime) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: at,
        reason_code: None,
        invalidity_date: None,
    }
}

/// Zeros in front do not count.
fn is_same(one: &SerialNumber, other: &SerialNumber) -> bool {
    let plain = |serial: &SerialNumber| {
        let bytes = serial.to_bytes();
        bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>()
    };
    plain(one) == plain(other)
}

/// A certificate that signs no others.
fn end_entity(request: &CertificateRequest) -> Result<CertificateParams, TlsError> {
    let mut params = params(&request.common_name, &request.names, request.days)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let server = [ExtendedKeyUsagePurpose::ServerAuth];
    let client = [ExtendedKeyUsagePurpose::ClientAuth];
    params.extended_key_usages = match request.usage {
        Usage::Server => server.to_vec(),
        Usage::Client => client.to_vec(),
        Usage::Both => [server, client].concat(),
    };
    Ok(params)
}

fn params(common_name: &str, names: &[String], days: u32) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + Duration::days(i64::from(days));
    Ok(params)
}

fn paths(dir: &Path, stem: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{stem}.pem")), dir.join(format!("{stem}.key")))
}

/// Writes `STEM.pem` and `STEM.key` into a folder; the key is readable by its owner only from the moment it
/// exists. Returns both paths.
///
/// # Errors
/// A file exists and `overwrite` is not set, or cannot be written.
pub fn write_identity(
    dir: &Path,
    stem: &str,
    issued: &Issued,
    overwrite: bool,
) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert_path, key_path) = paths(dir, stem);
    for path in [&cert_path, &key_path] {
        if !overwrite && path.exists() {
            return Err(TlsError::Exists { path: path.clone() });
        }
    }
    write(&key_path, issued.key_pem.as_bytes(), 0o600)?;
    write(&cert_path, issued.cert_pem.as_bytes(), 0o644)?;
    Ok((cert_path, key_path))
}

/// Writes a file that everybody may read, as a whole or not at all.
///
/// # Errors
/// It cannot be written.
pub fn write_public(path: &Path, content: &str) -> Result<(), TlsError> {
    write(path, content.as_bytes(), 0o644)
}

pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), TlsError> {
    replace_file(path, content, mode).map_err(|error| TlsError::Write { path: path.to_owned(), error })
}
