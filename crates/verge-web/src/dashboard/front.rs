//! What every request passes: the name that it asks for, where it comes from, how long it may take; and the headers of every
//! answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::Service;
use hyper::{Method, Request, Uri};
use hyper_util::service::TowerToHyperService;

use super::access::Proof;
use super::cut::Cut;
use super::pages;
use super::problem::Problem;
use super::server::Answers;
use super::site::Site;

/// Bodies at most; more is not read.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The same without a login: a name and a password.
const MAX_STRANGER_BYTES: usize = 8 * 1024;
/// The same of a configuration that is to be checked.
const MAX_CONFIGURATION_BYTES: usize = 1024 * 1024;
/// Paths that take one.
const CHECKING: [&str; 2] = ["/api/v1/configuration/check", "/configuration/check"];
/// An answer begins within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                   form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, CSP),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Both ends of the connection that a request comes by.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) local: IpAddr,
    pub(crate) tls: bool,
    /// The common name of the certificate that it has shown.
    pub(crate) certificate: Option<String>,
}

impl Peer {
    /// Name of the cookie. By TLS it is one that no other host and no plain text can set.
    pub(crate) fn cookie(&self) -> &'static str {
        if self.tls { "__Host-verge" } else { "verge" }
    }
}

/// All requests come in here.
#[derive(Clone)]
pub(super) struct Front {
    site: Arc<Site>,
    router: TowerToHyperService<Router>,
}

impl Front {
    pub(super) fn new(site: Arc<Site>, router: Router) -> Self {
        // Each body is bounded before by what its path takes.
        let router = router.layer(DefaultBodyLimit::max(MAX_CONFIGURATION_BYTES));
        Self { site, router: TowerToHyperService::new(router) }
    }

    pub(super) async fn serve(&self, mut request: Request<Body>, peer: Peer) -> Response {
        let (path, is_head) = (request.uri().path().to_owned(), request.method() == Method::HEAD);
        let answer = match self.admit(&mut request, &peer) {
            Err(problem) => problem.into_response(),
            Ok(()) => match tokio::time::timeout(ANSWER_WITHIN, self.router.call(request)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(never)) => match never {},
                Err(_) => Problem::Slow(ANSWER_WITHIN).into_response(),
            },
        };
        finish(answer, &path, is_head)
    }

    /// Refuses what did not come from where it should; notes who asks.
    fn admit(&self, request: &mut Request<Body>, peer: &Peer) -> Result<(), Problem> {
        let host = host_of(request.uri(), request.headers());
        if !is_ours(&self.site.settings.hosts, &host, peer) {
            return Err(Problem::ForeignHost(super::shown::Shown::of(&host).text));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD)
            && !is_same_origin(request.headers(), &host, peer)
        {
            return Err(Problem::ForeignOrigin);
        }
        let limit = body_limit(request.uri().path());
        let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse::<usize>().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(Problem::TooLarge { limit });
        }
        let now = self.site.live.now();
        let mut shown = proofs(request.headers(), peer).into_iter().flatten();
        let who = shown.find_map(|proof| self.site.access.identify(proof, now));
        let limit = match who {
            Some(who) => {
                request.extensions_mut().insert(who);
                limit
            }
            None if length.is_some_and(|length| length > MAX_STRANGER_BYTES) => {
                return Err(Problem::Unauthenticated);
            }
            None => MAX_STRANGER_BYTES,
        };
        if limit < MAX_CONFIGURATION_BYTES {
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = Body::new(Limited::new(body, limit));
        }
        request.extensions_mut().insert(peer.clone());
        Ok(())
    }
}

impl Answers for Front {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response {
        self.serve(request.map(Body::new), peer).await
    }

    fn count(&self, cut: Cut) {
        self.site.cuts.count(cut);
    }
}

/// Whether a name is one of ours, which are those of `hosts` and the address. An address is safe where the connection came to it:
/// pages of other sites can have any name that leads here, and no address of ours.
pub(super) fn is_ours(hosts: &[String], host: &str, peer: &Peer) -> bool {
    let bare = bare_host(host);
    let is_address_of_ours = bare
        .parse::<IpAddr>()
        .is_ok_and(|address| address == peer.local || address.is_loopback() && peer.local.is_loopback());
    is_address_of_ours || bare == "localhost" || hosts.iter().any(|known| is_named(&bare_host(known), &bare))
}

/// Bytes that the body for a path has at most.
pub(super) fn body_limit(path: &str) -> usize {
    if CHECKING.contains(&path) { MAX_CONFIGURATION_BYTES } else { MAX_BODY_BYTES }
}

