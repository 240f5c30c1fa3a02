//! What of a configuration was drawn in the dashboard, who drew it and when.

use verge_gateway::exit::Exit;
use verge_gateway::settings::Settings;

use super::report::CheckReport;

pub(super) fn look(settings: &Settings, report: &mut CheckReport) {
    for drawn in &settings.drawn {
        for key in &drawn.keys {
            report.note(key, format!("drawn by {}", drawn.by), Ok(drawn.at.clone()), Exit::Fine);
        }
    }
}
