//! One connection: dial, handshake, request and answer.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use verge_tls::{ClientConfig, Secret};

use super::PushSettings;
use super::answer::Answer;
use crate::dial::{dial, request_to};

/// Of the body of an answer this much is read, so that the connection can be used again; a longer one ends it.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// For this long at most.
const ANSWER_BODY: Duration = Duration::from_secs(1);

/// What proves who sends.
#[derive(Debug, Clone, Default)]
pub struct PushCredentials {
    /// For `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Secret>,
    /// Signs each body: `X-Verge-Signature: sha256=…`, the HMAC-SHA256 of the body in hexadecimal digits.
    pub signing_key: Option<Secret>,
}

/// Reads what proves who sends, from its files.
#[derive(Clone)]
pub struct PushAccess(Arc<dyn Fn() -> Result<PushCredentials, String> + Send + Sync>);

impl PushAccess {
    /// Read by this function.
    pub fn new(read: impl Fn() -> Result<PushCredentials, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for PushAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushAccess")
    }
}

/// A connection that stands.
pub(super) struct Exchange {
    send: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
    settings: Arc<PushSettings>,
    authorization: Option<HeaderValue>,
    signing_key: Option<hmac::Key>,
    pub(super) used: bool,
    /// The end of an answer did not come.
    is_given_up: bool,
}

impl Exchange {
    /// Dials, and does the handshake of TLS.
    ///
    /// # Errors
    /// Why it cannot be reached, in words.
    pub(super) async fn open(settings: &Arc<PushSettings>) -> Result<Self, String> {
        let PushCredentials { tls, token, signing_key } = (settings.access.0)()?;
        let authorization = token.as_ref().map(bearer).transpose()?;
        let signing_key = signing_key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes()));
        let dialled = timeout(settings.timeout, dial(&settings.target, tls)).await;
        let (send, connection) = dialled.map_err(|_| no_answer(settings.timeout))??;
        Ok(Self {
            send,
            connection,
            settings: Arc::clone(settings),
            authorization,
            signing_key,
            used: false,
            is_given_up: false,
        })
    }

    /// Whether one of the ends has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.is_given_up || self.send.is_closed()
    }

    /// Sends one body and reads what is answered.
    ///
    /// # Errors
    /// No answer came, in words.
    pub(super) async fn post(&mut self, body: Bytes) -> Result<Answer, String> {
        self.used = true;
        let wait = self.settings.timeout;
        let answered = timeout(wait, self.exchange(body)).await.map_err(|_| no_answer(wait))?;
        let response = answered.map_err(|error| explain(&error))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let answer = Answer::of(response.status(), retry_after, SystemTime::now());
        self.drain(response).await;
        Ok(answer)
    }

    async fn exchange(&mut self, body: Bytes) -> Result<Response<Incoming>, hyper::Error> {
        self.send.ready().await?;
        self.send.send_request(self.request(body)).await
    }

    /// Reads the body of an answer away. The answer counts without it: one that is long, or slow, or never ends, must not
    /// hold up what is sent, and ends the connection.
    async fn drain(&mut self, response: Response<Incoming>) {
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        if !matches!(timeout(ANSWER_BODY, body.collect()).await, Ok(Ok(_))) {
            self.connection.abort();
            self.is_given_up = true;
        }
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let signed = self.signing_key.as_ref().map(|key| signature(key, &body).parse::<HeaderValue>());
        let mut request = request_to(&self.settings.target, body);
        *request.method_mut() = hyper::Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.settings.content_type));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(Ok(signature)) = signed {
            headers.insert("x-verge-signature", signature);
        }
        request
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
        .map_err(|_| "token_file: the token holds letters that no header can".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn signature(key: &hmac::Key, body: &[u8]) -> String {
    let digest = hmac::sign(key, body);
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

fn no_answer(wait: Duration) -> String {
    format!("it did not answer within {} s (timeout)", wait.as_secs_f32())
}

/// The innermost cause: hyper's own words say only at what it failed.
fn explain(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "the connection was closed before the answer".to_owned();
    }
    if error.is_parse() {
        return "what answers there does not speak HTTP/1.1: is it another service's port?".to_owned();
    }
    verge_tls::explain(error)
}

/// What a trial of the address gave, for `verge check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushTrial {
    /// It is reached, and answers a HEAD request with this status.
    Answered(u16),
    /// It is not reached.
    Unreachable(String),
}

impl PushTrial {
    /// Connects and asks with HEAD, which changes nothing there.
    pub async fn of(settings: &PushSettings) -> Self {
        let settings = Arc::new(settings.clone());
        let mut exchange = match Exchange::open(&settings).await {
            Ok(exchange) => exchange,
            Err(reason) => return Self::Unreachable(reason),
        };
        let mut request = exchange.request(Bytes::new());
        *request.method_mut() = hyper::Method::HEAD;
        let asked = async {
            exchange.send.ready().await?;
            exchange.send.send_request(request).await
        };
        match timeout(settings.timeout, asked).await {
            Ok(Ok(response)) => Self::Answered(response.status().as_u16()),
            Ok(Err(error)) => Self::Unreachable(explain(&error)),
            Err(_) => {
                Self::Unreachable(format!("{} did not answer within {:?}", settings.target, settings.timeout))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_others_sign_it() {
        // RFC 4231, test case 2.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        assert_eq!(
            signature(&key, b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_token_is_never_shown() {
        let value = bearer(&Secret::new("canary".to_owned())).unwrap();
        assert!(!format!("{value:?}").contains("canary"));
        assert!(bearer(&Secret::new("two\nlines".to_owned())).unwrap_err().starts_with("token_file"));
    }
}
