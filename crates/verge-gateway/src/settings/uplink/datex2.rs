//! `[uplink.NAME.datex2]` and `[uplink.NAME.site.NAME]`: who publishes, and the places of which something is measured.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{DeviceId, JudgeId};
use verge_domain::verdict::Detector;
use verge_traffic::datex2::{DatexSettings, DatexSite, MAX_SITES, Place};

use super::super::{Check, JudgeSection};
use super::detector::{CountKeys, check_counts, check_faults, find, kind_of};
use crate::config::{Fault, Map, RawDatex2, RawHttp, RawPushFormat, RawSite};

/// Publications of DATEX II.
#[derive(Debug, Clone)]
pub struct DatexUplink {
    /// Who publishes, and what is where.
    pub publisher: Arc<DatexSettings>,
    /// The names of the places in the configuration.
    pub names: Vec<String>,
    /// Whether the table of places is sent before anything else.
    pub site_table: bool,
    /// Where documents of the present state are kept for those who fetch them.
    pub snapshots: Option<DatexSnapshots>,
}

/// Documents of the present state in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatexSnapshots {
    /// The folder.
    pub folder: PathBuf,
    /// How often they are made.
    pub every: Duration,
    /// Devices that have sent nothing for this long are said to be silent.
    pub stale_after: Duration,
}

/// Documents that are kept in a folder, of an uplink or alone.
#[derive(Debug, Clone)]
pub struct DatexFiles {
    /// Key of the section they come from, for messages.
    pub key: String,
    /// What is published.
    pub datex2: DatexUplink,
}

/// Whether nothing is sent: documents are only kept for those who fetch them.
pub(super) fn is_only_fetched(raw: &RawHttp) -> bool {
    let keeps = raw.datex2.as_ref().is_some_and(|datex2| datex2.snapshot_dir.is_some());
    raw.url.is_none() && raw.format == RawPushFormat::Datex2 && keeps
}

