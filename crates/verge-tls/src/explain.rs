//! Why a TLS connection failed, in words that say what to do.

use std::error::Error as StdError;

use rustls::{AlertDescription, CertificateError, Error};

/// Looks through an error's causes for the one that TLS gives, and says it in plain words; else the error's
/// own words.
#[must_use]
pub fn explain(error: &(dyn StdError + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<Error>() {
            return words(tls);
        }
        // An I/O error hides the TLS error inside it from `source`.
        if let Some(inner) = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(tls) = inner.downcast_ref::<Error>()
        {
            return words(tls);
        }
        cause = current.source();
    }
    error.to_string()
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => certificate_words(fault),
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::NoCertificatesPresented => "the peer showed no certificate, and one is required".to_owned(),
        Error::InvalidMessage(_) => "the other side does not speak TLS on this port".to_owned(),
        other => other.to_string(),
    }
}

fn certificate_words(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer => {
            "the peer's certificate is signed by an authority that is not in the CA file".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the peer's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the peer's certificate is not valid yet (is a clock wrong?)".to_owned()
        }
        CertificateError::NotValidForName => {
            "the peer's certificate does not carry the name connected to".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the peer's certificate does not carry the name {:?}; it carries {}",
            expected.to_str(),
            listed(presented)
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the peer's certificate may not be used for this end (server or client)".to_owned()
        }
        CertificateError::Revoked => "the peer's certificate is revoked".to_owned(),
        other => format!("the peer's certificate is not accepted: {other}"),
    }
}

/// Names as people write them: rustls gives each as `DnsName("broker.example")`.
fn listed(presented: &[String]) -> String {
    let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    match presented {
        [] => "none".to_owned(),
        names => names.iter().map(bare).collect::<Vec<_>>().join(", "),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "the peer requires a certificate of this end (cert and key)".to_owned()
        }
        AlertDescription::UnknownCA => {
            "the peer does not know the authority that signed this end's certificate".to_owned()
        }
        AlertDescription::CertificateExpired => {
            "the peer says that this end's certificate has expired".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => format!("the peer refuses this end's certificate ({alert:?})"),
        AlertDescription::HandshakeFailure => {
            "the peer refused the handshake (it may require a certificate of this end: cert and key)"
                .to_owned()
        }
        AlertDescription::ProtocolVersion => "the peer speaks no TLS version of 1.2 or 1.3".to_owned(),
        other => format!("the peer ended the handshake ({other:?})"),
    }
}
