//! `[uplink.NAME] kind = "rsmp"`.

use std::collections::HashSet;
use std::time::Duration;

use verge_domain::id::DeviceId;
use verge_traffic::rsmp::{
    CORE, MAX_COMPONENTS, RsmpAccess, RsmpSettings, RsmpTarget, SXL, SiteComponent, SiteSettings,
};

use super::super::connection::{self, BuildError, TlsFiles};
use super::super::{Check, JudgeSection};
use super::PlainAddress;
use super::detector::{CountKeys, check_counts, check_faults, find, kind_of};
use crate::config::{Fault, Map, RawComponent, RawRsmp, Warning};

/// Items in flight at most.
pub(super) const WINDOW: usize = 256;
/// A detector's interval may be that much late behind the wait of its lane.
const LATE: Duration = Duration::from_secs(10);

/// An uplink that is a site of RSMP.
#[derive(Debug, Clone)]
pub struct RsmpUplink {
    /// Key of the section it comes from, for messages.
    pub key: String,
    /// The supervisor.
    pub target: RsmpTarget,
    /// Certificates; `None` without TLS.
    pub tls: Option<TlsFiles>,
    /// The pause before it is dialled again.
    pub reconnect: Duration,
    /// The site.
    pub site: SiteSettings,
    /// The names of its components in the configuration.
    pub names: Vec<String>,
}

impl RsmpUplink {
    pub(super) fn check(
        check: &mut Check<'_>,
        section: &str,
        raw: &RawRsmp,
        judges: (&[JudgeSection], &[&str]),
    ) -> Option<Self> {
        let url = raw.url.as_deref();
        let target = url.and_then(|url| check_url(check, section, url));
        if let Some((target, url)) = target.as_ref().zip(url).filter(|(target, _)| !target.is_tls()) {
            let (host, is_allowed) = (target.host(), raw.insecure_plaintext);
            let instead = target.by_tls().to_string();
            PlainAddress { section, url, host, scheme: "rsmps://", instead, is_allowed }.check(check);
        }
        let is_tls = target.as_ref().map(RsmpTarget::is_tls);
        let tls = connection::check_tls(check, section, &raw.certificates, is_tls, "rsmps://");
        check_versions(check, section, raw);
        let components = check_components(check, section, raw, judges);
        let (names, components): (Vec<String>, Vec<SiteComponent>) = components?.into_iter().unzip();
        Some(Self {
            key: section.to_owned(),
            target: target?,
            tls,
            reconnect: raw.reconnect.0,
            site: SiteSettings {
                site: raw.site.clone()?,
                main: raw.main.clone()?,
                versions: raw.versions.clone(),
                sxl: raw.sxl.clone(),
                watchdog: raw.watchdog.0,
                ack_timeout: raw.ack_timeout.0,
                buffer_status: raw.buffer_status,
                secondary: raw.secondary,
                other: raw.other,
                settle: raw.batch.telemetry_wait.0.max(raw.batch.verdict_wait.0) + LATE,
                components,
            },
            names,
        })
    }

    /// How it connects; certificates are read here once, and again at each connection.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, with the key that names it.
    pub fn build(&self) -> Result<RsmpSettings, BuildError> {
        let read = |uplink: &Self| uplink.tls.as_ref().map(|files| files.load(&uplink.key)).transpose();
        read(self)?;
        let again = self.clone();
        Ok(RsmpSettings {
            target: self.target.clone(),
            access: RsmpAccess::new(move || read(&again).map_err(|error| error.to_string())),
            reconnect: self.reconnect,
            window: WINDOW,
            site: self.site.clone(),
        })
    }
}

fn check_url(check: &mut Check<'_>, section: &str, url: &str) -> Option<RsmpTarget> {
    match RsmpTarget::parse(url) {
        Ok(target) => Some(target),
        Err(error) => {
            let expected = format!(
                r#"the address of a supervisor, such as "rsmps://supervisor.city.example:12111" ({error})"#
            );
            let fault = Fault::at_text(format!("{section}.url"), url, expected);
            check.faults.push(fault.remedy("write rsmps://, the host, and its port behind a colon"));
            None
        }
    }
}

