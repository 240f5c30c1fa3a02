//! `[dashboard]`: the pages, the interface and the metrics. Without `listen` there is no server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use verge_domain::id::OperatorText;
use verge_tls::{ServerConfig, TrustedRoots};
use verge_web::dashboard::access::{PictureAccess, Role};

use super::Check;
use super::connection::{BuildError, load_identity};
use crate::config::{Fault, RawDashboard, Size};

/// Key of the section.
const SECTION: &str = "dashboard";
/// Memory for the history of signals, where nothing else is said.
const HISTORY: usize = 32 << 20;

/// Where the dashboard is served.
#[derive(Debug, Clone)]
pub struct DashboardSection {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate and key; `None` for plain text, which only this machine can reach.
    pub files: Option<(PathBuf, PathBuf)>,
    /// Certificates that a client's must lead to, where it shows one.
    pub client_ca: Option<PathBuf>,
    /// What clients with a certificate may do, by the common name in it.
    pub certificates: BTreeMap<String, Role>,
    /// Names under which it may be reached, beside its address, localhost and those of its certificate.
    pub hosts: Vec<String>,
    /// Who may see the pictures of cameras.
    pub pictures: PictureAccess,
    /// Bytes that the history of signals may take.
    pub history: usize,
}

impl DashboardSection {
    /// The address for people.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}://{}", if self.files.is_some() { "https" } else { "http" }, self.listen)
    }

    /// Reads the certificate and its key; `None` where there is none.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, with the key that names it.
    pub fn tls(&self) -> Result<Option<Arc<ServerConfig>>, BuildError> {
        let Some((cert, key)) = &self.files else { return Ok(None) };
        let identity = load_identity(SECTION, cert, key)?;
        let read = |ca: &PathBuf| {
            let tls_fault = |source| BuildError::Tls {
                key: SECTION.to_owned(),
                part: "client_ca",
                source: Box::new(source),
            };
            TrustedRoots::load(ca).map_err(tls_fault)
        };
        let clients = self.client_ca.as_ref().map(read).transpose()?;
        Ok(Some(verge_tls::web_server_config(&identity, clients.as_ref())))
    }

    /// All names under which it may be reached.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let of_certificate = self.files.iter().flat_map(|(cert, _)| names_in(cert));
        self.hosts.iter().cloned().chain(of_certificate).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The names that a certificate is for. A file that cannot be read is reported where it is used.
fn names_in(cert: &Path) -> Vec<String> {
    let pem = std::fs::read(cert).unwrap_or_default();
    let chain = verge_tls::summary(&pem, "the certificate").unwrap_or_default();
    chain.into_iter().next().map(|own| own.names).unwrap_or_default()
}

pub(super) fn check_dashboard(check: &mut Check<'_>, raw: &RawDashboard) -> Option<DashboardSection> {
    let Some(text) = &raw.listen else {
        let rest = [&raw.cert, &raw.key, &raw.client_ca];
        let others = raw.hosts.is_some() || raw.certificate.is_some() || raw.history.is_some();
        if rest.into_iter().any(Option::is_some) || others {
            let expected = r#"an address of this machine with a port, such as "127.0.0.1:8080": without one there is no dashboard"#;
            let remedy = "add listen = \"127.0.0.1:8080\" below [dashboard], or take the section out";
            check.faults.push(Fault::missing("dashboard.listen".to_owned(), expected).remedy(remedy));
        }
        return None;
    };
    let listen = text.parse::<SocketAddr>().ok().filter(|listen| listen.port() != 0);
    if listen.is_none() {
        let expected = r#"an address of this machine with a port, such as "127.0.0.1:8080", or "0.0.0.0:8443" for all of its addresses"#;
        let remedy = "write listen = \"127.0.0.1:8080\"";
        check.faults.push(Fault::at_text("dashboard.listen", text, expected).remedy(remedy));
    }
    let files = check_files(check, raw, listen);
    let hosts = raw.hosts.iter().flatten().filter_map(|host| check_host(check, host)).collect();
    let certificates = check_certificates(check, raw, files.as_ref().is_some_and(Option::is_some));
    let client_ca = raw.client_ca.as_ref().map(|ca| check.path(ca));
    let pictures = raw.pictures.unwrap_or_default();
    let history = raw.history.map_or(HISTORY, Size::to_usize);
    Some(DashboardSection {
        listen: listen?,
        files: files?,
        client_ca,
        certificates,
        hosts,
        pictures,
        history,
    })
}

