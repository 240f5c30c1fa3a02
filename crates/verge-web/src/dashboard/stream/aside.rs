//! What a listener may also want, and nothing wakes him for: cameras of which something came, and what people do. It is looked
//! for once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use serde::Serialize;
use tokio::time::Interval;
use verge_domain::live::CameraName;

use super::{Kind, Kinds, event};
use crate::dashboard::site::Site;

/// The cameras that a listener means.
#[derive(Debug, Default)]
pub(super) struct OfCameras {
    pub(super) source: Option<String>,
    pub(super) device: Option<String>,
}

impl OfCameras {
    fn takes(&self, name: &CameraName) -> bool {
        self.source.as_ref().is_none_or(|source| source == name.source.as_str())
            && self.device.as_ref().is_none_or(|device| device == name.device.as_str())
    }
}

/// What he has seen of both.
pub(super) struct Aside {
    kinds: Kinds,
    of: OfCameras,
    look: Interval,
    /// Of each camera that there is: frames, and whether the newest is old.
    cameras: BTreeMap<(String, String), (u64, bool)>,
    action: u64,
}

impl Aside {
    pub(super) fn new(site: &Site, kinds: Kinds, of: OfCameras, look: Interval) -> Self {
        Self { kinds, of, look, cameras: BTreeMap::new(), action: site.actions.last() }
    }

    /// Whether it is time to look.
    pub(super) fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.kinds.has(Kind::Camera) && !self.kinds.has(Kind::Action) {
            return Poll::Pending;
        }
        self.look.poll_tick(context).map(drop)
    }

    /// What is new: the first time all cameras.
    pub(super) fn events(&mut self, site: &Arc<Site>) -> Vec<Bytes> {
        let mut events = Vec::new();
        if self.kinds.has(Kind::Action) {
            for action in site.actions.behind(self.action) {
                self.action = action.number;
                events.push(written(Kind::Action, &*action));
            }
        }
        if self.kinds.has(Kind::Camera) {
            let open = site.open_words();
            let mut seen = BTreeMap::new();
            for camera in site.cameras().iter().filter(|camera| self.of.takes(&camera.name)) {
                let line = site.camera_line(camera, &open);
                let name = (line.source.clone(), line.device.clone());
                let now = (line.received, line.stale);
                if self.cameras.get(&name) != Some(&now) {
                    events.push(written(Kind::Camera, &line));
                }
                seen.insert(name, now);
            }
            self.cameras = seen;
        }
        events
    }
}

fn written(kind: Kind, what: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(what).expect("texts, numbers and lists are JSON");
    event(kind.as_str(), None, &json)
}
