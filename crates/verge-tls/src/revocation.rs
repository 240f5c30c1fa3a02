//! Certificates that are not accepted any more: lists of an authority (CRL, RFC 5280) and a list of one's own.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::config::time_of_certificates;
use crate::pem::read;
use crate::{TlsError, TlsStream, TrustedRoots};

/// Longest serial number (RFC 5280, section 4.1.2.2), with some room.
const MAX_SERIAL_BYTES: usize = 32;
/// Most serial numbers, and lists of authorities.
const MAX_SERIALS: usize = 1_000_000;
const MAX_LISTS: usize = 64;

/// Who is not accepted any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Serial numbers by the name of their authority.
    by_issuer: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
    /// Whoever has issued them.
    denied: HashSet<Vec<u8>>,
    /// When the first list should have been replaced, in seconds since 1970.
    next_update: Option<i64>,
}

/// What tells the certificates that a peer has shown from all others. It is small enough to be kept with each connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownCertificates {
    /// Authority and serial number of each.
    named: Vec<(Vec<u8>, Vec<u8>)>,
    /// When the first of them ends, in seconds since 1970.
    until: Option<i64>,
}

impl ShownCertificates {
    /// Of a connection; none where the peer has shown none.
    #[must_use]
    pub fn of(stream: &TlsStream) -> Self {
        let (_, session) = stream.get_ref();
        Self::of_chain(session.peer_certificates().unwrap_or_default())
    }

    pub(crate) fn of_chain(chain: &[CertificateDer<'_>]) -> Self {
        let mut shown = Self::default();
        for (_, certificate) in chain.iter().filter_map(|der| parse_x509_certificate(der).ok()) {
            let serial = plain(certificate.raw_serial()).to_vec();
            shown.named.push((certificate.issuer().as_raw().to_vec(), serial));
            let until = certificate.validity().not_after.timestamp();
            shown.until = Some(shown.until.map_or(until, |earlier| earlier.min(until)));
        }
        shown
    }

    /// How long they hold yet, by the clock that a handshake judges them by: nothing once one of them has ended. `None` where the peer has
    /// shown none.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let until = u64::try_from(self.until?).unwrap_or_default();
        Some(Duration::from_secs(until.saturating_add(1)).saturating_sub(time_of_certificates()))
    }
}

impl Revocations {
    /// Reads lists of authorities (PEM, `X509 CRL`), whose signatures must lead to `roots`, and a list of serial numbers.
    ///
    /// # Errors
    /// A file is missing, is no such list, or is signed by nobody who is trusted.
    pub fn load(crl: Option<&Path>, denied: Option<&Path>, roots: &TrustedRoots) -> Result<Self, TlsError> {
        let mut all = Self::default();
        if let Some(path) = crl {
            all.add_lists(&read(path)?, &path.display().to_string(), roots, MAX_SERIALS)?;
        }
        all.with_denied(denied)
    }

    /// The same, and those of a list of serial numbers.
    ///
    /// # Errors
    /// The file is missing, or is no such list.
    pub fn with_denied(mut self, denied: Option<&Path>) -> Result<Self, TlsError> {
        if let Some(path) = denied {
            let text = read(path)?;
            let text = str::from_utf8(&text).map_err(|_| not_a_list(path, 1, "it is no text"))?;
            for (line, number) in text.lines().zip(1..) {
                let serial = line.split('#').next().unwrap_or_default().trim();
                if serial.is_empty() {
                    continue;
                }
                let serial = serial_of(serial)
                    .ok_or_else(|| not_a_list(path, number, "it is no serial number in hexadecimal"))?;
                self.denied.insert(serial);
                if self.denied.len() > MAX_SERIALS {
                    return Err(not_a_list(path, number, "more than a million serial numbers are not taken"));
                }
            }
        }
        Ok(self)
    }

