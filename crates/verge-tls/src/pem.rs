//! Files of certificates and keys: what they hold, and what they are where they hold neither.

use std::fmt;
use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A certificate, or several.
    Certificate,
    /// A private key.
    Key,
}

impl Wanted {
    const fn label(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::Key => "PRIVATE KEY",
        }
    }

    /// Options of `openssl pkcs12` that take this out of a container.
    const fn of_container(self) -> &'static str {
        match self {
            Self::Certificate => "-nokeys",
            Self::Key => "-nocerts -nodes",
        }
    }
}

/// What stands in a file in place of the PEM text that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundInstead {
    /// Nothing.
    Empty,
    /// UTF-8 with a byte order mark in front of the first line.
    ByteOrderMark,
    /// UTF-16 text.
    Utf16,
    /// A container of certificates and a key (PKCS #12).
    Pkcs12,
    /// A container of certificates (PKCS #7).
    Pkcs7,
    /// A Java key store.
    JavaKeyStore,
    /// A certificate in binary form.
    DerCertificate,
    /// A private key in binary form.
    DerKey,
    /// A certificate that its authority has not signed yet.
    Request,
    /// What OpenSSL calls a trusted certificate.
    Trusted,
    /// A private key where a certificate is expected.
    KeyOnly,
    /// A certificate where a key is expected.
    CertificateOnly,
    /// A public key.
    PublicKey,
    /// A key of OpenSSH.
    OpenSsh,
    /// Spaces before the marks.
    Indented,
    /// Line breaks written as `\n`.
    OneLine,
    /// The mark at the end is missing.
    CutOff,
    /// What stands between the marks is not base64.
    Damaged,
    /// Base64 without marks.
    Bare,
    /// Anything else.
    Other,
}

impl FoundInstead {
    /// Looks at the first bytes, and at the marks of PEM.
    fn of(bytes: &[u8], wanted: Wanted) -> Self {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Self::Empty;
        }
        if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
            return Self::ByteOrderMark;
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Self::Utf16;
        }
        if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) {
            return Self::JavaKeyStore;
        }
        if let Some(found) = Self::of_der(bytes) {
            return found;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::of_text(text, wanted),
            Err(_) => Self::Other,
        }
    }

    fn of_der(bytes: &[u8]) -> Option<Self> {
        const PKCS7: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
        let length = match bytes {
            [0x30, 0x82, ..] => 4,
            [0x30, 0x81, ..] => 3,
            [0x30, short, ..] if *short < 0x80 && bytes.len() == usize::from(*short) + 2 => 2,
            _ => return None,
        };
        match bytes.get(length..)? {
            [0x02, 0x01, 0x03, ..] => Some(Self::Pkcs12),
            [0x02, 0x01, 0x00 | 0x01, ..] => Some(Self::DerKey),
            [0x30, ..] => Some(Self::DerCertificate),
            content if content.starts_with(PKCS7) => Some(Self::Pkcs7),
            _ => None,
        }
    }

    fn of_text(text: &str, wanted: Wanted) -> Self {
        let marked = |label: &str| text.contains(&format!("-----BEGIN {label}"));
        let is_key = marked("PRIVATE KEY") || marked("RSA PRIVATE KEY") || marked("EC PRIVATE KEY");
        let is_certificate = marked("CERTIFICATE-");
        let of_wanted = match wanted {
            Wanted::Certificate => is_certificate,
            Wanted::Key => is_key,
        };
        if of_wanted {
            return match () {
                () if text.contains("\\n") => Self::OneLine,
                () if !text.lines().any(|line| line.starts_with("-----BEGIN")) => Self::Indented,
                () if !text.contains("-----END") => Self::CutOff,
                () => Self::Damaged,
            };
        }
        let known = [
            ("CERTIFICATE REQUEST", Self::Request),
            ("NEW CERTIFICATE REQUEST", Self::Request),
            ("TRUSTED CERTIFICATE", Self::Trusted),
            ("PKCS7", Self::Pkcs7),
            ("OPENSSH PRIVATE KEY", Self::OpenSsh),
        ];
        if let Some((_, found)) = known.into_iter().find(|(label, _)| marked(label)) {
            return found;
        }
        match () {
            () if is_key => Self::KeyOnly,
            () if is_certificate => Self::CertificateOnly,
            () if marked("PUBLIC KEY") || marked("RSA PUBLIC KEY") => Self::PublicKey,
            () if text.starts_with("ssh-") || text.starts_with("ecdsa-") => Self::OpenSsh,
            () if text.starts_with("MII") => Self::Bare,
            () => Self::Other,
        }
    }
}

/// What a file is in place of what was wanted, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistaken {
    /// Which file or text.
    pub what: String,
    /// What was expected in it.
    pub wanted: Wanted,
    /// What it is.
    pub found: FoundInstead,
}

