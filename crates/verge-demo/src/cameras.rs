//! The demo's two cameras: what each would publish at an instant.
//!
//! Both look at one junction: `north` by day, past a tree that hides a part of the road; `south` by night. For a
//! while `south` is frozen: it continues to send the same picture, as real cameras do, and nothing in it changes.

use std::time::Duration;

use anyhow::Context;
use verge_vision::Picture;
use verge_vision::annotate::encode;

use super::scene::{HEIGHT, RoadScene, Viewpoint, WIDTH};

/// Pause between two frames of a camera.
pub(super) const PERIOD: Duration = Duration::from_millis(200);
/// When `south` is frozen, as shares of the run.
const FROZEN: std::ops::Range<f64> = 0.55..0.75;
/// Traffic is joined where it has long begun.
const JOINED: Duration = Duration::from_secs(20);
/// Which traffic there is. The model was trained on other seeds.
const SEED: u64 = 0x7e59e;

/// One simulated camera.
pub(super) struct SimulatedCamera {
    name: &'static str,
    topic: &'static str,
    scene: RoadScene,
    freezes: bool,
    rgb: Vec<u8>,
    jpeg: Vec<u8>,
}

impl SimulatedCamera {
    pub(super) fn both() -> [Self; 2] {
        [
            Self::new("north", "junction/north/frame", Viewpoint::North, false),
            Self::new("south", "junction/south/frame", Viewpoint::South, true),
        ]
    }

    fn new(name: &'static str, topic: &'static str, view: Viewpoint, freezes: bool) -> Self {
        Self { name, topic, scene: RoadScene::new(view, SEED), freezes, rgb: Vec::new(), jpeg: Vec::new() }
    }

    /// The name it connects under.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Where it publishes.
    pub(super) const fn topic(&self) -> &'static str {
        self.topic
    }

    /// The JPEG it publishes `elapsed` into a run of length `run`. Takes some milliseconds: not for an async thread.
    pub(super) fn frame(&mut self, elapsed: Duration, run: Duration) -> anyhow::Result<&[u8]> {
        let frozen = self.freezes && FROZEN.contains(&(elapsed.as_secs_f64() / run.as_secs_f64()));
        if !frozen || self.jpeg.is_empty() {
            self.scene.render(JOINED + elapsed, &mut self.rgb);
            let picture = Picture::from_rgb(WIDTH, HEIGHT, std::mem::take(&mut self.rgb));
            self.jpeg = encode(&picture).context("a frame as a JPEG")?;
            self.rgb = picture.into_rgb();
        }
        Ok(&self.jpeg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_camera_freezes_for_a_while() {
        let run = Duration::from_secs(20);
        for mut camera in SimulatedCamera::both() {
            let mut frame = |seconds: u64| camera.frame(Duration::from_secs(seconds), run).unwrap().to_vec();
            let frames = [8, 12, 14, 16].map(&mut frame);
            // A frozen camera continues with the last picture it has taken.
            let repeats: Vec<bool> = frames.windows(2).map(|pair| pair[0] == pair[1]).collect();
            assert_eq!(repeats, if camera.name() == "south" { [true, true, false] } else { [false; 3] });
        }
    }
}
