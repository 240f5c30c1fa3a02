//! `count.toml`: what is counted, by the keys of a judge, and the size of frames that are no pictures.

use std::path::Path;

use verge_domain::scheme::ClassScheme;
use verge_gateway::settings::{ConfigurationError, TrackFile, TrackRules, read_track_file};
use verge_scene::{FrameSize, SceneSettings, SeenBox};
use verge_vision::CascadeSettings;

/// How the frames of a folder are counted.
#[derive(Debug)]
pub(super) struct CountSettings {
    pub(super) scene: SceneSettings,
    pub(super) scheme: ClassScheme,
    /// Lowest score that counts.
    pub(super) score: f64,
    /// Lowest scores of single classes, by their positions.
    scores: Vec<(usize, f64)>,
    /// Into how many parts a model cuts the frames on each side.
    pub(super) tiles: usize,
    pub(super) follow: usize,
    /// What a second model says of the objects, where one does.
    pub(super) then: Option<CascadeSettings>,
    /// The size of frames, where it is written.
    pub(super) size: Option<FrameSize>,
}

/// Reads the file as a gateway would.
pub(super) fn read(path: &Path) -> Result<CountSettings, ConfigurationError> {
    let TrackFile { rules: TrackRules { scene, scheme, score, scores, tiles, follow, then }, size } =
        read_track_file(path)?;
    // As it is written: 0.1 and not 0.10000000149.
    let written = |score: f32| (f64::from(score) * 1e6).round() / 1e6;
    let class = |name: &str| scheme.names().iter().position(|class| class.as_str() == name);
    let scores = scores.iter().filter_map(|(name, score)| Some((class(name)?, written(*score)))).collect();
    let size = size.map(|[width, height]| FrameSize { width, height });
    Ok(CountSettings { scene, scheme, score: written(score), scores, size, tiles, follow, then })
}

impl CountSettings {
    /// Leaves out what its class is not sure enough of.
    pub(super) fn keep_sure(&self, boxes: &mut Vec<SeenBox>) {
        let least =
            |class| self.scores.iter().find(|(known, _)| *known == class).map_or(0.0, |(_, least)| *least);
        boxes.retain(|one| one.score >= least(one.class));
    }
}
