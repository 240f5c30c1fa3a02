//! What a request is refused with: one closed list, in JSON for programs (RFC 9457) and as a page for people.

use std::time::Duration;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use verge_domain::configured::ReloadOutcome;

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
    #[error(
        "this link was used, or its time has passed: it logs in once; log in by name and password, or start the demo again"
    )]
    UsedLink,
    #[error("too many wrong logins: try again in {} s", .0.as_secs().max(1))]
    TooManyLogins(Duration),
    #[error("this takes the role {0}: ask whoever manages the logins (`verge users`)")]
    Forbidden(Role),
    #[error("there is no such page")]
    NoPage,
    #[error("{0} is not possible here: `Allow` names what is")]
    Method(Method),
    #[error("event {0} is not known here: it is not open, and not among the newest that the store keeps")]
    NoEvent(String),
    #[error("there is no camera {0}: no frame has come from it since the gateway started")]
    NoCamera(String),
    #[error("no picture yet: the camera's next frame is waited for, ask again")]
    NoPicture,
    #[error("pictures are shown to nobody: the configuration says pictures = \"off\" below [dashboard]")]
    PicturesOff,
    #[error("{limit} cameras are watched already: close the pages of others")]
    TooManyWatched { limit: usize },
    #[error(
        "signal {0} was not received since the gateway started, or its name has no room in dashboard.history"
    )]
    NoSignal(String),
    #[error("{what}: {expected}")]
    Invalid { what: String, expected: String },
    #[error("{}", fault_words(.0))]
    Faults(Vec<InputFault>),
    #[error("{}", changed_words(.0.as_deref()))]
    Changed(Option<String>),
    #[error("send `If-Match` with the ETag of what was read: this is done on that version alone")]
    NoVersionNamed,
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
    #[error("{0}")]
    NotTakenUp(String),
    #[error("{0}")]
    TooOften(String),
    #[error("{}", .words.join("; "))]
    Reload { outcome: ReloadOutcome, words: Vec<String>, report: Bytes },
    #[error("it is not confirmed yet: it may still be carried out, look again")]
    Unconfirmed,
    #[error("{limit} listeners are connected already")]
    TooManyListeners { limit: usize },
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the gateway cannot do this now: {0}")]
    Unavailable(&'static str),
}

/// One fault of a query or a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InputFault {
    /// Which part of the body (RFC 6901), or `?name` of the query; empty: all of the body, and `expected` says what is wrong.
    pub(crate) pointer: String,
    /// What is there, fit to be shown; `None` where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    pub(crate) expected: String,
}

fn changed_words(now: Option<&str>) -> String {
    match now {
        Some(tag) => format!("it has changed since it was seen: its ETag is {tag} now"),
        None => "it has changed since it was seen: read it again".to_owned(),
    }
}

fn fault_words(faults: &[InputFault]) -> String {
    let words = |fault: &InputFault| {
        let InputFault { pointer, value, expected } = fault;
        match value {
            None if pointer.is_empty() => expected.clone(),
            Some(value) => format!("{pointer}: {value}, expected {expected}"),
            None => format!("{pointer}: missing, expected {expected}"),
        }
    };
    faults.iter().map(words).collect::<Vec<_>>().join("; ")
}