type Files = Option<(PathBuf, PathBuf)>;

/// The outer `None`: at fault.
fn check_files(check: &mut Check<'_>, raw: &RawDashboard, listen: Option<SocketAddr>) -> Option<Files> {
    let missing = |check: &mut Check<'_>, key: &str, expected: &str| {
        let remedy = format!("add {key} = \"FILE\" below [dashboard]");
        check.faults.push(Fault::missing(format!("dashboard.{key}"), expected).remedy(remedy));
        None
    };
    match (&raw.cert, &raw.key) {
        (Some(cert), Some(key)) => Some(Some((check.path(cert), check.path(key)))),
        (Some(_), None) => missing(check, "key", "the key of the certificate in dashboard.cert"),
        (None, Some(_)) => missing(check, "cert", "the certificate of the key in dashboard.key"),
        (None, None) => {
            let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) else { return Some(None) };
            let expected = "127.0.0.1, which only this machine can reach, or cert and key beside it: without a certificate \
                            passwords go over the network readable by anyone on the way";
            let remedy = format!(
                "write listen = \"127.0.0.1:{}\", or add cert and key (`verge certs issue` makes them)",
                listen.port()
            );
            check
                .faults
                .push(Fault::at_text("dashboard.listen", &listen.to_string(), expected).remedy(remedy));
            None
        }
    }
}

/// What certificates may do needs an authority for them, and both need TLS.
fn check_certificates(check: &mut Check<'_>, raw: &RawDashboard, tls: bool) -> BTreeMap<String, Role> {
    let named = raw.certificate.iter().flatten();
    let roles: BTreeMap<String, Role> =
        named.filter_map(|(name, certificate)| Some((name.clone(), certificate.role?))).collect();
    for name in roles.keys().filter(|name| OperatorText::new(&format!("dashboard: {name}")).is_err()) {
        let expected = "a common name of at most 117 bytes without control characters";
        let fault = Fault::at_text("dashboard.certificate".to_owned(), name, expected);
        check.faults.push(fault.remedy("make the certificate with a shorter name"));
    }
    let mut missing = |key: &str, add: &str, expected: &str| {
        let remedy = format!("add {add}, or take client_ca and [dashboard.certificate] out");
        check.faults.push(Fault::missing(format!("dashboard.{key}"), expected).remedy(remedy));
    };
    match (&raw.client_ca, raw.certificate.is_some()) {
        (None, true) => missing(
            "client_ca",
            "client_ca = \"FILE\" below [dashboard]",
            "the certificates that a client's must lead to",
        ),
        (Some(_), false) => missing(
            "certificate",
            "a section [dashboard.certificate.NAME]",
            "the role of each certificate, by its name",
        ),
        _ => {}
    }
    if raw.client_ca.is_some() && !tls && raw.cert.is_none() && raw.key.is_none() {
        missing(
            "cert",
            "cert and key below [dashboard]",
            "a certificate of the dashboard, without which no client can show one",
        );
    }
    roles
}

fn check_host(check: &mut Check<'_>, host: &str) -> Option<String> {
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_');
    let is_name = !host.is_empty() && host.len() <= 253 && host.chars().all(fits);
    if is_name || host.parse::<IpAddr>().is_ok() {
        return Some(host.to_ascii_lowercase());
    }
    let expected = r#"a name without scheme and port, such as "cabinet-7.example""#;
    let fault = Fault::at_text("dashboard.hosts", host, expected);
    check.faults.push(
        fault.remedy(
            "write the name as it stands in a browser's address, without what is before and behind it",
        ),
    );
    None
}