    fn add_lists(
        &mut self,
        pem: &[u8],
        what: &str,
        roots: &TrustedRoots,
        most: usize,
    ) -> Result<(), TlsError> {
        let fault = |why: &str| TlsError::RevocationList { what: what.to_owned(), why: why.to_owned() };
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| fault("it is damaged"))?;
        if lists.is_empty() || lists.len() > MAX_LISTS {
            return Err(fault("expected one to 64 blocks `BEGIN X509 CRL`"));
        }
        for der in lists {
            let (_, list) = CertificateRevocationList::from_der(&der)
                .map_err(|_| fault("it is marked as a CRL and is none"))?;
            let is_signed = roots.known.ders.iter().any(|root| {
                parse_x509_certificate(root).is_ok_and(|(_, root)| {
                    root.subject().as_raw() == list.issuer().as_raw()
                        && list.verify_signature(root.public_key()).is_ok()
                })
            });
            if !is_signed {
                let why = format!("none of the authorities in {} has signed it", roots.known.what);
                return Err(fault(&why));
            }
            if let Some(next) = list.next_update().map(|next| next.timestamp()) {
                self.next_update = Some(self.next_update.map_or(next, |earlier| earlier.min(next)));
            }
            let serials = self.by_issuer.entry(list.issuer().as_raw().to_vec()).or_default();
            for revoked in list.iter_revoked_certificates() {
                serials.insert(plain(revoked.raw_serial()).to_vec());
                if serials.len() > most {
                    return Err(fault(&format!(
                        "it revokes more than {most} certificates of one authority, which are not taken"
                    )));
                }
            }
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.denied.len() + self.by_issuer.values().map(HashSet::len).sum::<usize>()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the authority should have given out another list, in seconds since 1970: until there is one, this one holds.
    #[must_use]
    pub const fn next_update(&self) -> Option<i64> {
        self.next_update
    }

    /// Whether one of the certificates that a peer has shown is not accepted any more.
    #[must_use]
    pub fn revoke(&self, shown: &ShownCertificates) -> bool {
        let is_revoked = |(issuer, serial): &(Vec<u8>, Vec<u8>)| {
            self.denied.contains(serial)
                || self.by_issuer.get(issuer).is_some_and(|serials| serials.contains(serial))
        };
        shown.named.iter().any(is_revoked)
    }

    pub(crate) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

fn not_a_list(path: &Path, line: usize, why: &str) -> TlsError {
    TlsError::RevocationList { what: path.display().to_string(), why: format!("line {line}: {why}") }
}

/// Without the zeros that keep a number positive.
fn plain(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros.min(serial.len().saturating_sub(1))..]
}

/// A serial number as people write it: hexadecimal, with colons or without.
#[must_use]
pub fn serial_of(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| *character != ':')
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    if digits.is_empty() || digits.len() > 2 * MAX_SERIAL_BYTES {
        return None;
    }
    let bytes: Vec<u8> =
        digits.rchunks(2).rev().map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    Some(plain(&bytes).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, CertificateRequest, Issued};
    use crate::{Usage, summary};

    fn issue(authority: &Authority, name: &str) -> Issued {
        let names = vec![name.to_owned()];
        let request =
            CertificateRequest { common_name: name.to_owned(), names, usage: Usage::Client, days: 10 };
        authority.issue(&request).unwrap()
    }

    fn shown(issued: &Issued) -> ShownCertificates {
        let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
        ShownCertificates::of_chain(&[der])
    }

