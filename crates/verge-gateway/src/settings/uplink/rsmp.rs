//! `[uplink.NAME] kind = "rsmp"`.

use std::collections::HashSet;
use std::time::Duration;

use verge_anomaly::JudgeSettings;
use verge_domain::finding::Member;
use verge_domain::id::{DeviceId, JudgeId, PlaceId};
use verge_domain::verdict::Detector;
use verge_traffic::rsmp::{
    AlarmCode, CORE, CountsOf, DetectorKind, FaultJudge, MAX_COMPONENTS, RsmpAccess, RsmpSettings,
    RsmpTarget, SXL, SiteComponent, SiteSettings,
};

use super::super::connection::{self, BuildError, TlsFiles};
use super::super::judge::Rule;
use super::super::{Check, JudgeSection};
use super::PlainAddress;
use crate::config::{Fault, Map, RawComponent, RawRsmp, Warning, nearest};

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
        Some(judge) => Some(check_counts(check, section, raw, judge)?),
    };
    let mut faults = Vec::new();
    for judge in raw.faults.iter().flatten() {
        let key = format!("{section}.faults");
        let found = find(check, &key, judge, judges)?;
        faults.push(check_faults(check, &key, found)?);
    }
    let is_loop = counting.is_none_or(|judge| judge.detector() == Detector::Loop);
    Some(SiteComponent {
        id: raw.id.clone()?,
        device: device?,
        counts,
        faults,
        detector: raw.detector.clone().unwrap_or_else(|| name.to_owned()),
        kind: if is_loop { DetectorKind::Loop } else { DetectorKind::Input },
        error_mode: raw.error_mode,
        serious: raw.serious,
    })
}

/// A judge by its name. One that is at fault itself has its own faults.
fn find<'a>(
    check: &mut Check<'_>,
    key: &str,
    name: &str,
    (judges, known): (&'a [JudgeSection], &[&str]),
) -> Option<&'a JudgeSection> {
    if !known.contains(&name) {
        let fault = Fault::at_text(key.to_owned(), name, "the name of a judge");
        let remedy = match nearest(name, known.iter().copied()) {
            Some(near) => format!("write {near:?}"),
            None => format!("write one of {}", known.join(", ")),
        };
        check.faults.push(fault.remedy(remedy));
    }
    judges.iter().find(|judge| judge.name.as_str() == name)
}

fn check_counts(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawComponent,
    judge: &JudgeSection,
) -> Option<CountsOf> {
    let place = |check: &mut Check<'_>, key: &str, name: &Option<String>| match name {
        None => Some(None),
        Some(name) => check.keep(&format!("{section}.{key}"), name, PlaceId::new(name)).map(Some),
    };
    let (line, zone) = (place(check, "line", &raw.line)?, place(check, "zone", &raw.zone)?);
    let plain = judge.readings().and_then(|rules| match &rules.rule {
        Rule::Plain(JudgeSettings::Loop(settings)) => Some(settings.interval()),
        _ => None,
    });
    let of_camera = judge.frames().and_then(|rules| match &rules.rule {
        JudgeSettings::Track(track) => Some(track.scene()),
        _ => None,
    });
    let interval = match (plain, of_camera) {
        (Some(interval), _) => {
            for (key, value) in [("line", &raw.line), ("zone", &raw.zone)] {
                let Some(value) = value else { continue };
                let fault = Fault::at_text(
                    format!("{section}.{key}"),
                    value,
                    "nothing: loops have no lines and zones",
                );
                check.faults.push(fault.remedy("take the line out"));
                return None;
            }
            interval
        }
        (None, Some(scene)) => {
            let lines: Vec<&str> = scene.lines().iter().map(|line| line.name.as_str()).collect();
            let zones: Vec<&str> = scene.zones().iter().map(|(zone, _)| zone.as_str()).collect();
            for (key, value, known) in [("line", &raw.line, lines), ("zone", &raw.zone, zones)] {
                let Some(value) = value.as_deref().filter(|value| !known.contains(value)) else { continue };
                let fault =
                    Fault::at_text(format!("{section}.{key}"), value, format!("a {key} of {}", judge.name));
                check.faults.push(fault.remedy(format!("write one of {}", known.join(", "))));
                return None;
            }
            scene.interval()
        }
        (None, None) => {
            let expected = "a judge that counts vehicles: detector = \"loop\" or \"track\"";
            let fault = Fault::at_text(format!("{section}.traffic"), judge.name.as_str(), expected);
            check.faults.push(fault.remedy("name such a judge"));
            return None;
        }
    };
    Some(CountsOf {
        judge: judge.name.clone(),
        interval,
        line,
        direction: raw.direction,
        zone,
        speed_unit: raw.speed_unit,
    })
}

fn check_faults(check: &mut Check<'_>, key: &str, judge: &JudgeSection) -> Option<FaultJudge> {
    let name: JudgeId = judge.name.clone();
    let of = |members: &mut dyn Iterator<Item = Member>| {
        let (mut hardware, mut logic) = (false, false);
        for member in members {
            let is_logic = AlarmCode::is_logic_error(member);
            (hardware, logic) = (hardware || !is_logic, logic || is_logic);
        }
        (hardware, logic)
    };
    let rule = judge.readings().map(|rules| &rules.rule);
    let (hardware, logic) = match (judge.of_cameras(), rule) {
        (Some(camera), _) => of(&mut camera.causes()),
        (None, Some(Rule::Plain(JudgeSettings::Silence(_)))) => (true, false),
        (None, Some(Rule::Plain(JudgeSettings::Health(_)))) => (true, true),
        _ => {
            let expected = "judges of silence or health: detector = \"silence\" or \"health\"";
            let fault = Fault::at_text(key.to_owned(), name.as_str(), expected);
            check.faults.push(fault.remedy("name such judges; other events are no faults of a detector"));
            return None;
        }
    };
    Some(FaultJudge { judge: name, hardware, logic })
}
