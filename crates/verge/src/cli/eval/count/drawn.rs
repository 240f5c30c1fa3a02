//! Copies of the pictures with what is counted drawn into them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use verge_domain::id::DeviceId;
use verge_scene::{Crossing, FrameSize, Scene, SceneSettings, SceneTrace};
use verge_vision::Picture;
use verge_vision::annotate::shapes_of_scene;
use verge_vision::picture::SAMPLES;

use crate::cli::pictures::{self, PictureFiles, PictureLimits};

/// What stands where there is no picture.
const GREY: u8 = 96;

/// Writes a picture for each frame.
pub(super) struct DrawnFrames {
    frames: PathBuf,
    to: PathBuf,
    device: DeviceId,
    files: PictureFiles,
    picture: Picture,
    trace: SceneTrace,
}

impl DrawnFrames {
    /// Of the frames of one folder of data into another folder.
    pub(super) fn new(data: &Path, to: &Path, settings: &SceneSettings) -> anyhow::Result<Self> {
        std::fs::create_dir_all(to).with_context(|| format!("cannot make the folder {}", to.display()))?;
        Ok(Self {
            frames: data.join("frames"),
            to: to.to_owned(),
            device: DeviceId::new("eval").context("a constant")?,
            files: PictureFiles::new(PictureLimits::default()),
            picture: Picture::new(),
            trace: SceneTrace::new(settings),
        })
    }

    /// One frame, which the scene has just observed.
    pub(super) fn draw(
        &mut self,
        (name, at): (&str, f64),
        scene: &Scene,
        size: FrameSize,
        crossings: &[Crossing],
    ) -> anyhow::Result<()> {
        self.trace.count(crossings);
        self.trace.follow(scene, at);
        let shapes = shapes_of_scene(&self.trace.sketch(scene));
        let found = ["jpg", "jpeg"].map(|ending| self.frames.join(format!("{name}.{ending}")));
        match found.iter().find(|path| path.is_file()) {
            Some(path) => match self.files.read(path, self.device.clone())? {
                Ok(frame) => self.picture.decode(&frame).with_context(|| path.display().to_string())?,
                Err(rejection) => bail!("{}: {rejection}", path.display()),
            },
            None => {
                let samples = size.width as usize * size.height as usize * SAMPLES;
                self.picture = Picture::from_rgb(size.width, size.height, vec![GREY; samples]);
            }
        }
        pictures::annotate(&self.picture, &shapes, &self.to.join(format!("{name}.jpg")))
    }
}
