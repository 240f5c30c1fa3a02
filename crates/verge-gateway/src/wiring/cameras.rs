//! Cameras as the dashboard shows them.

use std::sync::Arc;

use verge_domain::live::{CameraName, LiveCamera, LiveCameras, WatchError, WatchedCamera};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_pipeline::clock::Clock;
use verge_pipeline::counters::Counters;
use verge_pipeline::frames::{Cameras, MAX_WATCHED, SeenTracks, WatchBoard};
use verge_vision::Memory;

/// The cameras of a gateway that takes frames.
pub(super) struct CameraView {
    cameras: Cameras<Memory>,
    watch: WatchBoard,
    /// Know the names of the sources.
    counters: Arc<Counters>,
    clock: Clock,
}

impl CameraView {
    pub(super) fn new(
        (cameras, watch): (Cameras<Memory>, WatchBoard),
        counters: &Arc<Counters>,
        clock: Clock,
    ) -> Self {
        Self { cameras, watch, counters: Arc::clone(counters), clock }
    }

    /// What was followed before a camera since somebody asked for the first time.
    pub(super) fn tracks(&self, camera: &Camera) -> Option<SeenTracks> {
        self.watch.tracks(camera, self.clock.now())
    }

    fn camera(&self, name: &CameraName) -> Option<Camera> {
        let source = self.counters.sources().iter().position(|source| source.name == name.source)?;
        let source = SourceIndex(u16::try_from(source).ok()?);
        Some(Camera { source, device: name.device.clone() })
    }
}

impl LiveCameras for CameraView {
    fn list(&self) -> Vec<LiveCamera> {
        let courses = self.cameras.courses(self.clock.now().mono).into_iter();
        let mut all: Vec<LiveCamera> = courses
            .filter_map(|(Camera { source, device }, age, course)| {
                let source = self.counters.source(source)?.name.clone();
                Some(LiveCamera { name: CameraName { source, device }, age, course })
            })
            .collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn one(&self, name: &CameraName) -> Option<LiveCamera> {
        let (age, course) = self.cameras.course(&self.camera(name)?, self.clock.now().mono)?;
        Some(LiveCamera { name: name.clone(), age, course })
    }

    fn watch(&self, name: &CameraName) -> Result<WatchedCamera, WatchError> {
        let now = self.clock.now().mono;
        // Only what is known: nobody takes up room with names.
        let known = self.camera(name).filter(|camera| self.cameras.course(camera, now).is_some());
        let camera = known.ok_or(WatchError::Unknown)?;
        self.watch.watch(&camera, now).ok_or(WatchError::TooMany { limit: MAX_WATCHED })
    }
}
