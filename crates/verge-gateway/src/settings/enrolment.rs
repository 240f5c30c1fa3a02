//! `local.enrol`: where devices ask for certificates, and the authority that signs them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use verge_mqtt::WatchedFiles;
use verge_tls::enrolment::Enrolment;
use verge_tls::{ServerConfig, TlsError};

use super::Check;
use super::connection::{self, BuildError};
use super::local::{EmbeddedBroker, ListenerFiles, SECTION};
use crate::config::{Fault, RawListener};

/// A listener for devices that ask for certificates.
#[derive(Debug, Clone)]
pub struct EnrolmentSettings {
    /// Its address.
    pub listen: SocketAddr,
    /// Folder of the authority: its certificate, its key and its tokens.
    pub authority: PathBuf,
}

impl EmbeddedBroker {
    /// Reads the authority, and what the listener shows: the broker's certificate; devices that renew theirs show one of the
    /// authority that is not revoked. `None` where devices do not enrol here.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, with the key that names it.
    pub fn enrolment(&self) -> Result<Option<(Enrolment, Arc<ServerConfig>)>, BuildError> {
        let (Some(settings), Some(files)) = (&self.enrolment, &self.tls) else { return Ok(None) };
        let fault = |error: TlsError| BuildError::Tls {
            key: SECTION.to_owned(),
            part: "authority",
            source: Box::new(error),
        };
        let enrolment = Enrolment::of(&settings.authority).map_err(fault)?;
        let ListenerFiles { cert, key, .. } = files;
        let identity = connection::load_identity(SECTION, cert, key)?;
        let authority = verge_tls::TrustedRoots::load(&enrolment.authority_file()).map_err(fault)?;
        let revocations = self.revocations(files)?;
        let tls = verge_tls::revoking_web_server_config(&identity, &authority, &revocations);
        Ok(Some((enrolment, tls)))
    }

    /// The files of that listener.
    #[must_use]
    pub fn enrolment_files(&self) -> WatchedFiles {
        let authority = self.enrolment.iter().map(|settings| settings.authority.join("ca.pem"));
        let files = self.tls.iter().flat_map(|files| {
            let lists = files.crl.iter().chain(&files.denied);
            [&files.cert, &files.key].into_iter().chain(lists).cloned().collect::<Vec<_>>()
        });
        WatchedFiles::new(files.chain(authority).collect())
    }
}

pub(super) fn check_enrolment(
    check: &mut Check<'_>,
    listener: &RawListener,
    has_certificates: bool,
) -> Option<EnrolmentSettings> {
    let text = match (&listener.enrol, &listener.authority) {
        (None, None) => return None,
        (None, Some(folder)) => {
            let expected = "enrol beside it: the address at which devices ask for certificates";
            let remedy = r#"add enrol = "0.0.0.0:8443", or remove authority"#;
            check.faults.push(Fault::at_text("local.authority", folder, expected).remedy(remedy));
            return None;
        }
        (Some(text), _) => text,
    };
    let listen: Option<SocketAddr> = text.parse().ok().filter(|listen: &SocketAddr| listen.port() != 0);
    if listen.is_none() {
        let expected = r#"an address of this machine with a port, such as "0.0.0.0:8443""#;
        check
            .faults
            .push(Fault::at_text("local.enrol", text, expected).remedy(r#"write enrol = "0.0.0.0:8443""#));
    }
    if !has_certificates {
        let expected = "cert, key and ca beside it: a token must not go over the network readable by anyone";
        check
            .faults
            .push(Fault::at_text("local.enrol", text, expected).remedy("add the three, or remove enrol"));
    }
    let Some(folder) = &listener.authority else {
        let expected = "the folder of the authority that signs (`verge certs init`), with ca.pem and ca.key";
        check.faults.push(
            Fault::missing("local.authority".to_owned(), expected)
                .remedy(r#"add authority = "FOLDER" below [local]"#),
        );
        return None;
    };
    Some(EnrolmentSettings { listen: listen?, authority: check.path(folder) })
}
