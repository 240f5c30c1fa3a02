//! Why a device gets no certificate.

use std::time::Duration;

use hyper::{Method, StatusCode};
use verge_tls::enrolment::EnrolRefusal;

use super::MAX_BODY_BYTES;

#[derive(Debug, thiserror::Error)]
pub(super) enum EstRefusal {
    #[error(
        "there is no such operation: expected cacerts, csrattrs, simpleenroll or simplereenroll below /.well-known/est/"
    )]
    Unknown,
    #[error("expected {0}")]
    Method(Method),
    #[error("expected HTTP Basic with the device's name and its token (`verge certs token`)")]
    Login,
    #[error("too many wrong tokens: wait {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    #[error("expected the certificate that is to be renewed, shown in the TLS handshake")]
    NoCertificate,
    #[error("the request did not come in time")]
    Late,
    #[error("the request has more than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error("the request broke off")]
    Broken,
    #[error("the body is no base64: expected a request in PKCS #10, as `openssl req -new` makes it")]
    Body,
    #[error(transparent)]
    Enrol(#[from] EnrolRefusal),
    #[error("an internal fault, which the gateway's log describes")]
    Internal,
}

impl EstRefusal {
    /// For the log and for programs.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Method(_) => "method",
            Self::Login => "login",
            Self::TooMany(_) => "too_many",
            Self::NoCertificate => "no_certificate",
            Self::Late => "late",
            Self::TooLarge => "too_large",
            Self::Broken => "broken",
            Self::Body => "body",
            Self::Enrol(EnrolRefusal::Token) => "token",
            Self::Enrol(EnrolRefusal::Certificate(_)) => "certificate",
            Self::Enrol(EnrolRefusal::Request(_)) => "request",
            Self::Enrol(EnrolRefusal::Name { .. }) => "name",
            Self::Enrol(EnrolRefusal::Authority(_)) => "authority",
            Self::Enrol(EnrolRefusal::Tokens(_)) => "tokens",
            Self::Internal => "internal",
        }
    }

    /// Whether it says nothing of a device that waits for a certificate.
    pub(super) const fn is_common(&self) -> bool {
        matches!(self, Self::Unknown | Self::Method(_) | Self::Login | Self::TooMany(_) | Self::NoCertificate)
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Login | Self::Enrol(EnrolRefusal::Token) => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoCertificate | Self::Enrol(EnrolRefusal::Certificate(_)) => StatusCode::FORBIDDEN,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Body | Self::Enrol(EnrolRefusal::Request(_) | EnrolRefusal::Name { .. }) => {
                StatusCode::BAD_REQUEST
            }
            Self::Enrol(EnrolRefusal::Authority(_) | EnrolRefusal::Tokens(_)) | Self::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}
