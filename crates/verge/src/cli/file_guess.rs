//! Files that are something else than their reader expects: what they look like, and what to do.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::bail;
use verge_domain::excerpt::Excerpt;
use verge_domain::looks::Looks;

use super::table::decode;

/// Bytes that are looked at.
pub(super) const HEAD: u64 = 4096;

/// Refuses what is certainly neither a table nor a recording, by its first bytes.
pub(super) fn refuse_other_files(path: &Path, head: &[u8]) -> anyhow::Result<()> {
    let excerpt = Excerpt::of(head);
    let Some(looks) = excerpt.looks() else { return Ok(()) };
    let remedy = match looks {
        Looks::Gzip => "uncompress it first (gunzip)",
        Looks::Zstd => "uncompress it first (unzstd)",
        Looks::Lz4Frame => "uncompress it first (unlz4)",
        Looks::Zip | Looks::OldOffice => "save the sheet as CSV (UTF-8), or unpack the archive",
        // A header may begin like this, too.
        Looks::Parquet if head.get(4).is_some_and(|byte| byte.is_ascii_graphic()) => return Ok(()),
        Looks::Parquet => "export it as CSV",
        Looks::GitLfsPointer => "fetch the file itself: git lfs pull",
        Looks::Html => "the download has brought a web page: fetch the file itself",
        Looks::Xml if head.trim_ascii_start().starts_with(b"<?xml") => "export it as CSV",
        Looks::Jpeg => "pictures are for judges over frames, and end in .jpg",
        Looks::Video => {
            "judges over frames look at pictures: take them out of it (mkdir pictures, ffmpeg -i FILE -vf fps=1 pictures/%06d.jpg)"
        }
        Looks::Png | Looks::Gif | Looks::Bmp | Looks::WebP | Looks::Tiff | Looks::HeicOrAvif => {
            "judges over frames look at pictures as JPEG: convert it (ffmpeg -i FILE picture.jpg)"
        }
        _ => return Ok(()),
    };
    bail!("{}: the file begins with {excerpt}, which looks like {}: {remedy}", path.display(), looks.as_str())
}

/// Whether a file begins as recordings do. One that cannot be read does not.
pub(super) fn begins_as_json(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let (text, _) = decode(&head, None);
    read.is_ok() && text.trim_start().starts_with('{')
}