impl fmt::Display for Mistaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, wanted, found } = self;
        let (label, container) = (wanted.label(), wanted.of_container());
        match found {
            FoundInstead::Empty => write!(
                f,
                "{what} is empty; expected PEM, which begins with -----BEGIN {label}-----: copy the file again"
            ),
            FoundInstead::ByteOrderMark => write!(
                f,
                "{what} begins with a byte order mark, so that its first line is not read: save it as UTF-8 without \
                 byte order mark, or run `sed -i '1s/^\\xEF\\xBB\\xBF//' {what}`"
            ),
            FoundInstead::Utf16 => write!(
                f,
                "{what} is UTF-16 text, expected ASCII: run `iconv -f UTF-16 -t ASCII {what} > NEW.pem`"
            ),
            FoundInstead::Pkcs12 => write!(
                f,
                "{what} is a PKCS#12 container (.p12, .pfx), expected PEM: run `openssl pkcs12 -in {what} {container} \
                 -out NEW.pem`"
            ),
            FoundInstead::Pkcs7 => write!(
                f,
                "{what} is a PKCS#7 container (.p7b), expected PEM: run `openssl pkcs7 -in {what} -print_certs -out \
                 NEW.pem` (with -inform der where it is binary)"
            ),
            FoundInstead::JavaKeyStore => write!(
                f,
                "{what} is a Java key store, expected PEM: export it with `keytool -importkeystore -srckeystore {what} \
                 -destkeystore NEW.p12 -deststoretype PKCS12`, then run `openssl pkcs12 -in NEW.p12 {container} -out NEW.pem`"
            ),
            FoundInstead::DerCertificate if *wanted == Wanted::Certificate => write!(
                f,
                "{what} is a certificate in DER (binary), expected PEM: run `openssl x509 -inform der -in {what} -out \
                 NEW.pem`"
            ),
            FoundInstead::DerKey if *wanted == Wanted::Key => write!(
                f,
                "{what} is a key in DER (binary), expected PEM: run `openssl pkey -inform der -in {what} -out NEW.key`"
            ),
            FoundInstead::Request => write!(
                f,
                "{what} is a certificate request, which the authority has not signed: send it to the authority, and use \
                 the certificate that comes back"
            ),
            FoundInstead::Trusted => write!(
                f,
                "{what} is a \"trusted certificate\" of OpenSSL: run `openssl x509 -in {what} -out NEW.pem`"
            ),
            FoundInstead::KeyOnly | FoundInstead::DerKey => write!(
                f,
                "{what} is a private key, expected a certificate (-----BEGIN CERTIFICATE-----): are cert and key swapped?"
            ),
            FoundInstead::CertificateOnly | FoundInstead::DerCertificate => write!(
                f,
                "{what} is a certificate, expected a private key (-----BEGIN PRIVATE KEY-----): are cert and key swapped?"
            ),
            FoundInstead::PublicKey => write!(f, "{what} is a public key, expected -----BEGIN {label}-----"),
            FoundInstead::OpenSsh => write!(
                f,
                "{what} is a key of OpenSSH, expected -----BEGIN {label}-----: keys of SSH are not used for TLS"
            ),
            FoundInstead::Indented => write!(
                f,
                "the lines of {what} are indented: -----BEGIN {label}----- must stand at the beginning of its line"
            ),
            FoundInstead::OneLine => write!(
                f,
                "{what} holds \"\\n\" in place of line breaks: run `printf '%b' \"$(cat {what})\" > NEW.pem`"
            ),
            FoundInstead::CutOff => {
                write!(f, "{what} is cut off, -----END {label}----- is missing: copy the file again")
            }
            FoundInstead::Damaged => write!(
                f,
                "{what} is damaged: what stands between -----BEGIN {label}----- and -----END is not base64; copy the \
                 file again"
            ),
            FoundInstead::Bare => write!(
                f,
                "{what} is base64 without its marks: put -----BEGIN {label}----- before it and -----END {label}----- \
                 behind it, each on a line of its own"
            ),
            FoundInstead::Other => {
                write!(f, "{what} is not PEM: expected a text with -----BEGIN {label}-----")
            }
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

pub(crate) fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, PemError>>();
    match chain {
        Ok(chain) if !chain.is_empty() && !pem.starts_with(&[0xef, 0xbb, 0xbf]) => Ok(chain),
        Ok(_) | Err(_) => Err(mistaken(pem, what, Wanted::Certificate)),
    }
}

