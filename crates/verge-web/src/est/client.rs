//! The device's side: what `verge certs enrol` sends.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use verge_tls::enrolment::{base64_lines, certificates_in};
use verge_tls::{ClientConfig, Secret};

use super::{ROOT, request};
use crate::dial::{dial, request_to};
use crate::{PushTarget, PushTargetError};

const WITHIN: Duration = Duration::from_secs(30);
/// Certificates have one or two thousand bytes each.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Of an answer that is no certificate, in messages.
const MAX_WORDS: usize = 300;

/// An authority that speaks EST.
#[derive(Debug, Clone)]
pub struct EstClient {
    target: PushTarget,
    tls: Arc<ClientConfig>,
}

/// What a request is sent with.
#[derive(Debug)]
pub enum EstProof<'a> {
    /// A name and its token: for a first certificate.
    Token(&'a str, &'a Secret),
    /// The certificate that is to be renewed, which the configuration of TLS shows.
    Certificate,
}

/// Why no certificate came.
#[derive(Debug, thiserror::Error)]
pub enum EstError {
    /// The address is none.
    #[error("{text:?} is no address of an authority, expected https://HOST[:PORT]: {why}")]
    Address {
        /// As it was given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// It is not reached.
    #[error("{target} is not reached: {why}")]
    Unreachable {
        /// Where.
        target: String,
        /// In words.
        why: String,
    },
    /// It answered otherwise.
    #[error("{target} refused: status {status}: {words}")]
    Refused {
        /// Where.
        target: String,
        /// Of HTTP.
        status: u16,
        /// What it says.
        words: String,
    },
    /// What it answered holds no certificate.
    #[error("what {target} answered is no certificate in PKCS #7: is it an authority that speaks EST?")]
    Content {
        /// Where.
        target: String,
    },
}

impl EstClient {
    /// At this address.
    ///
    /// # Errors
    /// It is none, or not by TLS.
    pub fn of(text: &str, tls: Arc<ClientConfig>) -> Result<Self, EstError> {
        let fault = |why: String| EstError::Address { text: text.to_owned(), why };
        let target = PushTarget::parse(text).map_err(|error: PushTargetError| fault(error.to_string()))?;
        if !target.is_tls() {
            return Err(fault("a token must not go over the network readable by anyone".to_owned()));
        }
        Ok(Self { target, tls })
    }

    /// Asks for a certificate; gives it, and others that came with it, in DER.
    ///
    /// # Errors
    /// See [`EstError`].
    pub async fn ask(&self, proof: &EstProof<'_>, request_der: &[u8]) -> Result<Vec<Vec<u8>>, EstError> {
        let asking = tokio::time::timeout(WITHIN, self.exchange(proof, request_der));
        let (status, body) = match asking.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return Err(EstError::Unreachable { target: self.target.to_string(), why }),
            Err(_) => {
                let why = format!("it did not answer within {} s", WITHIN.as_secs());
                return Err(EstError::Unreachable { target: self.target.to_string(), why });
            }
        };
        if status != 200 {
            let text = String::from_utf8_lossy(&body);
            let words = text.trim().chars().take(MAX_WORDS).flat_map(char::escape_debug).collect();
            return Err(EstError::Refused { target: self.target.to_string(), status, words });
        }
        let found = request::decoded(&body).and_then(|pkcs7| certificates_in(&pkcs7));
        found
            .filter(|found| !found.is_empty())
            .ok_or_else(|| EstError::Content { target: self.target.to_string() })
    }

    async fn exchange(&self, proof: &EstProof<'_>, request_der: &[u8]) -> Result<(u16, Bytes), String> {
        let (mut send, connection) = dial(&self.target, Some(Arc::clone(&self.tls))).await?;
        let response = send.send_request(self.request(proof, request_der)?).await;
        let response = response.map_err(|error| verge_tls::explain(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        connection.abort();
        Ok((status, body.map_err(|_| "the answer broke off, or is too long".to_owned())?.to_bytes()))
    }

    fn request(&self, proof: &EstProof<'_>, request_der: &[u8]) -> Result<Request<Full<Bytes>>, String> {
        let operation = match proof {
            EstProof::Token(..) => "simpleenroll",
            EstProof::Certificate => "simplereenroll",
        };
        let mut request = request_to(&self.target, Bytes::from(base64_lines(request_der)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{ROOT}{operation}").parse().map_err(|_| "no path".to_owned())?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/pkcs10"));
        headers.insert("content-transfer-encoding", HeaderValue::from_static("base64"));
        if let EstProof::Token(name, token) = proof {
            let login = STANDARD.encode(format!("{name}:{}", token.reveal()));
            let mut value =
                HeaderValue::try_from(format!("Basic {login}")).map_err(|_| "no header".to_owned())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}