impl Problem {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::ForeignHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin | Self::Forbidden(_) | Self::PicturesOff => StatusCode::FORBIDDEN,
            Self::Unauthenticated | Self::WrongLogin | Self::UsedLink => StatusCode::UNAUTHORIZED,
            Self::TooManyLogins(_) | Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Reload { outcome, .. } => match outcome {
                ReloadOutcome::NeedsRestart => StatusCode::CONFLICT,
                ReloadOutcome::Faulty => StatusCode::UNPROCESSABLE_ENTITY,
                ReloadOutcome::Done | ReloadOutcome::Failed => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::NoPage
            | Self::NoEvent(_)
            | Self::NoCamera(_)
            | Self::NoPicture
            | Self::NoSignal(_)
            | Self::CommandUnknown(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Changed(_) => StatusCode::PRECONDITION_FAILED,
            Self::NoVersionNamed => StatusCode::PRECONDITION_REQUIRED,
            Self::Invalid { .. } | Self::Faults(_) | Self::CommandInvalid(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::CommandConflict(_) => StatusCode::CONFLICT,
            Self::CommandBusy(_)
            | Self::NotTakenUp(_)
            | Self::Unconfirmed
            | Self::TooManyListeners { .. }
            | Self::TooManyWatched { .. }
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
            Self::UsedLink => "used_link",
            Self::TooManyLogins(_) => "too_many_logins",
            Self::TooOften(_) => "too_often",
            Self::Reload { outcome, .. } => match outcome {
                ReloadOutcome::NeedsRestart => "needs_restart",
                ReloadOutcome::Faulty => "faulty_configuration",
                ReloadOutcome::Done | ReloadOutcome::Failed => "reload_failed",
            },
            Self::Forbidden(_) => "forbidden",
            Self::NoPage => "not_found",
            Self::NoEvent(_) => "unknown_event",
            Self::NoSignal(_) => "unknown_signal",
            Self::NoCamera(_) => "unknown_camera",
            Self::NoPicture => "no_picture",
            Self::PicturesOff => "pictures_off",
            Self::TooManyWatched { .. } => "too_many_watched",
            Self::Method(_) => "method",
            Self::Changed(_) => "changed",
            Self::NoVersionNamed => "no_if_match",
            Self::Invalid { .. } | Self::Faults(_) | Self::CommandInvalid(_) => "invalid",
            Self::TooLarge { .. } => "too_large",
            Self::MediaType { .. } => "media_type",
            Self::CommandUnknown(_) => "unknown",
            Self::CommandConflict(_) => "conflict",
            Self::CommandBusy(_) => "busy",
            Self::NotTakenUp(_) => "not_taken_up",
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
            Self::Unauthenticated | Self::WrongLogin | Self::UsedLink => "Not logged in",
            Self::TooManyLogins(_) => "Too many attempts",
            Self::TooOften(_) => "Too often",
            Self::Reload { .. } => "Not reloaded",
            Self::Forbidden(_) | Self::PicturesOff => "No permission",
            Self::NoPage
            | Self::NoEvent(_)
            | Self::NoCamera(_)
            | Self::NoPicture
            | Self::NoSignal(_)
            | Self::CommandUnknown(_) => "Not found",
            Self::Method(_)
            | Self::NoVersionNamed
            | Self::Invalid { .. }
            | Self::Faults(_)
            | Self::CommandInvalid(_)
            | Self::TooLarge { .. }
            | Self::MediaType { .. } => "Not accepted",
            Self::CommandConflict(_) | Self::Changed(_) => "Not possible now",
            Self::Unconfirmed => "Not confirmed",
            Self::NotTakenUp(_) => "Not taken up",
            Self::CommandBusy(_)
            | Self::TooManyListeners { .. }
            | Self::TooManyWatched { .. }
            | Self::Slow(_)
            | Self::Unavailable(_) => "Busy",
        }
    }

    /// As programs read it.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({
            "type": self.word(), "title": self.title(), "status": self.status().as_u16(), "detail": self.to_string(),
        });
        if let Self::Faults(faults) = self {
            document["faults"] = json!(faults);
        }
        if let Self::Reload { report, .. } = self {
            document["report"] = serde_json::from_slice(report).unwrap_or_default();
        }
        document
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyLogins(wait) => Some(wait.as_secs().max(1)),
            Self::TooOften(_) => Some(1),
            Self::CommandBusy(_)
            | Self::NoPicture
            | Self::TooManyListeners { .. }
            | Self::TooManyWatched { .. }
            | Self::Slow(_)
            | Self::Unavailable(_) => Some(2),
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
