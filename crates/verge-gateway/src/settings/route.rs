//! `[route.NAME]`: how several uplinks share one route.

use verge_domain::id::RouteId;
use verge_pipeline::delivery::RouteMode;

use super::Check;
use super::uplink::Uplink;
use crate::config::{Fault, Map, RawRoute, RawRouteMode, Span, Warning, nearest};

/// One route: each verdict of its lanes is sent over it once, by one of its uplinks.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name, under which the store keeps its marks.
    pub name: RouteId,
    /// How its uplinks share the work.
    pub mode: RouteMode,
    /// Its uplinks by their position, in order of preference.
    pub uplinks: Vec<usize>,
}

pub(super) fn check_all(check: &mut Check<'_>, raw: &Map<RawRoute>, uplinks: &[Uplink]) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for (index, uplink) in uplinks.iter().enumerate() {
        match routes.iter_mut().find(|route| route.name == uplink.route) {
            Some(route) => route.uplinks.push(index),
            None => {
                let mode = mode_of(&raw.get(uplink.route.as_str()).cloned().unwrap_or_default());
                routes.push(Route { name: uplink.route.clone(), mode, uplinks: vec![index] });
            }
        }
    }
    for route in &routes {
        check_agreement(check, route, uplinks);
        if matches!(route.mode, RouteMode::Spread) && route.uplinks.len() == 1 {
            check.warnings.push(Warning {
                key: format!("route.{}.mode", route.name),
                remark: "there is one uplink to spread verdicts over".to_owned(),
            });
        }
    }
    check_named(check, raw, &routes);
    routes
}

fn mode_of(raw: &RawRoute) -> RouteMode {
    match &raw.mode {
        Some(RawRouteMode::Failover(failover)) => {
            RouteMode::Failover { return_after: failover.return_after.0 }
        }
        // Or a word that there is not, which is a fault already.
        Some(RawRouteMode::Spread(_)) | None => RouteMode::Spread,
    }
}

/// A verdict must be able to go by any of them.
fn check_agreement(check: &mut Check<'_>, route: &Route, uplinks: &[Uplink]) {
    let mut members = route.uplinks.iter().map(|index| &uplinks[*index]);
    let Some(first) = members.next() else { return };
    for other in members {
        let sorted = |uplink: &Uplink| {
            let mut lanes = uplink.lanes.clone();
            lanes.sort_unstable();
            lanes.dedup();
            lanes
        };
        let expected = |key: &str| {
            format!("the same as uplink.{}.{key}: both belong to route {:?}", first.name, route.name.as_str())
        };
        let remedy = |key: &str| format!("write the same {key} in both, or give one uplink another route");
        if other.kind.as_str() != first.kind.as_str() {
            let key = format!("uplink.{}.kind", other.name);
            let remedy = "give one uplink another route: each then has all verdicts of its lanes";
            let fault = Fault::at_text(key, other.kind.as_str(), expected("kind"));
            check.faults.push(fault.remedy(remedy));
            continue;
        }
        if sorted(other) != sorted(first) {
            let lanes: Vec<&str> = other.lanes.iter().map(|lane| lane.as_str()).collect();
            let key = format!("uplink.{}.lanes", other.name);
            check
                .faults
                .push(Fault::at_text(key, &lanes.join(","), expected("lanes")).remedy(remedy("lanes")));
        }
        if other.batch != first.batch {
            let key = format!("uplink.{}.batch", other.name);
            check.faults.push(Fault::new(key, "other limits", expected("batch")).remedy(remedy("batch")));
        }
        if other.rewind != first.rewind {
            let key = format!("uplink.{}.rewind", other.name);
            let value = Span(other.rewind).to_string();
            check.faults.push(Fault::at_text(key, &value, expected("rewind")).remedy(remedy("rewind")));
        }
    }
}

fn check_named(check: &mut Check<'_>, raw: &Map<RawRoute>, routes: &[Route]) {
    for name in raw.keys().filter(|name| !routes.iter().any(|route| route.name.as_str() == name.as_str())) {
        let expected = format!("the route of some uplink (route = {name:?} in [uplink.NAME])");
        let near = nearest(name, routes.iter().map(|route| route.name.as_str()));
        let remedy = match near {
            Some(near) => format!("write [route.{near}]"),
            None => format!("write route = {name:?} below an [uplink.NAME], or take the section out"),
        };
        check.faults.push(Fault::at_text(format!("route.{name}"), name, expected).remedy(remedy));
    }
}
