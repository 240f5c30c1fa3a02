//! Names of time zones.

use verge_wire::SiteZone;

use super::Check;
use crate::config::{Fault, nearest};

/// A time zone by its name; a fault that names the nearest where there is none.
pub(super) fn check_zone(check: &mut Check<'_>, key: &str, name: &str) -> Option<SiteZone> {
    let zone = SiteZone::named(name).ok();
    if zone.is_none() {
        check.faults.push(unknown(key, name));
    }
    zone
}

/// No time zone has this name.
pub(super) fn unknown(key: &str, name: &str) -> Fault {
    let expected = r#"the name of an IANA time zone, such as "Europe/Berlin" or "UTC""#;
    let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
    let near = nearest(name, known.iter().map(String::as_str)).unwrap_or("UTC");
    let own = key.rsplit('.').next().unwrap_or(key);
    Fault::at_text(key, name, expected).remedy(format!("write {own} = {near:?}"))
}
