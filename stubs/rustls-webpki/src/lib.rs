//! The error that rumqttc has a variant for. Nothing makes one: rustls verifies certificates with a version of its own.

use std::fmt;

/// An error that there is none of.
#[derive(Debug)]
pub enum Error {}

impl fmt::Display for Error {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Error {}
