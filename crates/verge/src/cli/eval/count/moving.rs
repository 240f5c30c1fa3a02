//! What moves in the pictures of a folder, without any model.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use verge_domain::id::DeviceId;
use verge_domain::motion::Blobs;
use verge_gateway::wiring;
use verge_scene::FrameSize;
use verge_vision::Picture;
use verge_vision::watch::GreyPicture;
use verge_vision::watch::motion::PixelBackground;

use super::files::Frame;
use crate::cli::output::Progress;
use crate::cli::pictures::{PictureFiles, PictureLimits};

/// The blobs of each frame, in order, and the size of the pictures.
pub(super) fn blobs(data: &Path, frames: &[Frame]) -> anyhow::Result<(Vec<Blobs>, Option<FrameSize>)> {
    let limits = PictureLimits::default();
    let mut picture = Picture::within(wiring::picture_bytes(limits.max_pixels));
    let (mut files, mut grey, mut background) =
        (PictureFiles::new(limits), GreyPicture::default(), PixelBackground::default());
    let device = DeviceId::new("eval").context("a constant")?;
    let (mut blobs, mut size) = (Vec::with_capacity(frames.len()), None);
    let mut progress = Progress::new();
    for (number, frame) in frames.iter().enumerate() {
        progress.show(&format!("motion in {number} of {} pictures", frames.len()))?;
        let path = path_of(data, &frame.name);
        let place = || path.display().to_string();
        let coded = files.read(&path, device.clone()).with_context(|| {
            format!("{}: blobs = \"continue\" or \"count\" needs the picture of each frame", place())
        })?;
        let coded = coded.map_err(|reason| anyhow!("{}: no frame: {reason}", place()))?;
        picture.decode(&coded).with_context(place)?;
        size.get_or_insert(FrameSize { width: picture.width(), height: picture.height() });
        grey.fill(&picture);
        let motion = background.look(grey.pixels(), (grey.width(), grey.height()), frame.at);
        blobs.push(motion.blobs);
    }
    progress.clear()?;
    Ok((blobs, size))
}

fn path_of(data: &Path, name: &str) -> PathBuf {
    let with = |ending: &str| data.join("frames").join(format!("{name}.{ending}"));
    ["jpg", "jpeg", "JPG", "JPEG"]
        .map(with)
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| with("jpg"))
}
