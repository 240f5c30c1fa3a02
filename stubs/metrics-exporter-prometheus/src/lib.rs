//! What rumqttd's metrics use of metrics-exporter-prometheus, without a server.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

/// Would configure the exporter.
#[derive(Debug)]
pub struct PrometheusBuilder;

impl PrometheusBuilder {
    /// Nothing.
    #[expect(clippy::new_without_default, reason = "as in the package itself")]
    pub const fn new() -> Self {
        Self
    }

    /// Nothing.
    pub const fn with_http_listener(self, _address: SocketAddr) -> Self {
        self
    }

    /// # Errors
    /// Always.
    pub fn install(self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Unsupported, "metrics of the broker are not built in"))
    }
}