/// Whether the section is there if and only if it is asked for, and what it says.
pub(super) fn check_format(
    check: &mut Check<'_>,
    section: &str,
    gateway: &str,
    raw: &RawHttp,
    judges: (&[JudgeSection], &[&str]),
) -> Result<Option<DatexUplink>, ()> {
    let key = format!("{section}.datex2");
    match (raw.format, &raw.datex2, &raw.site) {
        (RawPushFormat::Datex2, Some(datex2), sites) => {
            check_publisher(check, section, gateway, (datex2, sites.as_ref()), judges).map(Some).ok_or(())
        }
        (RawPushFormat::Datex2, None, _) => {
            let fault = Fault::missing(key.clone(), "who publishes");
            let remedy = format!(
                "add a section [{key}] with country and national_identifier, and [{section}.site.NAME]"
            );
            check.faults.push(fault.remedy(remedy));
            Err(())
        }
        (_, None, None) => Ok(None),
        (_, datex2, _) => {
            let key = if datex2.is_some() { key } else { format!("{section}.site") };
            let fault = Fault::new(key, "a section", r#"format = "datex2" beside it, which it belongs to"#);
            check.faults.push(fault.remedy(r#"write format = "datex2", or take the section out"#));
            Err(())
        }
    }
}

fn check_publisher(
    check: &mut Check<'_>,
    section: &str,
    gateway: &str,
    (raw, sites): (&RawDatex2, Option<&Map<RawSite>>),
    judges: (&[JudgeSection], &[&str]),
) -> Option<DatexUplink> {
    let sites = check_sites(check, section, sites, judges);
    let section = &format!("{section}.datex2");
    let country = raw.country.as_deref();
    let country = country.and_then(|text| check_letters(check, section, "country", text, "ISO 3166-1"));
    let language = check_letters(check, section, "language", &raw.language, "ISO 639-1");
    let (names, sites): (Vec<String>, Vec<DatexSite>) = sites?.into_iter().unzip();
    let snapshots = raw.snapshot_dir.as_deref().map(|folder| DatexSnapshots {
        folder: check.path(folder),
        every: raw.snapshot_every.0,
        stale_after: raw.stale_after.0,
    });
    Some(DatexUplink {
        publisher: Arc::new(DatexSettings {
            country: country?,
            national_identifier: raw.national_identifier.clone()?,
            language: language?,
            table: raw.table.clone().unwrap_or_else(|| gateway.to_owned()),
            table_version: raw.table_version,
            sites,
        }),
        names,
        site_table: raw.site_table,
        snapshots,
    })
}

/// Two letters, in lower case as the model writes them.
fn check_letters(check: &mut Check<'_>, section: &str, key: &str, text: &str, list: &str) -> Option<String> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Some(text.to_owned());
    }
    let expected = format!("two letters of {list} in lower case");
    let lower = text.to_ascii_lowercase();
    let is_case = lower.len() == 2 && lower.bytes().all(|byte| byte.is_ascii_lowercase());
    let example = if is_case { lower } else { "de".to_owned() };
    let fault = Fault::at_text(format!("{section}.{key}"), text, expected);
    check.faults.push(fault.remedy(format!("write for example {example:?}")));
    None
}

fn check_sites(
    check: &mut Check<'_>,
    section: &str,
    raw: Option<&Map<RawSite>>,
    judges: (&[JudgeSection], &[&str]),
) -> Option<Vec<(String, DatexSite)>> {
    let key = format!("{section}.site");
    let Some(sections) = raw.filter(|sites| !sites.is_empty()) else {
        let fault = Fault::missing(key.clone(), "one place at least");
        let remedy = format!("add a section [{key}.NAME] with id, device, latitude and longitude");
        check.faults.push(fault.remedy(remedy));
        return None;
    };
    if sections.len() > MAX_SITES {
        let fault = Fault::new(key, sections.len().to_string(), format!("at most {MAX_SITES} places"));
        check.faults.push(fault.remedy("divide them among several uplinks, each with a table of its own"));
        return None;
    }
    let mut ids: HashMap<&str, &str> = HashMap::new();
    let mut whole = true;
    let mut sites = Vec::new();
    for (name, raw) in sections {
        let section = format!("{key}.{name}");
        if let Some(id) = raw.id.as_deref()
            && let Some(other) = ids.insert(id, name)
        {
            let expected = format!("an identifier that no other place has; {other} has it");
            let fault = Fault::at_text(format!("{section}.id"), id, expected);
            check.faults.push(
                fault.remedy("write the identifier that the national access point knows this place by"),
            );
            whole = false;
        }
        match check_site(check, &section, raw, judges) {
            Some(site) => sites.push((name.clone(), site)),
            None => whole = false,
        }
    }
    whole.then_some(sites)
}

fn check_site(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawSite,
    judges: (&[JudgeSection], &[&str]),
) -> Option<DatexSite> {
    if raw.traffic.is_none() && raw.events.is_none() && raw.faults.is_none() {
        let expected =
            "traffic, events, faults, or several of them: without them nothing is said of the place";
        let fault = Fault::missing(format!("{section}.traffic"), expected);
        check.faults.push(fault.remedy("add traffic = and a judge that counts"));
        return None;
    }
    let device = raw.device.as_ref()?;
    let device = check.keep(&format!("{section}.device"), device, DeviceId::new(device));
    let counting = match &raw.traffic {
        None => None,
        Some(judge) => Some(find(check, &format!("{section}.traffic"), judge, judges)?),
    };
    let counts = match counting {
        None => None,
        Some(judge) => Some(check_counts(check, section, CountKeys::of_site(raw), judge)?),
    };
    let mut faults = Vec::new();
    for judge in raw.faults.iter().flatten() {
        let key = format!("{section}.faults");
        let found = find(check, &key, judge, judges)?;
        faults.push(check_faults(check, &key, found)?.judge);
    }
    let place = raw.latitude.zip(raw.longitude);
    let events = check_events(check, section, raw, (counting, judges))?;
    Some(DatexSite {
        id: raw.id.clone()?,
        name: raw.name.clone(),
        device: device?,
        counts,
        events,
        faults,
        kind: kind_of(counting),
        lanes: raw.lanes,
        place: place.map(|(latitude, longitude)| Place { latitude, longitude, bearing: raw.bearing })?,
    })
}

/// Judges whose queues, stopped vehicles and vehicles on the wrong way are situations: the one that counts, if it sees them, where none is named.
fn check_events(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawSite,
    (counting, judges): (Option<&JudgeSection>, (&[JudgeSection], &[&str])),
) -> Option<Vec<JudgeId>> {
    let Some(named) = &raw.events else {
        let sees = counting.filter(|judge| judge.detector() == Detector::Track);
        return Some(sees.map(|judge| judge.name.clone()).into_iter().collect());
    };
    let key = format!("{section}.events");
    let mut events = Vec::new();
    for name in named {
        let judge = find(check, &key, name, judges)?;
        if judge.detector() != Detector::Track {
            let expected = "judges that see queues and stopped vehicles: detector = \"track\"";
            let fault = Fault::at_text(key.clone(), name, expected);
            check.faults.push(fault.remedy("name such judges; other events are no situations on the road"));
            return None;
        }
        events.push(judge.name.clone());
    }
    Some(events)
}
