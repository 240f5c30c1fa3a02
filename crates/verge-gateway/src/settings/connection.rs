//! Connections to brokers: checked here, opened for use by [`Connection::build`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use verge_domain::backoff::Backoff;
use verge_mqtt::{BrokerAddress, ConnectionAccess, ConnectionSettings, Renewal, WatchedFiles};
use verge_tls::{Chain, ClientConfig, Credentials, PrivateKey, Secret, TlsError, TlsIdentity, TrustedRoots};

use super::Check;
use crate::config::{Fault, RawBroker, RawCertificates, RawSecret, RawTransport};

/// TCP, TLS and CONNACK together must be done by then; a slow cellular link needs some seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// At most one attempt a second, and never a minute without one.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A connection to a broker, as configured. Files are named, not yet read.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Key of the section it comes from, for messages: `local` or `uplink.NAME`.
    pub key: String,
    /// The broker.
    pub address: BrokerAddress,
    /// Name towards the broker.
    pub client_id: String,
    /// User name and where the password is.
    pub login: Option<Login>,
    /// Certificates; `None` for a connection without TLS.
    pub tls: Option<TlsFiles>,
    /// Longest silence before the connection is tested.
    pub keep_alive: Duration,
    /// Largest MQTT packet in both directions, in bytes.
    pub max_packet_bytes: usize,
}

/// User name and password.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password.
    pub password: Password,
}

/// Where a password comes from.
#[derive(Debug, Clone)]
pub enum Password {
    /// There is none.
    Absent,
    /// From the environment.
    Given(Secret),
    /// The text of this file without the line break at its end.
    File(PathBuf),
}

