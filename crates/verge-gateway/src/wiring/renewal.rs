//! The gateway's own certificates, renewed at an authority before they end (EST, RFC 7030). What uses them reads changed files
//! again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use verge_tls::authority::Request;
use verge_tls::{
    CertificateSummary, TlsIdentity, TrustedRoots, client_config, finish_replacing, replace_identity,
};
use verge_web::est::{EstClient, EstProof};

use super::expiry::own_certificates;
use crate::settings::{RenewalSettings, Settings};

/// How often it is looked whether one ends, and tried again where the authority is not reached.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// From here on one is renewed; of a short-lived one when a third of its time is left.
const BEFORE_S: i64 = 30 * 86_400;

/// A certificate that the gateway shows, its key, and the key of the configuration that names it.
pub(super) type OwnCertificate = (String, PathBuf, PathBuf);

/// Ends what a power cut has left half done.
pub(super) fn finish(settings: &Settings) {
    for (key, cert, private) in own_certificates(settings) {
        if let Err(error) = finish_replacing(&cert, &private) {
            tracing::error!(key, %error, "a renewal that was interrupted cannot be ended");
        }
    }
}

/// Renews them for as long as the gateway runs, where an authority is configured.
pub(super) async fn keep(renewal: Option<RenewalSettings>, own: Vec<OwnCertificate>) {
    let Some(renewal) = renewal else { return };
    tokio::time::sleep(FIRST_LOOK).await;
    loop {
        for (key, cert, private) in &own {
            match renewed(&renewal, cert, private).await {
                Ok(None) => {}
                Ok(Some(serial)) => {
                    tracing::info!(key, file = %cert.display(), serial, "the certificate was renewed at {}", renewal.url);
                }
                Err(error) => tracing::error!(
                    key,
                    file = %cert.display(),
                    "the certificate ends soon and cannot be renewed at {}: {error:#}; tried again in an hour",
                    renewal.url
                ),
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The serial number of the new one; `None` where there is time.
async fn renewed(renewal: &RenewalSettings, cert: &Path, private: &Path) -> anyhow::Result<Option<String>> {
    let pem = std::fs::read(cert).with_context(|| cert.display().to_string())?;
    let chain = verge_tls::summary(&pem, &cert.display().to_string())?;
    let Some(former) = chain.first() else { bail!("{} holds no certificate", cert.display()) };
    if !is_due(former, Timestamp::now().as_second()) {
        return Ok(None);
    }
    if chain.len() > 1 {
        bail!(
            "{} holds {} certificates: one with intermediates is renewed by hand",
            cert.display(),
            chain.len()
        );
    }
    let identity = TlsIdentity::load(cert, private)?;
    let roots = TrustedRoots::load(&renewal.ca).context("gateway.renew_ca")?;
    let client = EstClient::of(&renewal.url, client_config(&roots, Some(&identity)))?;
    let request = Request::new(former.common_name.as_deref().unwrap_or_default())?;
    let answered = client.ask(&EstProof::Certificate, request.der()).await?;
    let issued = request.answered(&answered).context("the certificate that came")?;
    let next = verge_tls::summary(issued.cert_pem.as_bytes(), "the certificate that came")?;
    let Some(next) =
        next.first().filter(|next| next.names == former.names && next.not_after > former.not_after)
    else {
        bail!("the certificate that came has other names, or ends no later");
    };
    replace_identity(cert, private, &issued)?;
    Ok(Some(next.serial.clone()))
}

fn is_due(certificate: &CertificateSummary, now: i64) -> bool {
    let lifetime = certificate.not_after - certificate.not_before;
    certificate.not_after - now < BEFORE_S.min(lifetime / 3)
}
