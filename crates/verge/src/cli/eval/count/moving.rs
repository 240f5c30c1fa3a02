//! What the pictures of a folder say of their camera and of what moves, without any model.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use verge_domain::frame::CameraLook;
use verge_domain::id::DeviceId;
use verge_gateway::wiring;
use verge_scene::FrameSize;
use verge_vision::Picture;
use verge_vision::watch::CameraWatch;

use super::files::Frame;
use crate::cli::output::Progress;
use crate::cli::pictures::{PictureFiles, PictureLimits};

/// What each frame says, in order, and the size of the pictures.
pub(super) fn looks(data: &Path, frames: &[Frame]) -> anyhow::Result<(Vec<CameraLook>, Option<FrameSize>)> {
    let limits = PictureLimits::default();
    let mut picture = Picture::within(wiring::picture_bytes(limits.max_pixels));
    let (mut files, mut watch) = (PictureFiles::new(limits), CameraWatch::default());
    let device = DeviceId::new("eval").context("a constant")?;
    let (mut looks, mut size) = (Vec::with_capacity(frames.len()), None);
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
        looks.push(watch.look(&picture, frame.moment().mono));
    }
    progress.clear()?;
    Ok((looks, size))
}

fn path_of(data: &Path, name: &str) -> PathBuf {
    let with = |ending: &str| data.join("frames").join(format!("{name}.{ending}"));
    ["jpg", "jpeg", "JPG", "JPEG"]
        .map(with)
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| with("jpg"))
}
