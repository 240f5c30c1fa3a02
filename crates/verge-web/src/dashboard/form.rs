//! What a browser or a program sends with a request.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::FromRequest;
use axum::extract::Request;
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::problem::Problem;

/// Fields of a form at most. A body with more is refused; of a query the rest is left out.
const MAX_FIELDS: usize = 4_096;

/// Fields of a form.
#[derive(Debug, Default)]
pub(crate) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    /// Reads `a=1&b=2`.
    pub(crate) fn read(text: &[u8]) -> Self {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text).take(MAX_FIELDS) {
            fields.entry(name.into_owned()).or_insert_with(Vec::new).push(value.into_owned());
        }
        Self(fields)
    }

    /// A field that says something.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.raw_if(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A field as it was typed.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.raw_if(name).unwrap_or_default()
    }

    /// A field as it was typed, the first of its name, if there is one.
    pub(crate) fn raw_if(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    /// The names of all fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All fields of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

fn media_type(request: &Request) -> &str {
    let header = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    header.split(';').next().unwrap_or("").trim()
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let limit = super::front::body_limit(request.uri().path());
    let read = Bytes::from_request(request, state).await;
    read.map_err(|_| Problem::TooLarge { limit })
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        const EXPECTED: &str = "application/x-www-form-urlencoded";
        if media_type(&request) != EXPECTED {
            return Err(Problem::MediaType { expected: EXPECTED });
        }
        let body = body(request, state).await?;
        if form_urlencoded::parse(&body).count() > MAX_FIELDS {
            let expected = format!("expected at most {MAX_FIELDS} fields");
            return Err(Problem::Invalid { what: "the form".to_owned(), expected });
        }
        Ok(Self::read(&body))
    }
}

/// A JSON object, or nothing at all, which counts as an empty one.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        const EXPECTED: &str = "application/json";
        let is_json = media_type(&request) == EXPECTED;
        let bytes = body(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        if !is_json {
            return Err(Problem::MediaType { expected: EXPECTED });
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(keys)) => Ok(Self(keys)),
            _ => Err(Problem::Invalid { what: "the body".to_owned(), expected: "a JSON object".to_owned() }),
        }
    }
}

/// A text, larger than other bodies may be.
#[derive(Debug)]
pub(crate) struct TextBody(pub(crate) Bytes);

/// Types of a body that is a text.
const TEXTS: [&str; 2] = ["application/toml", "text/plain"];

impl<S: Send + Sync> FromRequest<S> for TextBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !TEXTS.contains(&media_type(&request)) {
            return Err(Problem::MediaType { expected: TEXTS[0] });
        }
        body(request, state).await.map(Self)
    }
}
