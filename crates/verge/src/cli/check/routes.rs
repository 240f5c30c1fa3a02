//! What the store holds for routes that the configuration no longer has.

use verge_domain::id::Lane;
use verge_gateway::config::Warning;
use verge_gateway::settings::Settings;
use verge_outbox::StoreSummary;
use verge_wire::counted;

/// A warning for each route that has not delivered everything and that no uplink has any more.
pub(super) fn left_behind(settings: &Settings, summary: &StoreSummary) -> Vec<Warning> {
    let is_configured = |name: &str| settings.routes.iter().any(|route| route.name.as_str() == name);
    let left = summary.routes.iter().filter(|route| !is_configured(&route.route));
    let warnings = left.filter_map(|route| {
        let waiting: Vec<String> = summary
            .lanes
            .iter()
            .map(|lane| (lane.lane, lane.last.0.saturating_sub(route.delivered[lane.lane.index()].0)))
            .filter(|(_, waiting)| *waiting > 0)
            .map(|(lane, waiting)| match lane {
                Lane::Alarm => counted(waiting, "alarm"),
                Lane::Verdict => counted(waiting, "verdict"),
                Lane::Telemetry => format!("{waiting} of telemetry"),
            })
            .collect();
        if waiting.is_empty() {
            return None;
        }
        let remark = format!(
            "the store holds {} that the route \"{}\" has not delivered, and no uplink has that route: they are not sent \
             on it, and are kept only as long as other routes and the replay window hold them; to deliver them, put the \
             uplink back until nothing waits",
            waiting.join(", "),
            route.route
        );
        Some(Warning { key: "uplink".to_owned(), remark })
    });
    warnings.collect()
}
