//! A running gateway takes up its file anew, by SIGHUP or by `verge reload`.

use std::path::Path;

use verge_gateway::reload::door::ReloadDoor;
use verge_gateway::reload::{ReloadAnswer, ReloadRequest, ReloadRequests};
use verge_gateway::settings::{ConfigurationError, Settings};
use verge_gateway::wiring::Gateway;

/// More lines of a report are left out of the log; `verge reload` prints all of them.
const MAX_LOGGED: usize = 40;

/// Opens the door for `verge reload`. A gateway without one works all the same.
pub(super) fn open_door(settings: &Settings) -> Option<ReloadDoor> {
    let folder = &settings.gateway.state_dir;
    ReloadDoor::open(folder)
        .inspect_err(|error| {
            tracing::warn!(
                folder = %folder.display(), %error,
                "cannot make the socket for `verge reload` in the state folder; SIGHUP reloads all the same"
            );
        })
        .ok()
}

/// The next request, by the door if there is one, or from the dashboard. None is lost where the other one is faster, or something
/// else happens first.
pub(super) async fn next_request(door: Option<&ReloadDoor>, dashboard: &mut ReloadRequests) -> ReloadRequest {
    let by_door = async {
        match door {
            Some(door) => door.next().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        request = by_door => request,
        request = dashboard.next() => request,
    }
}

/// Reads the file and lets the gateway take it up.
pub(super) async fn reload(
    gateway: &mut Gateway,
    file: &Path,
    request: Option<&ReloadRequest>,
) -> ReloadAnswer {
    let own = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    if let Some(by) = request.and_then(|request| request.by.as_ref()) {
        tracing::info!(%by, dry_run = request.is_some_and(|request| request.dry_run), "a reload was requested");
    }
    if request.and_then(|request| request.file.as_ref()).is_some_and(|file| *file != own) {
        return ReloadAnswer::OtherFile { runs_with: own.display().to_string() };
    }
    if request.is_some_and(|request| request.again) {
        let next = gateway.settings().clone();
        return gateway.reload(next, false).await;
    }
    let path = file.to_owned();
    let loaded = tokio::task::spawn_blocking(move || Settings::load(&path, std::env::vars_os())).await;
    match loaded {
        Ok(Ok(next)) => {
            for warning in &next.warnings {
                tracing::warn!("{warning}");
            }
            gateway.reload(next, request.is_some_and(|request| request.dry_run)).await
        }
        Ok(Err(ConfigurationError::Faults { faults, .. })) => {
            ReloadAnswer::Faulty { faults: faults.iter().map(ToString::to_string).collect() }
        }
        Ok(Err(ConfigurationError::Load(error))) => {
            ReloadAnswer::Faulty { faults: vec![error.to_fault().to_string()] }
        }
        Err(error) => ReloadAnswer::Failed { error: format!("reading the file failed: {error}") },
    }
}

/// Logs what became of it.
pub(super) fn log(answer: &ReloadAnswer) {
    let words = answer.words();
    for line in words.iter().take(MAX_LOGGED) {
        if answer.is_ok() {
            tracing::info!("{line}");
        } else {
            tracing::error!("{line}");
        }
    }
    if words.len() > MAX_LOGGED {
        tracing::info!(
            lines = words.len() - MAX_LOGGED,
            "more of this report: `verge reload` prints all of it"
        );
    }
}