/// PEM files of a TLS connection.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificates that the broker's must lead to.
    pub ca: PathBuf,
    /// Certificate and key of this end.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why a connection cannot be built from its files.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of a secret, or a list, cannot be read.
    #[error("{key}: {}", verge_tls::unreadable(path, error))]
    SecretFile {
        /// The setting that names it.
        key: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is empty.
    #[error("{key}: {path} is empty: write into it what it is for, alone in one line")]
    EmptySecret {
        /// The setting that names it.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A list of the embedded broker cannot be understood: its key, the file, and the line that is wrong.
    #[error("local.{0}: {path}, {2}", path = .1.display())]
    List(&'static str, PathBuf, String),
    /// A certificate or key cannot be used.
    #[error("{key}.{part}: {source}")]
    Tls {
        /// Section.
        key: String,
        /// Which of its keys.
        part: &'static str,
        /// What is wrong.
        source: Box<TlsError>,
    },
}

impl Connection {
    /// Reads certificates, key and password; they are read again at each attempt to connect.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, with the key that names it.
    pub fn build(&self) -> Result<ConnectionSettings, BuildError> {
        let access = self.access()?;
        let again = self.clone();
        let renewal = Renewal::new(access.clone(), self.certificates(), move || {
            again.access().map_err(|error| error.to_string())
        });
        let ConnectionAccess { credentials, tls } = access;
        Ok(ConnectionSettings {
            address: self.address.clone(),
            client_id: self.client_id.clone(),
            credentials,
            tls,
            keep_alive: self.keep_alive,
            connect_timeout: CONNECT_TIMEOUT,
            backoff: Backoff { min: BACKOFF_MIN, max: BACKOFF_MAX },
            max_packet_bytes: self.max_packet_bytes,
            renewal: Some(renewal),
        })
    }

    fn certificates(&self) -> WatchedFiles {
        let files = self.tls.iter().flat_map(|files| {
            let own = files.identity.iter().flat_map(|(cert, key)| [cert.clone(), key.clone()]);
            std::iter::once(files.ca.clone()).chain(own)
        });
        WatchedFiles::new(files.collect())
    }

    /// What the files hold now.
    fn access(&self) -> Result<ConnectionAccess, BuildError> {
        let tls = match &self.tls {
            None => None,
            Some(files) => Some(files.load(&self.key)?),
        };
        let credentials = self.login.as_ref().map(|login| self.credentials(login)).transpose()?;
        Ok(ConnectionAccess { credentials, tls })
    }

    fn credentials(&self, login: &Login) -> Result<Credentials, BuildError> {
        let password = match &login.password {
            Password::Absent => Secret::new(String::new()),
            Password::Given(secret) => secret.clone(),
            Password::File(path) => load_secret(&format!("{}.password_file", self.key), path)?,
        };
        Ok(Credentials { username: login.username.clone(), password })
    }
}

impl TlsFiles {
    /// Reads them, for a client.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, with the key that names it.
    pub(super) fn load(&self, section: &str) -> Result<Arc<ClientConfig>, BuildError> {
        let roots = load_roots(section, &self.ca)?;
        let identity = self.identity.as_ref();
        let identity = identity.map(|(cert, key)| load_identity(section, cert, key)).transpose()?;
        Ok(verge_tls::client_config(&roots, identity.as_ref()))
    }
}

/// The secret that a file holds alone, without the line break at its end. `key` is the setting that names it.
pub(super) fn load_secret(key: &str, path: &Path) -> Result<Secret, BuildError> {
    let text = std::fs::read_to_string(path).map_err(|error| BuildError::SecretFile {
        key: key.to_owned(),
        path: path.to_owned(),
        error,
    })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(BuildError::EmptySecret { key: key.to_owned(), path: path.to_owned() });
    }
    Ok(Secret::new(secret.to_owned()))
}

/// The authorities of a section.
pub(super) fn load_roots(section: &str, ca: &Path) -> Result<TrustedRoots, BuildError> {
    TrustedRoots::load(ca).map_err(|source| tls_fault(section, "ca", source))
}

/// Certificate and key of a section. Each fault is of the setting that names the file.
pub(super) fn load_identity(section: &str, cert: &Path, key: &Path) -> Result<TlsIdentity, BuildError> {
    let chain = Chain::load(cert).map_err(|source| tls_fault(section, "cert", source))?;
    let key = PrivateKey::load(key).map_err(|source| tls_fault(section, "key", source))?;
    TlsIdentity::new(chain, key).map_err(|source| {
        let part = if matches!(source, TlsError::Order { .. }) { "cert" } else { "key" };
        tls_fault(section, part, source)
    })
}

fn tls_fault(section: &str, part: &'static str, source: TlsError) -> BuildError {
    BuildError::Tls { key: section.to_owned(), part, source: Box::new(source) }
}

/// Checks a section's connection keys.
pub(super) fn check_parts(
    check: &mut Check<'_>,
    section: &str,
    broker: &RawBroker,
    transport: &RawTransport,
    default_client_id: String,
) -> Option<Connection> {
    let at = |key: &str| format!("{section}.{key}");
    let address = broker.url.as_deref().and_then(|url| check_url(check, &at("url"), url));
    let login = check_login(check, section, broker);
    let is_tls = address.as_ref().map(BrokerAddress::is_tls);
    let tls = check_tls(check, section, &transport.certificates, is_tls, "mqtts://");
    let client_id = broker.client_id.clone().unwrap_or(default_client_id);
    if client_id.contains(['+', '#', '/', '$']) || client_id.chars().any(char::is_control) {
        check.faults.push(
            Fault::at_text(
                at("client_id"),
                &client_id,
                r##"no "+", "#", "/", "$" or control characters: brokers refuse them"##,
            )
            .remedy("write it of letters, digits and \"-\""),
        );
    }
    Some(Connection {
        key: section.to_owned(),
        address: address?,
        client_id,
        login,
        tls,
        keep_alive: transport.keep_alive.0,
        max_packet_bytes: transport.max_packet.to_usize(),
    })
}

fn check_url(check: &mut Check<'_>, key: &str, url: &str) -> Option<BrokerAddress> {
    if url.contains('@') {
        let expected =
            "an address without user name and password: write username, and password_file or the environment";
        let remedy = "take what stands before the @ out of it";
        check.faults.push(Fault::new(key, "an address with a password (not shown)", expected).remedy(remedy));
        // The rest of it is as good as without.
        let (scheme, rest) = url.split_once("://").unwrap_or(("mqtts", url));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        return BrokerAddress::parse(&format!("{scheme}://{host}")).ok();
    }
    match BrokerAddress::parse(url) {
        Ok(address) => Some(address),
        Err(error) => {
            let expected = format!(r#"an address such as "mqtts://broker.example:8883" ({error})"#);
            let (scheme, host) = url.rsplit_once("://").unwrap_or(("", url));
            let host = host.trim_matches('/');
            // The site's broker is often one without TLS.
            let is_plain =
                key == "local.url" && (matches!(scheme, "tcp" | "mqtt5") || host.ends_with(":1883"));
            let made = format!("{}://{host}", if is_plain { "mqtt" } else { "mqtts" });
            let remedy = if BrokerAddress::parse(&made).is_ok() {
                format!("write for example {made:?}")
            } else {
                "write scheme, host and port".to_owned()
            };
            check.faults.push(Fault::at_text(key, url, expected).remedy(remedy));
            None
        }
    }
}

fn check_login(check: &mut Check<'_>, section: &str, parts: &RawBroker) -> Option<Login> {
    let at = |key: &str| format!("{section}.{key}");
    if parts.password.is_some() && parts.password_file.is_some() {
        let expected = "either a password file or a password in the environment, not both";
        check.faults.push(
            Fault::new(at("password_file"), "two passwords", expected)
                .remedy("take password_file out of the file, or the password out of the environment"),
        );
    }
    let password = match (&parts.password, &parts.password_file) {
        (Some(RawSecret(text)), _) => Password::Given(Secret::new(text.clone())),
        (None, Some(file)) => Password::File(check.path(file)),
        (None, None) => Password::Absent,
    };
    match (&parts.username, &password) {
        (Some(username), _) => Some(Login { username: username.to_owned(), password }),
        (None, Password::Absent) => None,
        (None, _) => {
            check.faults.push(
                Fault::missing(at("username"), "the user that the password belongs to")
                    .remedy(format!("add username = \"NAME\" below [{section}]")),
            );
            None
        }
    }
}

/// The PEM files of a section. `is_tls` says what its address asks for, as far as that could be read; `scheme` asks for TLS.
pub(super) fn check_tls(
    check: &mut Check<'_>,
    section: &str,
    parts: &RawCertificates,
    is_tls: Option<bool>,
    scheme: &str,
) -> Option<TlsFiles> {
    let at = |key: &str| format!("{section}.{key}");
    if is_tls == Some(false) {
        for (key, value) in [("ca", &parts.ca), ("cert", &parts.cert), ("key", &parts.key)] {
            if let Some(value) = value {
                let expected = format!("certificates only with {scheme} in {}", at("url"));
                let remedy = format!("write {scheme} in url, or take {key} out");
                check.faults.push(Fault::at_text(at(key), value, expected).remedy(remedy));
            }
        }
        return None;
    }
    let identity = match (&parts.cert, &parts.key) {
        (Some(cert), Some(key)) => Some((check.path(cert), check.path(key))),
        (None, None) => None,
        (Some(_), None) => {
            check.faults.push(
                Fault::missing(at("key"), format!("the key of the certificate in {}", at("cert")))
                    .remedy(format!("add key = \"FILE.key\" below [{section}]")),
            );
            None
        }
        (None, Some(_)) => {
            check.faults.push(
                Fault::missing(at("cert"), format!("the certificate of the key in {}", at("key")))
                    .remedy(format!("add cert = \"FILE.pem\" below [{section}]")),
            );
            None
        }
    };
    match &parts.ca {
        Some(ca) => Some(TlsFiles { ca: check.path(ca), identity }),
        // Whether one is needed, the address says.
        None if is_tls.is_none() => None,
        None => {
            let end = if scheme == "mqtts://" { "broker" } else { "service" };
            let expected = format!(
                "the PEM file with the certificates that the {end}'s must lead to, as {scheme} needs it"
            );
            check.faults.push(
                Fault::missing(at("ca"), expected).remedy(format!("add ca = \"ca.pem\" below [{section}]")),
            );
            None
        }
    }
}

/// Whether a host is this machine, as far as its name shows it.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use verge_tls::Usage;
    use verge_tls::authority::{Authority, CertificateRequest, write_identity};

    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_blamed_on_its_own_setting() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create("a plant", 90).unwrap();
        let make = |name: &str| {
            let request = CertificateRequest {
                common_name: name.to_owned(),
                names: vec![name.to_owned()],
                usage: Usage::Client,
                days: 90,
            };
            write_identity(folder.path(), name, &authority.issue(&request).unwrap(), false).unwrap()
        };
        let (cert, key) = make("gw");
        let (other_cert, other_key) = make("other");
        let missing = folder.path().join("missing");
        let check = |cert: &Path, key: &Path, expected: String| {
            let error = load_identity("uplink.c", cert, key).unwrap_err().to_string();
            assert!(error.starts_with(&expected), "{error}");
        };
        load_identity("uplink.c", &cert, &key).unwrap();
        let pair = |key: &Path, cert: &Path| {
            format!("uplink.c.key: {} is not the key of {}", key.display(), cert.display())
        };
        check(&cert, &other_key, pair(&other_key, &cert));
        check(&other_cert, &key, pair(&key, &other_cert));
        check(&cert, &missing, format!("uplink.c.key: there is no file {}", missing.display()));
        check(&missing, &key, format!("uplink.c.cert: there is no file {}", missing.display()));
        check(&key, &cert, format!("uplink.c.cert: {} is a private key", key.display()));
        let ca = load_roots("local", &missing).unwrap_err().to_string();
        assert!(ca.starts_with(&format!("local.ca: there is no file {}", missing.display())), "{ca}");
    }
}
