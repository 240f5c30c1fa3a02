//! What the status reports of one source.

#![expect(missing_docs, reason = "docs/status.md says what each key means")]

use std::time::Duration;

use serde::Serialize;
use verge_domain::id::SourceId;
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::time::UtcMillis;

use super::cameras::{CameraStatus, longest_silent};
use super::{NOTHING_RECEIVED, NOTHING_RECEIVED_AFTER, is_zero};
use crate::counters::SourceCounters;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    pub name: SourceId,
    pub received: u64,
    pub judged: u64,
    pub superseded: u64,
    pub refused: u64,
    pub in_flight: u64,
    /// Of those judged or refused: the broker had sent them before a restart, and the store holds no verdict of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub redelivered: u64,
    pub readings: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub frames: u64,
    /// Looks of models that gates let through, and looks that they spared.
    #[serde(skip_serializing_if = "is_zero")]
    pub passed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Crops of objects that second models classified, that they left for a later frame, and on which they failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub crops: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub crops_postponed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub crops_failed: u64,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub rejections: serde_json::Map<String, serde_json::Value>,
    /// Probable mistakes, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<&'static str>,
    /// Names that stand for several series, and their readings.
    #[serde(skip_serializing_if = "is_zero")]
    pub shared_names: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub shared_readings: u64,
    /// Devices whose clock has a constant offset.
    #[serde(skip_serializing_if = "is_zero")]
    pub clock_offsets: u64,
    /// Cameras that have sent frames since the start.
    #[serde(skip_serializing_if = "is_zero")]
    pub cameras: u64,
    /// Those that have been silent for longest, longest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub camera_ages: Vec<CameraStatus>,
}

pub(super) fn source_status(
    source: &SourceCounters,
    index: SourceIndex,
    cameras: &[(Camera, Duration)],
    now: UtcMillis,
    uptime: Duration,
) -> SourceStatus {
    let (cameras, camera_ages) = longest_silent(index, cameras);
    // Read in this order, a message may be missed as in flight, but is never counted twice.
    let judged = source.messages_judged_total.get();
    let refused = source.messages_refused_total.get();
    let superseded = source.messages_superseded_total.get();
    let received = source.messages_received_total.get();
    SourceStatus {
        name: source.name.clone(),
        received,
        judged,
        superseded,
        refused,
        in_flight: received.saturating_sub(judged + superseded + refused),
        redelivered: source.messages_redelivered_total.get(),
        readings: source.readings_judged_total.get(),
        frames: source.frames_judged_total.get(),
        passed: source.looks_passed_total.get(),
        skipped: source.looks_skipped_total.get(),
        crops: source.crops_total.get(),
        crops_postponed: source.crops_postponed_total.get(),
        crops_failed: source.crops_failed_total.get(),
        bytes: source.bytes_received_total.get(),
        age_ms: source.last_received().map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
        rejections: source
            .rejections()
            .map(|(reason, count)| (reason.as_str().to_owned(), serde_json::Value::from(count)))
            .collect(),
        warning: (received == 0 && uptime >= NOTHING_RECEIVED_AFTER).then_some(NOTHING_RECEIVED),
        shared_names: source.shared_name_count(),
        shared_readings: source.shared_readings_total.get(),
        clock_offsets: source.clock_offsets.count(),
        cameras,
        camera_ages,
    }
}
