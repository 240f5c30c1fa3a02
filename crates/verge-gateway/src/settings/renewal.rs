//! `gateway.renew_at`: the authority at which the gateway renews its own certificates.

use std::path::PathBuf;

use verge_web::PushTarget;

use super::Check;
use crate::config::{Fault, RawGateway};

/// An authority that speaks EST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalSettings {
    /// Its address, `https://HOST:PORT`.
    pub url: String,
    /// Certificates that its own must lead to.
    pub ca: PathBuf,
}

pub(super) fn check_renewal(check: &mut Check<'_>, raw: &RawGateway) -> Option<RenewalSettings> {
    let url = match (&raw.renew_at, &raw.renew_ca) {
        (None, None) => return None,
        (None, Some(ca)) => {
            let expected = "renew_at beside it: the authority at which certificates are renewed";
            let remedy = "add renew_at = \"https://HOST:PORT\", or remove renew_ca";
            check.faults.push(Fault::at_text("gateway.renew_ca", ca, expected).remedy(remedy));
            return None;
        }
        (Some(url), _) => url,
    };
    if !PushTarget::parse(url).is_ok_and(|target| target.is_tls()) {
        let expected =
            r#"the address of an authority that speaks EST, such as "https://authority.example:8443""#;
        check
            .faults
            .push(Fault::at_text("gateway.renew_at", url, expected).remedy("write https://HOST:PORT"));
    }
    let Some(ca) = &raw.renew_ca else {
        let expected = "a PEM file: the certificates that the authority's own must lead to";
        let fault = Fault::missing("gateway.renew_ca".to_owned(), expected);
        check.faults.push(fault.remedy(r#"add renew_ca = "FILE" below [gateway]"#));
        return None;
    };
    Some(RenewalSettings { url: url.clone(), ca: check.path(ca) })
}
