//! The address of a supervisor.

use std::fmt;

/// The port where there is none in the address.
const PORT: u16 = 12_111;

/// Scheme, host and port of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsmpTarget {
    tls: bool,
    host: String,
    port: u16,
}

/// Why a text is no address of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RsmpTargetError {
    /// Neither `rsmp` nor `rsmps`.
    #[error("it does not begin with rsmps:// or rsmp://")]
    Scheme,
    /// No host.
    #[error("it names no host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("its port is no number from 1 to 65535")]
    Port,
    /// More than a host and a port.
    #[error("it holds more than a host and a port")]
    More,
}

impl RsmpTarget {
    /// Reads an address such as `rsmps://supervisor.city.example:12111`.
    ///
    /// # Errors
    /// See [`RsmpTargetError`].
    pub fn parse(text: &str) -> Result<Self, RsmpTargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(RsmpTargetError::Scheme)?;
        let tls = match scheme {
            "rsmps" => true,
            "rsmp" => false,
            _ => return Err(RsmpTargetError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '@', '?', '#', ' ']) {
            return Err(RsmpTargetError::More);
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(RsmpTargetError::Host);
        }
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| RsmpTargetError::Port))?;
        if port == 0 {
            return Err(RsmpTargetError::Port);
        }
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The same by TLS.
    #[must_use]
    pub fn by_tls(&self) -> Self {
        Self { tls: true, ..self.clone() }
    }
}

impl fmt::Display for RsmpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rsmps" } else { "rsmp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_what_is_none_is_refused() {
        let good = |text: &str, shown: &str| assert_eq!(RsmpTarget::parse(text).unwrap().to_string(), shown);
        good("rsmps://supervisor.city.example", "rsmps://supervisor.city.example:12111");
        good("rsmp://10.1.0.5:4000/", "rsmp://10.1.0.5:4000");
        good("rsmps://[::1]:12111", "rsmps://[::1]:12111");
        let bad =
            |text: &str, error: RsmpTargetError| assert_eq!(RsmpTarget::parse(text), Err(error), "{text}");
        bad("supervisor:12111", RsmpTargetError::Scheme);
        bad("https://supervisor", RsmpTargetError::Scheme);
        bad("rsmps://:12111", RsmpTargetError::Host);
        bad("rsmps://supervisor:0", RsmpTargetError::Port);
        bad("rsmps://supervisor:70000", RsmpTargetError::Port);
        bad("rsmps://user@supervisor", RsmpTargetError::More);
        bad("rsmps://supervisor/path", RsmpTargetError::More);
    }
}