/// What is spoken is fixed; a supervisor that asks for other versions needs another program.
fn check_versions(check: &mut Check<'_>, section: &str, raw: &RawRsmp) {
    for version in raw.versions.iter().filter(|version| *version != CORE) {
        let expected = format!("{CORE:?}, the version of the core that is spoken");
        let fault = Fault::at_text(format!("{section}.versions"), version, expected);
        check.faults.push(fault.remedy("take the other version out"));
    }
    if raw.sxl != SXL {
        let remark = format!(
            "messages are made by version {SXL} of the signal exchange list; the version that is said to the supervisor is {}",
            raw.sxl
        );
        check.warnings.push(Warning { key: format!("{section}.sxl"), remark });
    }
}

fn check_components(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawRsmp,
    judges: (&[JudgeSection], &[&str]),
) -> Option<Vec<(String, SiteComponent)>> {
    let sections = raw.component.as_ref().filter(|components| !components.is_empty());
    let Some(sections) = sections else {
        let fault = Fault::missing(format!("{section}.component"), "one component at least");
        let remedy =
            format!("add a section [{section}.component.NAME] with id, device and traffic or faults");
        check.faults.push(fault.remedy(remedy));
        return None;
    };
    if sections.len() > MAX_COMPONENTS {
        let expected = format!("at most {MAX_COMPONENTS} components");
        let fault = Fault::new(format!("{section}.component"), sections.len().to_string(), expected);
        check.faults.push(fault.remedy("divide them among several sites, each with an uplink of its own"));
        return None;
    }
    check_ids(check, section, raw, sections);
    let mut whole = true;
    let mut components = Vec::new();
    for (name, raw) in sections {
        let section = format!("{section}.component.{name}");
        match check_component(check, &section, name, raw, judges) {
            Some(component) => components.push((name.clone(), component)),
            None => whole = false,
        }
    }
    whole.then_some(components)
}

/// Identifiers are those of one component each.
fn check_ids(check: &mut Check<'_>, section: &str, raw: &RawRsmp, sections: &Map<RawComponent>) {
    let mut taken: HashSet<&str> = raw.main.as_deref().into_iter().collect();
    for (name, component) in sections {
        let Some(id) = component.id.as_deref().filter(|id| !taken.insert(id)) else { continue };
        let expected = "an identifier that no other component of this site has, nor main";
        let fault = Fault::at_text(format!("{section}.component.{name}.id"), id, expected);
        check.faults.push(fault.remedy("write the identifier that the supervisor knows this detector by"));
    }
}

fn check_component(
    check: &mut Check<'_>,
    section: &str,
    name: &str,
    raw: &RawComponent,
    judges: (&[JudgeSection], &[&str]),
) -> Option<SiteComponent> {
    let device = raw.device.as_ref()?;
    let device = check.keep(&format!("{section}.device"), device, DeviceId::new(device));
    if raw.traffic.is_none() && raw.faults.is_none() {
        let expected = "traffic, faults, or both: without them nothing is said of the component";
        let fault = Fault::missing(format!("{section}.traffic"), expected);
        check
            .faults
            .push(fault.remedy("add traffic = and a judge that counts, or faults = and judges of health"));
        return None;
    }
    let counting = match &raw.traffic {
        None => None,
        Some(judge) => Some(find(check, &format!("{section}.traffic"), judge, judges)?),
    };
    let counts = match counting {
        None => None,
        Some(judge) => Some(check_counts(check, section, CountKeys::of_component(raw), judge)?),
    };
    let mut faults = Vec::new();
    for judge in raw.faults.iter().flatten() {
        let key = format!("{section}.faults");
        let found = find(check, &key, judge, judges)?;
        faults.push(check_faults(check, &key, found)?);
    }
    Some(SiteComponent {
        id: raw.id.clone()?,
        device: device?,
        counts,
        faults,
        detector: raw.detector.clone().unwrap_or_else(|| name.to_owned()),
        kind: kind_of(counting),
        error_mode: raw.error_mode,
        serious: raw.serious,
    })
}
