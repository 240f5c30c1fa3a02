//! What a request is refused with: one closed list, in JSON for programs (RFC 9457) and as a page for people.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::access::Role;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error(
        "this gateway is not reached under the name {0:?}: use its address, or name it in dashboard.hosts"
    )]
    ForeignHost(String),
    #[error("the request comes from another site: open the dashboard itself and do it there")]
    ForeignOrigin,
    #[error("log in, or send a token as \"Authorization: Bearer TOKEN\"")]
    Unauthenticated,
    #[error("name or password is wrong")]
    WrongLogin,
    #[error("too many wrong logins: try again in {} s", .0.as_secs().max(1))]
    TooManyLogins(Duration),
    #[error("this takes the role {0}: ask whoever manages the logins (`verge users`)")]
    Forbidden(Role),
    #[error("there is no such page")]
    NoPage,
    #[error(
        "event {0} is not known here: it is not open, and not among the newest that the store keeps"
    )]
    NoEvent(String),
    #[error(
        "signal {0} was not received since the gateway started, or its name has no room in dashboard.history"
    )]
    NoSignal(String),
    #[error("{what}: {expected}")]
    Invalid { what: String, expected: String },
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the type of the body is not {expected}")]
    MediaType { expected: &'static str },
    #[error("{0}")]
    CommandInvalid(String),
    #[error("{0}")]
    CommandUnknown(String),
    #[error("{0}")]
    CommandConflict(String),
    #[error("{0}")]
    CommandBusy(String),
    #[error("it is not confirmed yet: it may still be carried out, look again")]
    Unconfirmed,
    #[error("{limit} listeners are connected already")]
    TooManyListeners { limit: usize },
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the gateway cannot do this now: {0}")]
    Unavailable(&'static str),
}

impl Problem {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::ForeignHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unauthenticated | Self::WrongLogin => StatusCode::UNAUTHORIZED,
            Self::TooManyLogins(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoPage | Self::NoEvent(_) | Self::NoSignal(_) | Self::CommandUnknown(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Invalid { .. } | Self::CommandInvalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::CommandConflict(_) => StatusCode::CONFLICT,
            Self::CommandBusy(_)
            | Self::Unconfirmed
            | Self::TooManyListeners { .. }
            | Self::Slow(_)
            | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The stable word of `docs/dashboard.md`.
    fn word(&self) -> &'static str {
        match self {
            Self::ForeignHost(_) => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::Unauthenticated => "unauthenticated",
            Self::WrongLogin => "wrong_login",
            Self::TooManyLogins(_) => "too_many_logins",
            Self::Forbidden(_) => "forbidden",
            Self::NoPage => "not_found",
            Self::NoEvent(_) => "unknown_event",
            Self::NoSignal(_) => "unknown_signal",
            Self::Invalid { .. } | Self::CommandInvalid(_) => "invalid",
            Self::TooLarge { .. } => "too_large",
            Self::MediaType { .. } => "media_type",
            Self::CommandUnknown(_) => "unknown",
            Self::CommandConflict(_) => "conflict",
            Self::CommandBusy(_) => "busy",
            Self::Unconfirmed => "unconfirmed",
            Self::TooManyListeners { .. } => "too_many_listeners",
            Self::Slow(_) => "slow",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// A heading for people.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::ForeignHost(_) => "Another name",
            Self::ForeignOrigin => "Another site",
            Self::Unauthenticated | Self::WrongLogin => "Not logged in",
            Self::TooManyLogins(_) => "Too many attempts",
            Self::Forbidden(_) => "No permission",
            Self::NoPage | Self::NoEvent(_) | Self::NoSignal(_) | Self::CommandUnknown(_) => "Not found",
            Self::Invalid { .. }
            | Self::CommandInvalid(_)
            | Self::TooLarge { .. }
            | Self::MediaType { .. } => "Not accepted",
            Self::CommandConflict(_) => "Not possible now",
            Self::Unconfirmed => "Not confirmed",
            Self::CommandBusy(_) | Self::TooManyListeners { .. } | Self::Slow(_) | Self::Unavailable(_) => {
                "Busy"
            }
        }
    }

    /// As programs read it.
    pub(crate) fn document(&self) -> Value {
        json!({
            "type": self.word(), "title": self.title(), "status": self.status().as_u16(), "detail": self.to_string(),
        })
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyLogins(wait) => Some(wait.as_secs().max(1)),
            Self::CommandBusy(_) | Self::TooManyListeners { .. } | Self::Slow(_) | Self::Unavailable(_) => {
                Some(2)
            }
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    /// Without a body: the front writes it as the path asks for.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self == Self::Unauthenticated {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
