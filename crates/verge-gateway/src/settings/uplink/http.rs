//! `kind = "http"`: an uplink to a web service.

use std::path::PathBuf;
use std::time::Duration;

use verge_domain::backoff::Backoff;
use verge_tls::Secret;
use verge_web::{PushAccess, PushCredentials, PushSettings, PushTarget, PushTargetError};

use super::super::connection::{self, BuildError, TlsFiles};
use super::super::{Check, JudgeSection};
use super::PlainAddress;
use super::datex2::{DatexUplink, check_format};
use crate::config::{Fault, RawHttp, RawPushFormat};

/// Requests that wait for their turn: one after the other is sent, and some are at hand when its answer comes.
pub(super) const WINDOW: usize = 8;

/// An uplink to a web service.
#[derive(Debug, Clone)]
pub struct HttpUplink {
    /// Key of the section it comes from, for messages.
    pub key: String,
    /// The address.
    pub target: PushTarget,
    /// Certificates; `None` without TLS.
    pub tls: Option<TlsFiles>,
    /// File of the token that is sent with each request.
    pub token: Option<PathBuf>,
    /// File of the key that signs each body.
    pub signing_key: Option<PathBuf>,
    /// How bodies are written.
    pub format: PushFormat,
    /// A request and its answer take this long at most.
    pub timeout: Duration,
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
}

/// How bodies are written.
#[derive(Debug, Clone)]
pub enum PushFormat {
    /// The JSON twin.
    Json,
    /// Batches of CloudEvents.
    CloudEvents,
    /// Publications of DATEX II.
    Datex2(Box<DatexUplink>),
}

impl PushFormat {
    /// The publications, where they are that.
    #[must_use]
    pub fn datex2(&self) -> Option<&DatexUplink> {
        match self {
            Self::Datex2(datex2) => Some(datex2),
            Self::Json | Self::CloudEvents => None,
        }
    }

    const fn content_type(&self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::CloudEvents => "application/cloudevents-batch+json",
            Self::Datex2(_) => verge_traffic::datex2::CONTENT_TYPE,
        }
    }
}

impl HttpUplink {
    pub(super) fn check(
        check: &mut Check<'_>,
        gateway: &str,
        section: &str,
        raw: &RawHttp,
        judges: (&[JudgeSection], &[&str]),
    ) -> Option<Self> {
        let datex2 = check_format(check, section, gateway, raw, judges);
        let url = raw.url.as_deref();
        if url.is_none() {
            let expected = r#"the address of a web service, such as "https://hooks.example/verge""#;
            let fault = Fault::missing(format!("{section}.url"), expected);
            let remedy = match raw.format {
                RawPushFormat::Datex2 => "add it, or snapshot_dir where documents are only fetched",
                RawPushFormat::Json | RawPushFormat::CloudEvents => "add url = and the address",
            };
            check.faults.push(fault.remedy(remedy));
        }
        let target = url.and_then(|url| check_url(check, section, url));
        if let Some((target, url)) = target.as_ref().zip(url).filter(|(target, _)| !target.is_tls()) {
            let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            let path = path.map_or_else(String::new, |(_, path)| format!("/{path}"));
            let (host, is_allowed) = (target.host(), raw.insecure_plaintext);
            let instead = format!("https://{host}{path}");
            PlainAddress { section, url, host, scheme: "https://", instead, is_allowed }.check(check);
        }
        let is_tls = target.as_ref().map(PushTarget::is_tls);
        let tls = connection::check_tls(check, section, &raw.certificates, is_tls, "https://");
        let path = |file: &Option<String>| file.as_deref().map(|file| check.path(file));
        let (token, signing_key) = (path(&raw.token_file), path(&raw.signing_key_file));
        Some(Self {
            key: section.to_owned(),
            target: target?,
            tls,
            token,
            signing_key,
            format: match (raw.format, datex2.ok()?) {
                (RawPushFormat::CloudEvents, _) => PushFormat::CloudEvents,
                (RawPushFormat::Datex2, Some(datex2)) => PushFormat::Datex2(Box::new(datex2)),
                (RawPushFormat::Json | RawPushFormat::Datex2, _) => PushFormat::Json,
            },
            timeout: raw.timeout.0,
            max_body_bytes: raw.max_body.to_usize(),
        })
    }

    /// How it connects and what it sends; certificates, token and key are read here once, and again at each connection.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, with the key that names it.
    pub fn build(&self) -> Result<PushSettings, BuildError> {
        self.credentials()?;
        let again = self.clone();
        let access = PushAccess::new(move || again.credentials().map_err(|error| error.to_string()));
        Ok(PushSettings {
            target: self.target.clone(),
            content_type: self.format.content_type(),
            preface: None,
            access,
            timeout: self.timeout,
            max_body_bytes: self.max_body_bytes,
            window: WINDOW,
            backoff: Backoff::DEFAULT,
        })
    }

    fn credentials(&self) -> Result<PushCredentials, BuildError> {
        let tls = self.tls.as_ref().map(|files| files.load(&self.key)).transpose()?;
        let secret = |part: &str, file: &Option<PathBuf>| -> Result<Option<Secret>, BuildError> {
            let file = file.as_ref();
            file.map(|file| connection::load_secret(&format!("{}.{part}", self.key), file)).transpose()
        };
        let token = secret("token_file", &self.token)?;
        let signing_key = secret("signing_key_file", &self.signing_key)?;
        Ok(PushCredentials { tls, token, signing_key })
    }
}

fn check_url(check: &mut Check<'_>, section: &str, url: &str) -> Option<PushTarget> {
    let error = match PushTarget::parse(url) {
        Ok(target) => return Some(target),
        Err(error) => error,
    };
    let key = format!("{section}.url");
    let fault = if error == PushTargetError::User {
        let expected = "an address without user and password: token_file names the file of a token";
        Fault::new(key, "an address with a password (not shown)", expected)
            .remedy("take what stands before the @ out of it")
    } else {
        let expected =
            format!(r#"the address of a web service, such as "https://hooks.example/verge" ({error})"#);
        let host = url.rsplit_once("://").map_or(url, |(_, host)| host);
        let made = format!("https://{host}");
        let remedy = if PushTarget::parse(&made).is_ok() {
            format!("write for example {made:?}")
        } else {
            "write scheme, host and path".to_owned()
        };
        Fault::at_text(key, url, expected).remedy(remedy)
    };
    check.faults.push(fault);
    None
}
