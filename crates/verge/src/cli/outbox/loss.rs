//! Whether a store has lost something, in one line.

use verge_domain::id::Lane;
use verge_outbox::StoreSummary;

use verge_gateway::settings::Settings;
use verge_wire::counted;

/// A route of the configuration and the lanes that it carries.
pub(super) struct Carried {
    name: String,
    lanes: Vec<Lane>,
}

/// The routes of a configuration.
pub(super) fn routes(settings: &Settings) -> Vec<Carried> {
    let carried = settings.routes.iter().map(|route| Carried {
        name: route.name.to_string(),
        // The uplinks of one route agree in their lanes.
        lanes: route.uplinks.first().map_or_else(Vec::new, |first| settings.uplinks[*first].lanes.clone()),
    });
    carried.collect()
}

/// Numbers that were given, and those of them that a route has delivered.
fn delivered(summary: &StoreSummary, route: &Carried) -> (u64, u64) {
    let marks = summary.routes.iter().find(|marks| marks.route == route.name).map(|marks| marks.delivered);
    let lanes = summary.lanes.iter().filter(|lane| route.lanes.contains(&lane.lane));
    lanes.fold((0, 0), |(made, done), lane| {
        let mark = marks.map_or(0, |marks| marks[lane.lane.index()].0);
        (made + lane.last.0, done + mark.min(lane.last.0))
    })
}

/// The line.
pub(super) fn words(summary: &StoreSummary, routes: &[Carried]) -> String {
    let withdrawn: u64 = summary.lanes.iter().map(|lane| lane.withdrawn).sum();
    let lost = match withdrawn {
        0 => "nothing lost".to_owned(),
        some => format!("{} withdrawn (`verge outbox show` says which and why)", counted(some, "verdict")),
    };
    if routes.is_empty() {
        let made: u64 = summary.lanes.iter().map(|lane| lane.last.0).sum();
        let stored: u64 = summary.lanes.iter().map(|lane| lane.rows).sum();
        return format!(
            "{lost}: {stored} of {made} stored, the newest; no uplink is configured, so none is sent"
        );
    }
    let of = routes.iter().map(|route| {
        let (made, done) = delivered(summary, route);
        let to = if routes.len() == 1 { String::new() } else { format!(" to {}", route.name) };
        let waiting = match made - done {
            0 => String::new(),
            1 => ", 1 waits in the store".to_owned(),
            waiting => format!(", {waiting} wait in the store"),
        };
        format!("{done} of {made} delivered{to}{waiting}")
    });
    format!("{lost}: {}", of.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{Epoch, Seq};
    use verge_outbox::{LaneSummary, RouteSummary};

    use super::*;

    /// Lanes of 100, 40 and 2 verdicts.
    fn summary(marks: &[(&str, [u64; 3])], withdrawn: u64) -> StoreSummary {
        let lasts = [100, 40, 2];
        let lane = |lane: Lane| LaneSummary {
            lane,
            first: Some(Seq(1)),
            last: Seq(lasts[lane.index()]),
            rows: lasts[lane.index()] / 2,
            bytes: 0,
            tombstones: 0,
            withdrawn: if lane == Lane::Telemetry { withdrawn } else { 0 },
        };
        let route = |(name, marks): &(&str, [u64; 3])| RouteSummary {
            route: (*name).to_owned(),
            delivered: marks.map(Seq),
        };
        StoreSummary {
            epoch: Epoch([7; 16]),
            schema_version: 4,
            encrypted: false,
            encryption_unfinished: false,
            lanes: Lane::ALL.map(lane),
            routes: marks.iter().map(route).collect(),
            checkpoints: Vec::new(),
        }
    }

    #[test]
    fn what_is_delivered_and_what_waits_is_said_in_words() {
        let all = |name: &str| Carried { name: name.to_owned(), lanes: Lane::ALL.to_vec() };
        let check = |marks: &[(&str, [u64; 3])], withdrawn: u64, routes: &[Carried], expected: &str| {
            assert_eq!(words(&summary(marks, withdrawn), routes), expected);
        };
        check(&[("centre", [100, 40, 2])], 0, &[all("centre")], "nothing lost: 142 of 142 delivered");
        let some = [("centre", [90, 39, 2]), ("scada", [100, 40, 1])];
        check(&some[..1], 0, &[all("centre")], "nothing lost: 131 of 142 delivered, 11 wait in the store");
        check(
            &some,
            0,
            &[all("centre"), all("scada"), all("new")],
            "nothing lost: 131 of 142 delivered to centre, 11 wait in the store; \
             141 of 142 delivered to scada, 1 waits in the store; \
             0 of 142 delivered to new, 142 wait in the store",
        );
        let alarms = Carried { name: "centre".to_owned(), lanes: vec![Lane::Alarm] };
        check(&some, 0, &[alarms], "nothing lost: 90 of 100 delivered, 10 wait in the store");
        check(
            &[("centre", [100, 40, 2])],
            2,
            &[all("centre")],
            "2 verdicts withdrawn (`verge outbox show` says which and why): 142 of 142 delivered",
        );
        check(
            &[],
            0,
            &[],
            "nothing lost: 71 of 142 stored, the newest; no uplink is configured, so none is sent",
        );
    }
}
