//! Sites of RSMP: whether the supervisor agrees with the version, and which message says what.

use verge_gateway::exit::Exit;
use verge_gateway::settings::RsmpUplink;
use verge_traffic::rsmp::{MAIN_STATUSES, RsmpTrial, STATUSES, SiteComponent, StatusCode};

use super::{CheckReport, look_at_certificate};
use crate::cli::{async_runtime, words};

/// Exchanges versions as the gateway would; while one runs, the line alone is tried.
pub(super) fn look(
    uplink: &RsmpUplink,
    running: bool,
    offline: bool,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    if let Some((cert, _)) = uplink.tls.as_ref().and_then(|tls| tls.identity.as_ref()) {
        look_at_certificate(&uplink.key, cert, report);
    }
    let settings = match uplink.build() {
        Ok(settings) => settings,
        Err(error) => {
            report.note(&uplink.key, "files", Err(words(&error)), Exit::BadConfig);
            return Ok(());
        }
    };
    if offline {
        return Ok(());
    }
    let what = uplink.target.to_string();
    let clock = verge_pipeline::clock::Clock::start();
    let trial = async_runtime()?.block_on(RsmpTrial::of(&settings, running, clock.now()));
    let (outcome, exit) = match trial {
        RsmpTrial::Agrees => {
            let (versions, sxl) = (uplink.site.versions.join(", "), &uplink.site.sxl);
            (
                Ok(format!("supervisor agrees with RSMP {versions}, SXL {sxl}, site {}", uplink.site.site)),
                Exit::Fine,
            )
        }
        RsmpTrial::Reached => {
            let says = "reached; versions are not exchanged, because the gateway runs as this site";
            (Ok(says.to_owned()), Exit::Fine)
        }
        RsmpTrial::Disagrees(reason) => (Err(reason), Exit::BadConfig),
        RsmpTrial::Unreachable(reason) => (Err(reason), Exit::Temporary),
    };
    report.note(&uplink.key, what, outcome, exit);
    Ok(())
}

/// Says which statuses and alarms each component has.
pub(super) fn list(uplink: &RsmpUplink, report: &mut CheckReport) {
    let site = &uplink.site;
    let counting = site.components.iter().filter(|component| component.counts.is_some()).count();
    let mut of_main = vec!["aggregated status".to_owned()];
    if counting > 0 {
        let statuses = codes(&MAIN_STATUSES);
        of_main.push(format!("{statuses} of {}", verge_wire::counted(counting as u64, "detector")));
    }
    if site.other {
        of_main.push("A0009 for other critical events".to_owned());
    }
    report.note(&format!("{}.main", uplink.key), site.main.clone(), Ok(of_main.join("; ")), Exit::Fine);
    for (name, component) in uplink.names.iter().zip(&site.components) {
        let key = format!("{}.component.{name}", uplink.key);
        report.note(&key, component.id.clone(), Ok(says(component)), Exit::Fine);
    }
}

fn says(component: &SiteComponent) -> String {
    let mut parts = Vec::new();
    if let Some(counts) = &component.counts {
        let seconds = counts.interval.length_ms() / 1000;
        parts.push(format!("{} from {}, every multiple of {seconds} s", codes(&STATUSES), counts.judge));
    }
    for is_logic in [false, true] {
        let code = component.code(is_logic);
        let judges: Vec<&str> = component.judges_of(code).map(|judge| judge.as_str()).collect();
        if !judges.is_empty() {
            parts.push(format!("{code} from {}", judges.join(", ")));
        }
    }
    format!("{}: {}", component.device, parts.join("; "))
}

fn codes(statuses: &[StatusCode; 4]) -> String {
    format!("{} to {}", statuses[0].code, statuses[3].code)
}
