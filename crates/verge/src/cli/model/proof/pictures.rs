//! The pictures that a model is made with and proven on: with labels where there are some.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use verge_domain::frame::EncodedFrame;
use verge_domain::id::DeviceId;
use verge_engine::{ContentDigest, Tensor};
use verge_gateway::wiring;
use verge_models::FrameModel;
use verge_models::card::ModelTask;
use verge_models::quantise::PreparedPictures;
use verge_vision::Picture;
use verge_vision::preprocess::{Preprocess, Region};

use crate::cli::labelled::{classes, objects};
use crate::cli::model::measure;
use crate::cli::pictures::{self, PictureFiles, PictureLimits};

/// Inputs that are kept beyond one pass, in bytes; what is more is prepared again each time.
const KEPT: usize = 256 << 20;
/// Pictures that ranges rest on at most, evenly spread over all.
const CALIBRATED: usize = 100;

/// What is in a picture.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli::model) enum Truth {
    /// Its class.
    Class(usize),
    /// The objects in it, in shares of its sides.
    Objects(Vec<(usize, [f64; 4])>),
}

/// Pictures, and what is in them where that is known.
pub(in crate::cli::model) struct PictureSet {
    pub(in crate::cli::model) frames: Vec<EncodedFrame>,
    pub(in crate::cli::model) names: Vec<String>,
    pub(in crate::cli::model) truths: Option<Vec<Truth>>,
    /// SHA-256 of the list of their digests.
    pub(in crate::cli::model) digest: ContentDigest,
    /// Pictures that are equal have the same number.
    pub(in crate::cli::model) groups: Vec<usize>,
    /// How many there are that no other is equal to.
    pub(in crate::cli::model) distinct: usize,
}

impl PictureSet {
    /// Those of a folder, at most `limit`, evenly spread.
    pub(in crate::cli::model) fn read(
        folder: &Path,
        limit: usize,
        model: &FrameModel,
    ) -> anyhow::Result<Self> {
        let found = find(folder, model)?;
        let spread = limit.min(found.len());
        let mut files = PictureFiles::new(PictureLimits::default());
        let (mut frames, mut names, mut truths) = (Vec::new(), Vec::new(), Vec::new());
        let (mut digests, mut known, mut groups) = (Vec::new(), BTreeMap::new(), Vec::new());
        for number in 0..spread {
            let (path, truth) = &found[number * found.len() / spread];
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let digest = ContentDigest::of(&bytes);
            digests.push(digest);
            let next = known.len();
            groups.push(*known.entry(*digest.as_bytes()).or_insert(next));
            match files.of_bytes(bytes, DeviceId::new("quantize")?)? {
                Ok(frame) => frames.push(frame),
                Err(reason) => bail!("{}: no frame: {reason}", path.display()),
            }
            names.push(path.display().to_string());
            truths.push(truth.clone());
        }
        Ok(Self {
            frames,
            names,
            truths: truths.into_iter().collect(),
            digest: ContentDigest::joined(&digests),
            groups,
            distinct: known.len(),
        })
    }
}

/// Pictures and what is in them; either of all or of none it is known.
fn find(folder: &Path, model: &FrameModel) -> anyhow::Result<Vec<(PathBuf, Option<Truth>)>> {
    let folders = measure::folders(folder)?;
    match model.frames().task {
        ModelTask::Classify if folder.join("labels.csv").is_file() || are_classes(&folders, model) => {
            let found = classes::read(folder, model.labels())?;
            return Ok(found.into_iter().map(|one| (one.path, Some(Truth::Class(one.class)))).collect());
        }
        ModelTask::Detect
            if folder.join("labels").is_dir() || folders.iter().any(|one| one.join("labels").is_dir()) =>
        {
            let found = objects::read(folder, model.labels().len())?;
            return Ok(found.into_iter().map(|one| (one.path, Some(Truth::Objects(one.objects)))).collect());
        }
        _ => {}
    }
    let mut found = Vec::new();
    for folder in folders {
        found.extend(pictures::find(&folder)?.into_iter().map(|path| (path, None)));
    }
    Ok(found)
}

/// Whether folders are called as the model's labels are.
fn are_classes(folders: &[PathBuf], model: &FrameModel) -> bool {
    let is_label = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        model.labels().iter().any(|label| label.as_str() == name)
    };
    folders.len() > 1 && folders.iter().all(is_label)
}

/// Pictures as a model reads them.
pub(in crate::cli::model) struct Prepared<'a> {
    set: &'a PictureSet,
    /// Positions of those that are used.
    used: Vec<usize>,
    preprocess: Preprocess,
    picture: Picture,
    kept: Vec<Option<Tensor>>,
    room: usize,
}

