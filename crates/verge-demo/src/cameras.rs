//! The demo's two cameras: what each would publish at an instant.
//!
//! Both look at one junction: `north` by day, past a tree that hides a part of the road; `south` by night. For a
//! while `south` is frozen: it continues to send the same picture, as real cameras do, and nothing in it changes. What
//! truly passes before `north` is known.

use std::time::Duration;

use anyhow::Context;
use verge_vision::Picture;
use verge_vision::annotate::encode;

use super::scene::{HEIGHT, RoadScene, SceneCrossing, Viewpoint, WIDTH, crossings};

/// Pause between two frames of a camera.
pub(super) const PERIOD: Duration = Duration::from_millis(200);
/// From this share of the run on `south` is frozen, for this share of it, and long enough to be noticed.
const FROZEN_FROM: f64 = 0.4;
const FROZEN_SHARE: f64 = 0.2;
const FROZEN_LEAST: Duration = Duration::from_secs(6);
/// Traffic is joined where it has long begun.
const JOINED: Duration = Duration::from_secs(20);
/// Which traffic there is. The model was trained on other seeds.
const SEED: u64 = 0x7e59e;

/// When `south` is frozen in a run of this length.
pub(super) fn frozen(run: Duration) -> std::ops::Range<Duration> {
    let from = run.mul_f64(FROZEN_FROM);
    from..from + run.mul_f64(FROZEN_SHARE).max(FROZEN_LEAST)
}

/// What truly crosses lines of `north` in a run of this length; its times count from the run's start.
pub(super) fn true_crossings(lines: &[[[f64; 2]; 2]], run: Duration) -> Vec<SceneCrossing> {
    let all = crossings(Viewpoint::North, SEED, lines, JOINED..JOINED + run);
    all.into_iter().map(|crossing| SceneCrossing { at: crossing.at - JOINED, ..crossing }).collect()
}

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
        let is_frozen = self.freezes && frozen(run).contains(&elapsed);
        if !is_frozen || self.jpeg.is_empty() {
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
            let frames = [8, 12, 13, 16].map(&mut frame);
            // A frozen camera continues with the last picture it has taken.
            let repeats: Vec<bool> = frames.windows(2).map(|pair| pair[0] == pair[1]).collect();
            assert_eq!(repeats, if camera.name() == "south" { [true, true, false] } else { [false; 3] });
        }
    }
}