pub(crate) fn private_key(pem: &[u8], what: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    if ENCRYPTED.iter().any(|mark| pem.windows(mark.len()).any(|window| window == *mark)) {
        return Err(TlsError::EncryptedKey { what: what.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| mistaken(pem, what, Wanted::Key))
}

fn mistaken(pem: &[u8], what: &str, wanted: Wanted) -> TlsError {
    TlsError::Content(Mistaken { what: what.to_owned(), wanted, found: FoundInstead::of(pem, wanted) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;
    use crate::authority::{Authority, CertificateRequest};

    #[test]
    fn what_a_file_is_instead_is_said_with_what_to_do() {
        let authority = Authority::create("a", 30).unwrap();
        let request = CertificateRequest {
            common_name: "g".to_owned(),
            names: Vec::new(),
            usage: Usage::Client,
            days: 30,
        };
        let issued = authority.issue(&request).unwrap();
        let (cert, key) = (issued.cert_pem.clone(), issued.key_pem.clone());
        let der = certificates(cert.as_bytes(), "").unwrap().remove(0).to_vec();
        let key_der = private_key(key.as_bytes(), "").unwrap().secret_der().to_vec();
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(cert.bytes().flat_map(|byte| [byte, 0])).collect();
        let labelled =
            |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n").into_bytes();
        let check = |wanted: Wanted, bytes: &[u8], found: FoundInstead, remedy: &str| {
            let error = match wanted {
                Wanted::Certificate => certificates(bytes, "x.pem").map(|_| ()).unwrap_err(),
                Wanted::Key => private_key(bytes, "x.pem").map(|_| ()).unwrap_err(),
            };
            let TlsError::Content(mistaken) = &error else { panic!("{error}") };
            assert_eq!(mistaken.found, found, "{error}");
            let words = error.to_string();
            assert!(words.contains("x.pem") && words.contains(remedy), "{words}");
            assert!(!words.contains('\n'), "one line: {words}");
        };
        let certificate = |bytes: &[u8], found, remedy| check(Wanted::Certificate, bytes, found, remedy);
        certificate(b"", FoundInstead::Empty, "is empty");
        certificate(b" \r\n", FoundInstead::Empty, "is empty");
        certificate(
            &[b"\xef\xbb\xbf", cert.as_bytes()].concat(),
            FoundInstead::ByteOrderMark,
            "without byte order mark",
        );
        let bundle = [b"\xef\xbb\xbf", cert.as_bytes(), authority.cert_pem().as_bytes()].concat();
        certificate(&bundle, FoundInstead::ByteOrderMark, "first line is not read");
        certificate(&utf16, FoundInstead::Utf16, "iconv");
        certificate(&der, FoundInstead::DerCertificate, "openssl x509 -inform der -in x.pem");
        certificate(&key_der, FoundInstead::DerKey, "swapped");
        certificate(
            b"\x30\x82\x01\x00\x02\x01\x03",
            FoundInstead::Pkcs12,
            "openssl pkcs12 -in x.pem -nokeys",
        );
        certificate(b"\xfe\xed\xfe\xed\0", FoundInstead::JavaKeyStore, "keytool");
        certificate(key.as_bytes(), FoundInstead::KeyOnly, "swapped");
        certificate(&labelled("CERTIFICATE REQUEST"), FoundInstead::Request, "has not signed");
        certificate(&labelled("TRUSTED CERTIFICATE"), FoundInstead::Trusted, "openssl x509 -in x.pem");
        certificate(&labelled("PKCS7"), FoundInstead::Pkcs7, "openssl pkcs7");
        certificate(&labelled("PUBLIC KEY"), FoundInstead::PublicKey, "public key");
        certificate(
            cert.replace("-----BEGIN", "  -----BEGIN").as_bytes(),
            FoundInstead::Indented,
            "indented",
        );
        certificate(cert.replace('\n', "\\n").as_bytes(), FoundInstead::OneLine, "line breaks");
        certificate(&cert.as_bytes()[..cert.len() / 2], FoundInstead::CutOff, "cut off");
        certificate(cert.replace("MII", "M!!").as_bytes(), FoundInstead::Damaged, "damaged");
        let bare: String = cert.lines().filter(|line| !line.starts_with('-')).collect();
        certificate(bare.as_bytes(), FoundInstead::Bare, "without its marks");
        certificate(b"<html>log in</html>", FoundInstead::Other, "is not PEM");
        certificate(b"\x89PNG\r\n", FoundInstead::Other, "is not PEM");

        let of_key = |bytes: &[u8], found, remedy| check(Wanted::Key, bytes, found, remedy);
        of_key(&key_der, FoundInstead::DerKey, "openssl pkey -inform der");
        of_key(&der, FoundInstead::DerCertificate, "swapped");
        of_key(cert.as_bytes(), FoundInstead::CertificateOnly, "swapped");
        of_key(&labelled("OPENSSH PRIVATE KEY"), FoundInstead::OpenSsh, "OpenSSH");
        of_key(
            &[b"\xef\xbb\xbf", key.as_bytes()].concat(),
            FoundInstead::ByteOrderMark,
            "without byte order mark",
        );
        of_key(b"\x30\x82\x01\x00\x02\x01\x03", FoundInstead::Pkcs12, "-nocerts -nodes");
    }
}