impl<'a> Prepared<'a> {
    pub(in crate::cli::model) fn new(set: &'a PictureSet, model: &FrameModel) -> Self {
        let (all, count) = (set.frames.len(), set.frames.len().min(CALIBRATED));
        let used: Vec<usize> = (0..count).map(|number| number * all / count).collect();
        let preprocess = Preprocess::new(&model.frames().input, model.width(), model.height());
        let kept = used.iter().map(|_| None).collect();
        let picture = Picture::within(wiring::picture_bytes(PictureLimits::default().max_pixels));
        Self { set, used, preprocess, picture, kept, room: KEPT }
    }

    /// Between which samples most of the pictures lie.
    pub(in crate::cli::model) fn brightness(&mut self) -> anyhow::Result<(u8, u8)> {
        let mut seen = Vec::with_capacity(self.used.len());
        for number in &self.used {
            let name = || self.set.names[*number].clone();
            self.picture.decode(&self.set.frames[*number]).with_context(name)?;
            seen.push(shown(self.picture.rgb()));
        }
        Ok(most(&seen))
    }
}

/// The darkest and the brightest sample of a picture, without the hundredth at either end: hot pixels show nothing.
fn shown(samples: &[u8]) -> (u8, u8) {
    let mut counts = [0_usize; 256];
    samples.iter().for_each(|sample| counts[usize::from(*sample)] += 1);
    let cut = samples.len() / 100;
    let (dark, bright) = (beyond(&counts, cut, 0..=u8::MAX), beyond(&counts, cut, (0..=u8::MAX).rev()));
    (dark.unwrap_or(u8::MAX), bright.unwrap_or(0))
}

/// The first of these levels at which more than `cut` samples were passed.
fn beyond(counts: &[usize; 256], cut: usize, mut levels: impl Iterator<Item = u8>) -> Option<u8> {
    let mut passed = 0;
    levels.find(|level| {
        passed += counts[usize::from(*level)];
        passed > cut
    })
}

/// Between which samples pictures lie, without the tenth of them that is darkest and the tenth that is brightest: a few frames with the
/// lamp on do not make up for a set that shows nothing.
fn most(seen: &[(u8, u8)]) -> (u8, u8) {
    let (mut dark, mut bright): (Vec<u8>, Vec<u8>) = seen.iter().copied().unzip();
    dark.sort_unstable();
    bright.sort_unstable();
    let cut = seen.len() / 10;
    let at = |ends: &[u8], place: usize| ends.get(place).copied();
    let bright = at(&bright, (seen.len().saturating_sub(1)).saturating_sub(cut)).unwrap_or(0);
    // Pictures that are each of one grey, all of another, are not alike.
    (at(&dark, cut).unwrap_or(u8::MAX).min(bright), bright)
}

impl PreparedPictures for Prepared<'_> {
    fn count(&self) -> usize {
        self.used.len()
    }

    fn name(&self, number: usize) -> String {
        self.set.names[self.used[number]].clone()
    }

    fn fill(&mut self, number: usize, input: &mut Tensor) -> Result<(), String> {
        if let Some(kept) = &self.kept[number] {
            input.clone_from(kept);
            return Ok(());
        }
        let frame = &self.set.frames[self.used[number]];
        self.picture.decode(frame).map_err(|error| error.to_string())?;
        self.preprocess.fill(&self.picture, Region::WHOLE, input);
        // Four bytes an element at most.
        let bytes = verge_engine::TensorView::from(&*input).len() * size_of::<f32>();
        if let Some(room) = self.room.checked_sub(bytes) {
            self.room = room;
            self.kept[number] = Some(input.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_shows_nothing_is_not_saved_by_a_bright_frame() {
        let picture = |low: u8, high: u8| -> (u8, u8) {
            let samples: Vec<u8> = (0..3_000).map(|at| if at % 2 == 0 { low } else { high }).collect();
            shown(&samples)
        };
        let of = |counts: &[(usize, u8, u8)]| {
            let seen = counts.iter().flat_map(|(count, low, high)| vec![picture(*low, *high); *count]);
            most(&seen.collect::<Vec<_>>())
        };
        assert_eq!(of(&[(100, 0, 255)]), (0, 255));
        assert_eq!(of(&[(95, 2, 8), (5, 0, 255)]), (2, 8), "dark but for some");
        assert_eq!(of(&[(95, 250, 255), (5, 0, 255)]), (250, 255), "blinded but for some");
        assert_eq!(of(&[(50, 2, 8), (50, 0, 255)]), (0, 255), "day and night");
        assert_eq!(of(&[(50, 20, 20), (50, 200, 200)]), (20, 200));
        let mut hot = vec![3; 3_000];
        hot[..20].fill(255);
        assert_eq!(shown(&hot), (3, 3), "hot pixels");
        assert_eq!(most(&[(7, 9)]), (7, 9));
    }
}