/// Whether a name is the known one; `*` stands for one label, as in certificates.
fn is_named(known: &str, name: &str) -> bool {
    let within = |domain: &str| {
        !domain.is_empty()
            && name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain)
    };
    known == name || known.strip_prefix("*.").is_some_and(within)
}

/// Host without its port, in small letters.
pub(crate) fn bare_host(host: &str) -> String {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        // An address of IPv6 without brackets has several colons.
        None if host.matches(':').count() > 1 => host,
        None => host.split(':').next().unwrap_or(""),
    };
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

pub(crate) fn host_of(uri: &Uri, headers: &HeaderMap) -> String {
    let header = || {
        let mut all = headers.get_all(HOST).iter();
        let first = all.next()?.to_str().ok()?.to_owned();
        all.next().is_none().then_some(first)
    };
    uri.authority().map(ToString::to_string).or_else(header).unwrap_or_default()
}

/// Whether a request that changes something was made by a page of ours, or by no browser. What Go's `CrossOriginProtection`
/// does.
fn is_same_origin(headers: &HeaderMap, host: &str, peer: &Peer) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("odd"));
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    let own = format!("{}://{host}", if peer.tls { "https" } else { "http" });
    let by_origin = match text(&ORIGIN) {
        None => true,
        // What browsers send with a form of ours, because our pages name no referrer.
        Some("null") => site == Some("same-origin"),
        Some(origin) => origin.eq_ignore_ascii_case(&own),
    };
    by_origin && site.is_none_or(|site| matches!(site, "same-origin" | "none"))
}

/// What is shown, in the order in which it counts: a token alone; else a cookie, and a certificate where no session is the
/// cookie's, which browsers keep for long after its end.
fn proofs(headers: &HeaderMap, peer: &Peer) -> [Option<Proof>; 2] {
    if let Some(header) = headers.get(AUTHORIZATION) {
        let pair = header.to_str().ok().and_then(|header| header.split_once(' '));
        let token = pair.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return [token.map(|(_, token)| Proof::Token(token.trim().to_owned())), None];
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut pairs =
        cookies.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let cookie = pairs.find(|(name, _)| *name == peer.cookie());
    let cookie = cookie.map(|(_, value)| Proof::Cookie(value.to_owned()));
    [cookie, peer.certificate.clone().map(Proof::Certificate)]
}

/// Writes what a refusal says, and the headers that every answer has.
pub(super) fn finish(mut answer: Response, path: &str, is_head: bool) -> Response {
    if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
        let (mut parts, _) = answer.into_parts();
        let is_api =
            path.starts_with("/api/") || path == "/metrics" || path == "/healthz" || path == "/readyz";
        let (content_type, text) = if is_api {
            ("application/problem+json", problem.document().to_string())
        } else {
            ("text/html; charset=utf-8", pages::problem(&problem))
        };
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        parts.headers.remove(CONTENT_LENGTH);
        answer = Response::from_parts(parts, if is_head { Body::empty() } else { Body::from(text) });
    }
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_port_and_case() {
        let check = |host: &str, bare: &str| assert_eq!(bare_host(host), bare, "{host}");
        check("Gateway.Example:8443", "gateway.example");
        check("gateway.example.", "gateway.example");
        check("[::1]:80", "::1");
        check("::1", "::1");
        check("127.0.0.1:8080", "127.0.0.1");
        check("", "");
    }

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(is_named("*.plant.example", "cabinet-7.plant.example"));
        for other in ["plant.example", "a.b.plant.example", "cabinet-7.evil.example", "localhost"] {
            assert!(!is_named("*.plant.example", other), "{other}");
        }
        assert!(!is_named("*.", "a."));
    }

    #[test]
    fn a_request_of_another_site_is_recognised() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let peer = Peer { address: local, local, tls: false, certificate: None };
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            let header = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            let headers: HeaderMap = pairs.iter().map(header).collect();
            assert_eq!(is_same_origin(&headers, "localhost:80", &peer), expected, "{pairs:?}");
        };
        let host = ("host", "localhost:80");
        check(&[host], true);
        check(&[host, ("sec-fetch-site", "same-origin"), ("origin", "http://localhost:80")], true);
        check(&[host, ("sec-fetch-site", "none")], true);
        check(&[host, ("sec-fetch-site", "cross-site")], false);
        check(&[host, ("sec-fetch-site", "same-site")], false);
        check(&[host, ("origin", "http://localhost:81")], false);
        check(&[host, ("origin", "https://localhost:80")], false);
        check(&[host, ("origin", "null")], false);
        check(&[host, ("sec-fetch-site", "same-origin"), ("origin", "null")], true);
        check(&[host, ("sec-fetch-site", "none"), ("origin", "null")], false);
        check(&[host, ("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")], false);
    }
}
