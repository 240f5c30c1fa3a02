//! Whether a gateway of this id runs elsewhere: the status that upstream holds is compared with the store here.

use jiff::Timestamp;
use verge_outbox::{OutboxReader, ReadError};
use verge_pipeline::status::{Sighting, sighting};

use super::CheckReport;
use crate::cli::async_runtime;
use verge_gateway::config::Warning;
use verge_gateway::exit::Exit;
use verge_gateway::settings::{MqttUplink, Settings, Uplink};

/// A gateway publishes its status every 30 s; clocks may differ.
const FRESH_MS: i64 = 180_000;

/// Looks at every uplink. Says whether a gateway of this id is online elsewhere, whose connections must not be ended.
///
/// # Errors
/// No runtime.
pub(super) fn look(settings: &Settings, report: &mut CheckReport) -> anyhow::Result<bool> {
    let mut found = false;
    let uplinks = settings.uplinks.iter().filter_map(Uplink::mqtt);
    for uplink in uplinks.filter(|uplink| uplink.services.status && uplink.services.retain) {
        let Some(seen) = seen(uplink)? else { continue };
        // After the status: a gateway that runs here has stored its numbers before it published them.
        if seen.is_online && is_of_another(settings, &seen) {
            found |= note(settings, uplink, &seen, report);
        }
    }
    Ok(found)
}

/// The status that upstream holds. Files that cannot be read are reported by what uses them.
fn seen(uplink: &MqttUplink) -> anyhow::Result<Option<Sighting>> {
    let Ok(connection) = uplink.broker.build() else { return Ok(None) };
    let retained = async_runtime()?.block_on(verge_mqtt::retained(&connection, &uplink.topics.status));
    Ok(retained.and_then(|status| sighting(&status)))
}

/// Nothing is known of a store that cannot be read.
fn is_of_another(settings: &Settings, seen: &Sighting) -> bool {
    let Ok(store) = settings.store.build() else { return false };
    let mut reader = match OutboxReader::open(&store.dir, store.key.as_ref()) {
        Ok(reader) => reader,
        Err(ReadError::Missing { .. }) => return seen.is_of_another(None),
        Err(_) => return false,
    };
    let (Ok(Some(life)), Ok(summary)) = (reader.life(), reader.summary()) else { return false };
    seen.is_of_another(Some((&life, summary.lanes.map(|lane| lane.last.0))))
}

/// Says whether it is certain.
fn note(settings: &Settings, uplink: &MqttUplink, seen: &Sighting, report: &mut CheckReport) -> bool {
    let (id, section) = (settings.gateway.id.as_str(), &uplink.broker.key);
    let version = seen.version.as_deref().unwrap_or("unknown");
    let age_ms = seen.at.map(|at| Timestamp::now().as_millisecond().saturating_sub(at));
    let said = match age_ms {
        Some(age_ms) => format!(
            "its status, {} s old, is of another store (epoch {}, verge {version})",
            age_ms / 1000,
            seen.claim.epoch
        ),
        None => format!("its status is of another store (epoch {}, verge {version})", seen.claim.epoch),
    };
    let fresh = age_ms.is_some_and(|age_ms| age_ms.abs() <= FRESH_MS);
    if fresh {
        let result = format!(
            "another gateway of this id is online: {said}; stop it, or give one of the two another gateway.id. If it was \
             stopped a moment ago, try again in a minute"
        );
        report.note(section, format!("gateway id {id:?}"), Err(result), Exit::Unavailable);
    } else {
        let remark = format!(
            "{section} holds a status of a gateway {id:?} that says it is online: {said}; if that gateway still runs, stop \
             it, or give one of the two another id"
        );
        report.warnings.push(Warning { key: "gateway.id".to_owned(), remark });
    }
    fresh
}
