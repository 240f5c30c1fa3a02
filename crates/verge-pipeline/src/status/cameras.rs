//! What the status reports of single cameras.

#![expect(missing_docs, reason = "docs/status.md says what each key means")]

use std::cmp::Reverse;
use std::time::Duration;

use serde::Serialize;
use verge_domain::id::DeviceId;
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;

/// Maximum of cameras listed per source; of more, those that have been silent for longest.
const LISTED: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameraStatus {
    pub device: DeviceId,
    pub age_ms: u64,
}

/// How many cameras a source has, and the ages of those that have been silent for longest.
pub(super) fn longest_silent(
    source: SourceIndex,
    cameras: &[(Camera, Duration)],
) -> (u64, Vec<CameraStatus>) {
    let mut own: Vec<_> = cameras.iter().filter(|(camera, _)| camera.source == source).collect();
    own.sort_unstable_by_key(|(camera, age)| (Reverse(*age), &camera.device));
    let listed = own.iter().take(LISTED).map(|(camera, age)| CameraStatus {
        device: camera.device.clone(),
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
    });
    (own.len() as u64, listed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_cameras_those_are_listed_that_have_been_silent_for_longest() {
        let camera = |source, name: &str, seconds| {
            let camera = Camera { source: SourceIndex(source), device: DeviceId::new(name).unwrap() };
            (camera, Duration::from_secs(seconds))
        };
        let cameras =
            [camera(0, "north", 2), camera(1, "yard", 9), camera(0, "south", 70), camera(0, "east", 2)];
        let (count, listed) = longest_silent(SourceIndex(0), &cameras);
        let listed_ages: Vec<(&str, u64)> =
            listed.iter().map(|one| (one.device.as_str(), one.age_ms)).collect();
        assert_eq!((count, listed_ages), (3, vec![("south", 70_000), ("east", 2_000), ("north", 2_000)]));
        let many: Vec<_> = (0..100).map(|number| camera(1, &format!("c{number}"), number)).collect();
        let (count, listed) = longest_silent(SourceIndex(1), &many);
        assert_eq!((count, listed.len(), listed[0].age_ms, listed[63].age_ms), (100, 64, 99_000, 36_000));
        assert_eq!(longest_silent(SourceIndex(2), &many), (0, Vec::new()));
    }
}
