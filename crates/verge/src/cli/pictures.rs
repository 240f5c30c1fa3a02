//! Pictures in files, read as a camera's messages are: by the same codec, with the same limits.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use verge_codec::{Compression, DeviceRule, FrameCodec, FrameDecoders, FrameSourceSettings};
use verge_domain::frame::EncodedFrame;
use verge_domain::id::DeviceId;
use verge_domain::reading::{Decoded, Inbound, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::Decoder;
use verge_domain::time::{Moment, UtcMillis};
use verge_vision::annotate::AnnotatedShape;
use verge_vision::{Picture, annotate};

use super::say;
use verge_gateway::settings::{Carries, Settings};

/// Largest picture that is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureLimits {
    pub(super) max_bytes: usize,
    pub(super) max_pixels: u64,
}

impl Default for PictureLimits {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_pixels: 1 << 28 }
    }
}

/// The limits of a source.
pub(super) fn limits_of(settings: &Settings, source: SourceIndex) -> PictureLimits {
    match settings.sources.get(usize::from(source.0)).map(|source| &source.carries) {
        Some(Carries::Frames(frames)) => {
            PictureLimits { max_bytes: frames.codec.max_payload_bytes, max_pixels: frames.codec.max_pixels }
        }
        Some(Carries::Readings(_)) | None => PictureLimits::default(),
    }
}

/// Reads picture files.
pub(super) struct PictureFiles {
    limits: PictureLimits,
    decoded: Decoded<EncodedFrame>,
}

impl PictureFiles {
    pub(super) fn new(limits: PictureLimits) -> Self {
        Self { limits, decoded: Decoded::default() }
    }

    /// Reads one; the inner error says why it is no frame.
    pub(super) fn read(
        &mut self,
        path: &Path,
        device: DeviceId,
    ) -> anyhow::Result<Result<EncodedFrame, Rejection>> {
        self.of_bytes(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?, device)
    }

    /// Reads one that is in memory.
    pub(super) fn of_bytes(
        &mut self,
        bytes: Vec<u8>,
        device: DeviceId,
    ) -> anyhow::Result<Result<EncodedFrame, Rejection>> {
        let settings = FrameSourceSettings {
            codec: FrameCodec::Jpeg,
            compression: Compression::None,
            device: DeviceRule::Fixed(device),
            max_payload_bytes: self.limits.max_bytes,
            max_pixels: self.limits.max_pixels,
            accept_retained: false,
        };
        let mut decoder = FrameDecoders::new(vec![Some(settings)]).context("limits are above 0")?;
        let message = Inbound::of(SourceIndex(0), String::new(), bytes, Moment::from_wall(UtcMillis(0)));
        decoder.decode(&message, &mut self.decoded);
        let refused = self.decoded.rejections.pop();
        Ok(self.decoded.items.pop().ok_or_else(|| refused.unwrap_or(Rejection::whole(Reason::BadJpeg))))
    }
}

/// Writes a copy of a picture with shapes drawn into it.
pub(super) fn annotate(picture: &Picture, shapes: &[AnnotatedShape], path: &Path) -> anyhow::Result<()> {
    let mut picture = picture.clone();
    annotate::draw(&mut picture, shapes);
    let bytes = annotate::encode(&picture).with_context(|| path.display().to_string())?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether a file is a picture, by its name.
pub(super) fn is_picture(path: &Path) -> bool {
    let known =
        |extension: &std::ffi::OsStr| ["jpg", "jpeg"].iter().any(|one| extension.eq_ignore_ascii_case(one));
    path.extension().is_some_and(known)
}

/// Whether a picture of a folder can be read: a link may lead nowhere, and a pipe without a writer would be waited for.
pub(super) fn is_there(path: &Path) -> bool {
    let is_file = path.is_file();
    if !is_file {
        say(&format!("{}: left out: no file, or a link that leads nowhere", path.display()));
    }
    is_file
}

/// The file itself, or the pictures of a folder in order of their names.
pub(super) fn find(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let cannot = || format!("cannot read the folder {}", path.display());
    let entries = fs::read_dir(path).with_context(cannot)?;
    let files =
        entries.map(|entry| Ok(entry.with_context(cannot)?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let is_one = |file: &&PathBuf| is_picture(file) && is_there(file);
    let mut pictures: Vec<PathBuf> = files.iter().filter(is_one).cloned().collect();
    pictures.sort();
    let mut others: Vec<&PathBuf> = files.iter().filter(|file| is_other_picture(file)).collect();
    others.sort();
    let others = others.first().map(|first| {
        let first = first.file_name().unwrap_or_default().display();
        match others.len() {
            1 => format!("1 other picture ({first}): convert it to JPEG"),
            count => format!("{count} other pictures ({first} is the first): convert them to JPEG"),
        }
    });
    match (pictures.is_empty(), others) {
        (true, None) => bail!("{} holds no *.jpg or *.jpeg", path.display()),
        (true, Some(others)) => bail!("{} holds no *.jpg or *.jpeg, but {others}", path.display()),
        (false, None) => {}
        (false, Some(others)) => say(&format!("{}: left out: {others}", path.display())),
    }
    Ok(pictures)
}

/// Whether a file is a picture that no source reads, by its name.
fn is_other_picture(path: &Path) -> bool {
    let known = ["png", "gif", "bmp", "webp", "tif", "tiff", "heic", "avif"];
    path.extension().is_some_and(|extension| known.iter().any(|one| extension.eq_ignore_ascii_case(one)))
}

/// The device that a picture counts as of: its name without its extension.
pub(super) fn device_of(path: &Path) -> anyhow::Result<DeviceId> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    DeviceId::new(&stem)
        .with_context(|| format!("{}: its name is no name of a device; --device gives one", path.display()))
}