    #[test]
    fn a_list_of_the_authority_revokes_its_own_certificates_alone() {
        let (authority, other) =
            (Authority::create("one", 9).unwrap(), Authority::create("other", 9).unwrap());
        let (pump, tank) = (issue(&authority, "pump-1"), issue(&authority, "tank-1"));
        let serial = |issued: &Issued| {
            serial_of(&summary(issued.cert_pem.as_bytes(), "it").unwrap()[0].serial).unwrap()
        };
        let roots = TrustedRoots::from_pem(authority.cert_pem().as_bytes()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crl");
        let load = || Revocations::load(Some(&path), None, &roots);

        let first = authority.revoke(None, &[serial(&pump)], 30).unwrap();
        std::fs::write(&path, &first).unwrap();
        let revoked = load().unwrap();
        assert!(revoked.revoke(&shown(&pump)) && !revoked.revoke(&shown(&tank)));
        assert!(revoked.next_update().is_some() && revoked.len() == 1);
        // The next list goes on with the one before it.
        let second = authority.revoke(Some(&first), &[serial(&tank), serial(&pump)], 30).unwrap();
        std::fs::write(&path, &second).unwrap();
        let revoked = load().unwrap();
        assert!(revoked.revoke(&shown(&pump)) && revoked.revoke(&shown(&tank)) && revoked.len() == 2);

        // A list of another authority would lose its signature, and of several lists all but one would be lost.
        let refused = |before: &str, words: &str| {
            let error = authority.revoke(Some(before), &[serial(&tank)], 30).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(&other.revoke(None, &[serial(&pump)], 30).unwrap(), "another authority");
        refused(&format!("{first}{second}"), "one block");
        // What does not fit is refused, not cut.
        let most = |most| Revocations::default().add_lists(second.as_bytes(), "ca.crl", &roots, most);
        assert!(most(2).is_ok());
        assert!(most(1).unwrap_err().to_string().contains("more than 1 "));

        // One of an authority that nobody trusts here, of the same name, damaged, and something else.
        let check = |text: &str, words: &str| {
            std::fs::write(&path, text).unwrap();
            let error = load().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        check(&other.revoke(None, &[serial(&pump)], 30).unwrap(), "has signed it");
        let twin = Authority::create("one", 9).unwrap();
        check(&twin.revoke(None, &[serial(&pump)], 30).unwrap(), "has signed it");
        check(&first.replacen("MI", "MJ", 1), "is none");
        check(authority.cert_pem(), "BEGIN X509 CRL");
    }

    #[test]
    fn what_was_shown_holds_until_the_first_of_it_ends() {
        const DAY: u64 = 86_400;
        let authority = Authority::create("one", 9).unwrap();
        let issued = issue(&authority, "pump-1");
        let of = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let left = |chain: &[CertificateDer<'_>]| ShownCertificates::of_chain(chain).left();
        let own = left(&[of(&issued.cert_pem)]).unwrap().as_secs();
        assert!((10 * DAY - 60..=10 * DAY + 1).contains(&own), "{own}");
        let chain = left(&[of(&issued.cert_pem), of(authority.cert_pem())]).unwrap().as_secs();
        assert!((9 * DAY - 60..=9 * DAY + 1).contains(&chain), "{chain}");
        assert_eq!(left(&[]), None);
        let over = ShownCertificates { until: Some(1_000_000_000), ..ShownCertificates::default() };
        assert_eq!(over.left(), Some(Duration::ZERO));
    }

    #[test]
    fn a_list_of_ones_own_names_serial_numbers() {
        let roots =
            TrustedRoots::from_pem(Authority::create("one", 9).unwrap().cert_pem().as_bytes()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("denied");
        std::fs::write(&path, "# stolen\n0a:1B\n\n 00ff # lost\n").unwrap();
        let denied = Revocations::load(None, Some(&path), &roots).unwrap();
        let has = |serial: &[u8]| {
            denied.revoke(&ShownCertificates { named: vec![(Vec::new(), serial.to_vec())], until: None })
        };
        assert!(has(&[0x0a, 0x1b]) && has(&[0xff]) && !has(&[0x0a]));
        std::fs::write(&path, "0a\npump-1\n").unwrap();
        let error = Revocations::load(None, Some(&path), &roots).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert_eq!(serial_of("abc"), Some(vec![0x0a, 0xbc]));
        assert_eq!(serial_of("00"), Some(vec![0]));
        assert_eq!((serial_of(""), serial_of("xyz")), (None, None));
    }
}
