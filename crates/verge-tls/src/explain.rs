//! Why a TLS connection failed, in words that say what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};

use crate::verifier::ServerRefusal;

/// Looks through an error's causes for the one that TLS gives, and says it in plain words; else what the system says.
#[must_use]
pub fn explain(error: &(dyn StdError + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<Error>() {
            return words(tls);
        }
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            // An I/O error hides the TLS error inside it from `source`.
            return match io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                Some(tls) => words(tls),
                None => io_words(io),
            };
        }
        cause = current.source();
    }
    error.to_string()
}

/// What the system says, without its number.
fn io_words(error: &std::io::Error) -> String {
    const NO_ADDRESS: &str = "failed to lookup address information";
    let text = error.to_string();
    if text.starts_with(NO_ADDRESS) {
        return "no address is known for this name: is it spelt right, and does the name server (DNS) of this machine \
                answer?"
            .to_owned();
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens there (connection refused): is the other end started, and are host and port its own?"
                .to_owned()
        }
        ErrorKind::TimedOut => "the connection timed out".to_owned(),
        ErrorKind::InvalidInput => "this is neither a host name nor an address".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no route to it: is the network up, and the address right?".to_owned()
        }
        _ => text.split(" (os error ").next().unwrap_or_default().to_lowercase(),
    }
}

/// A name of the library, `NoCipherSuitesInCommon`, as words.
pub(crate) fn spaced(name: &impl fmt::Debug) -> String {
    let name = format!("{name:?}");
    // The innermost name says most.
    let inner = name
        .split(['(', ')', '{', ' '])
        .rfind(|part| part.starts_with(|first: char| first.is_ascii_uppercase()));
    let mut words = String::new();
    for letter in inner.unwrap_or(&name).chars().filter(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(fault)))
            if let Some(ServerRefusal(words)) = fault.downcast_ref() =>
        {
            words.clone()
        }
        Error::InvalidCertificate(fault) => {
            format!("the other side's certificate is not accepted: {}", spaced(fault))
        }
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::NoCertificatesPresented => {
            "the other side shows no certificate, and one is required: give it one (cert and key)".to_owned()
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the other side does not speak TLS on this port: use mqtt:// there, or the port for TLS (8883 as a rule)"
            .to_owned(),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the other side sends what is not TLS, or not in its order".to_owned()
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::Tls12NotOffered,
        ) => "the other side speaks no TLS version of 1.2 or 1.3: allow one of them there".to_owned(),
        // Only an end that accepts says this: the first where the client lists its versions, whatever is accepted here; the
        // second where it lists none, which is TLS 1.2 at most, and 1.3 alone is accepted.
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "the other side offers no TLS version that is accepted here (1.3, and 1.2 where it is allowed: at the \
              embedded broker by tls_1_2 = true below [local])"
            .to_owned(),
        Error::PeerIncompatible(fault) => {
            format!("the two sides have no kind of encryption in common ({})", spaced(fault))
        }
        Error::PeerMisbehaved(fault) => format!("the other side breaks the rules of TLS ({})", spaced(fault)),
        Error::DecryptError => "what the other side sends cannot be decrypted".to_owned(),
        Error::PeerSentOversizedRecord => "the other side sends a record of TLS that is too long".to_owned(),
        Error::FailedToGetRandomBytes => "this machine gives no random numbers".to_owned(),
        other => format!("TLS fails ({})", spaced(other)),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CertificateRequired => {
            "the other side requires a certificate of this end: give it one (cert and key)"
        }
        AlertDescription::UnknownCA => {
            "the other side does not know the authority that signed this end's certificate: its CA file must hold that \
             authority, or this end needs a certificate of one that it knows"
        }
        AlertDescription::CertificateExpired => {
            "the other side says that this end's certificate has expired or is not valid yet: renew it, or look at both \
             clocks"
        }
        AlertDescription::CertificateRevoked => "the other side says that this end's certificate is revoked",
        AlertDescription::UnsupportedCertificate => {
            "the other side says that this end's certificate may not be used for this: extendedKeyUsage must hold \
             clientAuth for what connects, and serverAuth for what accepts"
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => {
            return format!(
                "the other side refuses this end's certificate ({}): its log says why",
                spaced(&alert)
            );
        }
        AlertDescription::HandshakeFailure => {
            "the other side refuses the handshake: it may require a certificate of this end (cert and key), or another \
             kind of encryption"
        }
        AlertDescription::ProtocolVersion => {
            "the other side speaks no TLS version of 1.2 or 1.3: allow one of them there"
        }
        AlertDescription::UnrecognisedName => {
            "the other side does not serve the host name that is connected to"
        }
        AlertDescription::InternalError => "the other side failed with a fault of its own: its log says why",
        other => return format!("the other side ended the TLS connection ({})", spaced(&other)),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_library_become_words() {
        let check = |error: Error, expected: &str| {
            let text = words(&error);
            assert!(text.contains(expected), "{text}");
            let camel = text
                .as_bytes()
                .windows(2)
                .any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
            assert!(!camel, "{text}");
        };
        check(
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            "(no cipher suites in common)",
        );
        for fault in
            [PeerIncompatible::Tls12NotOfferedOrEnabled, PeerIncompatible::SupportedVersionsExtensionRequired]
        {
            check(Error::PeerIncompatible(fault), "offers no TLS version that is accepted here");
        }
        check(Error::AlertReceived(AlertDescription::DecodeError), "(decode error)");
        check(Error::AlertReceived(AlertDescription::BadCertificate), "(bad certificate)");
        check(Error::InvalidMessage(InvalidMessage::InvalidContentType), "does not speak TLS");
        check(Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension), "unhandled critical");
        check(Error::General("x".to_owned()), "TLS fails (general)");
        check(Error::HandshakeNotComplete, "(handshake not complete)");
    }

    #[test]
    fn errors_of_the_system_have_no_numbers() {
        let missing = std::fs::File::open("/nowhere/at all").unwrap_err();
        assert_eq!(explain(&missing), "no such file or directory");
    }
}
