//! What an answer means for what was sent. Pure.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;

/// The longest pause that a service may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Taken,
    /// Not now, or not over this link: nothing was lost, the link is of no use until then.
    Later {
        /// Why, in words.
        reason: String,
        /// The pause that it asked for.
        pause: Option<Duration>,
    },
    /// It will never take this body.
    Refused {
        /// Why, in words.
        reason: String,
    },
}

impl Answer {
    /// What a status means, with the text of its `Retry-After` header.
    ///
    /// Only what a service says of the *body* refuses the body (400, 413, 422): what it says of the address, the method, the
    /// type or the sender holds for every body, and must not cost a verdict.
    pub(super) fn of(status: StatusCode, retry_after: Option<&str>, now: SystemTime) -> Self {
        let words = format!("the web service answers {status}");
        match status.as_u16() {
            200..=299 => Self::Taken,
            400 | 413 | 422 => Self::Refused { reason: words },
            401 | 403 => Self::Later { reason: format!("{words}: check token_file"), pause: None },
            404 | 405 | 410 => Self::Later { reason: format!("{words}: check the path in url"), pause: None },
            415 => Self::Later { reason: format!("{words}: check format"), pause: None },
            300..=399 => Self::Later {
                reason: format!("{words}: it is elsewhere, write its new address into url"),
                pause: None,
            },
            429 | 503 => {
                Self::Later { reason: words, pause: retry_after.and_then(|text| pause_of(text, now)) }
            }
            _ => Self::Later { reason: words, pause: None },
        }
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn pause_of(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or(Duration::ZERO),
    };
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        let now = httpdate::parse_http_date("Sun, 29 Nov 2026 12:00:00 GMT").unwrap();
        Answer::of(StatusCode::from_u16(status).unwrap(), retry_after, now)
    }

    #[test]
    fn only_what_is_said_of_the_body_costs_a_verdict() {
        for status in [200, 201, 202, 204] {
            assert_eq!(answer(status, None), Answer::Taken, "{status}");
        }
        for status in 300..=599 {
            let refused = matches!(answer(status, None), Answer::Refused { .. });
            assert_eq!(refused, [400, 413, 422].contains(&status), "{status}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_asked_for_and_bounded() {
        let pause = |status: u16, text: &str| match answer(status, Some(text)) {
            Answer::Later { pause, .. } => pause.map(|pause| pause.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(pause(503, "120"), Some(120));
        assert_eq!(pause(429, " 5 "), Some(5));
        assert_eq!(pause(503, "Sun, 29 Nov 2026 12:01:00 GMT"), Some(60));
        assert_eq!(pause(503, "Sun, 29 Nov 2026 11:00:00 GMT"), Some(0));
        assert_eq!(pause(503, "999999999"), Some(3600));
        assert_eq!(pause(503, "soon"), None);
        assert_eq!(pause(500, "120"), None);
    }

    #[test]
    fn what_is_to_be_done_is_said() {
        let reason = |status: u16| match answer(status, None) {
            Answer::Later { reason, .. } | Answer::Refused { reason } => reason,
            Answer::Taken => panic!("taken"),
        };
        assert_eq!(reason(401), "the web service answers 401 Unauthorized: check token_file");
        assert_eq!(reason(404), "the web service answers 404 Not Found: check the path in url");
        assert_eq!(reason(422), "the web service answers 422 Unprocessable Entity");
    }
}
