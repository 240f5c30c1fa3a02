//! Certificates for devices that ask for them: once by a token that somebody has given them, then by the certificate that they
//! have (RFC 7030, without a connection).
//!
//! A request proves that its maker has the key. Of names it decides nothing: the first certificate has the name of the token, the
//! next ones have what the one before had.

mod tokens;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;

use crate::TlsError;
use crate::authority::{AUTHORITY_STEM, Authority, CertificateRequest};
use crate::certificate::{Usage, names_of, usage};
use crate::pem::certificates;
pub use tokens::{EnrolmentToken, TokenFault, Tokens, TokensState};

const SECONDS_A_DAY: i64 = 86_400;
/// Object identifiers (RFC 5652): signed data, and plain data that is not there.
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const CONTEXT_0: u8 = 0xa0;

/// An authority that answers requests.
#[derive(Debug, Clone)]
pub struct Enrolment {
    dir: PathBuf,
    tokens: Tokens,
}

/// A certificate that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Whose it is.
    pub name: String,
    /// Its serial number, as `verge certs show` prints it.
    pub serial: String,
    /// It alone, as certs-only PKCS #7 (RFC 5652, section 5), DER.
    pub pkcs7: Vec<u8>,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum EnrolRefusal {
    /// There is no such token for that name, or it has been used, or its time is over.
    #[error(
        "the name or the token is wrong, or the token was used or has expired: make another with `verge certs token`"
    )]
    Token,
    /// The certificate shown is none that this authority renews.
    #[error("{0}")]
    Certificate(&'static str),
    /// What was sent is no request.
    #[error(
        "what was sent is no certificate request that can be signed ({0}): expected PKCS #10, as `openssl req -new` makes it"
    )]
    Request(String),
    /// The request names another device.
    #[error("the request is for {asked:?}, expected {expected:?} or no common name")]
    Name {
        /// The common name in it.
        asked: String,
        /// Whose certificate this is about.
        expected: String,
    },
    /// The authority's own files cannot be used.
    #[error("the authority cannot sign: {0}")]
    Authority(#[from] TlsError),
    /// Its tokens cannot be used.
    #[error("{0}")]
    Tokens(#[from] TokenFault),
}

impl Enrolment {
    /// Of the authority in a folder.
    ///
    /// # Errors
    /// There is none, or its files cannot be used.
    pub fn of(dir: &Path) -> Result<Self, TlsError> {
        Authority::load(dir)?;
        Ok(Self { dir: dir.to_owned(), tokens: Tokens::of(dir) })
    }

    /// The authority's certificate, which devices trust and which certificates that are renewed must lead to.
    #[must_use]
    pub fn authority_file(&self) -> PathBuf {
        self.dir.join(format!("{AUTHORITY_STEM}.pem"))
    }

    /// Its tokens.
    #[must_use]
    pub const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The authority's certificates, as certs-only PKCS #7, DER.
    ///
    /// # Errors
    /// Its file cannot be used.
    pub fn authorities(&self) -> Result<Vec<u8>, TlsError> {
        let path = self.authority_file();
        let pem = std::fs::read(&path).map_err(|error| TlsError::Read { path: path.clone(), error })?;
        let found = certificates(&pem, &path.display().to_string())?;
        Ok(certs_only(&found.iter().map(|der| der.as_ref()).collect::<Vec<_>>()))
    }

    /// A device's first certificate, for its token, which is used up by it. `request`: PKCS #10, DER.
    ///
    /// # Errors
    /// It gets none; the token stands, unless it was used meanwhile.
    pub fn enrol(&self, name: &str, token: &str, request: &[u8], now: i64) -> Result<Enrolled, EnrolRefusal> {
        let days = self.tokens.days_of(name, token, now)?.ok_or(EnrolRefusal::Token)?;
        let asked = CertificateRequest {
            common_name: name.to_owned(),
            names: vec![name.to_owned()],
            usage: Usage::Client,
            days,
        };
        let enrolled = self.sign(request, &asked)?;
        // Nobody has the certificate yet: of two that came with one token, one gets it.
        if self.tokens.use_up(name, token, now)? { Ok(enrolled) } else { Err(EnrolRefusal::Token) }
    }

    /// Another certificate for whoever has shown this one (DER), which the handshake has verified to be of this authority: the same
    /// names and use, valid as long as that was.
    ///
    /// # Errors
    /// It gets none.
    pub fn renew(&self, shown: &[u8], request: &[u8], now: i64) -> Result<Enrolled, EnrolRefusal> {
        let refused = |why| Err(EnrolRefusal::Certificate(why));
        let Ok((_, certificate)) = parse_x509_certificate(shown) else {
            return refused("the certificate shown cannot be read");
        };
        if certificate.is_ca() {
            return refused("an authority's certificate is not renewed here");
        }
        let validity = certificate.validity();
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        // The handshake has looked, and a connection may be older than that.
        if now >= until {
            return refused(
                "the certificate shown has expired: enrol again with a token (`verge certs token`)",
            );
        }
        // As they stand there: what a summary has of them is made for people.
        let found = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
        let Some(common_name) = found.map(ToOwned::to_owned) else {
            return refused("the certificate shown has no common name");
        };
        let mut names = names_of(&certificate);
        if names.is_empty() {
            names.push(common_name.clone());
        }
        let lifetime = (until - from).div_euclid(SECONDS_A_DAY).clamp(1, 36_500);
        let usage = usage(&certificate).unwrap_or(Usage::Client);
        self.sign(request, &CertificateRequest { common_name, names, usage, days: lifetime as u32 })
    }

    fn sign(&self, request: &[u8], asked: &CertificateRequest) -> Result<Enrolled, EnrolRefusal> {
        let (_, parsed) = X509CertificationRequest::from_der(request)
            .map_err(|_| EnrolRefusal::Request("its form is another".to_owned()))?;
        let subject = &parsed.certification_request_info.subject;
        if let Some(name) = subject.iter_common_name().find_map(|name| name.as_str().ok())
            && name != asked.common_name
        {
            let shortened: String = name.chars().take(80).collect();
            return Err(EnrolRefusal::Name { asked: shortened, expected: asked.common_name.clone() });
        }
        let authority = Authority::load(&self.dir)?;
        let der =
            authority.sign_der(request, asked).map_err(|error| EnrolRefusal::Request(error.to_string()))?;
        let serial = crate::certificate::summarise(&der).map(|summary| summary.serial).unwrap_or_default();
        Ok(Enrolled { name: asked.common_name.clone(), serial, pkcs7: certs_only(&[der.as_ref()]) })
    }
}

/// Certificates in the form in which EST passes them on: signed data without a signer.
fn certs_only(certificates: &[&[u8]]) -> Vec<u8> {
    let version = tlv(INTEGER, &[&[1]]);
    let content = tlv(SEQUENCE, &[&tlv(OBJECT, &[DATA])]);
    let (digests, signers) = (tlv(SET, &[]), tlv(SET, &[]));
    let signed = tlv(SEQUENCE, &[&version, &digests, &content, &tlv(CONTEXT_0, certificates), &signers]);
    tlv(SEQUENCE, &[&tlv(OBJECT, &[SIGNED_DATA]), &tlv(CONTEXT_0, &[&signed])])
}

/// The certificates in certs-only PKCS #7; `None` where it is something else.
#[must_use]
pub fn certificates_in(pkcs7: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (_, content, _) = take(pkcs7)?;
    let (_, kind, rest) = take(content)?;
    let (_, explicit, _) = take(rest)?;
    let (_, signed, _) = take(explicit)?;
    if kind != SIGNED_DATA {
        return None;
    }
    let mut rest = signed;
    while !rest.is_empty() {
        let (tag, content, behind) = take(rest)?;
        if tag == CONTEXT_0 {
            let (mut found, mut rest) = (Vec::new(), content);
            while !rest.is_empty() {
                let (_, _, behind) = take(rest)?;
                found.push(rest[..rest.len() - behind.len()].to_vec());
                rest = behind;
            }
            return Some(found);
        }
        rest = behind;
    }
    None
}

/// DER: a tag, the length of what follows, and that.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut written = vec![tag];
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1)..];
    if length >= 0x80 {
        written.push(0x80 | significant.len() as u8);
    }
    written.extend_from_slice(significant);
    parts.iter().for_each(|part| written.extend_from_slice(part));
    written
}

/// Tag, content, and what stands behind it.
fn take(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (bytes, behind) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

/// Base64 in lines of 64 characters, as PEM and EST have it.
#[must_use]
pub fn base64_lines(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    lines.flat_map(|line| [line, "\n".into()]).collect()
}

#[cfg(test)]
mod tests;
