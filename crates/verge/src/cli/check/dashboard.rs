//! The dashboard: whether it can listen, whether its certificate can be used, and whether anybody can log in.

use std::net::TcpListener;

use verge_gateway::config::Warning;
use verge_gateway::exit::Exit;
use verge_gateway::settings::{DashboardSection, Settings};
use verge_web::dashboard::access::AccessFile;

use super::{CheckReport, look_at_certificate, words};

const SECTION: &str = "dashboard";

/// Listens for a moment where it would, unless a gateway does so now.
pub(super) fn look(settings: &Settings, running: bool, report: &mut CheckReport) {
    let Some(dashboard) = &settings.dashboard else { return };
    if let Some((cert, _)) = &dashboard.files {
        look_at_certificate(SECTION, cert, report);
    }
    if let Err(error) = dashboard.tls() {
        report.note(SECTION, "files", Err(words(&error)), Exit::BadConfig);
    }
    let tried = match running {
        true => Ok("not tried, because the gateway runs".to_owned()),
        false => match TcpListener::bind(dashboard.listen) {
            Ok(_) => Ok("can listen".to_owned()),
            Err(error) => Err(format!("cannot listen: {error}")),
        },
    };
    report.note(SECTION, format!("dashboard on {}", dashboard.address()), tried, Exit::Unavailable);
    look_at_names(dashboard, report);
    look_at_logins(settings, report);
}

fn look_at_names(dashboard: &DashboardSection, report: &mut CheckReport) {
    let names = dashboard.names();
    if names.is_empty() {
        return;
    }
    report.note(SECTION, "names", Ok(format!("also reached as {}", names.join(", "))), Exit::Fine);
}

fn look_at_logins(settings: &Settings, report: &mut CheckReport) {
    let certificates =
        settings.dashboard.iter().flat_map(|dashboard| &dashboard.certificates).collect::<Vec<_>>();
    match AccessFile::load(&settings.gateway.state_dir) {
        Err(error) => report.note(SECTION, "logins", Err(words(&error)), Exit::BadConfig),
        Ok(logins) if logins.users.is_empty() && certificates.is_empty() => {
            let remark =
                "nobody can log in yet: add a login with `verge users add NAME --role admin -c FILE`";
            report.warnings.push(Warning { key: SECTION.to_owned(), remark: remark.to_owned() });
        }
        Ok(logins) => {
            let logins = verge_wire::counted(logins.users.len() as u64, "login");
            let says = format!("{logins}, {}", verge_wire::counted(certificates.len() as u64, "certificate"));
            report.note(SECTION, "logins", Ok(says), Exit::Fine);
        }
    }
}
