//! A broker of our own: rumqttd on loopback, and a front before it that does TLS.
//!
//! rumqttd does its TLS handshakes inside its accept loop, so that one idle connection would stop all others;
//! here it never sees a connection from outside. Together they serve the demo and the tests: what a front
//! must check of MQTT itself, before strangers may connect, is not here yet, so everyone with a certificate
//! is trusted.

pub mod embedded;
pub mod front;

pub use embedded::{Embedded, EmbeddedError, EmbeddedSettings};
pub use front::{Front, FrontLimits, FrontSettings, FrontTotals};
